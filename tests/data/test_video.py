"""Video files: frames out and in, and bad ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from panoptic.data.video import VideoReader, VideoWriter, is_video
from panoptic.errors import InputError

pytest.importorskip("av")


def gray(level: int, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.full((*size, 3), level, dtype=np.uint8)


def test_frames_come_back_in_order(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", Fraction(10)) as writer:
        for level in (20, 120, 220):
            writer.add(gray(level, (31, 47)))
        assert not (tmp_path / "a.mp4").exists()  # it appears when it is complete
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    with VideoReader(tmp_path / "a.mp4") as video:
        assert video.rate == 10
        assert video.expected == 3
        frames = list(video.frames())
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * 3  # sides made even
    assert [round(float(frame.mean()), -1) for frame in frames] == [20, 120, 220]


def test_what_was_written_is_kept_if_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "a.mp4", Fraction(10)) as writer:
            writer.add(gray(9))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with VideoReader(tmp_path / "a.mp4") as video:
        assert len(list(video.frames())) == 1
    with VideoWriter(tmp_path / "b.mp4", Fraction(10)):
        pass
    assert not (tmp_path / "b.mp4").exists()  # no frame, no file


def test_bad_files_are_named(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(InputError, match=r"text.mp4: expected a video, got a file that is none"):
        VideoReader(text)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"sound.mp4: expected a video, got a file without a video stream"):
        VideoReader(sound)
    with VideoWriter(tmp_path / "whole.mp4", Fraction(10)) as writer:
        for _ in range(30):
            writer.add(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes((tmp_path / "whole.mp4").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut.mkv: expected a video"), VideoReader(cut) as video:
        list(video.frames())


def test_a_video_that_was_cut_off_gives_its_frames_and_an_error(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    random = np.random.default_rng(0)
    with av.open(str(tmp_path / "whole.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            pixels = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    found: list[np.ndarray] = []

    def read() -> None:
        with VideoReader(tmp_path / "cut.mp4") as video:
            for frame in video.frames():
                found.append(frame)

    with pytest.raises(InputError, match=r"cut\.mp4: expected "):
        read()
    assert 0 < len(found) < 20


def test_names_tell_videos(tmp_path: Path) -> None:
    (tmp_path / "a.MP4").write_bytes(b"")
    assert is_video(tmp_path / "a.MP4")
    assert not is_video(tmp_path / "b.mp4")
    (tmp_path / "a.png").write_bytes(b"")
    assert not is_video(tmp_path / "a.png")
