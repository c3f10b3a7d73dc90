"""What a predicted batch is handed to: scores, oracle, shuffling, and the files that are written."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from jaxtyping import UInt8
from torch import Tensor

from panoptic.analysis.fusion_record import FusionRecord
from panoptic.analysis.oracle import Oracle
from panoptic.analysis.scoring import RowWriter, Worst
from panoptic.analysis.shuffling import ShuffledComplexity
from panoptic.codec import Outputs
from panoptic.data.batch import Batch
from panoptic.data.coco.writer import CityscapesPanopticWriter, CocoPanopticWriter
from panoptic.labels import LabelSpace, is_cityscapes
from panoptic.metrics.per_image import Evaluation, ImageScores, Settings, score_image
from panoptic.segments import Segments
from panoptic.utils.files import writable_folder
from panoptic.visualization.overlay import save_overlay


@dataclass(frozen=True)
class PredictedImage:
    """One image with its prediction.

    Attributes:
        image_id: Identifier in the data set.
        name: Name of the file, without suffix.
        image: Plain image, without the padding of its batch.
        outputs: Network outputs, a batch of one.
        predicted: Predicted segments.
        target: True segments, ``None`` where the truth is withheld.
    """

    image_id: int | str
    name: str
    image: UInt8[Tensor, "bands H W"]
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


class Sink(ABC):
    """Receives predicted batches and closes at the end; as a context manager, it knows whether all went well."""

    @abstractmethod
    def add(self, batch: PredictedBatch) -> None:
        """Take in a batch."""

    def __enter__(self) -> Sink:
        return self

    # Not abstract: most hold nothing to release.
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:  # noqa: B027
        """Release what the sink holds; with an error, leave nothing half written."""


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
