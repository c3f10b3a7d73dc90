"""Near-duplicates: images that show the same, by a perceptual hash that survives resizing and compression.

The hash is pHash (C. Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions*, 2010): signs of the
low frequencies of a small gray version about their median. With 16x16 frequencies, copies that were resized, brightened
by up to 15 % or compressed with JPEG quality 30 differed in at most 22 of 256 bits, on microscope images, street photos
and drawn scenes; the closest two different images of the first and last differed in 88.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from panoptic.utils.pictures import shown_bands

BITS = 256
"""Number of bits of a perceptual hash."""

NEAR = 24
"""Maximum Hamming distance of near-duplicates."""

FLAT = 1.0
"""Standard deviation, in gray levels, below which an image shows nothing that could be recognized."""

_BLOCK = 1 << 22
"""Number of pairs compared at a time, four bytes each."""


def perceptual_hash(image: UInt8[np.ndarray, "H W bands"]) -> UInt8[np.ndarray, "bytes=32"] | None:
    """Compute the perceptual hash of an RGB image, or of the first three of other bands.

    Returns:
        Bits of the hash, packed; ``None`` for an image that is flat, whose hash would be noise.
    """
    small = cv2.resize(shown_bands(image), (64, 64), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if gray.std() < FLAT:
        return None
    frequencies = cv2.dct(gray)[:16, :16].ravel()
    bits = frequencies > np.median(frequencies[1:])
    bits[0] = False  # the mean says only how bright the image is
    return np.packbits(bits)


@dataclass(frozen=True, order=True)
class Pair:
    """Two images that look alike.

    Attributes:
        distance: Number of bits in which their hashes differ.
        split: Split of the one.
        index: Index of its image.
        like: Split of the other, the same or an earlier one.
        other: Index of its image.
    """

    distance: int
    split: str
    index: int
    like: str
    other: int


class Alike(NamedTuple):
    """Number of near-duplicates that a split has in another, or within itself.

    Attributes:
        split: Split.
        like: The same or an earlier split.
        images: Number of images of ``split`` that have a near-duplicate in ``like``; within a split, before them.
        pairs: Number of pairs.
    """

    split: str
    like: str
    images: int
    pairs: int


@dataclass(frozen=True)
class NearDuplicates:
    """Near-duplicates between and within splits.

    Attributes:
        counts: Numbers, for two splits with any; those between splits first.
        closest: Pairs with the smallest distances, at most one for each image and split; those between splits first.
    """

    counts: tuple[Alike, ...] = ()
    closest: tuple[Pair, ...] = ()


Hashes = Mapping[int, UInt8[np.ndarray, "bytes=32"]]
"""Perceptual hashes of the images of a split, by index."""


def find_near_duplicates(hashes: Mapping[str, Hashes], most: int = 24) -> NearDuplicates:
    """Find the images whose hashes differ in at most :data:`NEAR` bits.

    Args:
        hashes: Perceptual hashes of the images of each split.
        most: Maximum number of pairs to return; all are counted.
    """
    splits = list(hashes)
    between = [(split, like) for i, split in enumerate(splits) for like in splits[:i]]
    counts: list[Alike] = []
    closest: list[Pair] = []
    for split, like in between + [(split, split) for split in splits]:
        alike, pairs = _compare(hashes, split, like)
        if alike.images:
            counts.append(alike)
            closest += sorted(pairs)[: most - len(closest)]
    return NearDuplicates(tuple(counts), tuple(closest))


def _compare(hashes: Mapping[str, Hashes], split: str, like: str) -> tuple[Alike, list[Pair]]:
    """Count near-duplicates of two splits, and pair each image with the nearest.

    Hashes of plus and minus ones have the product ``BITS - 2 * distance``, a matrix product for many at once.
    """
    images, count = 0, 0
    pairs: list[Pair] = []
    if not len(hashes[split]) or not len(hashes[like]):
        return Alike(split, like, 0, 0), pairs
    these, those = _signs(hashes[split]), _signs(hashes[like])
    indices, others = [*hashes[split]], [*hashes[like]]
    rows = max(_BLOCK // len(those), 1)
    for start in range(0, len(these), rows):
        block = these[start : start + rows]
        products = block @ (those[: start + len(block)] if split == like else those).T
        if split == like:  # an image is compared with those before it
            products[np.triu_indices(len(block), start, products.shape[1])] = -BITS
        nearest = products.argmax(axis=1)
        distances = (BITS - products[np.arange(len(block)), nearest].astype(int)) // 2
        near = np.flatnonzero(distances <= NEAR)
        images += len(near)
        count += int((products[near] >= BITS - 2 * NEAR).sum())
        pairs += [Pair(int(distances[i]), split, indices[start + i], like, others[nearest[i]]) for i in near.tolist()]
    return Alike(split, like, images, count), pairs


def _signs(hashes: Hashes) -> Float32[np.ndarray, "N 256"]:
    """Return the bits of hashes as plus and minus ones, 1 KB each."""
    return np.unpackbits(np.stack([*hashes.values()]), axis=1).astype(np.float32) * 2 - 1
