"""``python -m panoptic.train``: train a network; write config, checkpoints, logs and summary to a run folder."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.commands.app import is_multirun, run_dir
from panoptic.errors import InputError, expect_at_least

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from panoptic.data import DataModule
    from panoptic.labels import LabelSpace
    from panoptic.training.checkpoint import Checkpoint
    from panoptic.training.module import PanopticModule


def train(config: DictConfig) -> None:
    """Train as configured, or go on where a checkpoint stopped.

    Raises:
        InputError: If a key, a checkpoint or the data cannot be used.
    """
    from lightning.pytorch import seed_everything
    from lightning.pytorch.utilities import rank_zero_only

    from panoptic.training.runs import finished, remove_unfinished

    folder = run_dir()
    _check(config)
    start = resolve_start(config)
    # Not earlier: with start_from, the finished run has recorded the network of the checkpoint.
    if config.study is not None and start.resume is None:
        if finished(folder, start.config):
            if getattr(rank_zero_only, "rank", 0) == 0:
                print(f"finished before: {folder}", flush=True)
                _evaluate(start.config, folder)
            return
        remove_unfinished(folder)
    start = replace(start, config=_logging_to(folder, start.config))
    _check(start.config)
    if start.first_epoch >= start.config.trainer.max_epochs:
        raise InputError(
            f"{start.resume}: expected a run with epochs left, got one that has trained {start.first_epoch} of "
            f"{start.config.trainer.max_epochs}; trainer.max_epochs={2 * start.first_epoch} would go on"
        )
    seed_everything(start.config.seed, verbose=False)
    trainer = _trainer(start.config)
    data = _data(start)
    module, notes = _module(start, data, trainer)
    cast("Any", trainer).callbacks.extend(_callbacks(start.config, folder, module.record))
    if trainer.is_global_zero:
        OmegaConf.save(start.config, folder / "config.yaml", resolve=True)
        _announce(trainer, module, start.config, folder)
        for note in notes:
            print(note, flush=True)
    _fit(trainer, module, data, start.resume)
    if trainer.is_global_zero:
        _report(folder, data.labels)
        _evaluate(start.config, folder, trainer)


@dataclass(frozen=True)
class Start:
    """What a run begins from.

    Attributes:
        config: Configuration of the run.
        resume: Path of the checkpoint to go on from.
        resumed: That checkpoint, as it was read.
        source: Checkpoint of an earlier run to take weights from.
        first_epoch: Number of epochs behind it.
    """

    config: DictConfig
    resume: str | None = None
    resumed: Checkpoint | None = None
    source: Checkpoint | None = None
    first_epoch: int = 0


def resolve_start(config: DictConfig) -> Start:
    """Read the checkpoint that a run starts from, if any, and return the configuration that follows from it.

    Raises:
        InputError: If the checkpoint cannot be used.
    """
    from panoptic.training.checkpoint import read_checkpoint

    if config.resume is not None:
        resumed = read_checkpoint(config.resume, config.overrides)
        return Start(resumed.config, config.resume, resumed, first_epoch=resumed.epochs)
    if config.start_from is None:
        return Start(config)
    if not config.start_from:
        raise InputError("start_from: expected a checkpoint to start from (start_from=FILE), got none")
    source = read_checkpoint(config.start_from, _changes("model", "codec"))
    merged = config.copy()
    merged.model, merged.codec = source.config.model, source.config.codec
    merged.model.backbone.weights = "random"  # about to be overwritten: nothing to fetch
    return Start(merged, source=source)


def _changes(*nodes: str) -> list[str]:
    """Return the command line's changes to these nodes.

    Raises:
        InputError: If the ablation would change the network, which is the checkpoint's.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    ablation = hydra.runtime.choices.get("ablation")
    if ablation == "on":
        raise InputError(
            f"ablation={ablation}: expected ablation=off with start_from, since the network is "
            "that of the checkpoint; model/fusion=uniform exchanges its fusion"
        )
    return [change for change in hydra.overrides.task if change.replace("/", ".").split("=")[0].split(".")[0] in nodes]


def _logging_to(folder: Path, config: DictConfig) -> DictConfig:
    """Return the configuration with its logger in a run's folder."""
    if "save_dir" not in config.logger:
        return config
    logging_here = config.copy()
    logging_here.logger.save_dir = str(folder)
    return logging_here


