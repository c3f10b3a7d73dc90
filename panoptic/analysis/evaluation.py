"""Evaluation of a network on a split: each batch is predicted once, and handed to whatever measures or writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import nn

from panoptic.analysis.calibration import ScoreOutcomes
from panoptic.analysis.oracle import Oracle
from panoptic.analysis.scoring import scoring_settings
from panoptic.analysis.shuffling import ShuffledComplexity
from panoptic.analysis.sinks import OracleScores, Overlays, PredictedBatch, Scores, SegmentWriters, Shuffled, Sink
from panoptic.config.composing import build
from panoptic.config.schema import EvaluateConfig
from panoptic.data.batch import Batch, EvaluationDataset
from panoptic.data.loader import Loader
from panoptic.data.sample import SPLITS
from panoptic.errors import InputError, expect_at_least
from panoptic.inference.predictor import Predictor
from panoptic.inference.tta import check_tta
from panoptic.labels import LabelSpace
from panoptic.metrics.display import narrow_remark
from panoptic.metrics.per_image import Settings
from panoptic.models.units import HiddenUnits
from panoptic.training.checkpoint import Checkpoint, read_checkpoint
from panoptic.training.runs import default_output
from panoptic.utils.files import writable_folder, write_json

T = TypeVar("T")
Progress = Callable[[Iterable[T], str, int], Iterable[T]]
"""Wraps an iterable to show how far it is, given a description and a length."""


def predict_batches(
    predictor: Predictor, loader: Iterable[Batch], image_ids: Iterable[int | str]
) -> Iterator[PredictedBatch]:
    """Predict batch by batch.

    Args:
        predictor: Network and codec.
        loader: Batches in the order of ``image_ids``.
        image_ids: Identifiers of the images in the batches.

    Yields:
        Each :class:`PredictedBatch`.
    """
    identifiers = iter(image_ids)
    for batch in loader:
        for part, (outputs, predicted, _) in predictor.predictions(batch):
            truth = None if part.segments is None else part.segments.to(predictor.device)
            yield PredictedBatch(part, outputs, predicted, truth, list(islice(identifiers, len(part.names))))


@dataclass(frozen=True)
class Evaluated:
    """Results of an evaluation.

    Attributes:
        folder: Folder that they were written to.
        split: Name of the split.
        labels: Label space.
        settings: What was scored, and how.
        images: Number of images scored; 0 where the truth is withheld.
        left_out: Why images could not be read, and are left out.
        predictions: Whether predictions were written.
        scores: Scores by name; see :meth:`panoptic.metrics.per_image.Evaluation.scores`.
        errors: Counts of what went wrong; see :meth:`panoptic.metrics.per_image.Evaluation.result`.
        worst: Scores of the images with the lowest PQ, by image.
        oracle: Scores with parts of the outputs replaced by the truth, by variant; ``None`` if not asked for.
        shuffled: PQ of each round with shuffled complexity; ``None`` if not asked for.
        note: What else is to be said of the predictions.
        calibration_errors: Expected calibration error of the scores of things and of stuff.
    """

    folder: Path
    split: str
    labels: LabelSpace
    settings: Settings
    images: int
    left_out: Sequence[str]
    predictions: bool
    scores: Mapping[str, float]
    errors: Mapping[str, Any]
    worst: Mapping[str, Mapping[str, float]]
    oracle: Mapping[str, Mapping[str, float]] | None
    shuffled: Sequence[float] | None
    note: str | None
    calibration_errors: Mapping[str, float] = field(default_factory=dict)


def evaluate_checkpoint(options: EvaluateConfig, progress: Progress = lambda items, *_: items) -> Evaluated:
    """Score a checkpoint on a split of its data, and write scores and predictions.

    ``scores.json`` is written last: where it is, all else is.

    Args:
        options: What to evaluate, score and write.
        progress: Shows how far it is.

    Raises:
        InputError: If an option, the checkpoint or the data cannot be used.
    """
    settings = scoring_settings(options)
    _check(options)
    checkpoint = read_checkpoint(options.checkpoint, options.overrides)
    loader = load_split(checkpoint, options.split)
    source = cast(EvaluationDataset, loader.dataset).source
    predictor = Predictor.load(checkpoint, tta=options.tta, compile=options.compile, resolution=options.resolution)
    folder = options.output or default_output(checkpoint.path, f"evaluate_{options.split}")
    folder = writable_folder(folder, "output")
    scores = Scores(source.labels, settings, folder / "per_image.csv", options.worst)
    outcomes = ScoreOutcomes(source.labels)
    oracle = Oracle(predictor.codec).to(predictor.device) if options.oracle else None
    shuffled = None
    if options.shuffles:
        shuffled = ShuffledComplexity(predictor.network, predictor.codec, options.shuffles, predictor.device)
    with ExitStack() as stack:
        units = stack.enter_context(HiddenUnits(cast(nn.Module, predictor.network.fusion)))
        sinks = [stack.enter_context(sink) for sink in _sinks(options, folder, scores, outcomes, oracle, shuffled)]
        batches = progress(loader, f"evaluating {options.split}, batches", len(loader))
        bad = loader.left_out.reasons  # those before a batch are known when it comes
        image_ids = (image_id for index, image_id in enumerate(source.image_ids) if index not in bad)
        for batch in predict_batches(predictor, batches, image_ids):
            for sink in sinks:
                sink.add(batch)
    images, left_out = scores.evaluation.images, list(loader.left_out.reasons.values())
    found = scores.evaluation.scores() if images else {}
    rounds = None
    result: dict[str, Any] = {"errors": {}}
    calibration: dict[str, Any] = {}
    if images:
        about: dict[str, Any] = {"checkpoint": str(checkpoint.path), "split": options.split, "tta": options.tta}
        about |= {"resolution": options.resolution, "left_out": left_out}
        about |= {"categories": source.labels.to_dicts()}
        fusion = scores.fusion.result() | {"active_units": units.active_share()}
        if shuffled is not None:
            again = progress(loader, f"{shuffled.rounds} times with shuffled complexity, batches", len(loader))
            fusion["shuffled"] = shuffled.result(again, found["pq"])
            rounds = fusion["shuffled"]["pq"]
        scores.fusion.write(folder)
        if oracle is not None:
            write_json(folder / "oracle.json", about | {"variants": oracle.result()})
        calibration = outcomes.write(folder)
        result = scores.evaluation.result() | {"calibration": calibration, "fusion": fusion}
        write_json(folder / "scores.json", about | result)
    return Evaluated(
        folder,
        options.split,
        source.labels,
        settings,
        images,
        left_out,
        options.predictions,
        found,
        result["errors"],
        scores.worst.rows(("boundary_pq",) if narrow_remark(found) else ()),
        oracle.rows() if oracle is not None and images else None,
        rounds,
        predictor.limit_note(),
        {kind: of_kind["ece"] for kind, of_kind in calibration.items()},
    )


def _sinks(
    options: EvaluateConfig,
    folder: Path,
    scores: Scores,
    outcomes: ScoreOutcomes,
    oracle: Oracle | None,
    shuffled: ShuffledComplexity | None,
) -> Iterator[Sink]:
    yield scores
    yield outcomes
    if oracle is not None:
        yield OracleScores(oracle)
    if shuffled is not None:
        yield Shuffled(shuffled)
    if options.predictions:
        yield SegmentWriters(folder, scores.labels, options.split, truth=False)
    if options.truth:
        yield SegmentWriters(folder, scores.labels, options.split, truth=True)
    if options.visualize:
        yield Overlays(folder / "overlays", scores.labels)


def _check(options: EvaluateConfig) -> None:
    """Raise for values that neither the schema nor a part that is built would refuse."""
    check_split(options.split)
    check_tta(options.tta)
    expect_at_least(0, shuffles=options.shuffles)
    if options.shuffles and options.tta != "none":
        raise InputError(f"shuffles: expected none with test-time augmentation, got shuffles={options.shuffles}")
    if options.resolution != 1 and (options.oracle or options.shuffles):
        raise InputError(f"resolution: expected 1 with oracle and shuffles, got {options.resolution}")


def check_split(split: str) -> None:
    """Raise for a name that is none of a split.

    Raises:
        InputError: If it is unknown.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, got {split!r}")


def load_split(checkpoint: Checkpoint, split: str) -> Loader:
    """Load a split of the data that a checkpoint was trained on.

    Raises:
        InputError: If it cannot be read, or has other categories.
    """
    data = build(checkpoint.config.data, seed=checkpoint.config.seed)
    loader = data.split_dataloader(split)
    labels = loader.dataset.source.labels
    if not labels.has_categories_of(checkpoint.labels):
        raise InputError(
            f"{checkpoint.path}: expected data with the categories it was trained on, "
            f"{checkpoint.labels.difference(labels)}"
        )
    return loader
