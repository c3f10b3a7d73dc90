"""Schema of the groups of a training configuration, one dataclass per kind of node. Does not import torch.

The dataclasses mirror the files in the folders of ``conf/``. Hydra instantiates nodes with ``_target_``; their other
fields are the arguments of the target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class DataConfig:
    """Fields shared by all data sets; see :class:`panoptic.data.DataModule`.

    With ``crop`` or ``scale`` of ``null``, training chooses them by the data; see :mod:`panoptic.training.recipe`.
    """

    _target_: str = MISSING
    batch_size: int = MISSING
    crop: list[int] | None = MISSING
    scale: list[float] | None = MISSING
    appearance: float = MISSING
    workers: int | None = MISSING
    padding: float = 0.25
    any_orientation: bool = False
    epoch_size: int | None = None
    on_error: str = "error"
    timeout: float = 300.0


@dataclass
class SyntheticConfig(DataConfig):
    """See :class:`panoptic.data.SyntheticData`."""

    scenes_seed: int = MISSING
    height: int = MISSING
    width: int = MISSING
    train_size: int = MISSING
    val_size: int = MISSING
    test_size: int = MISSING
    cache: bool = MISSING
    cache_dir: str | None = None
    generator: int = 1


@dataclass
class CityscapesConfig(DataConfig):
    """See :class:`panoptic.data.CityscapesData`."""

    root: str | None = None
    cache_dir: str | None = None


@dataclass
class SplitPathsConfig:
    """Paths of one split of a data set in COCO panoptic format, if not at their default locations.

    See :class:`panoptic.data.CocoPanopticSource`.

    Attributes:
        image_dir: Folder that the file names of images are relative to.
        panoptic_json: JSON file.
        panoptic_dir: Folder that the file names of annotations are relative to.
    """

    image_dir: str | None = None
    panoptic_json: str | None = None
    panoptic_dir: str | None = None


@dataclass
class CocoPanopticConfig(DataConfig):
    """See :class:`panoptic.data.CocoPanopticData`."""

    root: str | None = None
    train: SplitPathsConfig = field(default_factory=SplitPathsConfig)
    val: SplitPathsConfig = field(default_factory=SplitPathsConfig)
    test: SplitPathsConfig = field(default_factory=SplitPathsConfig)
    cache_dir: str | None = None
    channels: list[int] | None = None
    normalize: str | None = "range"
    unannotated: str = "error"


@dataclass
class BackboneConfig:
    """See :class:`panoptic.models.Backbone`."""

    _target_: str = MISSING
    _partial_: bool = True
    name: str = MISSING
    weights: str = MISSING
    checkpointing: bool = False
    lr_factor: float = 1.0


@dataclass
class ContextConfig:
    """See :class:`panoptic.models.NoContext`."""

    _target_: str = MISSING
    _partial_: bool = True


@dataclass
class PyramidPoolingConfig(ContextConfig):
    """See :class:`panoptic.models.PyramidPooling`."""

    channels: int = MISSING
    bins: list[int] = MISSING


@dataclass
class FPNConfig:
    """See :class:`panoptic.models.FPN`."""

    _target_: str = MISSING
    _partial_: bool = True
    channels: int = MISSING
    top_down: bool = True


@dataclass
class ComplexityConfig:
    """See :class:`panoptic.models.ComplexityEstimator`."""

    _target_: str = MISSING
    _partial_: bool = True
    channels: int = MISSING
    window: int = 5


@dataclass
class FusionConfig:
    """Fields shared by all fusions; see :mod:`panoptic.models.fusion`."""

    _target_: str = MISSING
    _partial_: bool = True


@dataclass
class LearnedFusionConfig(FusionConfig):
    """Fusions with learned weights: static, and those below."""

    lr: float = MISSING


@dataclass
class MLPFusionConfig(LearnedFusionConfig):
    """Fusions with an MLP: adaptive, features, local and sized."""

    hidden: int = MISSING


@dataclass
class SemanticHeadConfig:
    """See :class:`panoptic.models.SemanticHead`."""

    _target_: str = MISSING
    _partial_: bool = True
    channels: int = MISSING
    depth: int = MISSING
    upsample: int = MISSING
    separable: bool = False


@dataclass
class InstanceHeadConfig:
    """See :class:`panoptic.models.InstanceHead`."""

    _target_: str = MISSING
    _partial_: bool = True
    channels: int = MISSING
    depth: int = MISSING
    upsample: int = MISSING
    separable: bool = False


@dataclass
class ModelConfig:
    """See :class:`panoptic.models.PanopticNetwork`."""

    _target_: str = MISSING
    _partial_: bool = True
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    fpn: FPNConfig = field(default_factory=FPNConfig)
    complexity: ComplexityConfig = field(default_factory=ComplexityConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    semantic_head: SemanticHeadConfig = field(default_factory=SemanticHeadConfig)
    instance_head: InstanceHeadConfig = field(default_factory=InstanceHeadConfig)
    norm_momentum: float = 0.1
    fusion_per_head: bool = False


@dataclass
class CodecConfig:
    """See :class:`panoptic.codec.Codec`."""

    _target_: str = MISSING
    _partial_: bool = True
    sigma: float = MISSING
    small_area: int = MISSING
    small_weight: float = MISSING
    window: int = MISSING
    peak_window: int = MISSING
    peak_threshold: float = MISSING
    max_things: int | None = MISSING
    stuff_area: int = MISSING
    thing_area: int = 0


@dataclass
class LossConfig:
    """See :class:`panoptic.losses.PanopticLoss`.

    With a weight of ``null``, training chooses it by the data; see :mod:`panoptic.training.recipe`.
    """

    _target_: str = MISSING
    boundary_weight: float = MISSING
    hard_pixels: float = MISSING
    class_balance: float = 0.0
    dice: float = 0.0
    levels: float = 0.0
    semantic: float = MISSING
    center: float | None = MISSING
    offset: float | None = MISSING
    complexity: float | None = MISSING
    class_weights: Any = None  # numbers by name; OmegaConf replaces no typed dict by None


@dataclass
class OptimizerConfig:
    """Fields shared by all optimizers."""

    _target_: str = MISSING
    _partial_: bool = True
    lr: float = MISSING
    weight_decay: float = MISSING
    warmup: float = MISSING
    beta2: float = MISSING


@dataclass
class AdamWConfig(OptimizerConfig):
    """See :func:`panoptic.training.adamw_cosine`."""


@dataclass
class MuonConfig(OptimizerConfig):
    """See :func:`panoptic.training.muon_cosine`."""

    momentum: float = MISSING
    vector_lr: float = MISSING
    largest: int = MISSING


@dataclass
class CurriculumConfig:
    """See :class:`panoptic.training.Curriculum`."""

    _target_: str = MISSING
    stages: int = MISSING
    epochs_per_stage: int = MISSING
    start: float = MISSING


@dataclass
class CallbacksConfig:
    """Callbacks other than the curriculum.

    Attributes:
        patience: Number of validations in the second half of the schedule without a higher PQ before training stops;
            ``null`` never stops early.
        pictures: Number of validation images shown in the dashboard.
    """

    patience: int | None = MISSING
    pictures: int = MISSING


@dataclass
class LoggerConfig:
    """Lightning logger; ``_target_: null`` disables logging."""

    _target_: str | None = MISSING


@dataclass
class TensorBoardConfig(LoggerConfig):
    """See :class:`lightning.pytorch.loggers.TensorBoardLogger`; it logs to the folder of the run."""

    save_dir: str = MISSING
    name: str = MISSING
    version: str = MISSING
    default_hp_metric: bool = MISSING


@dataclass
class WandbConfig(LoggerConfig):
    """See :class:`lightning.pytorch.loggers.WandbLogger`; a name of ``null`` is that of the run."""

    save_dir: str = MISSING
    name: str | None = MISSING
    project: str = MISSING
    offline: bool = MISSING


@dataclass
class MLflowConfig(LoggerConfig):
    """See :class:`lightning.pytorch.loggers.MLFlowLogger`; a name of ``null`` is that of the run.

    The address of a server is the user's to give (``MLFLOW_TRACKING_URI``): a checkpoint cannot name one.
    """

    save_dir: str = MISSING
    run_name: str | None = MISSING
    experiment_name: str = MISSING


@dataclass
class CSVConfig(LoggerConfig):
    """See :class:`lightning.pytorch.loggers.CSVLogger`; it logs to the folder of the run."""

    save_dir: str = MISSING
    name: str = MISSING
    version: str = MISSING


@dataclass
class TrainerConfig:
    """See :class:`lightning.pytorch.Trainer`; its other arguments can be added with ``+trainer.<key>=``.

    Attributes:
        precision: Precision of Lightning, or ``auto``: ``16-mixed`` on CUDA, ``bf16-mixed`` on CPUs with native
            bfloat16 support, ``32-true`` elsewhere.
        nonfinite: Number of steps in a row with a loss or gradient that is not finite that end the run; ``null`` never
            ends it. Such steps are skipped. In ``16-mixed``, gradients that overflow are not counted.
    """

    accelerator: str = MISSING
    devices: Any = MISSING
    precision: str = MISSING
    max_epochs: int | None = MISSING
    check_val_every_n_epoch: int = MISSING
    gradient_clip_val: float | None = MISSING
    deterministic: bool = MISSING
    sync_batchnorm: bool = False
    log_every_n_steps: int = MISSING
    nonfinite: int | None = 3


OPTIONS: dict[str, dict[str, type]] = {
    "data": {"synthetic": SyntheticConfig, "cityscapes": CityscapesConfig, "coco_panoptic": CocoPanopticConfig},
    "model/context": {"none": ContextConfig, "pyramid_pooling": PyramidPoolingConfig},
    "model/fusion": {
        "adaptive": MLPFusionConfig,
        "features": MLPFusionConfig,
        "local": MLPFusionConfig,
        "random": FusionConfig,
        "sized": MLPFusionConfig,
        "static": LearnedFusionConfig,
        "uniform": FusionConfig,
    },
    "optimizer": {"adamw": AdamWConfig, "muon": MuonConfig},
    "logger": {
        "tensorboard": TensorBoardConfig,
        "wandb": WandbConfig,
        "mlflow": MLflowConfig,
        "csv": CSVConfig,
        "none": LoggerConfig,
    },
}
"""Schemas of the options of each group whose options have different fields."""
