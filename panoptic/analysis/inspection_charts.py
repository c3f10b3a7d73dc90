"""Histograms and bars as inline SVG, colored by split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from panoptic.analysis.inspection_page import escaped

WIDTH = 340
"""Width of a chart, in units of which 11 are the size of its letters: about that of a phone's screen in pixels."""

BINS = 16


def legend(splits: Sequence[str]) -> str:
    """Return the colors of the splits as HTML."""
    keys = "".join(f'<span class="key b{i % 3}"></span>{escaped(split)}' for i, split in enumerate(splits))
    return f"<p>{keys}</p>"


def histogram(title: str, values: Mapping[str, np.ndarray], log: bool = False) -> str:
    """Draw a histogram of whole numbers for each split, side by side in each bin, as shares of the split.

    Args:
        title: Title, text.
        values: Numbers of each split; with ``log`` at least 1.
        log: Whether bins have equal ratios rather than equal widths.
    """
    everything = np.concatenate([*values.values(), np.zeros(0)])
    if not len(everything):
        return _chart(title, 30, '<text x="0" y="18">none</text>')
    edges = _edges(int(everything.min()), int(everything.max()), log)
    height, left, bottom = 150, 34, 130
    shares = [np.histogram(v, edges)[0] / max(len(v), 1) for v in values.values()]
    top = max(float(share.max()) for share in shares)
    slot = (WIDTH - left) / (len(edges) - 1)
    bar = min(0.9 * slot / len(values), 40)
    parts = [
        f'<text x="{left - 4}" y="12" text-anchor="end">{top:.0%}</text>',
        f'<text x="{left - 4}" y="{bottom}" text-anchor="end">0</text>',
        f'<line class="axis" x1="{left}" y1="{bottom}" x2="{WIDTH}" y2="{bottom}"/>',
    ]
    for i, (split, share) in enumerate(zip(values, shares, strict=True)):
        for b in np.flatnonzero(share).tolist():
            length = max(118 * share[b] / top, 1)
            x = left + b * slot + (slot - bar * len(values)) / 2 + i * bar
            low, high = math.ceil(edges[b]), math.ceil(edges[b + 1]) - 1
            between = f"{low}" if low >= high else f"{low} to {high}"
            parts.append(
                f'<rect class="f{i % 3}" x="{x:.1f}" y="{bottom - length:.1f}" width="{bar:.1f}" '
                f'height="{length:.1f}"><title>{escaped(split)}: {share[b]:.1%} have {between}</title></rect>'
            )
    for place, number in _ticks(edges, log):
        x = left + place * (WIDTH - left)
        anchor = "start" if place < 0.1 else "end" if place > 0.9 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{height - 5}" text-anchor="{anchor}">{_short(number)}</text>')
    return _chart(title, height, "\n".join(parts))


def bars(title: str, names: Sequence[str], values: Mapping[str, np.ndarray], percent: bool = False) -> str:
    """Draw a row of bars for each name, one for each split.

    Args:
        title: Title, text.
        names: Names of the rows.
        values: Numbers of each split, by row.
        percent: Whether the numbers are shares in 0..1.
    """
    left, thick, right = 110, 8, 44
    row = thick * len(values) + 8
    top = max((float(v.max()) for v in values.values() if len(v)), default=0.0) or 1.0
    parts = []
    for r, name in enumerate(names):
        middle = r * row + (row - 8) / 2 + 4
        parts.append(f'<text x="{left - 5}" y="{middle + 4:.1f}" text-anchor="end">{escaped(name, 16)}</text>')
        for i, (split, numbers) in enumerate(values.items()):
            y, length = r * row + 4 + i * thick, (WIDTH - left - right) * float(numbers[r]) / top
            text = f"{numbers[r]:.1%}" if percent else f"{int(numbers[r])}"
            parts.append(
                f'<rect class="f{i % 3}" x="{left}" y="{y}" width="{max(length, 0.5 * (numbers[r] > 0)):.1f}" '
                f'height="{thick - 1}"><title>{escaped(name)}, {escaped(split)}: {text}</title></rect>'
            )
        longest = float(max(v[r] for v in values.values()))
        text = f"{longest:.1%}" if percent else _short(longest)
        x = left + (WIDTH - left - right) * longest / top + 4
        parts.append(f'<text x="{x:.1f}" y="{middle + 4:.1f}">{text}</text>')
    return _chart(title, max(len(names) * row, 1), "\n".join(parts))


def _chart(title: str, height: int, inside: str) -> str:
    return (
        f'<figure class="chart"><figcaption>{escaped(title)}</figcaption>\n'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escaped(title)}">\n{inside}\n</svg></figure>'
    )


def _edges(low: int, high: int, log: bool) -> np.ndarray:
    """Return edges of at most :data:`BINS` bins for whole numbers."""
    if low == high:
        return np.array([low, low + 1])
    if log:
        return np.geomspace(low, high + 1, BINS + 1)
    width = -(-(high + 1 - low) // BINS)
    return low + width * np.arange(-(-(high + 1 - low) // width) + 1)


def _ticks(edges: np.ndarray, log: bool) -> list[tuple[float, float]]:
    """Return places along the axis, in 0..1, and their numbers: powers of ten, or both ends and the middle."""
    low, high = float(edges[0]), float(edges[-1])
    if len(edges) == 2:
        return [(0.5, low)]
    if log:
        powers = [10.0**p for p in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
        numbers = powers if len(powers) > 1 else [low, high - 1]
        return [(math.log(number / low) / math.log(high / low), number) for number in numbers]
    return [(place, low + place * (high - low)) for place in (0.0, 0.5, 1.0)]


def _short(number: float) -> str:
    """Format a number with few letters."""
    for limit, letter in ((1e6, "M"), (1e4, "k")):
        if number >= limit:
            return f"{number / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{number:.0f}"
