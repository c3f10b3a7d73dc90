"""The schema of every configuration. Imports no torch, so that a misspelt key is told within a second.

The dataclasses mirror the files in ``conf/``. A node with ``_target_`` is instantiated by Hydra; its other fields are
that target's arguments. :mod:`panoptic.settings` holds what people type against this schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class DataConfig:
    """What all data sets share; see :class:`panoptic.data.datamodule.DataModule`."""

    _target_: str = MISSING
    batch_size: int = MISSING
    crop: list[int] = MISSING
    scale: list[float] = MISSING
    appearance: float = MISSING
    workers: int = MISSING


@dataclass
class SyntheticConfig(DataConfig):
    """See :class:`panoptic.data.datamodule.SyntheticData`."""

    _target_: str = "panoptic.data.datamodule.SyntheticData"
    scenes_seed: int = MISSING
    height: int = MISSING
    width: int = MISSING
    train_size: int = MISSING
    val_size: int = MISSING
    test_size: int = MISSING
    cache: bool = MISSING


@dataclass
class CityscapesConfig(DataConfig):
    """See :class:`panoptic.data.datamodule.CityscapesData`."""

    _target_: str = "panoptic.data.datamodule.CityscapesData"
    root: str | None = None


@dataclass
class CocoPanopticConfig(DataConfig):
    """See :class:`panoptic.data.datamodule.CocoPanopticData`."""

    _target_: str = "panoptic.data.datamodule.CocoPanopticData"
    root: str | None = None


@dataclass
class BackboneConfig:
    """See :class:`panoptic.models.backbone.Backbone`."""

    _target_: str = "panoptic.models.backbone.Backbone"
    _partial_: bool = True
    name: str = MISSING
    weights: str = MISSING


@dataclass
class FPNConfig:
    """See :class:`panoptic.models.fpn.FPN`."""

    _target_: str = "panoptic.models.fpn.FPN"
    _partial_: bool = True
    channels: int = MISSING


@dataclass
class ComplexityConfig:
    """See :class:`panoptic.models.complexity.ComplexityEstimator`."""

    _target_: str = "panoptic.models.complexity.ComplexityEstimator"
    _partial_: bool = True
    channels: int = MISSING


@dataclass
class FusionConfig:
    """What all fusions share; see :mod:`panoptic.models.fusion`."""

    _target_: str = MISSING
    _partial_: bool = True


@dataclass
class LearnedFusionConfig(FusionConfig):
    """Fusions with an MLP: adaptive and local."""

    hidden: int = MISSING


@dataclass
class SemanticHeadConfig:
    """See :class:`panoptic.models.heads.SemanticHead`."""

    _target_: str = "panoptic.models.heads.SemanticHead"
    _partial_: bool = True
    channels: int = MISSING
    depth: int = MISSING
    upsample: int = MISSING


@dataclass
class InstanceHeadConfig:
    """See :class:`panoptic.models.heads.InstanceHead`."""

    _target_: str = "panoptic.models.heads.InstanceHead"
    _partial_: bool = True
    channels: int = MISSING
    depth: int = MISSING
    upsample: int = MISSING


@dataclass
class ModelConfig:
    """See :class:`panoptic.models.network.PanopticNetwork`."""

    _target_: str = "panoptic.models.network.PanopticNetwork"
    _partial_: bool = True
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    fpn: FPNConfig = field(default_factory=FPNConfig)
    complexity: ComplexityConfig = field(default_factory=ComplexityConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    semantic_head: SemanticHeadConfig = field(default_factory=SemanticHeadConfig)
    instance_head: InstanceHeadConfig = field(default_factory=InstanceHeadConfig)


@dataclass
class CodecConfig:
    """See :class:`panoptic.codec.Codec`."""

    _target_: str = "panoptic.codec.Codec"
    _partial_: bool = True
    sigma: float = MISSING
    small_area: int = MISSING
    small_weight: float = MISSING
    window: int = MISSING
    peak_window: int = MISSING
    peak_threshold: float = MISSING
    max_things: int = MISSING
    stuff_area: int = MISSING


@dataclass
class LossConfig:
    """See :class:`panoptic.losses.PanopticLoss`."""

    _target_: str = "panoptic.losses.PanopticLoss"
    boundary_weight: float = MISSING
    hard_pixels: float = MISSING
    semantic: float = MISSING
    center: float = MISSING
    offset: float = MISSING
    complexity: float = MISSING


@dataclass
class OptimizerConfig:
    """What every optimizer has."""

    _target_: str = MISSING
    _partial_: bool = True
    lr: float = MISSING
    weight_decay: float = MISSING
    warmup: float = MISSING
    beta2: float = MISSING


@dataclass
class AdamWConfig(OptimizerConfig):
    """See :func:`panoptic.optim.adamw_cosine`."""

    _target_: str = "panoptic.optim.adamw_cosine"


@dataclass
class MuonConfig(OptimizerConfig):
    """See :func:`panoptic.optim.muon_cosine`."""

    _target_: str = "panoptic.optim.muon_cosine"
    momentum: float = MISSING
    vector_lr: float = MISSING
    largest: int = MISSING


@dataclass
class CurriculumConfig:
    """See :class:`panoptic.callbacks.curriculum.Curriculum`."""

    _target_: str = "panoptic.callbacks.curriculum.Curriculum"
    stages: int = MISSING
    epochs_per_stage: int = MISSING
    start: float = MISSING


@dataclass
class CallbacksConfig:
    """Callbacks beside the curriculum.

    Attributes:
        patience: validations without a lower loss before training stops; ``null`` never stops early.
        pictures: validation images shown in the dashboard.
    """

    patience: int | None = MISSING
    pictures: int = MISSING


@dataclass
class LoggerConfig:
    """A Lightning logger; ``_target_: null`` logs nowhere."""

    _target_: str | None = MISSING


@dataclass
class TensorBoardConfig(LoggerConfig):
    """See :class:`lightning.pytorch.loggers.TensorBoardLogger`; its folder is the run's."""

    _target_: str | None = "lightning.pytorch.loggers.TensorBoardLogger"
    save_dir: str = MISSING
    name: str = MISSING
    version: str = MISSING
    default_hp_metric: bool = MISSING


