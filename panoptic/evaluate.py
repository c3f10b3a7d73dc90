"""``python -m panoptic.evaluate``: scores a checkpoint on a split, and writes its predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from panoptic.cli import command
from panoptic.errors import InputError, expect_at_least
from panoptic.labels import LabelSpace, is_cityscapes

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from panoptic.checkpoint import Checkpoint
    from panoptic.codec import Outputs
    from panoptic.data.batch import Batch
    from panoptic.data.coco_writer import CocoPanopticWriter


def evaluate(config: DictConfig) -> Path:
    """Evaluates as configured, and returns the folder with the results.

    Raises:
        InputError: if something that was given cannot be used.
    """
    from contextlib import ExitStack

    from panoptic.checkpoint import read_checkpoint
    from panoptic.fusion_record import FusionRecord
    from panoptic.metrics.display import SUMMARY, score_rows
    from panoptic.metrics.per_image import Evaluation, score_image
    from panoptic.oracle import Oracle
    from panoptic.predictor import Predictor
    from panoptic.report import output_folder, print_table, progress, write_json, write_overlay
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

    evaluation, worst = Evaluation(labels, settings), Worst(config.worst)
    oracle = Oracle(predictor.codec).to(predictor.device) if config.oracle else None
    parts = (predictor.network, predictor.codec, config.shuffles, predictor.device)
    shuffled = ShuffledComplexity(*parts) if config.shuffles else None
    record = FusionRecord(labels)
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
                if oracle is not None:
                    oracle.add(outputs, truth, batch.sizes)
                if shuffled is not None:
                    shuffled.add(outputs)
            for i, name in enumerate(batch.names):
                image_id, (height, width) = source.image_ids[index], batch.sizes[i]
                index += 1
                image = batch.images[i, :, :height, :width]
                if target[i] is not None:
                    if config.truth and not truths:  # not before there is any
                        truths = [stack.enter_context(w) for w in _writers(folder, labels, config.split, truth=True)]
                    scores = score_image(predicted[i], target[i], labels, settings)
                    evaluation.add(scores)
                    own = _of_image(outputs, i, (height, width), batch.images.shape[-2:])
                    columns = record.add(own, scores.complexity, image, target[i])
                    worst.add(rows.add(image_id, name, scores, columns))
                for writers, segments in ((predictions, predicted[i]), (truths, target[i])):
                    for writer in writers if segments is not None else ():
                        writer.add(name, segments, image_id=image_id)
                if config.visualize:
                    pixels = image.permute(1, 2, 0).cpu().numpy()
                    write_overlay(folder / "overlays" / f"{name}.png", pixels, predicted[i].to("cpu").compact(), labels)
    if evaluation.images == 0:
        written = "predictions were written" if config.predictions else "no predictions were asked for"
        print(f"the truth of split {config.split} is withheld: {written}, nothing was scored")
        print(f"results: {folder}")
        return folder
    about = {"checkpoint": str(checkpoint.path), "split": config.split, "tta": config.tta}
    about["categories"] = labels.to_dicts()
    fusion = record.result()
    if shuffled is not None:
        again = progress(loader, f"{config.shuffles} times with shuffled complexity, batches", len(loader))
        fusion["shuffled"] = shuffled.result(again, evaluation.scores()["pq"])
    record.write(folder)
    write_json(
        folder / "scores.json", about | evaluation.result() | {"fusion": fusion}
    )  # last: it says that all is there
    print_table(f"{config.split}: {evaluation.images} images", score_rows(evaluation.scores(), labels, SUMMARY))
    if config.worst:
        print_table(f"the {len(worst.rows())} images with the lowest PQ", worst.rows())
    if oracle is not None:
        write_json(folder / "oracle.json", about | {"variants": oracle.result()})
        print_table("PQ if parts of the outputs were true", oracle.rows())
    if shuffled is not None:
        values = fusion["shuffled"]["pq"]
        print(
            f"PQ with the complexity of the images shuffled among them: {sum(values) / len(values):.4f}, "
            f"the mean of {len(values)}"
        )
    print(f"results: {folder}")
    return folder


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
    from panoptic.data.coco_writer import CityscapesPanopticWriter, CocoPanopticWriter

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
