"""Prediction of videos, frame by frame, with identities that are followed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from panoptic.data.video import VideoReader, VideoWriter
from panoptic.inference.following import Follower
from panoptic.inference.many import ImageFile, Predicted, Unread, predict_stream
from panoptic.inference.predictor import Predictor
from panoptic.inference.result_folder import Record, ResultFolder
from panoptic.utils.threads import in_threads
from panoptic.visualization.overlay import overlay


class Followed(NamedTuple):
    """Predicted frame, with the number of each segment."""

    predicted: Predicted
    numbers: Int64[np.ndarray, " N"]


def predict_video(
    predictor: Predictor, video: VideoReader, folder: ResultFolder, overlays: Path | None, batch_size: int | None = None
) -> Generator[tuple[ImageFile, Record], None, None]:
    """Predict the frames of a video, and write them.

    Args:
        predictor: Predictor.
        video: Video.
        folder: Where to write the segments of each frame.
        overlays: Video file to write with overlays; ``None`` writes none.
        batch_size: Largest number of frames that are predicted together; see
            :func:`panoptic.inference.many.predict_files`.

    Yields:
        Frames that are done, as files named after the video and their number, with what was noted of them.

    Raises:
        InputError: If a frame cannot be decoded, or a file cannot be written.
    """
    stem = video.path.stem
    follower = Follower(predictor.labels)
    frames = (
        (ImageFile(video.path, f"{stem}_{number:06d}", f"{stem}_{number:06d}.png"), predictor.reading.scaled(frame))
        for number, frame in enumerate(video.frames())
    )

    def followed() -> Generator[Followed, None, None]:
        with closing(predict_stream(predictor, frames, batch_size)) as predictions:
            for predicted in predictions:
                assert not isinstance(predicted, Unread)  # frames are read by then
                yield Followed(predicted, follower.follow(predicted.prediction.segments))

    def write(item: Followed) -> tuple[ImageFile, Record]:
        (file, image, prediction), numbers = item
        if writer is not None:
            writer.add(overlay(image, prediction.segments, predictor.labels, variations=numbers))
        return file, folder.writer(item.predicted, numbers)

    # Frames are written in order, by one thread.
    with (
        nullcontext(None) if overlays is None else VideoWriter(overlays, video.rate) as writer,
        closing(in_threads(write, followed(), ahead=4, threads=1)) as results,
    ):
        for file, record in results:
            folder.note(record)
            yield file, record
