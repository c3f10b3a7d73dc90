"""Folders of runs: whether a run has finished or been scored there. Imports no torch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from panoptic.config.keys import WITHOUT_EFFECT, is_below, leaves
from panoptic.errors import InputError


def finished(folder: Path, config: DictConfig) -> bool:
    """Whether a run of this configuration has finished in its folder.

    Raises:
        InputError: if a run with another configuration is there, or one whose summary cannot be read.
    """
    path = folder / "summary.json"
    if not path.is_file():
        return False
    wanted = dict(leaves(OmegaConf.to_container(config, resolve=True)))
    try:
        found = dict(leaves(json.loads(path.read_text(encoding="utf-8"))["config"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the summary of a run, got a file that cannot be read as one") from error
    for key in sorted(wanted.keys() | found.keys()):
        if key in found and key in wanted and wanted[key] != found[key] and not is_below(key, WITHOUT_EFFECT):
            raise InputError(
                f"study={config.study}: expected {key}={found[key]}, as in the run that is in {folder}, got "
                f"{wanted[key]}; another study=NAME keeps the two apart"
            )
    return True


def remove_unfinished(folder: Path) -> None:
    """Remove what a run that did not finish has left in its folder."""
    for left in ("tensorboard", "checkpoints"):
        shutil.rmtree(folder / left, ignore_errors=True)


def scored(folder: Path, evaluation: Mapping[str, Any]) -> bool:
    """Whether the run in a folder has been scored as asked: its last checkpoint, as it is, on this split, with as many
    shuffles or more, and with predictions if wanted.

    Args:
        folder: of the run.
        evaluation: the node of that name of its configuration.
    """
    results = folder / f"evaluate_{evaluation['split']}"
    try:
        found = json.loads((results / "scores.json").read_text(encoding="utf-8"))
        rounds = found["fusion"]["shuffled"]["rounds"] if "shuffled" in found["fusion"] else 0
        plain = found["tta"] == "none" and Path(found["checkpoint"]).name == "last.ckpt"
    except (OSError, ValueError, KeyError, TypeError):
        return False
    written = not evaluation["predictions"] or (results / "predictions.json").is_file()
    return plain and written and rounds >= evaluation["shuffles"]


def default_output(checkpoint: Path, name: str) -> Path:
    """Return a folder in the checkpoint's own run: beside ``checkpoints/`` where the file is in such a folder."""
    parent = checkpoint.resolve().parent
    return (parent.parent if parent.name == "checkpoints" else parent) / name
