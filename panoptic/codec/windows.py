"""Decode images that are too large for their maps to be in memory, window by window.

The maps lie in arrays that may be files. The peaks of the whole heatmap are found first; then each window is grouped by
them and counted, and at the end the candidates that become segments are chosen, as in :meth:`Codec.decode`. Things that
reach over several windows are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from panoptic.codec.codec import Codec
from panoptic.codec.grouping import find_peaks_in_bands
from panoptic.codec.maps import Tally
from panoptic.complexity import thing_table
from panoptic.segments import Segments


class PixelMaps(NamedTuple):
    """Maps of an image that its segments are decoded from.

    Attributes:
        classes: Most probable class of each pixel.
        confidence: Probability of that class.
        offset: Offset (dy, dx) from each pixel to the center of its thing, in pixels.
        center: Center heatmap in 0..1, at the stride of the heads.
    """

    classes: UInt8[np.ndarray, "H W"]
    confidence: Float32[np.ndarray, "H W"]
    offset: Float32[np.ndarray, "2 H W"]
    center: Float32[np.ndarray, "h w"]


class Decoded(NamedTuple):
    """Segments of an image.

    Attributes:
        segments: Segments with scores, on the CPU.
        exceeds_limit: Whether the image has more than ``max_things`` peaks, of which the highest are kept.
    """

    segments: Segments
    exceeds_limit: bool


@torch.no_grad()
def decode_windows(
    codec: Codec, maps: PixelMaps, windows: Sequence[tuple[slice, slice]], device: torch.device
) -> Decoded:
    """Decode an image window by window. Memory is that of one window and of the map of ids.

    Args:
        codec: Codec.
        maps: Maps of the image.
        windows: Rows and columns of windows that cover the image without overlap.
        device: Device to compute on.
    """
    peaks, heights, exceeds = find_peaks_in_bands(
        maps.center, window=codec.peak_window, threshold=codec.peak_threshold, most=codec.max_things, device=device
    )
    centers, count = codec.in_pixels(peaks), heights.shape[1]
    is_thing = thing_table(codec.labels.is_thing, device)
    ids = np.zeros(maps.classes.shape, dtype=np.int32)
    counts: Tally | None = None
    for window in windows:
        classes = _load(maps.classes[window], device).long()
        confidence = _load(maps.confidence[window], device)
        offset = _load(maps.offset[:, window[0], window[1]], device)
        origin = centers.new_tensor([part.start for part in window])
        instances = codec.group_pixels(offset, is_thing[classes], centers - origin, heights)
        found, tally = codec.count_candidates(classes, confidence, is_thing[classes], instances, count)
        ids[window] = found[0].cpu().numpy()
        counts = _add(counts, tally)
    assert counts is not None  # there is at least one window
    renumbered, segments = codec.table(counts, heights.cpu())
    numbers = renumbered[0].int().numpy()
    for window in windows:
        ids[window] = numbers[ids[window]]
    return Decoded(replace(segments, ids=torch.from_numpy(ids)[None]).unstack()[0], exceeds)


def _load(values: np.ndarray, device: torch.device) -> Tensor:
    """Copy a part of a map to the device, as a batch of one."""
    return torch.from_numpy(np.array(values)).to(device)[None]


def _add(counts: Tally | None, tally: Tally) -> Tally:
    """Add the counts of a window to those of others, on the CPU and in double precision."""
    votes, areas, confidence = (part.cpu() for part in tally)
    if counts is None:
        return Tally(votes, areas, confidence.double())
    return Tally(counts.votes + votes, counts.areas + areas, counts.confidence + confidence)
