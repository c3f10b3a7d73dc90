"""Lightning data modules of the data sets: where their splits are, and what reads and checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panoptic.data.bands import Reading
from panoptic.data.checks.cityscapes import CityscapesExaminer
from panoptic.data.checks.coco import CocoExaminer
from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.coco.layout import find_image_dir, find_json
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.coco.statistics import read_statistics
from panoptic.data.datamodule import DataModule
from panoptic.data.images import find_images
from panoptic.data.sample import SPLITS
from panoptic.data.sample_cache import CachedScenes, CachedSource
from panoptic.data.statistics import DataStatistics
from panoptic.errors import InputError, expect_at_least
from panoptic.scenes.source import GENERATORS, SyntheticSource


class SyntheticData(DataModule):
    """Synthetic street scenes, rendered on the fly; see :mod:`panoptic.scenes.source`.

    Args:
        scenes_seed: Seed of the scenes, separate from the seed of training so that runs with different seeds share one
            data set.
        height: Height of a scene in pixels, at least 32.
        width: Width of a scene in pixels, at least 32.
        train_size: Number of training scenes.
        val_size: Number of validation scenes.
        test_size: Number of test scenes.
        cache: Whether to keep rendered scenes in memory between epochs, at 4 bytes per pixel.
        cache_dir: Folder to keep rendered scenes in instead, also between runs; ``None`` disables it.
        generator: Version of the scene generator; see :mod:`panoptic.scenes.plan`.
        loading: Arguments of :class:`DataModule`.
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
        generator: int = 1,
        **loading,
    ) -> None:
        super().__init__(**loading)
        expect_at_least(0, scenes_seed=scenes_seed)
        expect_at_least(32, height=height, width=width)
        expect_at_least(1, train_size=train_size, val_size=val_size, test_size=test_size)
        if generator not in GENERATORS:
            raise InputError(f"data.generator: expected one of {', '.join(map(str, GENERATORS))}, got {generator}")
        self.scenes_seed = scenes_seed
        self.generator = generator
        self.size = (height, width)
        self.cache = cache
        self.cache_dir = cache_dir
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}

    def source(self, split: str) -> SyntheticSource | CachedScenes:
        """Open a split: ``train``, ``val`` or ``test``."""
        height, width = self.size
        in_memory = self.cache_dir is None and self.cache
        source = SyntheticSource(
            split,
            seed=self.scenes_seed,
            size=self.sizes[split],
            height=height,
            width=width,
            cache=in_memory,
            generator=self.generator,
        )
        return source if self.cache_dir is None else CachedScenes(source, self.cache_dir)


