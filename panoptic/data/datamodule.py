"""Base class of the Lightning data modules: sampling, augmentation and batching."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from panoptic.data.batch import EvaluationDataset, TrainingDataset
from panoptic.data.checks.faults import Examiner, SourceExaminer
from panoptic.data.loader import (
    LeftOut,
    Loader,
    check_memory,
    check_shared_memory,
    default_workers,
    one_thread,
)
from panoptic.data.sample import SPLITS, Source
from panoptic.data.sampler import KeySampler, SampleKey
from panoptic.data.statistics import DataStatistics, statistics_of
from panoptic.errors import InputError, expect_at_least
from panoptic.labels import LabelSpace

MIN_SCALE, MAX_SCALE = 0.05, 20.0
"""Bounds of the scale factors in training; beyond them, images vanish or do not fit into memory."""


class DataModule(LightningDataModule, ABC):
    """Base class of all data modules: sampling, augmentation and batching.

    Evaluation uses full-size images one at a time, so that neither padding nor crops affect scores. Data sets whose
    images all have the same size may use larger batches.

    Args:
        batch_size: Number of images per batch and process.
        crop: Height and width of training samples, at least 32; those of smaller images are padded at the right and
            bottom.
        scale: Smallest and largest scale factor of training images at full strength.
        padding: Largest share of a training sample that may be padding, in 0..1; scales that leave more are not drawn.
        appearance: Probability and magnitude of changes of color, blur, noise and weather at full strength, in 0..1.
        workers: Number of data-loading processes. 0 loads in the training process, ``None`` means
            :func:`default_workers`.
        any_orientation: Whether images have no canonical orientation, such as microscopy or aerial images. If so,
            training images are also rotated by multiples of 90 degrees, not only flipped horizontally.
        epoch_size: Number of training samples per epoch; ``None`` takes each image once.
        on_error: What to do with an image that cannot be read, or whose ground truth cannot: ``error`` ends the run,
            ``skip`` takes the next in training and leaves it out of scores; see :class:`~panoptic.data.loader.LeftOut`.
        timeout: Seconds to wait for a batch of the loading processes; 0 waits forever.
        seed: Seed of the order and the augmentation.

    Attributes:
        strength: Function from the epoch to the strength of the curriculum; set by the curriculum callback.
        first_epoch: First epoch of training; above 0 in a resumed run.
        first_batch: First batch of that epoch; above 0 in a run resumed within an epoch.
        left_out: Images that could not be read, by split.

    Raises:
        InputError: If an argument is out of range.
    """

    evaluation_batch_size = 1

    def __init__(  # noqa: PLR0913  # a data set and how it is read and changed
        self,
        batch_size: int,
        crop: Sequence[int] | None,
        scale: Sequence[float] | None,
        padding: float = 0.25,
        appearance: float = 1.0,
        workers: int | None = 0,
        any_orientation: bool = False,
        epoch_size: int | None = None,
        *,
        on_error: str = "error",
        timeout: float = 300.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        expect_at_least(1, batch_size=batch_size)
        workers = default_workers() if workers is None else workers
        expect_at_least(0, workers=workers)
        if epoch_size is not None:
            expect_at_least(1, epoch_size=epoch_size)
        expect_at_least(0, timeout=timeout)
        if on_error not in ("error", "skip"):
            raise InputError(f"data.on_error: expected error or skip, got {on_error!r}")
        if crop is None or scale is None:
            raise InputError(
                f"data.{'crop' if crop is None else 'scale'}: expected two numbers, got none; training chooses them"
            )
        if len(crop) != 2 or min(crop) < 32:
            raise InputError(f"data.crop: expected a height and a width of at least 32, got {list(crop)}")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise InputError(f"data.scale: expected two rising positive factors, got {list(scale)}")
        if scale[0] < MIN_SCALE or scale[1] > MAX_SCALE:
            raise InputError(f"data.scale: expected factors from {MIN_SCALE} to {MAX_SCALE}, got {list(scale)}")
        self.batch_size = batch_size
        self.crop = (crop[0], crop[1])
        if not 0 <= appearance <= 1:
            raise InputError(f"data.appearance: expected a number in 0..1, got {appearance}")
        if not 0 <= padding <= 1:
            raise InputError(f"data.padding: expected a share in 0..1, got {padding}")
        self.scale = (scale[0], scale[1])
        self.padding = padding
        self.appearance = appearance
        self.workers = workers
        self.any_orientation = any_orientation
        self.epoch_size = epoch_size
        self.on_error = on_error
        self.timeout = timeout
        self.left_out: dict[str, LeftOut] = {}
        self.seed = seed
        self.strength: Callable[[int], float] = lambda epoch: 1.0
        self.first_epoch = 0
        self.first_batch = 0

    @abstractmethod
    def source(self, split: str) -> Source:
        """Open a split: ``train``, ``val`` or ``test``."""

    def examiner(self, split: str) -> Examiner:
        """Open a split to check it for faults. By default its source has none beyond those it raises."""
        return SourceExaminer(self.source(split))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the existing splits, each with all splits that share its files, itself included."""
        return {split: (split,) for split in SPLITS}

    def statistics(self) -> DataStatistics:
        """Return sizes of images and things of the training split, by default those of a few samples."""
        return statistics_of(self.train_source)

    @cached_property
    def labels(self) -> LabelSpace:
        """Label space of the data set."""
        return self.train_source.labels

    @cached_property
    def train_source(self) -> Source:
        """Training split, opened once."""
        return self.source("train")

    @cached_property
    def val_source(self) -> Source:
        """Validation split, opened once."""
        return self.source("val")

    def train_dataloader(self) -> Loader:
        """Return a loader of this process's share of the training split: shuffled, augmented batches of equal size."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        sampler = self._sampler()
        # Lightning also sets the epoch, but only after workers have started to read, and it requests this loader before
        # it restores the progress of a resumed run.
        sampler.set_epoch(max(epoch, self.first_epoch))
        sampler.skip(self.first_epoch, self.first_batch * self._batch_size(sampler))
        return self._loader(
            "train",
            self.training_dataset(),
            self._batch_size(sampler),
            least=self.crop,
            sampler=sampler,
            drop_last=True,
        )

    def training_dataset(self) -> TrainingDataset:
        """Return the augmented samples of the training split."""
        return TrainingDataset(
            self.train_source,
            self.crop,
            self.scale,
            padding=self.padding,
            appearance=self.appearance,
            any_orientation=self.any_orientation,
            skip=self.on_error == "skip",
        )

    def evaluation_dataset(self, split: str) -> EvaluationDataset:
        """Return the samples of a split as they are."""
        known = {"train": lambda: self.train_source, "val": lambda: self.val_source}
        source = known[split]() if split in known else self.source(split)
        return EvaluationDataset(source, self.on_error == "skip")

    def keys_of(self, epoch: int, batch: int) -> list[SampleKey]:
        """Return the keys of the samples in a training batch of this process."""
        sampler = self._sampler()
        sampler.set_epoch(epoch)
        size = self._batch_size(sampler)
        return list(islice(sampler, batch * size, (batch + 1) * size))

    def _sampler(self) -> KeySampler:
        rank, world = self._rank_and_world()
        return KeySampler(
            len(self.train_source),
            seed=self.seed,
            strength=self.strength,
            epoch_size=self.epoch_size,
            rank=rank,
            world=world,
        )

    def _batch_size(self, sampler: KeySampler) -> int:
        """Return the size of all training batches: smaller for an epoch that would not fill one."""
        return min(self.batch_size, max(len(sampler), 1))

    def val_dataloader(self) -> Loader:
        """Return a loader of this process's share of the validation split, in order."""
        rank, world = self._rank_and_world()
        count = len(self.val_source)
        if count < world:  # the other processes would wait forever for one that has nothing to log
            rank, world = 0, 1
        indices = range(rank, count, world)
        return self._loader("val", self.evaluation_dataset("val"), self.evaluation_batch_size, sampler=indices)

    def _rank_and_world(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def split_dataloader(self, split: str) -> Loader:
        """Return a loader of a whole split, in order and without augmentation."""
        return self._loader(split, self.evaluation_dataset(split), self.evaluation_batch_size)

    def check_room(self, *, on_cpu: bool) -> None:
        """Raise if the pixels of a training batch do not fit into memory, or those of some into shared memory.

        Args:
            on_cpu: Whether the network is trained in this machine's own memory.

        Raises:
            InputError: If they do not fit.
        """
        sampler, pixels = self._sampler(), self.crop[0] * self.crop[1]
        size = self._batch_size(sampler)
        check_memory(size, pixels, on_cpu=on_cpu)
        check_shared_memory(self.workers, len(sampler) // size, size, pixels)

    def check_cells(self, stride: int) -> None:
        """Raise if a training batch has a single cell at a stride, of which BatchNorm takes no statistics.

        Args:
            stride: Coarsest stride of the network, in pixels.

        Raises:
            InputError: If it has.
        """
        size = self._batch_size(self._sampler())
        cells = size * math.prod(-(-side // stride) for side in self.crop)
        if cells < 2:
            raise InputError(
                f"data.batch_size, data.crop: expected at least two cells of {stride}x{stride} pixels in a batch, of "
                f"which BatchNorm takes statistics, got {size} crop of {self.crop[0]}x{self.crop[1]}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the images that could not be read, for checkpoints."""
        found = {split: dict(left_out.reasons) for split, left_out in self.left_out.items() if left_out.reasons}
        return {"left_out": found} if found else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the images that could not be read, which are not told again."""
        for split, reasons in state_dict["left_out"].items():
            source = {"train": self.train_source, "val": self.val_source}[split]
            self._left_out(split, len(source)).reasons.update(reasons)

    def _left_out(self, split: str, size: int) -> LeftOut:
        return self.left_out.setdefault(split, LeftOut(split, size))

    def _loader(self, split: str, dataset: TrainingDataset | EvaluationDataset, batch_size: int, **arguments) -> Loader:
        return Loader(
            dataset,
            left_out=self._left_out(split, len(dataset)),
            seconds=self.timeout,
            batch_size=batch_size,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            worker_init_fn=one_thread,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # the default is the global random state
            **arguments,
        )
