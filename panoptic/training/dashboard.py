"""The dashboard of a run, whichever logger writes it: TensorBoard, Weights & Biases, MLflow, or tables as CSV."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig

from panoptic.config.composing import build
from panoptic.errors import InputError
from panoptic.utils.files import write_json

PACKAGES = {"WandbLogger": "wandb", "MLFlowLogger": "mlflow"}
"""Packages, and the extras of the same name, that loggers need."""


def build_logger(config: DictConfig, folder: Path, first_step: int = 0) -> Logger | None:
    """Build the logger of a run, which writes to its folder.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        first_step: Step that training begins with. From there on, TensorBoard's files are replaced, a run of Weights &
            Biases or MLflow goes on, and a table gets a folder of its own.

    Raises:
        InputError: If the logger needs a package that is not installed, or what the folder says of it cannot be read.
    """
    target = config.logger._target_
    if target is None:
        return None
    kind = target.rpartition(".")[2]
    package = PACKAGES.get(kind)
    if package is not None and find_spec(package) is None:
        raise InputError(
            f"logger={package}: expected the package {package}, got none; "
            f"pip install 'panoptic-adaptive-fusion[{package}]'"
        )
    options: dict[str, Any] = {"save_dir": str(folder)} if "save_dir" in config.logger else {}
    if kind == "TensorBoardLogger" and first_step:
        options["purge_step"] = first_step
    elif kind == "CSVLogger" and first_step:  # it would delete the table that is there
        options["version"] = f"{config.logger.version}_{first_step}"
    elif kind == "WandbLogger":
        options |= {"name": config.logger.name or config.name, "id": _remembered(folder, kind) if first_step else None}
    elif kind == "MLFlowLogger":
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder.resolve() / "mlruns").as_uri()
        options |= {"run_name": config.logger.run_name or config.name, "tracking_uri": uri}
        options |= {"run_id": _remembered(folder, kind) if first_step else None}
    return build(config.logger, **options)


def _remembered(folder: Path, kind: str) -> str | None:
    """Return the identifier that a service gave the run; ``None`` if it did not yet.

    Raises:
        InputError: If the file that has it is damaged.
    """
    path = folder / "logger.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["id"]) if found["logger"] == kind else None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the logger of the run and its id, got: {error}") from None


def begin(logger: Logger | None, folder: Path, hyperparameters: Mapping[str, Any]) -> None:
    """Log the hyperparameters, and remember what a service calls the run. TensorBoard gets them with the summary."""
    if logger is None or isinstance(logger, TensorBoardLogger):
        return
    if isinstance(logger, MLFlowLogger):  # which refuses another value; a run that goes on may have changed some
        known = logger.experiment.get_run(str(logger.run_id)).data.params
        hyperparameters = {key: value for key, value in hyperparameters.items() if key not in known}
    logger.log_hyperparams(dict(hyperparameters))
    if isinstance(logger, (WandbLogger, MLFlowLogger)):
        write_json(folder / "logger.json", {"logger": type(logger).__name__, "id": logger.version})


def log_summary(
    logger: Logger | None, hyperparameters: Mapping[str, Any], scores: Mapping[str, float], step: int
) -> None:
    """Log the final scores of a run, beside its hyperparameters where the logger shows them together."""
    if isinstance(logger, TensorBoardLogger):
        logger.log_hyperparams(dict(hyperparameters), dict(scores), step=step)
    elif logger is not None:
        logger.log_metrics(dict(scores), step)


def takes_pictures(logger: Logger | None) -> bool:
    """Return whether a logger takes pictures."""
    return isinstance(logger, (TensorBoardLogger, WandbLogger, MLFlowLogger))


def log_picture(logger: Logger | None, tag: str, picture: UInt8[np.ndarray, "H W 3"], step: int) -> None:
    """Write a picture to the dashboard, if its logger takes pictures.

    Args:
        logger: Logger of the run; ``None`` writes nothing.
        tag: Name of the picture.
        picture: Picture to write.
        step: Training step that it belongs to.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(tag, picture, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        logger.log_image(tag, [picture], step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(str(logger.run_id), picture, key=tag, step=step)


@contextmanager
def ending(logger: Logger | None) -> Iterator[None]:
    """Write all that is left when a run ends, and leave nothing open that the next run of a sweep would write to."""
    status = 1
    try:
        yield
        status = 0
    finally:
        if isinstance(logger, WandbLogger):
            import wandb

            if wandb.run is not None:
                wandb.finish(exit_code=status)


def hint(logger: Logger | None, folder: Path) -> str | None:
    """Say how to look at the dashboard; ``None`` if there is none."""
    if isinstance(logger, TensorBoardLogger):
        return f"tensorboard --logdir {folder}"
    if isinstance(logger, WandbLogger):
        return str(logger.experiment.url or f"wandb sync {folder / 'wandb'}/*run-*")
    if isinstance(logger, MLFlowLogger):
        return f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {logger._tracking_uri}"
    return str(logger.log_dir) if isinstance(logger, CSVLogger) else None
