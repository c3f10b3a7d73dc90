"""Images of four bands through the commands: trained, scored, predicted, exported, and refused where they cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic import Predictor
from panoptic.commands.app import command
from panoptic.commands.demo import demo
from panoptic.commands.evaluate import evaluate
from panoptic.commands.inspect import inspect
from panoptic.commands.predict import predict
from panoptic.commands.train import train
from panoptic.data.bands import Reading
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.data.images import read_image
from panoptic.errors import InputError
from panoptic.inference.export.graph import ExportedNetwork
from panoptic.labels import Category, LabelSpace
from panoptic.runtime.images import read_as_trained
from panoptic.runtime.record import Record
from panoptic.segments import Segments
from panoptic.training.checkpoint import read_checkpoint, restore_network

tifffile = pytest.importorskip("tifffile")

SIZE = (40, 72)
LABELS = LabelSpace((Category("square", 1, True, (220, 20, 60)), Category("rest", 2, False, (90, 90, 90))))
DATA = ("data=coco_panoptic", "data.root=four", "data.channels=[1,2,3,4]")
TINY = (
    *("experiment=quick", *DATA, "model.backbone.name=test_resnet", "data.crop=[32,64]", "data.workers=0"),
    *("data.batch_size=2", "data.epoch_size=4", "data.appearance=1", "callbacks.pictures=1", "trainer.max_epochs=1"),
    *("trainer.accelerator=cpu", "hydra.run.dir=run"),
)
CHECKPOINT = "run/checkpoints/last.ckpt"
COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "inspect": inspect, "demo": demo}


def run(name: str, *arguments: str) -> None:
    command(name, COMMANDS[name], arguments)


def refused(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> str:
    """The sentence with which a command ends."""
    with pytest.raises(SystemExit) as ended:
        run(name, *arguments)
    assert ended.value.code == 1
    return capsys.readouterr().err.strip().removeprefix("panoptic: ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of four bands, and a run that was trained on them."""
    folder = tmp_path_factory.mktemp("bands")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(sys, "argv", ["panoptic"])
        for split in ("train", "val"):
            Path("four", split).mkdir(parents=True)
            with CocoPanopticWriter("four", LABELS, name=f"panoptic_{split}") as writer:
                for name in ("a", "b"):
                    classes, instances = np.ones(SIZE, np.int64), np.zeros(SIZE, np.int64)
                    classes[8:20, 10:30], instances[8:20, 10:30] = 0, 1
                    values = rng.integers(0, 256, (*SIZE, 4)).astype(np.uint8)
                    values[..., 3] = 200 * (classes == 0)  # which only the fourth band shows
                    tifffile.imwrite(f"four/{split}/{name}.tif", values, photometric="rgb", extrasamples=[0])
                    writer.add(name, Segments.from_maps(torch.from_numpy(classes), torch.from_numpy(instances)))
            listed = json.loads(Path(f"four/panoptic_{split}.json").read_text())
            for image in listed["images"]:
                image["file_name"] = f"{Path(image['file_name']).stem}.tif"
            Path(f"four/panoptic_{split}.json").write_text(json.dumps(listed))
        run("train", *TINY)
    return folder


@pytest.fixture(autouse=True)
def _there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.setattr(sys, "argv", ["panoptic"])


def test_the_network_takes_the_fourth_band() -> None:
    predictor = Predictor.load(CHECKPOINT, device="cpu")
    image = tifffile.imread("four/val/a.tif")
    assert predictor.network.get_buffer("mean").shape == (1, 4, 1, 1)
    with torch.inference_mode():
        seen, blind = (
            predictor.network(torch.from_numpy(values).permute(2, 0, 1)[None]).semantic
            for values in (image, image * np.array([1, 1, 1, 0], np.uint8))
        )
    assert not torch.equal(seen, blind)


def test_files_arrays_and_tensors_are_predicted_alike() -> None:
    predictor = Predictor.load(CHECKPOINT, device="cpu")
    image = tifffile.imread("four/val/a.tif")
    results = predictor(["four/val/a.tif", image, torch.from_numpy(image).permute(2, 0, 1)])
    for result in results:
        np.testing.assert_array_equal(result.ids, results[0].ids)
        assert result.overlay(0.0).size == SIZE[::-1]
        np.testing.assert_array_equal(result.image, image[..., :3])
    with pytest.raises(InputError, match=r"image: expected an array uint8 \[H W 4\], .* 4 bands, got a picture"):
        predictor(Image.new("RGB", (64, 64)))
    with pytest.raises(InputError, match=r"uint8 \[H W 4\], got uint8 \[40, 72, 3\]"):
        predictor(image[..., :3])
    with pytest.raises(InputError, match=r"a tensor uint8 \[4 H W\], got torch\.uint8 \[3, 40, 72\]"):
        predictor(torch.from_numpy(image[..., :3]).permute(2, 0, 1))


