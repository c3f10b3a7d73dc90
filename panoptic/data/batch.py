"""Batches, and the two map-style data sets that loaders read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from panoptic.data.sample import Sample, Source, Unreadable
from panoptic.data.sampler import SampleKey
from panoptic.errors import InputError
from panoptic.segments import Segments


@dataclass(frozen=True)
class Batch:
    """Images with their segments, padded at the right and bottom to the largest height and width.

    Attributes:
        images: Images in 0..255, red, green and blue or other bands, 0 where padded; channels-last in memory.
        segments: Ground truth, void where padded; ``None`` where it is withheld.
        sizes: Height and width of each image before padding.
        names: Names of the images.
        extents: The same as ``sizes`` beside the images, on their device, so that to use it no copy makes the host wait
            for the device.
    """

    images: UInt8[Tensor, "B bands H W"]
    segments: Segments | None
    sizes: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    extents: Int64[Tensor, "B 2"] = field(default=None)  # type: ignore[assignment]  # set from the sizes

    def __post_init__(self) -> None:
        if self.extents is None:
            object.__setattr__(self, "extents", torch.tensor(self.sizes, device=self.images.device))

    @property
    def is_padded(self) -> bool:
        """Whether any image is smaller than the batch."""
        return any(size != tuple(self.images.shape[-2:]) for size in self.sizes)

    def to(self, device: torch.device | str, **kwargs) -> Batch:
        """Move the tensors to a device.

        Copies to an accelerator are asynchronous if the tensors are in pinned memory.

        Args:
            device: Target device.
            kwargs: Further arguments of :meth:`torch.Tensor.to`.
        """
        kwargs = {"non_blocking": torch.device(device).type != "cpu"} | kwargs
        segments = None if self.segments is None else self.segments.to(device, **kwargs)
        images, extents = (tensor.to(device, **kwargs) for tensor in (self.images, self.extents))
        return replace(self, images=images, segments=segments, extents=extents)

    def pin_memory(self, device: torch.device | str | None = None) -> Batch:
        """Copy the tensors to pinned (page-locked) memory."""
        segments = None if self.segments is None else self.segments.pin_memory()
        images, extents = self.images.pin_memory(), self.extents.pin_memory()
        return replace(self, images=images, segments=segments, extents=extents)

    def share_memory(self) -> Batch:
        """Move the tensors to shared memory, and return the batch."""
        segments = None if self.segments is None else self.segments.share_memory()
        images, extents = self.images.share_memory_(), self.extents.share_memory_()
        return replace(self, images=images, segments=segments, extents=extents)

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


def collate(samples: Sequence[Sample], least: tuple[int, int] = (1, 1)) -> Batch:
    """Stack samples into a batch, which has a ground truth only if all samples have one.

    Args:
        samples: Samples, padded at the right and bottom to a common size.
        least: Least height and width of the batch.
    """
    sizes = tuple(sample.image.shape[:2] for sample in samples)
    height, width = (max(least[axis], *(size[axis] for size in sizes)) for axis in (0, 1))
    images = np.zeros((len(samples), height, width, samples[0].image.shape[2]), dtype=np.uint8)
    for image, sample in zip(images, samples, strict=True):
        image[: sample.image.shape[0], : sample.image.shape[1]] = sample.image
    truths = [sample.segments for sample in samples if sample.segments is not None]
    segments = Segments.stack(truths).padded((height, width)) if len(truths) == len(samples) else None
    return Batch(torch.from_numpy(images).permute(0, 3, 1, 2), segments, sizes, tuple(s.name for s in samples))


def attempt(read: Callable[[], Sample], index: int, *, skip: bool) -> Sample | Unreadable:
    """Read a sample.

    Args:
        read: Reads it.
        index: Index of the image.
        skip: Whether to return what cannot be read rather than to raise.

    Raises:
        InputError: If a file cannot be read, and it is not to be skipped.
    """
    try:
        return read()
    except InputError as error:
        failure = error
    except OSError as error:
        if error.errno is None:
            raise
        failure = InputError(f"{error.filename or 'a file'}: expected to read it, got: {error.strerror}")
    if skip:
        return Unreadable(index, str(failure))
    raise failure


MOST_REPLACED = 100
"""Largest number of images in a row that cannot be read and are replaced."""


class TrainingDataset(Dataset[Sample]):
    """Augmented training samples, indexed by :class:`~panoptic.data.sampler.SampleKey`.

    In place of an image that cannot be read, it may give the next that can: a pure function of the key, too.

    Args:
        source: Training split.
        crop: Height and width of every sample; less where the scaled image is smaller.
        scale: Smallest and largest scale factor at full strength.
        padding: Largest share of the crop that the scaled image may leave empty; see
            :func:`~panoptic.data.augment.augment`.
        appearance: Probability and magnitude of changes of color, blur, noise and weather at full strength, in 0..1.
        any_orientation: Whether images have no canonical orientation.
        skip: Whether to replace images that cannot be read rather than to raise.
    """

    def __init__(
        self,
        source: Source,
        crop: tuple[int, int],
        scale: tuple[float, float],
        padding: float = 1.0,
        appearance: float = 1.0,
        any_orientation: bool = False,
        skip: bool = False,
    ) -> None:
        self.source = source
        self.crop = crop
        self.scale = scale
        self.padding = padding
        self.appearance = appearance
        self.any_orientation = any_orientation
        self.skip = skip

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: SampleKey) -> Sample:
        from panoptic.data.augment import augment  # prediction uses this module, and not albumentations

        index, sample = self._readable(key)
        if sample.segments is None:
            raise InputError(f"{sample.name}: expected its truth, which training needs, and there is none")
        seed = int(np.random.SeedSequence([key.seed, key.visit, index]).generate_state(1)[0])
        image, segments = augment(
            sample.image,
            sample.segments,
            crop=self.crop,
            scale=self.scale,
            padding=self.padding,
            appearance=self.appearance,
            any_orientation=self.any_orientation,
            strength=key.strength,
            seed=seed,
        )
        return Sample(image, segments, sample.name, sample.replaces)

    def _readable(self, key: SampleKey) -> tuple[int, Sample]:
        """Return the image of a key, or the next that can be read, with its index."""
        size = len(self.source)
        replaced: list[Unreadable] = []
        for offset in range(min(size, MOST_REPLACED)):
            index = (key.index + offset) % size
            found = attempt(partial(self.source.read, index, key.strength), index, skip=self.skip)
            if isinstance(found, Sample):
                return index, replace(found, replaces=tuple(replaced))
            replaced.append(found)
        raise InputError(
            f"{replaced[0].reason}; expected an image in its place, got {len(replaced)} in a row that cannot be read"
        )


class EvaluationDataset(Dataset[Sample | Unreadable]):
    """Unaugmented samples, indexed by position.

    Args:
        source: Split to read.
        skip: Whether to return what cannot be read rather than to raise.
    """

    def __init__(self, source: Source, skip: bool = False) -> None:
        self.source = source
        self.skip = skip

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample | Unreadable:
        return attempt(partial(self.source.read, index), index, skip=self.skip)
