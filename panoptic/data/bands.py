"""Images of any number of bands and any depth, as the bands of 8 bits that a network takes: three, or those chosen.

An ordinary photo is read by :func:`panoptic.data.images.read_image`. Microscopes and satellites give more: 16 bits of
which they use some, floating-point numbers, bands beyond the visible. Which bands to take and how to scale them are
settings of a data set (``data.channels``, ``data.normalize``), and are kept in checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from panoptic.data.images import read_image
from panoptic.data.tiff import Bands, has_unusual_bands, is_tiff, read_tiff
from panoptic.errors import InputError
from panoptic.utils.pictures import PERCENTILES, by_percentiles, open_image, turned

NORMALIZATIONS = ("range", "percentile")

SIDE_OF_RANGE = 512
"""Side, in pixels, to which larger images are thinned out to find the range they use."""

LITTLE_USED = 0.25
"""Share of the range of 16 bits below which an image is remarked on."""

MOST_BANDS = 64
"""Largest number of bands of a network's images."""


@dataclass(frozen=True)
class Reading:
    """How the image files of a data set are read.

    Attributes:
        channels: Numbers of the bands, from 1. Three become red, green and blue, one becomes gray in all three; a
            network takes any other number as it is, and pictures show the first three. By default the first three of
            color images, and the one band of others.
        normalize: ``range`` scales the whole range of 8 or 16 bits to 0..255. ``percentile`` scales the
            :data:`~panoptic.utils.pictures.PERCENTILES` of each band of each image, and takes numbers of any kind.

    Raises:
        InputError: If a setting is out of range.
    """

    channels: tuple[int, ...] | None = None
    normalize: str = "range"

    def __post_init__(self) -> None:
        if self.channels is not None and not (1 <= len(self.channels) <= MOST_BANDS and min(self.channels) >= 1):
            raise InputError(
                f"data.channels: expected 1 to {MOST_BANDS} band numbers from 1, got {list(self.channels)}"
            )
        if self.normalize not in NORMALIZATIONS:
            raise InputError(f"data.normalize: expected {' or '.join(NORMALIZATIONS)}, got {self.normalize!r}")

    @classmethod
    def of(cls, channels: Sequence[int] | None, normalize: str | None) -> Reading:
        """Create a reading from the values of a configuration; what it leaves to the data is the default."""
        return cls(None if channels is None else tuple(channels), normalize or "range")

    @classmethod
    def of_data(cls, config: Mapping[str, Any]) -> Reading:
        """Create the reading of a data set's configuration; that of data without these settings is ordinary."""
        return cls.of(config.get("channels"), config.get("normalize", "range"))

    @property
    def is_ordinary(self) -> bool:
        """Whether all settings are the default."""
        return self == Reading()

    @property
    def bands(self) -> int:
        """Number of bands of the images that are read."""
        return 3 if self.channels is None or len(self.channels) == 1 else len(self.channels)

    def expect_color(self, name: str, got: str) -> None:
        """Raise where images are no red, green and blue.

        Args:
            name: Key or argument, for the error message.
            got: What has three bands.

        Raises:
            InputError: If images have other bands.
        """
        if self.bands != 3:
            raise InputError(f"{name}: expected images of {self.bands} bands (data.channels), got {got}")

    def read(self, path: str | os.PathLike) -> UInt8[np.ndarray, "H W bands"]:
        """Read an image file as bands of 8 bits, with the orientation of its metadata applied.

        Args:
            path: Path of the image file.

        Raises:
            InputError: If the file cannot be read, or has not these bands or numbers.
        """
        if self.is_ordinary and not has_unusual_bands(path):
            return read_image(path)
        bands = self._chosen(*read_bands(path), path)
        scaled = by_percentiles(bands) if self.normalize == "percentile" else _by_range(bands, path)
        return np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else np.ascontiguousarray(scaled)

    def scaled(self, image: UInt8[np.ndarray, "H W bands"]) -> UInt8[np.ndarray, "H W bands"]:
        """Return an image that came from elsewhere as :meth:`read` returns that of a file.

        An image that is scaled by percentiles already hardly changes, unless it has few pixels.

        Args:
            image: Image of these bands.
        """
        return by_percentiles(image) if self.normalize == "percentile" else image

    def used_range(self, path: str | os.PathLike) -> float | None:
        """Return the share of the range of its numbers that an image uses, in 0..1; ``None`` if they have no range.

        It is that between the :data:`~panoptic.utils.pictures.PERCENTILES` of a band, in the band where it is largest.
        Only whole numbers of 8 or 16 bits have a range.

        Args:
            path: Path of the image file.

        Raises:
            InputError: If the file cannot be read, or has not these bands.
        """
        bands = self._chosen(*read_bands(path), path)
        if not _has_range(bands):
            return None
        apart = max(-(-max(bands.shape[:2]) // SIDE_OF_RANGE), 1)
        low, high = np.percentile(bands[::apart, ::apart], PERCENTILES, axis=(0, 1))
        return float((high - low).max()) / (255 if bands.dtype == np.uint8 else 65535)

    def _chosen(
        self, bands: Shaped[np.ndarray, "H W C"], is_color: bool, path: str | os.PathLike
    ) -> Shaped[np.ndarray, "H W c"]:
        count = bands.shape[2]
        if self.channels is None:
            if is_color:
                return bands[..., :3]
            if count not in (1, 3):
                raise InputError(
                    f"{path}: expected one band or three, got {count} bands of {bands.dtype}; data.channels=[3,2,1] "
                    "says which are red, green and blue, data.channels=[1] takes one, and any other number of bands is "
                    "taken as it is, such as data.channels=[1,2,3,4]"
                )
            return bands
        if max(self.channels) > count:
            raise InputError(f"{path}: expected bands {list(self.channels)} (data.channels), got an image of {count}")
        return bands[..., [number - 1 for number in self.channels]]


def read_bands(path: str | os.PathLike) -> Bands:
    """Read the numbers of an image file as they are stored.

    TIFF files may have any number of bands; those of color images beyond the third, such as transparency or near
    infrared, follow as stored. Pages of one size are bands too; reduced versions of the image are left out. Of other
    formats, what is deeper than 8 bits is kept; the rest is read as :func:`~panoptic.data.images.read_image` reads it.

    Args:
        path: Path of the image file.

    Raises:
        InputError: If the file cannot be read.
    """
    if is_tiff(path):
        return read_tiff(path)
    with open_image(path) as image:
        if image.mode.startswith("I"):  # 16-bit gray
            return Bands(np.asarray(turned(image))[..., None], False)
        mode = image.mode
    if mode == "RGB":
        stored = cv2.imread(os.fspath(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)  # which turns it, too
        if stored is not None and stored.dtype != np.uint8:
            return Bands(np.ascontiguousarray(stored[..., ::-1]), True)
    return Bands(read_image(path), True)


def remarks(path: str | os.PathLike) -> list[str]:
    """Return what is worth knowing about an image file that can be read: turned, or of little range.

    Args:
        path: Path of the image file.
    """
    found = []
    with suppress(Exception), Image.open(path) as image:  # of a kind that Pillow does not know, nothing is remarked
        if image.getexif().get(0x0112, 1) not in (0, 1):
            found.append("turned")
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # I in Pillow before 11
            values = np.asarray(image)
            if int(values.max()) - int(values.min()) < LITTLE_USED * 65535:
                found.append("little range")
        if image.mode in ("RGBA", "LA", "PA", "RGBX"):
            found.append("fourth band" if image.format == "TIFF" else "transparency")
    return found


def turn_note(path: str | os.PathLike, size: Sequence[int], expected: Sequence[int | None]) -> str:
    """Return a remark on an image whose height and width are swapped, since its EXIF data turn it; else nothing.

    Args:
        path: Path of the image file.
        size: Height and width as read.
        expected: Height and width as another file has them.
    """
    if tuple(size) != tuple(reversed(expected)) or "turned" not in remarks(path):
        return ""
    return f" ({path} is turned by its EXIF data; segments are those of the upright image)"


REMARKS = {
    "turned": "are turned by their EXIF data, and their segments are expected to be turned likewise",
    "little range": "have 16 bits and use less than a quarter of their range, so that little is left in 8 bits; "
    "data.normalize=percentile scales them",
    "transparency": "have transparency, and are read as if they lay on white",
    "fourth band": "have a fourth band, which is left out; data.channels takes others",
}
"""Meanings of the remarks."""


def _by_range(bands: Shaped[np.ndarray, "H W C"], path: str | os.PathLike) -> UInt8[np.ndarray, "H W C"]:
    if bands.dtype == np.uint8:
        return bands
    if _has_range(bands):
        return ((bands.astype(np.int64) + 128) // 257).astype(np.uint8)
    raise InputError(
        f"{path}: expected whole numbers of 8 or 16 bits, got {bands.dtype} from {bands.min()} to {bands.max()}; "
        "data.normalize=percentile scales any"
    )


def _has_range(bands: Shaped[np.ndarray, "H W C"]) -> bool:
    """Return whether numbers are whole ones of 8 or 16 bits."""
    return bool(bands.size and bands.dtype.kind in "iu" and bands.min() >= 0 and bands.max() <= 65535)
