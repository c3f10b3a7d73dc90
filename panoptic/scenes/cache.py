"""In-memory cache of rendered scenes, shared by forked workers."""

from __future__ import annotations

import mmap

import numpy as np
import torch
from jaxtyping import UInt8

from panoptic.segments import Segments

_MAX_SEGMENTS = 255  # ids are stored as bytes, and 0 is void


class SceneCache:
    """Cache of the last rendered version of each scene of a split.

    Only one strength per scene is kept: one version for every position in the curriculum would take too much memory.
    Forked workers share the cache. A spawned worker starts with an empty cache of its own, which costs time and memory
    but is otherwise harmless. Only scenes that are filled in take memory, 4 bytes per pixel.

    Args:
        size: Number of scenes.
        height: Height of a scene, in pixels.
        width: Width of a scene, in pixels.
    """

    def __init__(self, size: int, height: int, width: int) -> None:
        self._arguments = (size, height, width)
        # Anonymous memory: /dev/shm is small in containers, and exceeding it kills the process.
        self._strengths = _shared((size,), np.float64)
        self._strengths[:] = np.nan
        self._images = _shared((size, height, width, 3), np.uint8)
        self._ids = _shared((size, height, width), np.uint8)
        self._counts = _shared((size,), np.int16)
        self._rows = _shared((size, 2, _MAX_SEGMENTS), np.uint8)  # classes and crowd

    def __reduce__(self) -> tuple[type[SceneCache], tuple[int, int, int]]:
        return SceneCache, self._arguments

    def get(self, index: int, strength: float) -> tuple[UInt8[np.ndarray, "H W 3"], Segments] | None:
        """Return copies of a scene's image and segments, or ``None`` unless it was last stored at this strength."""
        if self._strengths[index] != strength:
            return None
        classes, crowd = self._rows[index, :, : self._counts[index]]
        segments = Segments(
            torch.from_numpy(self._ids[index].astype(np.int32)),
            torch.from_numpy(classes.astype(np.int64)),
            torch.from_numpy(crowd.astype(np.bool_)),
        )
        return self._images[index].copy(), segments

    def put(self, index: int, strength: float, image: UInt8[np.ndarray, "H W 3"], segments: Segments) -> None:
        """Store a scene, replacing the version at another strength."""
        count = len(segments.classes)
        self._strengths[index] = np.nan  # invalid until complete, in case the worker dies half way
        self._images[index], self._ids[index], self._counts[index] = image, segments.ids.numpy(), count
        self._rows[index, 0, :count], self._rows[index, 1, :count] = segments.classes.numpy(), segments.crowd.numpy()
        self._strengths[index] = strength


def _shared(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Allocate an array of zeros in memory that is shared with forked processes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
