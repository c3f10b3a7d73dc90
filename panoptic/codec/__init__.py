"""Encode segments as training targets, and decode network outputs to segments."""

from panoptic.codec.codec import Codec
from panoptic.codec.maps import Outputs, Targets

__all__ = ["Codec", "Outputs", "Targets"]
