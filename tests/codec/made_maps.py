"""What the tests of the codec share: maps of segments, and outputs of a network, made by hand or at random."""

from __future__ import annotations

import numpy as np
import torch

from panoptic.codec import Outputs
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

ROAD, SKY, CAR, PERSON = range(4)
LABELS = LabelSpace(
    tuple(
        Category(name, i, isthing, (0, 0, 0))
        for i, (name, isthing) in enumerate((("road", False), ("sky", False), ("car", True), ("person", True)))
    )
)


def make(ids, classes, crowd=()) -> Segments:
    """A batch of one image from a map of ids; ``crowd`` names the ids that are one."""
    segments = Segments(
        torch.as_tensor(ids, dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor([i + 1 in crowd for i in range(len(classes))], dtype=torch.bool),
    )
    return Segments.stack([segments])


def boxes(size, *things, crowd=()) -> Segments:
    """Road below sky, with things given as (class, top, left, bottom, right)."""
    ids = torch.ones(size, dtype=torch.int32)
    ids[: size[0] // 2] = 2
    for i, (_, top, left, bottom, right) in enumerate(things):
        ids[top:bottom, left:right] = i + 3
    return make(ids, [ROAD, SKY, *(thing[0] for thing in things)], crowd)


def random_scene(seed: int, size=(64, 96), least: int = 10) -> Segments:
    """Things of ``least`` to 24 pixels a side, each in a place of its own on a grid of 32."""
    rng = np.random.default_rng(seed)
    things = []
    for top in range(0, size[0] - 31, 32):
        for left in range(0, size[1] - 31, 32):
            height, width = rng.integers(least, 25, 2)
            y, x = top + rng.integers(0, 33 - height), left + rng.integers(0, 33 - width)
            things.append((int(rng.choice([CAR, PERSON])), y, x, y + height, x + width))
    return boxes(size, *things)


def outputs(semantic, center, offset=None) -> Outputs:
    """Outputs of a batch, of which decoding reads the first three."""
    batch, _, height, width = semantic.shape
    offset = torch.zeros(batch, 2, height, width) if offset is None else offset
    rest = torch.zeros(batch, 2), torch.zeros(batch, 2, 1, 1), torch.zeros(batch, 3, 1, 1), torch.ones(batch, 1)
    return Outputs(semantic, center, offset, *rest)


def of_classes(classes) -> torch.Tensor:
    """Logits that are sure of a class map ``[h w]``."""
    one_hot = torch.nn.functional.one_hot(torch.as_tensor(classes), len(LABELS))
    return one_hot.permute(2, 0, 1)[None].float() * 20


def with_peaks(size, **heights) -> torch.Tensor:
    """Center logits, low but at places given as ``y3x4=logit``."""
    center = torch.full((1, *size), -20.0)
    for place, logit in heights.items():
        y, x = place.removeprefix("y").split("x")
        center[0, int(y), int(x)] = logit
    return center


def random_outputs(seed=0, batch=4) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    semantic = torch.randn(batch, 4, 7, 9, generator=generator) * 3
    center = torch.randn(batch, 7, 9, generator=generator) * 2
    center[1] = -20.0  # an image without a peak
    return outputs(semantic, center, torch.randn(batch, 2, 7, 9, generator=generator))