def _check(config: DictConfig) -> None:
    """Raise for values that neither the schema nor a part that is built would refuse."""
    expect_at_least(0, seed=config.seed)
    if config.seed >= 2**32:
        raise InputError(f"seed: expected less than {2**32}, got {config.seed}")
    epochs = {key: config.trainer[key] for key in ("max_epochs", "check_val_every_n_epoch", "log_every_n_steps")}
    expect_at_least(1, **{f"trainer__{key}": value for key, value in epochs.items()})
    if config.callbacks.patience is not None:
        expect_at_least(0, callbacks__patience=config.callbacks.patience)
    expect_at_least(0, evaluation__shuffles=config.evaluation.shuffles)
    if config.evaluation.split not in (None, "val", "test"):
        raise InputError(f"evaluation.split: expected val, test or null, got {config.evaluation.split!r}")


def _data(start: Start) -> DataModule:
    """Build the data, and read both splits so that faults show before anything is written.

    Raises:
        InputError: If a split cannot be read, or their categories differ.
    """
    from panoptic.config.composing import build

    data = build(start.config.data, seed=start.config.seed)
    data.first_epoch = start.first_epoch
    labels, val_labels = data.labels, data.val_source.labels
    if not val_labels.has_categories_of(labels):
        raise InputError(f"data: expected one label space for train and val, {labels.difference(val_labels)} in val")
    return data


def _module(start: Start, data: DataModule, trainer: Trainer) -> tuple[PanopticModule, list[str]]:
    """Build what is trained, and list what to tell about its weights."""
    from panoptic.config.composing import build
    from panoptic.inference.compiling import compile_network
    from panoptic.training.checkpoint import adopt_weights, build_codec, build_network, make_record
    from panoptic.training.module import PanopticModule

    config, labels = start.config, data.labels
    network = build_network(config, labels.num_classes)
    weights_used = str(network.get_submodule("backbone").weights_used)
    started_from: dict[str, Any] | None = None
    notes: list[str] = []
    if start.resumed is not None:
        weights_used, started_from = start.resumed.backbone_weights, start.resumed.started_from
    elif start.source is not None:
        adopted = adopt_weights(network, labels, start.source)
        weights_used, started_from = f"the checkpoint's ({start.source.backbone_weights})", adopted.to_dict()
        notes.append(str(adopted))
    record = make_record(config, labels, weights_used, started_from)
    optimization = build(config.optimizer)
    optimization(network, 1)  # settings out of range are told now, not once the run has begun
    module = PanopticModule(network, build_codec(config, labels, network), build(config.loss), optimization, record)
    if config.compile:
        compile_network(network, trainer.strategy.root_device)
    return module, notes


def _fit(trainer: Trainer, module: PanopticModule, data: DataModule, resume: str | None) -> None:
    """Train, with the warnings off that say what is meant here."""
    # A resumed run has a folder of its own, and keeps its own best from there on.
    warnings.filterwarnings("ignore", "The dirpath has changed", UserWarning)
    # Steps are counted over all epochs, so that short ones are logged too.
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging", UserWarning)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except SystemExit:
        if trainer.interrupted:  # Lightning ends the process, without a word
            raise KeyboardInterrupt from None
        raise


def _evaluate(config: DictConfig, folder: Path, trainer: Trainer | None = None) -> None:
    """Score the last checkpoint as configured, unless that was done before in the same way."""
    from lightning.pytorch.loggers import TensorBoardLogger

    from panoptic.analysis.evaluation import evaluate_checkpoint
    from panoptic.commands.console import print_evaluation, progress
    from panoptic.config.schema import EvaluateConfig
    from panoptic.data.images import read_image
    from panoptic.training.runs import scored

    split = config.evaluation.split
    if split is None or (trainer is None and scored(folder, config.evaluation)):
        return
    options = EvaluateConfig(checkpoint=str(folder / "checkpoints" / "last.ckpt"), **config.evaluation)
    evaluated = evaluate_checkpoint(options, progress)
    print_evaluation(evaluated)
    if trainer is not None and isinstance(trainer.logger, TensorBoardLogger):
        for name in ("alpha", "alpha_maps"):
            picture = evaluated.folder / f"{name}.png"
            if picture.is_file():
                image = read_image(picture)
                trainer.logger.experiment.add_image(f"{split}/{name}", image, trainer.global_step, dataformats="HWC")
        trainer.logger.experiment.flush()


