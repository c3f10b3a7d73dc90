"""Where a run begins: anew, with the weights of another, or where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from panoptic.config.keys import RESUMABLE, differences, is_below, leaves
from panoptic.config.overrides import restore
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.training.checkpoint import Checkpoint, best_scores_in, read_checkpoint
from panoptic.training.checkpoint_io import load, verify
from panoptic.training.runs import goes_on_from_checkpoint, plain, run_of

NAMES = ("last.ckpt", "best.ckpt")
"""Checkpoints of a run, in the order in which one is looked for that is whole."""


@dataclass(frozen=True)
class Start:
    """What a run begins from.

    Attributes:
        config: Configuration of the run.
        resumed: Checkpoint to go on from.
        source: Checkpoint of an earlier run to take weights from.
        changes: Keys that differ from the checkpoint's configuration, each with the old and the new value.
        best_scores: Scores of the best checkpoint that is in the run's folder.
        notes: What to tell about it.
    """

    config: DictConfig
    resumed: Checkpoint | None = None
    source: Checkpoint | None = None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    best_scores: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def first_epoch(self) -> int:
        """Number of epochs behind it."""
        return 0 if self.resumed is None else self.resumed.epochs


def resume(path: Path, overrides: Sequence[str] = (), config: DictConfig | None = None) -> Start:
    """Return where a run stopped.

    Args:
        path: Folder of the run, or a checkpoint.
        overrides: Overrides of the configuration in the checkpoint.
        config: Configuration to go on with instead of the checkpoint's.

    Raises:
        InputError: If there is no whole checkpoint, or a key differs that changes what is trained.
    """
    chosen, notes = whole_checkpoint(path)
    # Classes of one's own are trusted by giving them anew.
    given = overrides if config is None else [f"{key}={value}" for key, value in leaves(plain(config))]
    trusted = [override for override in given if "_target_=" in override]
    recorded = read_checkpoint(chosen, trusted, decoding=False)
    if not recorded.can_resume:
        raise InputError(
            f"{chosen}: expected the checkpoint of a run, with the state of its optimizer, got one without; "
            f"start_from={chosen} begins a new run with its weights"
        )
    if config is None:
        config = restore(plain(recorded.config), overrides, str(chosen))
    changes = _changes(recorded, config)
    position = f"epoch {recorded.epochs + 1}, step {recorded.steps}"
    best_scores, about_best = _best_scores(chosen)
    notes = [*notes, f"goes on from {chosen} (in {position})", *about_best]
    return Start(config, recorded, None, changes, best_scores, tuple(notes))


def whole_checkpoint(path: Path) -> tuple[Path, list[str]]:
    """Return a checkpoint if it is whole, else another of the same run that is, and what to tell about it.

    Args:
        path: Folder of the run, or a checkpoint.

    Raises:
        InputError: If there is none.
    """
    folder = run_of(path)
    others = [] if folder is None else [folder / "checkpoints" / name for name in NAMES]
    if path.is_dir() and folder is None:
        raise InputError(
            f"resume={path}: expected the folder of a run or a checkpoint, got a folder without config.yaml"
        )
    candidates = others if path.is_dir() else [path, *(p for p in others if p != path.absolute())]
    damaged: list[str] = []
    for candidate in candidates:
        if not candidate.is_file():
            if candidate == path:
                raise InputError(f"{path}: expected a checkpoint, got no such file")
            continue
        try:
            verify(candidate)
        except InputError as error:
            damaged.append(str(error))
            continue
        return candidate, damaged
    missing = f"resume={path}: expected a run with a checkpoint, got one without"
    if folder is not None and not goes_on_from_checkpoint(folder):
        missing += f"; resume=auto hydra.run.dir={path}, with the settings of the run, begins it again"
    raise InputError(damaged[0] if damaged else missing)


def _changes(recorded: Checkpoint, config: DictConfig) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ from a checkpoint's configuration.

    Raises:
        InputError: If one of them changes what is trained.
    """
    ignored = ("resume", "overrides", "logger.save_dir", "start_from")
    changes = {
        key: values
        for key, values in differences(plain(recorded.config), plain(config)).items()
        if not is_below(key, ignored)
    }
    for key, (old, new) in changes.items():
        if not is_below(key, RESUMABLE):
            raise InputError(
                f"{key}: expected {old}, as in the run that goes on, got {new}; a run keeps what it trains, and "
                f"start_from={recorded.path} begins another with its weights"
            )
    return changes


def _best_scores(chosen: Path) -> tuple[dict[str, float], list[str]]:
    """Return the scores of the best checkpoint in a run's folder, from that file itself, and what to tell about it.

    The file may be newer than the checkpoint that the run goes on from.
    """
    folder = run_of(chosen)
    best = None if folder is None else folder / "checkpoints" / "best.ckpt"
    if best is None or not best.is_file():
        return {}, []
    try:
        return best_scores_in(load(best)), []
    except InputError as error:
        return {}, [f"{error}; the best from here on takes its place"]


def check_labels(start: Start, labels: LabelSpace) -> None:
    """Raise if a run that goes on has other categories than it began with.

    Raises:
        InputError: If there is such a difference; the message names the first one.
    """
    if start.resumed is not None and not labels.has_categories_of(start.resumed.labels):
        raise InputError(
            f"data: expected the categories of {start.resumed.path}, {start.resumed.labels.difference(labels)}"
        )
