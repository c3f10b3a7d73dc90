"""Settings of decoding, chosen by panoptic quality on the validation split.

The outputs of a network do not depend on them, so each image is predicted once and grouped with every threshold and
window of peaks. Which segments the least areas drop follows from their areas. Things do not depend on ``stuff_area``,
and stuff depends on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from panoptic.analysis.evaluation import Progress, load_split
from panoptic.codec import Codec
from panoptic.codec.maps import Readout
from panoptic.data.loader import Loader
from panoptic.inference.predictor import Predictor
from panoptic.metrics.functional import as_batch, fit_platt, intersections
from panoptic.metrics.functional.panoptic_quality import outcomes_of_pairs, union_of_pairs
from panoptic.segments import Segments
from panoptic.training.checkpoint import CHOSEN, read_checkpoint, store_decoding

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
WINDOWS = (3, 5, 7, 11)
THING_AREAS = (0, 8, 16, 24, 32, 48, 64, 96, 128)
STUFF_AREAS = (0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Candidates for each setting, beside what is configured."""

TOLERANCE = 0.3
"""Points of PQ that are given up for what is configured, and for smaller areas: what decoding drops is lost to whoever
looks at the result, and to other scores, while a small segment counts for PQ as much as a large one."""

PIXELS = 50_000_000
"""Number of pixels that are enough to choose by. Of larger splits, batches at equal distances are taken."""


@dataclass(frozen=True)
class Decoding:
    """Chosen settings.

    Attributes:
        settings: Value of each key of :data:`~panoptic.training.checkpoint.CHOSEN`.
        before: Values in the configuration.
        images: Number of images that they were chosen by.
        pq_before: PQ of these images with the values in the configuration, in points.
        pq: PQ with the chosen ones.
        calibration: Maps of the scores of things and stuff to probabilities, for these settings.
    """

    settings: Mapping[str, float]
    before: Mapping[str, float]
    images: int
    pq_before: float
    pq: float
    calibration: Mapping[str, Any]

    def __str__(self) -> str:
        changes = [
            f"codec.{key}={value:g} rather than {self.before[key]:g}"
            for key, value in self.settings.items()
            if value != self.before[key]
        ]
        if not changes:
            return f"decoding, by {self.images} images of val: none better than what is configured, PQ {self.pq:.2f}"
        gain = f"PQ {self.pq:.2f} rather than {self.pq_before:.2f}"
        return f"decoding, chosen by {self.images} images of val: {', '.join(changes)}; {gain} points"


def choose_decoding(path: Path, others: Sequence[Path] = (), progress: Progress = lambda items, *_: items) -> Decoding:
    """Choose the settings of decoding for a checkpoint on the validation split, and store them in it.

    Args:
        path: Path of the checkpoint.
        others: Further checkpoints of the run to store them in.
        progress: Shows how far it is.

    Raises:
        InputError: If the checkpoint or the data cannot be used.
    """
    checkpoint = read_checkpoint(path)
    predictor = Predictor.load(checkpoint)
    loader = load_split(checkpoint, "val")
    decoding = choose(predictor.codec, _readouts(predictor, loader, progress))
    record = {"settings": dict(decoding.settings), "images": decoding.images}
    record |= {"pq_before": decoding.pq_before, "pq": decoding.pq}
    for each in (path, *others):
        store_decoding(each, record, dict(decoding.calibration))
    return decoding


class Matched(NamedTuple):
    """Predicted segments that count, as matched or as false positives.

    Attributes:
        classes: Class of each.
        areas: Area in pixels.
        scores: Score.
        iou: IoU with the match, 0 for false positives.
    """

    classes: Int64[Tensor, " n"]
    areas: Int64[Tensor, " n"]
    scores: Float[Tensor, " n"]
    iou: Float64[Tensor, " n"]

    def of(self, rows: Bool[Tensor, " n"]) -> Matched:
        """Return some of the segments."""
        return Matched(*(column[rows] for column in self))

    def quality(self, true: Int64[Tensor, " C"]) -> Float64[Tensor, " C"]:
        """Compute PQ of each class, NaN for those that are neither true nor predicted.

        Args:
            true: Number of true segments of each class.
        """
        predicted = self.classes.bincount(minlength=len(true))
        iou_sum = torch.zeros(len(true), dtype=torch.float64).index_add(0, self.classes, self.iou)
        return 2 * iou_sum / (predicted + true)


class _Pick(NamedTuple):
    """PQ in points of one kind of classes, the grouping and the least area that give it, and what they leave."""

    pq: float
    number: int
    area: int
    segments: Matched


