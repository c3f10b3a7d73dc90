"""Colors of segments on an image, from plain arrays. Does not import torch.

Things of one category differ in brightness and slightly in hue, along the R2 low-discrepancy sequence (M. Roberts 2018,
"The unreasonable effectiveness of quasirandom sequences"), which keeps consecutive colors far apart.
"""

from __future__ import annotations

import colorsys

import numpy as np

from panoptic.labels import LabelSpace

_R2 = (0.7548776662466927, 0.5698402909980532)  # powers of 1 / plastic number
_BRIGHTNESS = 0.38  # largest shift towards black or white, as a share of the distance
_HUE = 0.05  # largest rotation on the hue circle, in turns, to either side
_CONTOUR = 0.55  # shift of contours from the color of their segment towards white


def paint(image: np.ndarray, ids: np.ndarray, table: np.ndarray, opacity: float) -> np.ndarray:
    """Blend an image with the colors of its segments, and draw a thin contour along the inside of each segment.

    Args:
        image: RGB image, uint8 ``[H W 3]``.
        ids: Segment of each pixel ``[H W]``; 0 is void, which keeps the color of the image.
        table: Color of each id, uint8 ``[rows 3]``.
        opacity: Weight of the colors in 0..1.

    Returns:
        RGB image, uint8 ``[H W 3]``.
    """
    weight = round(opacity * 256)
    # Fixed-point arithmetic in 1/256, plus 1/2 to round: twice as fast as floating point on large images.
    blended = (
        image.astype(np.uint16) * np.uint16(256 - weight)
        + (table.astype(np.uint16) * np.uint16(weight) + np.uint16(128))[ids]
    ) >> 8
    contour = (table + (255 - table) * _CONTOUR).round().astype(np.uint8)
    edge = _inner_edges(ids, width=max(1, round(min(ids.shape) / 500)))
    with_contours = np.where(edge[..., None], contour[ids], blended.astype(np.uint8))
    return np.where((ids == 0)[..., None], image, with_contours)


def color_table(
    classes: np.ndarray, labels: LabelSpace, crowd: np.ndarray | None = None, variations: np.ndarray | None = None
) -> np.ndarray:
    """Return the color of each segment id, uint8 ``[N + 1 3]``; row 0 is void, in black.

    Stuff, crowds and the first thing of a category have the category's color. Further things have variations of it.

    Args:
        classes: Class of each segment ``[N]``; -1 marks padding.
        labels: Label space of the segments.
        crowd: Whether each segment is a crowd ``[N]``. By default none is.
        variations: Number of the variation that each thing has ``[N]``, from 0, the color itself. By default things of
            a category are counted.

    Raises:
        ValueError: If a class is not in the label space.
    """
    if classes.size and classes.max() >= len(labels):
        raise ValueError(f"classes: expected at most {len(labels) - 1}, as the label space has, got {classes.max()}")
    unvaried = ~np.array(labels.is_thing)[classes]
    if crowd is not None:
        unvaried |= crowd
    table = np.zeros((len(classes) + 1, 3), dtype=np.uint8)
    for c in np.unique(classes[classes >= 0]):
        rows = np.flatnonzero(classes == c)
        table[rows + 1] = labels.categories[c].color
        things = rows[~unvaried[rows]]
        numbers = np.arange(len(things)) if variations is None else variations[things]
        table[things + 1] = _varied(labels.categories[c].color, numbers)
    return table


def _varied(color: tuple[int, int, int], numbers: np.ndarray) -> np.ndarray:
    """Return variations of a color by their numbers; 0 is the color itself."""
    red, green, blue = (channel / 255 for channel in color)
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    colors = []
    for k in numbers.tolist():
        # The sequence starts at 0.5, the unchanged color.
        brightness, rotation = (2 * ((0.5 + k * step) % 1) - 1 for step in _R2)
        varied = np.array(colorsys.hsv_to_rgb((hue + _HUE * rotation) % 1, saturation, value))
        extreme = 1.0 if brightness > 0 else 0.0  # white or black
        varied += (extreme - varied) * abs(brightness) * _BRIGHTNESS
        colors.append(color if k == 0 else tuple((varied * 255).round().astype(int)))
    return np.array(colors, dtype=np.uint8).reshape(len(numbers), 3)


def _inner_edges(ids: np.ndarray, width: int) -> np.ndarray:
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
