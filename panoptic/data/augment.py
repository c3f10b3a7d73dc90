"""Augmentation: albumentations, re-seeded for every sample, its strength set by the curriculum.

A sample is a pure function of (seed, epoch, index, strength): albumentations 2 by itself would have every worker repeat
the others' random numbers.
"""

from __future__ import annotations

import os
from functools import lru_cache

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask over the network at import

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
    """A random view of a sample.

    At strength 0 that is a flip and a crop at the original scale; with rising strength the range of scales opens up to
    ``scale``, and color, blur, noise and weather become likelier and stronger, up to ``appearance``. What lies outside
    the image is black and void.

    Args:
        image: plain RGB.
        segments: of the image.
        crop: height and width of the result.
        scale: least and greatest factor of size at strength 1.
        appearance: how likely and strong color, blur, noise and weather are at strength 1, 0..1.
        any_orientation: whether images have no up and down, as under a microscope or from above: they then are turned
            by quarters too, and not mirrored left to right only.
        strength: position in the curriculum, 0..1.
        seed: of this sample.
    """
    looks = round(float(strength * appearance), 6)
    pipeline = training_pipeline(tuple(crop), tuple(scale), looks, any_orientation, round(float(strength), 6))
    pipeline.set_random_seed(seed)
    ids: Int32[np.ndarray, "H W"] = segments.ids.numpy()
    view = pipeline(image=image, mask=ids)
    moved = Segments(torch.from_numpy(np.ascontiguousarray(view["mask"])), segments.classes, segments.crowd)
    return np.ascontiguousarray(view["image"]), moved.compact()


@lru_cache(maxsize=16)
def training_pipeline(
    crop: tuple[int, int], scale: tuple[float, float], looks: float, any_orientation: bool, strength: float
) -> A.Compose:
    """What :func:`augment` does at a strength, as albumentations has it; ``looks`` is strength times appearance."""
    height, width = crop
    low, high = (strength * (factor - 1.0) for factor in scale)
    geometry = [
        A.RandomScale((low, high), interpolation=cv2.INTER_LINEAR, mask_interpolation=cv2.INTER_NEAREST, p=1.0),
        A.PadIfNeeded(height, width, border_mode=cv2.BORDER_CONSTANT, fill=0, fill_mask=0, position="random"),
        A.RandomCrop(height, width),
        A.HorizontalFlip(p=0.5),
    ]
    if any_orientation:
        geometry.insert(1, A.D4(p=1.0))  # before the crop, whose sides may differ
    if strength == 0:
        return A.Compose(geometry[1:])
    if looks == 0:
        return A.Compose(geometry)
    changes = [
        A.ColorJitter(
            brightness=(1 - 0.4 * looks, 1 + 0.4 * looks),
            contrast=(1 - 0.4 * looks, 1 + 0.4 * looks),
            saturation=(1 - 0.4 * looks, 1 + 0.4 * looks),
            hue=(-0.05 * looks, 0.05 * looks),
            p=0.8 * looks,
        ),
        A.GaussianBlur(sigma_limit=(0.1, 0.1 + 1.4 * looks), p=0.15 * looks),
        A.GaussNoise(std_range=(0.005, 0.005 + 0.045 * looks), per_channel=False, p=0.15 * looks),
        # Rain, snow and shadow cost milliseconds; albumentations' fog costs a tenth of a second.
        A.OneOf([A.RandomRain(p=1.0), A.RandomSnow(p=1.0), A.RandomShadow(p=1.0)], p=0.1 * looks),
    ]
    return A.Compose([*geometry, *changes])
