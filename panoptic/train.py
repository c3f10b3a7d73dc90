"""``python -m panoptic.train``: trains a network, and leaves a folder with all that is to know about it."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from panoptic.cli import command, is_multirun, run_dir
from panoptic.errors import InputError, expect_at_least

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer
    from torch import nn

    from panoptic.labels import LabelSpace


def train(config: DictConfig) -> None:
    """Trains as configured, or goes on where a checkpoint stopped.

    Raises:
        InputError: if something that was given cannot be used.
    """
    from lightning.pytorch import seed_everything
    from lightning.pytorch.utilities import rank_zero_only

    from panoptic.checkpoint import adopt_weights, build_codec, build_network, make_record, read_checkpoint
    from panoptic.compiling import compile_network
    from panoptic.module import PanopticModule
    from panoptic.settings import build
    from panoptic.study import finished

    resume, folder = config.resume, run_dir()
    _check(config)
    first_epoch = 0
    earlier = start = None
    if resume is not None:
        earlier = read_checkpoint(resume, config.overrides)
        config, first_epoch = earlier.config, earlier.epochs
    elif config.start_from is not None:
        if not config.start_from:
            raise InputError("start_from: expected a checkpoint to start from (start_from=FILE), got none")
        start = read_checkpoint(config.start_from, _changes("model", "codec"))
        config.model, config.codec = start.config.model, start.config.codec
        config.model.backbone.weights = "random"  # about to be overwritten: nothing to fetch
    # Not earlier: with start_from, the finished run has recorded the network of the checkpoint.
    if earlier is None and config.study is not None and finished(folder, config):
        if rank_zero_only.rank == 0:
            print(f"finished before: {folder}", flush=True)
            _evaluate(config, folder)
        return
    if "save_dir" in config.logger:
        config.logger.save_dir = str(folder)
    _check(config)
    if first_epoch >= config.trainer.max_epochs:
        raise InputError(
            f"{resume}: expected a run with epochs left, got one that has trained {first_epoch} of "
            f"{config.trainer.max_epochs}; trainer.max_epochs={2 * first_epoch} would go on"
        )
    seed_everything(config.seed, verbose=False)
    trainer = _trainer(config)
    data = build(config.data, seed=config.seed)
    data.first_epoch = first_epoch
    labels = data.labels
    val_labels = data.val_source.labels  # a fault in the data shows before anything is written
    if not val_labels.has_categories_of(labels):
        raise InputError(f"data: expected one label space for train and val, {labels.difference(val_labels)} in val")
    network = build_network(config, labels.num_classes)
    weights_used, started_from = network.backbone.weights_used, None
    if earlier is not None:
        weights_used, started_from = earlier.backbone_weights, earlier.started_from
    elif start is not None:
        adopted = adopt_weights(network, labels, start)
        weights_used, started_from = f"the checkpoint's ({start.backbone_weights})", adopted.to_dict()
    record = make_record(config, labels, weights_used, started_from)
    optimization = build(config.optimizer)
    optimization(network.parameters(), 1)  # settings out of range are told now, not once the run has begun
    module = PanopticModule(network, build_codec(config, labels, network), build(config.loss), optimization, record)
    if config.compile:
        compile_network(network, trainer.strategy.root_device)
    trainer.callbacks.extend(_callbacks(config, folder, record))
    if trainer.is_global_zero:
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
        _announce(trainer, network, config, weights_used, folder)
        if start is not None:
            print(adopted, flush=True)
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
    if trainer.is_global_zero:
        _report(folder, labels)
        _evaluate(config, folder, trainer)


def _changes(*nodes: str) -> list[str]:
    """What the command line changes in these nodes.

    Raises:
        InputError: if an ablation would change the network, which a checkpoint says all about.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    ablation = hydra.runtime.choices.get("ablation")
    if ablation not in ("off", None):
        raise InputError(
            f"ablation={ablation}: expected ablation=off with start_from, since the network is "
            "that of the checkpoint; model/fusion=uniform exchanges its fusion"
        )
    return [change for change in hydra.overrides.task if change.replace("/", ".").split("=")[0].split(".")[0] in nodes]


def _check(config: DictConfig) -> None:
    """Refuses what neither the schema nor a part that is built would."""
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


