"""Objects as masks cut to their box, from polygons, run lengths or maps, and their drawing into one map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from panoptic.data.convert.records import Truth
from panoptic.errors import InputError


@dataclass(frozen=True)
class Drawn:
    """One object of an image.

    Attributes:
        mask: Pixels within its box.
        top: First row of the box.
        left: First column of the box.
        c: Class.
        crowd: Whether it is a group of things that are not separated.
        clipped: Whether a part of it lies outside the image.
        layer: Objects of a higher layer are on top, whatever their size.
    """

    mask: Bool[np.ndarray, "h w"]
    top: int
    left: int
    c: int
    crowd: bool = False
    clipped: bool = False
    layer: int = 0

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "H W"], c: int, **options: Any) -> Drawn:
        """Cut a mask of the whole image to its box.

        Args:
            mask: Pixels of the object.
            c: Class.
            options: Further attributes.
        """
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return cls(mask[:0, :0], 0, 0, c, **options)
        cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
        return cls(cut, int(rows[0]), int(columns[0]), c, **options)


def draw(objects: Iterable[Drawn], size: tuple[int, int]) -> Truth:
    """Draw objects into one map: the smaller on top, of equal ones the later. Crowds lie under single objects.

    Args:
        objects: Objects of one image.
        size: Height and width of the image.
    """
    listed = list(objects)
    areas = [int(o.mask.sum()) for o in listed]
    ids = np.zeros(size, np.int32)
    covered = np.zeros(size, bool)
    twice = np.zeros(size, bool)
    for i in sorted(range(len(listed)), key=lambda i: (not listed[i].crowd, listed[i].layer, -areas[i])):
        drawn = listed[i]
        box = np.s_[drawn.top : drawn.top + drawn.mask.shape[0], drawn.left : drawn.left + drawn.mask.shape[1]]
        twice[box] |= covered[box] & drawn.mask
        covered[box] |= drawn.mask
        ids[box][drawn.mask] = i + 1
    seen = np.bincount(ids.ravel(), minlength=len(listed) + 1)[1:]
    counts = Counter(
        clipped=sum(o.clipped for o in listed),
        overlapped=int(twice.sum()),
        hidden=sum(area > 0 and not left for area, left in zip(areas, seen, strict=True)),
        tiny=sum(area == 0 for area in areas),
    )
    return Truth(ids, [o.c for o in listed], [o.crowd for o in listed], counts)


def joined(parts: list[Drawn], size: tuple[int, int]) -> Drawn:
    """Return the shapes of one object as one."""
    if len(parts) == 1:
        return parts[0]
    whole = np.zeros(size, bool)
    for part in parts:
        whole[part.top : part.top + part.mask.shape[0], part.left : part.left + part.mask.shape[1]] |= part.mask
    top = max(part.layer for part in parts)
    return Drawn.of(whole, parts[0].c, clipped=any(part.clipped for part in parts), layer=top)


LARGEST = 1e6
"""Largest coordinate that is drawn; memory grows with it."""


def polygon_mask(polygons: Sequence[Any], size: tuple[int, int], where: str) -> tuple[Bool[np.ndarray, "H W"], bool]:
    """Draw the union of polygons, and return it and whether a part lies outside the image.

    Args:
        polygons: Polygons, each a flat list of x and y of at least three points, in pixels.
        size: Height and width of the image.
        where: File and object, for error messages.

    Raises:
        InputError: If a polygon is no polygon, or lies outside the image.
    """
    from panoptic.data.convert.cocotools import mask_tools

    if not polygons:
        raise InputError(f"{where}: expected a polygon, got none")
    clipped = False
    for polygon in polygons:
        clipped |= _check_polygon(polygon, size, where)
    rings = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons]
    points = np.concatenate(rings)
    # Within their box alone, which takes a fraction of the time in a large image. Its corner has whole numbers, so that
    # the pixels are those that the library draws on the whole image.
    left, top = np.maximum(np.floor(points.min(0)), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(points.max(0)) + 1, size[::-1]).astype(int).tolist()
    tools = mask_tools()
    shifted = [(ring - (left, top)).ravel().tolist() for ring in rings]
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = tools.decode(tools.merge(tools.frPyObjects(shifted, bottom - top, right - left)))
    return mask, clipped


def is_coordinate(value: Any) -> bool:
    """Return whether a value is a number that can be a coordinate: not nan, and not beyond :data:`LARGEST`."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def _check_polygon(polygon: Any, size: tuple[int, int], where: str) -> bool:
    """Return whether a part of a polygon lies outside the image."""
    if not isinstance(polygon, (list, tuple)) or len(polygon) < 6 or len(polygon) % 2:
        got = f"{len(polygon)} numbers" if isinstance(polygon, (list, tuple)) else repr(polygon)[:100]
        raise InputError(f"{where}: expected x and y of at least three points, got {got}")
    for value in polygon:
        if not is_coordinate(value):
            raise InputError(f"{where}: expected coordinates in pixels, got {value!r}")
    height, width = size
    left, top, right, bottom = min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise InputError(
            f"{where}: expected a polygon in its image of {width} x {height} pixels, got one outside it, "
            f"x {left:g} to {right:g}, y {top:g} to {bottom:g}"
        )
    return left < 0 or top < 0 or right > width or bottom > height


def run_length_mask(runs: dict[str, Any], size: tuple[int, int], where: str) -> Bool[np.ndarray, "H W"]:
    """Decode a mask of COCO's run lengths, compressed (text) or not (a list).

    Args:
        runs: Object with ``counts`` and ``size``.
        size: Height and width of the image.
        where: File and object, for error messages.

    Raises:
        InputError: If they are not of this size, or no run lengths.
    """
    from panoptic.data.convert.cocotools import mask_tools

    given, counts = runs.get("size"), runs.get("counts")
    if not isinstance(given, list) or given != list(size):
        raise InputError(f"{where}: expected run lengths of the image's height and width {list(size)}, got {given!r}")
    if isinstance(counts, str):
        counts = _uncompressed(counts)
    total = size[0] * size[1]
    if not isinstance(counts, list) or any(type(n) is not int or not 0 <= n <= total for n in counts):
        raise InputError(f"{where}: expected 'counts' to be run lengths, got {str(runs.get('counts'))[:60]!r}")
    if sum(counts) != total:
        raise InputError(
            f"{where}: expected run lengths that sum to the {total} pixels of the image, got {sum(counts)}"
        )
    tools = mask_tools()
    return tools.decode(tools.frPyObjects({"counts": counts, "size": given}, *size)).astype(bool)


def _uncompressed(text: str) -> list[int] | None:
    """Return the run lengths of COCO's compressed text, or ``None`` if it is none.

    The library decodes text that does not fit the image without complaint, so that it has to be checked first: a number
    is written in groups of five bits, the lowest first, each as a character from ``0`` on, whose sixth bit says that
    more follow; from the fourth on they are differences from the number before the last.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                number -= 1 << shift
            counts.append(number + counts[-2] if len(counts) > 2 else number)
            number = shift = 0
    return counts if not shift else None