@dataclass
class TrainerConfig:
    """See :class:`lightning.pytorch.Trainer`, whose other arguments may be added with ``+trainer.<key>=``.

    Attributes:
        precision: as there, or ``auto``: ``16-mixed`` on CUDA, ``bf16-mixed`` on a CPU that computes in
            bfloat16, ``32-true`` elsewhere.
    """

    accelerator: str = MISSING
    devices: Any = MISSING
    precision: str = MISSING
    max_epochs: int = MISSING
    check_val_every_n_epoch: int = MISSING
    gradient_clip_val: float | None = MISSING
    deterministic: bool = MISSING
    log_every_n_steps: int = MISSING


@dataclass
class TrainConfig:
    """``python -m panoptic.train``.

    Attributes:
        name: what the run is called; run folders are named after it.
        seed: of the initial weights and of the order and augmentation of the samples.
        resume: a checkpoint of an earlier run to go on from, with the configuration in it.
        overrides: with ``resume``, what the command line changes in that configuration.
    """

    name: str = MISSING
    seed: int = MISSING
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
    overrides: list[str] = field(default_factory=list)


@dataclass
class PredictConfig:
    """``python -m panoptic.predict``.

    Attributes:
        checkpoint: of a run.
        input: an image file, a folder of images or a glob.
        output: folder to write to; by default one beside the checkpoint.
        visualize: whether to write an overlay for every image.
        overrides: what the command line changes in the checkpoint's configuration.
    """

    checkpoint: str = MISSING
    input: str = MISSING
    output: str | None = None
    visualize: bool = True
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


COMMANDS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "score": ScoreConfig,
}

OPTIONS: dict[str, dict[str, type]] = {
    # The options of a group whose fields differ, each with its schema.
    "data": {"synthetic": SyntheticConfig, "cityscapes": CityscapesConfig, "coco_panoptic": CocoPanopticConfig},
    "model/fusion": {
        "adaptive": LearnedFusionConfig,
        "local": LearnedFusionConfig,
        "static": FusionConfig,
        "uniform": FusionConfig,
    },
    "optimizer": {"adamw": AdamWConfig, "muon": MuonConfig},
    "logger": {"tensorboard": TensorBoardConfig, "none": LoggerConfig},
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
