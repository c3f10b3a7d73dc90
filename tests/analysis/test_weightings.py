"""Images under each weighting: the grid, the counts, mirror images, the best of places, and measures of the truth."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from panoptic.analysis.weightings import (
    BestOfPlaces,
    candidates,
    measure_truth,
    mirror_images,
    outputs_with,
    score_weightings,
    simplex_grid,
)
from panoptic.codec import Codec, Outputs
from panoptic.complexity import UNIT_AREA
from panoptic.data.batch import Batch, collate
from panoptic.data.sample import Sample
from panoptic.labels import Category, LabelSpace
from panoptic.metrics import PanopticQuality
from panoptic.metrics.functional import quality_scores
from panoptic.models import (
    FPN,
    Backbone,
    ComplexityEstimator,
    InstanceHead,
    LocalFusion,
    NoContext,
    PanopticNetwork,
    SemanticHead,
    UniformFusion,
)
from panoptic.segments import VOID, Segments

LABELS = LabelSpace((Category("road", 0, False, (0, 0, 0)), Category("car", 1, True, (0, 0, 0))))


def network_with(fusion) -> PanopticNetwork:
    network = PanopticNetwork(
        backbone=partial(Backbone, "test_resnet", "random"),
        context=NoContext,
        fpn=partial(FPN, channels=16),
        complexity=partial(ComplexityEstimator, channels=8),
        fusion=fusion,
        semantic_head=partial(SemanticHead, channels=8, depth=1, upsample=2),
        instance_head=partial(InstanceHead, channels=8, depth=1, upsample=2),
        num_classes=2,
    ).eval()
    with torch.no_grad():  # a bias that lets an untrained network find centers
        network.instance_head.center.conv.bias.fill_(0.0)
    return network


def segments(*boxes: tuple[int, int, int, int], size=(40, 56)) -> Segments:
    """Road with a car in each box, given by its first and last row and column."""
    ids = torch.ones(size, dtype=torch.int32)
    for i, (top, bottom, left, right) in enumerate(boxes, start=2):
        ids[top:bottom, left:right] = i
    classes = torch.tensor([0] + [1] * len(boxes))
    return Segments(ids, classes, torch.zeros_like(classes, dtype=torch.bool))


def batch_of(*truths: Segments) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return collate(
        [
            Sample(
                torch.randint(0, 256, (*truth.size, 3), dtype=torch.uint8, generator=generator).numpy(), truth, str(i)
            )
            for i, truth in enumerate(truths)
        ]
    )


def test_the_grid_has_every_weighting_once():
    assert simplex_grid(3, 2).tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    grid = simplex_grid(3, 4)
    assert grid.shape == (15, 3)
    assert grid.sum(1).tolist() == [1.0] * 15
    assert len({tuple(row) for row in grid.tolist()}) == 15
    assert torch.equal(candidates(3)[0], torch.full((3,), 1 / 3))
    assert torch.equal(candidates(3)[1:], grid)


@pytest.mark.parametrize("fusion", [UniformFusion, LocalFusion])
def test_outputs_with_given_weights_are_those_of_a_network_that_has_them(fusion):
    images = batch_of(segments(), segments(size=(33, 41))).images
    expected = network_with(UniformFusion)(images)
    first, *others = outputs_with(network_with(fusion), images, candidates(3))
    for value, part in zip(first, expected, strict=True):
        assert torch.equal(value, part)
    assert len(others) == 15
    assert others[1].alpha.tolist() == [[0.75, 0.25, 0]] * 2
    assert not torch.equal(others[0].semantic, others[1].semantic)


def density(things: int, size: tuple[int, int]) -> float:
    return math.log1p(things * UNIT_AREA / (size[0] * size[1]))


def test_counts_are_those_of_the_metric_with_or_without_padding():
    network = network_with(UniformFusion)
    codec = Codec(LABELS, network.stride, network.complexity_stride)
    batches = [
        batch_of(segments((4, 20, 8, 24)), segments((1, 9, 30, 36), (20, 33, 5, 17), size=(33, 41))),
        Batch(torch.zeros(1, 3, 40, 56, dtype=torch.uint8), None, ((40, 56),), ("withheld",)),
        batch_of(segments()),
    ]
    weightings = candidates(3, steps=1)
    scored = score_weightings(network, codec, batches, weightings, torch.device("cpu"))
    assert scored.counts.tp.shape == scored.mirrored.tp.shape == (4, 3, 2)
    assert scored.places.tp.shape == (3, 2)
    metric = PanopticQuality(LABELS)
    for batch in (batches[0], batches[2]):
        metric.update(codec.decode(network(batch.images), batch.segments.size), batch.segments, sizes=batch.sizes)
    uniform = type(scored.counts)(*(values[0] for values in scored.counts)).total()
    for name, value in quality_scores(uniform, LABELS).items():
        if name in ("pq", "sq", "rq"):
            assert float(value) == pytest.approx(float(metric.compute()[name]), abs=1e-12), name
    # Each image has its segments, matched or missed; one after the other, and padded in no other way.
    assert (scored.counts.tp + scored.counts.fn)[3].tolist() == [[1, 1], [1, 2], [1, 0]]
    sizes = [batches[0].segments.size] * 2 + [batches[2].segments.size]
    densities = [density(count, size) for count, size in zip((1, 2, 0), sizes, strict=True)]
    assert scored.measures[:, 0].tolist() == pytest.approx(densities)
    again = score_weightings(network, codec, [mirror_images(batches[0])], weightings, torch.device("cpu"))
    assert torch.equal(again.counts.iou_sum, scored.mirrored.iou_sum[:, :2])
    assert torch.equal(again.mirrored.iou_sum, scored.counts.iou_sum[:, :2])


def test_without_truth_there_is_nothing_to_score():
    network = network_with(UniformFusion)
    codec = Codec(LABELS, network.stride, network.complexity_stride)
    withheld = Batch(torch.zeros(1, 3, 40, 56, dtype=torch.uint8), None, ((40, 56),), ("withheld",))
    assert score_weightings(network, codec, [withheld], candidates(3, 1), torch.device("cpu")) is None


def test_images_are_mirrored_within_their_own_width():
    batch = batch_of(segments((0, 2, 0, 3), size=(4, 8)), segments((1, 3, 1, 2), size=(3, 5)))
    mirror = mirror_images(batch)
    assert torch.equal(mirror.images[0], batch.images[0].flip(-1))
    assert torch.equal(mirror.images[1, :, :3, :5], batch.images[1, :, :3, :5].flip(-1))
    assert not mirror.images[1, :, 3:].any()
    assert not mirror.images[1, :, :, 5:].any()
    assert mirror.segments.ids[1].tolist() == [
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 2, 1, 0, 0, 0],
        [1, 1, 1, 2, 1, 0, 0, 0],
        [0] * 8,
    ]
    back = mirror_images(mirror)
    assert torch.equal(back.images, batch.images)
    assert torch.equal(back.segments.ids, batch.segments.ids)


def test_the_best_of_places_by_hand():
    """Cells of class 0, 1, 1 and void; the first outputs are surest of class 0, the second of 1."""

    def outputs(number: float, logits: list[float]) -> Outputs:
        one = torch.tensor(logits).view(1, 1, 1, 4)
        maps, nothing = torch.full((1, 2, 1, 4), number), torch.zeros(1, 2, 1, 1)
        return Outputs(
            torch.cat([torch.zeros_like(one), one], 1), maps[:, 0], maps, nothing[:, :, 0, 0], nothing, nothing, nothing
        )

    best = BestOfPlaces(torch.tensor([[[0, 1, 1, VOID]]]))
    for each in (outputs(1, [-3.0, -3, 2, 5]), outputs(2, [-2.0, 4, 2, 9]), outputs(3, [-1.0, 1, 3, 9])):
        best.add(each)
    of = best.outputs()
    assert of.semantic[0, 1, 0, :3].tolist() == [-3.0, 4.0, 3.0]
    assert (
        of.center[0, 0, :3].tolist() == of.offset[0, 0, 0, :3].tolist() == of.offset[0, 1, 0, :3].tolist() == [1, 2, 3]
    )
    assert of.center[0, 0, 3] == 1  # on void, the first
    assert of.semantic[0, 1, 0, 3] == 5


def test_measures_of_the_truth_by_hand():
    """Areas 4, 16 and 36: median 16. A crowd does not count, and there is no median of none."""
    truth = Segments.stack(
        [segments((0, 2, 0, 2), (4, 8, 0, 4), (10, 16, 0, 6)), segments((0, 5, 0, 5), (9, 10, 0, 4))]
    )
    truth.crowd[1, 1] = True
    logs = [math.log(area) for area in (4, 16, 36)]
    mean = sum(logs) / 3
    measures = measure_truth(truth, LABELS.is_thing)
    expected = [density(3, truth.size), sum((value - mean) ** 2 for value in logs) / 3, 16.0]
    assert measures[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert measures[1].tolist() == pytest.approx([density(1, truth.size), 0.0, 4.0])
    without = measure_truth(Segments.stack([segments(), segments()]), LABELS.is_thing)
    assert without[:, :2].tolist() == [[0.0, 0.0]] * 2
    assert without[:, 2].isnan().all()
