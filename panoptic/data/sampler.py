"""Which samples an epoch has, in which order: a pure function of (seed, epoch), sharded over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """All that a training sample depends on, beside the data set's own files."""

    seed: int
    epoch: int
    index: int
    strength: float


class KeySampler(Sampler[SampleKey]):
    """Yields the keys of this rank's share of an epoch, shuffled.

    Lightning calls :meth:`set_epoch`. Keys carry the curriculum's strength to workers that outlive the epoch, with no
    memory shared.

    Args:
        size: images in the data set.
        seed: of the order, and part of every key.
        strength: of an epoch, 0..1.
        rank: this process among ``world``.
        world: number of processes; all yield equally many keys, so that at most ``world - 1`` images are left out.
    """

    def __init__(
        self, size: int, *, seed: int, strength: Callable[[int], float], rank: int = 0, world: int = 1
    ) -> None:
        self.size = size
        self.seed = seed
        self.strength = strength
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.world

    def __iter__(self) -> Iterator[SampleKey]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(self.size, generator=generator)[self.rank : len(self) * self.world : self.world]
        strength = self.strength(self.epoch)
        for index in order.tolist():
            yield SampleKey(self.seed, self.epoch, index, strength)
