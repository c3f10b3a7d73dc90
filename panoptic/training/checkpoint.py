"""Self-contained checkpoints: weights, configuration and label space, without code.

The record under the key ``panoptic`` of a Lightning checkpoint holds ``format_version``, ``config``, ``labels``,
``backbone_weights`` and ``started_from``. A checkpoint contains only plain containers and tensors and loads with
``weights_only=True``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from panoptic.codec import Codec
from panoptic.config.composing import build
from panoptic.config.keys import leaves
from panoptic.config.overrides import restore
from panoptic.config.targets import TARGETS
from panoptic.data.bands import Reading
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.models import PanopticNetwork
from panoptic.training.checkpoint_io import load, save
from panoptic.training.pretrained import load_pretrained

FORMAT_VERSION = 4
"""Version of the checkpoint format, incremented by incompatible changes."""

CHOSEN = ("peak_threshold", "peak_window", "thing_area", "stuff_area")
"""Keys of ``codec`` that :func:`panoptic.analysis.decoding.choose_decoding` chooses."""

HUB = "hf://"
"""Beginning of the id of a repository of the model hub, in place of a path."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint.

    Attributes:
        path: Path of the file.
        config: Configuration under the schema, with overrides applied.
        labels: Label space of the training data.
        weights: Weights of the network by name.
        backbone_weights: Description of the initial weights of the backbone.
        started_from: Weights adopted from an earlier checkpoint, as in :meth:`Adopted.to_dict`; ``None`` without one.
        epochs: Number of epochs trained.
        batches: Number of batches trained of the epoch after those.
        steps: Number of steps of the optimizer.
        best_scores: Scores of the best checkpoint of the run until then; empty without one.
        can_resume: Whether the file has the state of the optimizer and the schedule.
        resolution: Rule of adaptive resolution, as :func:`store_resolution` stores it; ``None`` without one.
        calibration: Maps of scores, as :class:`panoptic.training.callbacks.calibration.Calibration` fits them; ``None``
            without.
    """

    path: Path
    config: DictConfig
    labels: LabelSpace
    weights: dict[str, Tensor]
    backbone_weights: str
    started_from: dict[str, Any] | None
    epochs: int
    batches: int = 0
    steps: int = 0
    best_scores: dict[str, float] = field(default_factory=dict)
    can_resume: bool = False
    resolution: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None


def make_record(
    config: DictConfig, labels: LabelSpace, backbone_weights: str, started_from: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the record that is stored in checkpoints."""
    return {
        "format_version": FORMAT_VERSION,
        "config": OmegaConf.to_container(config, resolve=True),
        "labels": labels.to_dicts(),
        "backbone_weights": backbone_weights,
        "started_from": started_from,
    }


def read_checkpoint(path: str | Path, overrides: Sequence[str] = (), *, decoding: bool = True) -> Checkpoint:
    """Read a checkpoint of this project.

    Args:
        path: Path of the file, or of a folder that :func:`panoptic.training.pretrained.write_pretrained` wrote, or
            ``hf://user/name`` for a repository of the model hub with such a folder.
        overrides: Overrides of its configuration, in Hydra's syntax.
        decoding: Whether to apply the settings of decoding that :func:`store_decoding` stored. A run that goes on, or
            begins from the checkpoint, chooses its own.

    Raises:
        InputError: If the file does not exist, is not a checkpoint of this project or has another format version, or if
            an override does not fit.
    """
    if str(path).startswith(HUB):
        from panoptic.training.sharing import download

        path = download(str(path).removeprefix(HUB))
    path = Path(path).expanduser()
    if path.is_dir():
        content = load_pretrained(path)
    elif path.is_file():
        content = load(path)
    else:
        raise InputError(f"{path}: expected a checkpoint, got no such file")
    record = content.get("panoptic") if isinstance(content, dict) else None
    if not isinstance(record, dict) or "state_dict" not in content:
        raise InputError(f"{path}: expected a checkpoint of panoptic, got a file without its record")
    try:
        checkpoint = _parse(path, content, record, [*(_decoding(record) if decoding else ()), *overrides])
        check_size(checkpoint, restore(record["config"], _trusted(record["config"], overrides), str(path)))
        return checkpoint
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: expected a whole checkpoint of panoptic, got a damaged one ({type(error).__name__}: {error})"
        ) from error


