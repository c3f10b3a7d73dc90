"""Run folders made by hand, with scores that follow from a few numbers."""

from __future__ import annotations

import copy
import csv
import json
import math
from pathlib import Path
from typing import Any

from panoptic.commands.app import command
from panoptic.commands.compare import compare
from panoptic.comparison.differences import Comparison, compare_variants
from panoptic.comparison.runs import read_runs
from panoptic.comparison.variants import choose_baseline, find_variants, same_images, warnings_of

ROOT = Path(__file__).parents[2]
T2 = 4.302652729911275
"""Student's t of two degrees of freedom that leaves 2.5% above it, as printed tables have it."""

CONFIG: dict[str, Any] = {
    "name": "quick",
    "seed": 0,
    "start_from": None,
    "resume": None,
    "overrides": [],
    "data": {"_target_": "data.Synthetic", "crop": [64, 128], "root": "d", "train": {"dir": "t"}, "workers": 1},
    "model": {
        "_target_": "models.Network",
        "_partial_": True,
        "fpn": {"channels": 64},
        "fusion": {"_target_": "models.fusion.UniformFusion", "_partial_": True},
    },
    "loss": {"_target_": "losses.PanopticLoss", "boundary_weight": 2.0, "center": 0.5},
    "optimizer": {"_target_": "optim.muon_cosine", "lr": 0.02},
    "curriculum": {"_target_": "Curriculum", "stages": 3, "epochs_per_stage": 1},
    "logger": {"_target_": "TensorBoardLogger", "save_dir": "here"},
}
FUSIONS = {
    "uniform": {"_target_": "models.fusion.UniformFusion"},
    "static": {"_target_": "models.fusion.StaticFusion"},
    "adaptive": {"_target_": "models.fusion.AdaptiveFusion", "hidden": 64},
    "local": {"_target_": "models.fusion.LocalFusion", "hidden": 64},
}


def configured(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The configuration with other values by dotted key; ``None`` takes a key out."""
    config = copy.deepcopy(CONFIG)
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return config


def made(
    folder: str, seed: int, pq: float = 0.4, fusion: str = "uniform", config: dict | None = None, **summary: Any
) -> Path:
    """A finished run: its last scores follow from ``pq``."""
    path = Path(folder) / f"{fusion}_{seed}"
    path.mkdir(parents=True)
    changes = {"seed": seed, "logger.save_dir": str(path), "model.fusion": FUSIONS[fusion], **(config or {})}
    last = {"val/pq": pq, "val/pq_things": pq - 0.1, "val/pq_stuff": pq + 0.1, "val/boundary_f1": 0.5}
    last |= {"val/boundary_pq": 0.3, "val/pq/car": pq - 0.1, "val/pq/road": pq + 0.1, "val/pq/bus": math.nan}
    content = {
        "seed": seed,
        "seconds": 60.0 * (seed + 1),
        "last": last,
        "config": configured(changes),
        "backbone_weights": "random",
        "device": "cpu",
        "precision": "32-true",
        "versions": {"panoptic": "0.1.0", "torch": "2.15", "python": "3.11.7"},
    }
    (path / "summary.json").write_text(json.dumps(content | summary))
    return path


def evaluated(
    run: Path,
    car: list[float],
    road: list[float],
    *,
    split: str = "test",
    density: list[float] | None = None,
    alpha: list[float] | None = None,
    predicted: list[float] | None = None,
    shuffled: list[float] | None = None,
    ids: list[int] | None = None,
) -> None:
    """What evaluation leaves of images with one car and one road each, matched with these IoU; below 0.5 missed."""
    folder = run / f"evaluate_{split}"
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for i, (car_iou, road_iou) in enumerate(zip(car, road, strict=True)):
        row: dict[str, Any] = {"image_id": ids[i] if ids else i, "file_name": f"{i}.png", "pq": ""}
        row |= {"object_density": density[i] if density else i, "scale_variance": 0.5}
        for name, iou in (("car", car_iou), ("road", road_iou)):
            found = iou > 0.5
            row |= {f"iou_sum/{name}": iou if found else 0.0, f"tp/{name}": int(found)}
            row |= {f"fp/{name}": 0, f"fn/{name}": int(not found)}
        if alpha:
            row |= {"alpha_P2": alpha[i], "alpha_P3": 1 - alpha[i], "alpha_P4": 0.0}
        if predicted:
            row |= {"predicted_object_density": predicted[i], "predicted_scale_variance": 0.5}
        rows.append(row)
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    values = {}
    for name, ious in (("car", car), ("road", road)):
        found = [iou for iou in ious if iou > 0.5]
        values[name] = sum(found) / (len(found) + (len(ious) - len(found)) / 2)
    scores = {
        "checkpoint": f"{run}/checkpoints/last.ckpt",
        "split": split,
        "tta": "none",
        "images": len(car),
        "all": {"pq": sum(values.values()) / 2, "n": 2},
        "things": {"pq": values["car"], "n": 1},
        "stuff": {"pq": values["road"], "n": 1},
        "per_class": {name: {"pq": value} for name, value in values.items()},
        "boundary_pq": {"all": {"pq": 0.25}},
        "boundary_f1": 0.5,
        "mean_iou": 0.75,
    }
    if shuffled:
        scores["fusion"] = {"shuffled": {"rounds": len(shuffled), "pq": shuffled, "as_predicted": 0.5}}
    scores["categories"] = [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0}]
    (folder / "scores.json").write_text(json.dumps(scores))


def compared(folder: str = "runs", split: str | None = None, baseline: str | None = None) -> Comparison:
    runs, split, _ = read_runs([Path(folder)], split)
    variants, _ = find_variants(runs)
    by_image, _ = same_images(runs)
    return compare_variants(variants, choose_baseline(variants, baseline), split, by_image, frozenset({"car"}))


def warned(folder: str = "runs", baseline: str | None = None) -> list[str]:
    runs, _, unfinished = read_runs([Path(folder)], None)
    variants, doubled = find_variants(runs)
    return [*doubled, *warnings_of(variants, choose_baseline(variants, baseline), unfinished)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(*arguments: str) -> None:
    """Run the command in this process."""
    command("compare", compare, arguments)
