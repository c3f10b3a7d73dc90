"""Parts of a self-contained HTML page: text, tables and pictures. Whatever comes from a data set is escaped."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from string import Template
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

PICTURE_BYTES = 40_000
"""Maximum size of the JPEG file of a picture in a page."""

_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160)], "\ufffd")  # not allowed in HTML

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --text: #1f2328; --faint: #59636e; --back: #ffffff; --card: #f6f8fa;
  --line: #d1d9e0; --good: #1a7f37; --bad: #cf222e; --s0: #2f6fbb; --s1: #c4620a; --s2: #1b7f63; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --faint: #9da7b3; --back: #0d1117; --card: #161b22;
  --line: #3d444d; --good: #56d364; --bad: #ff7b72; --s0: #6ea8ec; --s1: #f0a050; --s2: #4fc3a1; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main, header, nav { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 1.2rem 0 0.3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.5rem; padding-top: 0.6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 0.3rem; }
p, li, figcaption, summary { overflow-wrap: anywhere; }
p, ul { max-width: 48rem; margin: 0.4rem 0; }
ul { padding-left: 1.2rem; }
nav { font-size: 0.9rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
a { color: var(--s0); }
.verdict { font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; margin: 0.6rem 0; }
table { border-collapse: collapse; font-size: 0.875rem; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 6rem; max-width: 30rem; }
th { color: var(--faint); font-weight: 600; }
.number { min-width: 0; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem;
  margin: 0.8rem 0; }
.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 11rem), 1fr)); }
figure { margin: 0; padding: 0.6rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
figcaption { font-size: 0.8rem; color: var(--faint); margin-top: 0.3rem; }
.chart figcaption { color: var(--text); font-weight: 600; margin: 0 0 0.3rem; }
figure img { max-width: 100%; height: auto; display: block; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0.4rem; align-items: start; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 11px; }
svg .axis { stroke: var(--line); stroke-width: 1; }
.f0 { fill: var(--s0); } .f1 { fill: var(--s1); } .f2 { fill: var(--s2); }
.key { display: inline-block; width: 0.75rem; height: 0.75rem; border-radius: 2px; margin: 0 0.3rem 0 0.9rem; }
.b0 { background: var(--s0); } .b1 { background: var(--s1); } .b2 { background: var(--s2); }
details { margin: 0.6rem 0; }
summary { cursor: pointer; }
</style>
</head>
<body>
<header>
<h1>$title</h1>
$head
</header>
<nav aria-label="Sections">$links</nav>
<main>
$sections
</main>
</body>
</html>
""")


class Section(NamedTuple):
    """Section of a page.

    Attributes:
        title: Title, text.
        body: HTML.
    """

    title: str
    body: str


def escaped(text: object, most: int = 300) -> str:
    """Return text as HTML that shows it, at most ``most`` characters."""
    whole = str(text)
    shortened = whole if len(whole) <= most else f"{whole[: most // 2]}…{whole[-most // 2 :]}"
    return html.escape(shortened.translate(_CONTROLS))


def page(title: str, head: str, sections: Sequence[Section]) -> str:
    """Return a page as HTML.

    Args:
        title: Title, text.
        head: HTML below the title.
        sections: Sections, each linked at the top.
    """
    links = " ".join(f'<a href="#s{i}">{escaped(section.title)}</a>' for i, section in enumerate(sections))
    bodies = "\n".join(
        f'<section id="s{i}">\n<h2>{escaped(section.title)}</h2>\n{section.body}\n</section>'
        for i, section in enumerate(sections)
    )
    return _PAGE.substitute(title=escaped(title), head=head, links=links, sections=bodies)


def paragraph(text: str, kind: str = "") -> str:
    """Return text as a paragraph of a class of the style sheet."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escaped(text, 2000)}</p>"


def bullets(texts: Sequence[str]) -> str:
    """Return texts as a list; nothing without any."""
    return "<ul>\n" + "\n".join(f"<li>{escaped(text, 1000)}</li>" for text in texts) + "\n</ul>" if texts else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return a table, which scrolls where it is wider than the screen.

    Args:
        columns: Names of the columns.
        rows: Cells of each row, text.
        words: Number of columns at the left that are not numbers.
    """
    kinds = ["" if i < words else ' class="number"' for i in range(len(columns))]
    head = "".join(f'<th scope="col"{kind}>{escaped(name)}</th>' for kind, name in zip(kinds, columns, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def folded(summary: str, body: str) -> str:
    """Return HTML that is shown when its summary is clicked."""
    return f"<details><summary>{escaped(summary)}</summary>\n{body}\n</details>"


def grid(figures: Sequence[str], kind: str = "") -> str:
    """Return figures in as many columns as the screen has room for; nothing without any."""
    return f'<div class="grid{kind and " " + kind}">\n' + "\n".join(figures) + "\n</div>" if figures else ""


def figure(pictures: Sequence[UInt8[np.ndarray, "H W 3"]], caption: str) -> str:
    """Return pictures side by side above their caption.

    Args:
        pictures: RGB pictures, one or two.
        caption: Caption, text.
    """
    images = "".join(_image(picture, caption) for picture in pictures)
    inside = f'<div class="pair">{images}</div>' if len(pictures) > 1 else images
    return f"<figure>{inside}<figcaption>{escaped(caption, 200)}</figcaption></figure>"


def _image(picture: UInt8[np.ndarray, "H W 3"], text: str) -> str:
    content = base64.b64encode(jpeg(picture)).decode()
    height, width = picture.shape[:2]
    return (
        f'<img src="data:image/jpeg;base64,{content}" width="{width}" height="{height}" alt="{escaped(text, 200)}" '
        'loading="lazy">'
    )


def jpeg(picture: UInt8[np.ndarray, "H W 3"], most: int = PICTURE_BYTES) -> bytes:
    """Compress a picture to at most ``most`` bytes: one with much noise at a lower quality, then smaller."""
    image = Image.fromarray(picture)
    while True:
        for quality in (80, 50, 25):
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality)
            if file.tell() <= most or max(image.size) <= 16:
                return file.getvalue()
        image = image.reduce(2)
