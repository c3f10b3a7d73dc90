"""Data in memory, of which some images cannot be read, or end or stop the process that reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch.utils.data import get_worker_info

from panoptic.data.datamodule import DataModule
from panoptic.data.sample import Sample
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

LABELS = LabelSpace((Category("sky", 1, False, (0, 0, 9)), Category("cell", 2, True, (9, 0, 0))))


class FaultySource:
    """Images of one color, the color of image ``i`` being ``i``."""

    labels = LABELS

    def __init__(self, size: int, bad: Collection[int], act: Callable[[int], None]) -> None:
        self.size = size
        self.bad = bad
        self.act = act

    def __len__(self) -> int:
        return self.size

    @property
    def image_ids(self) -> range:
        return range(self.size)

    def read(self, index: int, strength: float = 1.0) -> Sample:
        self.act(index)
        if index in self.bad:
            raise InputError(f"{index}.png: expected an image, got an empty file")
        ids = torch.ones(32, 32, dtype=torch.int32)
        image = np.full((32, 32, 3), index % 256, dtype=np.uint8)
        return Sample(image, Segments(ids, torch.tensor([0]), torch.tensor([False])), f"{index}")


def nothing(index: int) -> None:
    """Read as usual."""


class FaultyData(DataModule):
    def __init__(self, size: int, bad: Collection[int] = (), act: Callable[[int], None] = nothing, **settings) -> None:
        super().__init__(**{"batch_size": 4, "crop": [32, 32], "scale": [1, 1], "appearance": 0.0, **settings})
        self.size = size
        self.bad = bad
        self.act = act

    def source(self, split: str) -> FaultySource:
        return FaultySource(self.size, self.bad, self.act)


def signal_itself(at: int, number: int) -> Callable[[int], None]:
    """Return what makes the loading process that reads an image send a signal to itself."""

    def act(index: int) -> None:
        if index == at and get_worker_info() is not None:
            os.kill(os.getpid(), number)

    return act
