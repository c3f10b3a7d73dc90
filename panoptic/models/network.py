"""The network: ``backbone → FPN → complexity → fusion → heads``, from plain RGB to what the codec decodes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from panoptic.codec import Outputs
from panoptic.errors import InputError
from panoptic.models.complexity import ComplexityEstimate
from panoptic.models.fpn import NUM_LEVELS


class PanopticNetwork(nn.Module):
    """Adaptive panoptic segmentation network.

    Parts are given as factories, since each takes its widths from the one before it, and since each is initialized from
    (seed, its name): networks that differ in one part start from the same weights in all others.

    Args:
        backbone: makes the backbone, with ``channels``, ``strides``, ``mean`` and ``std``.
        fpn: makes the pyramid from ``in_channels``.
        complexity: makes the estimator from ``in_channels`` and ``num_levels``.
        fusion: makes the fusion from ``channels`` and ``num_levels``.
        semantic_head: makes the head from ``in_channels`` and ``num_classes``.
        instance_head: makes the head from ``in_channels``.
        num_classes: C.
        seed: of the initial weights.

    Attributes:
        stride: pixels per cell of the heads' maps.
        complexity_stride: pixels per cell of the complexity map.

    Raises:
        InputError: if the two heads predict at different strides, or at one that does not divide the finest level's.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Callable[..., nn.Module],
        fpn: Callable[..., nn.Module],
        complexity: Callable[..., nn.Module],
        fusion: Callable[..., nn.Module],
        semantic_head: Callable[..., nn.Module],
        instance_head: Callable[..., nn.Module],
        num_classes: int,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with _seeded(seed, "backbone"):
            self.backbone = backbone()
        with _seeded(seed, "fpn"):
            self.fpn = fpn(in_channels=self.backbone.channels)
        width = self.fpn.channels
        with _seeded(seed, "complexity"):
            self.complexity = complexity(in_channels=width, num_levels=NUM_LEVELS)
        with _seeded(seed, "fusion"):
            self.fusion = fusion(channels=width, num_levels=NUM_LEVELS)
        with _seeded(seed, "semantic_head"):
            self.semantic_head = semantic_head(in_channels=width, num_classes=num_classes)
        with _seeded(seed, "instance_head"):
            self.instance_head = instance_head(in_channels=width)

        finest = self.backbone.strides[0]
        if self.semantic_head.upsample != self.instance_head.upsample:
            raise InputError(
                "model: expected both heads to predict at one stride, got semantic_head.upsample="
                f"{self.semantic_head.upsample} and instance_head.upsample={self.instance_head.upsample}"
            )
        if finest % self.semantic_head.upsample:
            raise InputError(
                f"model.semantic_head.upsample: expected a divisor of the finest stride, {finest}, "
                f"got {self.semantic_head.upsample}"
            )
        self.stride: int = finest // self.semantic_head.upsample
        self.complexity_stride: int = finest * self.complexity.stride
        # In 0..255, and part of the weights, so that whoever holds a checkpoint feeds plain RGB.
        for name, values in (("mean", self.backbone.mean), ("std", self.backbone.std)):
            self.register_buffer(name, (255 * torch.tensor(values, dtype=torch.float64)).float().view(1, 3, 1, 1))

    def forward(
        self,
        images: UInt8[Tensor, "B 3 H W"] | Float[Tensor, "B 3 H W"],
        complexity: ComplexityEstimate | None = None,
    ) -> Outputs:
        """Outputs for plain RGB in 0..255 of any size; maps cover the image, rounded up to whole cells.

        Args:
            images: a batch.
            complexity: what to weigh the levels by instead of the estimate: an intervention, which shows what the
                estimate is used for.
        """
        features = self.backbone(self.normalize(images))  # C2..C5
        levels = self.fpn(features)  # P2, P3, P4: [B D _ _]
        places = tuple(-(-side // self.complexity_stride) for side in images.shape[-2:])
        if complexity is None:
            complexity = self.complexity(levels, places)  # [B 2], [B 2 gh gw], [B 3 gh gw]
        fused, alpha = self.fusion(levels, complexity)  # [B D h w], [B L] or [B L h w]
        semantic = self.semantic_head(fused)  # [B C H/s W/s]
        center, offset = self.instance_head(fused)  # [B H/s W/s], [B 2 H/s W/s]
        rows, columns = (-(-side // self.stride) for side in images.shape[-2:])
        crop = (..., slice(rows), slice(columns))
        inside = (..., *(slice(side) for side in places))
        return Outputs(
            semantic[crop],
            center[crop],
            offset[crop],
            complexity.image,
            complexity.map[inside],
            complexity.cells[inside],
            alpha,
        )

    def normalize(self, images: Tensor) -> Float[Tensor, "B 3 H W"]:
        """Normalize as in the backbone's pretraining, and pad right and bottom to whole cells of the coarsest level."""
        normalized = (images.float() - self.mean) / self.std
        coarsest = self.backbone.strides[-1]
        height, width = images.shape[-2:]
        if height % coarsest == 0 and width % coarsest == 0:
            return normalized
        return F.pad(normalized, (0, -width % coarsest, 0, -height % coarsest))


@contextmanager
def _seeded(seed: int, name: str) -> Iterator[None]:
    """The random state of (seed, name), on the CPU, where parts are made; the caller's own is kept as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed((seed * 1_000_003 + zlib.crc32(name.encode())) % 2**63)
        yield
