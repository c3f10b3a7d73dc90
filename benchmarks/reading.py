"""Rate of reading 1024x2048 samples in one thread, from PNG files and from the cache, with and without augmentation.

Without a root, synthetic scenes are written to a temporary folder in the layout of Cityscapes, with noise added to the
images so that the files are about as large as those of photos. Run from the root of the repository:
``python -m benchmarks.reading [--root CITYSCAPES]``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from panoptic.data.augment import augment
from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.sample import Source
from panoptic.data.sample_cache import CachedSource
from panoptic.scenes.export import write_cityscapes
from panoptic.scenes.source import SyntheticSource

ROUNDS = 5


def written(folder: Path, scenes: int) -> Path:
    """Write noisy scenes to a folder, and return the folder."""
    for _ in write_cityscapes(folder, SyntheticSource("val", seed=0, size=scenes, height=1024, width=2048)):
        pass
    rng = np.random.default_rng(0)
    for path in sorted(folder.rglob("*_leftImg8bit.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image).astype(np.int16)
        pixels += np.rint(rng.normal(0, 1.0, pixels.shape)).astype(np.int16)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def pillow(source: CityscapesSource, index: int) -> None:
    """Decode the two files of a sample with Pillow, as most readers do."""
    for path in source.origin(index).files:
        with Image.open(path) as image:
            np.asarray(image)


def read_augmented(source: Source, index: int, appearance: float) -> None:
    """Read a sample and augment it at full strength."""
    sample = source.read(index)
    settings = {"crop": (512, 1024), "scale": (0.5, 2.0), "appearance": appearance, "strength": 1.0}
    augment(sample.image, sample.segments, **settings, seed=index)


def rate(read: Callable[[int], object], count: int) -> float:
    """Return samples per second: the median over rounds through all samples, after one warm-up round."""
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        for index in range(count):
            read(index)
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds[1:])


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="root of Cityscapes; the val split is read")
    parser.add_argument("--samples", type=int, default=16, help="number of samples")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.root or written(Path(temporary) / "scenes", arguments.samples)
        source = CityscapesSource("val", root=root)
        count = min(arguments.samples, len(source))
        cached = CachedSource(source, Path(temporary) / "cache")
        files = [source.origin(index).files for index in range(count)]
        kilobytes = [
            statistics.mean(file.stat().st_size for file in column) / 1e3 for column in zip(*files, strict=True)
        ]
        size = source.read(0).image.shape
        print(
            f"{count} samples of {size[0]}x{size[1]}, mean size of an image file {kilobytes[0]:.0f} kB, of its truth "
            f"{kilobytes[1]:.0f} kB"
        )
        print(f"{'':<34}{'PNG files':>12}{'cache':>12}")
        print(f"{'decoding with Pillow':<34}{rate(lambda i: pillow(source, i), count):>10.1f}/s")
        rows: dict[str, Callable[[Source, int], object]] = {
            "reader alone": lambda s, i: s.read(i),
            "with crop, scale and mirroring": lambda s, i: read_augmented(s, i, 0.0),
            "with color, blur, noise, weather": lambda s, i: read_augmented(s, i, 1.0),
        }
        for name, read in rows.items():
            plain, kept = (rate(lambda i, s=s, read=read: read(s, i), count) for s in (source, cached))
            print(f"{name:<34}{plain:>10.1f}/s{kept:>10.1f}/s  {kept / plain:.1f} x")
        entries = [p.stat().st_size for p in Path(temporary, "cache").rglob("*.safetensors")]
        print(f"the cache takes {statistics.mean(entries) / 1e6:.1f} MB a sample")


if __name__ == "__main__":
    main()
