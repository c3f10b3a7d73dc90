"""Settings of the parts: real sizes, or tiny ones for a test run on a CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gpu.hardware import Hardware

SHORT_RUN = (
    "optimizer=muon",
    "curriculum=off",
    "loss.class_balance=0.5",
    "data.scale=[0.75,1.5]",
    "data.appearance=0.3",
    "codec.stuff_area=2048",
)
"""Overrides to train ``full`` within minutes: see ``docs/experiments.md``, and Panoptic-DeepLab for the last."""

TINY_NETWORK = (
    "model.backbone.name=test_resnet",
    "model.fpn.channels=16",
    "model.complexity.channels=8",
    "model.semantic_head.channels=8",
    "model.instance_head.channels=8",
)

TINY_DATA = (
    "data.height=32",
    "data.width=64",
    "data.crop=[32,64]",
    "data.batch_size=2",
    "data.workers=1",
    "trainer.log_every_n_steps=1",
)


@dataclass(frozen=True)
class Setting:
    """Setting shared by all parts.

    Attributes:
        hardware: Hardware to measure.
        folder: Folder for files that are kept.
        work: Temporary folder of the command, deleted at the end.
        tiny: Whether this is a test run, whose figures are meaningless.
        size: Height and width of the images.
        large: Height and width of the large image for peak memory.
        batch: Batch size of a training step.
        larger_batches: Further batch sizes of training steps.
        inference_batches: Batch sizes of inference.
        things: Numbers of things to decode.
        repeats: Number of runs of each call.
        product: Size of the square matrices whose product gives the rate of arithmetic.
        copied: Number of bytes of the copy that gives the rate of memory.
        compiler: Backend of ``torch.compile``.
        overrides: Overrides of the experiment ``full``, for networks and runs.
        short: Overrides of a run for timing only.
        run_batch: Batch size of the runs that are scored.
        scenes: Number of scenes by split, in the runs that are scored.
    """

    hardware: Hardware
    folder: Path
    work: Path
    tiny: bool = False
    size: tuple[int, int] = (512, 1024)
    large: tuple[int, int] = (1024, 2048)
    batch: int = 4
    larger_batches: tuple[int, ...] = (16, 32)
    inference_batches: tuple[int, ...] = (1, 8)
    things: tuple[int, ...] = (1, 10, 100, 200)
    repeats: int = 30
    product: int = 8192
    copied: int = 1 << 30
    compiler: str = "inductor"
    overrides: tuple[str, ...] = ()
    short: tuple[str, ...] = (
        "data.train_size=80",
        "data.epoch_size=480",
        "data.val_size=8",
        "data.test_size=8",
        "trainer.max_epochs=2",
        "callbacks.pictures=0",
    )
    run_batch: int = 16
    scenes: dict[str, int] = field(default_factory=lambda: {"train": 800, "val": 150, "test": 150})


def make_setting(hardware: Hardware, folder: Path, work: Path, tiny: bool) -> Setting:
    """Create a setting with the real sizes, or with tiny ones."""
    if not tiny:
        return Setting(hardware, folder, work)
    return Setting(
        hardware,
        folder,
        work,
        tiny=True,
        size=(32, 64),
        large=(64, 128),
        batch=2,
        larger_batches=(3,),
        inference_batches=(1, 2),
        things=(1, 4),
        repeats=1,
        product=128,
        copied=1 << 20,
        compiler="eager",
        overrides=(*TINY_NETWORK, *TINY_DATA),
        short=(
            "data.train_size=4",
            "data.epoch_size=8",
            "data.val_size=2",
            "data.test_size=2",
            "trainer.max_epochs=1",
            "callbacks.pictures=0",
        ),
        run_batch=2,
        scenes={"train": 4, "val": 2, "test": 2},
    )
