"""Result of a prediction for one image, from plain arrays. Does not import torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.utils.pictures import shown_bands
from panoptic.visualization.painting import color_table, paint

SHOWN = 12
"""Maximum number of segments listed in a notebook."""


@dataclass(frozen=True)
class Segment:
    """Segment of an image.

    Attributes:
        id: Value of its pixels in :attr:`Result.ids`, from 1.
        category: Name of its category.
        isthing: Whether it is a thing, otherwise stuff.
        class_index: Position of its category in the label space.
        score: Confidence in 0..1.
        area: Number of pixels.
        box: Left column, top row, width and height in pixels.
    """

    id: int
    category: str
    isthing: bool
    class_index: int
    score: float
    area: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Segments of one image.

    Attributes:
        ids: Segment of each pixel, int32 ``[H W]``; 0 is void.
        segments: Segments: things by descending height of their peak, then stuff by class.
        labels: Label space.
        complexity: Object density and scale variance of the image ``[2]``, as predicted.
        alpha: Fusion weights of the levels, fine to coarse ``[L]``, averaged over places.
        image: RGB image, uint8 ``[H W 3]``, to draw on.
    """

    ids: np.ndarray
    segments: Sequence[Segment]
    labels: LabelSpace
    complexity: np.ndarray | None = None
    alpha: np.ndarray | None = None
    image: np.ndarray | None = field(default=None)

    @classmethod
    def from_tables(  # a column each
        cls,
        ids: np.ndarray,
        classes: np.ndarray,
        scores: np.ndarray,
        labels: LabelSpace,
        *,
        areas: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
        complexity: np.ndarray | None = None,
        alpha: np.ndarray | None = None,
        image: np.ndarray | None = None,
    ) -> Result:
        """Create a result from a map of ids and columns of a table; rows of class -1 are padding.

        Args:
            ids: Segment of each pixel ``[H W]``; 0 is void, ``i`` is row ``i - 1`` of the table.
            classes: Class of each segment ``[N]``.
            scores: Confidence of each segment ``[N]``.
            labels: Label space.
            areas: Number of pixels of each segment ``[N]``. By default they are counted.
            boxes: Left column, top row, width and height of each segment ``[N 4]``. By default they are found.
            complexity: Object density and scale variance of the image ``[2]``.
            alpha: Fusion weights of the levels ``[L]``.
            image: Image, uint8 ``[H W 3]`` or with other bands, of which the first three are shown.
        """
        areas = np.bincount(ids.ravel(), minlength=len(classes) + 1)[1:] if areas is None else areas
        boxes = boxes_of(ids, len(classes)) if boxes is None else boxes
        columns = (column.tolist() for column in (classes, scores, areas, boxes))
        segments = tuple(
            Segment(row + 1, labels.names[c], labels.is_thing[c], c, score, area, tuple(box))
            for row, (c, score, area, box) in enumerate(zip(*columns, strict=True))
            if c >= 0
        )
        shown = None if image is None else shown_bands(image)
        return cls(ids.astype(np.int32, copy=False), segments, labels, complexity, alpha, shown)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.ids.shape[0], self.ids.shape[1]

    def mask(self, segment: int | Segment) -> np.ndarray:
        """Return the pixels of a segment, bool ``[H W]``.

        Args:
            segment: Segment, or its id; 0 gives void.

        Raises:
            InputError: If there is no such segment.
        """
        number = segment.id if isinstance(segment, Segment) else segment
        if number != 0 and number not in {each.id for each in self.segments}:
            raise InputError(f"segment: expected the id of one of {len(self.segments)} segments, got {number}")
        return self.ids == number

    def semantic(self, void: int = 255) -> np.ndarray:
        """Return the class of each pixel, uint8 ``[H W]``.

        Args:
            void: Value of pixels without a segment.
        """
        table = np.full(self._rows() + 1, void, dtype=np.uint8)
        for segment in self.segments:
            table[segment.id] = segment.class_index
        return table[self.ids]

    def overlay(self, strength: float = 0.5, image: np.ndarray | None = None) -> Image.Image:
        """Draw the segments on the image in the colors of their categories; void keeps the color of the image.

        Args:
            strength: Weight of the colors in 0..1; 0 draws contours only.
            image: RGB image to draw on, uint8 ``[H W 3]``. By default that of the prediction, or black without one.

        Raises:
            InputError: If the strength is out of range, or the image has another size.
        """
        if not 0 <= strength <= 1:
            raise InputError(f"strength: expected 0..1, got {strength}")
        image = self.image if image is None else image
        if image is None:
            image, strength = np.zeros((*self.size, 3), dtype=np.uint8), 1.0
        if image.shape != (*self.size, 3):
            raise InputError(f"image: expected {[*self.size, 3]}, the size of the segments, got {list(image.shape)}")
        classes = np.full(self._rows(), -1)
        for segment in self.segments:
            classes[segment.id - 1] = segment.class_index
        return Image.fromarray(paint(image, self.ids, color_table(classes, self.labels), strength))

    def to_coco(self) -> tuple[Image.Image, list[dict[str, Any]]]:
        """Return the picture of ids and the ``segments_info`` of COCO panoptic format.

        The id of a pixel is R + 256 G + 256² B.
        """
        shifts = np.array([0, 8, 16], dtype=np.int32)
        picture = Image.fromarray(((self.ids[..., None] >> shifts) & 255).astype(np.uint8))
        infos: list[dict[str, Any]] = [
            {
                "id": segment.id,
                "category_id": self.labels.categories[segment.class_index].id,
                "area": segment.area,
                "bbox": list(segment.box),
                "iscrowd": 0,
                "score": segment.score,
            }
            for segment in self.segments
        ]
        return picture, infos

    def to_transformers(self) -> dict[str, Any]:
        """Return ``segmentation`` and ``segments_info`` as of ``post_process_panoptic_segmentation`` of transformers.

        The map is an array of int32 in place of a tensor. ``label_id`` is the class; stuff of a class is one segment,
        which transformers calls fused.
        """
        infos = [
            {"id": s.id, "label_id": s.class_index, "was_fused": not s.isthing, "score": s.score} for s in self.segments
        ]
        return {"segmentation": self.ids, "segments_info": infos}

    def to_supervision(self) -> Any:
        """Return the segments as ``supervision.Detections``, with masks.

        Raises:
            InputError: If the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError:
            raise InputError(
                "to_supervision: expected the package supervision, got none; pip install supervision"
            ) from None
        boxes = np.array([s.box for s in self.segments], dtype=np.float32).reshape(-1, 4)
        masks = [self.ids == s.id for s in self.segments]
        return supervision.Detections(
            xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
            mask=np.stack(masks) if masks else np.zeros((0, *self.size), dtype=bool),
            confidence=np.array([s.score for s in self.segments], dtype=np.float32),
            class_id=np.array([s.class_index for s in self.segments], dtype=np.int64),
            data={"class_name": np.array([s.category for s in self.segments], dtype=str)},
        )

    def _rows(self) -> int:
        """Return the number of rows that a table by id needs."""
        return max((segment.id for segment in self.segments), default=0)

    def __repr__(self) -> str:
        things = sum(segment.isthing for segment in self.segments)
        return f"Result({self.size[1]} x {self.size[0]}, {things} things, {len(self.segments) - things} stuff)"

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.overlay().save(stream, format="PNG")
        return stream.getvalue()

    def _repr_html_(self) -> str:
        import base64
        from html import escape

        picture = base64.b64encode(self._repr_png_()).decode()
        rows = "".join(
            f"<tr><td>{s.id}</td><td>{escape(s.category)}</td><td>{s.score:.2f}</td><td>{s.area}</td></tr>"
            for s in self.segments[:SHOWN]
        )
        more = f"<p>and {len(self.segments) - SHOWN} more</p>" if len(self.segments) > SHOWN else ""
        return (
            f'<p>{escape(repr(self))}</p><img src="data:image/png;base64,{picture}">'
            f"<table><tr><th>id</th><th>category</th><th>score</th><th>area</th></tr>{rows}</table>{more}"
        )


def boxes_of(ids: np.ndarray, count: int) -> np.ndarray:
    """Return left column, top row, width and height of the segments 1..count, int64 ``[count 4]``; 0 without pixels.

    Args:
        ids: Segment of each pixel ``[H W]``; 0 is void.
        count: Number of segments.
    """
    ends = []
    for axis in (1, 0):  # columns, rows
        length = ids.shape[axis]
        place = np.arange(length) if axis == 1 else np.arange(length)[:, None]
        seen = np.zeros((count + 1) * length, dtype=bool)
        seen[ids.astype(np.int64) * length + place] = True
        seen = seen.reshape(count + 1, length)[1:]
        first, last = seen.argmax(1), length - seen[:, ::-1].argmax(1)
        ends.append((first, np.where(seen.any(1), last - first, 0)))
    (left, width), (top, height) = ends
    return np.stack([left, top, width, height], axis=1)
