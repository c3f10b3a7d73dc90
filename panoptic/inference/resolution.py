"""Prediction at a reduced resolution, also chosen for each image by its complexity.

An image is resized, predicted and decoded at the reduced size, and the map of segments is enlarged. With adaptive
resolution, a first look at a reduced size gives the object density; images with few things stay there, others are
predicted again at full size. The threshold comes from validation data (``python -m panoptic.resolution``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from panoptic.codec import Codec, Outputs
from panoptic.errors import InputError
from panoptic.inference.tta import complexity_at, resize
from panoptic.segments import Segments
from panoptic.utils.precision import widest

ADAPTIVE = "adaptive"


@dataclass(frozen=True)
class AdaptiveResolution:
    """Rule that chooses the resolution of an image.

    Attributes:
        first: Factor of height and width for the first look, in (0, 1).
        threshold: Predicted object density above which an image is predicted at full size.
    """

    first: float
    threshold: float

    def __post_init__(self) -> None:
        check_scale(self.first, "first")
        if self.first == 1:
            raise InputError("first: expected a factor below 1, got 1")

    @classmethod
    def from_record(cls, record: Any, source: str) -> AdaptiveResolution:
        """Return the rule stored in a checkpoint.

        Args:
            record: Stored containers, ``None`` if there are none.
            source: Path of the checkpoint, for error messages.

        Raises:
            InputError: If none is stored, or one that makes no sense.
        """
        if record is None:
            raise InputError(
                f"{source}: expected a checkpoint with a threshold for resolution={ADAPTIVE}, which it lacks; "
                "python -m panoptic.resolution finds and stores one"
            )
        try:
            return cls(float(record["first"]), float(record["threshold"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{source}: expected a rule for resolution={ADAPTIVE}, got a damaged one") from error


Resolution = float | AdaptiveResolution
"""Factor of height and width, in (0, 1], or the rule that chooses it."""


class Prediction(NamedTuple):
    """Outputs and segments of a batch.

    Attributes:
        outputs: Network outputs, at the stride of the heads of the resized images; object density is that of the
            images as they came.
        segments: Decoded segments at the size of the images.
        scale: Factor that height and width were predicted at.
    """

    outputs: Outputs
    segments: Segments
    scale: float


def check_scale(scale: object, key: str = "resolution") -> float:
    """Return a factor of height and width.

    Raises:
        InputError: If it is no number in (0, 1].
    """
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale <= 1:
        raise InputError(f"{key}: expected {ADAPTIVE} or a number in (0, 1], got {scale!r}")
    return float(scale)


def predict_at(network: Callable[[Tensor], Outputs], codec: Codec, images: Tensor, scale: float) -> Prediction:
    """Predict images at a resolution.

    Args:
        network: Network from RGB images to outputs.
        codec: Codec for the network's strides.
        images: RGB images, batched.
        scale: Factor of height and width.
    """
    resized = resize(images, scale)
    outputs = network(resized)
    height, width = resized.shape[-2:]
    segments = scaled(codec, scale).decode(outputs, (height, width))
    if resized.shape == images.shape:
        return Prediction(outputs, segments, scale)
    area = (height * width) / (images.shape[-2] * images.shape[-1])
    outputs = outputs._replace(complexity=complexity_at(outputs.complexity.float(), area))
    ids = F.interpolate(widest(segments.ids[:, None]), size=images.shape[-2:], mode="nearest-exact")[:, 0]
    return Prediction(outputs, replace(segments, ids=ids.to(segments.ids.dtype)), scale)


def predict_adaptively(
    network: Callable[[Tensor], Outputs], codec: Codec, image: Tensor, rule: AdaptiveResolution
) -> Prediction:
    """Predict one image at the resolution that a rule chooses.

    Args:
        network: Network from RGB images to outputs.
        codec: Codec for the network's strides.
        image: RGB image, a batch of one.
        rule: What chooses.
    """
    assert len(image) == 1
    first = predict_at(network, codec, image, rule.first)
    if float(first.outputs.complexity[0, 0]) <= rule.threshold:
        return first
    return predict_at(network, codec, image, 1.0)


def scaled(codec: Codec, scale: float) -> Codec:
    """Return the codec for resized images: areas in pixels shrink with the square of the factor."""
    if scale == 1:
        return codec
    areas = {name: round(getattr(codec, name) * scale**2) for name in ("stuff_area", "thing_area")}
    return replace(codec, **areas)
