"""``python -m benchmarks.predicting``: prediction of large images in tiles, and of many images.

Tiles: with the checkpoint that is given, images are predicted whole and in tiles with margins of several widths: scenes
of 1024x2048, mosaics of that size for a network of scenes of 128x256, or those of a folder. PQ is that of the tiled
result with the whole one as truth. A thing of the whole result counts as cut if it lies across a seam and two tiled
things of its class each have a fifth of it or more. Large: the peak memory of a process that predicts one square image
in tiles, with the network of ``full``. Photo: the same of a photo of 12 megapixels, whole and in tiles. Many: images
per second of a folder, with reading and writing of overlays and PNG, beside those of the network with its decoding
alone, in turns. Memory: the peak by the number of images, with the network of ``quick``. Precision: PQ of the
checkpoint on its validation split, and the time of an image, in single and in half precision, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import cpu_tables
from benchmarks.inference import NUM_CLASSES, our_network
from benchmarks.measuring import at_least_one, experiment, in_own_process, machine, peak_memory, write
from panoptic.config.composing import build
from panoptic.data.images import find_images, read_image
from panoptic.inference.many import ImageFile, predict_files
from panoptic.inference.predictor import Predictor
from panoptic.inference.result_folder import ResultFolder
from panoptic.inference.tiles import Tiling, parts_along, predict_tiled
from panoptic.labels import CITYSCAPES
from panoptic.metrics import PanopticQuality
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments
from panoptic.training.checkpoint import build_codec, build_network, read_checkpoint
from panoptic.utils.malloc import keep_freed_memory

CPU = torch.device("cpu")
PARTS = ("tiles", "large", "photo", "memory", "many", "precision")
PHOTO = (3000, 4000)
"""Height and width of a photo of 12 megapixels."""

SHARE = 0.2
"""Share of a thing that each of two parts of it has at least."""


def agreement(
    predictor: Predictor, images: Sequence[np.ndarray], tile: int, margins: Sequence[int]
) -> list[dict[str, Any]]:
    """Compare tiled results with whole ones, without the limit of things, which is by tile."""
    predictor.codec = replace(predictor.codec, max_things=10**4)
    whole, seconds = [], 0.0
    for image in images:
        start = time.perf_counter()
        whole.append(predictor.predict_one(image).segments)
        seconds += time.perf_counter() - start
    rows = []
    for margin in margins:
        tiling, metric = Tiling(tile, margin), PanopticQuality(predictor.labels)
        found, cut, same, tiled_seconds = 0, 0, [], 0.0
        for image, expected in zip(images, whole, strict=True):
            start = time.perf_counter()
            tiled = predict_tiled(predictor.network, predictor.codec, image, tiling, CPU).segments
            tiled_seconds += time.perf_counter() - start
            metric.update(tiled, Segments(expected.ids, expected.classes, expected.crowd))
            same.append(float((tiled.semantic() == expected.semantic()).float().mean()))
            at = cuts(predictor, expected, tiled, tiling)
            found, cut = found + at[0], cut + at[1]
        rows.append(
            {
                "margin": margin,
                "pq": float(metric.compute()["pq"]),
                "same class": float(np.mean(same)),
                "across seams": found,
                "cut": cut,
                "times": tiled_seconds / seconds,
            }
        )
    return rows


def cuts(predictor: Predictor, whole: Segments, tiled: Segments, tiling: Tiling) -> tuple[int, int]:
    """Return the numbers of things that lie across a seam, and of those that are cut in two."""
    network, is_thing = predictor.network, np.array(predictor.labels.is_thing)
    lines = [
        [
            part.core.start
            for part in parts_along(side, tiling, network.coarsest_stride, network.backbone.strides[0])[1:]
        ]
        for side in whole.size
    ]
    ids, classes = tiled.ids.numpy(), tiled.classes.numpy()
    across = cut = 0
    for row, c in enumerate(whole.classes.tolist()):
        if not is_thing[c]:
            continue
        mask = whole.ids.numpy() == row + 1
        sides = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
        if not any(side[0] < line <= side[-1] for side, ends in zip(sides, lines, strict=True) for line in ends):
            continue
        across += 1
        areas = np.bincount(ids[mask], minlength=len(classes) + 1)[1:]
        cut += int(((areas >= SHARE * mask.sum()) & (classes == c)).sum() > 1)
    return across, cut


def one_large(height: int, width: int, tile: int, name: str) -> None:
    """Predict one image with the network of an experiment, and print peak memory in gigabytes and seconds as JSON.

    Args:
        height: Height of the image.
        width: Width of the image.
        tile: Side of a tile; 0 predicts the image whole.
        name: Name of the experiment.
    """
    keep_freed_memory()
    predictor = predictor_of(name)
    repeats = (-(-height // 512), -(-width // 1024), 1)
    image = np.ascontiguousarray(np.tile(scenes(1, (512, 1024))[0], repeats)[:height, :width])
    predictor.tiling = Tiling.of(tile, None)
    start = time.perf_counter()
    found: list[Any] = []
    peak = peak_memory(lambda: found.append(predictor.predict_one(image)), CPU)
    print(
        json.dumps(
            {"gigabytes": peak, "seconds": time.perf_counter() - start, "segments": len(found[0].segments.classes)}
        )
    )


def predictor_of(name: str) -> Predictor:
    """Return a predictor with the network of an experiment, of random weights."""
    config = experiment(name)
    network = build_network(config, NUM_CLASSES).eval()
    return Predictor(network, build_codec(config, CITYSCAPES, network), CPU)


def scenes(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return synthetic scenes."""
    source = SyntheticSource(split="test", size=count, height=size[0], width=size[1])
    return [source.read(index).image for index in range(count)]