def _trainer(config: DictConfig) -> Trainer:
    """Build Lightning's trainer, without its progress bar and checkpoints: the run's callbacks do both."""
    from lightning.pytorch import Trainer

    from panoptic.config.composing import build
    from panoptic.training.checkpoint_io import AtomicCheckpointIO

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # tips, and what was looked for and not found
    settings = cast("dict[str, Any]", OmegaConf.to_container(config.trainer, resolve=True))
    if settings.get("precision") == "auto":
        settings["precision"] = _precision(settings.get("accelerator", "auto"))
    # A run too short for its first validation would end without a score and without a best checkpoint.
    settings["check_val_every_n_epoch"] = min(settings["check_val_every_n_epoch"], settings["max_epochs"])
    settings |= {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
    settings |= {"num_sanity_val_steps": 0, "use_distributed_sampler": False}  # the sampler takes its own share
    logger = build(config.logger) if config.logger._target_ is not None else False
    try:
        trainer = Trainer(**settings, logger=logger, plugins=[AtomicCheckpointIO()])
    except (TypeError, ValueError, RuntimeError) as error:  # MisconfigurationException is one of them, or an Exception
        raise InputError(f"trainer: expected settings that Lightning's Trainer takes: {error}") from error
    if is_multirun() and trainer.world_size > 1:
        raise InputError(
            f"trainer.devices: expected one device in a multirun, got {trainer.world_size} processes, each of which "
            "would start the whole sweep again; start the runs one by one with torchrun, or set trainer.devices=1"
        )
    return trainer


def _precision(accelerator: str) -> str:
    """Return half precision where the device computes in it, else single."""
    import torch

    from panoptic.utils.precision import has_fast_bfloat16

    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "16-mixed"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and has_fast_bfloat16("cpu") else "32-true"


def _callbacks(config: DictConfig, folder: Path, record: dict[str, Any]) -> list[Callback]:
    from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

    from panoptic.config.composing import build
    from panoptic.training.callbacks.fusion import FusionMonitor
    from panoptic.training.callbacks.pictures import Pictures
    from panoptic.training.callbacks.progress import progress_callbacks
    from panoptic.training.callbacks.summary import Summary
    from panoptic.training.callbacks.throughput import Throughput

    kept: dict[str, Any] = {
        "dirpath": folder / "checkpoints",
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
    }
    best = ModelCheckpoint(filename="best", monitor="val/pq", mode="max", save_on_train_epoch_end=False, **kept)
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **kept)
    callbacks: list[Callback] = [build(config.curriculum), Pictures(config.callbacks.pictures), *progress_callbacks()]
    if config.callbacks.patience is not None:
        patience = config.callbacks.patience
        callbacks.append(EarlyStopping("val/loss", patience=patience, mode="min", check_on_train_epoch_end=False))
    if config.logger._target_ is not None:
        callbacks.append(LearningRateMonitor("step"))
    throughput = Throughput()
    callbacks.append(FusionMonitor())
    return [*callbacks, throughput, Summary(folder, record, best, throughput), best, last]


def _announce(trainer: Trainer, module: PanopticModule, config: DictConfig, folder: Path) -> None:
    parameters = sum(p.numel() for p in module.network.parameters()) / 1e6
    print(
        f"{config.name}: {parameters:.2f} million parameters, {config.model.backbone.name} from "
        f"{module.record['backbone_weights']} weights, {trainer.world_size} x {trainer.strategy.root_device}, "
        f"precision {trainer.precision}\nrun folder: {folder}",
        flush=True,
    )


def _report(folder: Path, labels: LabelSpace) -> None:
    from panoptic.commands.console import print_table
    from panoptic.metrics.display import SUMMARY, score_rows

    summary = json.loads((folder / "summary.json").read_text())
    rows: dict[str, Mapping[str, float]] = {}
    for which in ("best", "last"):
        scores = {name.removeprefix("val/"): value for name, value in summary[which].items()}
        rows |= {
            f"{which}: {row}": v
            for row, v in score_rows(scores, labels, SUMMARY).items()
            if row in ("all", "things", "stuff")
        }
    print_table(f"validation, after {summary['epochs']} epochs in {summary['seconds']:.0f} s", rows)
    print(
        f"checkpoints: {folder / 'checkpoints'}\nsummary: {folder / 'summary.json'}\n"
        f"dashboard: tensorboard --logdir {folder}"
    )
