"""A run, and scenes on disk, that the tests of the commands share."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.scenes import scenes
from panoptic.scenes.source import SyntheticSource
from tests.commands import made_maps
from tests.commands.small_runs import SETTINGS, TINY, shell, vary
from tests.made_once import made_once
from tests.scenes_once import _paint_once  # noqa: F401


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic"])
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs in two stages, made by the real command."""
    return made_once(tmp_path_factory, "trained", train_two_epochs) / "run"


def train_two_epochs(folder: Path) -> None:
    settings = (
        "experiment=quick",
        *TINY,
        "callbacks.pictures=1",
        "trainer.max_epochs=2",
        "curriculum.stages=2",
        "curriculum.epochs_per_stage=1",
    )
    done = shell("train", *settings, "hydra.run.dir=run", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 2/2, stage 2" in done.stdout
    assert "tensorboard --logdir" in done.stdout
    assert "\x1b" not in done.stdout, "a log gets no colors"
    # Here, before a test adds results to it.
    left = {"config.yaml", "history.jsonl", "summary.json", "checkpoints", "tensorboard"}
    assert {p.name for p in (folder / "run").iterdir()} == left


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``network.onnx`` of the shared run, what the command said, and two scenes."""

    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)

    def make(folder: Path) -> None:
        for index, (height, width) in enumerate(((64, 128), (75, 101))):
            scene = SyntheticSource(split="val", size=2, height=height, width=width).read(index)
            Image.fromarray(scene.image).save(folder / f"scene{index}.png")
        vary(trained / "checkpoints" / "last.ckpt", folder / "network.ckpt")
        arguments = ("checkpoint=network.ckpt", "images=*.png", *SETTINGS)
        # In a process of its own: the checks of the signatures do not know the sizes that are recorded.
        done = shell("export", *arguments, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        writing, agreement, time, file = done.stdout.splitlines()
        assert writing == "writing onnx, and comparing it with PyTorch on 2 images"
        assert agreement.startswith("same class and same instance as PyTorch: 100.000% of the pixels of 2 images, ")
        assert re.fullmatch(r"an image of 64x128 on the CPU: PyTorch \d+ ms, onnx \d+ ms, [\d.]+ times as fast", time)
        assert re.fullmatch(r"file: network.onnx \([\d.]+ MB\)", file)
        assert done.stderr == ""

    return made_once(tmp_path_factory, "exported", make)


@pytest.fixture(scope="session")
def street_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic scenes on disk, in the layout of Cityscapes."""
    return made_once(tmp_path_factory, "street_scenes", write_street_scenes) / "cityscapes"


def write_street_scenes(folder: Path) -> None:
    sizes = ("height=64", "width=128", "train_size=4", "val_size=2", "test_size=0", "workers=1")
    done = shell("scenes", "output=cityscapes", *sizes, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def maps() -> None:
    """True and predicted maps in the working directory."""
    made_maps.write("truth", made_maps.TRUTH)
    made_maps.write("guess", made_maps.GUESS)


@pytest.fixture(scope="session")
def sound_data_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound data sets: ``cityscapes``, ``coco_panoptic``, and ``panoptic`` with Cityscapes' panoptic truth only."""
    pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    return made_once(tmp_path_factory, "sound_data_sets", write_sound_data_sets)


def write_sound_data_sets(folder: Path) -> None:
    small = ("height=64", "width=128", "train_size=5", "val_size=3", "workers=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["panoptic"])
        for kind in ("cityscapes", "coco_panoptic"):
            test_size = "test_size=1" if kind == "cityscapes" else "test_size=0"
            command("scenes", scenes, (f"output={kind}", f"format={kind}", *small, test_size))
        from cityscapesscripts.preparation import createPanopticImgs as conversion

        shutil.copytree("cityscapes", "panoptic", ignore=shutil.ignore_patterns("gtFine"))
        Path("panoptic/gtFine").mkdir()
        conversion.convert2panoptic("cityscapes/gtFine", "panoptic/gtFine", False, ["train", "val"])


@pytest.fixture
def data_sets(sound_data_sets: Path, tmp_path: Path) -> None:
    """Copies of the sound data sets in the working directory, to be damaged."""
    shutil.copytree(sound_data_sets, tmp_path, dirs_exist_ok=True)
