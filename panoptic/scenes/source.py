"""Synthetic street scenes with the classes of Cityscapes: a data set that needs no download.

Every scene is a pure function of (seed, split, index, strength). It is laid out in a small three-dimensional world and
painted at any size. Classes differ in shape and texture, but their colors and locations overlap, so that a per-pixel
classifier fails on them (``benchmarks/pixel_baseline.py``).
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
from panoptic.scenes.plan import PLANS
from panoptic.segments import Segments

GENERATORS = tuple(PLANS)
"""Versions of the scene generator; see :mod:`panoptic.scenes.plan`. The scenes of a version never change a pixel."""

_STREAMS = ("view", "street", "skyline", "backdrop", "clutter", "things", "crowd", "void", "plan", "film", "weather")
_MIN_SIDE = 32


def render_scene(
    seed: int,
    split: str,
    index: int,
    *,
    height: int = 512,
    width: int = 1024,
    strength: float = 1.0,
    generator: int = 1,
) -> tuple[UInt8[np.ndarray, "H W 3"], Segments]:
    """Render one scene.

    The result is identical bit for bit at every call and on every machine with the same version of OpenCV. OpenCV 4
    and 5 differ in a few pixels per thousand, at the edges of polygons.

    Args:
        seed: Seed of the data set, at least 0.
        split: One of train, val and test. No scene occurs in two splits.
        index: Index of the scene, at least 0.
        height: Height of the image, in pixels, at least 32. The layout does not depend on it.
        width: Width of the image, in pixels, at least 32.
        strength: Position in the curriculum, in 0..1. Below 1 there are fewer things and less clutter.
        generator: Version of the generator, one of :data:`GENERATORS`.

    Returns:
        The RGB image and its segments: stuff by class, then things, then crowds.

    Raises:
        ValueError: If an argument is out of range.
    """
    _check(split=split, height=height, width=width, strength=strength, seed=seed, index=index, generator=generator)
    key = np.random.SeedSequence((generator, seed, SPLITS.index(split), index)).generate_state(2, np.uint64)

    def stream(name: str) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, _STREAMS.index(name)]))

    layout = compose(stream, float(strength), generator)
    surface = Surface(height, width)
    for item in layout.items:
        surface.paint(item)
    return surface.develop(layout.film), _segments(surface.labels, layout)


def _segments(labels: UInt8[np.ndarray, "H W"], layout: Layout) -> Segments:
    """Convert a label map to segments, dropping those without a visible pixel."""
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
        split: One of train, val and test.
        seed: Seed of the data set, at least 0.
        size: Number of scenes, at least 1. A larger split starts with the scenes of a smaller one.
        height: Height of the images, in pixels, at least 32.
        width: Width of the images, in pixels, at least 32.
        cache: Whether to keep rendered scenes in memory for later epochs, at 4 bytes per pixel.
        generator: Version of the generator, one of :data:`GENERATORS`.

    Raises:
        ValueError: If an argument is out of range.
    """

    labels: LabelSpace = CITYSCAPES

    def __init__(
        self,
        split: str,
        *,
        seed: int = 0,
        size: int,
        height: int = 512,
        width: int = 1024,
        cache: bool = False,
        generator: int = 1,
    ) -> None:
        _check(split=split, height=height, width=width, strength=1.0, seed=seed, index=0, generator=generator)
        if size < 1:
            raise ValueError(f"size: expected at least 1 scene, got {size}")
        self.split, self.seed, self.size, self.height, self.width = split, seed, size, height, width
        self.generator = generator
        self._cache = SceneCache(size, height, width) if cache else None

    def __len__(self) -> int:
        return self.size

    @property
    def image_ids(self) -> range:
        """Image ids, which are the indices of the scenes."""
        return range(self.size)

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """Read the scene at ``index``.

        Args:
            index: Index of the scene.
            strength: Position in the curriculum, in 0..1. Validation and test scenes ignore it and have full strength.

        Returns:
            The scene, from the cache if it holds the scene at this strength.

        Raises:
            IndexError: If there is no such scene.
            ValueError: If ``strength`` is not in 0..1.
        """
        strength = self._effective_strength(index, strength)
        scene = self._cache.get(index, strength) if self._cache is not None else None
        if scene is None:
            size = {"height": self.height, "width": self.width}
            scene = render_scene(self.seed, self.split, index, **size, strength=strength, generator=self.generator)
            if self._cache is not None:
                self._cache.put(index, strength, *scene)
        return Sample(*scene, f"{self.split}_{index:06d}")

    def recipe(self, index: int, strength: float = 1.0) -> str:
        """Describe everything that a scene depends on, for use as a cache key.

        Args:
            index: Index of the scene.
            strength: Position in the curriculum, in 0..1.

        Returns:
            The versions of the generator and of OpenCV, and the parameters of the scene, as text.

        Raises:
            IndexError: If there is no such scene.
            ValueError: If ``strength`` is not in 0..1.
        """
        strength = self._effective_strength(index, strength)
        size = f"{self.height}x{self.width}"
        return (
            f"generator {self.generator} OpenCV {cv2.__version__} seed {self.seed} {self.split} {index} {size} "
            f"strength {float(strength)!r}"
        )

    def _effective_strength(self, index: int, strength: float) -> float:
        """Return the strength to render at: 1 outside the training split."""
        if not 0 <= index < self.size:
            raise IndexError(f"index: expected 0 to {self.size - 1}, got {index}")
        size = {"height": self.height, "width": self.width}
        _check(split=self.split, strength=strength, seed=self.seed, index=index, generator=self.generator, **size)
        return strength if self.split == "train" else 1.0


def _check(*, split: str, height: int, width: int, strength: float, seed: int, index: int, generator: int) -> None:
    if generator not in GENERATORS:
        raise ValueError(f"generator: expected one of {', '.join(map(str, GENERATORS))}, got {generator}")
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    for name, side in (("height", height), ("width", width)):
        if side < _MIN_SIDE:
            raise ValueError(f"{name}: expected at least {_MIN_SIDE} pixels, got {side}")
    for name, number in (("seed", seed), ("index", index)):
        if number < 0:
            raise ValueError(f"{name}: expected at least 0, got {number}")
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength: expected a number in 0..1, got {strength}")
