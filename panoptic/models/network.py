"""Network from plain images to the inputs of the codec: ``backbone → FPN → complexity → fusion → heads``."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from panoptic.codec import Outputs
from panoptic.errors import ArgumentError, within
from panoptic.models.backbone import Backbone
from panoptic.models.complexity import ComplexityEstimate, ComplexityEstimator
from panoptic.models.context import NoContext, PyramidPooling
from panoptic.models.fpn import FPN, NUM_LEVELS
from panoptic.models.fusion import weighted_sum
from panoptic.models.heads import InstanceHead, SemanticHead
from panoptic.models.layers import frozen_statistics, set_norm_momentum

Images = UInt8[Tensor, "B bands H W"] | Float[Tensor, "B bands H W"]
"""Images in 0..255."""


class Fused(NamedTuple):
    """Fused maps of a batch.

    Attributes:
        map: Sum of the levels with the weights ``alpha``.
        alpha: Fusion weights, of images or places.
        of_instances: Fused map for the instance head, if that has a fusion of its own.
    """

    map: Float[Tensor, "B D h w"]
    alpha: Float[Tensor, "B L *place"]
    of_instances: Float[Tensor, "B D h w"] | None = None


class PanopticNetwork(nn.Module):
    """Adaptive panoptic segmentation network.

    Parts are passed as factories, because the width of each depends on the previous one, and because each is
    initialized with a random state derived from the seed and its name: networks that differ in one part start from the
    same weights in all others.

    Args:
        backbone: Factory of the backbone, called with ``in_channels``. It has ``channels``, ``strides``, ``mean`` and
            ``std``.
        fpn: Factory of the feature pyramid, called with ``in_channels``.
        complexity: Factory of the complexity estimator, called with ``in_channels`` and ``num_levels``.
        fusion: Factory of the fusion, called with ``channels`` and ``num_levels``.
        semantic_head: Factory of the semantic head, called with ``in_channels`` and ``num_classes``.
        instance_head: Factory of the instance head, called with ``in_channels``.
        num_classes: Number of classes.
        context: Factory of the context of the coarsest level, called with ``in_channels``.
        norm_momentum: Weight of a batch in the running statistics of BatchNorm, in (0, 1].
        fusion_per_head: Whether the instance head has a fusion of its own. α of the outputs is the semantic head's.
        seed: Seed of the initial weights.
        in_channels: Number of bands of the images.

    Attributes:
        mean: Mean of the normalization, for channels in 0..255.
        std: Standard deviation of the normalization, for channels in 0..255.
        stride: Pixels per cell of the heads' maps.
        complexity_stride: Pixels per cell of the complexity map.
        coarsest_stride: Pixels per cell of the coarsest level.

    Raises:
        InputError: If the two heads predict at different strides, or at a stride that does not divide that of the
            finest level.
    """

    mean: Tensor
    std: Tensor

    def __init__(  # noqa: PLR0913  # a factory for each part
        self,
        backbone: Callable[..., Backbone],
        fpn: Callable[..., FPN],
        complexity: Callable[..., ComplexityEstimator],
        fusion: Callable[..., nn.Module],
        semantic_head: Callable[..., SemanticHead],
        instance_head: Callable[..., InstanceHead],
        num_classes: int,
        *,
        context: Callable[..., NoContext | PyramidPooling],
        norm_momentum: float = 0.1,
        fusion_per_head: bool = False,
        seed: int = 0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        with _part(seed, "backbone"):
            self.backbone = backbone(in_channels=in_channels)
        *fine, coarsest = self.backbone.channels
        with _part(seed, "context"):
            self.context = context(in_channels=coarsest)
        with _part(seed, "fpn"):
            self.fpn = fpn(in_channels=[*fine, self.context.channels])
        width = self.fpn.channels
        with _part(seed, "complexity"):
            finest = self.backbone.strides[0]
            self.complexity = complexity(in_channels=width, num_levels=NUM_LEVELS, finest_stride=finest)
        with _part(seed, "fusion"):
            self.fusion = fusion(channels=width, num_levels=NUM_LEVELS)
        self.instance_fusion: nn.Module | None = None
        if fusion_per_head:
            with _part(seed, "instance_fusion", key="fusion"):
                self.instance_fusion = fusion(channels=width, num_levels=NUM_LEVELS)
        with _part(seed, "semantic_head"):
            self.semantic_head = semantic_head(in_channels=width, num_classes=num_classes)
        with _part(seed, "instance_head"):
            self.instance_head = instance_head(in_channels=width)

        if self.semantic_head.upsample != self.instance_head.upsample:
            raise ArgumentError(
                "",
                "expected both heads to predict at one stride, got semantic_head.upsample="
                f"{self.semantic_head.upsample} and instance_head.upsample={self.instance_head.upsample}",
            )
        if finest % self.semantic_head.upsample:
            raise ArgumentError(
                "semantic_head.upsample",
                f"expected a divisor of the finest stride, {finest}, got {self.semantic_head.upsample}",
            )
        set_norm_momentum(self, norm_momentum)
        self.stride: int = finest // self.semantic_head.upsample
        self.complexity_stride: int = self.complexity.stride
        self.coarsest_stride: int = self.backbone.strides[-1]
        # Stored with the weights, so that a network from a checkpoint takes plain images in 0..255.
        for name, values in (("mean", self.backbone.mean), ("std", self.backbone.std)):
            self.register_buffer(name, (255 * torch.tensor(values, dtype=torch.float64)).float().view(1, -1, 1, 1))

    def forward(
        self,
        images: Images,
        complexity: ComplexityEstimate | None = None,
        extents: Int64[Tensor, "B 2"] | None = None,
    ) -> Outputs:
        """Compute outputs for plain images of any size; maps cover the image, rounded up to whole cells.

        Args:
            images: Images in 0..255, red, green and blue or other bands, batched.
            complexity: Replacement for the estimated complexity, an intervention to study the effect of the estimate
                on the fusion. By default the estimate.
            extents: Height and width of each image if the batch is padded, at the right and bottom; padding has no part
                in the estimate.
        """
        size = images.shape[-2:]
        levels = self.levels(images)  # P2, P3, P4: [B D _ _]
        if complexity is None:
            complexity = self.estimate(levels, size, extents)  # [B 2], [B 2 gh gw], [B 3 gh gw]
        fused = self.fuse(levels, complexity, size)
        del levels  # large images have large maps, and those of the heads come on top
        return self.outputs(fused, complexity, size)

    def levels(self, images: Images) -> list[Float[Tensor, "B D _ _"]]:
        """Compute the levels of the feature pyramid for plain images, fine to coarse."""
        *fine, coarsest = self.backbone(self.normalize(images))  # C2..C5
        height, width = images.shape[-2:]
        stride = self.backbone.strides[-1]
        return self.fpn([*fine, self.context(coarsest, (_cells_along(height, stride), _cells_along(width, stride)))])

    def with_levels(
        self,
        images: Images,
        extents: Int64[Tensor, "B 2"] | None = None,
    ) -> tuple[Outputs, list[Outputs]]:
        """Compute outputs, and those that the heads have for each level alone, to supervise levels in training.

        The latter leave the running statistics of BatchNorm as they are, which are those of fused maps.
        """
        size = images.shape[-2:]
        levels = self.levels(images)
        complexity = self.estimate(levels, size, extents)
        outputs = self.fused_outputs(levels, complexity, size)
        weights = torch.eye(len(levels), device=images.device)[:, None].expand(-1, len(images), -1)
        with frozen_statistics(self):
            maps = (Fused(weighted_sum(levels, alpha), alpha) for alpha in weights)
            of_levels = [self.outputs(fused, complexity, size) for fused in maps]
        return outputs, of_levels

    def estimate(
        self,
        levels: Sequence[Float[Tensor, "B D _ _"]],
        size: Sequence[int],
        extents: Int64[Tensor, "B 2"] | None = None,
    ) -> ComplexityEstimate:
        """Estimate the complexity of images from their levels.

        Args:
            levels: Levels of the feature pyramid, fine to coarse.
            size: Height and width of the batch.
            extents: Height and width of each image, if some are smaller.
        """
        inside = self._inside(size) if extents is None else extents / self.backbone.strides[0]
        return self.complexity(levels, inside)

    def fused_outputs(
        self,
        levels: Sequence[Float[Tensor, "B D _ _"]],
        complexity: ComplexityEstimate,
        size: Sequence[int],
        pooled: Float[Tensor, "B LD"] | None = None,
    ) -> Outputs:
        """Fuse levels, and compute outputs from the result; see :meth:`fuse` and :meth:`outputs`."""
        return self.outputs(self.fuse(levels, complexity, size, pooled), complexity, size)

    def fuse(
        self,
        levels: Sequence[Float[Tensor, "B D _ _"]],
        complexity: ComplexityEstimate,
        size: Sequence[int],
        pooled: Float[Tensor, "B LD"] | None = None,
    ) -> Fused:
        """Fuse levels, for the instance head apart if it has a fusion of its own.

        Args:
            levels: Levels of the feature pyramid, fine to coarse.
            complexity: Complexity of the images.
            size: Height and width of the images, which the maps cover, rounded up to whole cells.
            pooled: Averages of the levels over whole images, where these are parts of them; see
                :func:`panoptic.models.fusion.pool`. By default they are computed.
        """
        inside = self._inside(size)
        fused, alpha = self.fusion(levels, complexity, inside, pooled)  # [B D h w], [B L] or [B L h w]
        if self.instance_fusion is None:
            return Fused(fused, alpha)
        of_instances, _ = self.instance_fusion(levels, complexity, inside, pooled)
        return Fused(fused, alpha, of_instances)

    def outputs(self, fused: Fused, complexity: ComplexityEstimate, size: Sequence[int]) -> Outputs:
        """Compute outputs from fused maps.

        Args:
            fused: Fused maps.
            complexity: Complexity of the images.
            size: Height and width of the images, which the maps cover, rounded up to whole cells.
        """
        semantic = self.semantic_head(fused.map)  # [B C H/s W/s]
        of_instances = fused.map if fused.of_instances is None else fused.of_instances
        center, offset = self.instance_head(of_instances)  # [B H/s W/s], [B 2 H/s W/s]
        crop, grid_crop = _cells(size, self.stride), _cells(size, self.complexity_stride)
        return Outputs(
            semantic[crop],
            center[crop],
            offset[crop],
            complexity.image,
            complexity.map[grid_crop],
            complexity.cells[grid_crop],
            fused.alpha,
        )

    def _inside(self, size: Sequence[int]) -> tuple[float, float]:
        """Return height and width of images in cells of the finest level."""
        height, width = size
        return height / self.backbone.strides[0], width / self.backbone.strides[0]

    def normalize(self, images: Tensor) -> Float[Tensor, "B bands H W"]:
        """Normalize as in the backbone's pretraining, and pad right and bottom to whole cells of the coarsest level."""
        normalized = (images.float() - self.mean) / self.std
        coarsest = self.backbone.strides[-1]
        height, width = images.shape[-2:]
        bottom, right = (_cells_along(side, coarsest) * coarsest - side for side in (height, width))
        return F.pad(normalized, (0, right, 0, bottom))


def _cells(size: Sequence[int], stride: int) -> tuple[Any, ...]:
    """Return the index of the cells of a map that belong to an image."""
    height, width = size
    return (..., slice(_cells_along(height, stride)), slice(_cells_along(width, stride)))


def _cells_along(side: int, stride: int) -> int:
    """Return the number of cells along a side, rounded up; not by negative numbers, whose quotients ONNX rounds up."""
    return (side + stride - 1) // stride


@contextmanager
def _part(seed: int, name: str, key: str | None = None) -> Iterator[None]:
    """Seed the random state of the CPU, where parts are created, from (seed, name); restore it afterwards.

    Errors of the part's arguments name its key, by default the name.
    """
    with torch.random.fork_rng(devices=[]), within(key or name):
        torch.manual_seed((seed * 1_000_003 + zlib.crc32(name.encode())) % 2**63)
        yield
