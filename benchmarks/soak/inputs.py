"""Bad inputs of many kinds, drawn by hypothesis, for the commands that read images and data sets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.soak import bad_files as files
from benchmarks.soak import bad_json as text
from benchmarks.soak.forking import attempt
from benchmarks.soak.records import HANGS, Row, broken_promise
from benchmarks.soak.setting import READERS, run
from panoptic.data.coco.reader import CocoPanopticSource


@dataclass(frozen=True)
class Kind:
    """A kind of bad input.

    Attributes:
        name: What is bad.
        values: What hypothesis draws.
        damage: Function of a file and of what is drawn; it may return another path.
        target: What is damaged: an ``image``, the ``map`` of an image's segments, or a ``json`` file.
        jpeg: Whether the image is stored as JPEG before.
    """

    name: str
    values: st.SearchStrategy
    damage: Callable[[Path, Any], Path | None]
    target: str = "image"
    jpeg: bool = False

    @property
    def readers(self) -> tuple[str, ...]:
        """Readers of such a file, in turn; ``inspect`` takes long, since it draws pictures."""
        return {
            "image": ("predict", "loader", "predict", "loader", "inspect"),
            "path": ("predict",),
        }.get(self.target, ("score", "loader", "score", "loader", "inspect"))


KINDS = (
    Kind("PNG cut short", files.FRACTION, files.truncate),
    Kind("JPEG cut short", files.FRACTION, files.truncate, jpeg=True),
    Kind("PNG with other bytes", files.ALTERED, files.alter),
    Kind("JPEG with other bytes", files.ALTERED, files.alter, jpeg=True),
    Kind("image of another mode or format", files.FORMATS, files.reformat),
    Kind("image of another size", files.SIZES, files.resize),
    Kind("image that claims another size", files.HUGE, files.claim_size),
    Kind("no image", files.CONTENTS, files.replace_content),
    Kind("no regular file for an image", files.NO_FILES, files.take_away),
    Kind("odd name of an image", files.NAMES, files.rename, "path"),
    Kind("segments cut short", files.FRACTION, files.truncate, "map"),
    Kind("segments with other bytes", files.ALTERED, files.alter, "map"),
    Kind("segments of another mode or format", files.FORMATS, files.reformat, "map"),
    Kind("segments of another size", files.SIZES, files.resize, "map"),
    Kind("segments with other ids", files.PIXELS, files.scatter, "map"),
    Kind("no regular file for segments", files.NO_FILES, files.take_away, "map"),
    Kind("JSON cut short", files.FRACTION, files.truncate, "json"),
    Kind("JSON with other bytes", files.ALTERED, files.alter, "json"),
    Kind("any other JSON", text.ANY, text.replace, "json"),
    Kind("JSON with another value", st.tuples(text.WALK, text.ANY), text.replace_value, "json"),
    Kind("JSON without a value", text.WALK, text.remove_value, "json"),
    Kind("JSON with repeated values", text.WALK, text.repeat_value, "json"),
    Kind(
        "JSON with odd ids",
        st.tuples(text.KINDS_OF_IDS, files.FRACTION, files.FRACTION, text.IDS),
        text.replace_id,
        "json",
    ),
    Kind(
        "JSON with odd names or numbers",
        st.one_of(
            st.tuples(text.KINDS_OF_NAMES, files.FRACTION, text.NAMES).map(lambda drawn: (text.replace_name, drawn)),
            st.tuples(text.KINDS_OF_NUMBERS, files.FRACTION, text.ANY).map(lambda drawn: (text.replace_number, drawn)),
        ),
        lambda path, drawn: drawn[0](path, drawn[1]),
        "json",
    ),
    Kind("JSON of odd encoding, depth or digits", text.EXTREMES, text.go_to_extremes, "json"),
)


def give_bad_inputs(folder: Path, sound: Path, name: str, count: int, number: int) -> Row:
    """Give bad inputs of a kind to the commands that read such files.

    Args:
        folder: Folder to work in.
        sound: Folder with a run, a data set and images.
        name: Name of the kind of input.
        count: Number of inputs.
        number: Seed of what hypothesis draws; the reader that begins depends on it.

    Returns:
        What became of them.
    """
    folder.mkdir(parents=True)
    kind = next(kind for kind in KINDS if kind.name == name)
    row = Row(name)
    for i, drawn in enumerate(draw(kind.values, count, number), start=number):
        here = folder / "here"
        shutil.copytree(sound, here, symlinks=True)
        reader = kind.readers[i % len(kind.readers)]
        outcome = attempt(_damaged(kind, drawn, here, reader, other=i % 2 == 1), here, HANGS)
        row.add(outcome, broken_promise(outcome), f"{reader}: {drawn!r}"[:200])
        shutil.rmtree(here)
    return row


def draw(values: st.SearchStrategy, count: int, number: int) -> list[Any]:
    """Return so many different values, or as many as there are.

    Args:
        values: Strategy.
        count: Number of values.
        number: Seed.
    """
    drawn: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(values)
    def collect(value: Any) -> None:
        if len(drawn) < count:
            drawn.append(value)

    if count:
        collect()
    while 0 < len(drawn) < count:  # few values there are, which other readers get
        drawn += drawn[: count - len(drawn)]
    return drawn


def _damaged(kind: Kind, drawn: Any, here: Path, reader: str, *, other: bool) -> Callable[[], None]:
    """Damage a file, and return the task that reads it.

    Args:
        kind: What is bad.
        drawn: What was drawn.
        here: Folder with copies of sound files.
        reader: What reads it.
        other: Whether to damage the predictions rather than the truth, where both are read.
    """
    image = here / "image.png" if reader == "predict" else sorted((here / "data" / "val").iterdir())[0]
    maps = sorted((here / ("guess" if reader == "score" and other else "data/panoptic_val")).iterdir())
    jsons = here / ("guess.json" if reader == "score" and other else "data/panoptic_val.json")
    path = {"image": image, "path": image, "map": maps[0], "json": jsons}[kind.target]
    if kind.jpeg:
        files.encode_jpeg(path)
    path = kind.damage(path, drawn) or path
    if reader != "loader":
        arguments = READERS[reader]
        if reader == "predict":  # the folder of an oddly named file in turn with the file, as a shell gives it
            given = path.parent if other and kind.target == "path" else path
            arguments = (*arguments[:-1], f"input={os.path.relpath(given, here)}")
        return lambda: run(reader, *arguments)
    return _load


def _load() -> None:
    """Read every image, as training does."""
    source = CocoPanopticSource("val", root="data")
    for index in range(len(source)):
        source.read(index)
