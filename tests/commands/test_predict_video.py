"""``python -m panoptic.predict`` on a video."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.data.video import VideoReader, VideoWriter
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
    with VideoReader("out/clip_overlay.mp4") as video:
        assert [frame.shape for frame in video.frames()] == [(48, 72, 3)] * 4
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
