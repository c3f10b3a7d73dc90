"""Position of GeoTIFF images on the Earth, kept for what is predicted of them.

PNG has no place for it. It is written beside the PNG as an auxiliary file of GDAL (``NAME.png.aux.xml``), which
geographic information systems read along. Format of the tags: OGC GeoTIFF 1.1 (19-008r4).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from panoptic.utils.files import naming, replacing

_SCALE, _TIE_POINT, _TRANSFORMATION, _KEYS, _ORIENTATION = 33550, 33922, 34264, 34735, 274
_RASTER_TYPE, _GEODETIC, _PROJECTED = 1025, 2048, 3072
_POINT = 2  # raster type: a position is that of the center of a pixel
_EPSG = range(1024, 32767)


@dataclass(frozen=True)
class Georeference:
    """Affine map from pixels to coordinates, and the system of these.

    Attributes:
        transform: ``(x, dx/dcolumn, dx/drow, y, dy/dcolumn, dy/drow)``, with x and y of the upper left corner of the
            upper left pixel, as GDAL has it.
        epsg: EPSG code of the coordinate reference system; ``None`` if the file names none.
    """

    transform: tuple[float, float, float, float, float, float]
    epsg: int | None

    def to_xml(self) -> str:
        """Return the content of an auxiliary file."""
        system = "" if self.epsg is None else f"  <SRS>EPSG:{self.epsg}</SRS>\n"
        numbers = ", ".join(repr(number) for number in self.transform)
        return f"<PAMDataset>\n{system}  <GeoTransform>{numbers}</GeoTransform>\n</PAMDataset>\n"


def read_georeference(path: str | os.PathLike) -> Georeference | None:
    """Read the position of an image; ``None`` if it has none, or none that one affine map describes.

    Args:
        path: Path of an image of any kind, that has been read before.
    """
    tags = _tags(path)
    if tags.get(_ORIENTATION, (1,))[0] != 1:  # the image is turned when it is read
        return None
    keys = _keys(tags.get(_KEYS, ()))
    transform = _transform(tags)
    if transform is None:
        return None
    if keys.get(_RASTER_TYPE) == _POINT:
        x, x_column, x_row, y, y_column, y_row = transform
        transform = (x - (x_column + x_row) / 2, x_column, x_row, y - (y_column + y_row) / 2, y_column, y_row)
    code = keys.get(_PROJECTED, keys.get(_GEODETIC))
    return Georeference(transform, code if code in _EPSG else None)


def write_georeference(georeference: Georeference, image: Path) -> None:
    """Write the auxiliary file of an image.

    Args:
        georeference: Position of the image.
        image: Path of the image; ``.aux.xml`` is appended to its name.

    Raises:
        OSError: If the file cannot be written.
    """
    path = image.with_name(f"{image.name}.aux.xml")
    with naming(path), replacing(path) as part:
        part.write_text(georeference.to_xml(), encoding="utf-8")


def _tags(path: str | os.PathLike) -> dict[int, Sequence[Any]]:
    """Return the tags of a TIFF that matter here; none of other files."""
    numbers = (_SCALE, _TIE_POINT, _TRANSFORMATION, _KEYS, _ORIENTATION)
    with open(path, "rb") as file:
        if file.read(2) not in (b"II", b"MM"):
            return {}
    with suppress(Exception), Image.open(path, formats=["TIFF"]) as image:
        stored: Any = getattr(image, "tag_v2", {})
        return {number: _sequence(stored[number]) for number in numbers if number in stored}
    with suppress(Exception):  # of kinds that Pillow does not know
        import tifffile

        with tifffile.TiffFile(path) as opened:
            page: Any = opened.pages[0]
            return {number: _sequence(page.tags[number].value) for number in numbers if number in page.tags}
    return {}


def _sequence(value: Any) -> Sequence[Any]:
    return tuple(value) if isinstance(value, (tuple, list)) else (int(value),)


def _transform(tags: Mapping[int, Sequence[Any]]) -> tuple[float, float, float, float, float, float] | None:
    scale, tie_point = tags.get(_SCALE, ()), tags.get(_TIE_POINT, ())
    matrix = [float(number) for number in tags.get(_TRANSFORMATION, ())]
    if len(matrix) == 16:
        return (matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5])
    if len(scale) < 2 or len(tie_point) != 6:  # more points are control points, which no affine map fits
        return None
    across, down = float(scale[0]), float(scale[1])
    column, row, _, x, y, _ = (float(number) for number in tie_point)
    return (x - column * across, across, 0.0, y + row * down, 0.0, -down)


def _keys(directory: Sequence[Any]) -> dict[int, int]:
    """Return the keys whose values stand in the directory itself, as codes do."""
    entries = [directory[i : i + 4] for i in range(4, len(directory) - 3, 4)]
    return {int(key): int(value) for key, location, _, value in entries if location == 0}
