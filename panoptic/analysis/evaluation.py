"""Evaluation of a network on a split: each batch is predicted once, and handed to whatever measures or writes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from panoptic.analysis.fusion_record import FusionRecord
from panoptic.analysis.oracle import Oracle
from panoptic.analysis.scoring import RowWriter, Worst, scoring_settings
from panoptic.analysis.shuffling import ShuffledComplexity
from panoptic.codec import Outputs
from panoptic.config.composing import build
from panoptic.config.schema import EvaluateConfig
from panoptic.data.batch import Batch, EvaluationDataset
from panoptic.data.coco.writer import CityscapesPanopticWriter, CocoPanopticWriter
from panoptic.data.sample import SPLITS
from panoptic.errors import InputError, expect_at_least
from panoptic.inference.predictor import Predictor
from panoptic.inference.tta import check_tta
from panoptic.labels import LabelSpace, is_cityscapes
from panoptic.metrics.per_image import Evaluation, ImageScores, Settings, score_image
from panoptic.segments import Segments
from panoptic.training.checkpoint import Checkpoint, read_checkpoint
from panoptic.training.runs import default_output
from panoptic.utils.files import writable_folder, write_json
from panoptic.visualization.overlay import save_overlay

T = TypeVar("T")
Progress = Callable[[Iterable[T], str, int], Iterable[T]]
"""Wraps an iterable to show how far it is, given a description and a length."""


@dataclass(frozen=True)
class PredictedImage:
    """One image with its prediction.

    Attributes:
        image_id: Identifier in the data set.
        name: Name of the file, without suffix.
        image: Plain RGB, without the padding of its batch.
        outputs: Network outputs, a batch of one.
        predicted: Predicted segments.
        target: True segments, ``None`` where the truth is withheld.
    """

    image_id: int | str
    name: str
    image: UInt8[Tensor, "3 H W"]
    outputs: Outputs
    predicted: Segments
    target: Segments | None


@dataclass(frozen=True)
class PredictedBatch:
    """A batch with its predictions.

    Attributes:
        batch: Images and truth, as loaded.
        outputs: Network outputs.
        predicted: Decoded segments of the padded batch, on the network's device.
        truth: True segments on the network's device, ``None`` where they are withheld.
        image_ids: Identifiers of the images in the data set.
    """

    batch: Batch
    outputs: Outputs
    predicted: Segments
    truth: Segments | None
    image_ids: Sequence[int | str]

    @cached_property
    def images(self) -> list[PredictedImage]:
        """The images one by one, each in its own size."""
        sizes, padded = self.batch.sizes, self.batch.images.shape[-2:]
        predicted = self.predicted.unstack(sizes)
        targets = [None] * len(sizes) if self.truth is None else self.truth.unstack(sizes)
        return [
            PredictedImage(
                image_id,
                name,
                self.batch.images[i, :, :height, :width],
                outputs_of_image(self.outputs, i, (height, width), padded),
                predicted[i],
                targets[i],
            )
            for i, (image_id, name, (height, width)) in enumerate(
                zip(self.image_ids, self.batch.names, sizes, strict=True)
            )
        ]


def outputs_of_image(outputs: Outputs, i: int, size: Sequence[int], padded: Sequence[int]) -> Outputs:
    """Select the outputs for one image of a batch, as a batch of one; local α without the cells of the padding.

    Args:
        outputs: Network outputs for a batch.
        i: Index of the image.
        size: Height and width of that image.
        padded: Height and width of the batch.
    """
    own = type(outputs)(*(part[i : i + 1] for part in outputs))
    if own.alpha.ndim == 2:
        return own
    rows, columns = (
        math.ceil(cells * side / whole) for cells, side, whole in zip(own.alpha.shape[-2:], size, padded, strict=True)
    )
    return own._replace(alpha=own.alpha[..., :rows, :columns])


class Sink:
    """Receives predicted batches and closes at the end; as a context manager, it knows whether all went well."""

    def add(self, batch: PredictedBatch) -> None:
        """Take in a batch."""
        raise NotImplementedError

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release what the sink holds; with an error, leave nothing half written."""


