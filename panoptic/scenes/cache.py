"""Painted scenes kept in memory, so that no worker paints again what another has painted before."""

from __future__ import annotations

import mmap

import numpy as np
import torch
from jaxtyping import UInt8

from panoptic.segments import Segments

_ROWS = 255  # segments that a scene can have: its label map holds bytes


class SceneCache:
    """The last version of each scene of a split: one for every position in the curriculum would be too many.

    Forked workers share it. One that is started afresh begins with an empty cache of its own, which costs time and
    memory, and nothing else. Only what is filled takes memory: 4 bytes a pixel.

    Args:
        size: number of scenes.
        height: of a scene in pixels.
        width: of a scene in pixels.
    """

    def __init__(self, size: int, height: int, width: int) -> None:
        self._arguments = (size, height, width)
        # Anonymous memory, since what /dev/shm holds is little in a container, and too much kills the process.
        self._strengths = _shared((size,), np.float64)
        self._strengths[:] = np.nan
        self._images = _shared((size, height, width, 3), np.uint8)
        self._ids = _shared((size, height, width), np.uint8)
        self._counts = _shared((size,), np.int16)
        self._rows = _shared((size, 2, _ROWS), np.uint8)  # classes and crowd

    def __reduce__(self):
        return SceneCache, self._arguments

    def get(self, index: int, strength: float) -> tuple[UInt8[np.ndarray, "H W 3"], Segments] | None:
        """Copies of a scene's image and segments, if it was last painted at this strength."""
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
        """Keeps a scene in place of the one that was painted at another strength."""
        count = len(segments.classes)
        self._strengths[index] = np.nan  # a worker that dies half way leaves no half scene
        self._images[index], self._ids[index], self._counts[index] = image, segments.ids.numpy(), count
        self._rows[index, 0, :count], self._rows[index, 1, :count] = segments.classes.numpy(), segments.crowd.numpy()
        self._strengths[index] = strength


def _shared(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Zeros in memory that forked processes have in common."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
