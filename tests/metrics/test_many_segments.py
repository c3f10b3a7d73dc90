"""Maps with very many segments, such as superpixels or cells: only pairs of segments that occur are counted."""

from __future__ import annotations

import pytest
import torch

from panoptic.labels import Category, LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.functional import overlap
from panoptic.metrics.per_image import Evaluation, score_image
from panoptic.segments import Segments

LABELS = LabelSpace((Category("cell", 1, True, (0, 0, 0)), Category("ground", 2, False, (9, 9, 9))))


def squares(rows: int, columns: int, height: int, width: int, *, split_odd: bool = False) -> Segments:
    """Return cells of a size in a grid; ``split_odd`` splits those of odd rows into an upper and a lower half."""
    row = torch.arange(rows * height)[:, None]
    band = row // height * 2 + (row % height * 2 // height) * (row // height % 2) * split_odd
    band = band.flatten().unique(return_inverse=True)[1][:, None]
    ids = (band * columns + torch.arange(columns * width) // width + 1).int()
    count = int(ids.max())
    return Segments(ids, torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.bool))


def test_scores_of_six_thousand_cells() -> None:
    # Half of the 60 x 100 cells are found. The halves of the others have an IoU of exactly 0.5, which is no match:
    # PQ = 3000 / (3000 + 6000 / 2 + 3000 / 2). Cells of 2x2 pixels are all boundary.
    target, prediction = squares(60, 100, 2, 2), squares(60, 100, 2, 2, split_odd=True)
    evaluation = Evaluation(LABELS)
    evaluation.add(score_image(prediction, target, LABELS))
    scores = evaluation.scores()
    assert [values[0].item() for values in evaluation.quality] == [3000.0, 3000, 6000, 3000]
    assert [values[0].item() for values in evaluation.boundary_quality] == [3000.0, 3000, 6000, 3000]
    assert scores["pq"] == scores["boundary_pq"] == 0.4
    assert scores["mean_iou"] == 1.0


def test_pairs_that_do_not_occur_take_no_memory() -> None:
    target, prediction = squares(60, 100, 2, 2), squares(60, 100, 2, 2, split_odd=True)
    target, prediction = functional.as_batch(target), functional.as_batch(prediction)
    shared = functional.intersections(prediction, target)
    assert len(shared.pixels) == 9000
    assert shared.pixels.sort().values.tolist() == [2] * 6000 + [4] * 3000
    assert len(functional.boundary_intersections(prediction, target, 0.02).split) == 9000


def batch(seed: int, *, noisy: bool) -> Segments:
    """Return three random maps of 12x30 with 30 segments."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 31, (3, 12, 30 if noisy else 3), generator=generator, dtype=torch.int32)
    classes, crowd = torch.randint(-1, 2, (3, 30), generator=generator), torch.rand(3, 30, generator=generator) < 0.1
    classes = classes.sort(descending=True).values  # padding comes last
    ids = torch.where(ids <= (classes >= 0).sum(1)[:, None, None], ids, 0)
    return Segments(ids if noisy else ids.repeat_interleave(10, 2), classes, crowd)


@pytest.mark.parametrize("noisy", [True, False])
def test_sorting_counts_as_a_table_does(noisy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, target = batch(1, noisy=noisy), batch(2, noisy=noisy)
    by_table = functional.boundary_intersections(prediction, target, 0.02)
    monkeypatch.setattr(overlap, "TABLE", 0)
    by_sorting = functional.boundary_intersections(prediction, target, 0.02)
    for name in ("true", "predicted", "pixels", "split"):
        assert torch.equal(getattr(by_table, name), getattr(by_sorting, name))
    assert by_sorting.pixels.sum() == 3 * 12 * 30


def test_pairs_without_pixels_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    # They are listed on a GPU.
    prediction, target = batch(1, noisy=False), batch(2, noisy=False)

    def scores() -> list[torch.Tensor]:
        return [
            *functional.panoptic_counts(prediction, target, 2),
            *functional.boundary_panoptic_counts(prediction, target, 2, 0.02),
            functional.confusion(prediction, target, 2),
            functional.boundary_f1(prediction, target, 2, 0.02).nan_to_num(-1),
        ]

    expected = scores()
    monkeypatch.setattr(
        overlap, "_count", lambda key, shape, parts: overlap._all_pairs(key, shape[1] * shape[2] * parts, parts)
    )
    assert len(functional.intersections(prediction, target).pixels) == 3 * 31 * 31
    for one, other in zip(expected, scores(), strict=True):
        assert torch.equal(one, other)
