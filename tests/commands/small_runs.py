"""What the tests of the commands share: tiny runs, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.convert import convert
from panoptic.commands.demo import demo
from panoptic.commands.evaluate import evaluate
from panoptic.commands.export import export
from panoptic.commands.headroom import headroom
from panoptic.commands.inspect import inspect
from panoptic.commands.predict import predict
from panoptic.commands.resolution import resolution
from panoptic.commands.train import train

CONF = Path(__file__).parents[2] / "conf"
FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
SWEEPS = ("component_study", "fusion_study", "nuclei_study", "photo_study")  # see test_study.py
EXPERIMENTS = sorted({path.stem for path in (CONF / "experiment").glob("*.yaml")} - set(SWEEPS))
SMALL_BACKBONE = "model.backbone.name=test_resnet"
"""timm's own for tests: a few thousand weights, which take no time to train, orthogonalize and write."""
TINY = (
    SMALL_BACKBONE,
    "data.epoch_size=null",
    *("data.height=64", "data.width=128", "data.crop=[64,128]", "data.workers=0"),
    *("data.train_size=8", "data.val_size=2", "data.test_size=2"),
    *("model.backbone.weights=random", "callbacks.pictures=0", "trainer.log_every_n_steps=1"),
    "trainer.check_val_every_n_epoch=1",
)
SETTINGS = ("codec.max_things=7", "codec.stuff_area=20")
"""Settings of the exported network: fewer things than there are peaks."""
SYNTHETIC = ("data.height", "data.width", "data.train_size", "data.val_size", "data.test_size")
RUN = {
    **{"train": train, "evaluate": evaluate, "headroom": headroom, "predict": predict},
    **{"convert": convert, "demo": demo, "export": export, "resolution": resolution, "inspect": inspect},
}
NO_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "timm", "lightning", "hydra", "jaxtyping", "cv2")))
"""
"""What begins a program that cannot import torch, nor what else prediction with an exported file does not need."""


def run(name: str, *arguments: str) -> None:
    """A command in this process."""
    command(name, RUN[name], arguments)


def shell(name: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as typed."""
    return subprocess.run(
        [sys.executable, "-m", f"panoptic.{name}", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CONF.parent), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def vary(checkpoint: Path, path: Path, seed: int = 0) -> None:
    """Write a checkpoint with random heads: two epochs teach nothing but road, in which there is little to compare."""
    content = torch.load(checkpoint, weights_only=True)
    generator = torch.Generator().manual_seed(seed)
    for layer in ("semantic_head.logits", "instance_head.center", "instance_head.offset"):
        content["state_dict"][f"network.{layer}.conv.weight"].normal_(std=5.0, generator=generator)
        content["state_dict"][f"network.{layer}.conv.bias"].zero_()
    torch.save(content, path)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def sizes_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Width and height of each PNG in a folder."""
    sizes = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            sizes[path.stem] = image.size
    return sizes


def some_photos(folder: Path, count: int, size: tuple[int, int] = (40, 56)) -> None:
    """Write random PNG photos, whose sides are multiples of 8, into a new folder: ``0.png``, ``1.png``, ..."""
    folder.mkdir()
    random = np.random.default_rng(count)
    for number in range(count):
        pixels = np.kron(random.integers(0, 256, (size[0] // 8, size[1] // 8, 3)), np.ones((8, 8, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
