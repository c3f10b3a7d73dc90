"""``python -m panoptic.evaluate``: scores a checkpoint on a split, and writes its predictions."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from panoptic.cli import command
from panoptic.errors import InputError


def evaluate(config: DictConfig) -> None:
    """Evaluates as configured.

    Raises:
        InputError: if something that was given cannot be used.
    """
    from torchmetrics import MetricCollection

    from panoptic.callbacks.summary import write_json
    from panoptic.checkpoint import read_checkpoint
    from panoptic.data.coco_panoptic import CocoPanopticWriter
    from panoptic.metrics import BoundaryF1, PanopticQuality
    from panoptic.predictor import Predictor
    from panoptic.report import output_folder, print_scores, progress, quality_rows, write_overlay
    from panoptic.settings import build

    if config.split not in ("train", "val", "test"):
        raise InputError(f"split: expected train, val or test, got {config.split!r}")
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    data = build(checkpoint.config.data, seed=checkpoint.config.seed)
    loader = data.split_dataloader(config.split)
    labels = loader.dataset.source.labels
    if labels != checkpoint.labels:
        raise InputError(
            f"{checkpoint.path}: expected data with the label space it was trained on ({len(checkpoint.labels)} "
            f"categories: {', '.join(checkpoint.labels.names[:3])}, ...), got {len(labels)} "
            f"({', '.join(labels.names[:3])}, ...)"
        )
    predictor = Predictor.load(checkpoint)
    folder = output_folder(config.output or default_output(checkpoint.path, f"evaluate_{config.split}"))
    if config.visualize:
        output_folder(folder / "overlays")
    metrics = MetricCollection([PanopticQuality(labels), BoundaryF1(labels)]).to(predictor.device)
    scored = 0
    with CocoPanopticWriter(folder, labels, name="predictions") as writer:
        for batch in progress(loader, f"evaluating {config.split}, batches", len(loader)):
            batch = batch.to(predictor.device)
            predicted = predictor.predict_batch(batch)
            if batch.segments is not None:
                metrics.update(predicted, batch.segments)
                scored += len(batch.names)
            images = batch.images.permute(0, 2, 3, 1).cpu().numpy()
            for name, image, (height, width), segments in zip(
                batch.names, images, batch.sizes, predicted.to("cpu").unstack(batch.sizes), strict=True
            ):
                segments = segments.compact()
                writer.add(name, segments)
                if config.visualize:
                    write_overlay(folder / "overlays" / f"{name}.png", image[:height, :width], segments, labels)
    if scored == 0:
        print(f"the truth of split {config.split} is withheld: predictions were written, nothing was scored")
    else:
        scores = {k: float(v) for k, v in metrics.compute().items() if not v.isnan()}
        write_json(
            folder / "scores.json",
            {"checkpoint": str(checkpoint.path), "split": config.split, "images": scored, "scores": scores},
        )
        print_scores(f"{config.split}: {scored} images", quality_rows(scores, labels))
    print(f"results: {folder}")


def default_output(checkpoint: Path, name: str) -> Path:
    """A folder in the checkpoint's own run: beside ``checkpoints/`` where the file is in such a folder."""
    parent = checkpoint.resolve().parent
    return (parent.parent if parent.name == "checkpoints" else parent) / name


if __name__ == "__main__":
    command("evaluate", evaluate)
