"""Which samples an epoch has, in which order: a pure function of (seed, epoch), sharded over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """All that a training sample depends on, beside the data set's own files.

    Attributes:
        seed: of the run.
        visit: how many passes over the data set came before; the epoch, unless epochs have a size of their own.
        index: of the image.
        strength: of the curriculum.
    """

    seed: int
    visit: int
    index: int
    strength: float


class KeySampler(Sampler[SampleKey]):
    """Yields the keys of this rank's share of an epoch, shuffled.

    Images come in passes over the whole data set, each in an order of its own. An epoch is one pass, or the next
    ``epoch_size`` keys of that sequence of passes. Lightning calls :meth:`set_epoch`. Keys carry the curriculum's
    strength to workers that outlive the epoch, with no memory shared.

    Args:
        size: images in the data set.
        seed: of the order, and part of every key.
        strength: of an epoch, 0..1.
        epoch_size: samples in an epoch, of all ranks together; ``None`` is ``size``.
        rank: this process among ``world``.
        world: number of processes; all yield equally many keys, so that at most ``world - 1`` are left out.
    """

    def __init__(
        self,
        size: int,
        *,
        seed: int,
        strength: Callable[[int], float],
        epoch_size: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.size = size
        self.seed = seed
        self.strength = strength
        self.epoch_size = size if epoch_size is None else epoch_size
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.epoch_size // self.world

    def __iter__(self) -> Iterator[SampleKey]:
        strength = self.strength(self.epoch)
        first = self.epoch * self.epoch_size
        visit, order = -1, torch.empty(0)
        for position in range(first + self.rank, first + len(self) * self.world, self.world):
            if position // self.size != visit:
                visit = position // self.size
                order = self._order(visit)
            yield SampleKey(self.seed, visit, int(order[position % self.size]), strength)

    def _order(self, visit: int) -> Tensor:
        """Of the images in a pass."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + visit) % 2**63)
        return torch.randperm(self.size, generator=generator)
