"""TIFF files of any number of bands, pages and depth, with the package tifffile (the extra ``tiff``)."""

from __future__ import annotations

import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from panoptic.errors import InputError

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_RGB = 2  # photometric interpretation
_REDUCED = 1  # bit of the kind of a page: a smaller version of another


class Bands(NamedTuple):
    """Numbers of an image as they are stored.

    Attributes:
        values: Numbers of any kind.
        is_color: Whether the first three bands are red, green and blue.
    """

    values: Shaped[np.ndarray, "H W C"]
    is_color: bool


def is_tiff(path: str | os.PathLike) -> bool:
    """Return whether a file begins as a TIFF does."""
    if not os.path.isfile(path):  # opening a pipe would wait
        return False
    try:
        with open(path, "rb") as file:
            return file.read(4) in _TIFF
    except OSError:  # that it cannot be read, the reader of images says
        return False


def has_unusual_bands(path: str | os.PathLike) -> bool:
    """Return whether a file is a TIFF that Pillow would not read as what it is."""
    if not is_tiff(path):
        return False
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            samples: Any = getattr(image, "tag_v2", {}).get(277, 1)
            pages = getattr(image, "n_frames", 1)
            return image.mode == "F" or samples == 2 or (samples > 3 and image.mode != "CMYK") or pages > 1
    except Exception:  # a kind that Pillow does not know, or a damaged file
        return True


def read_tiff(path: str | os.PathLike) -> Bands:
    """Read the numbers of a TIFF file as they are stored; see :func:`panoptic.data.bands.read_bands`.

    Raises:
        InputError: If the file cannot be read, or the package tifffile is not installed.
    """
    try:
        import tifffile
    except ImportError:
        raise InputError(
            f"{path}: expected the package tifffile to read a TIFF of this kind, which is not installed: "
            "pip install 'panoptic-adaptive-fusion[tiff]'"
        ) from None
    try:
        with warnings.catch_warnings(), tifffile.TiffFile(path) as file:
            warnings.simplefilter("ignore")
            first: Any = file.pages[0]
            pages: list[Any] = [
                page for page in file.pages if page.shape == first.shape and not int(page.subfiletype) & _REDUCED
            ]
            size = first.imagelength * first.imagewidth
            if not 0 < size * len(pages) <= 2 * (Image.MAX_IMAGE_PIXELS or 1 << 28):
                raise InputError(f"{path}: expected at most 178 million pixels, got {len(pages)} pages of {size}")
            is_color = int(first.photometric) == _RGB and first.samplesperpixel >= 3 and len(pages) == 1
            bands = np.concatenate([_bands_of(page) for page in pages], axis=2)
            orientation = first.tags.get("Orientation")
    except InputError:
        raise
    except Exception as error:  # tifffile and its decoders raise many types
        raise InputError(f"{path}: expected an image that can be read, got a file that cannot: {error}") from error
    return Bands(_upright(bands, 1 if orientation is None else int(orientation.value)), is_color)


def _bands_of(page: Any) -> Shaped[np.ndarray, "H W C"]:
    """Decode a page, with its bands last."""
    values = np.asarray(page.asarray())
    if values.ndim == 2:
        return values[..., None]
    planes_first = values.shape[1:] == (page.imagelength, page.imagewidth) and int(page.planarconfig) == 2
    return np.moveaxis(values, 0, 2) if planes_first else values


def _upright(bands: np.ndarray, orientation: int) -> np.ndarray:
    """Turn bands as the orientation of TIFF and EXIF says."""
    if orientation in (5, 6, 7, 8):
        bands = bands.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        bands = bands[:, ::-1]
    if orientation in (3, 4, 7, 8):
        bands = bands[::-1]
    return bands
