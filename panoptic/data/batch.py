"""Batches, and the two map-style data sets that loaders read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from panoptic.data.augment import augment
from panoptic.data.sample import Sample, Source
from panoptic.data.sampler import SampleKey
from panoptic.errors import InputError
from panoptic.segments import Segments


@dataclass(frozen=True)
class Batch:
    """Images with their segments, padded at the right and bottom to the largest height and width.

    Attributes:
        images: RGB images in 0..255, black where padded; channels-last in memory.
        segments: Ground truth, void where padded; ``None`` where it is withheld.
        sizes: Height and width of each image before padding.
        names: Names of the images.
    """

    images: UInt8[Tensor, "B 3 H W"]
    segments: Segments | None
    sizes: tuple[tuple[int, int], ...]
    names: tuple[str, ...]

    def to(self, device: torch.device | str, **kwargs) -> Batch:
        """Move the tensors to a device.

        Copies to an accelerator are asynchronous if the tensors are in pinned memory.

        Args:
            device: Target device.
            kwargs: Further arguments of :meth:`torch.Tensor.to`.
        """
        kwargs = {"non_blocking": torch.device(device).type != "cpu"} | kwargs
        segments = None if self.segments is None else self.segments.to(device, **kwargs)
        return replace(self, images=self.images.to(device, **kwargs), segments=segments)

    def pin_memory(self, device: torch.device | str | None = None) -> Batch:
        """Copy the tensors to pinned (page-locked) memory."""
        segments = None if self.segments is None else self.segments.pin_memory()
        return replace(self, images=self.images.pin_memory(), segments=segments)

    def split(self) -> list[Batch]:
        """Split into batches of one image each, without padding."""
        truths = [None] * len(self.names) if self.segments is None else self.segments.unstack(self.sizes)
        return [
            Batch(
                self.images[i : i + 1, :, :height, :width],
                None if truth is None else Segments.stack([truth]),
                (self.sizes[i],),
                (self.names[i],),
            )
            for i, (truth, (height, width)) in enumerate(zip(truths, self.sizes, strict=True))
        ]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch, which has a ground truth only if all samples have one."""
    sizes = tuple(sample.image.shape[:2] for sample in samples)
    height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
    images = np.zeros((len(samples), height, width, 3), dtype=np.uint8)
    for image, sample in zip(images, samples, strict=True):
        image[: sample.image.shape[0], : sample.image.shape[1]] = sample.image
    truths = [sample.segments for sample in samples if sample.segments is not None]
    segments = Segments.stack(truths) if len(truths) == len(samples) else None
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), segments, sizes, tuple(s.name for s in samples))


class TrainingDataset(Dataset[Sample]):
    """Augmented training samples, indexed by :class:`~panoptic.data.sampler.SampleKey`.

    Args:
        source: Training split.
        crop: Height and width of every sample.
        scale: Smallest and largest scale factor at full strength.
        appearance: Probability and magnitude of changes of color, blur, noise and weather at full strength, in 0..1.
        any_orientation: Whether images have no canonical orientation.
    """

    def __init__(
        self,
        source: Source,
        crop: tuple[int, int],
        scale: tuple[float, float],
        appearance: float = 1.0,
        any_orientation: bool = False,
    ) -> None:
        self.source = source
        self.crop = crop
        self.scale = scale
        self.appearance = appearance
        self.any_orientation = any_orientation

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: SampleKey) -> Sample:
        sample = self.source.read(key.index, key.strength)
        if sample.segments is None:
            raise InputError(f"{sample.name}: expected its truth, which training needs, and there is none")
        seed = int(np.random.SeedSequence([key.seed, key.visit, key.index]).generate_state(1)[0])
        image, segments = augment(
            sample.image,
            sample.segments,
            crop=self.crop,
            scale=self.scale,
            appearance=self.appearance,
            any_orientation=self.any_orientation,
            strength=key.strength,
            seed=seed,
        )
        return Sample(image, segments, sample.name)


class EvaluationDataset(Dataset[Sample]):
    """Unaugmented samples, indexed by position.

    Args:
        source: Split to read.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        return self.source.read(index)