def _parse(path: Path, content: dict[str, Any], record: dict[str, Any], overrides: Sequence[str]) -> Checkpoint:
    version = record["format_version"]
    if version != FORMAT_VERSION:
        age = "a newer" if version > FORMAT_VERSION else "an older"
        raise InputError(
            f"{path}: expected a checkpoint of format {FORMAT_VERSION}, got {version}; "
            f"{age} version of panoptic wrote it"
        )
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    config = restore(record["config"], overrides, str(path))
    labels = LabelSpace.from_dicts(record["labels"])
    loop = content["loops"]["fit_loop"]
    progress = loop["epoch_progress"]["current"]
    unfinished = progress.get("ready", 0) > progress["processed"]
    return Checkpoint(
        path,
        config,
        labels,
        weights,
        record["backbone_weights"],
        record.get("started_from"),
        epochs=progress["processed"],
        batches=loop["epoch_loop.batch_progress"]["current"]["ready"] if unfinished else 0,
        steps=content.get("global_step", 0),
        best_scores=best_scores_in(content),
        can_resume=bool(content.get("optimizer_states")) and bool(content.get("lr_schedulers")),
        resolution=record.get("resolution"),
        calibration=record.get("calibration"),
    )


def check_size(checkpoint: Checkpoint, config: DictConfig) -> None:
    """Raise if the network of a stored configuration is larger than the weights beside it.

    It is built without memory for its weights, so that no number in a file can take more than the file itself.

    Args:
        checkpoint: Content of the file.
        config: Configuration in the file, without overrides.

    Raises:
        InputError: If it is larger.
    """
    # Of storages, since a tensor may repeat a number any number of times.
    storages = {w.untyped_storage().data_ptr(): w for w in checkpoint.weights.values()}
    stored = sum(w.untyped_storage().nbytes() // w.element_size() for w in storages.values())
    config = config.copy()
    config.model.backbone.weights = "random"  # avoids a download
    try:
        with torch.device("meta"):
            network = build(config.model)(num_classes=checkpoint.labels.num_classes, seed=0)
        needed = sum(value.numel() for value in network.state_dict().values())
    except InputError as error:
        raise InputError(f"{checkpoint.path}: {error}") from None
    except NotImplementedError:  # some backbones compute with their weights when they are made
        return
    except RuntimeError as error:  # numbers whose product overflows
        raise InputError(f"{checkpoint.path}: expected a network that can be built, got: {error}") from None
    if needed > stored:
        raise InputError(
            f"{checkpoint.path}: expected weights for all of the network that its configuration describes, "
            f"{needed} numbers, got {stored}"
        )


def _trusted(config: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Return the overrides without which a stored configuration would be refused: they name classes of one's own."""
    own = {key for key, value in leaves(config) if key.endswith("_target_") and value not in TARGETS}
    return [override for override in overrides if override.partition("=")[0] in own]


def _decoding(record: dict[str, Any]) -> list[str]:
    """Return the chosen settings of decoding as overrides."""
    settings = (record.get("decoding") or {"settings": {}})["settings"]
    for key, value in settings.items():
        if key not in CHOSEN or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"decoding.{key}")
    return [f"codec.{key}={value}" for key, value in settings.items()]


def store_resolution(path: Path, rule: dict[str, float]) -> None:
    """Store the rule of adaptive resolution in a checkpoint, which stays as it is otherwise.

    Args:
        path: Path of the checkpoint.
        rule: ``first``, ``threshold`` and the ``drop`` it was chosen for; see :mod:`panoptic.inference.resolution`.

    Raises:
        InputError: If the file cannot be written.
    """
    _store(path, resolution=rule)


def store_decoding(path: Path, decoding: dict[str, Any], calibration: dict[str, Any]) -> None:
    """Store settings of decoding, which apply from then on, and their map of scores in a checkpoint.

    Args:
        path: Path of the checkpoint.
        decoding: ``settings`` by key of :data:`CHOSEN`, and what they were chosen by.
        calibration: See :class:`Checkpoint`.

    Raises:
        InputError: If the file cannot be written.
    """
    _store(path, decoding=decoding, calibration=calibration)


def _store(path: Path, **entries: Any) -> None:
    """Replace entries of the record of a checkpoint."""
    content = load(path)
    content["panoptic"] |= entries
    try:
        save(content, path)
    except OSError as error:
        raise InputError(f"{path}: expected a checkpoint that can be written, got: {error.strerror}") from None


def best_scores_in(content: dict[str, Any]) -> dict[str, float]:
    """Return the scores of the best checkpoint of a run, as the content of one of its checkpoints has them."""
    return dict(content.get("callbacks", {}).get("Checkpoints", {}).get("best_scores", {}))


def build_network(config: DictConfig, num_classes: int) -> PanopticNetwork:
    """Build the network of a configuration, with initial weights, in channels-last memory format."""
    bands = Reading.of_data(config.data).bands
    network: PanopticNetwork = build(config.model)(num_classes=num_classes, seed=config.seed, in_channels=bands)
    return network.to(memory_format=torch.channels_last)


def build_codec(config: DictConfig, labels: LabelSpace, network: nn.Module) -> Codec:
    """Build the codec of a configuration for the strides of a network."""
    return build(config.codec)(labels=labels, stride=network.stride, complexity_stride=network.complexity_stride)


def _check_bands(checkpoint: Checkpoint) -> None:
    """Raise if the configuration reads images of other bands than the network takes."""
    mean = checkpoint.weights.get("mean")
    read = Reading.of_data(checkpoint.config.data)
    if mean is not None and mean.ndim == 4 and mean.shape[1] != read.bands:
        given = None if read.channels is None else list(read.channels)
        raise InputError(
            f"data.channels: expected {mean.shape[1]} bands, as the network of {checkpoint.path} takes, got {given}"
        )


def restore_network(checkpoint: Checkpoint) -> PanopticNetwork:
    """Build the network of a checkpoint with its weights, in evaluation mode.

    Raises:
        InputError: If the weights do not fit the configuration.
    """
    _check_bands(checkpoint)
    config = checkpoint.config.copy()
    config.model.backbone.weights = "random"  # overwritten below; avoids a download
    network = build_network(config, checkpoint.labels.num_classes)
    try:
        network.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]  # further lines list more mismatches
        raise InputError(
            f"{checkpoint.path}: expected weights that fit its configuration: {first[0].strip()}"
        ) from None
    return network.eval()


