"""``python -m panoptic.evaluate``: scores a checkpoint on a split, and writes its predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from panoptic.cli import command
from panoptic.errors import InputError, expect_at_least
from panoptic.labels import LabelSpace, is_cityscapes

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from panoptic.checkpoint import Checkpoint
    from panoptic.codec import Outputs
    from panoptic.data.batch import Batch
    from panoptic.data.coco.writer import CocoPanopticWriter
    from panoptic.fusion_record import FusionRecord
    from panoptic.metrics.per_image import Evaluation, ImageScores
    from panoptic.oracle import Oracle
    from panoptic.scoring import Worst
    from panoptic.segments import Segments
    from panoptic.shuffling import ShuffledComplexity


def evaluate(config: DictConfig) -> Path:
    """Evaluates as configured, and returns the folder with the results.

    Raises:
        InputError: if something that was given cannot be used.
    """
    from contextlib import ExitStack

    from panoptic.checkpoint import read_checkpoint
    from panoptic.fusion_record import FusionRecord
    from panoptic.metrics.per_image import Evaluation, score_image
    from panoptic.oracle import Oracle
    from panoptic.predictor import Predictor
    from panoptic.report import output_folder, progress, write_overlay
    from panoptic.scoring import RowWriter, Worst, scoring_settings
    from panoptic.shuffling import ShuffledComplexity

    settings = scoring_settings(config)
    _check(config)
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    loader = _loader(checkpoint, config.split)
    source = loader.dataset.source
    labels = source.labels
    predictor = Predictor.load(checkpoint, tta=config.tta, compile=config.compile)
    folder = output_folder(config.output or default_output(checkpoint.path, f"evaluate_{config.split}"))
    if config.visualize:
        output_folder(folder / "overlays")

    gathered = _Gathered(
        Evaluation(labels, settings),
        Worst(config.worst),
        FusionRecord(labels),
        Oracle(predictor.codec).to(predictor.device) if config.oracle else None,
        ShuffledComplexity(predictor.network, predictor.codec, config.shuffles, predictor.device)
        if config.shuffles
        else None,
    )
    index = 0
    with ExitStack() as stack:
        rows = stack.enter_context(RowWriter(folder / "per_image.csv", labels))
        predictions = _writers(folder, labels, config.split, truth=False) if config.predictions else ()
        predictions = [stack.enter_context(writer) for writer in predictions]
        truths: list[CocoPanopticWriter] = []
        for batch in progress(loader, f"evaluating {config.split}, batches", len(loader)):
            outputs = predictor.outputs(batch)
            predicted = predictor.decode(outputs, batch).unstack(batch.sizes)
            target = [None] * len(predicted)
            if batch.segments is not None:
                truth = batch.segments.to(predictor.device)
                target = truth.unstack(batch.sizes)
                gathered.add_batch(outputs, truth, batch.sizes)
            for i, name in enumerate(batch.names):
                image_id, (height, width) = source.image_ids[index], batch.sizes[i]
                index += 1
                image = batch.images[i, :, :height, :width]
                if target[i] is not None:
                    if config.truth and not truths:  # not before there is any
                        truths = [stack.enter_context(w) for w in _writers(folder, labels, config.split, truth=True)]
                    scores = score_image(predicted[i], target[i], labels, settings)
                    own = _of_image(outputs, i, (height, width), batch.images.shape[-2:])
                    columns = gathered.fusion.add(own, scores.complexity, image, target[i])
                    gathered.add_image(scores, rows.add(image_id, name, scores, columns))
                for writers, segments in ((predictions, predicted[i]), (truths, target[i])):
                    for writer in writers if segments is not None else ():
                        writer.add(name, segments, image_id=image_id)
                if config.visualize:
                    pixels = image.permute(1, 2, 0).cpu().numpy()
                    write_overlay(folder / "overlays" / f"{name}.png", pixels, predicted[i].to("cpu").compact(), labels)
    if gathered.evaluation.images == 0:
        written = "predictions were written" if config.predictions else "no predictions were asked for"
        print(f"the truth of split {config.split} is withheld: {written}, nothing was scored")
    else:
        about = {"checkpoint": str(checkpoint.path), "split": config.split, "tta": config.tta}
        gathered.report(folder, about | {"categories": labels.to_dicts()}, loader)
    print(f"results: {folder}")
    return folder


@dataclass
class _Gathered:
    """What is gathered of the images that have a truth."""

    evaluation: Evaluation
    worst: Worst
    fusion: FusionRecord
    oracle: Oracle | None
    shuffled: ShuffledComplexity | None

    def add_batch(self, outputs: Outputs, truth: Segments, sizes: Sequence[tuple[int, int]]) -> None:
        if self.oracle is not None:
            self.oracle.add(outputs, truth, sizes)
        if self.shuffled is not None:
            self.shuffled.add(outputs)

    def add_image(self, scores: ImageScores, row: Mapping[str, object]) -> None:
        self.evaluation.add(scores)
        self.worst.add(row)

    def report(self, folder: Path, about: dict[str, Any], loader: DataLoader[Batch]) -> None:
        """Writes and prints the scores.

        Args:
            folder: to write to.
            about: what they are of.
            loader: of the same images again, for what is scored with shuffled complexity.
        """
        from panoptic.metrics.display import SUMMARY, score_rows
        from panoptic.report import print_table, progress, write_json

        scores, labels = self.evaluation.scores(), self.evaluation.labels
        fusion = self.fusion.result()
        if self.shuffled is not None:
            rounds = f"{self.shuffled.rounds} times with shuffled complexity, batches"
            fusion["shuffled"] = self.shuffled.result(progress(loader, rounds, len(loader)), scores["pq"])
        self.fusion.write(folder)
        if self.oracle is not None:
            write_json(folder / "oracle.json", about | {"variants": self.oracle.result()})
        # The scores last: they say that all is there.
        write_json(folder / "scores.json", about | self.evaluation.result() | {"fusion": fusion})
        print_table(f"{about['split']}: {self.evaluation.images} images", score_rows(scores, labels, SUMMARY))
        if self.worst.count:
            print_table(f"the {len(self.worst.rows())} images with the lowest PQ", self.worst.rows())
        if self.oracle is not None:
            print_table("PQ if parts of the outputs were true", self.oracle.rows())
        if self.shuffled is not None:
            values = fusion["shuffled"]["pq"]
            print(
                f"PQ with the complexity of the images shuffled among them: {sum(values) / len(values):.4f}, "
                f"the mean of {len(values)}"
            )


def _check(config: DictConfig) -> None:
    """Refuses what neither the schema nor a part that is built would."""
    from panoptic.tta import check_tta

    if config.split not in ("train", "val", "test"):
        raise InputError(f"split: expected train, val or test, got {config.split!r}")
    check_tta(config.tta)
    expect_at_least(0, shuffles=config.shuffles)
    if config.shuffles and config.tta != "none":
        raise InputError(f"shuffles: expected none with test-time augmentation, got shuffles={config.shuffles}")


def _loader(checkpoint: Checkpoint, split: str) -> DataLoader[Batch]:
    """A split of the data that a checkpoint was trained on.

    Raises:
        InputError: if it cannot be read, or has other categories.
    """
    from panoptic.settings import build

    data = build(checkpoint.config.data, seed=checkpoint.config.seed)
    loader = data.split_dataloader(split)
    labels = loader.dataset.source.labels
    if not labels.has_categories_of(checkpoint.labels):
        raise InputError(
            f"{checkpoint.path}: expected data with the categories it was trained on, "
            f"{checkpoint.labels.difference(labels)}"
        )
    return loader


def _of_image(outputs: Outputs, i: int, size: Sequence[int], padded: Sequence[int]) -> Outputs:
    """The outputs for one image of a batch, as a batch of one; local α without the cells of the padding.

    Args:
        outputs: for a batch.
        i: which of its images.
        size: height and width of that image.
        padded: those of the batch.
    """
    own = type(outputs)(*(part[i : i + 1] for part in outputs))
    if own.alpha.ndim == 2:
        return own
    rows, columns = (
        math.ceil(cells * side / whole) for cells, side, whole in zip(own.alpha.shape[-2:], size, padded, strict=True)
    )
    return own._replace(alpha=own.alpha[..., :rows, :columns])


def _writers(folder: Path, labels: LabelSpace, split: str, *, truth: bool) -> Iterator[CocoPanopticWriter]:
    """What writes the formats that the official evaluators read: COCO's, and Cityscapes' for its label space."""
    from panoptic.data.coco.writer import CityscapesPanopticWriter, CocoPanopticWriter

    yield CocoPanopticWriter(folder, labels, name="truth" if truth else "predictions")
    if is_cityscapes(labels):
        yield CityscapesPanopticWriter(
            folder / ("cityscapes_truth" if truth else "cityscapes"),
            labels,
            name=f"cityscapes_panoptic_{split}",
            suffix="_gtFine_panoptic" if truth else "_pred_panoptic",
        )


def default_output(checkpoint: Path, name: str) -> Path:
    """A folder in the checkpoint's own run: beside ``checkpoints/`` where the file is in such a folder."""
    parent = checkpoint.resolve().parent
    return (parent.parent if parent.name == "checkpoints" else parent) / name


if __name__ == "__main__":
    command("evaluate", evaluate)
