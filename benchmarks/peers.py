"""Alternative networks with random weights, each with its pipeline from a uint8 image to the result.

Requires the extra ``bench``. With random weights, almost nothing is detected, so that most post-processing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn

NUM_CLASSES = 19
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Peer(NamedTuple):
    """Network and its inference pipeline.

    Attributes:
        network: Network in evaluation mode.
        run: Function from a batch of images to segments, or to classes for semantic networks.
        note: Kind of result.
    """

    network: nn.Module
    run: Callable[[UInt8[Tensor, "B 3 H W"]], Any]
    note: str


def normalized(images: Tensor) -> Tensor:
    """Normalize RGB images with ImageNet statistics."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def mask2former(device: torch.device) -> Peer:
    """Build Mask2Former with ResNet-50 (Cheng et al. 2022) from ``transformers``."""
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        ResNetConfig,
    )

    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    config = Mask2FormerConfig(backbone_config=backbone, num_labels=NUM_CLASSES)
    network = Mask2FormerForUniversalSegmentation(config).eval().to(device, memory_format=torch.channels_last)
    processor = Mask2FormerImageProcessor()

    def run(images: Tensor) -> Any:
        sizes = [tuple(images.shape[-2:])] * len(images)
        return processor.post_process_panoptic_segmentation(network(normalized(images)), target_sizes=sizes)

    return Peer(network, run, "panoptic")


def eomt(device: torch.device) -> Peer:
    """Build EoMT-L at its 640 x 640 (Kerssies et al. 2025) from ``transformers``; images are resized and padded."""
    from transformers import EomtConfig, EomtForUniversalSegmentation, EomtImageProcessor

    network = EomtForUniversalSegmentation(EomtConfig(num_labels=NUM_CLASSES)).eval().to(device)
    side, processor = network.config.image_size, EomtImageProcessor()

    def run(images: Tensor) -> Any:
        height, width = images.shape[-2:]
        size = [round(length * side / max(height, width)) for length in (height, width)]
        small = F.interpolate(normalized(images), size=size, mode="bilinear", antialias=True)
        outputs = network(F.pad(small, (0, side - size[1], 0, side - size[0])))
        return processor.post_process_panoptic_segmentation(outputs, target_sizes=[(height, width)] * len(images))

    return Peer(network, run, f"panoptic, at {side}x{side}")


def deeplab(device: torch.device) -> Peer:
    """Build DeepLabV3+ with ResNet-50 (Chen et al. 2018) from ``segmentation-models-pytorch``; semantic only."""
    import segmentation_models_pytorch as smp

    network = smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=NUM_CLASSES)
    network = network.eval().to(device, memory_format=torch.channels_last)
    return Peer(network, lambda images: network(normalized(images)).argmax(1), "semantic only")


PEERS: dict[str, Callable[[torch.device], Peer]] = {
    "Mask2Former-R50 (transformers)": mask2former,
    "EoMT-L (transformers)": eomt,
    "DeepLabV3+-R50 (smp)": deeplab,
}