def choose(codec: Codec, images: Iterable[tuple[Readout, Segments]]) -> Decoding:
    """Choose the settings of decoding by images: those with the highest mean PQ of things, and of stuff.

    Of the areas, it is the smallest with which PQ is within :data:`TOLERANCE` of the highest.

    Args:
        codec: Codec with the configured settings, which stay unless others are better by more than that.
        images: What decoding reads of each image, and its true segments.
    """
    everything = replace(codec, thing_area=0, stuff_area=0)
    peaks = [replace(everything, peak_threshold=t, peak_window=w) for t in THRESHOLDS for w in WINDOWS]
    codecs = [everything, *peaks]
    matched, true, count = _match(codecs, images)
    thing = torch.tensor(codec.labels.is_thing)
    things = [segments.of(thing[segments.classes]) for segments in matched]
    stuff = matched[0].of(~thing[matched[0].classes])  # whatever the peaks, stuff is the same

    def points(of_things: Matched, of_stuff: Matched) -> float:
        both = Matched(*(torch.cat(columns) for columns in zip(of_things, of_stuff, strict=True)))
        return 100 * float(both.quality(true).nanmean().nan_to_num(0.0))

    def pick(groups: Sequence[Matched], least: int, areas: Sequence[int], classes: Bool[Tensor, " C"]) -> _Pick:
        """Pick one of the groupings and a least area; the first grouping and ``least`` are configured."""

        def at(number: int, area: int) -> _Pick:
            kept = groups[number].of(groups[number].areas >= area)
            return _Pick(100 * float(kept.quality(true)[classes].nanmean().nan_to_num(1.0)), number, area, kept)

        configured, candidates = at(0, least), [at(i, area) for i in range(len(groups)) for area in sorted(areas)]
        best = max(candidates, key=lambda candidate: candidate.pq)
        enough = best.pq - TOLERANCE
        if configured.pq >= enough:
            return configured
        return next(c for c in candidates if c.number == best.number and c.pq >= enough)

    things_picked = pick(things, codec.thing_area, THING_AREAS, thing)
    stuff_picked = pick([stuff], codec.stuff_area, STUFF_AREAS, ~thing)
    of_things, of_stuff = things_picked.segments, stuff_picked.segments
    chosen = replace(codecs[things_picked.number], thing_area=things_picked.area, stuff_area=stuff_picked.area)
    configured = [
        part.of(part.areas >= least) for part, least in ((things[0], codec.thing_area), (stuff, codec.stuff_area))
    ]
    return Decoding(
        {key: getattr(chosen, key) for key in CHOSEN},
        {key: getattr(codec, key) for key in CHOSEN},
        count,
        points(*configured),
        points(of_things, of_stuff),
        {
            kind: dict(fit_platt(of_kind.scores, of_kind.iou > 0)._asdict())
            for kind, of_kind in (("things", of_things), ("stuff", of_stuff))
        },
    )


@torch.no_grad()
def _match(
    codecs: Sequence[Codec], images: Iterable[tuple[Readout, Segments]]
) -> tuple[list[Matched], Int64[Tensor, " C"], int]:
    """Return the segments of all images as each codec groups them, the number of true ones, and of images."""
    matched: list[list[Matched]] = [[] for _ in codecs]
    true = torch.zeros(codecs[0].labels.num_classes, dtype=torch.int64)
    count = 0
    for readout, truth in images:
        target = as_batch(truth)
        there = (truth.areas() > 0) & ~truth.crowd
        true += truth.classes[there].bincount(minlength=len(true)).cpu()
        count += 1
        for codec, found in zip(codecs, matched, strict=True):
            prediction = codec.segments(readout)
            assert prediction.scores is not None
            shared = intersections(prediction, target)
            union = union_of_pairs(shared)
            outcomes, match = outcomes_of_pairs(shared, 2 * shared.pixels > union, prediction, target)
            iou = shared.per_predicted(torch.where(match, shared.pixels.double() / union.clamp(min=1), 0.0))[:, 1:]
            rows = outcomes.is_correct | outcomes.is_false
            columns = (prediction.classes, shared.predicted_areas, prediction.scores, iou)
            found.append(Matched(*(column[rows].cpu() for column in columns)))
    return [Matched(*(torch.cat(c) for c in zip(*of, strict=True))) for of in matched], true, count


@torch.inference_mode()
def _readouts(predictor: Predictor, loader: Loader, progress: Progress) -> Iterator[tuple[Readout, Segments]]:
    """Yield what decoding reads of each image, and its truth; of many images, those of batches at equal distances."""
    step = 0
    for number, batch in enumerate(progress(loader, "choosing the decoding on val, batches", len(loader))):
        step = step or math.ceil(len(loader) * batch.images[:, 0].numel() / PIXELS)
        if number % step:
            continue
        for part in batch.split():
            assert part.segments is not None  # splits for validation have ground truth
            image, truth = part.to(predictor.device).images, part.segments.to(predictor.device)
            yield predictor.codec.read_out(predictor.network(image), truth.size), truth.unstack()[0]
