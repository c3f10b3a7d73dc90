"""Prediction of many images, with bounded memory: files are read and results written while the network computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8

from panoptic.data.sources import Source, read_source
from panoptic.errors import InputError
from panoptic.inference.predictor import ImagePrediction, Predictor
from panoptic.utils.threads import in_threads

T = TypeVar("T")

LARGEST_BATCH = 8
"""Largest number of images predicted together by default."""

BATCH_PIXELS = 1 << 22
"""Largest number of pixels predicted together by default."""


class ImageFile(NamedTuple):
    """Image file to be predicted.

    Attributes:
        path: Path of the file, or its URL if it is elsewhere.
        name: Unique name of its outputs.
        file_name: Name of the file in results: without folders if that is unique.
    """

    path: Source
    name: str
    file_name: str


class Predicted(NamedTuple):
    """Image file with its contents and prediction.

    Attributes:
        file: File.
        image: Image of any bands.
        prediction: Prediction.
    """

    file: ImageFile
    image: UInt8[np.ndarray, "H W bands"]
    prediction: ImagePrediction


class Unread(NamedTuple):
    """Image file that cannot be read.

    Attributes:
        file: File.
        error: Why not.
    """

    file: ImageFile
    error: InputError


def predict_files(
    predictor: Predictor,
    files: Iterable[ImageFile],
    write: Callable[[Predicted], T],
    batch_size: int | None = None,
) -> Generator[T | Unread, None, None]:
    """Predict image files, and write the results in threads.

    Args:
        predictor: Predictor, whose ``reading`` says how files are read.
        files: Image files.
        write: What to do with each prediction; it runs in several threads.
        batch_size: Largest number of consecutive images of equal size that are predicted together. By default one on a
            CPU, where more do not make it faster; elsewhere :data:`LARGEST_BATCH`, of at most :data:`BATCH_PIXELS`.

    Yields:
        Results of ``write``, or :class:`Unread` for files that cannot be read, in the order of the files.
    """

    def read(file: ImageFile) -> UInt8[np.ndarray, "H W bands"] | Unread:
        try:
            return read_source(reading, file.path)
        except InputError as error:
            return Unread(file, error)

    def finish(item: Predicted | Unread) -> T | Unread:
        return item if isinstance(item, Unread) else write(item)

    reading = predictor.reading
    one_by_one = predictor.tiling is not None or predictor.device.type == "cpu"
    ahead = 2 * (batch_size or (1 if one_by_one else LARGEST_BATCH))
    with (
        closing(in_threads(lambda file: (file, read(file)), files, ahead)) as images,
        closing(predict_stream(predictor, images, batch_size)) as predictions,
        closing(in_threads(finish, predictions, ahead)) as results,
    ):
        yield from results


def predict_stream(
    predictor: Predictor, images: Iterable[tuple[ImageFile, np.ndarray | Unread]], batch_size: int | None = None
) -> Generator[Predicted | Unread, None, None]:
    """Predict images, those of equal size that follow each other together.

    Args:
        predictor: Predictor.
        images: Files with their images, or why they cannot be read, which is passed on.
        batch_size: Largest number predicted together; see :func:`predict_files`.
    """
    batch: list[tuple[ImageFile, np.ndarray]] = []
    for file, image in images:
        if isinstance(image, Unread):
            yield from _predict_batch(predictor, batch)
            batch = []
            yield image
            continue
        if batch and (
            image.shape != batch[0][1].shape or len(batch) >= (batch_size or _default_batch_size(predictor, image))
        ):
            yield from _predict_batch(predictor, batch)
            batch = []
        batch.append((file, image))
    yield from _predict_batch(predictor, batch)


def _predict_batch(predictor: Predictor, batch: Sequence[tuple[ImageFile, np.ndarray]]) -> Iterator[Predicted]:
    if not batch:
        return
    predictions = predictor.predict_images([image for _, image in batch])
    for (file, image), prediction in zip(batch, predictions, strict=True):
        yield Predicted(file, image, prediction)


def _default_batch_size(predictor: Predictor, image: np.ndarray) -> int:
    if predictor.device.type == "cpu":
        return 1
    return max(1, min(LARGEST_BATCH, BATCH_PIXELS // (image.shape[0] * image.shape[1])))
