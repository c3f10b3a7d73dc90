"""What passes between network, losses and codec: outputs, targets, and what decoding reads and counts."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class Outputs(NamedTuple):
    """Network outputs for a batch. Maps are at the stride of the heads.

    Attributes:
        semantic: Class logits.
        center: Logits of the center heatmap.
        offset: Offset (dy, dx) from each cell to the center of its thing, in cells.
        complexity: Object density and scale variance of the image.
        complexity_map: Object density and scale variance per place, at the stride of the estimator.
        complexity_cells: Number of things in each cell of that map, and mean and variance of their log areas, from
            which object density and scale variance are computed.
        alpha: Fusion weights of the levels, fine to coarse, with sum 1: ``[B L]``, or ``[B L h w]`` if local.
    """

    semantic: Float[Tensor, "B C h w"]
    center: Float[Tensor, "B h w"]
    offset: Float[Tensor, "B 2 h w"]
    complexity: Float[Tensor, "B 2"]
    complexity_map: Float[Tensor, "B 2 gh gw"]
    complexity_cells: Float[Tensor, "B 3 gh gw"]
    alpha: Float[Tensor, "B L *place"]

    @property
    def alpha_of_image(self) -> Float[Tensor, "B L"]:
        """Fusion weights of each image, averaged over places if they are local."""
        return self.alpha.flatten(2).mean(2) if self.alpha.ndim > 2 else self.alpha


class Targets(NamedTuple):
    """Training targets of the outputs, and weights of the losses.

    Attributes:
        semantic: Class of each cell, or :data:`~panoptic.segments.VOID`.
        semantic_weight: Weight of the semantic loss: ``small_weight`` of the codec on small things, 1 elsewhere.
        center: Center heatmap in 0..1.
        center_weight: Weight of the center loss: 0 on void and crowd, 1 elsewhere.
        offset: Offset (dy, dx) to the center of the thing, in cells; 0 off things.
        offset_weight: Weight of the offset loss: one over the square root of the area in pixels on things (not crowd),
            0 elsewhere. An offset has to lead to the right center, and small things are closer to each other.
        complexity: Object density and scale variance of the image.
        complexity_map: Object density and scale variance per place.
        complexity_cells: Statistics of the things in each cell; see :func:`~panoptic.complexity.thing_cells`.
    """

    semantic: Int64[Tensor, "B h w"]
    semantic_weight: Float[Tensor, "B h w"]
    center: Float[Tensor, "B h w"]
    center_weight: Float[Tensor, "B h w"]
    offset: Float[Tensor, "B 2 h w"]
    offset_weight: Float[Tensor, "B h w"]
    complexity: Float[Tensor, "B 2"]
    complexity_map: Float[Tensor, "B 2 gh gw"]
    complexity_cells: Float[Tensor, "B 3 gh gw"]

    def as_outputs(self, num_classes: int) -> Outputs:
        """Return the outputs of a perfect network, whose decoded segments are an upper bound for any network.

        Cells without a class have equal logits for all classes. ``alpha``, which has no target, has a single level.

        Args:
            num_classes: Number of classes.
        """
        one_hot = F.one_hot(self.semantic.clamp(max=num_classes), num_classes + 1)[..., :num_classes]
        return Outputs(
            one_hot.permute(0, 3, 1, 2).float() * 10.0,
            torch.logit(self.center, eps=1e-4),
            self.offset,
            self.complexity,
            self.complexity_map,
            self.complexity_cells,
            self.complexity.new_ones(len(self.complexity), 1),
        )


class Tally(NamedTuple):
    """Counts of the candidates for segments: void, K things, C stuff classes.

    Attributes:
        votes: Number of pixels of each class in each thing; the first row is of pixels without a thing.
        areas: Number of pixels of each candidate.
        confidence: Sum of the probabilities of their classes.
    """

    votes: Int64[Tensor, "B K1 C"]
    areas: Int64[Tensor, "B M"]
    confidence: Float[Tensor, "B M"]


class Readout(NamedTuple):
    """What decoding reads from the outputs, whatever its settings. Maps are at the resolution of the image.

    Attributes:
        classes: Most probable class of each pixel.
        confidence: Its probability.
        is_thing: Whether it is a thing class.
        offset: Offset (dy, dx) from each pixel to the center of its thing, in pixels.
        heat: Center heatmap in 0..1, at the stride of the heads.
    """

    classes: Int64[Tensor, "B H W"]
    confidence: Float[Tensor, "B H W"]
    is_thing: Bool[Tensor, "B H W"]
    offset: Float[Tensor, "B 2 H W"]
    heat: Float[Tensor, "B h w"]
