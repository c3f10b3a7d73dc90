"""What is exported: from images to a map of segments and their table, without Python between."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

import panoptic
from panoptic.codec import Codec
from panoptic.codec.traced import decode, look_up
from panoptic.data.bands import Reading
from panoptic.inference.calibration import ScoreCalibration
from panoptic.inference.export.padding import with_static_padding
from panoptic.inference.folding import fold_batchnorm
from panoptic.models import PanopticNetwork
from panoptic.runtime.record import Record


class ExportedNetwork(nn.Module):
    """Network with BatchNorm folded, and its decoding.

    Args:
        network: Trained network, of which a copy is used.
        codec: Codec of the network.
        calibration: Map of scores; by default they are as decoded.
        reading: How image files become images, which the file remembers; by default as photos are read.
    """

    def __init__(
        self,
        network: PanopticNetwork,
        codec: Codec,
        calibration: ScoreCalibration | None = None,
        reading: Reading | None = None,
    ) -> None:
        super().__init__()
        self.bands: int = network.backbone.in_channels
        self.coarsest: int = network.backbone.strides[-1]
        self.network = fold_batchnorm(with_static_padding(network)).cpu()
        self.codec = codec
        self.calibration = calibration
        self.reading = reading or Reading()

    def forward(self, image: UInt8[Tensor, "B H W bands"]) -> tuple[Tensor, ...]:
        """Return the outputs named in :data:`panoptic.runtime.record.OUTPUTS`.

        Args:
            image: Images of any size, RGB or other bands.
        """
        batch, height, width = image.shape[:3]
        # As tensors, since what is recorded cannot compute areas from sizes that are numbers.
        extents = torch.cat([torch.full((batch, 1), height), torch.full((batch, 1), width)], dim=1)
        outputs = self.network(image.permute(0, 3, 1, 2), extents=extents)
        decoded = decode(self.codec, outputs, (height, width))
        if self.calibration is not None:
            is_thing = look_up(
                (*self.codec.labels.is_thing, False), decoded.classes % (self.codec.labels.num_classes + 1)
            )
            decoded = decoded._replace(scores=self.calibration.of_kinds(decoded.scores, is_thing))
        return *decoded, outputs.complexity, outputs.alpha_of_image

    def record(self) -> Record:
        """Return what the file will say of itself."""
        strides = {
            "heads": self.codec.stride,
            "complexity": self.codec.complexity_stride,
            "coarsest": self.coarsest,
        }
        settings: dict[str, Any] = {
            name: getattr(self.codec, name)
            for name in ("peak_window", "peak_threshold", "max_things", "stuff_area", "thing_area")
        }
        reading: dict[str, Any] = {}
        if not self.reading.is_ordinary:
            channels = self.reading.channels
            reading = {"channels": channels and list(channels), "normalize": self.reading.normalize}
        return Record(self.codec.labels, strides, settings, panoptic.__version__, self.bands, reading)
