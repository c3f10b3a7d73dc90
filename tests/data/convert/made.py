"""What the tests of ``python -m panoptic.convert`` share: images, the command, and what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from panoptic.commands.convert import convert
from panoptic.config.schema import ConvertConfig
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.errors import InputError
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
    """Convert with these keys; return ``None``, or the sentence that it ends with. Composing takes Hydra too long."""
    keys = OmegaConf.from_dotlist([*("output=out", "workers=1"), *arguments])
    config = OmegaConf.merge(OmegaConf.structured(ConvertConfig), keys)
    assert isinstance(config, DictConfig)
    try:
        convert(config)
    except InputError as error:
        assert not Path("out").exists()
        assert not list(Path().glob(".*.tmp"))
        return str(error)
    return None


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
