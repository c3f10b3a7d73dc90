"""Occlusion test for the houses along a synthetic street, so that hidden ones need not be painted."""

from __future__ import annotations

from panoptic.scenes.marks import CANVAS_WIDTH
from panoptic.scenes.view import NEAR, View

_COLUMNS = 64
_PER_UNIT = _COLUMNS / CANVAS_WIDTH

Corner = tuple[float, float]


class Cover:
    """Height up to which upright faces, added from near to far, cover each of a few columns of the canvas.

    All faces stand on the same ground: a face that is farther away and does not reach higher is hidden.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._tops = [9.0] * _COLUMNS

    def shows(self, start: Corner, end: Corner, height: float) -> bool:
        """Return whether an upright face of this height between two ground positions is at least partly visible."""
        return any(high < self._tops[column] for column, high, _ in self._columns(start, end, height))

    def shows_at(self, x: float, z: float, half: float, height: float) -> bool:
        """Return whether a face toward the camera, ``half`` meters to both sides, is at least partly visible."""
        right, depth = self.view.locate(x, z)
        return self.shows(self.view.world(right - half, depth), self.view.world(right + half, depth), height)

    def add(self, start: Corner, end: Corner, height: float) -> bool:
        """Add a face that hides what is behind it, and return whether it is at least partly visible."""
        visible = False
        for column, high, low in self._columns(start, end, height):
            visible = visible or high < self._tops[column]
            self._tops[column] = min(self._tops[column], low)
        return visible

    def _columns(self, start: Corner, end: Corner, height: float) -> list[tuple[int, float, float]]:
        """Return the columns that a face spans.

        Each is (index, y of the highest point, y up to which the column is covered across its full width). The last is
        below the canvas where the face covers only a part of the column.
        """
        (right, depth), (right_, depth_) = self.view.locate(*start), self.view.locate(*end)
        if max(depth, depth_) <= NEAR:
            return []
        if min(depth, depth_) < NEAR:
            share = (NEAR - depth) / (depth_ - depth)
            crossing = right + share * (right_ - right)
            if depth < NEAR:
                right, depth = crossing, NEAR
            else:
                right_, depth_ = crossing, NEAR
        view = self.view
        x, y = 1 + right * view.focal / depth, view.horizon + (view.height - height) * view.focal / depth
        x_, y_ = 1 + right_ * view.focal / depth_, view.horizon + (view.height - height) * view.focal / depth_
        if x > x_:
            x, y, x_, y_ = x_, y_, x, y
        if x_ <= 0 or x >= CANVAS_WIDTH or min(y, y_) >= 1:
            return []
        slope, columns = (y_ - y) / max(x_ - x, 1e-9), []
        for column in range(max(int(x * _PER_UNIT), 0), min(int(x_ * _PER_UNIT), _COLUMNS - 1) + 1):
            left, right = column / _PER_UNIT, (column + 1) / _PER_UNIT
            full = left >= x and right <= x_
            a, b = y + slope * (max(left, x) - x), y + slope * (min(right, x_) - x)
            columns.append((column, max(min(a, b), 0.0), max(a, b, 0.0) if full else 9.0))
        return columns
