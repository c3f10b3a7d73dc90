"""Parts of the page as HTML, in which pictures and downloads are data: the page asks for no file."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath

import numpy as np
from PIL import Image

from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.demo_page.pictures import Difference
from panoptic.demo_page.truth import Quality
from panoptic.results import Result
from panoptic.visualization.overlay import LEVEL_COLORS

JPEG_QUALITY = 90


def message(text: str, is_problem: bool = False) -> str:
    """Return a sentence to the visitor."""
    kind, role = ("problem", "alert") if is_problem else ("note", "status")
    return f'<p class="{kind}" role="{role}">{escape(text)}</p>'


def view(drawn: np.ndarray, shown: Result, title: str) -> str:
    """Return a picture whose segments say what they are where the pointer is.

    The page's script looks up the segment in a second picture, which has the ids.

    Args:
        drawn: Picture, uint8 ``[H W 3]``.
        shown: Result of the same size, with the segments that are shown.
        title: Line above the picture.
    """
    texts = escape(json.dumps(segment_texts(shown)))
    return (
        f'<figure class="segments-view" data-segments="{texts}"><figcaption>{escape(title)}</figcaption>'
        f'<div class="frame"><img class="picture" alt="segments" src="{jpeg(drawn)}">'
        f'<img class="ids" alt="" hidden src="{png(shown.to_coco()[0])}"><canvas class="mark"></canvas></div>'
        '<p class="tip" aria-live="polite">&nbsp;</p></figure>'
    )


def views(parts: Sequence[str]) -> str:
    """Return pictures beside each other, or below where there is little room."""
    return f'<div class="beside">{"".join(parts)}</div>'


def segment_texts(result: Result) -> dict[int, str]:
    """Return category, score and area of each segment by its id."""
    return {s.id: f"{s.category} · score {s.score:.2f} · {s.area} pixels" for s in result.segments}


def difference_text(found: Difference) -> str:
    """Return how much of an image differs."""
    return (
        f"class differs in {found.classes.mean():.1%} of the pixels, instance alone in {found.instances.mean():.1%}; "
        "both are striped in magenta"
    )


def details(result: Result, alpha: Sequence[np.ndarray] | None, seconds: Mapping[str, float], title: str) -> str:
    """Return complexity, fusion weights, time and segments of an image.

    Args:
        result: Result of a prediction.
        alpha: Pictures of local fusion weights, a level each, if there are any.
        seconds: Time of each stage by name.
        title: Heading.
    """
    numbers = []
    if result.complexity is not None:
        names = [name.replace("_", " ") for name in COMPLEXITY_NAMES]
        rows = [(n, f"{value:.3f}") for n, value in zip(names, result.complexity.tolist(), strict=True)]
        numbers.append(table(("predicted complexity", ""), rows))
    if result.alpha is not None:
        numbers.append(bars(result.alpha))
    if alpha is not None:
        numbers.append(_maps(alpha))
    numbers.append(table(("time", ""), [(stage, f"{1000 * value:.0f} ms") for stage, value in seconds.items()]))
    found = table(("category", "segments", "share"), category_rows(result))
    inner = views([f"<div>{''.join(numbers)}</div>", f"<div>{found}</div>"])
    return f'<section class="details"><h3>{escape(title)}</h3>{inner}</section>'


def category_rows(result: Result) -> list[tuple[str, str, str]]:
    """Return name, number of segments and share of the image of each category that occurs, largest first."""
    count = Counter(segment.category for segment in result.segments)
    area: Counter[str] = Counter()
    for segment in result.segments:
        area[segment.category] += segment.area
    return [(name, str(count[name]), f"{pixels / result.ids.size:.1%}") for name, pixels in area.most_common()]


def bars(alpha: np.ndarray) -> str:
    """Return fusion weights of the levels as bars.

    Args:
        alpha: Fusion weights, fine to coarse ``[L]``.
    """
    rows = []
    for level, weight in enumerate(alpha.tolist()):
        red, green, blue = LEVEL_COLORS[level % len(LEVEL_COLORS)].astype(int).tolist()
        rows.append(
            f'<div class="bar"><span>{_level(level)}</span><i><b style="width:{100 * weight:.1f}%;'
            f'background:rgb({red},{green},{blue})"></b></i><span>{weight:.3f}</span></div>'
        )
    return f'<div class="bars"><p>fusion weights α, fine to coarse</p>{"".join(rows)}</div>'


def _maps(alpha: Sequence[np.ndarray]) -> str:
    pictures = (
        f'<figure><img alt="α of {_level(level)}" src="{jpeg(drawn)}"><figcaption>{_level(level)}</figcaption></figure>'
        for level, drawn in enumerate(alpha)
    )
    return f'<div class="maps"><p>α by place, black is 0</p>{"".join(pictures)}</div>'


def _level(level: int) -> str:
    return f"P{level + 2}"


def qualities(found: Mapping[str, Sequence[Quality]]) -> str:
    """Return PQ, SQ and RQ by category.

    Args:
        found: Scores of each network by its title.
    """
    parts = []
    for title, scores in found.items():
        rows = [(q.name, *(f"{100 * value:.1f}" for value in q[1:])) for q in scores]
        parts.append(f"<section><h3>{escape(title)}</h3>{table(('category', 'PQ', 'SQ', 'RQ'), rows)}</section>")
    return f'<div class="beside scores">{"".join(parts)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def downloads(result: Result, name: str, title: str) -> str:
    """Return links to the segments in COCO panoptic form, the PNG of ids and the JSON file, which are in the page.

    Args:
        result: Result of a prediction, whole.
        name: Name of the image.
        title: Title of the network, whose first word is in the names of the files.
    """
    stem = f"{PurePath(name).stem or 'image'}_{title.partition(':')[0]}"
    picture, infos = result.to_coco()
    height, width = result.size
    content = {
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "annotations": [{"image_id": 1, "file_name": f"{stem}.png", "segments_info": infos}],
        "categories": result.labels.to_dicts(),
    }
    text = base64.b64encode(json.dumps(content).encode()).decode()
    links = (
        ("PNG", f"{stem}.png", png(picture)),
        ("JSON", f"{stem}.json", f"data:application/json;base64,{text}"),
    )
    parts = (f'<a class="download" download="{escape(file)}" href="{data}">{kind}</a>' for kind, file, data in links)
    return f'<p class="downloads">COCO panoptic of {escape(title.partition(":")[0])}: {" ".join(parts)}</p>'


def drop_area(role: str, text: str, accept: str) -> str:
    """Return a field that takes a file, by dropping it or choosing it.

    Args:
        role: What the file is to the page's script.
        text: What to drop.
        accept: Kinds of files that are offered for choosing.
    """
    return (
        f'<label class="drop"><input type="file" data-role="{role}" accept="{accept}">'
        f'<span>{escape(text)}</span><span class="chosen"></span></label>'
    )


def jpeg(image: np.ndarray) -> str:
    """Return a picture as a data address, for looking at."""
    return _data(Image.fromarray(image), "JPEG", quality=JPEG_QUALITY, subsampling=0)  # contours are thin


def png(image: Image.Image) -> str:
    """Return a picture as a data address, with its values as they are."""
    return _data(image, "PNG", compress_level=3)


def _data(image: Image.Image, kind: str, **options: int) -> str:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
