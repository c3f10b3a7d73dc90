"""Loaders for the three splits of any data set."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from panoptic.data.batch import Batch, EvaluationDataset, TrainingDataset, collate
from panoptic.data.checks.cityscapes import CityscapesExaminer
from panoptic.data.checks.coco import CocoExaminer
from panoptic.data.checks.faults import Examiner, SourceExaminer
from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.coco.json import find_image_dir, find_json
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.sample import SPLITS, Source
from panoptic.data.sample_cache import CachedScenes, CachedSource
from panoptic.data.sampler import KeySampler
from panoptic.errors import InputError, expect_at_least
from panoptic.labels import LabelSpace
from panoptic.scenes.source import SyntheticSource


class DataModule(LightningDataModule, ABC):
    """What all data sets share: sampling, augmentation, batching.

    Evaluation takes one image at a time at its full size, so that no padding and no crop enters a score, unless all
    images of the data set have one size.

    Args:
        batch_size: images per batch and process.
        crop: height and width of training samples.
        scale: least and greatest factor by which training images are resized, at full strength.
        appearance: how likely and strong changes of color, blur, noise and weather are at full strength, 0..1.
        workers: processes that read ahead; 0 reads in the training process, ``None`` takes what :func:`default_workers`
            says.
        any_orientation: whether images have no up and down, as under a microscope or from above; training images are
            turned by quarters then, and not mirrored left to right only.
        epoch_size: training samples in an epoch, whatever the number of images; ``None`` takes each image once.
        seed: of the order and the augmentation.

    Attributes:
        strength: of the curriculum at an epoch; the curriculum callback sets it.
        first_epoch: that training begins with; above 0 where a run is resumed.

    Raises:
        InputError: naming the argument that is out of range.
    """

    evaluation_batch_size = 1

    def __init__(
        self,
        batch_size: int,
        crop: Sequence[int],
        scale: Sequence[float],
        appearance: float = 1.0,
        workers: int | None = 0,
        any_orientation: bool = False,
        epoch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        expect_at_least(1, data__batch_size=batch_size)
        workers = default_workers() if workers is None else workers
        expect_at_least(0, data__workers=workers)
        if epoch_size is not None:
            expect_at_least(1, data__epoch_size=epoch_size)
        if len(crop) != 2 or min(crop) < 32:
            raise InputError(f"data.crop: expected a height and a width of at least 32, got {list(crop)}")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise InputError(f"data.scale: expected two rising positive factors, got {list(scale)}")
        self.batch_size = batch_size
        self.crop = (crop[0], crop[1])
        if not 0 <= appearance <= 1:
            raise InputError(f"data.appearance: expected a number in 0..1, got {appearance}")
        self.scale = (scale[0], scale[1])
        self.appearance = appearance
        self.workers = workers
        self.any_orientation = any_orientation
        self.epoch_size = epoch_size
        self.seed = seed
        self.strength: Callable[[int], float] = lambda epoch: 1.0
        self.first_epoch = 0

    @abstractmethod
    def source(self, split: str) -> Source:
        """Opens a split: ``train``, ``val`` or ``test``."""

    @abstractmethod
    def examiner(self, split: str) -> Examiner:
        """Opens a split to look for faults."""

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The splits that are there, each with all that its files serve."""
        return {split: (split,) for split in SPLITS}

    @cached_property
    def labels(self) -> LabelSpace:
        """The label space of the data set."""
        return self.train_source.labels

    @cached_property
    def train_source(self) -> Source:
        """The training split, opened once."""
        return self.source("train")

    @cached_property
    def val_source(self) -> Source:
        """The validation split, opened once."""
        return self.source("val")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, augmented batches of this process's share, all of one size."""
        rank, world = self._share()
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        share = {"epoch_size": self.epoch_size, "rank": rank, "world": world}
        sampler = KeySampler(len(self.train_source), seed=self.seed, strength=self.strength, **share)
        # Lightning sets the epoch too, but after workers have begun to read, and it asks for this loader before it has
        # restored how far a resumed run has come.
        sampler.set_epoch(max(epoch, self.first_epoch))
        dataset = TrainingDataset(self.train_source, self.crop, self.scale, self.appearance, self.any_orientation)
        return self._loader(dataset, min(self.batch_size, max(len(sampler), 1)), sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split in order; of several processes, each takes its share."""
        rank, world = self._share()
        count = len(self.val_source)
        if count < world:  # a process with nothing to log would keep the others waiting
            rank, world = 0, 1
        share = range(rank, count, world)
        return self._loader(EvaluationDataset(self.val_source), self.evaluation_batch_size, sampler=share)

    def _share(self) -> tuple[int, int]:
        """This process's rank, and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def split_dataloader(self, split: str) -> DataLoader[Batch]:
        """Any split in order, as evaluation sees it."""
        source = {"train": lambda: self.train_source, "val": lambda: self.val_source}.get(
            split, lambda: self.source(split)
        )()
        return self._loader(EvaluationDataset(source), self.evaluation_batch_size)

    def _loader(self, dataset, batch_size: int, **arguments) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            collate_fn=collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            worker_init_fn=_one_thread,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # else every loader draws from the global random state
            **arguments,
        )