def mosaics(count: int) -> list[np.ndarray]:
    """Return mosaics of 1024x2048 of 81 scenes of 128x256 each, shifted so that seams of tiles cut scenes."""
    source = SyntheticSource(split="test", size=81 * count, height=128, width=256, generator=2)
    found = []
    for start in range(0, len(source), 81):
        rows = [[source.read(start + 9 * i + j).image for j in range(9)] for i in range(9)]
        found.append(
            np.ascontiguousarray(np.concatenate([np.concatenate(row, axis=1) for row in rows])[48:1072, 100:2148])
        )
    return found


def images_of(on: str, count: int) -> list[np.ndarray]:
    """Return the images that agreement is measured on."""
    if on == "scenes":
        return scenes(count, (1024, 2048))
    return mosaics(count) if on == "mosaics" else [read_image(path) for path in find_images(on)[:count]]


def folder_of_images(folder: Path, count: int, size: tuple[int, int]) -> list[ImageFile]:
    """Write images, ten scenes over and over, and return their files."""
    pictures = [Image.fromarray(image) for image in scenes(10, size)]
    files = []
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        pictures[number % len(pictures)].save(path, quality=90)
        files.append(ImageFile(path, path.stem, path.name))
    return files


def predict_folder(predictor: Predictor, files: Sequence[ImageFile], folder: Path) -> None:
    """Predict images as the command does."""
    results = ResultFolder(folder, predictor.labels, {}, overlays=True, anew=True)
    for record in predict_files(predictor, files, results.writer):
        results.note(record)  # type: ignore[arg-type]  # all can be read
    results.finish(files)


def throughput(count: int, parts: int) -> dict[str, float]:
    """Return images per second of a folder, and of the network with decoding alone."""
    _, predictor = our_network(CPU)
    images = scenes(10, (512, 1024))
    seconds = {"folder": 0.0, "network": 0.0}
    with tempfile.TemporaryDirectory() as name:
        files = folder_of_images(Path(name), count, (512, 1024))
        predictor.predict_one(images[0])
        for part in range(parts):  # in turns
            chosen = files[part::parts]
            start = time.perf_counter()
            predict_folder(predictor, chosen, Path(name) / "out")
            seconds["folder"] += time.perf_counter() - start
            start = time.perf_counter()
            for number in range(len(chosen)):
                predictor.predict_one(images[number % len(images)])
            seconds["network"] += time.perf_counter() - start
    return {"count": count, **{key: count / value for key, value in seconds.items()}}


