"""``python -m panoptic.predict`` on a video."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.data.video import VideoReader, VideoWriter
from panoptic.inference import many, video
from panoptic.inference.predictor import Predictor
from tests.commands.small_runs import run


def test_predict_takes_a_video(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("av")
    with VideoWriter("clip.mp4", Fraction(5)) as writer:
        for _ in range(4):  # of one image, so that all segments keep their numbers
            writer.add(
                np.kron(np.random.default_rng(0).integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            )
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("predict", checkpoint, "input=clip.mp4", "output=out")
    content = json.loads(Path("out/panoptic.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"clip_{n:06d}.png" for n in range(4)]
    with VideoReader("out/clip_overlay.mp4") as clip:
        assert [frame.shape for frame in clip.frames()] == [(48, 72, 3)] * 4
    numbers = {category["id"]: c + 1 for c, category in enumerate(content["categories"]) if not category["isthing"]}
    for annotation in content["annotations"]:
        assert annotation["segments_info"]
        for info in annotation["segments_info"]:  # stuff has the same number in each frame, not the first that is free
            assert info["id"] == numbers.get(info["category_id"], info["id"])
    stored = np.array(Image.open("out/panoptic/clip_000002.png")).astype(int)
    ids = set(np.unique(stored[..., 0] + 256 * stored[..., 1] + 65536 * stored[..., 2]))
    assert ids - {0} == {info["id"] for info in content["annotations"][2]["segments_info"]}
    assert not Path("out/overlays").exists()
    Path("bad.mp4").write_text("no video")
    with pytest.raises(SystemExit, match="1"):
        run("predict", checkpoint, "input=bad.mp4", "output=none")
    assert "bad.mp4: expected a video, got a file that is none" in capsys.readouterr().err
    assert not Path("none").exists()


@pytest.mark.parametrize(("normalize", "brightest"), [("range", 60), ("percentile", 255)])
def test_frames_are_scaled_as_the_training_data_were(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalize: str, brightest: int
) -> None:
    pytest.importorskip("av")
    seen: list[np.ndarray] = []

    def predict_stream(predictor: Predictor, images: Iterable, batch_size: int | None) -> Iterator:
        frames = list(images)
        seen.extend(frame for _, frame in frames)
        return stream(predictor, frames, batch_size)

    stream = many.predict_stream
    monkeypatch.setattr(video, "predict_stream", predict_stream)
    with VideoWriter(tmp_path / "dark.mp4", Fraction(5)) as writer:
        writer.add(np.repeat(np.repeat(np.linspace(0, 60, 64).astype(np.uint8)[None, :, None], 48, 0), 3, 2))
    settings = ("data=coco_panoptic", "data.root=none", f"data.normalize={normalize}")
    given = (f"checkpoint={trained}/checkpoints/best.ckpt", f"input={tmp_path / 'dark.mp4'}", "visualize=false")
    run("predict", *given, f"output={tmp_path / 'out'}", *settings)
    assert [frame.shape for frame in seen] == [(48, 64, 3)]
    assert abs(int(seen[0].max()) - brightest) <= 6
