"""Checkpoints: data, not code. Weights, the plain configuration and the label space; nothing else is needed.

The record under the key ``panoptic`` of a Lightning checkpoint holds ``format_version``, ``config``, ``labels``,
``backbone_weights`` and ``started_from``. A checkpoint holds plain containers and tensors only and loads with
``weights_only=True``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from panoptic.codec import Codec
from panoptic.config.composing import build
from panoptic.config.overrides import restore
from panoptic.errors import InputError
from panoptic.labels import LabelSpace

FORMAT_VERSION = 2
"""Rises when checkpoints change so that code of another version could not read them."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: of its file.
        config: under the schema, with the changes that were asked for.
        labels: the label space it was trained on.
        weights: of the network, by name.
        backbone_weights: what the backbone started from.
        started_from: what else was taken from a checkpoint before it; see :class:`Adopted`.
        epochs: of training that it has behind it.
    """

    path: Path
    config: DictConfig
    labels: LabelSpace
    weights: dict[str, Tensor]
    backbone_weights: str
    started_from: dict[str, Any] | None
    epochs: int


def make_record(
    config: DictConfig, labels: LabelSpace, backbone_weights: str, started_from: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The record that a checkpoint carries."""
    return {
        "format_version": FORMAT_VERSION,
        "config": OmegaConf.to_container(config, resolve=True),
        "labels": labels.to_dicts(),
        "backbone_weights": backbone_weights,
        "started_from": started_from,
    }


def read_checkpoint(path: str | Path, overrides: Sequence[str] = ()) -> Checkpoint:
    """Reads a checkpoint of this project.

    Args:
        path: of the file.
        overrides: changes to its configuration, in Hydra's syntax.

    Raises:
        InputError: if there is no such file, it is no checkpoint of this project, its format is newer than this version
            knows, or a change does not fit.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: expected a checkpoint, got {'a folder' if path.is_dir() else 'no such file'}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path}: expected a checkpoint, got a file that cannot be read as one ({type(error).__name__})"
        ) from error
    record = content.get("panoptic") if isinstance(content, dict) else None
    if not isinstance(record, dict) or "state_dict" not in content:
        raise InputError(f"{path}: expected a checkpoint of panoptic, got a file without its record")
    try:
        return _parse(path, content, record, overrides)
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
    epochs = content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return Checkpoint(path, config, labels, weights, record["backbone_weights"], record.get("started_from"), epochs)


def build_network(config: DictConfig, num_classes: int) -> nn.Module:
    """The network of a configuration, with its initial weights, laid out channels-last."""
    network = build(config.model)(num_classes=num_classes, seed=config.seed)
    return network.to(memory_format=torch.channels_last)


def build_codec(config: DictConfig, labels: LabelSpace, network: nn.Module) -> Codec:
    """The codec of a configuration at the strides of its network."""
    return build(config.codec)(labels=labels, stride=network.stride, complexity_stride=network.complexity_stride)


def restore_network(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint with its weights, for inference.

    Raises:
        InputError: if the weights do not fit the configuration.
    """
    config = checkpoint.config.copy()
    config.model.backbone.weights = "random"  # about to be overwritten: nothing to fetch
    network = build_network(config, checkpoint.labels.num_classes)
    try:
        network.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]  # the rest are the other weights that do not fit
        raise InputError(
            f"{checkpoint.path}: expected weights that fit its configuration: {first[0].strip()}"
        ) from None
    return network.eval()


@dataclass(frozen=True)
class Adopted:
    """Which parts of a network took their weights from a checkpoint.

    Attributes:
        path: of the checkpoint.
        kept: number of weights by part.
        made_anew: number of weights by part, for those that start from initial weights.
    """

    path: Path
    kept: dict[str, int]
    made_anew: dict[str, int]

    def __str__(self) -> str:
        def listed(parts: dict[str, int]) -> str:
            return (
                ", ".join(f"{part} ({count / 1e6:.2f} million weights)" for part, count in parts.items()) or "nothing"
            )

        return f"{self.path}: kept {listed(self.kept)}; made anew: {listed(self.made_anew)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return {"checkpoint": str(self.path), "kept": self.kept, "made_anew": self.made_anew}


HEADS = ("semantic_head", "instance_head")
"""The parts that belong to a label space."""


def adopt_weights(network: nn.Module, labels: LabelSpace, checkpoint: Checkpoint) -> Adopted:
    """Gives a network the weights of a checkpoint, part by part, wherever they fit.

    The heads are left with their initial weights unless the categories are those of the checkpoint; so is every part
    whose weights have other names or shapes.

    Args:
        network: whose children are its parts.
        labels: that it is to be trained on.
        checkpoint: to take weights from.

    Raises:
        InputError: if no part fits.
    """
    kept: dict[str, int] = {}
    made_anew: dict[str, int] = {}
    for name, part in network.named_children():
        prefix = f"{name}."
        given = {k.removeprefix(prefix): v for k, v in checkpoint.weights.items() if k.startswith(prefix)}
        own = part.state_dict()
        fits = given.keys() == own.keys() and all(given[key].shape == own[key].shape for key in own)
        wanted = name not in HEADS or labels.has_categories_of(checkpoint.labels)
        if fits and wanted:
            part.load_state_dict(given)
        count = sum(parameter.numel() for parameter in part.parameters())
        if count:
            (kept if fits and wanted else made_anew)[name] = count
    if not kept:
        raise InputError(f"{checkpoint.path}: expected weights that fit its configuration, got none that do")
    return Adopted(checkpoint.path, kept, made_anew)
