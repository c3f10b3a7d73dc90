"""What the houses along a synthetic street hide of each other, so that nobody has to paint it."""

from __future__ import annotations

from panoptic.scenes.marks import CANVAS_WIDTH
from panoptic.scenes.view import NEAR, View

_COLUMNS = 64
_PER_UNIT = _COLUMNS / CANVAS_WIDTH

Corner = tuple[float, float]


class Cover:
    """How high up the canvas is covered in each of a few columns, by upright faces given from near to far.

    All faces stand on the same ground: what is farther away and not higher up is hidden.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._tops = [9.0] * _COLUMNS

    def shows(self, start: Corner, end: Corner, height: float) -> bool:
        """Whether something of this height between two positions on the ground can be seen at all."""
        return any(high < self._tops[column] for column, high, _ in self._columns(start, end, height))

    def shows_at(self, x: float, z: float, half: float, height: float) -> bool:
        """The same for something upright that faces the camera, ``half`` meters to both sides of a position."""
        right, depth = self.view.locate(x, z)
        return self.shows(self.view.world(right - half, depth), self.view.world(right + half, depth), height)

    def add(self, start: Corner, end: Corner, height: float) -> bool:
        """Whether a face can be seen; from now on it hides what is behind."""
        seen = False
        for column, high, low in self._columns(start, end, height):
            seen = seen or high < self._tops[column]
            self._tops[column] = min(self._tops[column], low)
        return seen

    def _columns(self, start: Corner, end: Corner, height: float) -> list[tuple[int, float, float]]:
        """Columns of a face: number, its highest point there and up to where it fills all of the column."""
        (right, depth), (right_, depth_) = self.view.locate(*start), self.view.locate(*end)
        if max(depth, depth_) <= NEAR:
            return []
        if min(depth, depth_) < NEAR:
            share = (NEAR - depth) / (depth_ - depth)
            meet = right + share * (right_ - right)
            if depth < NEAR:
                right, depth = meet, NEAR
            else:
                right_, depth_ = meet, NEAR
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
            whole = left >= x and right <= x_
            a, b = y + slope * (max(left, x) - x), y + slope * (min(right, x_) - x)
            columns.append((column, max(min(a, b), 0.0), max(a, b, 0.0) if whole else 9.0))
        return columns
