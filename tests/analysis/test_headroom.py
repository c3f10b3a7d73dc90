"""PQ and gain of each way of choosing weights, from hand-made counts."""

from __future__ import annotations

import math

import pytest
import torch

from panoptic.analysis.headroom import groups_of, headroom_rows
from panoptic.analysis.weightings import Scored
from panoptic.metrics.functional import PanopticCounts

LOW, HIGH = [1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]
FOUR_OF_EIGHT = 100 * 4 / (4 + 4 / 2)


def matched(rows: list) -> PanopticCounts:
    """Counts of one class, in which 1 is a segment that is matched whole and 0 one that is missed."""
    tp = torch.tensor(rows)[..., None]
    return PanopticCounts(tp.double(), tp, torch.zeros_like(tp), 1 - tp)


@pytest.fixture
def scored() -> Scored:
    """Eight images: the first weights match nothing, the second where density is low, the third where it is high.

    Of the mirror images, only the third match any. Scale variance is the same everywhere, and there is no area.
    """
    measures = torch.tensor([[float(i), 2.0, math.nan] for i in range(8)], dtype=torch.float64)
    return Scored(matched([[0] * 8, LOW, HIGH]), matched([[0] * 8, [0] * 8, [1] * 8]), matched([1] * 7 + [0]), measures)


def test_what_each_choice_gains(scored: Scored) -> None:
    rows = {(row.weights, row.chosen_on): row for row in headroom_rows(scored, torch.tensor([0, 1] * 4))}
    places = 100 * 7 / 7.5
    assert {key: row.pq for key, row in rows.items()} == pytest.approx(
        {
            ("uniform", ""): 0.0,
            ("best fixed", "the other half"): FOUR_OF_EIGHT,  # the second: of ties the first
            ("best fixed", "the same images"): FOUR_OF_EIGHT,
            ("quartile of object density", "the other half"): 100.0,
            ("quartile of object density", "the same images"): 100.0,
            ("quartile of scale variance", "the other half"): FOUR_OF_EIGHT,
            ("quartile of scale variance", "the same images"): FOUR_OF_EIGHT,
            ("quartile of median thing area", "the other half"): FOUR_OF_EIGHT,
            ("quartile of median thing area", "the same images"): FOUR_OF_EIGHT,
            ("each image", "its mirror image"): FOUR_OF_EIGHT,  # the third for all
            ("each image", "the same image"): 100.0,
            ("each place", "the same image"): places,
        }
    )
    for row in rows.values():
        assert row.gain.value == pytest.approx(row.pq - FOUR_OF_EIGHT)
    assert rows["quartile of object density", "the other half"].gain.low > 0
    assert rows["uniform", ""].gain.high < 0
    assert tuple(rows["quartile of scale variance", "the other half"].gain) == (0.0, 0.0, 0.0)
    mirror = rows["each image", "its mirror image"].gain
    assert mirror.low < 0 < mirror.high  # other images are matched, as many of them


def test_an_order_in_which_the_halves_disagree_costs(scored: Scored) -> None:
    """With images of low density in one half and those of high density in the other, each half is chosen wrongly."""
    rows = {(row.weights, row.chosen_on): row for row in headroom_rows(scored, torch.tensor([0] * 4 + [1] * 4))}
    assert rows["best fixed", "the other half"].pq == 0.0
    assert rows["best fixed", "the same images"].gain.value == pytest.approx(FOUR_OF_EIGHT)


def test_quartiles_are_told(scored: Scored) -> None:
    density, variance, area = (groups_of(scored.counts, values) for values in scored.measures.unbind(1))
    assert [(g.quartile, g.images, g.low, g.high, g.best) for g in density] == [
        (1, 2, 0.0, 1.0, 1),
        (2, 2, 2.0, 3.0, 1),
        (3, 2, 4.0, 5.0, 2),
        (4, 2, 6.0, 7.0, 2),
    ]
    assert density[0].pq == [0.0, 100.0, 0.0]
    assert [(g.quartile, g.images, g.low, g.high, g.best) for g in variance] == [(1, 8, 2.0, 2.0, 1)]
    assert variance[0].pq == pytest.approx([0.0, FOUR_OF_EIGHT, FOUR_OF_EIGHT])
    assert [(g.quartile, g.images, g.low, g.high) for g in area] == [(None, 8, None, None)]
