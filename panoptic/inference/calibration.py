"""Scores of segments as probabilities: the map that a training run fitted, kept in its checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panoptic.complexity import thing_table
from panoptic.errors import InputError
from panoptic.metrics.functional import Platt
from panoptic.segments import Segments

KINDS = ("things", "stuff")

LARGEST = 1000.0
"""Largest number in a stored map."""


@dataclass(frozen=True)
class ScoreCalibration:
    """Map of the scores of things and of stuff.

    Attributes:
        things: Map of things.
        stuff: Map of stuff.
    """

    things: Platt
    stuff: Platt

    @classmethod
    def from_record(cls, record: Any, source: str) -> ScoreCalibration | None:
        """Read what a checkpoint has; ``None`` if it has none.

        Args:
            record: Slope and offset of ``things`` and ``stuff``.
            source: File, for the error message.

        Raises:
            InputError: If it is not a calibration.
        """
        if record is None:
            return None
        try:
            maps = {kind: Platt(float(record[kind]["slope"]), float(record[kind]["offset"])) for kind in KINDS}
        except (KeyError, TypeError, ValueError):
            maps = {}
        numbers = [number for platt in maps.values() for number in platt]
        sound = all(math.isfinite(number) and abs(number) <= LARGEST for number in numbers)
        if not maps or not sound or any(platt.slope <= 0 for platt in maps.values()):
            raise InputError(f"{source}: expected a calibration of scores, got {record!r}")
        return cls(**maps)

    def apply(self, segments: Segments, is_thing: Sequence[bool]) -> Segments:
        """Return segments with mapped scores; those without scores as they are.

        Args:
            segments: Segments of one image, or a batch.
            is_thing: Whether each class is a thing.
        """
        if segments.scores is None:
            return segments
        things = thing_table(is_thing, segments.classes.device)[segments.classes]
        return replace(segments, scores=self.of_kinds(segments.scores, things))

    def of_kinds(self, scores: Float[Tensor, "*n"], is_thing: Bool[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Return mapped scores.

        Args:
            scores: Scores in 0..1.
            is_thing: Whether each is that of a thing.
        """
        return torch.where(is_thing, self.things.apply(scores), self.stuff.apply(scores))
