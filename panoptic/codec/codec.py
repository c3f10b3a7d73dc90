"""The codec: segments to what the heads are trained on, and what the heads say back to segments.

The scheme is that of Panoptic-DeepLab (Cheng et al. 2020): a class for each pixel, a heatmap with a peak at the center
of mass of each thing, and for each pixel of a thing the offset to that center. Everything is batched, runs on the
device the batch is on, in fp32 with autocast off, and has no loop over pixels or instances.

Map coordinates: with stride ``s`` the center of map cell ``i`` lies at pixel ``s * i + (s - 1) / 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from panoptic.codec.grouping import find_peaks, most_likely, nearest_center
from panoptic.complexity import (
    complexity_of_areas,
    complexity_of_cells,
    measure,
    thing_cells,
    thing_table,
    things_of,
)
from panoptic.errors import InputError, expect_at_least
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.counting import count_by_key, sum_by_key


class Outputs(NamedTuple):
    """What a network says of a batch. Maps are at the heads' stride.

    Attributes:
        semantic: logits per class.
        center: logit of the center heatmap.
        offset: (dy, dx) from a cell to the center of its thing, in cells.
        complexity: object density and scale variance of the image.
        complexity_map: the same two numbers per place, at the estimator's stride.
        complexity_cells: of each cell of that map the number of its things, and mean and variance of their log areas,
            from which both numbers follow.
        alpha: fusion weights of the levels, fine to coarse, summing to 1: ``[B L]``, or ``[B L h w]`` if local.
    """

    semantic: Float[Tensor, "B C h w"]
    center: Float[Tensor, "B h w"]
    offset: Float[Tensor, "B 2 h w"]
    complexity: Float[Tensor, "B 2"]
    complexity_map: Float[Tensor, "B 2 gh gw"]
    complexity_cells: Float[Tensor, "B 3 gh gw"]
    alpha: Float[Tensor, "B L *place"]

    @property
    def alpha_of_image(self) -> Float[Tensor, "B L"]:
        """One α for each image: the mean over places where it is local."""
        return self.alpha.flatten(2).mean(2) if self.alpha.ndim > 2 else self.alpha


class Targets(NamedTuple):
    """What the outputs should be, and how much each place counts.

    Attributes:
        semantic: class, or :data:`~panoptic.segments.VOID`.
        semantic_weight: 1, or the codec's ``small_weight`` on small things.
        center: heatmap in 0..1.
        center_weight: 1, or 0 on void and crowd.
        offset: (dy, dx) to the center, in cells; 0 off things.
        offset_weight: on things (not crowd) one over the square root of the thing's area in pixels, else 0: what
            matters of an offset is whether it leads to the right center, and small things stand closer together.
        complexity: object density and scale variance of the image.
        complexity_map: the same per place.
        complexity_cells: the same per cell; see :func:`~panoptic.complexity.thing_cells`.
    """

    semantic: Int64[Tensor, "B h w"]
    semantic_weight: Float[Tensor, "B h w"]
    center: Float[Tensor, "B h w"]
    center_weight: Float[Tensor, "B h w"]
    offset: Float[Tensor, "B 2 h w"]
    offset_weight: Float[Tensor, "B h w"]
    complexity: Float[Tensor, "B 2"]
    complexity_map: Float[Tensor, "B 2 gh gw"]
    complexity_cells: Float[Tensor, "B 3 gh gw"]

    def as_outputs(self, num_classes: int) -> Outputs:
        """The outputs of a network that is always right; decoding them gives the ceiling of any run.

        A pixel without a class gets equal logits for all. ``alpha``, which has no truth, is one level's.
        """
        one_hot = F.one_hot(self.semantic.clamp(max=num_classes), num_classes + 1)[..., :num_classes]
        return Outputs(
            one_hot.permute(0, 3, 1, 2).float() * 10.0,
            torch.logit(self.center, eps=1e-4),
            self.offset,
            self.complexity,
            self.complexity_map,
            self.complexity_cells,
            self.complexity.new_ones(len(self.complexity), 1),
        )


@dataclass(frozen=True)
class Codec:
    """Both directions, with their settings.

    Attributes:
        labels: the label space.
        stride: pixels per cell of the heads' maps.
        complexity_stride: pixels per cell of the complexity map.
        sigma: standard deviation of a peak of the center heatmap, in cells.
        small_area: things of fewer pixels than this are small; 0 means none is.
        small_weight: weight of the pixels of small things in the semantic loss (3 in Panoptic-DeepLab).
        window: side of the window of the complexity map, in its cells, odd.
        peak_window: a peak is the largest value of the window of this side around it, in cells, odd.
        peak_threshold: the least value of a peak, in 0..1.
        max_things: the most things that are looked for in an image.
        stuff_area: stuff of fewer pixels than this in the decoded image becomes void; 0 keeps all.

    Raises:
        InputError: naming the setting that is out of range.
    """

    labels: LabelSpace
    stride: int
    complexity_stride: int = 16
    sigma: float = 2.0
    small_area: int = 0
    small_weight: float = 3.0
    window: int = 5
    peak_window: int = 3
    peak_threshold: float = 0.1
    max_things: int = 200
    stuff_area: int = 0

    def __post_init__(self) -> None:
        expect_at_least(1, codec__max_things=self.max_things)
        expect_at_least(0, codec__small_area=self.small_area, codec__small_weight=self.small_weight)
        expect_at_least(0, codec__stuff_area=self.stuff_area, codec__peak_threshold=self.peak_threshold)
        for name in ("window", "peak_window"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise InputError(f"codec.{name}: expected an odd number of cells, got {getattr(self, name)}")
        if self.sigma <= 0:
            raise InputError(f"codec.sigma: expected a positive number of cells, got {self.sigma}")

    @torch.no_grad()
    def encode(self, segments: Segments) -> Targets:
        """Targets of a batch; its height and width are rounded up to whole cells, which are void."""
        with torch.autocast(segments.ids.device.type, enabled=False):
            small = self._subsample(segments)
            areas, centers_in_pixels = measures = measure(segments)
            things = things_of(segments, self.labels.is_thing, areas)
            centers = (centers_in_pixels + 0.5) / self.stride - 0.5
            is_small = things & (areas < self.small_area)
            on_thing, center_y, center_x, small_weight, crowd, offset_weight = _spread(
                small,
                things,
                *centers.unbind(-1),
                1.0 + (self.small_weight - 1.0) * is_small,
                segments.crowd,
                things / areas.clamp(min=1).float().sqrt(),
                void=(0.0, 0.0, 0.0, 1.0, 1.0, 0.0),
            )
            offset = torch.stack([center_y, center_x], dim=1) - _grid(small.size, centers.device)
            cells = thing_cells(segments, self.labels.is_thing, cell=self.complexity_stride, measures=measures)
            return Targets(
                semantic=small.semantic(),
                semantic_weight=small_weight,
                center=_heatmap(centers, things, small.size, self.sigma),
                center_weight=1.0 - crowd,
                offset=offset * on_thing[:, None],
                offset_weight=offset_weight,
                complexity=complexity_of_areas(segments, areas, self.labels.is_thing),
                complexity_map=complexity_of_cells(cells, window=self.window),
                complexity_cells=cells,
            )

    def _subsample(self, segments: Segments) -> Segments:
        """The map at the heads' stride: of each cell the pixel at its middle."""
        height, width = segments.size
        padded = F.pad(segments.ids, (0, -width % self.stride, 0, -height % self.stride))
        first = self.stride // 2
        return Segments(
            padded[:, first :: self.stride, first :: self.stride].contiguous(), segments.classes, segments.crowd
        )

    @torch.no_grad()
    def decode(self, outputs: Outputs, size: tuple[int, int] | None = None) -> Segments:
        """Segments of a batch, with scores: things first, by falling height of their peak, then stuff by class.

        A thing's class is the majority vote of its pixels over the thing classes, its score the height of its peak
        times the mean probability of its pixels' classes; the score of stuff is that mean alone. Pixels of a thing
        class in an image without a peak become void.

        Args:
            outputs: of a network, or :meth:`Targets.as_outputs`.
            size: height and width of the result in pixels, at most the size of the maps times the stride, which it
                is by default; what lies beyond is cut off.
        """
        with torch.autocast(outputs.semantic.device.type, enabled=False):
            height, width = (side * self.stride for side in outputs.semantic.shape[-2:])
            rows, columns = size or (height, width)
            logits = _enlarge(outputs.semantic.float(), self.stride)[..., :rows, :columns]
            classes, confidence = most_likely(logits)
            peaks, heights = find_peaks(
                outputs.center.float().sigmoid(),
                window=self.peak_window,
                threshold=self.peak_threshold,
                most=self.max_things,
            )
            centers = (peaks + 0.5) * self.stride - 0.5
            offset = _enlarge(outputs.offset.float(), self.stride)[..., :rows, :columns] * self.stride
            counts = (heights > 0).sum(1)
            of_thing = thing_table(self.labels.is_thing, logits.device)[classes]
            on_thing = of_thing & (counts > 0)[:, None, None]
            things = torch.where(on_thing, nearest_center(offset, on_thing, centers, counts) + 1, 0)
            return self._merge(classes, confidence, of_thing, things, heights)

    def _merge(
        self,
        classes: Int64[Tensor, "B H W"],
        confidence: Float[Tensor, "B H W"],
        of_thing: Bool[Tensor, "B H W"],
        things: Int64[Tensor, "B H W"],
        heights: Float[Tensor, "B K"],
    ) -> Segments:
        """One table of K things and C stuff classes, then without the rows that have no (or too few) pixels."""
        batch, count = heights.shape
        num_classes = self.labels.num_classes
        votes = count_by_key((things * num_classes + classes).flatten(1), (count + 1) * num_classes)
        thing_classes = votes.unflatten(1, (count + 1, num_classes))[:, 1:].argmax(2)  # only thing pixels voted

        stuff = torch.arange(num_classes, device=classes.device).expand(batch, -1)
        ids = torch.where(of_thing, things, count + 1 + classes)
        table_classes = torch.cat([thing_classes, stuff], dim=1)
        areas, sums = sum_by_key(ids.flatten(1), count + num_classes + 1, None, confidence.flatten(1))
        scores = (sums / areas.clamp(min=1))[:, 1:] * torch.cat([heights, torch.ones_like(stuff).float()], dim=1)

        least = torch.ones_like(areas[0, 1:])
        least[count:] = max(self.stuff_area, 1)
        kept = areas[:, 1:] >= least
        renumbered = F.pad(kept.cumsum(1) * kept, (1, 0))
        order = torch.argsort((~kept).int(), dim=1, stable=True)[:, : max(int(kept.sum(1).max()), 1)]
        present = kept.gather(1, order)
        return Segments(
            renumbered.gather(1, ids.flatten(1)).view_as(ids).int(),
            torch.where(present, table_classes.gather(1, order), -1),
            torch.zeros_like(present),
            torch.where(present, scores.gather(1, order).clamp(max=1.0), 0.0),
        )


