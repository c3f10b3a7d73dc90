"""Overlays of segments on their image, and pictures of fusion weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.pictures import shown_bands
from panoptic.visualization.painting import color_table, paint

LEVEL_COLORS = np.array([[230, 80, 60], [70, 170, 90], [70, 110, 220]], dtype=np.float32)
"""Colors of the fine (red), middle (green) and coarse level (blue)."""


def overlay(
    image: UInt8[np.ndarray, "H W bands"],
    segments: Segments,
    labels: LabelSpace,
    opacity: float = 0.55,
    variations: Int64[np.ndarray, " N"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Blend an image with the colors of its segments, and draw a thin contour along the inside of each segment.

    Stuff, crowds and the first thing of a category have the category's color. Further things have variations of it.
    Void pixels keep their color.

    Args:
        image: RGB image; of other bands the first three are shown.
        segments: Segments of one image, of the same height and width.
        labels: Label space of the segments.
        opacity: Weight of the colors in 0..1; 0 draws contours only.
        variations: Variation of the color that each thing has; by default things of a category are counted.

    Raises:
        ValueError: If the sizes differ, the opacity is out of range, or the segments are a batch or of another label
            space.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: expected 0..1, got {opacity}")
    if image.shape[:2] != tuple(segments.size):
        raise ValueError(f"image: expected the size of the segments, {tuple(segments.size)}, got {image.shape[:2]}")
    return paint(shown_bands(image), _ids(segments), _color_table(segments, labels, variations), opacity)


def save_overlay(path: Path, image: UInt8[np.ndarray, "H W bands"], segments: Segments, labels: LabelSpace) -> None:
    """Write the :func:`overlay` of an image to a PNG file."""
    path.write_bytes(png_of(overlay(image, segments, labels)))


def png_of(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Encode an RGB picture as PNG, which OpenCV does several times as fast as Pillow."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def _ids(segments: Segments) -> Int32[np.ndarray, "H W"]:
    if segments.is_batch:
        raise ValueError("segments: expected those of one image, got a batch; call unstack first")
    return segments.ids.cpu().numpy()


def _color_table(
    segments: Segments, labels: LabelSpace, variations: Int64[np.ndarray, " N"] | None = None
) -> UInt8[np.ndarray, "rows 3"]:
    return color_table(segments.classes.cpu().numpy(), labels, segments.crowd.cpu().numpy(), variations)


def alpha_picture(alpha: Float[Tensor, "L ..."], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Draw fusion weights in the colors of :data:`LEVEL_COLORS`.

    Local weights mix the colors at each place. Weights of the whole image are drawn as horizontal bands with heights
    proportional to the weights.

    Args:
        alpha: Fusion weights of one image, fine to coarse: ``[L]``, or ``[L h w]`` if local.
        size: Height and width of the picture in pixels.
    """
    height, width = size
    if alpha.ndim == 3:
        weights = F.interpolate(alpha[None], size=size, mode="bilinear", align_corners=False)[0]
        mixed = np.einsum("lhw,lc->hwc", weights.numpy(), LEVEL_COLORS[: len(alpha)])
        return mixed.round().clip(0, 255).astype(np.uint8)
    ends = (alpha.cumsum(0) * height).round().int().numpy()
    level = np.searchsorted(ends, np.arange(height), side="right").clip(max=len(alpha) - 1)
    return np.repeat(LEVEL_COLORS[level].astype(np.uint8)[:, None], width, axis=1)


def side_by_side(panels: list[UInt8[np.ndarray, "H _ 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Concatenate panels of equal height horizontally, separated by thin white lines."""
    line = np.full((panels[0].shape[0], 4, 3), 255, dtype=np.uint8)
    row = [part for panel in panels for part in (panel, line)][:-1]
    return np.concatenate(row, axis=1)


def stacked(rows: list[UInt8[np.ndarray, "_ W 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Concatenate rows of equal width vertically, separated by thin white lines."""
    line = np.full((4, rows[0].shape[1], 3), 255, dtype=np.uint8)
    return np.concatenate([part for row in rows for part in (row, line)][:-1])


HATCH = np.array([[70, 70, 70], [110, 110, 110]], dtype=np.uint8)
"""Colors of padding: two grays, in diagonal stripes."""


def with_hatched_padding(image: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Return a copy of an image whose padding, at the right and bottom, is hatched.

    Args:
        image: RGB image.
        size: Height and width of what is not padding.
    """
    y, x = np.indices(image.shape[:2])
    padded = np.ones(image.shape[:2], dtype=bool)
    padded[: size[0], : size[1]] = False
    return np.where(padded[..., None], HATCH[(y + x) // 4 % 2], image)
