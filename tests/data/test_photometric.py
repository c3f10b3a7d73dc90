"""Photometric augmentation: how often each change comes and how far it goes, measured on the images it makes."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from panoptic.data.augment import augment
from panoptic.segments import Segments

SEEDS = 300
SIDE = 48


def views(image: np.ndarray, *, strength: float = 1.0, appearance: float = 1.0, seeds: int = SEEDS) -> np.ndarray:
    """Views of an image at its own size and scale, so that all changes are photometric, or mirroring."""
    ids = torch.ones(image.shape[:2], dtype=torch.int32)
    segments = Segments(ids, torch.tensor([0]), torch.tensor([False]))
    settings = {"crop": image.shape[:2], "scale": (1.0, 1.0), "strength": strength, "appearance": appearance}
    return np.stack([augment(image, segments, seed=seed, **settings)[0] for seed in range(seeds)]).astype(float)


def plain(*color: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), color, np.uint8)


@pytest.fixture(scope="module")
def gray() -> np.ndarray:
    """Views of a gray image at full strength."""
    return views(plain(128, 128, 128))


def smoothness(images: np.ndarray) -> np.ndarray:
    """Share of the pixels with the value of the pixel to their left: about 0 with noise, below 1 with weather."""
    return (images[:, :, 1:] == images[:, :, :-1]).all(3).mean((1, 2))


def noisy(images: np.ndarray) -> np.ndarray:
    return smoothness(images) < 0.2


def untouched(images: np.ndarray) -> np.ndarray:
    """Images of one color that stayed so."""
    return images[smoothness(images) == 1]


@pytest.mark.parametrize(("strength", "appearance"), [(1.0, 0.0), (0.0, 1.0)])
def test_nothing_changes_without_appearance_or_at_strength_0(strength: float, appearance: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    found = views(image, strength=strength, appearance=appearance, seeds=30)
    assert all(np.array_equal(view, image) or np.array_equal(view, image[:, ::-1]) for view in found)


def test_brightness_changes_by_up_to_four_tenths(gray: np.ndarray) -> None:
    factors = untouched(gray)[:, 0, 0, 0] / 128
    # On one color, contrast changes nothing; snow brightens all of it in one image of thirty.
    low, high = np.quantile(factors, (0.01, 0.94))
    assert 0.59 <= low < 0.7
    assert 1.3 < high <= 1.41
    assert 0.13 < (factors == 1.0).mean() < 0.32  # a fifth is left as it is
    assert 0.93 < factors.mean() < 1.07


def test_appearance_scales_both_chance_and_reach() -> None:
    factors = untouched(views(plain(128, 128, 128), appearance=0.5))[:, 0, 0, 0] / 128
    low, high = np.quantile(factors, (0.01, 0.99))
    assert 0.79 <= low < 0.86  # by a factor of 0.8 to 1.2
    assert 1.14 < high <= 1.21
    assert 0.5 < (factors == 1.0).mean() < 0.72  # and in four of ten images
    same = views(plain(128, 128, 128), appearance=1.0, strength=0.5, seeds=40)
    assert np.array_equal(same, views(plain(128, 128, 128), appearance=0.5, strength=1.0, seeds=40))


def test_hue_turns_by_up_to_18_degrees() -> None:
    hues = []
    for red, green, blue in untouched(views(plain(150, 60, 60)))[:, 0, 0] / 255:
        hue = colorsys.rgb_to_hsv(red, green, blue)[0]
        hues.append((hue * 360 + 180) % 360 - 180)
    # 0.05 of the circle; the color is rounded to whole numbers of 0..255.
    assert -21 < np.quantile(hues, 0.01) < -12
    assert 12 < np.quantile(hues, 0.99) < 21


def test_saturation_changes_by_up_to_four_tenths() -> None:
    color = untouched(views(plain(150, 100, 100)))[:, 0, 0]
    low, high = np.quantile((color.max(1) - color.min(1)) / color.max(1), (0.05, 0.95))  # a third in the image
    assert 0.17 < low < 0.26
    assert 0.41 < high < 0.52


def test_noise_is_gray_and_comes_in_one_of_seven(gray: np.ndarray) -> None:
    with_noise = gray[noisy(gray)]
    assert 0.08 < len(with_noise) / SEEDS < 0.22  # 0.15
    deviations = with_noise[..., 0].std((1, 2))
    assert 1.0 < np.quantile(deviations, 0.02) < 3  # of 0.005 to 0.05 of 255, then changed with the contrast
    assert 7 < np.median(deviations) * 1.4 < 13
    assert np.median(np.abs(with_noise[..., 0] - with_noise[..., 2])) == 0  # the same for all channels


def test_weather_comes_in_one_of_ten(gray: np.ndarray) -> None:
    """Rain draws lines and a shadow darkens a part. Snow, the third, whitens dark pixels: gray all at once or not."""
    quiet = smoothness(gray)[~noisy(gray)]
    assert 0.03 < (quiet < 1).mean() < 0.12


def test_blur_comes_in_one_of_seven() -> None:
    image = plain(40, 40, 40)
    image[:, SIDE // 2 :] = 200
    rows = np.median(views(image), axis=1).mean(2)  # [n W]
    sides = np.sort(rows[:, [SIDE // 2 - 6, SIDE // 2 + 5]], axis=1)
    share = (rows - sides[:, :1]) / np.maximum(sides[:, 1:] - sides[:, :1], 1)
    edge = share[:, SIDE // 2 - 4 : SIDE // 2 + 4]
    between = ((edge > 0.02) & (edge < 0.98)).any(1)  # a sharp edge has no value between those of its sides
    assert 0.08 < between.mean() < 0.25


def test_changes_are_drawn_independently(gray: np.ndarray) -> None:
    """A pair of independent events meets as often as the product of their chances says, within four deviations."""
    image = plain(128, 128, 128)
    image[:, : SIDE // 2] = 60
    found = views(image, seeds=600)
    mirrored = np.median(found[:, :, : SIDE // 4], axis=(1, 2, 3)) > np.median(
        found[:, :, -SIDE // 4 :], axis=(1, 2, 3)
    )
    flat = noisy(found[:, :, : SIDE // 2 - 6])
    jittered = np.median(found[:, :, : SIDE // 4], axis=(1, 2, 3))
    jittered = ~np.isin(jittered, (60.0, 128.0))
    for one, other in ((mirrored, flat), (jittered, flat), (mirrored, jittered)):
        expected = one.mean() * other.mean()
        spread = (expected * (1 - expected) / len(found)) ** 0.5
        assert abs((one & other).mean() - expected) < 4 * spread
