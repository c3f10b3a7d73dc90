"""What could be gained at most by choosing the fusion weights α, before a network that chooses them is trained.

The images of a split are scored under fixed weights (:mod:`panoptic.analysis.weightings`). From their counts follows
the panoptic quality that the best weights would give: the same for all images, of each quartile of a measure, of each
image, and of each place. Weights chosen on the images that they are scored on are optimistic, since they gain from
noise too; those chosen on the other half of the images do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from panoptic.analysis.choosing import (
    choose,
    choose_each,
    gain,
    points,
    quartiles_of,
    resample,
    take,
    total,
    two_folds,
)
from panoptic.analysis.evaluation import Progress, check_split, load_split
from panoptic.analysis.weightings import MEASURES, Scored, candidates, score_weightings
from panoptic.config.schema import HeadroomConfig
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor
from panoptic.metrics.functional import PanopticCounts
from panoptic.models import PanopticNetwork, RandomFusion
from panoptic.models.fpn import NUM_LEVELS
from panoptic.training.checkpoint import read_checkpoint
from panoptic.training.runs import default_output
from panoptic.utils.files import output_folder, write_json
from panoptic.utils.statistics import Estimate

OTHER_HALF, SAME_IMAGES = "the other half", "the same images"


class Row(NamedTuple):
    """Panoptic quality with one way of choosing weights, in points: 100 x PQ.

    Attributes:
        weights: What has weights of its own.
        chosen_on: What the weights were chosen on.
        pq: PQ of the split.
        gain: PQ more than with the best fixed weights, chosen on the other half; bootstrap interval over images.
    """

    weights: str
    chosen_on: str
    pq: float
    gain: Estimate


class Group(NamedTuple):
    """Images of a quartile of a measure.

    Attributes:
        quartile: 1 to 4; ``None`` for images without a value.
        images: Number of images.
        low: Smallest value of the measure; ``None`` without a value.
        high: Largest value of the measure; ``None`` without a value.
        best: Index of the best weighting, chosen on the same images.
        pq: PQ of these images under each weighting, in points.
    """

    quartile: int | None
    images: int
    low: float | None
    high: float | None
    best: int
    pq: list[float]


@dataclass(frozen=True)
class Headroom:
    """What choosing weights could gain.

    Attributes:
        folder: Folder that ``headroom.json`` was written to.
        split: Name of the split.
        images: Number of images.
        fusion: Name of the fusion that the network was trained with.
        weightings: Fusion weights, fine to coarse: uniform ones, then the grid.
        pq: PQ of the split under each weighting, in points.
        rows: PQ and gain by way of choosing.
        quartiles: Images of each quartile, by measure.
    """

    folder: Path
    split: str
    images: int
    fusion: str
    weightings: list[list[float]]
    pq: list[float]
    rows: list[Row]
    quartiles: dict[str, list[Group]]

    @property
    def best(self) -> int:
        """Index of the best fixed weighting, chosen on all images."""
        return max(range(len(self.pq)), key=lambda i: self.pq[i])

    @property
    def trained_with_random_weights(self) -> bool:
        """Whether the network has learned to work with any weights."""
        return self.fusion == RandomFusion.__name__


def measure_headroom(options: HeadroomConfig, progress: Progress = lambda items, *_: items) -> Headroom:
    """Measure what choosing fusion weights could gain on a split, and write it to ``headroom.json``.

    Args:
        options: What to measure.
        progress: Shows how far it is.

    Raises:
        InputError: If an option, the checkpoint or the data cannot be used.
    """
    check_split(options.split)
    checkpoint = read_checkpoint(options.checkpoint, options.overrides)
    loader = load_split(checkpoint, options.split)
    predictor = Predictor.load(checkpoint)
    network = cast(PanopticNetwork, predictor.network)
    folder = Path(options.output or default_output(checkpoint.path, f"headroom_{options.split}")).expanduser()
    weightings = candidates(NUM_LEVELS)
    with output_folder(folder):
        batches = progress(
            loader, f"scoring {options.split} with {len(weightings)} fusion weights, batches", len(loader)
        )
        scored = score_weightings(network, predictor.codec, batches, weightings, predictor.device)
        images = 0 if scored is None else len(scored.measures)
        if scored is None or images < 2:
            raise InputError(f"split={options.split}: expected at least two images with their truth, got {images}")
        found = Headroom(
            folder,
            options.split,
            images,
            type(network.fusion).__name__,
            weightings.tolist(),
            points(total(scored.counts)).tolist(),
            headroom_rows(scored),
            {name: groups_of(scored.counts, scored.measures[:, i]) for i, name in enumerate(MEASURES)},
        )
        write_json(
            folder / "headroom.json",
            {"checkpoint": str(checkpoint.path), "seed": checkpoint.config.seed} | _plain(found),
        )
    return found


def headroom_rows(scored: Scored, folds: Int64[Tensor, " I"] | None = None) -> list[Row]:
    """Compute PQ of the split for each way of choosing weights.

    Args:
        scored: Counts of the images; the first weighting is uniform.
        folds: Half that each image belongs to, 0 or 1. By default drawn with a fixed seed.
    """
    counts, images = scored.counts, len(scored.measures)
    folds = two_folds(images) if folds is None else folds
    alike = torch.zeros(images, dtype=torch.int64)
    fixed = choose(counts, alike, folds)
    chosen = {
        ("uniform", ""): alike,
        ("best fixed", OTHER_HALF): fixed,
        ("best fixed", SAME_IMAGES): choose(counts, alike),
    }
    for name, values in zip(MEASURES, scored.measures.unbind(1), strict=True):
        quartiles, weights = quartiles_of(values), f"quartile of {name.replace('_', ' ')}"
        chosen[weights, OTHER_HALF] = choose(counts, quartiles, folds)
        chosen[weights, SAME_IMAGES] = choose(counts, quartiles)
    chosen["each image", "its mirror image"] = choose_each(scored.mirrored, fixed)
    chosen["each image", "the same image"] = choose_each(counts, fixed)
    found = {key: take(counts, choice) for key, choice in chosen.items()}
    found["each place", "the same image"] = scored.places
    baseline, resampled = found["best fixed", OTHER_HALF], resample(images)
    return [
        Row(weights, chosen_on, float(points(total(of))), gain(of, baseline, resampled))
        for (weights, chosen_on), of in found.items()
    ]


def groups_of(counts: PanopticCounts, values: Float64[Tensor, " I"]) -> list[Group]:
    """Describe the quartiles of a measure.

    Args:
        counts: Counts ``[W I C]``.
        values: Value of the measure by image.
    """
    quartiles = quartiles_of(values)
    chosen = choose(counts, quartiles)
    groups = []
    for quartile in quartiles.unique().tolist():
        inside = quartiles == quartile
        known = quartile < 4
        low, high = (float(end) for end in values[inside].aminmax())
        pq, best = points(total(counts, inside)).tolist(), int(chosen[inside][0])
        groups.append(
            Group(
                quartile + 1 if known else None,
                int(inside.sum()),
                low if known else None,
                high if known else None,
                best,
                pq,
            )
        )
    return groups


def _plain(found: Headroom) -> dict[str, Any]:
    """Return plain containers for a JSON file."""
    return {
        "split": found.split,
        "images": found.images,
        "fusion": found.fusion,
        "trained_with_random_weights": found.trained_with_random_weights,
        "weightings": [{"alpha": a, "pq": pq} for a, pq in zip(found.weightings, found.pq, strict=True)],
        "best_fixed": found.weightings[found.best],
        "choices": [row._asdict() | {"gain": row.gain._asdict()} for row in found.rows],
        "quartiles": {
            name: [group._asdict() | {"best": found.weightings[group.best]} for group in groups]
            for name, groups in found.quartiles.items()
        },
    }
