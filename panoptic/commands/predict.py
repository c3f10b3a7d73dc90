"""``python -m panoptic.predict``: segments images of any size, and writes overlays and COCO panoptic PNG + JSON."""

from __future__ import annotations

from collections import Counter

from omegaconf import DictConfig


def predict(config: DictConfig) -> None:
    """Predicts as configured.

    Every image is read once before anything is written, so that a faulty one is told first.

    Raises:
        InputError: if something that was given cannot be used.
    """
    from panoptic.commands.console import print_counts, progress
    from panoptic.data.coco.writer import CocoPanopticWriter
    from panoptic.data.images import find_images, output_names, read_image
    from panoptic.inference.predictor import Predictor
    from panoptic.inference.tta import check_tta
    from panoptic.training.checkpoint import read_checkpoint
    from panoptic.training.runs import default_output
    from panoptic.utils.files import writable_folder
    from panoptic.visualization.overlay import save_overlay

    check_tta(config.tta)
    paths = find_images(config.input)
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    for path in paths:
        read_image(path)
    predictor = Predictor.load(checkpoint, tta=config.tta, compile=config.compile)
    folder = writable_folder(config.output or default_output(checkpoint.path, "predict"), "output")
    if config.visualize:
        writable_folder(folder / "overlays", "output")
    unique = {name for name, count in Counter(path.name for path in paths).items() if count == 1}
    rows = {}
    with CocoPanopticWriter(folder, predictor.labels, name="panoptic") as writer:
        for path, name in progress(list(zip(paths, output_names(paths), strict=True)), "predicting images", len(paths)):
            image = read_image(path)
            segments = predictor(image)
            shown = path.name if path.name in unique else str(path)
            writer.add(name, segments, file_name=shown)
            rows[shown] = segments
            if config.visualize:
                save_overlay(folder / "overlays" / f"{name}.png", image, segments, predictor.labels)
    print_counts(rows, predictor.labels)
    print(f"results: {folder}")