@dataclass(frozen=True)
class Adopted:
    """Parts of a network whose weights were adopted from a checkpoint.

    Attributes:
        path: Path of the checkpoint.
        kept: Number of weights of each part that was adopted.
        reinitialized: Number of weights of each part that starts from initial weights.
    """

    path: Path
    kept: dict[str, int]
    reinitialized: dict[str, int]

    def __str__(self) -> str:
        def describe(parts: dict[str, int]) -> str:
            return (
                ", ".join(f"{part} ({count / 1e6:.2f} million weights)" for part, count in parts.items()) or "nothing"
            )

        return f"{self.path}: kept {describe(self.kept)}; reinitialized: {describe(self.reinitialized)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain containers, for checkpoints and summaries."""
        return {"checkpoint": str(self.path), "kept": self.kept, "reinitialized": self.reinitialized}


HEADS = ("semantic_head", "instance_head")
"""Parts that depend on the label space."""


def adopt_weights(network: nn.Module, labels: LabelSpace, checkpoint: Checkpoint) -> Adopted:
    """Load the weights of a checkpoint into a network, for each part that they fit.

    A part keeps its initial weights if the names or shapes of its weights differ from the checkpoint's. The heads also
    keep theirs unless the categories are those of the checkpoint.

    Args:
        network: Network to modify; its direct children are the parts.
        labels: Label space that the network will be trained on.
        checkpoint: Checkpoint to adopt weights from.

    Returns:
        Number of weights of the adopted and of the reinitialized parts.

    Raises:
        InputError: If no part fits.
    """
    kept: dict[str, int] = {}
    reinitialized: dict[str, int] = {}
    for name, part in network.named_children():
        prefix = f"{name}."
        saved = {k.removeprefix(prefix): v for k, v in checkpoint.weights.items() if k.startswith(prefix)}
        initial = part.state_dict()
        fits = saved.keys() == initial.keys() and all(saved[key].shape == initial[key].shape for key in initial)
        compatible = name not in HEADS or labels.has_categories_of(checkpoint.labels)
        if fits and compatible:
            part.load_state_dict(saved)
        count = sum(parameter.numel() for parameter in part.parameters())
        if count:
            (kept if fits and compatible else reinitialized)[name] = count
    if not kept:
        raise InputError(f"{checkpoint.path}: expected weights that fit its configuration, got none that do")
    return Adopted(checkpoint.path, kept, reinitialized)
