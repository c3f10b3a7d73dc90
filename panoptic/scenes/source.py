"""Synthetic street scenes with the classes of Cityscapes: a data set that needs no download.

Every scene is a pure function of (seed, split, index, strength), laid out in a small three-dimensional world and
painted at any size. Classes differ in shape and texture; their colors and places overlap, so that a classifier of
single pixels fails on them (``benchmarks/pixel_baseline.py``).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from panoptic.data.sample import SPLITS, Sample
from panoptic.labels import CITYSCAPES, LabelSpace
from panoptic.scenes.cache import SceneCache
from panoptic.scenes.layout import Layout, compose
from panoptic.scenes.painter import Surface, label_of
from panoptic.segments import Segments

GENERATOR_VERSION = 1
"""Changes whenever any scene does."""

_STREAMS = ("view", "street", "skyline", "backdrop", "clutter", "things", "crowd", "void")
_SMALLEST_SIDE = 32


def render_scene(
    seed: int, split: str, index: int, *, height: int = 512, width: int = 1024, strength: float = 1.0
) -> tuple[UInt8[np.ndarray, "H W 3"], Segments]:
    """Paints one scene.

    The bytes are the same at every call and on every machine with the same version of OpenCV; versions 4 and 5 differ
    in a few of a thousand pixels, at the edges of polygons.

    Args:
        seed: of the data set, at least 0.
        split: train, val or test; no scene is in two.
        index: of the scene, at least 0.
        height: of the image in pixels; the layout is the same at every size.
        width: of the image in pixels.
        strength: 0..1, position in the curriculum; fewer things and less clutter below 1.

    Returns:
        The image as RGB, and its segments: stuff first by class, then things, then crowds.

    Raises:
        ValueError: if an argument is out of its range.
    """
    _check(split=split, height=height, width=width, strength=strength, seed=seed, index=index)
    key = np.random.SeedSequence((GENERATOR_VERSION, seed, SPLITS.index(split), index)).generate_state(2, np.uint64)

    def stream(name: str) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, _STREAMS.index(name)]))

    layout = compose(stream, float(strength))
    surface = Surface(height, width)
    for item in layout.items:
        surface.paint(item)
    return surface.develop(layout.film), _segments(surface.labels, layout)


def _segments(labels: UInt8[np.ndarray, "H W"], layout: Layout) -> Segments:
    """The label map as segments, those without a pixel left out."""
    present = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel() > 0
    rows = {label_of(item): (item.class_, item.crowd) for item in layout.items if item.class_ >= 0}
    kept = [label for label in sorted(rows) if present[label]]
    ids = np.zeros(256, np.int32)
    ids[kept] = np.arange(1, len(kept) + 1)
    return Segments(
        torch.from_numpy(cv2.LUT(labels, ids)),
        torch.tensor([rows[label][0] for label in kept], dtype=torch.int64),
        torch.tensor([rows[label][1] for label in kept], dtype=torch.bool),
    )


class SyntheticSource:
    """One split of the synthetic street scenes.

    Args:
        split: train, val or test.
        seed: of the data set, at least 0.
        size: number of scenes, at least 1; a larger split begins with the scenes of a smaller one.
        height: of the images in pixels, at least 32.
        width: of the images in pixels, at least 32.
        cache: whether to keep painted scenes in memory, 4 bytes a pixel, for the epochs to come.

    Raises:
        ValueError: if an argument is out of its range.
    """

    labels: LabelSpace = CITYSCAPES

    def __init__(
        self, split: str, *, seed: int = 0, size: int, height: int = 512, width: int = 1024, cache: bool = False
    ) -> None:
        _check(split=split, height=height, width=width, strength=1.0, seed=seed, index=0)
        if size < 1:
            raise ValueError(f"size: expected at least 1 scene, got {size}")
        self.split, self.seed, self.size, self.height, self.width = split, seed, size, height, width
        self._cache = SceneCache(size, height, width) if cache else None

    def __len__(self) -> int:
        return self.size

    @property
    def image_ids(self) -> range:
        """The numbers of the scenes."""
        return range(self.size)

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The scene at ``index``; validation and test scenes are of full strength whatever is asked for.

        Raises:
            IndexError: if there is no such scene.
            ValueError: if ``strength`` is not in 0..1.
        """
        strength = self._strength(index, strength)
        scene = self._cache.get(index, strength) if self._cache is not None else None
        if scene is None:
            size = {"height": self.height, "width": self.width}
            scene = render_scene(self.seed, self.split, index, **size, strength=strength)
            if self._cache is not None:
                self._cache.put(index, strength, *scene)
        return Sample(*scene, f"{self.split}_{index:06d}")

    def recipe(self, index: int, strength: float = 1.0) -> str:
        """All that a scene depends on, as text: versions of the generator and of what it draws with, and the numbers.

        Raises:
            IndexError: if there is no such scene.
            ValueError: if ``strength`` is not in 0..1.
        """
        strength = self._strength(index, strength)
        size = f"{self.height}x{self.width}"
        return (
            f"generator {GENERATOR_VERSION} OpenCV {cv2.__version__} seed {self.seed} {self.split} {index} {size} "
            f"strength {float(strength)!r}"
        )

    def _strength(self, index: int, strength: float) -> float:
        """The strength that counts for a scene."""
        if not 0 <= index < self.size:
            raise IndexError(f"index: expected 0 to {self.size - 1}, got {index}")
        _check(split=self.split, height=self.height, width=self.width, strength=strength, seed=self.seed, index=index)
        return strength if self.split == "train" else 1.0


def _check(*, split: str, height: int, width: int, strength: float, seed: int, index: int) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    for name, side in (("height", height), ("width", width)):
        if side < _SMALLEST_SIDE:
            raise ValueError(f"{name}: expected at least {_SMALLEST_SIDE} pixels, got {side}")
    for name, number in (("seed", seed), ("index", index)):
        if number < 0:
            raise ValueError(f"{name}: expected at least 0, got {number}")
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength: expected a number in 0..1, got {strength}")
