"""Calibration of the scores of segments: how often a segment with a score is right, and a map that makes both agree.

A segment is right if it matches a true one as panoptic quality counts matches. Scores are mapped by Platt scaling
(Platt 1999; temperature scaling with an offset, Guo et al. 2017, "On Calibration of Modern Neural Networks"): the logit
is multiplied by a slope, one over the temperature, and shifted. The order of segments stays.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from panoptic.utils.precision import widest

EPSILON = 1e-4
"""Distance that scores are kept from 0 and 1, whose logits are infinite."""

LEAST_SLOPE = 0.05
"""Lower bound of the slope: a flat map would leave no order."""

STEPS = 50
"""Largest number of Newton's steps, of which about ten are needed."""


class Platt(NamedTuple):
    """Map of scores: the sigmoid of ``slope * logit(score) + offset``.

    Attributes:
        slope: One over the temperature.
        offset: Shift of the logit.
    """

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, scores: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Map scores; 0, which padding has, stays 0."""
        mapped = torch.sigmoid(self.slope * logit_of(scores) + self.offset)
        return torch.where(scores > 0, mapped, 0.0).to(scores.dtype)


def logit_of(scores: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Compute the logit of scores, which are kept away from 0 and 1."""
    return torch.logit(scores, eps=EPSILON)


def fit_platt(scores: Float[Tensor, " n"], correct: Bool[Tensor, " n"]) -> Platt:
    """Fit the map of scores to outcomes by maximum likelihood.

    A weak prior, of the weight of a segment, draws it to the identity, so that few segments, or outcomes that are all
    the same, change little.

    Args:
        scores: Scores in 0..1.
        correct: Whether each segment is right.
    """
    z, y = widest(logit_of(scores.cpu().double())), widest(correct.cpu())
    inputs = torch.stack([z, torch.ones_like(z)])
    identity = torch.tensor([1.0, 0.0], dtype=z.dtype)
    weights = identity.clone()
    for _ in range(STEPS):
        p = torch.sigmoid(weights @ inputs)
        gradient = inputs @ (p - y) + (weights - identity)
        hessian = (inputs * (p * (1 - p))) @ inputs.T + torch.eye(2, dtype=z.dtype)
        step = torch.linalg.solve(hessian, gradient).clamp(-1, 1)  # a step of Newton may overshoot
        weights = weights - step
        if step.abs().max() < 1e-9:
            break
    return Platt(max(float(weights[0]), LEAST_SLOPE), float(weights[1]))


class Reliability(NamedTuple):
    """Segments by score, in bins of equal width.

    Attributes:
        segments: Number of segments in each bin.
        confidence: Mean score in each bin, 0 where it is empty.
        accuracy: Share of segments that are right in each bin, 0 where it is empty.
    """

    segments: Int64[Tensor, " bins"]
    confidence: Float64[Tensor, " bins"]
    accuracy: Float64[Tensor, " bins"]

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015): the mean distance of score and accuracy over segments."""
        total = max(int(self.segments.sum()), 1)
        return float((widest(self.segments) * (self.confidence - self.accuracy).abs()).sum() / total)


def reliability(scores: Float[Tensor, " n"], correct: Bool[Tensor, " n"], bins: int = 15) -> Reliability:
    """Compare scores with outcomes.

    Args:
        scores: Scores in 0..1.
        correct: Whether each segment is right.
        bins: Number of bins.
    """
    scores, correct = widest(scores.cpu()), correct.cpu()
    index = (scores * bins).long().clamp(0, bins - 1)
    count = torch.bincount(index, minlength=bins)
    sums = (torch.bincount(index, weights=values, minlength=bins) for values in (scores, widest(correct)))
    confidence, accuracy = (total / count.clamp(min=1) for total in sums)
    return Reliability(count, confidence, accuracy)