def predict_batches(
    predictor: Predictor, loader: Iterable[Batch], image_ids: Sequence[int | str]
) -> Iterator[PredictedBatch]:
    """Predict batch by batch.

    Args:
        predictor: Network and codec.
        loader: Batches in the order of ``image_ids``.
        image_ids: Identifiers of all images.

    Yields:
        Each :class:`PredictedBatch`.
    """
    first = 0
    for batch in loader:
        outputs = predictor.outputs(batch)
        predicted = predictor.decode(outputs, batch)
        truth = None if batch.segments is None else batch.segments.to(predictor.device)
        yield PredictedBatch(batch, outputs, predicted, truth, image_ids[first : first + len(batch.names)])
        first += len(batch.names)


class Scores(Sink):
    """Scores images that have a truth: totals, a table with a row per image, the worst images, and fusion.

    Args:
        labels: Label space.
        settings: What to score.
        rows: CSV file with one row per image.
        worst: Number of images with the lowest PQ to remember.
    """

    def __init__(self, labels: LabelSpace, settings: Settings, rows: Path, worst: int) -> None:
        self.labels = labels
        self.settings = settings
        self.evaluation = Evaluation(labels, settings)
        self.worst = Worst(worst)
        self.fusion = FusionRecord(labels)
        self._rows = RowWriter(rows, labels)

    def __enter__(self) -> Scores:
        self._rows.__enter__()
        return self

    def add(self, batch: PredictedBatch) -> None:
        """Score the images of a batch."""
        for image in batch.images:
            if image.target is not None:
                scores: ImageScores = score_image(image.predicted, image.target, self.labels, self.settings)
                columns = self.fusion.add(image.outputs, scores.complexity, image.image, image.target)
                self.evaluation.add(scores)
                self.worst.add(self._rows.add(image.image_id, image.name, scores, columns))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rows.__exit__(kind, error, at)


class OracleScores(Sink):
    """Feeds an :class:`~panoptic.analysis.oracle.Oracle`.

    Args:
        oracle: On the network's device.
    """

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def add(self, batch: PredictedBatch) -> None:
        """Score a batch with parts of its outputs replaced by the truth."""
        if batch.truth is not None:
            self.oracle.add(batch.outputs, batch.truth, batch.batch.sizes)


class Shuffled(Sink):
    """Feeds a :class:`~panoptic.analysis.shuffling.ShuffledComplexity`.

    Args:
        shuffled: Of the network that predicts.
    """

    def __init__(self, shuffled: ShuffledComplexity) -> None:
        self.shuffled = shuffled

    def add(self, batch: PredictedBatch) -> None:
        """Remember the complexity estimates of a batch."""
        if batch.truth is not None:
            self.shuffled.add(batch.outputs)


class SegmentWriters(Sink):
    """Writes segments in the formats of the official evaluators: COCO's, and Cityscapes' for its label space.

    Args:
        folder: Folder to write to.
        labels: Label space.
        split: Name of the split.
        truth: Whether to write the truth rather than predictions; nothing is written before there is any.
    """

    def __init__(self, folder: Path, labels: LabelSpace, split: str, *, truth: bool) -> None:
        self.folder = folder
        self.labels = labels
        self.split = split
        self.truth = truth
        self._writers: list[CocoPanopticWriter] = []

    def __enter__(self) -> SegmentWriters:
        if not self.truth:
            self._begin()
        return self

    def _begin(self) -> None:
        self._writers.append(CocoPanopticWriter(self.folder, self.labels, name=self._named("truth", "predictions")))
        if is_cityscapes(self.labels):
            self._writers.append(
                CityscapesPanopticWriter(
                    self.folder / self._named("cityscapes_truth", "cityscapes"),
                    self.labels,
                    name=f"cityscapes_panoptic_{self.split}",
                    suffix=self._named("_gtFine_panoptic", "_pred_panoptic"),
                )
            )

    def _named(self, truth: str, predictions: str) -> str:
        return truth if self.truth else predictions

    def add(self, batch: PredictedBatch) -> None:
        """Write the segments of a batch."""
        for image in batch.images:
            segments = image.target if self.truth else image.predicted
            if segments is not None:
                if not self._writers:
                    self._begin()
                for writer in self._writers:
                    writer.add(image.name, segments, image_id=image.image_id)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for writer in self._writers:
            writer.__exit__(kind, error, at)


