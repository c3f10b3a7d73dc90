"""Codec: encodes segments as training targets of the heads, and decodes network outputs to segments.

The representation is that of Panoptic-DeepLab (Cheng et al. 2020): a class for each pixel, a heatmap with a peak at the
center of mass of each thing, and for each pixel of a thing the offset to that center. All operations are batched, run
on the device of the batch in fp32 with autocast disabled, and do not loop over pixels or instances.

Map coordinates: with stride ``s``, the center of map cell ``i`` lies at pixel ``s * i + (s - 1) / 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from panoptic.codec.grouping import count_peaks, find_peaks, most_likely, nearest_center
from panoptic.codec.maps import Outputs, Readout, Tally, Targets
from panoptic.complexity import (
    cell_areas,
    complexity_of_cells,
    image_complexity,
    measure,
    thing_cells,
    thing_table,
    things_of,
)
from panoptic.errors import ArgumentError, expect_at_least
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.counting import count_by_key, sum_by_key
from panoptic.utils.precision import widest


@dataclass(frozen=True)
class Codec:
    """Encoder of segments and decoder of network outputs.

    Attributes:
        labels: Label space.
        stride: Pixels per cell of the heads' maps.
        complexity_stride: Pixels per cell of the complexity map.
        sigma: Standard deviation of the peaks of the center heatmap, in cells.
        small_area: Area in pixels below which things are small. 0 for no small things.
        small_weight: Weight of the pixels of small things in the semantic loss (3 in Panoptic-DeepLab).
        window: Side of the window of the complexity map in its cells, odd.
        peak_window: Side of the window in which a peak is the maximum, in cells, odd.
        peak_threshold: Minimum value of a peak, in 0..1.
        max_things: Maximum number of things in an image; the highest peaks are kept.
        stuff_area: Area in pixels below which decoded stuff becomes void. 0 keeps all.
        thing_area: Area in pixels below which decoded things become void. 0 keeps all.

    Raises:
        InputError: If a setting is out of range.
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
    thing_area: int = 0

    def __post_init__(self) -> None:
        expect_at_least(1, max_things=self.max_things)
        expect_at_least(0, small_area=self.small_area, small_weight=self.small_weight)
        expect_at_least(0, stuff_area=self.stuff_area, thing_area=self.thing_area)
        if not 0 <= self.peak_threshold <= 1:
            raise ArgumentError("peak_threshold", f"expected a score in [0, 1], got {self.peak_threshold}")
        for name in ("window", "peak_window"):
            if getattr(self, name) < 1 or getattr(self, name) % 2 == 0:
                raise ArgumentError(name, f"expected an odd number of cells, got {getattr(self, name)}")
        if not 0 < self.sigma < math.inf:
            raise ArgumentError("sigma", f"expected a positive number of cells, got {self.sigma}")

    @torch.no_grad()
    def encode(self, segments: Segments, extents: Int64[Tensor, "B 2"] | None = None) -> Targets:
        """Encode a batch as targets, padded with void to whole cells.

        Args:
            segments: Segments, batched.
            extents: Height and width of each image if the batch is padded, at the right and bottom; padding is no area
                in the complexity.
        """
        with torch.autocast(segments.ids.device.type, enabled=False):
            subsampled = self._subsample(segments)
            areas, centers_in_pixels = measures = measure(segments)
            things = things_of(segments, self.labels.is_thing, areas)
            centers = (centers_in_pixels + 0.5) / self.stride - 0.5
            is_small = things & (areas < self.small_area)
            on_thing, center_y, center_x, small_weight, crowd, offset_weight = _gather_per_pixel(
                subsampled,
                things,
                *centers.unbind(-1),
                1.0 + (self.small_weight - 1.0) * is_small,
                segments.crowd,
                things / areas.clamp(min=1).float().sqrt(),
                void=(0.0, 0.0, 0.0, 1.0, 1.0, 0.0),
            )
            offset = torch.stack([center_y, center_x], dim=1) - _coordinates(subsampled.size, centers.device)
            cells = thing_cells(segments, self.labels.is_thing, cell=self.complexity_stride, measures=measures)
            size = segments.size if extents is None else extents
            cell_area = cell_areas(size, self.complexity_stride, cells.device, cells.shape[-2:])
            return Targets(
                semantic=subsampled.semantic(),
                semantic_weight=small_weight,
                center=_heatmap(centers, things, subsampled.size, self.sigma),
                center_weight=1.0 - crowd,
                offset=offset * on_thing[:, None],
                offset_weight=offset_weight,
                complexity=image_complexity(segments, self.labels.is_thing, areas, extents),
                complexity_map=complexity_of_cells(cells, window=self.window, areas=cell_area),
                complexity_cells=cells,
            )

    def _subsample(self, segments: Segments) -> Segments:
        """Subsample the map to the stride of the heads, taking the middle pixel of each cell."""
        height, width = segments.size
        padded = F.pad(segments.ids, (0, -width % self.stride, 0, -height % self.stride))
        first = self.stride // 2
        return Segments(
            padded[:, first :: self.stride, first :: self.stride].contiguous(), segments.classes, segments.crowd
        )

    @torch.no_grad()
    def decode(self, outputs: Outputs, size: tuple[int, int] | None = None) -> Segments:
        """Decode network outputs to segments with scores.

        As in Panoptic-DeepLab, centers are the peaks of the heatmap, pixels of thing classes are grouped by the nearest
        center, and the instances are merged with the semantic map. The class of a thing is the majority vote of its
        pixels over the thing classes. Its score is the height of its peak times the mean probability of the classes of
        its pixels; the score of stuff is that mean alone. Pixels of a thing class in an image without peaks become
        void.

        Args:
            outputs: Outputs of a network, or of :meth:`Targets.as_outputs`.
            size: Height and width of the result in pixels, to which it is cropped. At most, and by default, the size of
                the maps times the stride.

        Returns:
            Segments, batched: things by descending height of their peak, then stuff by class.
        """
        return self.segments(self.read_out(outputs, size))

    @torch.no_grad()
    def read_out(self, outputs: Outputs, size: tuple[int, int] | None = None) -> Readout:
        """Return what decoding reads from outputs; see :meth:`decode`."""
        with torch.autocast(outputs.semantic.device.type, enabled=False):
            logits, offset = self.at_pixels(outputs, size)
            classes, confidence = most_likely(logits)
            is_thing = thing_table(self.labels.is_thing, logits.device)[classes]
            return Readout(classes, confidence, is_thing, offset, outputs.center.float().sigmoid())

    @torch.no_grad()
    def segments(self, readout: Readout) -> Segments:
        """Group what was read out to segments; see :meth:`decode`."""
        classes, confidence, is_thing, offset, heat = readout
        with torch.autocast(classes.device.type, enabled=False):
            peaks, heights = find_peaks(
                heat, window=self.peak_window, threshold=self.peak_threshold, most=self.max_things
            )
            instances = self.group_pixels(offset, is_thing, self.in_pixels(peaks), heights)
            return self._merge_semantic_and_instance(classes, confidence, is_thing, instances, heights)

    def at_pixels(
        self, outputs: Outputs, size: tuple[int, int] | None = None
    ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B 2 H W"]]:
        """Return class logits, and offsets in pixels, at the resolution of the image; see :meth:`decode`."""
        height, width = (side * self.stride for side in outputs.semantic.shape[-2:])
        rows, columns = size or (height, width)
        logits = upsample(outputs.semantic.float(), self.stride)[..., :rows, :columns]
        return logits, upsample(outputs.offset.float(), self.stride)[..., :rows, :columns] * self.stride

    def in_pixels(self, cells: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
        """Convert positions in cells of the heads' maps to pixels."""
        return (cells + 0.5) * self.stride - 0.5

    @torch.no_grad()
    def exceeds_limit(self, outputs: Outputs) -> Bool[Tensor, " B"]:
        """Return for each image whether it has more than ``max_things`` peaks, of which decoding keeps the highest.

        Args:
            outputs: Outputs of a network.
        """
        with torch.autocast(outputs.center.device.type, enabled=False):
            heat = outputs.center.float().sigmoid()
            return count_peaks(heat, window=self.peak_window, threshold=self.peak_threshold) > self.max_things

    def group_pixels(
        self,
        offset: Float[Tensor, "B 2 H W"],
        is_thing: Bool[Tensor, "B H W"],
        centers: Float[Tensor, "B K 2"],
        heights: Float[Tensor, "B K"],
    ) -> Int64[Tensor, "B H W"]:
        """Assign each pixel of a thing class to the nearest center, 1..K; 0 for other pixels and without centers."""
        counts = (heights > 0).sum(1)
        assigned = is_thing & (counts > 0)[:, None, None]
        return torch.where(assigned, nearest_center(offset, assigned, centers, counts) + 1, 0)

    def _merge_semantic_and_instance(
        self,
        classes: Int64[Tensor, "B H W"],
        confidence: Float[Tensor, "B H W"],
        is_thing: Bool[Tensor, "B H W"],
        instances: Int64[Tensor, "B H W"],
        heights: Float[Tensor, "B K"],
    ) -> Segments:
        """Merge K instances and C stuff classes to segments, and remove those with too few pixels."""
        ids, tally = self.count_candidates(classes, confidence, is_thing, instances, heights.shape[1])
        renumbered, segments = self.table(tally, heights)
        return replace(segments, ids=renumbered.gather(1, ids.flatten(1)).view_as(ids).int())

    def count_candidates(
        self,
        classes: Int64[Tensor, "B H W"],
        confidence: Float[Tensor, "B H W"],
        is_thing: Bool[Tensor, "B H W"],
        instances: Int64[Tensor, "B H W"],
        count: int,
    ) -> tuple[Int64[Tensor, "B H W"], Tally]:
        """Enumerate the candidates for segments, and count their pixels.

        Args:
            classes: Class of each pixel.
            confidence: Probability of that class.
            is_thing: Whether it is a thing class.
            instances: Thing of each pixel of a thing class, 1..K, or 0.
            count: Number of things, K.

        Returns:
            Candidate of each pixel: 0 is void, then come K things and C stuff classes. Counts of the candidates.
        """
        num_classes = self.labels.num_classes
        # Majority vote. Pixels outside of instances count for instance 0, which is dropped.
        votes = count_by_key((instances * num_classes + classes).flatten(1), (count + 1) * num_classes)
        ids = torch.where(is_thing, instances, count + 1 + classes)
        areas, sums = sum_by_key(ids.flatten(1), count + num_classes + 1, None, confidence.flatten(1))
        return ids, Tally(votes.unflatten(1, (count + 1, num_classes)), areas, sums)

    def table(self, tally: Tally, heights: Float[Tensor, "B K"]) -> tuple[Int64[Tensor, "B M"], Segments]:
        """Choose the candidates that become segments, with their classes and scores.

        Args:
            tally: Counts of the candidates.
            heights: Heights of the peaks of the things.

        Returns:
            Segment of each candidate, 0 for those that become void, and segments without a map.
        """
        batch, count = heights.shape
        thing_classes = tally.votes[:, 1:].argmax(2)
        stuff = torch.arange(self.labels.num_classes, device=heights.device).expand(batch, -1)
        table_classes = torch.cat([thing_classes, stuff], dim=1)
        mean = (tally.confidence / tally.areas.clamp(min=1))[:, 1:].float()
        scores = mean * torch.cat([heights, torch.ones_like(stuff).float()], dim=1)

        min_areas = torch.ones_like(tally.areas[0, 1:])
        min_areas[:count] = max(self.thing_area, 1)
        min_areas[count:] = max(self.stuff_area, 1)
        kept = tally.areas[:, 1:] >= min_areas
        renumbered = F.pad(kept.cumsum(1) * kept, (1, 0))
        order = torch.argsort((~kept).int(), dim=1, stable=True)[:, : max(int(kept.sum(1).max()), 1)]
        present = kept.gather(1, order)
        return renumbered, Segments(
            torch.zeros(batch, 0, 0, dtype=torch.int32, device=heights.device),
            torch.where(present, table_classes.gather(1, order), -1),
            torch.zeros_like(present),
            torch.where(present, scores.gather(1, order).clamp(max=1.0), 0.0),
        )


def _coordinates(size: tuple[int, int], device: torch.device) -> Float[Tensor, "2 h w"]:
    """Return row and column of each cell."""
    rows = torch.arange(size[0], device=device, dtype=torch.float32)
    columns = torch.arange(size[1], device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def upsample(maps: Float[Tensor, "B C h w"], stride: int) -> Float[Tensor, "B C H W"]:
    """Upsample maps to the resolution of the image."""
    return maps if stride == 1 else F.interpolate(maps, scale_factor=stride, mode="bilinear", align_corners=False)


def _heatmap(
    centers: Float[Tensor, "B N 2"], things: Bool[Tensor, "B N"], size: tuple[int, int], sigma: float
) -> Float[Tensor, "B h w"]:
    """Draw the maximum of Gaussian peaks at the cells nearest to the centers of things, truncated at three sigma."""
    height, width = size
    radius = math.ceil(3 * sigma)
    shift = torch.arange(-radius, radius + 1, device=centers.device)
    weight = torch.exp(-widest(shift**2) / (2 * sigma**2)).float()
    center = centers.round().long()
    rows = center[..., 0].clamp(0, height - 1)[..., None, None] + shift[:, None]
    columns = center[..., 1].clamp(0, width - 1)[..., None, None] + shift
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & things[..., None, None]
    index = torch.where(inside, rows * width + columns, height * width)  # others go to an extra cell
    peak = (weight[:, None] * weight).expand(index.shape)
    heat = centers.new_zeros(len(centers), height * width + 1)
    heat.scatter_reduce_(1, index.flatten(1), peak.flatten(1), "amax")
    return heat[:, :-1].unflatten(1, size)


def _gather_per_pixel(
    segments: Segments, *columns: Float[Tensor, "B N"] | Bool[Tensor, "B N"], void: tuple[float, ...]
) -> tuple[Float[Tensor, "B H W"], ...]:
    """Apply :meth:`Segments.per_pixel` to several columns together, as floats."""
    table = torch.stack([F.pad(column.float(), (1, 0), value=v) for column, v in zip(columns, void, strict=True)], 1)
    index = segments.ids.flatten(1).long()[:, None].expand(-1, len(columns), -1)
    return table.gather(2, index).unflatten(2, segments.size).unbind(1)