def _evaluate(config: DictConfig, folder: Path, trainer: Trainer | None = None) -> None:
    """Scores the last checkpoint as the configuration asks for, unless that was done before, in the same way."""
    from lightning.pytorch.loggers import TensorBoardLogger

    from panoptic.config import EvaluateConfig
    from panoptic.data.images import read_image
    from panoptic.evaluate import evaluate
    from panoptic.study import scored

    split = config.evaluation.split
    if split is None or (trainer is None and scored(folder, config.evaluation)):
        return
    settings = EvaluateConfig(checkpoint=str(folder / "checkpoints" / "last.ckpt"), **config.evaluation)
    results = evaluate(OmegaConf.structured(settings))
    if trainer is not None and isinstance(trainer.logger, TensorBoardLogger):
        for name in ("alpha", "alpha_maps"):
            picture = results / f"{name}.png"
            if picture.is_file():
                image = read_image(picture)
                trainer.logger.experiment.add_image(f"{split}/{name}", image, trainer.global_step, dataformats="HWC")
        trainer.logger.experiment.flush()


def _trainer(config: DictConfig) -> Trainer:
    """Lightning's trainer with its own progress bar and checkpoints off: the run's callbacks do both."""
    from lightning.pytorch import Trainer

    from panoptic.settings import build

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # tips, and what was looked for and not found
    settings: dict[str, Any] = OmegaConf.to_container(config.trainer, resolve=True)
    if settings.get("precision") == "auto":
        settings["precision"] = _precision(settings.get("accelerator", "auto"))
    # A run too short for its first validation would end without a score and without a best checkpoint.
    settings["check_val_every_n_epoch"] = min(settings["check_val_every_n_epoch"], settings["max_epochs"])
    settings |= {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
    settings |= {"num_sanity_val_steps": 0, "use_distributed_sampler": False}  # the sampler takes its own share
    logger = build(config.logger) if config.logger._target_ is not None else False
    try:
        trainer = Trainer(**settings, logger=logger)
    except (TypeError, ValueError, RuntimeError) as error:  # MisconfigurationException is one of them, or an Exception
        raise InputError(f"trainer: expected settings that Lightning's Trainer takes: {error}") from error
    if is_multirun() and trainer.world_size > 1:
        raise InputError(
            f"trainer.devices: expected one device in a multirun, got {trainer.world_size} processes, each of which "
            "would start the whole sweep again; start the runs one by one with torchrun, or set trainer.devices=1"
        )
    return trainer


def _precision(accelerator: str) -> str:
    """Half precision where the device computes in it, else single."""
    import torch

    from panoptic.precision import has_fast_bfloat16

    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "16-mixed"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and has_fast_bfloat16("cpu") else "32-true"


def _callbacks(config: DictConfig, folder: Path, record: dict[str, Any]) -> list[Callback]:
    from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

    from panoptic.callbacks.pictures import Pictures
    from panoptic.callbacks.progress import progress_callbacks
    from panoptic.callbacks.summary import Summary
    from panoptic.callbacks.throughput import Throughput
    from panoptic.settings import build

    kept = {"dirpath": folder / "checkpoints", "auto_insert_metric_name": False, "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", monitor="val/pq", mode="max", save_on_train_epoch_end=False, **kept)
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **kept)
    callbacks: list[Callback] = [build(config.curriculum), Pictures(config.callbacks.pictures), *progress_callbacks()]
    if config.callbacks.patience is not None:
        patience = config.callbacks.patience
        callbacks.append(EarlyStopping("val/loss", patience=patience, mode="min", check_on_train_epoch_end=False))
    if config.logger._target_ is not None:
        callbacks.append(LearningRateMonitor("step"))
    throughput = Throughput()
    return [*callbacks, throughput, Summary(folder, record, best, throughput), best, last]


def _announce(trainer: Trainer, network: nn.Module, config: DictConfig, weights_used: str, folder: Path) -> None:
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    print(
        f"{config.name}: {parameters:.2f} million parameters, {config.model.backbone.name} from "
        f"{weights_used} weights, {trainer.world_size} x {trainer.strategy.root_device}, "
        f"precision {trainer.precision}\nrun folder: {folder}",
        flush=True,
    )


def _report(folder: Path, labels: LabelSpace) -> None:
    from panoptic.metrics.display import SUMMARY, score_rows
    from panoptic.report import print_table

    summary = json.loads((folder / "summary.json").read_text())
    rows = {}
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


if __name__ == "__main__":
    command("train", train)
