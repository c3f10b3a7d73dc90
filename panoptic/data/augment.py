"""Augmentation, re-seeded for every sample and scaled by the strength of the curriculum.

A window of the image is chosen first, and only that is resized and turned; then albumentations changes its appearance.
Each sample is a pure function of (seed, visit, index, strength), where visits of an image are counted. Without
re-seeding, albumentations 2 would repeat the same random numbers in every worker.
"""

from __future__ import annotations

import math
import os
import random
from functools import lru_cache

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # avoids a network request at import

import albumentations as A
import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from panoptic.segments import Segments


def augment(
    image: UInt8[np.ndarray, "H W bands"],
    segments: Segments,
    *,
    crop: tuple[int, int],
    scale: tuple[float, float],
    padding: float = 1.0,
    appearance: float = 1.0,
    any_orientation: bool = False,
    strength: float,
    seed: int,
) -> tuple[UInt8[np.ndarray, "h w bands"], Segments]:
    """Augment an image and its segments randomly.

    At strength 0 the sample is only flipped and cropped at its original scale. With increasing strength the range of
    scales widens up to ``scale``, and changes of color, blur, noise and weather become more likely and stronger, up to
    ``appearance``.

    Args:
        image: Image in 0..255: red, green and blue, or another number of bands.
        segments: Segments of the image.
        crop: Height and width of the result; less where the scaled image is smaller.
        scale: Smallest and largest scale factor at strength 1.
        padding: Largest share of the crop that the scaled image may leave empty, in 0..1. Scales that leave more are
            not drawn; images that leave more at their own scale are not reduced.
        appearance: Probability and magnitude of changes of color, blur, noise and weather at strength 1, in 0..1.
        any_orientation: Whether images have no canonical orientation, such as microscopy or aerial images. If so, they
            are also rotated by multiples of 90 degrees, not only flipped horizontally.
        strength: Position in the curriculum, in 0..1.
        seed: Seed of this sample.

    Returns:
        Augmented image and segments; segments without a pixel are removed.
    """
    rng = np.random.default_rng(seed)
    transposed = any_orientation and rng.random() < 0.5
    height, width = reversed(crop) if transposed else crop
    factor = _draw_scale(rng, image.shape[:2], (height, width), scale, padding, strength)
    views = _resized_window(rng, (image, segments.ids.numpy()), (height, width), factor)
    if transposed:
        views = views[0].swapaxes(0, 1), views[1].swapaxes(0, 1)
    rows = slice(None, None, -1 if any_orientation and rng.random() < 0.5 else 1)
    columns = slice(None, None, -1 if rng.random() < 0.5 else 1)
    moved_image, ids = (np.ascontiguousarray(view[rows, columns]) for view in views)
    photometric_strength = round(float(strength * appearance), 6)
    if photometric_strength > 0:
        pipeline = photometric_pipeline(photometric_strength, is_color=moved_image.shape[2] == 3)
        # All transforms draw from the same generators. set_random_seed would give each its own, with one seed for all,
        # so that all draw the same numbers and exactly the blurred images are noisy.
        pipeline.set_random_state(rng, random.Random(seed))
        moved_image = np.ascontiguousarray(pipeline(image=moved_image)["image"])
    return moved_image, Segments(torch.from_numpy(ids), segments.classes, segments.crowd).compact()


def least_scale(size: tuple[int, int], crop: tuple[int, int], padding: float) -> float:
    """Return the smallest scale at which an image leaves at most a share of a crop empty, at most 1.

    Args:
        size: Height and width of the image.
        crop: Height and width of the crop.
        padding: Share of the crop, in 0..1.
    """
    shorter, longer = sorted(side / of_crop for side, of_crop in zip(size, crop, strict=True))
    along_one = (1 - padding) / shorter  # if the image covers the crop along its other side
    along_both = math.sqrt((1 - padding) / (shorter * longer))
    return min(along_one if along_one * longer >= 1 else along_both, 1.0)


def _draw_scale(
    rng: np.random.Generator,
    size: tuple[int, int],
    crop: tuple[int, int],
    scale: tuple[float, float],
    padding: float,
    strength: float,
) -> float:
    """Draw a scale factor uniformly from the range at this strength, less what would be padded too much."""
    low, high = (1 + strength * (factor - 1) for factor in scale)
    return float(rng.uniform(min(max(low, least_scale(size, crop, padding)), high), high))


def _resized_window(
    rng: np.random.Generator, maps: tuple[np.ndarray, np.ndarray], crop: tuple[int, int], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the same random window out of an image and its ids, and resize it by a factor to at most the crop.

    Resizing the whole image first would cost up to ten times as much. Window and crop have whole pixels, so that the
    factor is met up to half a pixel of the window.
    """
    windows, sizes = [], []
    for side, of_crop in zip(maps[0].shape[:2], crop, strict=True):
        covers = side * factor >= of_crop
        length = min(max(round(of_crop / factor), 1), side) if covers else side
        first = int(rng.integers(side - length + 1))
        windows.append(slice(first, first + length))
        sizes.append(of_crop if covers else max(round(side * factor), 1))
    image, ids = (values[windows[0], windows[1]] for values in maps)
    if image.shape[:2] == tuple(sizes):
        return image, ids
    # INTER_NEAREST takes the pixel at the top left, half a pixel off the resized image, INTER_NEAREST_EXACT the one at
    # the center.
    return (
        cv2.resize(image, sizes[::-1], interpolation=cv2.INTER_LINEAR),
        cv2.resize(ids, sizes[::-1], interpolation=cv2.INTER_NEAREST_EXACT),
    )


@lru_cache(maxsize=16)
def photometric_pipeline(strength: float, is_color: bool = True) -> A.Compose:
    """Build the albumentations pipeline of :func:`augment`.

    Args:
        strength: Strength of the curriculum times appearance, in (0, 1].
        is_color: Whether images are red, green and blue. Others have neither hue nor saturation that could change, and
            no weather is drawn on them.
    """
    factors = (1 - 0.4 * strength, 1 + 0.4 * strength)
    if not is_color:
        shares = (-0.4 * strength, 0.4 * strength)
        return A.Compose(
            [
                A.RandomBrightnessContrast(shares, shares, brightness_by_max=False, p=0.8 * strength),
                A.GaussianBlur(sigma_limit=(0.1, 0.1 + 1.4 * strength), p=0.15 * strength),
                A.GaussNoise(std_range=(0.005, 0.005 + 0.045 * strength), per_channel=False, p=0.15 * strength),
            ]
        )
    return A.Compose(
        [
            A.ColorJitter(
                brightness=factors,
                contrast=factors,
                saturation=factors,
                hue=(-0.05 * strength, 0.05 * strength),
                p=0.8 * strength,
            ),
            A.GaussianBlur(sigma_limit=(0.1, 0.1 + 1.4 * strength), p=0.15 * strength),
            A.GaussNoise(std_range=(0.005, 0.005 + 0.045 * strength), per_channel=False, p=0.15 * strength),
            # Rain, snow and shadow take milliseconds; albumentations' fog takes a tenth of a second.
            A.OneOf([A.RandomRain(p=1.0), A.RandomSnow(p=1.0), A.RandomShadow(p=1.0)], p=0.1 * strength),
        ]
    )
