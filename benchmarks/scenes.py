"""Rendering time of the synthetic street scenes on one thread, and statistics of their content.

Run from the root of the repository: ``python -m benchmarks.scenes``.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr

from panoptic.data.sample import SPLITS
from panoptic.labels import CITYSCAPES
from panoptic.scenes.source import GENERATORS, render_scene


def main() -> None:
    """Render scenes and print their statistics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    parser.add_argument("--scenes", type=int, default=300, help="number of scenes")
    parser.add_argument("--height", type=int, default=512, help="height in pixels; the width is twice as large")
    parser.add_argument("--split", default="train", choices=SPLITS, help="split of the scenes")
    parser.add_argument("--generator", type=int, default=1, choices=GENERATORS, help="version of the generator")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

    things = torch.tensor(CITYSCAPES.is_thing)
    counts, variances, medians, with_crowd, smallest = [], [], [], 0, []
    occurs, pixels, void = np.zeros(len(CITYSCAPES)), np.zeros(len(CITYSCAPES)), 0
    size = arguments.height, 2 * arguments.height
    timed = {(128, 256): [], size: []}
    for index in range(arguments.scenes):
        for (height, width), seconds in timed.items():
            for _ in range(2 if index < 3 else 1):  # the first scenes fill the caches of constants
                start = time.process_time()
                _, segments = render_scene(
                    arguments.seed,
                    arguments.split,
                    index,
                    height=height,
                    width=width,
                    generator=arguments.generator,
                )
            seconds.append(time.process_time() - start)
        areas = segments.areas()
        single = things[segments.classes] & ~segments.crowd
        sizes = areas[single].numpy()
        counts.append(len(sizes))
        medians += [np.sqrt(np.median(sizes))] if len(sizes) else []
        smallest.append(sizes.min() if len(sizes) else np.inf)
        variances.append(np.log(sizes).var() if len(sizes) > 1 else 0.0)
        occurs[segments.classes.unique().numpy()] += 1
        np.add.at(pixels, segments.classes.numpy(), areas.numpy())
        void += int((segments.ids == 0).sum())
        with_crowd += bool(segments.crowd.any())

    scenes, density, total = arguments.scenes, np.log1p(counts), pixels.sum() + void
    print(f"generator {arguments.generator}, split {arguments.split}, seed {arguments.seed}: ", end="")
    print(f"{scenes} scenes of {size[0]} x {size[1]}")
    for (height, width), seconds in timed.items():
        mean, median, most = 1000 * np.array((np.mean(seconds), np.median(seconds), np.percentile(seconds, 90)))
        print(f"CPU ms per scene of {height} x {width}: mean {mean:.1f}, median {median:.1f}, 90 % under {most:.1f}")
    quartiles = ", ".join(f"{q:g}" for q in np.percentile(counts, (0, 10, 25, 50, 75, 90, 100)))
    print(f"things per scene (0, 10, 25, 50, 75, 90, 100 %): {quartiles}")
    print(
        f"60 things and more: {np.mean(density > np.log(60.5)):.1%} of scenes; none or one: {np.mean(density < 1):.1%}"
    )
    quartiles = ", ".join(f"{q:.2f}" for q in np.percentile(variances, (0, 10, 25, 50, 75, 90, 100)))
    print(f"scale variance (0, 10, 25, 50, 75, 90, 100 %): {quartiles}")
    print(f"correlation of object density and scale variance: {np.corrcoef(density, variances)[0, 1]:.3f}")
    print(f"rank correlation of the two: {spearmanr(density, variances).statistic:.3f}")
    small, large = np.percentile(medians, (5, 95))
    print(f"median size of a scene's things, square root of the area: {small:.1f} to {large:.1f} pixels (5 to 95 %)")
    print(f"smallest thing: {min(smallest):.0f} pixels; crowds: {with_crowd / scenes:.1%} of scenes")
    print(f"void: {void / total:.2%} of pixels")
    print(f"{'class':<15}{'scenes':>8}{'pixels':>8}")
    for c, name in enumerate(CITYSCAPES.names):
        print(f"{name:<15}{occurs[c] / scenes:>8.1%}{pixels[c] / total:>8.2%}")


if __name__ == "__main__":
    main()
