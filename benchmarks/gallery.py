"""``python -m benchmarks.gallery CHECKPOINT``: a page of what a network finds on a split, and of what it gets wrong.

Writes ``docs/gallery.md`` and its pictures in ``docs/images/gallery``. Images are chosen by rules alone: those with the
highest, the middle and the lowest PQ, and for each kind of error the image that has most of it. With ``--figure``, the
picture of the method (:mod:`benchmarks.method`) is written too, of the first of those with the middle PQ. With
``--maps``, it writes a single picture instead, of the predicted segments alone, for images that may not be copied: the
best in the first row, the worst in the second; their names and PQ are printed.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import at_least_one, table
from benchmarks.method import method_figure
from panoptic.analysis.evaluation import check_split, load_split
from panoptic.data.batch import EvaluationDataset, collate
from panoptic.data.sample import Sample, Source
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor
from panoptic.inference.resolution import Prediction
from panoptic.labels import LabelSpace
from panoptic.metrics.functional import FALSE_KINDS, MISSED_KINDS, segment_errors
from panoptic.metrics.per_image import Evaluation, Settings, image_row, score_image
from panoptic.segments import Segments
from panoptic.training.checkpoint import Checkpoint, read_checkpoint
from panoptic.utils.files import replacing, writable_folder
from panoptic.visualization.overlay import alpha_picture, overlay, png_of, side_by_side, stacked
from panoptic.visualization.plots import save_figure

WIDTH = 256
"""Largest width of a panel in pixels."""

KINDS = dict.fromkeys((*MISSED_KINDS, *FALSE_KINDS))
"""Kinds of errors of true and of predicted segments, each once."""

MISSED_COLOR, FALSE_COLOR = (230, 60, 50), (60, 120, 240)
"""Colors of true segments that are missed (red), and of predicted ones that are false (blue)."""

WRITTEN = """\
Text and pictures are written by `python -m benchmarks.gallery CHECKPOINT`, for one checkpoint and one split. Which
images are shown is decided by rules alone."""

BY_SCORE = """\
The images with the highest, the middle and the lowest PQ, which is the mean over the classes of the image. From left to
right: image, truth, prediction, fusion weights α (red fine, green middle, blue coarse; bands for weights of the whole
image, a map for weights of places). Weights of whole images differ little from one image to the next:
[results.md](results.md#the-quick-experiment) has by how much."""

BY_ERROR = """\
For each [kind of error](metrics.md#what-went-wrong) the image with the most segments of it, the first of ties. From
left to right: image, truth, prediction, and the segments with this error: true ones that are missed in red, predicted
ones that are false in blue."""


@dataclass(frozen=True)
class Scored:
    """Score of an image.

    Attributes:
        index: Index of the image in its split.
        pq: Its PQ, the mean over the classes that occur in it.
        errors: Number of segments by kind of error: true ones that are missed, and predicted ones that are false.
    """

    index: int
    pq: float
    errors: Counter[str]


@dataclass(frozen=True)
class Shown:
    """A picture of the page.

    Attributes:
        name: Name of its file, without suffix.
        text: What the page says of it.
        panels: Pictures side by side.
    """

    name: str
    text: str
    panels: list[np.ndarray]

    def jpeg(self) -> bytes:
        """Encode the panels side by side, each of at most :data:`WIDTH` pixels."""
        stream = io.BytesIO()
        Image.fromarray(side_by_side([_fitted(panel) for panel in self.panels])).save(stream, "JPEG", quality=88)
        return stream.getvalue()


class Gallery:
    """A network and a split to choose from.

    Args:
        checkpoint: Checkpoint of the network.
        split: Name of the split; its images have a truth.

    Attributes:
        evaluation: Scores of the images scored so far.
    """

    def __init__(self, checkpoint: Checkpoint, split: str) -> None:
        self.checkpoint = checkpoint
        self.split = split
        self.predictor = Predictor.load(checkpoint)
        self.source: Source = cast(EvaluationDataset, load_split(checkpoint, split).dataset).source
        self.labels: LabelSpace = self.source.labels
        self.evaluation = Evaluation(self.labels, Settings(boundaries=False))

    def predict(self, index: int) -> tuple[Sample, Segments, Prediction, Segments]:
        """Read and predict an image.

        Returns:
            The sample, its truth, its prediction, and the predicted segments on the CPU.

        Raises:
            InputError: If it cannot be read, or has no truth.
        """
        sample = self.source.read(index)
        if sample.segments is None:
            raise InputError(f"split: expected one with its truth, got {self.split}, where it is withheld")
        ((_, prediction),) = self.predictor.predictions(collate([sample]))
        (segments,) = prediction.segments.to("cpu").unstack()
        return sample, sample.segments, prediction, segments.compact()

    def score(self) -> list[Scored]:
        """Score all images, and return those that have a class to score, from the lowest PQ to the highest."""
        found = []
        for index in range(len(self.source)):
            _, truth, _, segments = self.predict(index)
            scores = score_image(segments, truth, self.labels, self.evaluation.settings)
            self.evaluation.add(scores)
            pq = image_row(scores, self.labels)["pq"]
            if pq is not None:
                errors = Counter[str]()
                for names, counts in zip((MISSED_KINDS, FALSE_KINDS), scores.errors, strict=True):
                    errors.update(dict(zip(names, counts.sum(0).tolist(), strict=True)))
                found.append(Scored(index, pq, errors))
        if not found:
            raise InputError(f"split: expected images with segments, got none in {self.split}")
        return sorted(found, key=lambda scored: (scored.pq, scored.index))

    def by_score(self, name: str, chosen: Scored) -> Shown:
        """Return image, truth, prediction and fusion weights of an image."""
        sample, truth, prediction, segments = self.predict(chosen.index)
        alpha = prediction.outputs.alpha[0].float().cpu()
        panels = [*self._overlays(sample, truth, segments), alpha_picture(alpha, truth.size)]
        weights = ", ".join(
            f"{value:.2f}" for value in prediction.outputs.alpha_of_image[0].float().cpu().numpy().tolist()
        )
        return Shown(name, f"`{sample.name}`: PQ {100 * chosen.pq:.1f}, α {weights}", panels)

    def by_error(self, kind: str, chosen: Scored) -> Shown:
        """Return image, truth and prediction of an image, and its segments with a kind of error."""
        sample, truth, _, segments = self.predict(chosen.index)
        errors = segment_errors(segments, truth)
        missed, false = (
            torch.tensor([position >= 0 and names[position] == kind for position in positions[0].tolist()])
            for names, positions in ((MISSED_KINDS, errors.missed), (FALSE_KINDS, errors.false))
        )
        panels = [*self._overlays(sample, truth, segments), marked(sample.image, (truth, missed), (segments, false))]
        told = [
            f"{title} {_counted(names)}"
            for title, names in (("true", self._names(truth, missed)), ("predicted", self._names(segments, false)))
            if names
        ]
        text = f"`{sample.name}`: {'; '.join(told)}; PQ {100 * chosen.pq:.1f}"
        return Shown(f"error_{kind}", text, panels)

    def _names(self, segments: Segments, chosen: torch.Tensor) -> list[str]:
        return [self.labels.names[c] for c in segments.classes[chosen].tolist()]

    def _overlays(self, sample: Sample, truth: Segments, segments: Segments) -> list[np.ndarray]:
        return [sample.image, *(overlay(sample.image, each, self.labels) for each in (truth, segments))]


def choose_by_score(scored: Sequence[Scored], count: int) -> dict[str, list[Scored]]:
    """Return the images with the highest, the middle and the lowest PQ.

    Args:
        scored: Images from the lowest PQ to the highest.
        count: How many of each; fewer where there are not as many.
    """
    count = min(count, len(scored))
    middle = (len(scored) - count + 1) // 2
    best = list(scored[::-1][:count])
    return {"best": best, "median": list(scored[middle : middle + count]), "worst": list(scored[:count])}


def choose_by_error(scored: Sequence[Scored]) -> dict[str, Scored]:
    """Return the image with most segments of each kind of error, the first of ties; no kind that no image has."""
    by_index = sorted(scored, key=lambda each: each.index)
    most = {kind: max(by_index, key=lambda each: each.errors[kind]) for kind in KINDS}
    return {kind: chosen for kind, chosen in most.items() if chosen.errors[kind]}


def marked(image: np.ndarray, *marks: tuple[Segments, torch.Tensor]) -> np.ndarray:
    """Return a gray image with missed true segments and false predicted ones in color; mixed where they overlap."""
    gray = np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=2).astype(np.float32)
    colors = np.array((MISSED_COLOR, FALSE_COLOR), np.float32)
    on = np.stack([each.per_pixel(chosen, False).numpy() for each, chosen in marks], -1).astype(np.float32)
    number = on.sum(-1, keepdims=True)
    color = on @ colors / np.maximum(number, 1)
    return np.where(number > 0, 0.35 * gray + 0.65 * color, 0.7 * gray).round().astype(np.uint8)


