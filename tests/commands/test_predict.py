"""``python -m panoptic.predict``, at a tiny size."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from panoptic.data.bands import Reading
from panoptic.inference.predictor import Predictor
from tests.commands.small_runs import CONF, FIXTURES, run, sizes_of, some_photos


def test_predict_takes_images_of_any_size_and_kind(trained: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (37, 61, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(photos / "rgb.png")
    Image.fromarray(rgb[..., 0]).save(photos / "grey.png")
    Image.fromarray(random.integers(0, 2**16, (40, 50)).astype(np.uint16)).save(photos / "deep.png")
    Image.fromarray(random.integers(0, 256, (30, 20, 4), dtype=np.uint8)).save(photos / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    Image.fromarray(rgb).save(photos / "turned.jpg", exif=exif)
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out")
    sizes = sizes_of(tmp_path / "out" / "panoptic")
    assert sizes == {"rgb": (61, 37), "grey": (61, 37), "deep": (50, 40), "alpha": (20, 30), "turned": (37, 61)}
    assert {p.stem for p in (tmp_path / "out" / "overlays").iterdir()} == set(sizes)
    annotations = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    assert len(annotations) == 5
    with (tmp_path / "out" / "images.csv").open(newline="") as file:
        rows = {row["file_name"]: row for row in csv.DictReader(file)}
    predictor = Predictor.load(trained / "checkpoints" / "best.ckpt", device="cpu")
    assert len(rows) == 5
    result = predictor(photos / "rgb.png")
    row = rows["rgb.png"]
    assert (row["width"], row["height"]) == ("61", "37")
    assert int(row["things"]) == sum(segment.isthing for segment in result.segments)
    assert int(row["things"]) + int(row["stuff"]) == len(result.segments)
    assert float(row["lowest_score"]) == pytest.approx(min(s.score for s in result.segments), abs=1e-3)
    assert float(row["object_density"]) == pytest.approx(float(result.complexity[0]), abs=1e-3)


def test_a_result_has_what_the_segments_have(trained: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(trained / "checkpoints" / "best.ckpt", device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    picture = Image.fromarray(image)
    picture.save("a.png")
    expected = predictor.segments(image)
    results = predictor([image, picture, "a.png", tmp_path / "a.png", torch.from_numpy(image).permute(2, 0, 1)])
    for result in (predictor(image), *results):
        np.testing.assert_array_equal(result.ids, expected.ids.numpy())
        assert [segment.class_index for segment in result.segments] == expected.classes.tolist()
        assert [segment.area for segment in result.segments] == expected.areas().tolist()
        assert [segment.score for segment in result.segments] == pytest.approx(expected.scores.tolist())
        assert result.alpha.sum() == pytest.approx(1.0)
        assert result.complexity.shape == (2,)
        assert result.overlay().size == (70, 45)
    assert isinstance(predictor, Predictor)
    assert predictor([]) == []


def test_predict_passes_over_images_that_cannot_be_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "c"):
        Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(photos / f"{name}.png")
    (photos / "b.png").write_text("no picture")
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out", "visualize=false")
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments)
    told = capsys.readouterr()
    assert "left out: photos/b.png: expected " in told.out
    assert told.err.splitlines()[-1] == (
        "panoptic: input: expected 3 images that can be read, got 1 that cannot; they are listed above"
    )
    images = json.loads((tmp_path / "out" / "panoptic.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a.png", "c.png"]
    for name in ("a", "c"):  # and where none can be read, nothing is written
        (photos / f"{name}.png").write_text("no picture")
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments[:2], "output=none")
    assert capsys.readouterr().out.count("left out: ") == 3
    assert not (tmp_path / "none").exists()


def test_predict_reads_images_as_the_data_were(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "scaled").mkdir()
    dim = np.random.default_rng(0).integers(1280, 1920, (40, 70)).astype(np.uint16)
    Image.fromarray(dim).save(tmp_path / "raw" / "a.png")
    scaled = Reading(normalize="percentile").read(tmp_path / "raw" / "a.png")
    Image.fromarray(scaled).save(tmp_path / "scaled" / "a.png")
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    keys = ("data=coco_panoptic", "data.root=none", "data.normalize=percentile")
    run("predict", checkpoint, "input=raw", "output=of_raw", *keys)
    run("predict", checkpoint, "input=scaled", "output=of_scaled")
    overlays = [np.array(Image.open(f"{folder}/overlays/a.png")) for folder in ("of_raw", "of_scaled")]
    np.testing.assert_array_equal(*overlays)


def test_predict_takes_a_list_of_images(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    some_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "some.txt").write_text("2.png\n\n0.png\n2.png\n")
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("predict", checkpoint, "input=photos/some.txt", "output=out", "visualize=false")
    images = json.loads(Path("out/panoptic.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["2.png", "0.png"]
    for text, message in (
        (
            "0.png\nmissing.png\n",
            "photos/some.txt, line 2: expected an image, got photos/missing.png, which is no file",
        ),
        ("\n", "photos/some.txt: expected a list of images, a path a line, got an empty one"),
    ):
        (tmp_path / "photos" / "some.txt").write_text(text)
        with pytest.raises(SystemExit, match="1"):
            run("predict", checkpoint, "input=photos/some.txt", "output=none")
        assert message in capsys.readouterr().err
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tile=10", "tile: expected at least 64 pixels, or 0 for none, got 10"),
        ("precision=int8", "precision: expected fp32, bf16, fp16, got 'int8'"),
        ("batch_size=0", "batch_size: expected at least 1, got 0"),
    ],
)
def test_options_that_make_no_sense(
    trained: Path, tmp_path: Path, key: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 1)
    with pytest.raises(SystemExit, match="1"):
        run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=none", key)
    assert message in capsys.readouterr().err
    assert not Path("none").exists()


def test_lower_precision_changes_little(trained: Path) -> None:
    image = np.kron(np.random.default_rng(0).integers(0, 256, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    exact = Predictor.load(trained / "checkpoints" / "best.ckpt", device="cpu").predict_one(image)
    coarse = Predictor.load(trained / "checkpoints" / "best.ckpt", device="cpu", precision="bf16").predict_one(image)
    assert not torch.equal(exact.complexity, coarse.complexity)  # it was used
    torch.testing.assert_close(exact.complexity, coarse.complexity, rtol=0.05, atol=0.05)
    assert (exact.segments.semantic() == coarse.segments.semantic()).float().mean() > 0.9


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the real photos are not here")
def test_predict_on_real_photos(trained: Path, tmp_path: Path) -> None:
    run(
        "predict",
        f"checkpoint={trained}/checkpoints/best.ckpt",
        f"input={FIXTURES}/coco_photos/images/*.jpg",
        "output=out",
    )
    sizes = sizes_of(tmp_path / "out" / "panoptic")
    assert sizes == {"000000142238": (640, 427), "000000439180": (640, 360)}


def test_output_defaults_to_the_folder_of_the_run(trained: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save("one.png")
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=one.png", "visualize=false")
    assert (trained / "predict" / "panoptic" / "one.png").is_file()
    assert not (trained / "predict" / "overlays").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["one.png"]


def test_paths_may_hold_what_hydra_reads_otherwise(trained: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a=b, (c) [d]'s"
    odd.mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(odd / "one.png")
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", f"input={odd}/one.png", f"output={odd}/out")
    assert (odd / "out" / "panoptic" / "one.png").is_file()


def test_images_of_one_name_are_told_apart(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(f"{folder}/one.png")
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=*/one.png", "output=out")
    images = json.loads(Path("out/panoptic.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a/one.png", "b/one.png"]
    assert "2 images" in capsys.readouterr().out


LEAN = """
import sys
from panoptic.commands.app import command
from panoptic.commands.predict import predict

command("predict", predict)
print(*sorted({"lightning", "torchmetrics", "albumentations", "transformers", "tensorboard"} & set(sys.modules)))
"""


def test_prediction_imports_nothing_that_only_training_needs(trained: Path) -> None:
    """Most of the time from the start of the command to its result is imports."""
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save("black.png")
    given = (f"checkpoint={trained}/checkpoints/last.ckpt", "input=black.png", "output=out")
    done = subprocess.run(
        [sys.executable, "-c", LEAN, *given],
        env={**os.environ, "PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
    assert Path("out/overlays/black.png").is_file()


def test_the_position_of_a_geotiff_is_kept(trained: Path, tmp_path: Path) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for number, values in ((33550, (0.5, 0.5, 0.0)), (33922, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0))):
        info.tagtype[number] = 12
        info[number] = values
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save("ortho.tif", tiffinfo=info)
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=ortho.tif", "output=out")
    for folder in ("panoptic", "overlays"):
        assert (
            "<GeoTransform>1000.0, 0.5, 0.0, 2000.0, 0.0, -0.5</" in Path(f"out/{folder}/ortho.png.aux.xml").read_text()
        )
