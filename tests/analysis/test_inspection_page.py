"""Parts of the HTML page: what comes from data is escaped, pictures are bounded, bars have their lengths."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from panoptic.analysis.inspection_charts import bars, histogram
from panoptic.analysis.inspection_page import (
    Section,
    bullets,
    escaped,
    figure,
    folded,
    grid,
    jpeg,
    page,
    paragraph,
    table,
)
from tests.analysis.html_checks import Checked

EVIL = "\"><script>alert('x')</script>&amp;\x00"


def test_text_is_shown_and_not_run() -> None:
    assert escaped("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#x27;"
    assert escaped("a\x00\x1b\tb") == "a\ufffd\ufffd\tb"
    assert escaped("x" * 500) == "x" * 150 + "…" + "x" * 150


def test_every_part_escapes() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    parts = [
        paragraph(EVIL),
        bullets([EVIL]),
        table([EVIL, EVIL], [[EVIL, EVIL]]),
        folded(EVIL, paragraph(EVIL)),
        grid([figure([picture, picture], EVIL)]),
        histogram(EVIL, {EVIL: np.array([1, 2, 50])}, log=True),
        bars(EVIL, [EVIL], {EVIL: np.array([3])}),
    ]
    checked = Checked(page(EVIL, paragraph(EVIL), [Section(EVIL, "\n".join(parts))]))
    shown = EVIL.replace("\x00", "\ufffd")
    for element in ("title", "h1", "h2", "a", "p", "li", "th", "td", "summary", "figcaption"):
        assert shown in checked.text[element], element
    assert checked.attributes["img"][0]["alt"] == shown
    assert [(image["width"], image["height"]) for image in checked.attributes["img"]] == [("6", "4")] * 2


def test_a_page_says_what_it_may_load() -> None:
    checked = Checked(page("a", "", []))
    policy = next(m["content"] for m in checked.attributes["meta"] if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    (style,) = checked.text["style"]
    assert "prefers-color-scheme: dark" in style
    assert any(m.get("name") == "viewport" for m in checked.attributes["meta"])


@pytest.mark.parametrize("most", [200_000, 40_000, 3000])
def test_pictures_are_bounded(most: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (320, 640, 3), np.uint8)
    content = jpeg(noise, most)
    assert len(content) <= most
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"
        assert image.width / image.height == pytest.approx(2, rel=0.1)
        assert (image.size == (640, 320)) == (most > 100_000)


def test_a_plain_picture_keeps_its_quality() -> None:
    plain = np.full((100, 200, 3), (200, 30, 90), np.uint8)
    with Image.open(io.BytesIO(jpeg(plain))) as image:
        assert image.size == (200, 100)
        assert np.abs(np.asarray(image).astype(int) - plain).max() <= 3


def rectangles(svg: str) -> dict[str, tuple[float, float]]:
    """Width and height of each rectangle, by its tooltip."""
    found = re.findall(r'<rect [^>]*width="([\d.]+)" height="([\d.]+)"><title>(.*?)</title>', svg)
    return {text: (float(width), float(height)) for width, height, text in found}


def test_bars_of_a_histogram_are_shares_of_their_split() -> None:
    svg = histogram("things", {"train": np.array([0, 0, 0, 2]), "val": np.array([2])})
    found = rectangles(svg)
    assert list(found) == ["train: 75.0% have 0", "train: 25.0% have 2", "val: 100.0% have 2"]
    assert [height for _, height in found.values()] == pytest.approx([0.75 * 118, 0.25 * 118, 118], abs=0.06)
    assert ">100%</text>" in svg
    assert "none" in histogram("things", {"train": np.array([])})


def test_bins_cover_all_numbers_once() -> None:
    numbers = np.random.default_rng(0).integers(1, 100_000, 5000)
    for log in (False, True):
        texts = rectangles(histogram("areas", {"train": numbers}, log=log))
        bins = [tuple(map(int, re.findall(r"(\d+)(?: to (\d+))?$", text)[0])) for text in texts if " to " in text]
        assert all(before[1] + 1 == after[0] for before, after in pairwise(bins))
        assert bins[-1][1] >= numbers.max()
        shares = [float(re.search(r"([\d.]+)% have", text)[1]) for text in texts]
        assert sum(shares) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("value", [1, 480, 1_000_000])
def test_one_value_is_one_bar(value: int) -> None:
    for log in (False, True):
        assert list(rectangles(histogram("sides", {"train": np.full(3, value)}, log=log))) == [
            f"train: 100.0% have {value}"
        ]


def test_bars_have_their_lengths() -> None:
    found = rectangles(
        bars("share", ["road", "car"], {"train": np.array([0.5, 0.1]), "val": np.array([0.25, 0])}, True)
    )
    widths = {text: width for text, (width, _) in found.items()}
    whole = widths["road, train: 50.0%"]
    assert widths == {
        "road, train: 50.0%": whole,
        "road, val: 25.0%": pytest.approx(whole / 2, abs=0.1),
        "car, train: 10.0%": pytest.approx(whole / 5, abs=0.1),
        "car, val: 0.0%": 0,
    }
