"""Schemas of the commands. Does not import torch, so that a misspelled key is reported within a second.

The dataclasses mirror the files directly in ``conf/``; those of the groups are in :mod:`panoptic.config.groups`.
:mod:`panoptic.config.overrides` checks overrides against these schemas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from panoptic.config.groups import (
    OPTIONS,
    CallbacksConfig,
    CodecConfig,
    CurriculumConfig,
    DataConfig,
    LoggerConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainerConfig,
)


@dataclass
class EvaluationConfig:
    """Evaluation at the end of ``python -m panoptic.train``; see :class:`EvaluateConfig`.

    Attributes:
        split: ``val`` or ``test``; ``null`` does not evaluate.
        shuffles: Number of additional evaluations with the complexity shuffled among the images.
        predictions: Whether to write the predictions.
    """

    split: str | None = None
    shuffles: int = 0
    predictions: bool = False


@dataclass
class CheckpointConfig:
    """Checkpoints of a run, which saves ``last.ckpt`` after each epoch and when a signal ends it.

    Attributes:
        every: Time after which ``last.ckpt`` is also saved within an epoch, such as ``90s``, ``10min`` or ``2h``;
            ``null`` saves it after epochs only.
    """

    every: str | None = None


@dataclass
class TrainConfig:
    """Schema of ``python -m panoptic.train``.

    Attributes:
        name: Name of the run, used in the names of run folders.
        seed: Seed of the initial weights and of the order and augmentation of the samples.
        start_from: Checkpoint of an earlier run from which to load weights; it also defines the configuration of
            network and codec.
        compile: Whether to use ``torch.compile``.
        choose_decoding: Whether to choose the settings of decoding (threshold and window of peaks, least areas) on the
            validation split at the end, and to store them in the checkpoints.
        budget: Time for the whole run, such as ``900s``, ``10min`` or ``8h``: the number of steps in an epoch,
            ``data.epoch_size``, follows from a timed warm-up.
        study: Name of a study. Its runs go to ``runs/study/<study>``, each in a folder named after its overrides; a run
            that was ended there goes on, and one that has finished is not repeated.
        evaluation: Evaluation of the last checkpoint at the end of training.
        checkpoint: When to save the state of the run.
        resume: Folder of a run, or a checkpoint in it, to go on with in that folder, with the configuration stored
            there; ``auto`` goes on with the newest unfinished run of this configuration, or begins one.
        overrides: Overrides of the stored configuration with ``resume``; those that change what is trained are refused.
    """

    name: str = MISSING
    seed: int = MISSING
    start_from: str | None = None
    compile: bool = False
    choose_decoding: bool = False
    budget: str | None = None
    study: str | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    resume: str | None = None
    overrides: list[str] = field(default_factory=list)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    callbacks: CallbacksConfig = field(default_factory=CallbacksConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


@dataclass
class EvaluateConfig:
    """Schema of ``python -m panoptic.evaluate``.

    Attributes:
        checkpoint: Checkpoint of a run.
        split: Split of the checkpoint's data set: ``train``, ``val`` or ``test``.
        output: Output folder; by default next to the checkpoint.
        visualize: Whether to write an overlay for every image.
        truth: Whether to also write the ground truth, in the formats of the predictions.
        boundaries: Whether to compute Boundary PQ and boundary F1.
        dilation_ratio: Dilation for Boundary PQ as a fraction of the image diagonal; ``null`` is 0.005 for Cityscapes
            labels, else 0.02.
        tolerance: Tolerance for boundary F1 as a fraction of the image diagonal.
        worst: Number of images with the lowest PQ to show.
        tta: Test-time augmentation: ``none``, ``flip`` or ``multiscale``.
        resolution: Factor of height and width to predict at, in (0, 1], or ``adaptive``: full size where the first look
            finds many things; see ``python -m panoptic.resolution``.
        compile: Whether to use ``torch.compile``.
        oracle: Whether to also score predictions with parts of the outputs replaced by the ground truth.
        shuffles: Number of additional evaluations with the complexity shuffled among the images.
        predictions: Whether to write the predictions.
        overrides: Overrides of the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    split: str = "test"
    output: str | None = None
    visualize: bool = False
    truth: bool = False
    boundaries: bool = True
    dilation_ratio: float | None = None
    tolerance: float = 0.0075
    worst: int = 0
    tta: str = "none"
    resolution: Any = 1.0
    compile: bool = False
    oracle: bool = False
    shuffles: int = 0
    predictions: bool = True
    overrides: list[str] = field(default_factory=list)


