"""Perceptual hashes are near for copies of an image alone, and pairs are found and counted within and across splits."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic.data.checks.near_duplicates import (
    BITS,
    NEAR,
    Alike,
    Pair,
    find_near_duplicates,
    perceptual_hash,
)

NUCLEI = Path(__file__).parents[3] / "examples" / "nuclei"


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=30)
    return np.array(Image.open(file))


COPIES = {
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.4, fy=1.4, interpolation=cv2.INTER_CUBIC),
    "recompressed": recompressed,
    "brighter": lambda image: np.clip(image * 1.1 + 5, 0, 255).astype(np.uint8),
}


@pytest.fixture(scope="module")
def nuclei() -> list[np.ndarray]:
    return [np.array(Image.open(path).convert("RGB")) for path in sorted((NUCLEI / "val").iterdir())]


def distances(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    hashes = [np.unpackbits(np.stack([perceptual_hash(image) for image in images]), axis=1) for images in (one, other)]
    return (hashes[0][:, None] != hashes[1][None]).sum(-1)


@pytest.mark.parametrize("change", COPIES)
def test_copies_are_near_and_other_images_are_not(nuclei: list[np.ndarray], change: str) -> None:
    found = distances([COPIES[change](image) for image in nuclei], nuclei)
    assert np.diag(found).max() <= NEAR
    assert found[~np.eye(len(nuclei), dtype=bool)].min() > 3 * NEAR


def test_flat_images_have_no_hash() -> None:
    flat = np.full((40, 60, 3), 7, np.uint8)
    assert perceptual_hash(flat) is None
    flat[0, 0] = 8
    assert perceptual_hash(flat) is None
    flat[:, :30] = 12
    assert perceptual_hash(flat) is not None


def test_one_pixel_is_no_image_of_its_own() -> None:
    assert perceptual_hash(np.zeros((1, 1, 3), np.uint8)) is None


def with_bits_flipped(bits: np.ndarray, count: int) -> np.ndarray:
    flipped = np.unpackbits(bits)
    flipped[:count] ^= 1
    return np.packbits(flipped)


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
def test_pairs_are_found_and_counted(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("panoptic.data.checks.near_duplicates._BLOCK", block)
    a, b, c, d, e = np.random.default_rng(0).integers(0, 256, (5, BITS // 8), dtype=np.uint8)
    train = {0: a, 2: b, 5: a, 6: c, 7: with_bits_flipped(a, 3)}  # 1, 3 and 4 are flat
    val = {0: d, 1: with_bits_flipped(b, NEAR), 2: with_bits_flipped(c, NEAR + 1), 4: with_bits_flipped(a, 2)}
    found = find_near_duplicates({"train": train, "val": val, "test": {3: e}})
    assert found.counts == (Alike("val", "train", 2, 4), Alike("train", "train", 2, 3))
    assert found.closest == (
        Pair(1, "val", 4, "train", 7),
        Pair(NEAR, "val", 1, "train", 2),
        Pair(0, "train", 5, "train", 0),
        Pair(3, "train", 7, "train", 0),
    )
    few = find_near_duplicates({"train": train, "val": val}, most=1)
    assert few.counts == found.counts
    assert few.closest == found.closest[:1]


def test_nothing_to_compare() -> None:
    found = find_near_duplicates({"train": {}, "val": {0: np.zeros(BITS // 8, np.uint8)}})
    assert found.counts == found.closest == ()
    assert find_near_duplicates({}).counts == ()
