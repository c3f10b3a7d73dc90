"""Shuffled complexity: nobody keeps their own, what does not look at it does not change, and what does, does."""

from __future__ import annotations

import pytest
import torch

from panoptic.analysis.shuffling import ShuffledComplexity, derangement
from panoptic.codec import Codec, Outputs
from panoptic.data.batch import collate
from panoptic.data.sample import Sample
from panoptic.labels import Category, LabelSpace
from panoptic.models.complexity import ComplexityEstimate
from panoptic.segments import Segments

LABELS = LabelSpace((Category("road", 0, False, (0, 0, 0)), Category("sky", 1, False, (0, 0, 0))))
CODEC = Codec(LABELS, stride=1)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_nobody_keeps_their_own(count):
    for seed in range(20):
        order = derangement(count, seed)
        assert sorted(order) == list(range(count))
        assert all(i != other for i, other in enumerate(order))


def test_an_order_is_that_of_its_seed_and_one_image_has_no_other():
    assert derangement(10, 3) == derangement(10, 3)
    assert len({tuple(derangement(10, seed)) for seed in range(10)}) > 5
    assert derangement(1, 0) == [0]


class Scribe:
    """Says that all is road where the density it is given is 0, else sky; or, if it does not listen, always road."""

    def __init__(self, listens: bool) -> None:
        self.listens = listens

    def __call__(self, images: torch.Tensor, complexity: ComplexityEstimate) -> Outputs:
        sky = (complexity.image[:, 0] > 0) & self.listens
        semantic = torch.zeros(len(images), 2, *images.shape[-2:])
        semantic[:, 0], semantic[:, 1] = (~sky).float()[:, None, None], sky.float()[:, None, None]
        nothing = torch.full((len(images), *images.shape[-2:]), -9.0)
        offset = torch.zeros(len(images), 2, *images.shape[-2:])
        return Outputs(semantic, nothing, offset, *complexity, torch.ones(len(images), 1))


def said(number: float, *places: int) -> Outputs:
    """Outputs for one image, of which shuffling reads the complexity: this number in all of it."""
    nothing = torch.zeros(1, 2, 8, 8)
    complexity = torch.full((1, 2), number), torch.full((1, 2, *places), number), torch.full((1, 3, *places), number)
    return Outputs(nothing, nothing[:, 0], nothing, *complexity, torch.ones(1, 1))


@pytest.mark.parametrize(("listens", "expected"), [(False, 1 / 3), (True, 0.0)])
def test_pq_by_hand(listens, expected):
    """Two images, one road, one sky: exchanged, a network that listens has both wrong; a deaf one has road right.

    Of that one, road has one true positive and one false one, 1 / (1 + 0.5), and sky one false negative: PQ 1/3.
    """
    batches = []
    for c in (0, 1):
        segments = Segments(torch.ones(8, 8, dtype=torch.int32), torch.tensor([c]), torch.zeros(1, dtype=torch.bool))
        batches.append(collate([Sample(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy(), segments, str(c))]))
    shuffled = ShuffledComplexity(Scribe(listens), CODEC, rounds=3)
    for density in (0.0, 1.0):
        shuffled.add(said(density, 2, 2))
    result = shuffled.result(batches, as_predicted=0.9)
    assert result["rounds"] == 3
    assert result["as_predicted"] == 0.9
    assert result["pq"] == pytest.approx([expected] * 3)


def test_images_whose_truth_is_withheld_are_passed_over():
    image = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()
    batches, shuffled = [], ShuffledComplexity(Scribe(True), CODEC, rounds=1)
    for c in (0, None, 1):
        segments = None
        if c is not None:
            ids, crowd = torch.ones(8, 8, dtype=torch.int32), torch.zeros(1, dtype=torch.bool)
            segments = Segments(ids, torch.tensor([c]), crowd)
            shuffled.add(said(float(c), 2, 2))
        batches.append(collate([Sample(image, segments, str(c))]))
    assert shuffled.result(batches, as_predicted=1.0)["pq"] == [0.0]  # road as sky, sky as road


def test_maps_of_other_sizes_take_that_of_the_first():
    shuffled = ShuffledComplexity(Scribe(True), CODEC, rounds=1)
    shuffled.add(said(0.0, 2, 3))
    shuffled.add(said(1.0, 4, 4))
    estimate = shuffled._of([1, 0])
    assert (estimate.map.shape, estimate.cells.shape) == ((2, 2, 4, 4), (2, 3, 4, 4))
    assert estimate.map[:, 0, 0, 0].tolist() == estimate.cells[:, 2, 0, 0].tolist() == [1.0, 0.0]
    assert estimate.image.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_one_of_several_processes_scores_alone(monkeypatch):
    """As it does after training: the others have ended, and would never answer."""
    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    shuffled = ShuffledComplexity(Scribe(True), CODEC, rounds=1)
    shuffled.add(said(0.0, 2, 2))
    segments = Segments(torch.ones(8, 8, dtype=torch.int32), torch.tensor([0]), torch.zeros(1, dtype=torch.bool))
    batch = collate([Sample(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy(), segments, "road")])
    assert shuffled.result([batch], as_predicted=1.0)["pq"] == [1.0]