def test_commands_show_the_first_three(tmp_path: Path) -> None:
    run("inspect", *DATA, f"output={tmp_path / 'inspected'}", "workers=1")
    assert (tmp_path / "inspected" / "report.html").is_file()
    run("evaluate", f"checkpoint={CHECKPOINT}", "split=val", "visualize=true", f"output={tmp_path / 'scored'}")
    for tiled in ((), ("tile=64", "overlap=16")):
        output = tmp_path / f"predicted{len(tiled)}"
        run("predict", f"checkpoint={CHECKPOINT}", "input=four/val", f"output={output}", *tiled)
        assert read_image(output / "overlays" / "a.png").shape == (*SIZE, 3)
        assert {path.name for path in (output / "panoptic").iterdir()} == {"a.png", "b.png"}


def test_other_bands_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = (f"checkpoint={CHECKPOINT}", "input=four/val", f"output={tmp_path / 'out'}")
    expected = f"data.channels: expected 4 bands, as the network of {CHECKPOINT} takes, got [1, 2, 3]"
    assert refused(capsys, "predict", *given, "data.channels=[1,2,3]") == expected
    Image.new("RGB", (64, 40)).save(tmp_path / "photo.png")
    said = refused(capsys, "predict", f"checkpoint={CHECKPOINT}", f"input={tmp_path / 'photo.png'}", given[2])
    assert said == f"{tmp_path / 'photo.png'}: expected bands [1, 2, 3, 4] (data.channels), got an image of 3"
    assert not (tmp_path / "out").exists()


def test_bands_that_images_lack_leave_no_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = [key for key in TINY if not key.startswith(("data.channels", "hydra.run.dir"))]
    said = refused(capsys, "train", *given, "data.channels=[1,2,3,9]", f"hydra.run.dir={tmp_path / 'other'}")
    assert said == "four/train/a.tif: expected bands [1, 2, 3, 9] (data.channels), got an image of 4"
    assert not (tmp_path / "other").exists() or not any((tmp_path / "other").iterdir())


def test_what_needs_colors_refuses_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio")
    said = refused(capsys, "demo", f"checkpoint={CHECKPOINT}", "port=0")
    assert said == f"{CHECKPOINT}: expected a network for RGB images, got one for 4 bands"


def test_videos_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("av")
    Path(tmp_path / "a.mp4").write_bytes(b"whatever it holds")
    said = refused(capsys, "predict", f"checkpoint={CHECKPOINT}", f"input={tmp_path / 'a.mp4'}")
    assert said == f"input={tmp_path / 'a.mp4'}: expected images of 4 bands (data.channels), got a video"


def test_an_exported_network_reads_files_as_it_was_trained(tmp_path: Path) -> None:
    image = tifffile.imread("four/val/a.tif")
    made = Record(LABELS, {}, {}, "0", 4, {"channels": [1, 2, 3, 4], "normalize": "percentile"})
    record = Record.from_json(made.to_json(), "a.onnx")
    assert record == made
    read = read_as_trained("four/val/a.tif", record.reading)
    np.testing.assert_array_equal(read, Reading((1, 2, 3, 4), "percentile").read("four/val/a.tif"))
    assert not np.array_equal(read, image)
    exported = ExportedNetwork(
        restore_network(checkpoint := read_checkpoint(CHECKPOINT)),
        Predictor.load(CHECKPOINT, device="cpu").codec,
        reading=Reading.of_data(checkpoint.config.data),
    ).record()
    assert (exported.bands, exported.reading) == (4, {"channels": [1, 2, 3, 4], "normalize": "range"})


def test_what_reads_files_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "panoptic.data.bands", None)
    with pytest.raises(InputError, match=r"a\.tif: expected the package .* to read it with data\.normalize=percentile"):
        read_as_trained("a.tif", {"channels": None, "normalize": "percentile"})
