"""``python -m panoptic.predict`` on many images: stopped and given again, batches, and what changed since."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.inference.predictor import Predictor
from tests.commands.small_runs import run, some_photos


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "progress.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Counting:
    """Counts the images that predictors predict, and can be stopped after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        self.stop_after: int | None = None
        original = Predictor.predict_images

        def predict_images(predictor: Predictor, images: list[np.ndarray]) -> object:
            if self.stop_after is not None and sum(self.batches) >= self.stop_after:
                raise KeyboardInterrupt
            self.batches.append(len(images))
            return original(predictor, images)

        monkeypatch.setattr(Predictor, "predict_images", predict_images)

    def taken(self) -> list[int]:
        batches, self.batches = self.batches, []
        return batches


def test_predict_goes_on_where_it_was_stopped(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 8)
    counting = Counting(monkeypatch)
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("predict", checkpoint, "input=photos", "output=whole")
    assert counting.taken() == [1] * 8
    counting.stop_after = 5
    with pytest.raises(SystemExit, match="130"):
        run("predict", checkpoint, "input=photos", "output=out")
    counting.stop_after = None
    before = counting.taken()
    done = json.loads(Path("out/panoptic.json").read_text())["images"]  # what was done until then is valid
    assert [image["file_name"] for image in done] == [f"{n}.png" for n in range(len(done))]
    with open("out/progress.jsonl", "a") as file:
        file.write('{"name": "7", "sour')  # as if it was killed while it wrote
    capsys.readouterr()
    run("predict", checkpoint, "input=photos", "output=out")
    assert len(before) == 5
    assert counting.taken() == [1] * (8 - len(done))
    if done:
        assert f"predicted before, with the same settings: {len(done)} of 8 images" in capsys.readouterr().out
    assert contents(Path("out")) == contents(Path("whole"))
    run("predict", checkpoint, "input=photos", "output=out")  # a line after the one that was cut off is read
    assert counting.taken() == []
    assert contents(Path("out")) == contents(Path("whole"))


def test_two_do_not_predict_into_one_folder(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 1)
    monkeypatch.setattr("panoptic.training.run_lock._locked", lambda file: False)  # as if another process held it
    with pytest.raises(SystemExit, match="1"):
        run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out")
    told = capsys.readouterr().err
    assert "out: expected a folder in which nobody predicts, got one in which another process does" in told
    assert not Path("out/panoptic.json").exists()


def test_predict_repeats_what_has_changed_alone(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some_photos(tmp_path / "photos", 4)
    counting = Counting(monkeypatch)
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out")
    run("predict", *arguments, "visualize=false")
    assert counting.taken() == [1] * 4
    run("predict", *arguments)  # overlays are missing
    assert counting.taken() == [1] * 4
    Path("out/overlays/2.png").unlink()
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save("photos/0.png")
    run("predict", *arguments)
    assert counting.taken() == [1, 1]
    (first, *others) = json.loads(Path("out/panoptic.json").read_text())["images"]
    assert (first["height"], first["width"]) == (32, 48)
    assert len(others) == 3
    run("predict", *arguments, "codec.peak_threshold=0.01")  # other settings
    assert counting.taken() == [1] * 4
    run("predict", *arguments, "codec.peak_threshold=0.01", "tile=64")
    assert counting.taken() == [1] * 4


def test_images_of_equal_size_are_predicted_together(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_photos(tmp_path / "photos", 5)
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save("photos/3.png")
    (tmp_path / "photos" / "5.png").write_text("no picture")
    counting = Counting(monkeypatch)
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos")
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments, "output=together", "batch_size=2")
    assert counting.taken() == [2, 1, 1, 1]
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments, "output=alone")
    assert counting.taken() == [1] * 5
    for name, expected in contents(Path("alone/panoptic")).items():
        assert Path("together/panoptic", name).read_bytes() == expected


def test_what_cannot_be_read_any_more_is_not_listed(trained: Path, tmp_path: Path) -> None:
    some_photos(tmp_path / "photos", 2)
    some_photos(tmp_path / "others", 2, size=(48, 64))
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("predict", checkpoint, "input=photos", "output=out", "visualize=false")
    for folder, sizes in (("photos", [40]), ("others", [48])):  # the same names
        (tmp_path / folder / "1.png").write_text("no picture")
        with pytest.raises(SystemExit, match="1"):
            run("predict", checkpoint, f"input={folder}", "output=out", "visualize=false")
        images = json.loads(Path("out/panoptic.json").read_text())["images"]
        assert [(image["file_name"], image["height"]) for image in images] == [("0.png", sizes[0])]
        with open("out/images.csv", newline="") as file:
            assert [row["file_name"] for row in csv.DictReader(file)] == ["0.png"]


def test_a_pattern_that_matches_results_too_takes_the_images_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 2)
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos/**/*.png", "output=photos/found")
    run("predict", *arguments)
    names = sorted(path.name for path in Path("photos/found/panoptic").iterdir())
    before = contents(Path("photos/found/panoptic"))
    capsys.readouterr()
    run("predict", *arguments)
    said = capsys.readouterr().out
    assert "passed over: 4 images in photos/found that an earlier prediction wrote" in said
    assert "predicted before, with the same settings: 2 of 2 images" in said
    assert sorted(path.name for path in Path("photos/found/panoptic").iterdir()) == names == ["0.png", "1.png"]
    assert contents(Path("photos/found/panoptic")) == before


def test_results_replace_no_input(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    some_photos(tmp_path / "panoptic", 1)
    before = Path("panoptic/0.png").read_bytes()
    with pytest.raises(SystemExit, match="1"):
        run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=panoptic", "output=.")
    assert "expected a folder whose results replace no input, got the one of panoptic/0.png" in capsys.readouterr().err
    assert Path("panoptic/0.png").read_bytes() == before


@pytest.mark.parametrize(
    "line", ['{"name": ["a"], "source": 1, "written": 2, "row": 3}', '{"name": "0", "written": null}', "[" * 200_000]
)
def test_a_damaged_line_of_progress_counts_for_nothing(trained: Path, tmp_path: Path, line: str) -> None:
    some_photos(tmp_path / "photos", 1)
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out", "visualize=false")
    run("predict", *arguments)
    header = Path("out/progress.jsonl").read_text().splitlines()[0]
    Path("out/progress.jsonl").write_text(f"{header}\n{line}\n")
    run("predict", *arguments)
    assert len(json.loads(Path("out/panoptic.json").read_text())["images"]) == 1
