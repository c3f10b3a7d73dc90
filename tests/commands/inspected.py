"""What the tests of ``python -m panoptic.inspect`` share: the command, and faults made in a data set."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from panoptic.commands.app import command
from panoptic.commands.inspect import inspect
from panoptic.data.checks.faults import KINDS

Faults = set[tuple[str, str, str]]
JSON = "coco_panoptic/panoptic_train.json"
IMAGE, PNG = "coco_panoptic/train/train_00000{}.png", "coco_panoptic/panoptic_train/train_00000{}.png"


def inspected(*arguments: str) -> tuple[int, dict, Faults]:
    """Exit status, the report, and (kind, file, what) of each fault."""
    status = 0
    try:
        command("inspect", inspect, ("output=out", "workers=1", *arguments))
    except SystemExit as stop:
        status = int(stop.code)
    with open("out/faults.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    report = json.loads(Path("out/report.json").read_text())
    assert report["fit"] == (status == 0)
    assert all(row["kind"] in KINDS for row in rows)
    return status, report, {(row["kind"], row["file"], row["fault"]) for row in rows}


def change(edit: Callable[[dict], None]) -> None:
    content = json.loads(Path(JSON).read_text())
    edit(content)
    Path(JSON).write_text(json.dumps(content))


def segment(content: dict, image: int, row: int = 0) -> dict:
    return content["annotations"][image]["segments_info"][row]
