"""Video files: frames in, frames out, with PyAV (the extra ``video``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from panoptic.errors import InputError

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg")
"""Suffixes of video files, in lower case; case is ignored."""

COMPLETE = 0.95
"""Share of the frames that a file states, which is often inexact, below which it is called incomplete."""

CODECS = ("libx264", "mpeg4")
"""Codecs to write with, the first that is there."""


def is_video(path: str | os.PathLike) -> bool:
    """Return whether a path is named like a video and is a file."""
    return os.fspath(path).lower().endswith(SUFFIXES) and os.path.isfile(os.path.expanduser(path))


class VideoReader:
    """Reads the frames of a video file.

    Args:
        path: Path of the file.

    Attributes:
        rate: Frames per second.
        expected: Number of frames as the file states it, which may be wrong; 0 if it states none.

    Raises:
        InputError: If PyAV is not installed, or the file is no video.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path).expanduser()
        self._av = _import_av()
        try:
            self._container = self._av.open(str(self.path))
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{self.path}: expected a video, got a file that is none: {_reason(error)}") from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"{self.path}: expected a video, got a file without a video stream")
        stream: Any = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or Fraction(25)
        self.rate = Fraction(rate.numerator, rate.denominator)  # since PyAV 19, it is of a type of its own
        self.expected: int = stream.frames

    def frames(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Yield the frames as RGB images, turned as the file says.

        Raises:
            InputError: If there is none, one cannot be decoded, or many are missing; frames before were yielded.
        """
        count = 0
        try:
            for frame in self._container.decode(video=0):
                turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counterclockwise
                yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
                count += 1
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{self.path}: expected a video that can be decoded, got one that cannot at frame {count}: "
                f"{_reason(error)}"
            ) from error
        if count == 0:
            raise InputError(f"{self.path}: expected a video with frames, got one without any")
        if count < COMPLETE * self.expected:
            raise InputError(
                f"{self.path}: expected {self.expected} frames, as the file states, got {count} that can be decoded"
            )

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter:
    """Writes frames of equal size to an MP4 file, which appears when it is complete.

    Use it as a context manager. If the block fails, the frames that came are kept.

    Args:
        path: Path of the file.
        rate: Frames per second.

    Raises:
        InputError: If PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike, rate: Fraction) -> None:
        self.path = Path(path)
        self.rate = rate
        self._av = _import_av()
        self._part = self.path.with_name(f".{self.path.stem}.{os.getpid()}.tmp.mp4")
        self._container: Any = None
        self._stream: Any = None

    def add(self, image: UInt8[np.ndarray, "H W 3"]) -> None:
        """Append a frame; a last row or column is repeated where a side is odd, since codecs need even ones.

        Raises:
            InputError: If it cannot be written.
        """
        image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
        try:
            if self._container is None:
                self._open(image.shape[0], image.shape[1])
            frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
            self._container.mux(self._stream.encode(frame))
        except (self._av.FFmpegError, OSError) as error:
            raise InputError(f"{self.path}: expected to write it, got: {_reason(error)}") from error

    def _open(self, height: int, width: int) -> None:
        self._container = self._av.open(str(self._part), "w", format="mp4")
        codec = next(name for name in CODECS if name in self._av.codecs_available)
        self._stream = self._container.add_stream(codec, rate=self.rate)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"

    def close(self) -> None:
        """Complete the file.

        Raises:
            InputError: If it cannot be written.
        """
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            os.replace(self._part, self.path)
        except (self._av.FFmpegError, OSError) as error:
            raise InputError(f"{self.path}: expected to write it, got: {_reason(error)}") from error
        finally:
            self._container = None
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except InputError:
            if kind is None:
                raise


def _import_av() -> Any:
    try:
        import av
    except ImportError:
        raise InputError(
            "PyAV: expected the package av to read videos, which is not installed: "
            "pip install 'panoptic-adaptive-fusion[video]'"
        ) from None
    av.logging.set_level(None)
    return av


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