def _fitted(panel: np.ndarray) -> np.ndarray:
    height, width = panel.shape[:2]
    if width <= WIDTH:
        return panel
    return np.asarray(Image.fromarray(panel).resize((WIDTH, round(height * WIDTH / width)), Image.Resampling.LANCZOS))


def _counted(names: Sequence[str]) -> str:
    """Return words with how often they occur, the most frequent first."""
    return ", ".join(name if n == 1 else f"{n} {name}" for name, n in Counter(names).most_common())


def facts(gallery: Gallery) -> list[tuple[str, str]]:
    """Return what is to be known of the checkpoint and the split, without paths."""
    config, scores = gallery.checkpoint.config, gallery.evaluation.scores()
    data = str(config.data._target_).rpartition(".")[2]
    if "generator" in config.data:
        data += f", generator {config.data.generator}, {config.data.height}x{config.data.width}"
    names = {"PQ": "pq", "PQ of things": "pq_things", "PQ of stuff": "pq_stuff", "SQ": "sq", "RQ": "rq"}
    return [
        ("experiment", f"{config.name}, seed {config.seed}, {gallery.checkpoint.steps} steps"),
        ("network", f"{config.model.backbone.name}, {str(config.model.fusion._target_).rpartition('.')[2]}"),
        ("data", f"{data}; split {gallery.split}, {gallery.evaluation.images} images"),
        *((name, f"{100 * scores[key]:.2f}") for name, key in names.items()),
    ]