def precisions(checkpoint: Path) -> dict[str, Any]:
    """Return PQ on the validation split, and the median seconds of an image, by precision."""
    source = build(read_checkpoint(checkpoint).config.data, seed=0).val_source
    predictors = {name: Predictor.load(checkpoint, device="cpu", precision=name) for name in ("fp32", "bf16")}
    metrics = {name: PanopticQuality(source.labels) for name in predictors}
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    for index in range(len(source)):
        sample = source.read(index)
        for name, predictor in predictors.items():
            start = time.perf_counter()
            found = predictor.segments(sample.image)
            seconds[name].append(time.perf_counter() - start)
            metrics[name].update(found, sample.segments)
    rows = {
        name: {"pq": float(metrics[name].compute()["pq"]), "seconds": statistics.median(seconds[name])}
        for name in predictors
    }
    return {"count": len(source), "rows": rows}


def memory_of(count: int) -> None:
    """Predict so many images, and print the peak memory in gigabytes as JSON."""
    keep_freed_memory()
    predictor = predictor_of("quick")
    with tempfile.TemporaryDirectory() as name:
        files = folder_of_images(Path(name), count, (256, 512))
        print(json.dumps(peak_memory(lambda: predict_folder(predictor, files, Path(name) / "out"), CPU)))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="others are kept from the output file")
    parser.add_argument("--checkpoint", type=Path, help="network that agreement is measured with")
    parser.add_argument("--on", default="scenes", help="scenes, mosaics, or a folder or glob of images")
    parser.add_argument("--title", help="name of these images in the table")
    parser.add_argument("--count", type=at_least_one, default=20, help="number of these images")
    parser.add_argument("--margins", type=int, nargs="*", default=[0, 64, 128, 256], help="margins in pixels")
    parser.add_argument("--tile", type=at_least_one, default=512, help="side of a tile for agreement")
    parser.add_argument("--side", type=at_least_one, default=8192, help="side of the large image, in tiles of 1024")
    parser.add_argument("--images", type=at_least_one, default=200, help="number of images of a folder")
    parser.add_argument("--memory", type=at_least_one, nargs="*", default=[200, 2000], help="numbers of images")
    parser.add_argument("--one-large", nargs=4, metavar=("HEIGHT", "WIDTH", "TILE", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.one_large:
        *sizes, name = arguments.one_large
        one_large(*map(int, sizes), name)
        return
    if arguments.memory_of:
        memory_of(arguments.memory_of)
        return
    report: dict[str, Any] = {"machine": machine(), "freed memory kept": keep_freed_memory()}
    if arguments.output and arguments.output.is_file():
        report = json.loads(arguments.output.read_text()) | report
    module = "benchmarks.predicting"
    if "tiles" in arguments.parts and arguments.checkpoint:
        predictor = Predictor.load(arguments.checkpoint, device="cpu")
        images = images_of(arguments.on, arguments.count)
        rows = agreement(predictor, images, arguments.tile, arguments.margins)
        found = {"tile": arguments.tile, "count": len(images), "rows": rows}
        report["agreement"] = report.get("agreement", {}) | {arguments.title or arguments.on: found}
    if "large" in arguments.parts:
        report["side"] = arguments.side
        report["large"] = in_own_process(module, "--one-large", *[str(arguments.side)] * 2, "1024", "full")
    if "photo" in arguments.parts:
        report["photo"] = {
            name: {str(n): in_own_process(module, "--one-large", *map(str, PHOTO), str(n), name) for n in (0, 1024)}
            for name in ("quick", "full")
        }
    if "memory" in arguments.parts:
        report["memory"] = {str(n): in_own_process(module, "--memory-of", str(n)) for n in arguments.memory}
    if "many" in arguments.parts:
        report["throughput"] = throughput(arguments.images, min(arguments.images, 5))
    if "precision" in arguments.parts and arguments.checkpoint:
        found = precisions(arguments.checkpoint)
        report["precision"] = report.get("precision", {}) | {arguments.title or arguments.on: found}
    print(cpu_tables.predicting(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