def _grid(size: tuple[int, int], device: torch.device) -> Float[Tensor, "2 h w"]:
    """Row and column of each cell."""
    rows = torch.arange(size[0], device=device, dtype=torch.float32)
    columns = torch.arange(size[1], device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def _enlarge(maps: Float[Tensor, "B C h w"], stride: int) -> Float[Tensor, "B C H W"]:
    """Maps at the stride of the image."""
    return maps if stride == 1 else F.interpolate(maps, scale_factor=stride, mode="bilinear", align_corners=False)


def _heatmap(
    centers: Float[Tensor, "B N 2"], things: Bool[Tensor, "B N"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "B h w"]:
    """The largest of one Gaussian peak per thing, at the cell nearest to its center, cut off at three sigma."""
    height, width = size
    radius = math.ceil(3 * sigma)
    shift = torch.arange(-radius, radius + 1, device=centers.device)
    weight = torch.exp(-(shift**2).double() / (2 * sigma**2)).float()
    center = centers.round().long()
    rows = center[..., 0].clamp(0, height - 1)[..., None, None] + shift[:, None]
    columns = center[..., 1].clamp(0, width - 1)[..., None, None] + shift
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & things[..., None, None]
    index = torch.where(inside, rows * width + columns, height * width)  # the place behind the map takes the rest
    peak = (weight[:, None] * weight).expand(index.shape)
    heat = centers.new_zeros(len(centers), height * width + 1)
    heat.scatter_reduce_(1, index.flatten(1), peak.flatten(1), "amax")
    return heat[:, :-1].unflatten(1, size)


def _spread(
    segments: Segments, *columns: Float[Tensor, "B N"] | Bool[Tensor, "B N"], void: tuple[float, ...]
) -> tuple[Float[Tensor, "B H W"], ...]:
    """:meth:`Segments.per_pixel` of several columns at once, as floats."""
    table = torch.stack([F.pad(column.float(), (1, 0), value=v) for column, v in zip(columns, void, strict=True)], 1)
    index = segments.ids.flatten(1).long()[:, None].expand(-1, len(columns), -1)
    return table.gather(2, index).unflatten(2, segments.size).unbind(1)
