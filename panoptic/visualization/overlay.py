"""Color maps of segments, overlays on their image, and pictures of fusion weights.

Things of one category differ in brightness and slightly in hue, along the R2 low-discrepancy sequence (M. Roberts 2018,
"The unreasonable effectiveness of quasirandom sequences"), which keeps consecutive colors far apart.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from panoptic.labels import LabelSpace
from panoptic.segments import Segments

_R2 = (0.7548776662466927, 0.5698402909980532)  # powers of 1 / plastic number
_BRIGHTNESS = 0.38  # largest shift towards black or white, as a share of the distance
_HUE = 0.05  # largest rotation on the hue circle, in turns, to either side
_CONTOUR = 0.55  # shift of contours from the color of their segment towards white

LEVEL_COLORS = np.array([[230, 80, 60], [70, 170, 90], [70, 110, 220]], dtype=np.float32)
"""Colors of the fine (red), middle (green) and coarse level (blue)."""


def overlay(
    image: UInt8[np.ndarray, "H W 3"], segments: Segments, labels: LabelSpace, opacity: float = 0.55
) -> UInt8[np.ndarray, "H W 3"]:
    """Blend an image with the colors of its segments, and draw a thin contour along the inside of each segment.

    Stuff, crowds and the first thing of a category have the category's color. Further things have variations of it.
    Void pixels keep their color.

    Args:
        image: RGB image.
        segments: Segments of one image, of the same height and width.
        labels: Label space of the segments.
        opacity: Weight of the colors in 0..1; 0 draws contours only.

    Raises:
        ValueError: If the sizes differ, the opacity is out of range, or the segments are a batch or of another label
            space.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: expected 0..1, got {opacity}")
    if image.shape[:2] != tuple(segments.size):
        raise ValueError(f"image: expected the size of the segments, {tuple(segments.size)}, got {image.shape[:2]}")
    ids, table = _ids(segments), _color_table(segments, labels)
    weight = round(opacity * 256)
    # Fixed-point arithmetic in 1/256, plus 1/2 to round: twice as fast as floating point on large images.
    blended = (image.astype(np.uint16) * np.uint16(256 - weight) + (table * np.uint16(weight) + 128)[ids]) >> 8
    contour = (table + (255 - table) * _CONTOUR).round().astype(np.uint8)
    edge = _inner_edges(ids, width=max(1, round(min(ids.shape) / 500)))
    with_contours = np.where(edge[..., None], contour[ids], blended.astype(np.uint8))
    return np.where((ids == 0)[..., None], image, with_contours)


def save_overlay(path: Path, image: UInt8[np.ndarray, "H W 3"], segments: Segments, labels: LabelSpace) -> None:
    """Write the :func:`overlay` of an image to a file."""
    Image.fromarray(overlay(image, segments, labels)).save(path)


def _ids(segments: Segments) -> Int32[np.ndarray, "H W"]:
    if segments.is_batch:
        raise ValueError("segments: expected those of one image, got a batch; call unstack first")
    return segments.ids.cpu().numpy()


def _color_table(segments: Segments, labels: LabelSpace) -> UInt8[np.ndarray, "rows 3"]:
    """Return the color of each segment id; row 0 is void, in black."""
    classes = segments.classes.cpu().numpy()
    if classes.size and classes.max() >= len(labels):
        raise ValueError(f"classes: expected at most {len(labels) - 1}, as the label space has, got {classes.max()}")
    unvaried = segments.crowd.cpu().numpy() | ~np.array(labels.is_thing)[classes]
    table = np.zeros((len(classes) + 1, 3), dtype=np.uint8)
    for c in np.unique(classes[classes >= 0]):
        rows = np.flatnonzero(classes == c)
        table[rows + 1] = labels.categories[c].color
        things = rows[~unvaried[rows]]
        table[things + 1] = _variations(labels.categories[c].color, len(things))
    return table


def _variations(color: tuple[int, int, int], count: int) -> UInt8[np.ndarray, "count 3"]:
    """Return a color followed by variations of it."""
    red, green, blue = (channel / 255 for channel in color)
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    colors = [color]
    for k in range(1, count):
        # The sequence starts at 0.5, the unchanged color.
        brightness, rotation = (2 * ((0.5 + k * step) % 1) - 1 for step in _R2)
        varied = np.array(colorsys.hsv_to_rgb((hue + _HUE * rotation) % 1, saturation, value))
        extreme = 1.0 if brightness > 0 else 0.0  # white or black
        varied += (extreme - varied) * abs(brightness) * _BRIGHTNESS
        colors.append(tuple((varied * 255).round().astype(int)))
    return np.array(colors[:count], dtype=np.uint8).reshape(count, 3)


def _inner_edges(ids: np.ndarray, width: int) -> Bool[np.ndarray, "H W"]:
    """Find the pixels with another id at most ``width`` pixels to the left, right, above or below."""
    edges = np.zeros(ids.shape, dtype=bool)
    for shift in range(1, width + 1):
        across = ids[:, shift:] != ids[:, :-shift]
        down = ids[shift:] != ids[:-shift]
        edges[:, shift:] |= across
        edges[:, :-shift] |= across
        edges[shift:] |= down
        edges[:-shift] |= down
    return edges


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
