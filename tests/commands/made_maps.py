"""What the tests of ``python -m panoptic.score`` share: two images, their truth and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.score import score

CATEGORIES = [
    {"id": 7, "name": "road", "isthing": 0},
    {"id": 26, "name": "car", "isthing": 1},
    {"id": 24, "name": "person", "isthing": 1},
]
TRUTH = {  # by image id: rows of segment ids, and the category of each
    "a": ([[1, 1, 1, 1], [2, 2, 0, 3], [2, 2, 0, 3]], {1: 7, 2: 26, 3: 26}),
    "b": ([[70000, 70000, 70000], [256, 256, 256]], {70000: 7, 256: 24}),
}
GUESS = {
    "a": ([[9, 9, 9, 9], [8, 8, 8, 0], [8, 8, 0, 0]], {9: 7, 8: 26}),
    "b": ([[5, 5, 5], [6, 6, 6]], {5: 7, 6: 26}),
}


def write(name: str, maps: dict[Any, tuple[list, dict]], change: Callable[[dict], None] | None = None) -> None:
    """Files in COCO panoptic format, in the working directory."""
    Path(name).mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id, (rows, categories) in maps.items():
        numbers = np.array(rows)
        pixels = np.stack([numbers & 255, (numbers >> 8) & 255, numbers >> 16], -1).astype(np.uint8)
        Image.fromarray(pixels).save(f"{name}/{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": len(rows), "width": len(rows[0])})
        infos = [{"id": i, "category_id": c, "iscrowd": 0, "area": -1} for i, c in categories.items()]
        annotations.append({"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": infos})
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    if change is not None:
        change(content)
    Path(f"{name}.json").write_text(json.dumps(content))


def run(*arguments: str) -> None:
    """The command on these files, in this process."""
    command("score", score, ("ground_truth=truth.json", "predictions=guess.json", *arguments))