@dataclass
class HeadroomConfig:
    """Schema of ``python -m panoptic.headroom``.

    Attributes:
        checkpoint: Checkpoint of a run, best one trained with ``model/fusion=random``.
        split: Split of the checkpoint's data set: ``train``, ``val`` or ``test``.
        output: Output folder; by default next to the checkpoint.
        overrides: Overrides of the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    split: str = "val"
    output: str | None = None
    overrides: list[str] = field(default_factory=list)


@dataclass
class ResolutionConfig:
    """Schema of ``python -m panoptic.resolution``.

    Attributes:
        checkpoint: Checkpoint of a run; on ``val``, the rule found is stored in it.
        split: Split of the checkpoint's data set; the rule is found on ``val``, and applied to others.
        drop: Largest drop in PQ on ``val``, in points.
        first: Factor of height and width for the first look.
        output: Output folder; by default next to the checkpoint.
        overrides: Overrides of the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    split: str = "val"
    drop: float = 0.3
    first: float = 0.5
    output: str | None = None
    overrides: list[str] = field(default_factory=list)


@dataclass
class PredictConfig:
    """Schema of ``python -m panoptic.predict``.

    Attributes:
        checkpoint: Checkpoint of a run.
        input: Image file, folder of images, glob pattern, list of image files, a path a line in a ``.txt`` file, or
            video; also by URL, such as ``s3://bucket/photos``, but for videos.
        output: Output folder or its URL; by default next to the checkpoint.
        engine: ``plain`` predicts in this process, ``ray`` in workers of Ray.
        workers: Number of Ray's workers; by default as many as there are GPUs, else processors.
        visualize: Whether to write an overlay for every image.
        tta: Test-time augmentation: ``none``, ``flip`` or ``multiscale``.
        resolution: Factor of height and width to predict at, in (0, 1], or ``adaptive``: full size where the first look
            finds many things; see ``python -m panoptic.resolution``.
        tile: Maximum side in pixels of the tiles in which larger images are predicted, with bounded memory; 0 predicts
            images whole.
        overlap: Width in pixels of the margin that is seen of a tile's neighbors; by default 128, and half a tile at
            most.
        precision: Precision of the network: ``fp32``, ``bf16`` or ``fp16``.
        batch_size: Largest number of images predicted together; by default one on a CPU, else up to eight.
        compile: Whether to use ``torch.compile``.
        overrides: Overrides of the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    input: str = MISSING
    output: str | None = None
    engine: str = "plain"
    workers: int | None = None
    visualize: bool = True
    tta: str = "none"
    resolution: Any = 1.0
    tile: int = 0
    overlap: int | None = None
    precision: str = "fp32"
    batch_size: int | None = None
    compile: bool = False
    overrides: list[str] = field(default_factory=list)


@dataclass
class ExportConfig:
    """Schema of ``python -m panoptic.export``.

    Attributes:
        checkpoint: Checkpoint of a run.
        format: ``onnx``, ``torch_export`` or ``openvino``.
        output: File to write or replace; by default next to the checkpoint, with its name, or ``panoptic`` in the
            current folder if the checkpoint is a folder.
        images: Image file, folder of images, or glob pattern to compare the file with PyTorch on; by default a few of
            the checkout, or synthetic scenes.
        overrides: Overrides of the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    format: str = "onnx"
    output: str | None = None
    images: str | None = None
    overrides: list[str] = field(default_factory=list)


