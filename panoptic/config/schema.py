"""The schema of every command. Imports no torch, so that a misspelt key is told within a second.

The dataclasses mirror the files directly in ``conf/``; those of the groups are in :mod:`panoptic.config.groups`.
:mod:`panoptic.config.overrides` holds what people type against this schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """What ``python -m panoptic.train`` scores once training ends; see :class:`EvaluateConfig`.

    Attributes:
        split: ``val`` or ``test``; ``null`` leaves it to ``python -m panoptic.evaluate``.
        shuffles: how many times to score too with the complexity of the images shuffled among them.
        predictions: whether to write the predictions.
    """

    split: str | None = None
    shuffles: int = 0
    predictions: bool = False


@dataclass
class TrainConfig:
    """``python -m panoptic.train``.

    Attributes:
        name: what the run is called; run folders are named after it.
        seed: of the initial weights and of the order and augmentation of the samples.
        start_from: a checkpoint of an earlier run to take weights from; network and codec are configured as there.
        compile: whether to use ``torch.compile``.
        study: gathers runs under ``runs/study/<study>``, each in a folder named after its overrides; a run that has
            finished there is not run again.
        evaluation: of the last checkpoint, once training ends.
        resume: a checkpoint of an earlier run to go on from, with the configuration in it.
        overrides: with ``resume``, what the command line changes in that configuration.
    """

    name: str = MISSING
    seed: int = MISSING
    start_from: str | None = None
    compile: bool = False
    study: str | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
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
    """``python -m panoptic.evaluate``.

    Attributes:
        checkpoint: of a run.
        split: of the checkpoint's data: ``train``, ``val`` or ``test``.
        output: folder to write to; by default one beside the checkpoint.
        visualize: whether to write an overlay for every image.
        truth: whether to write the truth too, in the formats of the predictions.
        boundaries: whether to compute Boundary PQ and boundary F1.
        dilation_ratio: of Boundary PQ, a share of the diagonal; ``null`` is 0.005 for Cityscapes' labels, else 0.02.
        tolerance: of boundary F1, a share of the diagonal.
        worst: how many of the images with the lowest PQ to show.
        tta: test-time augmentation: ``none``, ``flip`` or ``multiscale``.
        compile: whether to use ``torch.compile``.
        oracle: whether to score too what the network would find if parts of its outputs were true.
        shuffles: how many times to score too with the complexity of the images shuffled among them.
        predictions: whether to write the predictions.
        overrides: what the command line changes in the checkpoint's configuration.
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
    compile: bool = False
    oracle: bool = False
    shuffles: int = 0
    predictions: bool = True
    overrides: list[str] = field(default_factory=list)


@dataclass
class PredictConfig:
    """``python -m panoptic.predict``.

    Attributes:
        checkpoint: of a run.
        input: an image file, a folder of images or a glob.
        output: folder to write to; by default one beside the checkpoint.
        visualize: whether to write an overlay for every image.
        tta: test-time augmentation: ``none``, ``flip`` or ``multiscale``.
        compile: whether to use ``torch.compile``.
        overrides: what the command line changes in the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    input: str = MISSING
    output: str | None = None
    visualize: bool = True
    tta: str = "none"
    compile: bool = False
    overrides: list[str] = field(default_factory=list)


@dataclass
class ScoreConfig:
    """``python -m panoptic.score``.

    Attributes:
        ground_truth: JSON file in COCO panoptic format.
        ground_truth_dir: folder of its PNG files; by default the JSON file's path without suffix.
        predictions: JSON file in the same format.
        predictions_dir: folder of its PNG files; by default the JSON file's path without suffix.
        output: JSON file to write, beside which goes a CSV file with a row per image; nothing is written without it.
        missing: what an image without prediction is: ``error``, or ``count_as_empty``.
        boundaries: whether to compute Boundary PQ and boundary F1.
        dilation_ratio: of Boundary PQ, a share of the diagonal; ``null`` is 0.005 for Cityscapes' labels, else 0.02.
        tolerance: of boundary F1, a share of the diagonal.
        worst: how many of the images with the lowest PQ to show.
        workers: processes; by default one for each processor.
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
    """``python -m panoptic.compare``.

    Attributes:
        runs: a folder with finished runs at any depth, or a list of such folders.
        split: whose scores are compared, ``test`` or ``val``; by default test if every run was evaluated on it.
        baseline: the variant that others are compared with; by default uniform fusion, else the one with most runs.
        output: folder to write to; by default one under ``runs/compare`` with the name of the first folder.
    """

    runs: Any = MISSING
    split: str | None = None
    baseline: str | None = None
    output: str | None = None


@dataclass
class ScenesConfig:
    """``python -m panoptic.scenes``.

    Attributes:
        output: a new or empty folder.
        format: ``cityscapes``, as its archives unzip, or ``coco_panoptic``.
        scenes_seed: of the scenes.
        height: of a scene in pixels.
        width: of a scene in pixels.
        train_size: number of training scenes; 0 leaves a split out.
        val_size: number of validation scenes.
        test_size: number of test scenes.
        workers: processes; by default one for each processor.
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


@dataclass
class InspectConfig:
    """``python -m panoptic.inspect``.

    Attributes:
        data: the data set.
        splits: that are inspected; by default all that are there, of which training needs ``train`` and ``val``.
        output: folder to write to; by default one under ``runs/inspect`` with the name of the data set's folder.
        ignore: kinds of faults that do not make the data set unfit; see :data:`panoptic.data.checks.faults.KINDS`.
        sheet: about how many images the contact sheet shows; 0 makes none.
        workers: processes; by default one for each processor.
    """

    data: DataConfig | None = None
    splits: list[str] | None = None
    output: str | None = None
    ignore: list[str] = field(default_factory=list)
    sheet: int = 24
    workers: int | None = None


COMMANDS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "score": ScoreConfig,
    "compare": CompareConfig,
    "scenes": ScenesConfig,
    "inspect": InspectConfig,
}

OPEN = ("trainer",)
"""Nodes that take any key: Lightning's Trainer has too many arguments to repeat."""


def register() -> None:
    """Makes the schema known to Hydra, under the names that the defaults lists in ``conf/`` use."""
    store = ConfigStore.instance()
    for command, schema in COMMANDS.items():
        store.store(name=f"{command}_schema", node=schema)
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            store.store(group=group, name=f"{option}_schema", node=schema)
