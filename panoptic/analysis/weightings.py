"""Images scored under many fusion weights α, with backbone and feature pyramid computed once for each batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from panoptic.codec import Codec, Outputs
from panoptic.complexity import image_complexity, things_of
from panoptic.data.batch import Batch
from panoptic.metrics.functional import PanopticCounts, panoptic_counts
from panoptic.models import PanopticNetwork
from panoptic.models.fusion import weighted_sum
from panoptic.models.network import Fused
from panoptic.segments import VOID, Segments

MEASURES = ("object_density", "scale_variance", "median_thing_area")
"""Measures of the true segments of an image, in order."""


@dataclass(frozen=True)
class Scored:
    """Images scored under each weighting.

    Attributes:
        counts: Counts of each image.
        mirrored: Counts of each image after mirroring it: of the same content, with other errors.
        places: Counts of each image with the best weighting of each place; see :class:`BestOfPlaces`.
        measures: Values of :data:`MEASURES`; the area is NaN in images without things.
    """

    counts: PanopticCounts  # [W I C]
    mirrored: PanopticCounts  # [W I C]
    places: PanopticCounts  # [I C]
    measures: Float64[Tensor, "I M"]


def simplex_grid(num_levels: int, steps: int) -> Float[Tensor, "W L"]:
    """Return all weights that are multiples of ``1 / steps`` and sum to 1, those of the first level falling."""
    shares = [part for part in product(range(steps, -1, -1), repeat=num_levels) if sum(part) == steps]
    return torch.tensor(shares) / steps


def candidates(num_levels: int, steps: int = 4) -> Float[Tensor, "W L"]:
    """Return uniform weights, followed by a grid on the simplex."""
    return torch.cat([torch.full((1, num_levels), 1 / num_levels), simplex_grid(num_levels, steps)])


def score_weightings(
    network: PanopticNetwork,
    codec: Codec,
    batches: Iterable[Batch],
    weightings: Float[Tensor, "W L"],
    device: torch.device,
) -> Scored | None:
    """Score images under each weighting.

    Args:
        network: Network in evaluation mode, on the device.
        codec: Codec for the network's strides.
        batches: Images; those without truth are passed over.
        weightings: Fusion weights, uniform ones first.
        device: Device of the network.

    Returns:
        Counts on the CPU, or ``None`` without an image that has its truth.
    """
    scored = [
        _score_batch(network, codec, batch.to(device), weightings.to(device))
        for batch in batches
        if batch.segments is not None
    ]
    if not scored:
        return None
    counts, mirrored, places = (
        PanopticCounts(*(torch.cat(parts, dim=-2) for parts in zip(*batch_counts, strict=True)))
        for batch_counts in zip(*((s.counts, s.mirrored, s.places) for s in scored), strict=True)
    )
    return Scored(counts, mirrored, places, torch.cat([s.measures for s in scored]))


@torch.inference_mode()
def _score_batch(network: PanopticNetwork, codec: Codec, batch: Batch, weightings: Float[Tensor, "W L"]) -> Scored:
    assert batch.segments is not None
    counts, of_places = [], BestOfPlaces(codec.encode(batch.segments).semantic)
    for outputs in outputs_with(network, batch.images, weightings):
        of_places.add(outputs)
        counts.append(_counts(codec, outputs, batch))
    mirror = mirror_images(batch)
    mirrored = [_counts(codec, outputs, mirror) for outputs in outputs_with(network, mirror.images, weightings)]
    return Scored(
        _stack(counts),
        _stack(mirrored),
        _counts(codec, of_places.outputs(), batch),
        measure_truth(batch.segments, codec.labels.is_thing).cpu(),
    )


def outputs_with(network: PanopticNetwork, images: Tensor, weightings: Float[Tensor, "W L"]) -> Iterator[Outputs]:
    """Yield the outputs of a network for each weighting; only fusion and heads are computed more than once."""
    size = images.shape[-2:]
    levels = network.levels(images)
    complexity = network.estimate(levels, size)
    for weights in weightings:
        alpha = weights.expand(len(images), -1)
        yield network.outputs(Fused(weighted_sum(levels, alpha), alpha), complexity, size)


class BestOfPlaces:
    """Of several outputs for the same images, at each cell those with the lowest semantic cross-entropy.

    Of ties the first, and on void the first of all.

    Args:
        classes: True class of each cell, or void.
    """

    def __init__(self, classes: Int64[Tensor, "B h w"]) -> None:
        self.classes = classes
        self._lowest = torch.full_like(classes, torch.inf, dtype=torch.float32)
        self._best: Outputs | None = None

    def add(self, outputs: Outputs) -> None:
        """Take what is better of some outputs."""
        loss = F.cross_entropy(outputs.semantic.float(), self.classes, ignore_index=VOID, reduction="none")
        better = loss < self._lowest
        self._lowest = torch.where(better, loss, self._lowest)
        best = outputs if self._best is None else self._best
        self._best = best._replace(
            semantic=torch.where(better[:, None], outputs.semantic, best.semantic),
            center=torch.where(better, outputs.center, best.center),
            offset=torch.where(better[:, None], outputs.offset, best.offset),
        )

    def outputs(self) -> Outputs:
        """Return the best of what was added."""
        assert self._best is not None
        return self._best


def mirror_images(batch: Batch) -> Batch:
    """Mirror each image and its truth left to right, within its own width."""
    assert batch.segments is not None
    images, ids = batch.images.clone(), batch.segments.ids.clone()
    for i, (_, width) in enumerate(batch.sizes):
        for maps in (images, ids):
            maps[i, ..., :width] = maps[i, ..., :width].flip(-1)
    return replace(batch, images=images, segments=replace(batch.segments, ids=ids))


def measure_truth(truth: Segments, is_thing: Sequence[bool]) -> Float64[Tensor, "B M"]:
    """Return the :data:`MEASURES` of true segments, batched."""
    areas = truth.areas()
    complexity = image_complexity(truth, is_thing, areas).double()
    area_of_things = areas.double().where(things_of(truth, is_thing, areas), torch.nan)
    area_of_things = F.pad(area_of_things, (0, 1), value=torch.nan)  # a median of none is NaN too
    return torch.cat([complexity, area_of_things.nanquantile(0.5, dim=1, keepdim=True)], dim=1)


def _counts(codec: Codec, outputs: Outputs, batch: Batch) -> PanopticCounts:
    """Decode outputs and count the matches of each image, on the CPU."""
    assert batch.segments is not None
    predicted = codec.decode(outputs, batch.segments.size)
    pairs = zip(predicted.unstack(batch.sizes), batch.segments.unstack(batch.sizes), strict=True)
    counts = [panoptic_counts(*pair, codec.labels.num_classes) for pair in pairs]
    return PanopticCounts(*(torch.cat(parts).cpu() for parts in zip(*counts, strict=True)))


def _stack(counts: Sequence[PanopticCounts]) -> PanopticCounts:
    return PanopticCounts(*map(torch.stack, zip(*counts, strict=True)))
