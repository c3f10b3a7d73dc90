"""The commands of docs/deploy.md from masks to an exported network, as they stand there, at a tiny size."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic import Predictor
from panoptic.data.coco.reader import CocoPanopticSource
from tests.commands.small_runs import CONF, NO_TORCH, SMALL_BACKBONE, run, shell

SECTION = (CONF.parent / "docs" / "deploy.md").read_text().split("## From masks to an exported network")[1]
(COMMANDS, CODE) = (
    re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)[1]  # type: ignore[index]
    for language in ("bash", "python")
)
NUCLEI = CONF.parent / "examples" / "nuclei"
SMALLER = {  # what is appended to a command
    "convert": ("workers=1",),
    "inspect": ("workers=1",),
    "train": (
        *(SMALL_BACKBONE, "model.backbone.weights=random", "data.crop=[32,64]", "data.batch_size=2"),
        *("data.epoch_size=4", "data.workers=0", "trainer.max_epochs=1", "trainer.accelerator=cpu"),
        *("callbacks.pictures=1", "logger=none"),
    ),
    "export": (),
}
LEARNING = ("data.crop=[64,64]", "data.epoch_size=100", "loss.class_balance=1")
"""What a network needs to find some things at least: 50 steps."""
IMAGES = 8


def write_masks(folder: Path) -> int:
    """Write some images of the example with a mask file for each nucleus; return the number of nuclei."""
    source, nuclei = CocoPanopticSource("val", root=NUCLEI), 0
    for index in range(IMAGES):
        sample = source.read(index)
        name = Path(sample.name).stem
        for part in ("images", "masks"):
            (folder / name / part).mkdir(parents=True)
        shutil.copy(NUCLEI / "val" / f"{name}.png", folder / name / "images")
        for number, of_class in enumerate(sample.segments.classes.tolist(), 1):
            if of_class == 0:
                mask = (sample.segments.ids == number).numpy().astype(np.uint8) * 255
                Image.fromarray(mask).save(folder / name / "masks" / f"{number}.png")
                nuclei += 1
    return nuclei


def follow(name: str, arguments: list[str]) -> None:
    """Run a command of the sequence in this process, and export in its own: see tests/inference/export."""
    if name == "export":
        done = shell(name, *arguments, cwd=Path())
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        run(name, *arguments)


@pytest.mark.parametrize("through", ["train", pytest.param("export", marks=pytest.mark.soak)])
def test_from_masks_to_predictions_without_torch(through: str, capsys: pytest.CaptureFixture) -> None:
    nuclei = write_masks(Path("stage1_train"))
    lines = [shlex.split(line) for line in COMMANDS.strip().splitlines()]
    assert [line[:2] for line in lines] == [["python", "-m"]] * 4
    names = [line[2].removeprefix("panoptic.") for line in lines]
    assert names == ["convert", "inspect", "train", "export"]
    for name, line in zip(names[: names.index(through) + 1], lines, strict=False):
        longer = LEARNING if (name, through) == ("train", "export") else ()
        follow(name, [*line[3:], *SMALLER[name], *longer])
    assert "fit for training: no faults" in capsys.readouterr().out
    converted = [json.loads(Path(f"nuclei/panoptic_{split}.json").read_text()) for split in ("train", "val")]
    infos = [info for content in converted for a in content["annotations"] for info in a["segments_info"]]
    kinds = {category["id"]: category["isthing"] for category in converted[0]["categories"]}
    assert sum(kinds[info["category_id"]] for info in infos) == nuclei
    assert json.loads(Path("runs/nuclei/summary.json").read_text())["steps"] == (50 if through == "export" else 2)
    if through == "export":
        check_file()


def check_file() -> None:
    """Run the documented code where torch cannot be imported, and compare what it finds with PyTorch."""
    done = subprocess.run(
        [sys.executable, "-c", f"{NO_TORCH}{CODE}\nassert sys.modules['torch'] is None"],
        env={"PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    predictor = Predictor.load("runs/nuclei/checkpoints/best.ckpt", device="cpu")
    expected, things = [], 0
    for path in sorted(Path("nuclei/val").glob("*.png")):
        found = [segment for segment in predictor(path).segments if segment.isthing]
        expected.append(f"{path.name} {len(found)} {sum(segment.area for segment in found)}")
        with Image.open(path) as image, Image.open(f"{path.stem}_overlay.png") as overlay:
            assert overlay.size == image.size
        things += len(found)
    assert done.stdout.splitlines() == expected
    assert things > 0