class Overlays(Sink):
    """Writes each image with its predicted segments over it.

    Args:
        folder: Folder to write to; it is made.
        labels: Label space.
    """

    def __init__(self, folder: Path, labels: LabelSpace) -> None:
        self.folder = writable_folder(folder, "output")
        self.labels = labels

    def add(self, batch: PredictedBatch) -> None:
        """Draw the images of a batch."""
        for image in batch.images:
            pixels = image.image.permute(1, 2, 0).cpu().numpy()
            path = self.folder / f"{image.name}.png"
            save_overlay(path, pixels, image.predicted.to("cpu").compact(), self.labels)


@dataclass(frozen=True)
class Evaluated:
    """Results of an evaluation.

    Attributes:
        folder: Folder that they were written to.
        split: Name of the split.
        labels: Label space.
        images: Number of images scored; 0 where the truth is withheld.
        predictions: Whether predictions were written.
        scores: Scores by name; see :meth:`panoptic.metrics.per_image.Evaluation.scores`.
        worst: Scores of the images with the lowest PQ, by image.
        oracle: Scores with parts of the outputs replaced by the truth, by variant; ``None`` if not asked for.
        shuffled: PQ of each round with shuffled complexity; ``None`` if not asked for.
    """

    folder: Path
    split: str
    labels: LabelSpace
    images: int
    predictions: bool
    scores: Mapping[str, float]
    worst: Mapping[str, Mapping[str, float]]
    oracle: Mapping[str, Mapping[str, float]] | None
    shuffled: Sequence[float] | None


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
    loader = _loader(checkpoint, options.split)
    source = cast(EvaluationDataset, loader.dataset).source
    predictor = Predictor.load(checkpoint, tta=options.tta, compile=options.compile)
    folder = options.output or default_output(checkpoint.path, f"evaluate_{options.split}")
    folder = writable_folder(folder, "output")
    scores = Scores(source.labels, settings, folder / "per_image.csv", options.worst)
    oracle = Oracle(predictor.codec).to(predictor.device) if options.oracle else None
    shuffled = None
    if options.shuffles:
        shuffled = ShuffledComplexity(predictor.network, predictor.codec, options.shuffles, predictor.device)
    with ExitStack() as stack:
        sinks = [stack.enter_context(sink) for sink in _sinks(options, folder, scores, oracle, shuffled)]
        batches = progress(loader, f"evaluating {options.split}, batches", len(loader))
        for batch in predict_batches(predictor, batches, source.image_ids):
            for sink in sinks:
                sink.add(batch)
    images = scores.evaluation.images
    found = scores.evaluation.scores() if images else {}
    rounds = None
    if images:
        about: dict[str, Any] = {"checkpoint": str(checkpoint.path), "split": options.split, "tta": options.tta}
        about |= {"categories": source.labels.to_dicts()}
        fusion = scores.fusion.result()
        if shuffled is not None:
            again = progress(loader, f"{shuffled.rounds} times with shuffled complexity, batches", len(loader))
            fusion["shuffled"] = shuffled.result(again, found["pq"])
            rounds = fusion["shuffled"]["pq"]
        scores.fusion.write(folder)
        if oracle is not None:
            write_json(folder / "oracle.json", about | {"variants": oracle.result()})
        write_json(folder / "scores.json", about | scores.evaluation.result() | {"fusion": fusion})
    return Evaluated(
        folder,
        options.split,
        source.labels,
        images,
        options.predictions,
        found,
        scores.worst.rows(),
        oracle.rows() if oracle is not None and images else None,
        rounds,
    )


def _sinks(
    options: EvaluateConfig,
    folder: Path,
    scores: Scores,
    oracle: Oracle | None,
    shuffled: ShuffledComplexity | None,
) -> Iterator[Sink]:
    yield scores
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
    if options.split not in SPLITS:
        raise InputError(f"split: expected {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, got {options.split!r}")
    check_tta(options.tta)
    expect_at_least(0, shuffles=options.shuffles)
    if options.shuffles and options.tta != "none":
        raise InputError(f"shuffles: expected none with test-time augmentation, got shuffles={options.shuffles}")


def _loader(checkpoint: Checkpoint, split: str) -> DataLoader[Batch]:
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
