"""Studies: sweeps whose runs have folders that stay, so that a sweep goes on where it stopped. Imports no torch."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from panoptic.errors import InputError

LONGEST = 80
"""Characters of a folder's name."""

WITHOUT_EFFECT = (
    "study",
    "evaluation",
    "logger",
    "callbacks.pictures",
    "data.cache",
    "data.cache_dir",
    "data.workers",
    "trainer.log_every_n_steps",
    "resume",
    "overrides",
)
"""Keys that change nothing of what a run finds."""


def run_folder(study: str | None, name: str, overrides: str) -> str:
    """Where a run goes that is not part of a sweep."""
    if study is None:
        return f"runs/train/{name}/{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    return f"{_folder_of(study)}/{slug(overrides)}"


def sweep_folder(study: str | None, name: str) -> str:
    """Where the runs of a sweep go."""
    return f"runs/sweep/{name}/{datetime.now():%Y-%m-%d_%H-%M-%S-%f}" if study is None else _folder_of(study)


def sweep_subfolder(study: str | None, number: int, overrides: str) -> str:
    """The folder of one run of a sweep. In a study, it does not depend on what else is in the sweep."""
    return slug(overrides) if study is not None else f"{number}_{slug(overrides)}"


def _folder_of(study: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(study)) is None:
        raise InputError(f"study: expected a name of letters, digits, dots, - and _, got {study!r}")
    return f"runs/study/{study}"


def slug(text: str) -> str:
    """A folder's name from any text: no ``=``, which Hydra could not read back in a path, and not too long.

    What is cut off a long text leaves its checksum, so that two texts with one beginning have two names.
    """
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_") or "run"
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}_{zlib.crc32(text.encode()):08x}"


def finished(folder: Path, config: DictConfig) -> bool:
    """Whether a run of this configuration has finished in its folder. What one that did not finish left is removed.

    Raises:
        InputError: if a run with another configuration is there, or one whose summary cannot be read.
    """
    path = folder / "summary.json"
    wanted = dict(leaves(OmegaConf.to_container(config, resolve=True)))
    if not path.is_file():
        for left in ("tensorboard", "checkpoints"):
            shutil.rmtree(folder / left, ignore_errors=True)
        return False
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


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with dots, and their values."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_below(key: str, names: Sequence[str]) -> bool:
    """Whether a key with dots is one of some names, or below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