class CityscapesData(DataModule):
    """Cityscapes in the layout of its archives; see :mod:`panoptic.data.cityscapes`.

    Args:
        root: Folder that contains ``leftImg8bit`` and ``gtFine``.
        cache_dir: Folder to cache decoded images and segments in; ``None`` disables the cache.
        loading: Arguments of :class:`DataModule`.
    """

    def __init__(self, root: str | None, cache_dir: str | None = None, **loading) -> None:
        super().__init__(**loading)
        self.root = root
        self.cache_dir = cache_dir

    def source(self, split: str) -> CityscapesSource | CachedSource:
        """Open a split: ``train``, ``val`` or ``test``."""
        source = CityscapesSource(split, root=self.root)
        return source if self.cache_dir is None else CachedSource(source, self.cache_dir)

    def examiner(self, split: str) -> CityscapesExaminer:
        """Open a split to check it for faults."""
        return CityscapesExaminer(split, root=self.root)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the splits whose image folder exists, each with itself only."""
        images = Path(self.root or "").expanduser() / "leftImg8bit"
        return {split: (split,) for split in SPLITS if (images / split).is_dir()}


class CocoPanopticData(DataModule):
    """A data set in COCO panoptic format; see :mod:`panoptic.data.coco.reader`.

    Args:
        root: Folder with the images, the PNG files and the JSON files.
        train: Paths ``image_dir``, ``panoptic_json`` and ``panoptic_dir`` of the training split, where they differ from
            the default layout below the root. Without a root, the first two are required.
        val: Paths of the validation split.
        test: Paths of the test split.
        cache_dir: Folder to cache decoded images and segments in; ``None`` disables the cache.
        channels: Numbers of the bands that become red, green and blue, from 1, or of one band; by default the first
            three, or the only one. See :class:`~panoptic.data.bands.Reading`.
        normalize: How numbers become 8 bits: ``range`` by the whole range of their type, ``percentile`` by percentiles
            of each band of each image; see there. ``None`` is ``range``, but for what leaves it to the data.
        unannotated: What to do with images without an annotation: ``error`` or ``skip``.
        loading: Arguments of :class:`DataModule`.
    """

    def __init__(
        self,
        root: str | None,
        train: Mapping[str, str | None] | None = None,
        val: Mapping[str, str | None] | None = None,
        test: Mapping[str, str | None] | None = None,
        cache_dir: str | None = None,
        channels: Sequence[int] | None = None,
        normalize: str | None = "range",
        unannotated: str = "error",
        **loading,
    ) -> None:
        super().__init__(**loading)
        self.root = root
        self.cache_dir = cache_dir
        self.reading = Reading.of(channels, normalize)
        if unannotated not in ("error", "skip"):
            raise InputError(f"data.unannotated: expected error or skip, got {unannotated!r}")
        self.unannotated = unannotated
        self.paths = {"train": train or {}, "val": val or {}, "test": test or {}}

    def source(self, split: str) -> CocoPanopticSource | CachedSource:
        """Open a split: ``train``, ``val`` or ``test``."""
        source = CocoPanopticSource(split, root=self.root, **self._reading(), **self._paths(split))
        return source if self.cache_dir is None else CachedSource(source, self.cache_dir)

    def statistics(self) -> DataStatistics:
        """Return the statistics of the training split, from its JSON file and some of its images."""
        paths = self._paths("train")
        panoptic_json = find_json("train", self.root, paths.get("panoptic_json"))
        assert panoptic_json is not None  # only test has none
        image_dir = find_image_dir("train", self.root, paths.get("image_dir"), panoptic_json)
        return read_statistics(panoptic_json, image_dir, self.reading)

    def examiner(self, split: str) -> CocoExaminer:
        """Open a split to check it for faults."""
        return CocoExaminer(split, root=self.root, **self._reading(), **self._paths(split))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the existing splits, each with all splits that share its files, itself included.

        Splits that are given explicitly are included even if their files are missing, so that the examiner reports it.
        """
        splits_of: dict[tuple, list[str]] = {}
        for split in SPLITS:
            files: tuple = (split,)
            try:
                paths = self._paths(split)
                panoptic_json = find_json(split, self.root, paths.get("panoptic_json"))
                image_dir = find_image_dir(split, self.root, paths.get("image_dir"), panoptic_json)
                if panoptic_json is None and image_dir == Path(self.root or "").expanduser() / "images":
                    find_images(image_dir)  # may hold folders of the other splits only
                if panoptic_json is not None:
                    files = (panoptic_json, image_dir, paths.get("panoptic_dir"))
            except InputError:
                if not any(self.paths[split].values()) and not self._has_json(split):
                    continue  # neither exists nor was given; otherwise the examiner reports the error
            splits_of.setdefault(files, []).append(split)
        return {splits[0]: tuple(splits) for splits in splits_of.values()}

    def _reading(self) -> dict[str, Any]:
        return {"reading": self.reading, "skip_unannotated": self.unannotated == "skip"}

    def _has_json(self, split: str) -> bool:
        try:
            return find_json(split, self.root, self.paths[split].get("panoptic_json")) is not None
        except InputError:
            return False

    def _paths(self, split: str) -> Mapping[str, Any]:
        """Return the given paths of a split, as keyword arguments.

        Raises:
            InputError: If there is no root and a required path is missing.
        """
        paths = self.paths[split]
        for key in ("panoptic_json", "image_dir"):
            if self.root is None and paths.get(key) is None:
                raise InputError(
                    f"data.{split}.{key}: expected a path, or data.root=FOLDER for the whole data set in COCO panoptic "
                    "format, got neither. data=synthetic needs no files"
                )
        return paths
