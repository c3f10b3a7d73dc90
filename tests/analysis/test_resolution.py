"""The threshold of adaptive resolution and the curve of quality against time, by hand."""

from __future__ import annotations

import pytest
import torch

from panoptic.analysis.resolution import Measured, choose_threshold, tabulate
from panoptic.inference.resolution import AdaptiveResolution
from panoptic.metrics.functional import PanopticCounts

# Four images with one class of four segments each; at full size all are found, at the first look fewer the denser.
DENSITY = [2.0, 0.5, 3.0, 1.0]
FOUND = [2, 4, 0, 4]


def measured(density=DENSITY, found=FOUND) -> Measured:
    tp = torch.tensor([found, [4] * len(found)])[..., None]
    return Measured(
        (0.5, 1.0),
        PanopticCounts(tp.double(), tp, torch.zeros_like(tp), 4 - tp),
        torch.tensor([[1.0] * len(found), [4.0] * len(found)], dtype=torch.float64),
        torch.tensor(density, dtype=torch.float64),
    )


def test_as_many_images_stay_as_the_drop_allows():
    # All at full size: PQ 100. With the two least dense at the first look it is the same; with the third, 14 of 16 are
    # found: PQ = 14 / (14 + 2/2) = 93.3; with all, 10 of 16: 10 / (10 + 3) = 76.9.
    assert choose_threshold(measured(), 0.0) == 1.5
    assert choose_threshold(measured(), 6.0) == 1.5
    assert choose_threshold(measured(), 7.0) == 2.5
    assert choose_threshold(measured(), 24.0) == 3.0  # all stay; denser images than any seen would not
    assert choose_threshold(measured(found=[0, 0, 0, 0]), 1.0) == -1.0


def test_images_of_one_density_stay_together():
    assert choose_threshold(measured(density=[1.0, 1.0, 1.0, 1.0]), 6.0) == -1.0
    assert choose_threshold(measured(density=[2.0, 0.5, 2.0, 1.0]), 7.0) == 1.5


def test_rows_by_hand():
    rows = {row.resolution: row[1:] for row in tabulate(measured(), AdaptiveResolution(0.5, 1.5))}
    assert rows["0.5"] == pytest.approx((100 * 10 / 13, 0.25, 0))
    assert rows["1"] == pytest.approx((100, 1, 1))
    assert rows["adaptive"] == pytest.approx((100, (4 * 1 + 2 * 4) / 16, 0.5))
    all_again = tabulate(measured(), AdaptiveResolution(0.5, -1.0))[-1]
    assert all_again[1:] == pytest.approx((100, 1.25, 1))  # the first look is lost