@dataclass
class DemoConfig:
    """Schema of ``python -m panoptic.demo``.

    Attributes:
        checkpoint: Checkpoint of a run, or exported file (``.onnx``).
        compare_with: Another one of the same categories, to show beside it.
        host: Name or address of this machine to listen on; ``0.0.0.0`` lets in everybody who can reach it.
        port: Port to listen on; 0 takes a free one.
        max_upload: Size of the largest file that is taken, in MB.
        max_pixels: Size of the largest image that is taken, in millions of pixels.
        overrides: Overrides of the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    compare_with: str | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    max_upload: float = 20.0
    max_pixels: float = 16.0
    overrides: list[str] = field(default_factory=list)


@dataclass
class ScoreConfig:
    """Schema of ``python -m panoptic.score``.

    Attributes:
        ground_truth: JSON file in COCO panoptic format.
        ground_truth_dir: Folder of its PNG files; by default the path of the JSON file without suffix.
        predictions: JSON file in the same format.
        predictions_dir: Folder of its PNG files; by default the path of the JSON file without suffix.
        output: JSON file to write, with a CSV file of per-image scores next to it; ``null`` writes nothing.
        missing: Handling of images without prediction: ``error`` or ``count_as_empty``.
        boundaries: Whether to compute Boundary PQ and boundary F1.
        dilation_ratio: Dilation for Boundary PQ as a fraction of the image diagonal; ``null`` is 0.005 for Cityscapes
            labels, else 0.02.
        tolerance: Tolerance for boundary F1 as a fraction of the image diagonal.
        worst: Number of images with the lowest PQ to show.
        workers: Number of processes; by default one per processor.
    """

    ground_truth: str = MISSING
    ground_truth_dir: str | None = None
    predictions: str = MISSING
    predictions_dir: str | None = None
    output: str | None = None
    missing: str = "error"
    boundaries: bool = True
    dilation_ratio: float | None = None
    tolerance: float = 0.0075
    worst: int = 0
    workers: int | None = None


@dataclass
class CompareConfig:
    """Schema of ``python -m panoptic.compare``.

    Attributes:
        runs: Folder with finished runs at any depth, or a list of such folders.
        scores: In place of runs, a list of the per-image tables that ``score`` and ``evaluate`` write, one for each
            model.
        names: Names of these models; by default those of the files.
        split: Split of the compared runs, ``test`` or ``val``; by default test if any run was evaluated on it.
        baseline: Variant or model with which the others are compared; by default uniform fusion, else the variant with
            most runs; of scores, the last one.
        output: Output folder; by default a folder below ``runs/compare`` named after what is compared.
    """

    runs: Any = None
    scores: Any = None
    names: Any = None
    split: str | None = None
    baseline: str | None = None
    output: str | None = None


@dataclass
class ScenesConfig:
    """Schema of ``python -m panoptic.scenes``.

    Attributes:
        output: New or empty folder.
        format: ``cityscapes``, in the layout of its archives, or ``coco_panoptic``.
        scenes_seed: Seed of the scenes.
        height: Height of a scene in pixels.
        width: Width of a scene in pixels.
        train_size: Number of training scenes; 0 omits the split.
        val_size: Number of validation scenes.
        test_size: Number of test scenes.
        workers: Number of processes; by default one per processor.
        generator: Version of the scene generator.
    """

    output: str = MISSING
    format: str = "cityscapes"
    scenes_seed: int = 0
    height: int = 512
    width: int = 1024
    train_size: int = 800
    val_size: int = 150
    test_size: int = 150
    workers: int | None = None
    generator: int = 1


@dataclass
class InspectConfig:
    """Schema of ``python -m panoptic.inspect``.

    Attributes:
        data: Data set.
        splits: Splits to inspect; by default all available ones, where training needs ``train`` and ``val``.
        output: Output folder; by default a folder below ``runs/inspect`` named after the folder of the data set.
        ignore: Kinds of faults that do not make the data set unfit; see :data:`panoptic.data.checks.faults.KINDS`.
        sheet: Approximate number of images on the contact sheet; 0 writes none.
        workers: Number of processes; by default one per processor.
    """

    data: DataConfig | None = None
    splits: list[str] | None = None
    output: str | None = None
    ignore: list[str] = field(default_factory=list)
    sheet: int = 24
    workers: int | None = None


@dataclass
class ConvertConfig:
    """Schema of ``python -m panoptic.convert``.

    Attributes:
        format: Format of the label files; see :data:`panoptic.data.convert.formats.FORMATS`.
        input: Folder or file of the data set.
        output: New or empty folder.
        images: Folder with the images, where they are not found beside the label files.
        split: Shares of ``train``, ``val`` and, with three, ``test``, to draw splits where a data set has none, one, or
            some images without; by default 0.8 and 0.2 where it has none.
        seed: Seed of the splits.
        stuff: Names of categories that are stuff; all others are things.
        background: Name of a stuff category for unlabeled pixels, which are void by default.
        crowd: Whether what the format marks as crowds stays so; otherwise each is a single object.
        workers: Number of processes; by default one per processor.
    """

    format: str = MISSING
    input: str = MISSING
    output: str = MISSING
    images: str | None = None
    split: list[float] | None = None
    seed: int = 0
    stuff: list[str] = field(default_factory=list)
    background: str | None = None
    crowd: bool = True
    workers: int | None = None


COMMANDS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "headroom": HeadroomConfig,
    "predict": PredictConfig,
    "export": ExportConfig,
    "demo": DemoConfig,
    "resolution": ResolutionConfig,
    "score": ScoreConfig,
    "compare": CompareConfig,
    "scenes": ScenesConfig,
    "inspect": InspectConfig,
    "convert": ConvertConfig,
}

OPEN = ("trainer",)
"""Nodes that accept any key, since Lightning's Trainer has too many arguments to repeat."""


@cache
def register() -> None:
    """Register the schemas with Hydra under the names used by the defaults lists in ``conf/``."""
    store = ConfigStore.instance()
    for command, schema in COMMANDS.items():
        store.store(name=f"{command}_schema", node=schema)
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            store.store(group=group, name=f"{option}_schema", node=schema)
