"""The backbone: any timm model that gives features at four strides."""

from __future__ import annotations

import urllib.error
import urllib.request
import warnings
from pathlib import Path

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import InputError
from panoptic.models.checkpointing import CountOnce

PROBE_SECONDS = 4.0
"""How long the model hub may take to answer before it counts as out of reach."""


class Backbone(nn.Module):
    """A timm model's last four feature levels, fine to coarse.

    Args:
        name: of the timm model, e.g. ``resnet50``.
        weights: ``random``; ``imagenet`` (or an error); ``auto`` (ImageNet if the hub answers within seconds, else a
            warning and random weights); or the path of a file with the model's state dict.
        checkpointing: whether to compute activations again in the backward pass, rather than keep them: training takes
            less memory and more time (``python -m benchmarks.training``).

    Attributes:
        channels: of each level.
        strides: of each level, in pixels per cell.
        mean: of its pretraining's normalization, for channels in 0..1.
        std: the same.
        weights_used: what the weights came to be: ``random``, ``imagenet`` or the file's path.

    Raises:
        InputError: if timm knows no such model, it has no four levels, its weights cannot be had, or it cannot be
            checkpointed and should be.
    """

    def __init__(self, name: str = "resnet50", weights: str = "auto", checkpointing: bool = False) -> None:
        super().__init__()
        self.weights_used = _choose_weights(name, weights)
        levels = {"features_only": True, "out_indices": (-4, -3, -2, -1)}
        try:
            self.body = timm.create_model(name, pretrained=self.weights_used == "imagenet", **levels)
        except (RuntimeError, IndexError, AssertionError) as error:  # timm's for no levels, and for too few
            raise InputError(
                f"model.backbone.name: expected a timm model with feature levels, got {name!r}: {error}"
            ) from None
        self.channels: list[int] = self.body.feature_info.channels()
        self.strides: list[int] = self.body.feature_info.reduction()
        pretraining = self.body.pretrained_cfg
        self.mean, self.std = tuple(pretraining["mean"]), tuple(pretraining["std"])
        if len(self.channels) != 4:
            raise InputError(f"model.backbone.name: expected a model with four feature levels, got {name!r}")
        if self.weights_used not in ("random", "imagenet"):
            self._load(Path(self.weights_used))
        self._norms: CountOnce | None = None
        self.checkpointing = checkpointing
        if checkpointing:
            try:
                self.body.set_grad_checkpointing(True)
            except (AttributeError, AssertionError):
                raise InputError(
                    f"model.backbone.checkpointing: expected a model that timm can checkpoint, got {name!r}"
                ) from None

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        if self.checkpointing and self.training:
            self._norms = self._norms or CountOnce(
                self.body
            )  # not before: norms may be exchanged for synchronized ones
            self._norms.next_batch()
        return self.body(images)

    def _load(self, path: Path) -> None:
        """Takes every weight that the body has from the file; the file may hold more, such as a classifier."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(
                f"{path}: expected a file of weights (a state dict), got one that cannot be read as such "
                f"({type(error).__name__})"
            ) from None
        state = state.get("state_dict", state) if isinstance(state, dict) else {}
        lacking = [key for key in self.body.state_dict() if key not in state and "num_batches_tracked" not in key]
        if lacking:
            raise InputError(
                f"{path}: expected weights for {lacking[0]!r} ({len(lacking)} are lacking), which it has not"
            )
        try:
            self.body.load_state_dict({key: state[key] for key in self.body.state_dict() if key in state}, strict=False)
        except RuntimeError as error:
            first = str(error).splitlines()[1:2] or [str(error)]  # the rest are the other weights that do not fit
            raise InputError(f"{path}: expected weights of this backbone's shapes: {first[0].strip()}") from None


def _choose_weights(name: str, weights: str) -> str:
    if name not in timm.list_models(name) and name.split(".")[0] not in timm.list_models():
        raise InputError(f"model.backbone.name: expected a model that timm knows, got {name!r}")
    if weights == "random":
        return weights
    if weights not in ("auto", "imagenet"):
        if not Path(weights).is_file():
            raise InputError(f"model.backbone.weights: expected auto, imagenet, random or a file, got {weights!r}")
        return weights
    trouble = _out_of_reach(name)
    if trouble is None:
        return "imagenet"
    if weights == "imagenet":
        raise InputError(
            f"model.backbone.weights=imagenet: expected to get {name}'s weights from the model hub, {trouble}; "
            "use random, or the path of a file with the weights"
        )
    warnings.warn(
        f"model.backbone.weights=auto: ImageNet weights of {name} cannot be had ({trouble}); training starts from "
        "RANDOM weights, which needs many more epochs",
        stacklevel=2,
    )
    return "random"


def _out_of_reach(name: str) -> str | None:
    """Why the model's ImageNet weights cannot be had within seconds, or ``None`` if they can.

    timm itself retries for most of a minute before it gives up.
    """
    import huggingface_hub
    from huggingface_hub import constants

    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return "which has none for it"
    for file in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(huggingface_hub.try_to_load_from_cache(config.hf_hub_id, file), str):
            return None
    if constants.HF_HUB_OFFLINE:
        return "which is switched off (HF_HUB_OFFLINE)"
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return None  # it answers, if not to this question
    except OSError as error:
        return f"which does not answer ({getattr(error, 'reason', error)})"
    return None
