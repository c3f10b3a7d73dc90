"""The smallest training, and a sound data set, image and run to be damaged."""

from __future__ import annotations

import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from PIL import Image

from benchmarks.soak.forking import attempt
from panoptic.commands.app import command
from panoptic.commands.inspect import inspect
from panoptic.commands.predict import predict
from panoptic.commands.scenes import scenes
from panoptic.commands.score import score
from panoptic.commands.train import train

STEPS = 4
"""Steps of an epoch."""

TINY = (
    "experiment=quick",
    *("model.backbone.name=test_resnet", "model.backbone.weights=random", "model.fpn.channels=8"),
    *("model.complexity.channels=8", "model.semantic_head.channels=8", "model.instance_head.channels=8"),
    *("data.height=32", "data.width=64", "data.crop=[32,64]", "data.workers=0", "data.batch_size=2"),
    *(f"data.train_size={2 * STEPS}", "data.val_size=2", "data.test_size=1", "data.epoch_size=null"),
    *("callbacks.pictures=0", "trainer.accelerator=cpu", "trainer.precision=32-true"),
    *("trainer.check_val_every_n_epoch=1", "trainer.log_every_n_steps=1"),
)
"""Overrides of a training that takes a second an epoch."""

TASKS = {"train": train, "predict": predict, "inspect": inspect, "score": score}


def run(name: str, *arguments: str) -> None:
    """Run a command in this process, as if it had been typed."""
    command(name, TASKS[name], arguments)


def warm_up() -> None:
    """Import what the commands import by and by, and let Hydra look for its plugins once."""
    import matplotlib.pyplot  # noqa: F401
    import timm  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401
    from lightning.pytorch.loggers import TensorBoardLogger  # noqa: F401

    import panoptic.analysis.evaluation
    import panoptic.analysis.inspection_pictures
    import panoptic.analysis.scoring
    import panoptic.commands.console
    import panoptic.data.coco.writer
    import panoptic.inference.predictor
    import panoptic.scenes.source
    import panoptic.training.callbacks.interruptions
    import panoptic.training.replay
    import panoptic.training.trainer  # noqa: F401

    Image.init()
    command("train", lambda config: None, (*TINY, "hydra.run.dir=none"))


def try_readers(folder: Path) -> None:
    """Read the sound files once in this process, which fills the caches of libraries that forked processes begin with.

    Args:
        folder: Folder with the files; results are removed.
    """
    here = Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            for name, arguments in READERS.items():
                run(name, *arguments)
        shutil.rmtree("out")
    finally:
        os.chdir(here)


READERS = {
    "predict": ("checkpoint=run/checkpoints/last.ckpt", "output=out", "input=image.png"),
    "inspect": ("data=coco_panoptic", "data.root=data", "output=out", "workers=1"),
    "score": ("ground_truth=data/panoptic_val.json", "predictions=guess.json", "workers=1"),
}
"""Arguments with which commands read the sound files."""


def make_sound(folder: Path) -> None:
    """Make a run, a data set and images that nothing is wrong with.

    Raises:
        RuntimeError: If that fails.
    """
    folder.mkdir(parents=True)

    def made() -> None:
        run("train", *TINY, "trainer.max_epochs=1", "hydra.run.dir=run")
        size = ("height=32", "width=64", "train_size=2", "val_size=2", "test_size=0", "workers=1")
        command("scenes", scenes, ("output=data", "format=coco_panoptic", *size))
        with Image.open(next(Path("data/val").glob("*.png"))) as image:
            image.save("image.png")
            image.save("image.jpg")
        for path in (Path("data/panoptic_val"), Path("data/panoptic_val.json")):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, path.name.replace("panoptic_val", "guess"))

    outcome = attempt(made, folder, 120)
    if outcome.status:
        raise RuntimeError(f"expected sound files to begin with, got status {outcome.status}: {outcome.output[-2000:]}")


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint."""
    return torch.load(path, weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Return whether weights are equal to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
