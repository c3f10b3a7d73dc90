"""Kinds of bad JSON files, each drawn by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from benchmarks.soak.bad_files import FRACTION

WALK = st.lists(FRACTION, min_size=1, max_size=6)
"""The way from the root to a value, as fractions of the number of items."""

NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.sampled_from([0, -1, 2**24, 2**31, 2**32, 2**63, 2**64, -(2**63) - 1, 10**30, 10**300, 1e308, 0.5, True]),
)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(
            st.one_of(
                st.text(max_size=10), st.sampled_from(["images", "annotations", "categories", "id", "file_name"])
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)
IDS = st.one_of(NUMBERS, st.text(max_size=20), st.none(), st.sampled_from(["\ud800", "\0", "1", "a/b", "[/b]", []]))
NAMES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            *("", ".", "..", "/", "../../x.png", "/dev/zero", "/etc/passwd", "a/../../x.png", "..\\x", "C:\\x", "\0"),
            *("[/b]", "[red]", "${oc.env:HOME}", "\ud800", "\n", "a" * 5000, "道", "\u202e", "~root", "%s%s", "{0}"),
            *("/proc/self/mem", "/proc/self/environ", "//x", "./././a.png", "void", "panoptic: "),
        ]
    ),
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "rot13"])
EXTREMES = st.one_of(
    st.tuples(st.just("digits"), st.integers(1, 20_000)),
    st.tuples(st.just("depth"), st.integers(1, 200_000)),
    st.tuples(st.just("constant"), st.sampled_from(["NaN", "Infinity", "-Infinity", "1e400", "-0", "0x1", "1_000"])),
    st.tuples(st.just("encoding"), ENCODINGS),
    st.tuples(st.just("repeated"), st.sampled_from(["images", "annotations", "categories"])),
    st.tuples(st.just("after"), st.text(min_size=1, max_size=20)),
)


def replace(path: Path, content: Any) -> None:
    """Put any JSON in the place of a file."""
    path.write_text(json.dumps(content))


def replace_value(path: Path, drawn: tuple[list[float], Any]) -> None:
    """Replace a value at any depth."""
    walk, value = drawn

    def change(node: Any, key: Any) -> None:
        node[key] = value

    _at(path, walk, change)


def remove_value(path: Path, walk: list[float]) -> None:
    """Remove a key, or an item, at any depth."""
    _at(path, walk, lambda node, key: node.__delitem__(key))


def repeat_value(path: Path, walk: list[float]) -> None:
    """Repeat an item of a list; where there is none, the whole list above it."""

    def change(node: Any, key: Any) -> None:
        if isinstance(node, list):
            node.insert(key, node[key])
        elif isinstance(node[key], list):
            node[key] = node[key] * 2

    _at(path, walk, change)


def replace_id(path: Path, drawn: tuple[str, float, float, Any]) -> None:
    """Replace an id."""
    kind, first, second, value = drawn
    content = json.loads(path.read_text())
    entries, key = {
        "image": (content["images"], "id"),
        "category": (content["categories"], "id"),
        "annotation": (content["annotations"], "image_id"),
        "segment": (_one(content["annotations"], first)["segments_info"], "id"),
        "segment's category": (_one(content["annotations"], first)["segments_info"], "category_id"),
    }[kind]
    _one(entries, second)[key] = value
    path.write_text(json.dumps(content))


KINDS_OF_IDS = st.sampled_from(["image", "category", "annotation", "segment", "segment's category"])


def replace_name(path: Path, drawn: tuple[str, float, str]) -> None:
    """Replace the name of a file or category."""
    kind, fraction, name = drawn
    content = json.loads(path.read_text())
    _one(content[kind], fraction)["name" if kind == "categories" else "file_name"] = name
    path.write_text(json.dumps(content))


KINDS_OF_NAMES = st.sampled_from(["images", "annotations", "categories"])


def replace_number(path: Path, drawn: tuple[str, float, Any]) -> None:
    """Replace a height, width, area, flag, score or color."""
    key, fraction, value = drawn
    content = json.loads(path.read_text())
    entry = _one(content["images"], fraction)
    if key in ("area", "iscrowd", "score", "bbox"):
        entry = _one(_one(content["annotations"], fraction)["segments_info"], fraction)
    elif key in ("isthing", "color"):
        entry = _one(content["categories"], fraction)
    entry[key] = value
    path.write_text(json.dumps(content))


KINDS_OF_NUMBERS = st.sampled_from(["height", "width", "area", "iscrowd", "score", "bbox", "isthing", "color"])


def go_to_extremes(path: Path, drawn: tuple[str, Any]) -> None:
    """Let a file have numbers, depth, constants or an encoding that readers may not expect."""
    kind, value = drawn
    text = path.read_text()
    begin = text.index(":", text.index('"width"')) + 1
    if kind == "encoding":
        import codecs

        path.write_bytes(text.encode(value) if value != "rot13" else codecs.encode(text, "rot13").encode())
        return
    if kind == "repeated":
        text = f'{text.rstrip()[:-1]}, "{value}": []}}'
    elif kind == "after":
        text += value
    else:
        inserted = {"digits": lambda: "9" * value, "depth": lambda: "[" * value + "]" * value}.get(
            kind, lambda: value
        )()
        text = f'{text[:begin]} {inserted}, "other": {text[begin:]}'
    path.write_text(text, errors="surrogatepass")


def _at(path: Path, walk: list[float], change: Callable[[Any, Any], None]) -> None:
    """Change a file at the value that a walk leads to."""
    content = node = json.loads(path.read_text())
    above: Any = None
    key: Any = None
    for fraction in walk:
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        if not keys:
            break
        above, key = node, keys[int(fraction * len(keys))]
        node = above[key]
    change(above, key)
    path.write_text(json.dumps(content))


def _one(entries: list[Any], fraction: float) -> Any:
    return entries[int(fraction * len(entries))]
