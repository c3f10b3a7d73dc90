"""A trained network as a folder to share: ``model.safetensors``, ``config.json`` and a model card.

The layout is that of repositories of the Hugging Face Hub, so that a folder can be uploaded as it is. ``config.json``
has the record of a checkpoint, without paths of the machine that trained it, and a digest of the weights. Nothing in
the folder is code, and its configuration is held to the same rules as that of a checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from panoptic.config.keys import is_below, leaves
from panoptic.errors import InputError
from panoptic.training.checkpoint_io import hex_digest
from panoptic.utils.files import replacing, writable_folder, write_json

if TYPE_CHECKING:
    from panoptic.training.checkpoint import Checkpoint

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"

MAX_CONFIG_BYTES = 10_000_000
"""Largest ``config.json`` that is read."""

OF_THE_MACHINE = ("resume", "start_from", "data.root", "data.cache_dir", "data.train", "data.val", "data.test")
"""Keys of a configuration, and those below them, that name files of the machine that trained."""


def write_pretrained(checkpoint: Checkpoint, folder: str | Path, card: str) -> Path:
    """Write a checkpoint as a folder to share; existing files of these names are replaced.

    Args:
        checkpoint: Checkpoint to share.
        folder: Folder to write.
        card: Text of the model card, in Markdown with metadata on top.

    Returns:
        The folder.

    Raises:
        InputError: If the folder cannot be written.
    """
    folder = writable_folder(folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.weights.items()}
    try:
        with replacing(folder / WEIGHTS_FILE, durable=True) as part:
            save_file(weights, part, metadata={"format": "pt"})
        write_json(folder / CONFIG_FILE, _record(checkpoint) | {"sha256": _digest(folder / WEIGHTS_FILE)})
        with replacing(folder / CARD_FILE) as part:
            part.write_text(card, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: expected a folder that can be written, got: {cause}") from None
    return folder


def load_pretrained(folder: Path) -> dict[str, Any]:
    """Read a folder in the form of a checkpoint's content, without running code.

    Raises:
        InputError: If a file is missing, damaged or none of this project.
    """
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        best = folder / "checkpoints" / "best.ckpt"
        got = f"the folder of a run, whose best is {best}" if best.is_file() else f"a folder without {missing[0]}"
        raise InputError(
            f"{folder}: expected a checkpoint, or a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, got {got}"
        )
    record = _read_config(folder / CONFIG_FILE)
    path = folder / WEIGHTS_FILE
    if _digest(path) != record["sha256"]:
        raise InputError(f"{path}: expected the weights that {CONFIG_FILE} belongs to, got others or damaged ones")
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: expected weights as safetensors, got a file that cannot be read: {error}") from None
    epochs = {"current": {"processed": record.get("epochs", 0)}}
    return {
        "panoptic": record,
        "state_dict": {f"network.{name}": value for name, value in weights.items()},
        "loops": {"fit_loop": {"epoch_progress": epochs}},
        "global_step": record.get("steps", 0),
        "callbacks": {"Checkpoints": {"best_scores": record.get("best_scores", {})}},
    }


def _record(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what ``config.json`` has of a checkpoint."""
    from panoptic import __version__
    from panoptic.training.checkpoint import make_record

    started_from = None if checkpoint.started_from is None else {**checkpoint.started_from}
    if started_from is not None:
        started_from["checkpoint"] = Path(str(started_from.get("checkpoint", ""))).name
    backbone = Path(checkpoint.backbone_weights).name
    record = make_record(checkpoint.config, checkpoint.labels, backbone, started_from)
    record["config"] = without_paths(record["config"])
    return {
        "library_name": "panoptic-adaptive-fusion",
        "version": __version__,
        **record,
        "resolution": checkpoint.resolution,
        "calibration": checkpoint.calibration,
        "epochs": checkpoint.epochs,
        "steps": checkpoint.steps,
        "best_scores": checkpoint.best_scores,
    }


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the paths of the machine that trained it."""
    plain = OmegaConf.create(config)
    for key, value in leaves(config):
        if value is not None and is_below(key, OF_THE_MACHINE):
            OmegaConf.update(plain, key, None)
    if OmegaConf.select(plain, "model.backbone.weights") not in ("auto", "imagenet", "package", "random"):
        OmegaConf.update(plain, "model.backbone.weights", "random")
    result = OmegaConf.to_container(plain)
    assert isinstance(result, dict)
    return {str(key): value for key, value in result.items()} | {"overrides": []}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        record = json.loads(path.read_text(encoding="utf-8")) if size <= MAX_CONFIG_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, got a file that cannot be read: {error}") from None
    keys = ("format_version", "config", "labels", "backbone_weights", "sha256")
    if not isinstance(record, dict) or any(key not in record for key in keys):
        raise InputError(f"{path}: expected the configuration of a network of panoptic, got another file")
    return record


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hex_digest(file, path.stat().st_size).decode()
