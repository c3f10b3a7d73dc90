"""Sampling of training images: the order of an epoch is a pure function of (seed, epoch), sharded over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """Everything that a training sample depends on, apart from the files of the data set.

    Attributes:
        seed: Seed of the run.
        visit: Number of earlier passes over the data set; equals the epoch unless ``epoch_size`` is set.
        index: Index of the image.
        strength: Strength of the curriculum, in 0..1.
    """

    seed: int
    visit: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which keys do not need
    strength: float


class KeySampler(Sampler[SampleKey]):
    """Yields the shuffled keys of this rank's share of an epoch.

    Images come in passes over the whole data set, each pass in a different order. An epoch is one pass, or the next
    ``epoch_size`` keys of the sequence of passes. Lightning calls :meth:`set_epoch`. Keys carry the strength of the
    curriculum to persistent workers, so that no shared memory is needed.

    Args:
        size: Number of images in the data set.
        seed: Seed of the order; also part of every key.
        strength: Function from the epoch to the strength of the curriculum, in 0..1.
        epoch_size: Number of samples per epoch over all ranks; ``None`` means ``size``.
        rank: Rank of this process.
        world: Number of processes. All yield the same number of keys, so up to ``world - 1`` samples are dropped.
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
        self._skipped = (0, 0)

    def skip(self, epoch: int, count: int) -> None:
        """Leave out the first keys of this rank in one epoch, which a resumed run has been given before.

        The length remains that of a whole epoch.
        """
        self._skipped = (epoch, count)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.epoch_size // self.world

    def __iter__(self) -> Iterator[SampleKey]:
        strength = self.strength(self.epoch)
        first = self.epoch * self.epoch_size
        visit, order = -1, torch.empty(0)
        skipped = self._skipped[1] if self._skipped[0] == self.epoch else 0
        for position in range(first + self.rank + skipped * self.world, first + len(self) * self.world, self.world):
            if position // self.size != visit:
                visit = position // self.size
                order = self._order(visit)
            yield SampleKey(self.seed, visit, int(order[position % self.size]), strength)

    def _order(self, visit: int) -> Tensor:
        """Return the order of the images in a pass."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + visit) % 2**63)
        return torch.randperm(self.size, generator=generator)
