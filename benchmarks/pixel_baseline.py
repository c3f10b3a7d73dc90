"""Baseline on the synthetic street scenes that classifies single pixels by color and position.

The scenes should require shape and texture, so the score has to stay low: under 0.40 mean IoU over the ten most
frequent classes. Run from the root of the repository: ``python -m benchmarks.pixel_baseline``.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from panoptic.labels import CITYSCAPES
from panoptic.scenes.source import GENERATORS, SyntheticSource
from panoptic.segments import VOID

MOST_FREQUENT = 10


def pixels(source: SyntheticSource, per_scene: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample labeled pixels from all scenes of a split.

    Args:
        source: Scenes of a split.
        per_scene: Number of pixels per scene, before unlabeled ones are dropped.

    Returns:
        Features of shape ``[N 5]`` (red, green, blue, x, y) and classes of shape ``[N]``.
    """
    rng = np.random.default_rng(0)
    features, classes = [], []
    for index in range(len(source)):
        sample = source.read(index)
        flat = rng.choice(source.height * source.width, per_scene, replace=False)
        y, x = np.divmod(flat, source.width)
        truth = sample.segments.semantic().numpy().ravel()[flat]
        rows = np.column_stack([sample.image[y, x], x / source.width, y / source.height])
        features.append(rows[truth != VOID])
        classes.append(truth[truth != VOID])
    return np.concatenate(features).astype(np.float32), np.concatenate(classes)


def ious(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of each class; NaN for classes that occur in neither."""
    count = CITYSCAPES.num_classes
    confusion = np.bincount(truth * count + predicted, minlength=count * count).reshape(count, count)
    common = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - common
    return np.where(union > 0, common / np.maximum(union, 1), np.nan)


def main() -> None:
    """Train the classifiers and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    parser.add_argument("--train", type=int, default=50, help="number of training scenes")
    parser.add_argument("--test", type=int, default=20, help="number of test scenes")
    parser.add_argument("--pixels", type=int, default=4000, help="number of pixels per scene")
    parser.add_argument("--generator", type=int, default=1, choices=GENERATORS, help="version of the generator")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    drawn_by = {"seed": arguments.seed, "generator": arguments.generator}
    train = pixels(SyntheticSource("train", size=arguments.train, **drawn_by), arguments.pixels)
    test = pixels(SyntheticSource("test", size=arguments.test, **drawn_by), arguments.pixels)
    share = np.bincount(test[1], minlength=CITYSCAPES.num_classes) / len(test[1])
    order = np.argsort(-share, kind="stable")
    classifiers = {
        "boosting": HistGradientBoostingClassifier(max_iter=60, random_state=0),
        "forest": RandomForestClassifier(60, min_samples_leaf=5, random_state=0, max_samples=0.5),
    }
    scores = {}
    for name, classifier in classifiers.items():
        scores[name] = ious(test[1], classifier.fit(*train).predict(test[0]))
    print(f"generator {arguments.generator}, seed {arguments.seed}: {arguments.train} + {arguments.test} scenes")
    print(f"{'class':<15}{'share':>8}" + "".join(f"{name:>10}" for name in scores))
    for c in order:
        print(f"{CITYSCAPES.names[c]:<15}{share[c]:>8.3f}" + "".join(f"{iou[c]:>10.3f}" for iou in scores.values()))
    for count in (MOST_FREQUENT, CITYSCAPES.num_classes):
        means = "".join(f"{np.nanmean(iou[order[:count]]):>10.3f}" for iou in scores.values())
        print(f"{f'mean of {count}':<23}{means}")


if __name__ == "__main__":
    main()
