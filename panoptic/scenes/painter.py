"""Rasterization of the items of a synthetic scene: a label map of any size, and an image that agrees with it."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from panoptic.scenes import textures
from panoptic.scenes.colors import Film
from panoptic.scenes.marks import CANVAS_WIDTH, Fill, Item, Pieces, Polygons, Shade, Sky, Textured

_SHIFT = 4  # fractional bits of pixel coordinates, which are rounded here, not by OpenCV
_FIRST_THING = 32  # label of thing number 1


def label_of(item: Item) -> int:
    """Return the value of an item in the label map: 0 for void, then stuff by class, then things by number."""
    return _FIRST_THING - 1 + item.thing if item.thing else item.class_ + 1


class Surface:
    """Label map and image of the same size, which items are painted on. Painting clips to their borders.

    Args:
        height: Height, in pixels.
        width: Width, in pixels.
        labels_only: Whether to paint the label map only.
    """

    def __init__(self, height: int, width: int, labels_only: bool = False) -> None:
        self.labels = np.zeros((height, width), np.uint8)
        self.image = None if labels_only else np.zeros((height, width, 3), np.uint8)
        self.height, self.width = height, width
        self._scale = np.array((width / CANVAS_WIDTH, height)) * (1 << _SHIFT)
        self._half = (1 << _SHIFT) / 2  # pixel centers are at half-integers

    def paint(self, item: Item) -> None:
        """Paint one item over the earlier ones."""
        label = label_of(item)
        for mark in item.marks:
            if isinstance(mark, Fill):
                self._fill(mark, label)
            elif isinstance(mark, Pieces):
                self._pieces(mark, label)
            elif isinstance(mark, Textured):
                self._textured(mark, label)
            elif isinstance(mark, Sky):
                self._sky(mark, label)
            elif self.image is not None:
                self._shade(mark, self.image)

    def pixels(self, polygons: Polygons | Float[np.ndarray, "N K 2"]) -> list[Int[np.ndarray, "K 2"]]:
        """Convert canvas polygons to fixed-point pixel coordinates."""
        if isinstance(polygons, np.ndarray):
            return list(self._fixed(polygons))
        if len(polygons) == 1:
            return [self._fixed(polygons[0])]
        fixed = self._fixed(np.concatenate(polygons))
        return np.split(fixed, np.cumsum([len(p) for p in polygons[:-1]]))

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        scaled = points * self._scale
        scaled -= self._half
        return np.rint(scaled, out=scaled).astype(np.int32)

    def _window(self, corners: np.ndarray) -> tuple[slice, slice] | None:
        """Return the rows and columns that polygons with fixed-point ``corners`` may touch, if any."""
        x, y, width, height = cv2.boundingRect(corners)
        left, top = max((x >> _SHIFT) - 1, 0), max((y >> _SHIFT) - 1, 0)
        right, bottom = min((x + width >> _SHIFT) + 3, self.width), min((y + height >> _SHIFT) + 3, self.height)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def _fill(self, mark: Fill, label: int) -> None:
        if len(mark.polygons) == 0 or (self.image is None and not mark.labeled):
            return
        pixels = self.pixels(mark.polygons)
        if mark.labeled:
            cv2.fillPoly(self.labels, pixels, label, cv2.LINE_8, _SHIFT)
        if self.image is not None and mark.color is not None:
            cv2.fillPoly(self.image, pixels, mark.color, cv2.LINE_8, _SHIFT)

    def _pieces(self, mark: Pieces, label: int) -> None:
        pixels, labels, image = self._fixed(mark.points), self.labels, self.image
        for start, stop, corners, color, labeled, width in mark.pieces:
            if image is None and not labeled:
                continue
            part = [pixels[i : i + corners] for i in range(start, stop, corners)]
            if labeled:
                cv2.fillPoly(labels, part, label, cv2.LINE_8, _SHIFT)
            if image is None or color is None:
                continue
            if width:
                thickness = max(1, round(width * self.height))
                cv2.polylines(image, part, False, color, thickness, cv2.LINE_8, _SHIFT)
            else:
                cv2.fillPoly(image, part, color, cv2.LINE_8, _SHIFT)

    def _textured(self, mark: Textured, label: int) -> None:
        pixels = self._fixed(mark.polygon)
        cv2.fillPoly(self.labels, [pixels], label, cv2.LINE_8, _SHIFT)
        window = self._window(pixels)
        if self.image is None or window is None:
            return
        mask = self._mask([pixels], window)
        height, width = mask.shape
        for top, bottom, period in self._bands(mark, window[0].start, window[0].stop):
            # The darkest spots of a coarser band extend up into the finer one, which hides the seam.
            overlap = min(3 * period, top - window[0].start)
            rows = slice(top - overlap - window[0].start, bottom - window[0].start)
            noise = textures.crop(textures.tile(mark.tile, period), height, width, mark.offset)[rows]
            part = mask[rows]
            if overlap:
                ramp = (np.arange(overlap) * 255 // overlap)[:, None]
                part = np.concatenate([part[:overlap] * (noise[:overlap] < ramp), part[overlap:]])
            target = self.image[top - overlap : bottom, window[1]]
            cv2.copyTo(cv2.applyColorMap(noise, mark.palette[:, None]), part, target)

    def _mask(self, pixels: list[np.ndarray], window: tuple[slice, slice]) -> UInt8[np.ndarray, "h w"]:
        mask = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
        offset = (-window[1].start, -window[0].start)
        shift = np.array(offset, np.int32) << _SHIFT
        cv2.fillPoly(mask, [p + shift for p in pixels], 255, cv2.LINE_8, _SHIFT)
        return mask

    def _bands(self, mark: Textured, top: int, bottom: int) -> list[tuple[int, int, int]]:
        """Split rows into bands (first row, last row + 1, tile period): one, or on the ground one for each period."""
        periods = textures.PERIODS
        if mark.horizon is None:
            target = mark.period * self.height
            return [(top, bottom, min(periods, key=lambda p: abs(p - target)))]
        bands, start = [], top
        for i, period in enumerate(periods):
            limit = mark.horizon + 1.5 * period / self.height / mark.period
            stop = bottom if i == len(periods) - 1 else min(bottom, max(start, round(limit * self.height)))
            if stop > start:
                bands.append((start, stop, period))
            start = stop
        return bands

    def _shade(self, mark: Shade, image: UInt8[np.ndarray, "H W 3"]) -> None:
        pixels = self.pixels(mark.polygons)
        window = self._window(np.concatenate(pixels)) if pixels else None
        if window is not None:
            target = image[window]
            darker = cv2.LUT(target, _dimmer(round(mark.factor * 32)))
            cv2.copyTo(darker, self._mask(pixels, window), target)

    def _sky(self, mark: Sky, label: int) -> None:
        rows = min(self.height, max(1, round((mark.horizon + 0.004) * self.height) + 1))
        self.labels[:rows] = label
        if self.image is None:
            return
        # Clouds come from a tile of fixed size that is resized, so that they look the same at every resolution.
        clouds = textures.crop(textures.tile("cloud", 32), 256, 512, mark.offset)
        clouds = cv2.resize(clouds, (self.width, self.height), interpolation=cv2.INTER_LINEAR_EXACT)[:rows]
        strength = round(mark.clouds * 256)
        clouds = ((np.arange(256) * strength) >> 9).astype(np.uint8)[clouds]
        ramp = np.repeat((np.arange(rows) * 120 // rows).astype(np.uint8)[:, None], self.width, axis=1)
        self.image[:rows] = cv2.applyColorMap(cv2.add(ramp, clouds), mark.palette[:, None])

    def develop(self, film: Film) -> UInt8[np.ndarray, "H W 3"]:
        """Return the image as a camera records it: slightly blurred, exposed, with noise."""
        assert self.image is not None  # not for ``labels_only``
        # On bytes, the blur is exact on every machine.
        soft = cv2.GaussianBlur(self.image, (3, 3), 0.5 if self.height < 256 else 0.8)
        exposed = cv2.LUT(soft, film.curve[None])
        positive, negative = (
            textures.crop(t, self.height, self.width, film.offset) for t in textures.film_grain(film.grain)
        )
        return cv2.subtract(cv2.add(exposed, positive), negative)


def _dimmer(factor: int) -> UInt8[np.ndarray, " 256"]:
    return (np.arange(256) * factor // 32).astype(np.uint8)
