"""Panoptic segments, the common format of ground truth and predictions.

Readers return them, augmentations transform them, and metrics and writers take them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Int32, Int64
from torch import Tensor

from panoptic.utils.counting import count_by_key

VOID = 255
"""Class of pixels without a segment, in semantic maps."""


@dataclass(frozen=True)
class Segments:
    """Map of segment ids and table of segments, for one image or a batch.

    Attributes:
        ids: Segment id of each pixel. ``0`` is void, ``i`` is row ``i - 1`` of the table.
        classes: Class of each segment in ``0..C-1``. ``-1`` marks padding rows, which have no pixels.
        crowd: Whether each segment is a group of things that are not separated. Never true for stuff.
        scores: Confidence of each segment in 0..1, for predictions.
    """

    ids: Int32[Tensor, "*batch H W"]
    classes: Int64[Tensor, "*batch N"]
    crowd: Bool[Tensor, "*batch N"]
    scores: Float[Tensor, "*batch N"] | None = None

    @property
    def is_batch(self) -> bool:
        """Whether this holds a batch of images."""
        return self.ids.ndim == 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.ids.shape[-2], self.ids.shape[-1]

    def areas(self) -> Int64[Tensor, "*batch N"]:
        """Compute the area of each segment in pixels."""
        flat = self.ids.flatten(-2)
        counts = count_by_key(flat if self.is_batch else flat[None], self.classes.shape[-1] + 1)[:, 1:]
        return counts if self.is_batch else counts[0]

    def semantic(self) -> Int64[Tensor, "*batch H W"]:
        """Return the class of each pixel, :data:`VOID` where there is no segment."""
        return self.per_pixel(self.classes, VOID)

    def per_pixel(self, values: Tensor, void: int | float) -> Tensor:
        """Map a value per segment to the pixels.

        Args:
            values: Value of each segment ``[*batch N]``.
            void: Value of pixels without a segment.

        Returns:
            Value of each pixel ``[*batch H W]``.
        """
        padded = torch.cat([values.new_full((*values.shape[:-1], 1), void), values], dim=-1)
        return padded.gather(-1, self.ids.flatten(-2).long()).unflatten(-1, self.size)

    def compact(self) -> Segments:
        """Remove table rows without pixels; ids become ``1..N`` in the same order.

        Raises:
            ValueError: If called on a batch.
        """
        if self.is_batch:
            raise ValueError("compact: expected the segments of one image, got a batch; call unstack first")
        kept = self.areas() > 0
        renumbered = torch.cat([kept.new_zeros(1, dtype=torch.int32), kept.cumsum(0, dtype=torch.int32)])
        return Segments(
            renumbered.index_select(0, self.ids.flatten()).view_as(
                self.ids
            ),  # several times as fast as renumbered[ids]
            self.classes[kept],
            self.crowd[kept],
            None if self.scores is None else self.scores[kept],
        )

    def padded(self, size: tuple[int, int]) -> Segments:
        """Pad the map with void at the right and bottom.

        Args:
            size: Height and width of the result, at least those of the map.
        """
        missing = (0, size[1] - self.size[1], 0, size[0] - self.size[0])
        return replace(self, ids=torch.nn.functional.pad(self.ids, missing)) if any(missing) else self

    def to(self, *args: Any, **kwargs: Any) -> Segments:
        """Move all tensors to a device, with the arguments of :meth:`torch.Tensor.to`."""
        return self._map(lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self, device: torch.device | str | None = None) -> Segments:
        """Copy all tensors to page-locked memory."""
        return self._map(lambda tensor: tensor.pin_memory())

    def share_memory(self) -> Segments:
        """Move all tensors to shared memory, and return them."""
        return self._map(lambda tensor: tensor.share_memory_())

    def _map(self, function: Callable[[Tensor], Tensor]) -> Segments:
        scores = None if self.scores is None else function(self.scores)
        return replace(
            self, ids=function(self.ids), classes=function(self.classes), crowd=function(self.crowd), scores=scores
        )

    @classmethod
    def from_maps(
        cls,
        semantic: Tensor,
        instances: Tensor,
        crowd: Tensor | None = None,
    ) -> Segments:
        """Create the segments of one image from maps of classes and instance numbers.

        Pixels with the same class and instance number form a segment; the numbers themselves have no meaning.

        Args:
            semantic: Class of each pixel ``[H W]``, :data:`VOID` where there is none.
            instances: Instance number of each pixel within its class ``[H W]``; a single number, such as 0, for stuff.
            crowd: Whether each pixel belongs to a crowd ``[H W]``. By default none does.

        Raises:
            ValueError: If the maps differ in size, are not two-dimensional or are not integers, or a class is negative.
        """
        crowd = torch.zeros_like(semantic, dtype=torch.bool) if crowd is None else crowd
        if not semantic.shape == instances.shape == crowd.shape:
            shapes = ", ".join(str(list(part.shape)) for part in (semantic, instances, crowd))
            raise ValueError(f"from_maps: expected maps of one size, got {shapes}")
        if semantic.ndim != 2 or semantic.is_floating_point() or instances.is_floating_point():
            kinds = f"{semantic.dtype} {list(semantic.shape)} and {instances.dtype} {list(instances.shape)}"
            raise ValueError(f"from_maps: expected maps [H W] of whole numbers, got {kinds}")
        if semantic.numel() and semantic.min() < 0:
            raise ValueError(
                f"from_maps: expected classes of at least 0, and {VOID} for void, got {int(semantic.min())}"
            )
        void = semantic == VOID
        columns = torch.stack([semantic.long(), instances.long(), crowd.long()], -1)
        table, row = columns[~void].unique(dim=0, return_inverse=True)
        ids = torch.zeros_like(semantic, dtype=torch.int32)
        ids[~void] = row.int() + 1
        return cls(ids, table[:, 0], table[:, 2].bool())

    @classmethod
    def stack(cls, items: Sequence[Segments]) -> Segments:
        """Stack images to a batch, padding maps with void at the right and bottom, and tables with class ``-1``.

        Args:
            items: Segments of one image each.

        Raises:
            ValueError: If there are no items, or only some have scores.
        """
        if not items:
            raise ValueError("stack: expected at least one item, got none")
        with_scores = {item.scores is not None for item in items}
        if len(with_scores) > 1:
            raise ValueError("stack: expected all or none of the items to have scores, got some with and some without")
        height = max(item.size[0] for item in items)
        width = max(item.size[1] for item in items)
        rows = max(item.classes.shape[0] for item in items)

        def table(name: str, fill: int | float) -> Tensor:
            columns = [getattr(item, name) for item in items]
            return torch.stack([torch.nn.functional.pad(c, (0, rows - len(c)), value=fill) for c in columns])

        maps = [
            torch.nn.functional.pad(item.ids, (0, width - item.size[1], 0, height - item.size[0])) for item in items
        ]
        scores = table("scores", 0.0) if with_scores == {True} else None
        return cls(torch.stack(maps), table("classes", -1), table("crowd", False), scores)

    def unstack(self, sizes: Int[Tensor, "B 2"] | Sequence[tuple[int, int]] | None = None) -> list[Segments]:
        """Split a batch into images without padding rows.

        Args:
            sizes: Height and width of each image, to which it is cropped. By default images are not cropped.
        """
        images = []
        for i in range(self.ids.shape[0]):
            height, width = self.size if sizes is None else (int(v) for v in sizes[i])
            rows = int((self.classes[i] >= 0).sum())
            scores = None if self.scores is None else self.scores[i, :rows]
            images.append(Segments(self.ids[i, :height, :width], self.classes[i, :rows], self.crowd[i, :rows], scores))
        return images
