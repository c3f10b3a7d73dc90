"""Panoptic quality against time, for fixed resolutions and for one that complexity chooses.

Each image of a split is predicted at a few resolutions. Counts add up, so that the panoptic quality of every way to
choose follows from those of the images. On the validation split, a threshold of the predicted object density is chosen:
the one with which prediction takes least time at no more than a stated drop in PQ. It is stored in the checkpoint.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from panoptic.analysis.choosing import points, total
from panoptic.analysis.evaluation import Progress, check_split, load_split
from panoptic.config.schema import ResolutionConfig
from panoptic.errors import InputError, expect_at_least
from panoptic.inference.predictor import Predictor
from panoptic.inference.resolution import AdaptiveResolution, Prediction, predict_at
from panoptic.metrics.functional import PanopticCounts
from panoptic.metrics.per_image import Settings, score_image
from panoptic.training.checkpoint import Checkpoint, read_checkpoint, store_resolution
from panoptic.training.runs import default_output
from panoptic.utils.files import output_folder, write_json

MIDDLE = 0.75
"""Fixed resolution that is measured beside that of the first look and full size."""


class Measured(NamedTuple):
    """Images predicted at several resolutions.

    Attributes:
        scales: Factors of height and width, ascending, from the first look to 1.
        counts: Counts of panoptic quality ``[S I C]``.
        seconds: Time of each prediction.
        density: Object density of each image, as the first look predicts it.
    """

    scales: tuple[float, ...]
    counts: PanopticCounts
    seconds: Float64[Tensor, "S I"]
    density: Float64[Tensor, " I"]


class Row(NamedTuple):
    """One way to choose the resolution.

    Attributes:
        resolution: What is chosen.
        pq: PQ in points, 100 x PQ.
        time: Time of prediction, relative to full size.
        full: Share of images predicted at full size.
    """

    resolution: str
    pq: float
    time: float
    full: float


@dataclass(frozen=True)
class Resolutions:
    """Panoptic quality against time.

    Attributes:
        folder: Folder that ``resolution.json`` was written to.
        split: Name of the split.
        images: Number of images.
        rows: The ways to choose.
        rule: Rule of the adaptive resolution.
        stored: Whether the rule was found here and stored in the checkpoint.
    """

    folder: Path
    split: str
    images: int
    rows: list[Row]
    rule: AdaptiveResolution
    stored: bool


def measure_resolutions(options: ResolutionConfig, progress: Progress = lambda items, *_: items) -> Resolutions:
    """Measure a checkpoint on a split; on ``val``, choose the rule of adaptive resolution and store it.

    Raises:
        InputError: If an option, the checkpoint or the data cannot be used, or another split is scored and the
            checkpoint has no rule yet.
    """
    check_split(options.split)
    expect_at_least(0, drop=options.drop)
    AdaptiveResolution(options.first, 0.0)  # refuses a factor out of range
    checkpoint = read_checkpoint(options.checkpoint, options.overrides)
    finds = options.split == "val"
    first = options.first
    if not finds:
        first = AdaptiveResolution.from_record(checkpoint.resolution, str(checkpoint.path)).first
    folder = Path(options.output or default_output(checkpoint.path, f"resolution_{options.split}")).expanduser()
    with output_folder(folder):
        measured = _measure(checkpoint, options.split, first, progress)
        if finds:
            rule = AdaptiveResolution(first, choose_threshold(measured, options.drop))
            store_resolution(checkpoint.path, {"first": first, "threshold": rule.threshold, "drop": options.drop})
        else:
            rule = AdaptiveResolution.from_record(checkpoint.resolution, str(checkpoint.path))
        rows = tabulate(measured, rule)
        found = Resolutions(folder, options.split, len(measured.density), rows, rule, finds)
        write_json(folder / "resolution.json", _content(found, measured, options))
    return found


def _measure(checkpoint: Checkpoint, split: str, first: float, progress: Progress) -> Measured:
    loader = load_split(checkpoint, split)
    predictor = Predictor.load(checkpoint)
    scales = tuple(sorted({first, MIDDLE, 1.0}))
    counts: list[list[PanopticCounts]] = [[] for _ in scales]
    seconds: list[list[float]] = [[] for _ in scales]
    density = []
    warm: set[torch.Size] = set()
    for batch in progress(loader, f"predicting {split} at {len(scales)} resolutions, batches", len(loader)):
        if batch.segments is None:
            raise InputError(f"split: expected one with its truth, got {split}")
        for part in batch.split():
            image, truth = part.to(predictor.device).images, part.segments
            assert truth is not None
            target = truth.to(predictor.device).unstack()[0]
            if image.shape not in warm:  # the first prediction of a size takes longer
                warm.add(image.shape)
                for scale in scales:
                    _timed(predictor, image, scale)
            for i, scale in enumerate(scales):
                prediction, elapsed = _timed(predictor, image, scale)
                segments = prediction.segments.unstack()[0]
                counts[i].append(score_image(segments, target, predictor.labels, Settings(boundaries=False)).quality)
                seconds[i].append(elapsed)
                if scale == first:
                    density.append(float(prediction.outputs.complexity[0, 0]))
    stacked = PanopticCounts(
        *(
            torch.stack([torch.stack([c[k].cpu() for c in of_scale]) for of_scale in counts])
            for k in range(len(PanopticCounts._fields))
        )
    )
    return Measured(
        scales,
        stacked,
        torch.tensor(seconds, dtype=torch.float64),
        torch.tensor(density, dtype=torch.float64),
    )


@torch.inference_mode()
def _timed(predictor: Predictor, image: Tensor, scale: float) -> tuple[Prediction, float]:
    start = time.perf_counter()
    prediction = predict_at(predictor.network, predictor.codec, image, scale)
    if predictor.device.type == "cuda":
        torch.cuda.synchronize(predictor.device)
    return prediction, time.perf_counter() - start


def choose_threshold(measured: Measured, drop: float) -> float:
    """Choose the threshold of the object density with the least time at no more than a drop in PQ.

    The images of lowest density stay at the first look; any number of them may. If not even one can stay within the
    drop, the threshold is -1, below any density.

    Args:
        measured: Images of the validation split.
        drop: Largest drop in PQ, in points.
    """
    order = measured.density.argsort(stable=True)
    density = measured.density[order]
    first, full = (PanopticCounts(*(c[i, order] for c in measured.counts)) for i in (0, -1))
    zero = [torch.zeros_like(c[:1]) for c in first]
    # Row k: the first k images stay.
    stay = PanopticCounts(*(torch.cat([z, c.cumsum(0)]) for z, c in zip(zero, first, strict=True)))
    go_on = PanopticCounts(*(c.sum(0) - torch.cat([z, c.cumsum(0)]) for z, c in zip(zero, full, strict=True)))
    pq = points(PanopticCounts(*(a + b for a, b in zip(stay, go_on, strict=True))))
    allowed = pq >= pq[0] - drop
    # Images of equal density cannot be told apart.
    allowed[1:-1] &= density[:-1] < density[1:]
    stays = int(torch.nonzero(allowed).max())
    if stays == 0:
        return -1.0
    if stays == len(density):
        return float(density[-1])  # denser images than any seen are looked at again
    return float((density[stays - 1] + density[stays]) / 2)


def tabulate(measured: Measured, rule: AdaptiveResolution) -> list[Row]:
    """Return PQ and time of fixed resolutions and of a rule."""
    whole = float(measured.seconds[-1].sum())
    rows = [
        Row(
            f"{scale:g}",
            float(points(total(PanopticCounts(*(c[i] for c in measured.counts))))),
            float(measured.seconds[i].sum()) / whole,
            float(scale == 1),
        )
        for i, scale in enumerate(measured.scales)
    ]
    again = measured.density > rule.threshold
    mixed = PanopticCounts(*(torch.where(again[:, None], c[-1], c[0]) for c in measured.counts))
    spent = float(measured.seconds[0].sum() + measured.seconds[-1][again].sum())
    rows.append(Row("adaptive", float(points(total(mixed))), spent / whole, float(again.double().mean())))
    return rows


def _content(found: Resolutions, measured: Measured, options: ResolutionConfig) -> dict[str, Any]:
    return {
        "checkpoint": options.checkpoint,
        "split": found.split,
        "images": found.images,
        "first": found.rule.first,
        "threshold": found.rule.threshold,
        "drop": options.drop if found.stored else None,
        "rows": [row._asdict() for row in found.rows],
        "milliseconds": {
            f"{scale:g}": 1e3 * float(seconds.median())
            for scale, seconds in zip(measured.scales, measured.seconds, strict=True)
        },
    }
