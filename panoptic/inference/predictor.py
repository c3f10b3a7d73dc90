"""The Python API behind evaluation and prediction: from a checkpoint to segments.

predictor = Predictor.load("runs/train/.../checkpoints/best.ckpt")
segments = predictor(image)                      # uint8 [H W 3], plain RGB, any size
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from panoptic.codec import Codec, Outputs
from panoptic.data.batch import Batch, collate
from panoptic.data.sample import Sample
from panoptic.errors import InputError
from panoptic.inference.compiling import compile_network
from panoptic.inference.folding import fold_batchnorm
from panoptic.inference.tta import VIEWS, check_tta, mean_outputs
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.training.checkpoint import Checkpoint, build_codec, read_checkpoint, restore_network


class Predictor:
    """A trained network with its codec, ready for images.

    Args:
        network: which a copy is made of for inference, with its BatchNorm folded away.
        codec: at its strides.
        device: to work on; by default a GPU if there is one.
        tta: test-time augmentation, a name of :data:`panoptic.inference.tta.VIEWS`.
        compile: whether to compile the network, which takes its time at the first image of each size.

    On a CPU, :func:`panoptic.utils.malloc.keep_freed_memory`, called before, makes it faster.

    Raises:
        InputError: if ``tta`` is another name.
    """

    def __init__(
        self,
        network: nn.Module,
        codec: Codec,
        device: str | torch.device | None = None,
        tta: str = "none",
        compile: bool = False,
    ) -> None:
        check_tta(tta)
        self.tta = tta
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.network = fold_batchnorm(network).to(self.device, memory_format=torch.channels_last)
        self.codec = codec
        if compile:
            compile_network(self.network, self.device)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | Checkpoint,
        overrides: Sequence[str] = (),
        device: str | torch.device | None = None,
        tta: str = "none",
        compile: bool = False,
    ) -> Predictor:
        """From a checkpoint; ``overrides`` change its configuration, e.g. ``codec.peak_threshold=0.3``.

        Raises:
            InputError: if there is no such checkpoint or it cannot be used.
        """
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = read_checkpoint(checkpoint, overrides)
        network = restore_network(checkpoint)
        return cls(network, build_codec(checkpoint.config, checkpoint.labels, network), device, tta, compile)

    @property
    def labels(self) -> LabelSpace:
        """The label space of the predictions."""
        return self.codec.labels

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Segments:
        """The segments of one image of any size, with scores, on the CPU.

        Raises:
            InputError: if it is no plain RGB image.
        """
        fits = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,)
        if not fits or image.size == 0:
            came = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"image: expected an RGB array, uint8 [H W 3], got {came}")
        return self.predict_batch(collate([Sample(image, None, "")])).to("cpu").unstack()[0]

    @torch.inference_mode()
    def outputs(self, batch: Batch) -> Outputs:
        """What the network says of a batch, on this predictor's device."""
        scales, flips = VIEWS[self.tta]
        images = batch.to(self.device).images
        return mean_outputs(self.network, images, stride=self.codec.stride, scales=scales, flips=flips)

    @torch.inference_mode()
    def decode(self, outputs: Outputs, batch: Batch) -> Segments:
        """The segments that outputs for a batch stand for, at its size."""
        height, width = batch.images.shape[-2:]
        return self.codec.decode(outputs, (height, width))

    def predict_batch(self, batch: Batch) -> Segments:
        """The segments of a batch, on this predictor's device."""
        return self.decode(self.outputs(batch), batch)