class SyntheticData(DataModule):
    """Street scenes made on the fly; see :mod:`panoptic.scenes.source`.

    Args:
        scenes_seed: of the scenes, apart from that of training, so that runs with different seeds share one data set.
        height: of a scene in pixels.
        width: of a scene in pixels.
        train_size: number of training scenes.
        val_size: number of validation scenes.
        test_size: number of test scenes.
        cache: whether to keep painted scenes in memory, 4 bytes a pixel, for the epochs to come.
        cache_dir: a folder to keep them in instead, also for the runs to come; ``None`` keeps none.
        loading: of :class:`DataModule`.
    """

    evaluation_batch_size = 4

    def __init__(
        self,
        scenes_seed: int,
        height: int,
        width: int,
        train_size: int,
        val_size: int,
        test_size: int,
        cache: bool = False,
        cache_dir: str | None = None,
        **loading,
    ) -> None:
        super().__init__(**loading)
        expect_at_least(0, data__scenes_seed=scenes_seed)
        expect_at_least(32, data__height=height, data__width=width)
        expect_at_least(1, data__train_size=train_size, data__val_size=val_size, data__test_size=test_size)
        self.scenes_seed = scenes_seed
        self.size = (height, width)
        self.cache = cache
        self.cache_dir = cache_dir
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}

    def source(self, split: str) -> SyntheticSource | CachedScenes:
        height, width = self.size
        size = {"size": self.sizes[split], "height": height, "width": width}
        if self.cache_dir is not None:
            return CachedScenes(SyntheticSource(split, seed=self.scenes_seed, **size), self.cache_dir)
        return SyntheticSource(split, seed=self.scenes_seed, **size, cache=self.cache)

    def examiner(self, split: str) -> SourceExaminer:
        return SourceExaminer(self.source(split))


class CityscapesData(DataModule):
    """Cityscapes as it unzips; see :mod:`panoptic.data.cityscapes`.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine``.
        cache_dir: a folder to keep decoded images and segments in; ``None`` keeps none.
        loading: of :class:`DataModule`.
    """

    def __init__(self, root: str | None, cache_dir: str | None = None, **loading) -> None:
        super().__init__(**loading)
        self.root = root
        self.cache_dir = cache_dir

    def source(self, split: str) -> CityscapesSource | CachedSource:
        source = CityscapesSource(split, root=self.root)
        return source if self.cache_dir is None else CachedSource(source, self.cache_dir)

    def examiner(self, split: str) -> CityscapesExaminer:
        return CityscapesExaminer(split, root=self.root)

    def splits(self) -> dict[str, tuple[str, ...]]:
        images = Path(self.root or "").expanduser() / "leftImg8bit"
        return {split: (split,) for split in SPLITS if (images / split).is_dir()}


class CocoPanopticData(DataModule):
    """A data set in COCO panoptic format; see :mod:`panoptic.data.coco.reader`.

    Args:
        root: the folder with the images, the PNGs and the JSON files.
        train: ``image_dir``, ``panoptic_json`` and ``panoptic_dir`` of the split, where they are not below the root, or
            not where they are looked for. The first two are enough without a root.
        val: the same.
        test: the same.
        cache_dir: a folder to keep decoded images and segments in; ``None`` keeps none.
        loading: of :class:`DataModule`.
    """

    def __init__(
        self,
        root: str | None,
        train: Mapping[str, str | None] | None = None,
        val: Mapping[str, str | None] | None = None,
        test: Mapping[str, str | None] | None = None,
        cache_dir: str | None = None,
        **loading,
    ) -> None:
        super().__init__(**loading)
        self.root = root
        self.cache_dir = cache_dir
        self.paths = {"train": train or {}, "val": val or {}, "test": test or {}}

    def source(self, split: str) -> CocoPanopticSource | CachedSource:
        source = CocoPanopticSource(split, root=self.root, **self._paths(split))
        return source if self.cache_dir is None else CachedSource(source, self.cache_dir)

    def examiner(self, split: str) -> CocoExaminer:
        return CocoExaminer(split, root=self.root, **self._paths(split))

    def splits(self) -> dict[str, tuple[str, ...]]:
        found: dict[tuple, list[str]] = {}
        for split in SPLITS:
            files: tuple = (split,)
            try:
                paths = self._paths(split)
                panoptic_json = find_json(split, self.root, paths.get("panoptic_json"))
                image_dir = find_image_dir(split, self.root, paths.get("image_dir"), panoptic_json)
                if panoptic_json is not None:
                    files = (panoptic_json, image_dir, paths.get("panoptic_dir"))
            except InputError:
                if not any(self.paths[split].values()) and not self._has_json(split):
                    continue  # not there, and nobody said it was; else its examiner says what is wrong
            found.setdefault(files, []).append(split)
        return {served[0]: tuple(served) for served in found.values()}

    def _has_json(self, split: str) -> bool:
        try:
            return find_json(split, self.root, self.paths[split].get("panoptic_json")) is not None
        except InputError:
            return False

    def _paths(self, split: str) -> Mapping[str, str | None]:
        """What is given of a split.

        Raises:
            InputError: if that and the root are not enough.
        """
        paths = self.paths[split]
        for key in ("panoptic_json", "image_dir"):
            if self.root is None and paths.get(key) is None:
                raise InputError(
                    f"data.{split}.{key}: expected a path, or data.root=FOLDER for the whole data set in COCO panoptic "
                    "format, got neither. data=synthetic needs no files"
                )
        return paths


def default_workers() -> int:
    """Two processes beside training on a CPU, which needs the processors itself; for a GPU all processors that are not
    another GPU's, up to 16."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not torch.cuda.is_available():
        return min(2, processors)
    return min(max(processors // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1, 1), 16)


def _one_thread(worker: int) -> None:
    """A worker is one of many: threads of its own would only take turns with the others'."""
    import cv2

    cv2.setNumThreads(0)
