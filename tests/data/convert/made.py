"""What the tests of ``python -m panoptic.convert`` share: images, the command, and what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.convert import convert
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.segments import Segments


def image(path: Path, width: int = 20, height: int = 10, fill: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (fill, 10, 10)).save(path)
    return path


def save_map(path: Path, values: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8))
    if palette:
        picture.putpalette([channel for i in range(256) for channel in (i, 255 - i, 7 * i % 256)])
    picture.save(path)


def square(x: float, y: float, side: float) -> list[float]:
    """A polygon of which pycocotools draws the pixels x..x+side-1."""
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def dump(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def converted(*arguments: str) -> str | None:
    """Run the command in this process; return ``None``, or the sentence that it ends with."""
    with pytest.MonkeyPatch.context() as patch:
        told: list[str] = []
        patch.setattr("panoptic.commands.app._fail", lambda error, status=1: told.append(str(error)))
        command("convert", convert, ("output=out", "workers=1", *arguments))
    if told:
        assert not Path("out").exists()
        assert not list(Path().glob(".*.tmp"))
    return told[0] if told else None


def segments(split: str, name: str, root: str = "out") -> Segments:
    source = CocoPanopticSource(split, root=root)
    found = [i for i, file in enumerate(source.images.file_names) if Path(file).stem == name]
    truth = source.read(found[0]).segments
    assert truth is not None
    return truth


def table(split: str, name: str) -> list[tuple[str, int, bool]]:
    """Category, area and crowd of each segment of an image."""
    truth = segments(split, name)
    names = CocoPanopticSource(split, root="out").labels.names
    rows = zip(truth.classes.tolist(), truth.areas().tolist(), truth.crowd.tolist(), strict=True)
    return sorted((names[c], area, crowd) for c, area, crowd in rows)


def written(split: str) -> list[str]:
    return sorted(entry["file_name"] for entry in json.loads(Path(f"out/panoptic_{split}.json").read_text())["images"])