def page(gallery: Gallery, scored: Sequence[Shown], errors: Sequence[Shown], folder: str) -> str:
    """Return the page in Markdown.

    Args:
        gallery: With all images scored.
        scored: Pictures chosen by PQ.
        errors: Pictures chosen by kind of error.
        folder: Folder of the pictures, relative to the page.
    """
    totals = gallery.evaluation.result()["errors"]["all"]
    rows = [(kind.replace("_", " "), totals["fn"].get(kind), totals["fp"].get(kind)) for kind in KINDS]
    parts = [
        "# Gallery",
        WRITTEN,
        table("The checkpoint and its scores, in points", ("", ""), facts(gallery)).strip(),
        "## By PQ",
        BY_SCORE,
        *(_entry(shown, folder) for shown in scored),
        "## By what went wrong",
        BY_ERROR,
        table("Segments by kind of error, in all images of the split", ("kind", "true", "predicted"), rows).strip(),
        *(_entry(shown, folder) for shown in errors),
    ]
    return "\n\n".join(parts) + "\n"


def _entry(shown: Shown, folder: str) -> str:
    title = shown.name.removeprefix("error_").replace("_", " ")
    return f"![{title}]({folder}/{shown.name}.jpg)\n\n" + textwrap.fill(f"*{title}, {shown.text}*", 120)


def make(gallery: Gallery, output: Path, images: Path, figure: Path | None, count: int) -> None:
    """Score, choose, and write pictures and page; nothing is written before all of it is there."""
    scored = gallery.score()
    chosen = choose_by_score(scored, count)
    named = [(f"{name}_{number}", each) for name, some in chosen.items() for number, each in enumerate(some, 1)]
    by_score = [gallery.by_score(name, each) for name, each in named]
    by_error = [gallery.by_error(kind, each) for kind, each in choose_by_error(scored).items()]
    for folder in (images, output.parent, *(() if figure is None else (figure.parent,))):
        writable_folder(folder)
    text = page(gallery, by_score, by_error, Path(os.path.relpath(images, output.parent)).as_posix())
    for shown in (*by_score, *by_error):
        with replacing(images / f"{shown.name}.jpg") as part:
            part.write_bytes(shown.jpeg())
    with replacing(output) as part:
        part.write_text(text, encoding="utf-8")
    if figure is not None:
        sample, *_ = gallery.predict(chosen["median"][0].index)
        save_figure(method_figure(gallery.predictor, sample.image), figure)


def make_maps(gallery: Gallery, output: Path, count: int) -> None:
    """Write the predicted segments of the images with the highest and the lowest PQ, and print what they are."""
    chosen = choose_by_score(gallery.score(), count)
    rows, lines = [], []
    for name in ("best", "worst"):
        panels, told = [], []
        for each in chosen[name]:
            sample, _, _, segments = gallery.predict(each.index)
            panels.append(_fitted(overlay(np.zeros_like(sample.image), segments, gallery.labels, opacity=1.0)))
            told.append(f"`{sample.name}` {100 * each.pq:.1f}")
        rows.append(side_by_side(panels))
        lines.append(f"{name}: {', '.join(told)}")
    writable_folder(output.parent)
    with replacing(output) as part:
        part.write_bytes(png_of(stacked(rows)))
    print("; ".join(lines))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the gallery."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description="Write a gallery of predictions.")
    parser.add_argument("checkpoint", help="checkpoint of a run, or a shared network")
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=at_least_one, default=2, help="best, middle and worst images, of each")
    parser.add_argument("--output", type=Path, default=Path("docs/gallery.md"), help="page to write")
    parser.add_argument("--images", type=Path, default=Path("docs/images/gallery"), help="folder of its pictures")
    parser.add_argument("--figure", type=Path, help="picture of the method to write too: docs/images/method.png")
    parser.add_argument("--maps", type=Path, help="picture of predicted segments to write, and nothing else")
    given = parser.parse_args(arguments)
    try:
        check_split(given.split)
        gallery = Gallery(read_checkpoint(given.checkpoint), given.split)
        if given.maps is not None:
            make_maps(gallery, given.maps, given.count)
            return
        make(gallery, given.output, given.images, given.figure, given.count)
    except (InputError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
