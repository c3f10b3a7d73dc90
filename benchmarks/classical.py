"""Classical baselines for data with one thing and one stuff category, such as nuclei in microscopy.

Otsu's threshold of the gray image, followed by connected components or by a watershed of the distance to the
background, seeded at its smoothed maxima (both scikit-image). Run from the root of the repository:
``python -m benchmarks.classical ROOT [--split val]``, with the root of a data set in COCO panoptic format.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.metrics import PanopticQuality
from panoptic.segments import Segments

SMALLEST = 20
"""Minimum size of a region in pixels; smaller regions count as noise."""

APART = 5
"""Minimum distance between two maxima of the distance map, in pixels."""


def foreground(image: np.ndarray) -> np.ndarray:
    """Return the mask of pixels brighter than Otsu's threshold of the gray image."""
    gray = image.astype(np.float64).mean(2)
    return gray > threshold_otsu(gray)


def components(image: np.ndarray) -> np.ndarray:
    """Return the connected regions of the foreground, numbered from 1; 0 is background."""
    return label(foreground(image))


def components_without_specks(image: np.ndarray) -> np.ndarray:
    """Return the connected regions of the foreground, without regions smaller than :data:`SMALLEST`."""
    return label(remove_small_objects(foreground(image), max_size=SMALLEST - 1))


def split_by_watershed(image: np.ndarray) -> np.ndarray:
    """Return regions of the foreground, split at saddles of the distance to the background; numbered from 1."""
    mask = remove_small_objects(foreground(image), max_size=SMALLEST - 1)
    distance = gaussian(ndimage.distance_transform_edt(mask), 1.0)
    peaks = peak_local_max(distance, min_distance=APART, labels=label(mask))
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, markers, mask=mask)


def main() -> None:
    """Print the scores of each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="root of a data set in COCO panoptic format with one thing and one stuff category")
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    source = CocoPanopticSource(arguments.split, root=arguments.root)
    if (len(source.labels.things), len(source.labels.stuff)) != (1, 1):
        parser.error(f"expected one thing and one stuff category, got {', '.join(source.labels.names)}")
    thing, stuff = source.labels.things[0], source.labels.stuff[0]
    methods = {
        "threshold + components": components,
        f"the same, {SMALLEST} pixels and more": components_without_specks,
        f"threshold + watershed, {SMALLEST} pixels and more": split_by_watershed,
    }
    for name, method in methods.items():
        metric = PanopticQuality(source.labels)
        for index in range(len(source)):
            sample = source.read(index)
            regions = torch.from_numpy(method(sample.image).astype(np.int32))
            semantic = torch.where(regions > 0, thing, stuff)
            metric.update(Segments.from_maps(semantic, regions), sample.segments)
        scores = {key: float(value) for key, value in metric.compute().items()}
        line = ", ".join(f"{key} {scores[f'{key}_things']:.3f}" for key in ("pq", "sq", "rq"))
        print(f"{name}: {source.labels.names[thing]} {line}; PQ of all {scores['pq']:.3f}")


if __name__ == "__main__":
    main()
