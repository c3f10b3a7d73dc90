"""From samples to a batch, and the two data sets that a loader reads from."""

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
    """Images with their segments, padded at the right and bottom to the size of the largest.

    Attributes:
        images: plain RGB, black where padded; channels-last in memory.
        segments: the truth, void where padded; ``None`` where it is withheld.
        sizes: height and width of each image before padding.
        names: of the images.
    """

    images: UInt8[Tensor, "B 3 H W"]
    segments: Segments | None
    sizes: tuple[tuple[int, int], ...]
    names: tuple[str, ...]

    def to(self, device: torch.device | str, **kwargs) -> Batch:
        """Moves the tensors to a device; to an accelerator while the host goes on, where they are in pinned memory."""
        kwargs = {"non_blocking": torch.device(device).type != "cpu"} | kwargs
        segments = None if self.segments is None else self.segments.to(device, **kwargs)
        return replace(self, images=self.images.to(device, **kwargs), segments=segments)

    def pin_memory(self, device: torch.device | str | None = None) -> Batch:
        """Copies the tensors to page-locked memory."""
        segments = None if self.segments is None else self.segments.pin_memory()
        return replace(self, images=self.images.pin_memory(), segments=segments)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stacks samples; the truth is there only if all of them have one."""
    sizes = tuple(sample.image.shape[:2] for sample in samples)
    height, width = max(size[0] for size in sizes), max(size[1] for size in sizes)
    images = np.zeros((len(samples), height, width, 3), dtype=np.uint8)
    for image, sample in zip(images, samples, strict=True):
        image[: sample.image.shape[0], : sample.image.shape[1]] = sample.image
    truths = [sample.segments for sample in samples]
    segments = None if any(truth is None for truth in truths) else Segments.stack(truths)
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), segments, sizes, tuple(s.name for s in samples))


class TrainingDataset(Dataset[Sample]):
    """Augmented samples by their keys.

    Args:
        source: the training split.
        crop: height and width of every sample.
        scale: range of scales at full strength.
        appearance: how much color, blur, noise and weather change at full strength, 0..1.
        any_orientation: whether images have no up and down.
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
    """Samples as they are, by their index.

    Args:
        source: any split.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        return self.source.read(index)
