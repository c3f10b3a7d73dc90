"""Run folders: whether a run has finished or has been scored. Does not import torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.config.keys import WITHOUT_EFFECT, is_below, leaves
from panoptic.errors import InputError


def finished(folder: Path, config: DictConfig) -> bool:
    """Return whether a run of this configuration has finished in its folder.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.

    Raises:
        InputError: If the folder holds a run with another configuration, or with a summary that cannot be read.
    """
    path = folder / "summary.json"
    if not path.is_file():
        return False
    current = dict(leaves(cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))))
    try:
        recorded = dict(leaves(json.loads(path.read_text(encoding="utf-8"))["config"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the summary of a run, got a file that cannot be read as one") from error
    for key in sorted(current.keys() | recorded.keys()):
        if key in recorded and key in current and current[key] != recorded[key] and not is_below(key, WITHOUT_EFFECT):
            raise InputError(
                f"study={config.study}: expected {key}={recorded[key]}, as in the run that is in {folder}, got "
                f"{current[key]}; another study=NAME keeps the two apart"
            )
    return True


def remove_unfinished(folder: Path) -> None:
    """Remove the logs and checkpoints of an unfinished run."""
    for name in ("tensorboard", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)


def scored(folder: Path, evaluation: Mapping[str, Any]) -> bool:
    """Return whether the last checkpoint of a run has been scored as configured.

    The scores must be those of the last checkpoint on the configured split, without test-time augmentation, with at
    least the configured number of shuffles, and with predictions if configured.

    Args:
        folder: Folder of the run.
        evaluation: Node ``evaluation`` of the run's configuration.
    """
    results = folder / f"evaluate_{evaluation['split']}"
    try:
        scores = json.loads((results / "scores.json").read_text(encoding="utf-8"))
        rounds = scores["fusion"]["shuffled"]["rounds"] if "shuffled" in scores["fusion"] else 0
        plain = scores["tta"] == "none" and Path(scores["checkpoint"]).name == "last.ckpt"
    except (OSError, ValueError, KeyError, TypeError):
        return False
    written = not evaluation["predictions"] or (results / "predictions.json").is_file()
    return plain and written and rounds >= evaluation["shuffles"]


def default_output(checkpoint: Path, name: str) -> Path:
    """Return an output folder in the checkpoint's run: next to ``checkpoints/`` if the file is in such a folder."""
    parent = checkpoint.resolve().parent
    return (parent.parent if parent.name == "checkpoints" else parent) / name
