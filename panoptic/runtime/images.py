"""Images that a predictor takes: paths, pictures of Pillow, and arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from panoptic.errors import InputError
from panoptic.utils import pictures
from panoptic.utils.pictures import by_percentiles


def to_array(image: Any, bands: int = 3, scaled: bool = False) -> np.ndarray:
    """Return an image as an array, uint8 ``[H W bands]``, upright and converted as image files are elsewhere.

    Args:
        image: Path of an image file, picture of Pillow, or array ``[H W bands]``: uint8, or to be scaled any numbers.
        bands: Number of bands. Files and pictures have three.
        scaled: Whether to scale pictures and arrays by percentiles (``data.normalize=percentile``).

    Raises:
        InputError: If it is none of these, or the file cannot be read.
    """
    if bands != 3 and isinstance(image, (Image.Image, str, os.PathLike)):  # of a network with no reading of its own
        raise InputError(
            f"image: expected an array uint8 [H W {bands}], since the network takes {bands} bands, got "
            f"{'a picture' if isinstance(image, Image.Image) else image}"
        )
    if isinstance(image, Image.Image):
        try:
            if not scaled:
                return _array_of(image)
            if image.mode == "F" or image.mode.startswith("I"):
                return by_percentiles(np.repeat(np.asarray(pictures.turned(image))[..., None], 3, axis=2))
            return by_percentiles(_array_of(image))
        except ValueError as error:
            raise InputError(f"image: expected a picture that can be read as RGB: {error}") from None
    if isinstance(image, (str, os.PathLike)):
        with pictures.open_image(image) as picture:
            return _array_of(picture)
    kind = f"{'of numbers' if scaled else 'uint8'} [H W {bands}]"
    is_array = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == bands and image.size > 0
    if not is_array or not (image.dtype == np.uint8 or (scaled and image.dtype.kind in "iuf")):
        received = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image: expected a path, a picture of Pillow or an array {kind}, got {received}")
    return by_percentiles(image) if scaled else image


def read_as_trained(path: str | os.PathLike, reading: Mapping[str, Any]) -> np.ndarray:
    """Read an image file as those of the training data were read.

    Args:
        path: Path of the image file.
        reading: Chosen bands and normalization; see :class:`panoptic.runtime.record.Record`.

    Raises:
        InputError: If the file cannot be read, or a package that reads it is not installed.
    """
    try:
        from panoptic.data.bands import Reading
    except ImportError as error:
        raise InputError(
            f"{path}: expected the package {error.name} to read it with {_settings(reading)}, as the training data "
            "were, which is not installed; an array of the bands needs none"
        ) from None
    return Reading.of(reading.get("channels"), str(reading.get("normalize", "range"))).read(path)


def _settings(reading: Mapping[str, Any]) -> str:
    return " and ".join(f"data.{key}={value}" for key, value in reading.items() if value is not None)


def _array_of(picture: Image.Image) -> np.ndarray:
    return np.asarray(pictures.to_rgb(pictures.turned(picture)))
