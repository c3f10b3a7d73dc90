"""Run folders: what they contain, whether a run has finished or has been scored. Does not import torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.config.keys import RESUMABLE, WITHOUT_EFFECT, differences, is_below
from panoptic.errors import InputError
from panoptic.utils.files import naming


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
    try:
        recorded = dict(json.loads(path.read_text(encoding="utf-8"))["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the summary of a run, got a file that cannot be read as one") from error
    refuse_other_study(folder, recorded, config)
    return True


def refuse_other_study(folder: Path, recorded: Mapping[str, Any], config: DictConfig) -> None:
    """Raise if the run in the folder of a study has another configuration.

    A key that one of the two lacks is passed over, since another version of this project may have added it.

    Raises:
        InputError: If a key that affects results differs; the message names the first one.
    """
    for key, (old, new) in differences(recorded, plain(config)).items():
        if old is not None and new is not None and not is_below(key, WITHOUT_EFFECT):
            raise InputError(
                f"study={config.study}: expected {key}={old}, as in the run that is in {folder}, got {new}; "
                "another study=NAME keeps the two apart"
            )


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain containers."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))


def record_event(folder: Path, event: str, **fields: Any) -> None:
    """Append an event of a run, with its time, to ``history.jsonl`` in its folder."""
    line = json.dumps({"time": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}", "event": event, **fields})
    path = folder / "history.jsonl"
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def has_run(folder: Path) -> bool:
    """Return whether a folder holds a run, finished or not."""
    return any((folder / name).exists() for name in ("config.yaml", "summary.json", "checkpoints"))


def goes_on_from_checkpoint(folder: Path) -> bool:
    """Return whether the run in a folder has a checkpoint, or had one: a run that has not may begin again."""
    return (folder / "summary.json").exists() or any((folder / "checkpoints").glob("*.ckpt"))


def run_of(path: Path) -> Path | None:
    """Return the folder of the run that a checkpoint belongs to, or that ``path`` itself is; ``None`` without one."""
    folder = path.absolute()
    if not folder.is_dir():
        folder = folder.parent
    if folder.name == "checkpoints":
        folder = folder.parent
    return folder if (folder / "config.yaml").is_file() else None


def newest_unfinished(parent: Path, config: DictConfig) -> Path | None:
    """Return the newest unfinished run of a configuration below a folder, or ``None``.

    Keys that a resumed run may change, :data:`~panoptic.config.keys.RESUMABLE`, may differ, and with a budget the
    number of steps that was chosen by it.
    """
    free = RESUMABLE if config.get("budget") is None else (*RESUMABLE, "data.epoch_size")
    for folder in sorted((path for path in parent.glob("*") if path.is_dir()), reverse=True):
        if (folder / "summary.json").exists() or not any((folder / "checkpoints").glob("*.ckpt")):
            continue
        try:
            recorded = OmegaConf.load(folder / "config.yaml")
            assert isinstance(recorded, DictConfig)
            changed = differences(plain(recorded), plain(config))
        except Exception:  # of another version, or cut short: not a run to go on with by itself
            continue
        if all(is_below(key, free) for key in changed):
            return folder
    return None


def remove_unfinished(folder: Path) -> None:
    """Remove the logs and checkpoints of an unfinished run that has no whole checkpoint to go on from."""
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
    """Return an output folder in the checkpoint's run: next to ``checkpoints/`` if the file is in such a folder.

    What belongs to a checkpoint that is a folder, shared or downloaded, goes into the current folder.
    """
    if checkpoint.is_dir():
        return Path(name)
    parent = checkpoint.resolve().parent
    return (parent.parent if parent.name == "checkpoints" else parent) / name
