"""Augmentation with albumentations, re-seeded for every sample and scaled by the strength of the curriculum.

Each sample is a pure function of (seed, epoch, index, strength). Without re-seeding, albumentations 2 would repeat the
same random numbers in every worker.
"""

from __future__ import annotations

import os
import random
from functools import lru_cache

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # avoids a network request at import

import albumentations as A
import cv2
import numpy as np
import torch
from jaxtyping import Int32, UInt8

from panoptic.segments import Segments


def augment(
    image: UInt8[np.ndarray, "H W 3"],
    segments: Segments,
    *,
    crop: tuple[int, int],
    scale: tuple[float, float],
    appearance: float = 1.0,
    any_orientation: bool = False,
    strength: float,
    seed: int,
) -> tuple[UInt8[np.ndarray, "h w 3"], Segments]:
    """Augment an image and its segments randomly.

    At strength 0 the sample is only flipped and cropped at its original scale. With increasing strength the range of
    scales widens up to ``scale``, and changes of color, blur, noise and weather become more likely and stronger, up to
    ``appearance``. Pixels outside the image are black and void.

    Args:
        image: RGB image in 0..255.
        segments: Segments of the image.
        crop: Height and width of the result.
        scale: Smallest and largest scale factor at strength 1.
        appearance: Probability and magnitude of changes of color, blur, noise and weather at strength 1, in 0..1.
        any_orientation: Whether images have no canonical orientation, such as microscopy or aerial images. If so, they
            are also rotated by multiples of 90 degrees, not only flipped horizontally.
        strength: Position in the curriculum, in 0..1.
        seed: Seed of this sample.

    Returns:
        Augmented image and segments; segments without a pixel are removed.
    """
    photometric_strength = round(float(strength * appearance), 6)
    pipeline = training_pipeline(
        tuple(crop), tuple(scale), photometric_strength, any_orientation, round(float(strength), 6)
    )
    # All transforms draw from the same generators. set_random_seed would give each its own, with one seed for all, so
    # that all draw the same numbers: only mirrored images would be blurred, and exactly the blurred ones noisy.
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    ids: Int32[np.ndarray, "H W"] = segments.ids.numpy()
    view = pipeline(image=image, mask=ids)
    moved = Segments(torch.from_numpy(np.ascontiguousarray(view["mask"])), segments.classes, segments.crowd)
    return np.ascontiguousarray(view["image"]), moved.compact()


@lru_cache(maxsize=16)
def training_pipeline(
    crop: tuple[int, int],
    scale: tuple[float, float],
    photometric_strength: float,
    any_orientation: bool,
    strength: float,
) -> A.Compose:
    """Build the albumentations pipeline of :func:`augment`.

    Args:
        crop: Height and width of the result.
        scale: Smallest and largest scale factor at strength 1.
        photometric_strength: Strength times appearance, in 0..1.
        any_orientation: Whether to rotate by multiples of 90 degrees.
        strength: Position in the curriculum, in 0..1.
    """
    height, width = crop
    low, high = (strength * (factor - 1.0) for factor in scale)
    geometry = [
        # INTER_NEAREST takes the pixel at the top left, half a pixel off the resized image, INTER_NEAREST_EXACT the one
        # at the center.
        A.RandomScale((low, high), interpolation=cv2.INTER_LINEAR, mask_interpolation=cv2.INTER_NEAREST_EXACT, p=1.0),
        A.PadIfNeeded(height, width, border_mode=cv2.BORDER_CONSTANT, fill=0, fill_mask=0, position="random"),
        A.RandomCrop(height, width),
        A.HorizontalFlip(p=0.5),
    ]
    if any_orientation:
        geometry.insert(1, A.D4(p=1.0))  # before the crop, whose sides may differ
    if strength == 0:
        return A.Compose(geometry[1:])
    if photometric_strength == 0:
        return A.Compose(geometry)
    factors = (1 - 0.4 * photometric_strength, 1 + 0.4 * photometric_strength)
    photometric = [
        A.ColorJitter(
            brightness=factors,
            contrast=factors,
            saturation=factors,
            hue=(-0.05 * photometric_strength, 0.05 * photometric_strength),
            p=0.8 * photometric_strength,
        ),
        A.GaussianBlur(sigma_limit=(0.1, 0.1 + 1.4 * photometric_strength), p=0.15 * photometric_strength),
        A.GaussNoise(
            std_range=(0.005, 0.005 + 0.045 * photometric_strength), per_channel=False, p=0.15 * photometric_strength
        ),
        # Rain, snow and shadow take milliseconds; albumentations' fog takes a tenth of a second.
        A.OneOf([A.RandomRain(p=1.0), A.RandomSnow(p=1.0), A.RandomShadow(p=1.0)], p=0.1 * photometric_strength),
    ]
    return A.Compose([*geometry, *photometric])
