"""Image files opened and converted with Pillow. Imports neither torch nor OpenCV."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from panoptic.errors import InputError

# Pillow's other formats are excluded on purpose: some run external programs (EPS), some hold many images.
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")

PERCENTILES = (1.0, 99.8)
"""Percentiles of a band that become 0 and 255, those of StarDist and of many microscopists."""

_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE_OF = {  # transposition that makes an image upright, by value of the tag; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def open_image(path: str | os.PathLike, verify: bool = False) -> Iterator[Image.Image]:
    """Open and decode an image; turn any error inside the ``with`` block into an InputError that names the file.

    Args:
        path: Path of the image file.
        verify: Whether to verify checksums first, since Pillow decodes some damaged files without an error.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: expected an image, got a path that is not there")
    if os.path.isdir(path):
        raise InputError(f"{path}: expected an image, got a folder")
    if not os.path.isfile(path):  # a device or a pipe
        raise InputError(f"{path}: expected an image, got no regular file")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: expected an image, got an empty file")
    try:
        with warnings.catch_warnings():
            # Warnings concern large images and invalid metadata; if pixels are missing, decoding fails below.
            warnings.simplefilter("ignore")
            if verify:
                with Image.open(path, formats=_FORMATS) as image:
                    image.verify()
            with Image.open(path, formats=_FORMATS) as image:
                image.load()
                yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: expected an image ({', '.join(_FORMATS)}), got a file of another kind") from error
    except Exception as error:  # decoders raise many types on damaged files: SyntaxError, struct.error, ...
        raise InputError(f"{path}: expected an image that can be read, got a file that cannot: {error}") from error


def turned(image: Image.Image) -> Image.Image:
    """Return an image with the orientation of its EXIF data applied; the same image if it is upright."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels may be intact although the metadata is damaged
        return image
    return image.transpose(_TRANSPOSE_OF[orientation]) if orientation in _TRANSPOSE_OF else image


def shown_bands(image: np.ndarray) -> np.ndarray:
    """Return what pictures show of an image: its first three bands as red, green and blue, black for those it lacks.

    Args:
        image: Image, uint8 ``[H W bands]``.

    Returns:
        RGB image, uint8 ``[H W 3]``; the same array if it has three bands.
    """
    bands = image.shape[2]
    if bands == 3:
        return image
    return np.ascontiguousarray(image[..., :3]) if bands > 3 else np.pad(image, ((0, 0), (0, 0), (0, 3 - bands)))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any pixel format to 8-bit RGB."""
    if image.mode.startswith("I"):  # 16-bit grayscale; older releases of Pillow read PNG as "I", with 32 bits
        gray = np.asarray(image).astype(np.int64)
        if gray.min() < 0 or gray.max() > 65535:
            raise ValueError(f"grey values of at most 16 bits can be read, these go from {gray.min()} to {gray.max()}")
        return Image.fromarray(((gray + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("grey values of 8 or 16 bits can be read, these are floating-point numbers")
    if image.has_transparency_data:
        if image.mode in ("La", "PA"):  # no direct conversion to RGBA
            image = image.convert("LA" if image.mode == "La" else "RGBA")
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def by_percentiles(bands: np.ndarray) -> np.ndarray:
    """Scale the :data:`PERCENTILES` of each band to 0 and 255; numbers that are not finite become 0.

    Args:
        bands: Numbers of any kind, ``[H W C]``.

    Returns:
        Scaled bands, uint8 ``[H W C]``.
    """
    if bands.dtype in (np.uint8, np.uint16):
        return np.stack([_by_table(band) for band in np.moveaxis(bands, 2, 0)], axis=2)
    values = bands.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    known = ~np.isnan(values).all((0, 1))
    low, high = np.zeros(values.shape[2]), np.ones(values.shape[2])
    if known.any():
        low[known], high[known] = np.nanpercentile(values[..., known], PERCENTILES, axis=(0, 1))
    return _between(values, low, high)


def _by_table(band: np.ndarray) -> np.ndarray:
    """Do the same for a band of 8 or 16 bits by a histogram and a table, which is faster."""
    places = np.array(PERCENTILES) / 100 * (band.size - 1)
    up_to = np.cumsum(np.bincount(band.ravel()))
    below, above = (np.searchsorted(up_to, place, side="right") for place in (np.floor(places), np.ceil(places)))
    low, high = below + (above - below) * (places % 1)
    return _between(np.arange(len(up_to)), low, high)[band]


def _between(values: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Scale numbers from between two others to 0..255."""
    scaled = (values - low) / np.where(high > low, np.subtract(high, low), 1.0)
    return np.nan_to_num(scaled.clip(0, 1) * 255).round().astype(np.uint8)
