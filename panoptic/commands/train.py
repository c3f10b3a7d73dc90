"""``python -m panoptic.train``: train a network; write config, checkpoints, logs and summary to a run folder."""

from __future__ import annotations

import json
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.commands.app import is_multirun
from panoptic.commands.run_start import folder_of_run, start_of_run
from panoptic.errors import InputError, Stopped, expect_at_least

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from panoptic.data import DataModule
    from panoptic.labels import LabelSpace
    from panoptic.training.checkpoint import Checkpoint
    from panoptic.training.module import PanopticModule
    from panoptic.training.resuming import Start


def train(config: DictConfig) -> None:
    """Train as configured, or go on where a run stopped.

    Raises:
        InputError: If a key, a checkpoint or the data cannot be used.
    """
    from lightning.pytorch.utilities import rank_zero_only

    from panoptic.training.recipe import sized_by_data
    from panoptic.training.run_lock import claimed
    from panoptic.utils.files import naming

    started = time.monotonic()
    is_first = getattr(rank_zero_only, "rank", 0) == 0
    config = sized_by_data(config, tell=is_first)
    _check(config)
    folder = folder_of_run(config, is_first)
    with claimed(folder) if is_first else nullcontext():
        try:
            with naming(folder):  # the dashboard's writer does not tell which of its files does not fit
                _train(config, folder, is_first, started)
        except Stopped as stopped:
            if is_first:
                _tell_stopped(config, folder, stopped)
            raise


def _tell_stopped(config: DictConfig, folder: Path, stopped: Stopped) -> None:
    """Say what ended a run and how it goes on, and have SLURM queue it again if it asked for that."""
    from panoptic.training.callbacks.interruptions import requeue
    from panoptic.training.runs import record_event

    name = signal.Signals(stopped.number).name
    record_event(folder, "stop", signal=name)
    told = f"stopped by {name}; its state is saved, and resume={folder} goes on"
    if name == "SIGUSR1":
        goes_on = config.resume is not None or config.study is not None
        queued = requeue() if goes_on else "for SLURM to queue a job again, start it with resume=auto or study=NAME"
        told += "" if queued is None else f"; {queued}"
    print(f"panoptic: {told}", file=sys.stderr, flush=True)


def _train(config: DictConfig, folder: Path, is_first: bool, started: float) -> None:
    from lightning.pytorch import seed_everything

    from panoptic.data.statistics import only_category, only_category_note
    from panoptic.training.budget import choose_steps
    from panoptic.training.callbacks.interruptions import Interruptions
    from panoptic.training.dashboard import ending, hint
    from panoptic.training.runs import finished, record_event
    from panoptic.training.trainer import build_callbacks, build_trainer

    start = start_of_run(config, folder)
    # Not earlier: with start_from, the finished run has recorded the network of the checkpoint.
    if config.study is not None and finished(folder, start.config):
        if is_first:
            print(f"finished before: {folder}", flush=True)
            _evaluate(start.config, folder)
        return
    _check(start.config)
    _check_epochs(start, folder)
    seed_everything(start.config.seed, verbose=False)
    trainer = build_trainer(start.config, folder, 0 if start.resumed is None else start.resumed.steps)
    _check_processes(trainer)
    data = _data(start)
    data.check_room(on_cpu=trainer.strategy.root_device.type == "cpu")
    if start.config.data.on_error == "error":
        data.train_source.read(0)  # settings that no image fits fail before anything is written
    module, notes = _module(start, data, trainer)
    if trainer.is_global_zero and (only := only_category(data.train_source)) is not None:
        notes.append(f"note: {only_category_note(only)}")
    budget = choose_steps(start, folder, trainer, module, data, started)
    cast("Any", trainer).callbacks.extend(build_callbacks(start, folder, module.record))
    if trainer.is_global_zero:
        _prepare(folder, start)
        _announce(trainer, module, start.config, folder)
        if budget:
            record_event(folder, "budget", **budget)
            print(f"{budget['steps']} steps, to end within {start.config.budget}", flush=True)
        for note in (*start.notes, *notes):
            print(note, flush=True)
    with ending(trainer.logger):
        _fit(trainer, module, data, start.resumed)
        interruptions = next(c for c in cast("Any", trainer).callbacks if isinstance(c, Interruptions))
        if trainer.is_global_zero:
            record_event(folder, "end", epochs=trainer.current_epoch, steps=trainer.global_step)
            if start.config.choose_decoding and interruptions.received is None:
                _choose_decoding(folder)
            _report(folder, data.labels, hint(trainer.logger, folder))
        if interruptions.received is not None:  # in the last epoch, which is complete
            raise Stopped(interruptions.received)
        if trainer.is_global_zero:
            _evaluate(start.config, folder, trainer)


def _check(config: DictConfig) -> None:
    """Raise for values that neither the schema nor a part that is built would refuse."""
    from panoptic.training.callbacks.interruptions import seconds_of

    expect_at_least(0, seed=config.seed)
    if config.seed >= 2**32:
        raise InputError(f"seed: expected less than {2**32}, got {config.seed}")
    epochs = {key: config.trainer[key] for key in ("max_epochs", "check_val_every_n_epoch", "log_every_n_steps")}
    expect_at_least(1, **{f"trainer__{key}": value for key, value in epochs.items()})
    if config.trainer.nonfinite is not None:
        expect_at_least(1, trainer__nonfinite=config.trainer.nonfinite)
    if config.callbacks.patience is not None:
        expect_at_least(0, callbacks__patience=config.callbacks.patience)
    if config.budget is not None and seconds_of(config.budget, "budget") <= 0:
        raise InputError(f"budget: expected a time above 0, got {config.budget}")
    expect_at_least(0, evaluation__shuffles=config.evaluation.shuffles)
    if config.evaluation.split not in (None, "val", "test"):
        raise InputError(f"evaluation.split: expected val, test or null, got {config.evaluation.split!r}")


def _check_epochs(start: Start, folder: Path) -> None:
    """Raise if a run has no epochs left; one that ended before its summary was written has that left.

    Raises:
        InputError: If nothing is left.
    """
    if start.resumed is None or start.first_epoch < start.config.trainer.max_epochs:
        return
    if start.first_epoch == start.config.trainer.max_epochs and not (folder / "summary.json").is_file():
        return
    raise InputError(
        f"{start.resumed.path}: expected a run with epochs left, got one that has trained {start.first_epoch} of "
        f"{start.config.trainer.max_epochs}; trainer.max_epochs={2 * start.first_epoch} would go on"
    )


def _check_processes(trainer: Trainer) -> None:
    """Raise if each of several processes would start a whole sweep again.

    Raises:
        InputError: If the run is a job of a sweep with several processes.
    """
    if is_multirun() and trainer.world_size > 1:
        raise InputError(
            f"trainer.devices: expected one device in a multirun, got {trainer.world_size} processes, each of which "
            "would start the whole sweep again; start the runs one by one with torchrun, or set trainer.devices=1"
        )


def _prepare(folder: Path, start: Start) -> None:
    """Record the configuration and what changes in it, and remove what no longer holds or was left half written."""
    from panoptic.training.runs import record_event, remove_unfinished
    from panoptic.utils.files import remove_strays, replacing

    for place in (folder, folder / "checkpoints"):
        remove_strays(place)
    if start.resumed is None:
        remove_unfinished(folder)
        record_event(folder, "start")
    else:
        summary = folder / "summary.json"
        before = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
        where = {"checkpoint": str(start.resumed.path), "epochs": start.resumed.epochs, "steps": start.resumed.steps}
        record_event(folder, "resume", **where, **{key: before[key] for key in ("best", "last") if key in before})
        for path in (summary, *(folder / f"nonfinite.{suffix}" for suffix in ("json", "ckpt"))):
            path.unlink(missing_ok=True)
    for key, (old, new) in start.changes.items():
        record_event(folder, "change", key=key, old=old, new=new)
    with replacing(folder / "config.yaml", durable=True) as part:
        OmegaConf.save(start.config, part, resolve=True)


def _data(start: Start) -> DataModule:
    """Build the data, and read both splits so that faults show before anything is written.

    Raises:
        InputError: If a split cannot be read, or their categories differ.
    """
    from panoptic.config.composing import build
    from panoptic.training.resuming import check_labels

    data = build(start.config.data, seed=start.config.seed)
    if start.resumed is not None:
        data.first_epoch, data.first_batch = start.resumed.epochs, start.resumed.batches
    check_labels(start, data.labels)
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
    initial = config.copy()
    if start.resumed is not None:
        initial.model.backbone.weights = "random"  # overwritten by the checkpoint's: nothing to fetch
    network = build_network(initial, labels.num_classes)
    data.check_cells(network.coarsest_stride)
    weights_used = str(network.get_submodule("backbone").weights_used)
    started_from: dict[str, Any] | None = None
    notes: list[str] = []
    if start.resumed is not None:
        weights_used, started_from = start.resumed.backbone_weights, start.resumed.started_from
    elif start.source is not None:
        adopted = adopt_weights(network, labels, start.source)
        weights_used, started_from = f"the checkpoint's ({start.source.backbone_weights})", adopted.to_dict()
        notes += [str(adopted), *_other_reading(config, start.source)]
    record = make_record(config, labels, weights_used, started_from)
    if start.resumed is not None and start.resumed.calibration is not None:  # until the next validation
        record["calibration"] = start.resumed.calibration
    optimization = build(config.optimizer)
    optimization(network, 1)  # settings out of range are told now, not once the run has begun
    loss = build(config.loss, names=labels.names)
    module = PanopticModule(network, build_codec(config, labels, network), loss, optimization, record)
    if config.compile:
        compile_network(network, trainer.strategy.root_device)
    return module, notes


def _other_reading(config: DictConfig, source: Checkpoint) -> list[str]:
    """List what to know if images are scaled to 8 bits in another way than those the weights were trained on."""
    from panoptic.data.bands import Reading

    now, then = (Reading.of_data(data).normalize for data in (config.data, source.config.data))
    if now == then:
        return []
    return [
        f"note: {source.path} was trained with data.normalize={then}, and is trained on with {now}; "
        f"data.normalize={then} keeps it"
    ]


def _fit(trainer: Trainer, module: PanopticModule, data: DataModule, resumed: Checkpoint | None) -> None:
    """Train, with the warnings off that say what is meant here.

    Raises:
        InputError: If the state of the checkpoint cannot be restored, or no step can be made from it.
    """
    from torch import OutOfMemoryError

    from panoptic.training.callbacks.checkpoints import Checkpoints

    # Steps are counted over all epochs, so that short ones are logged too.
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging", UserWarning)
    # The data are positioned by their own.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch", UserWarning)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if resumed is None else resumed.path, weights_only=True)
    except Stopped:
        raise
    except SystemExit:
        if trainer.interrupted:  # Lightning ends the process, without a word
            raise KeyboardInterrupt from None
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        checkpoints = next(c for c in cast("Any", trainer).callbacks if isinstance(c, Checkpoints))
        if resumed is None or checkpoints.has_stepped or isinstance(error, (InputError, OutOfMemoryError)):
            raise
        raise InputError(
            f"{resumed.path}: expected the state of a run to go on from, got one that does not fit its configuration "
            f"({type(error).__name__}: {(str(error).splitlines() or [''])[0].strip()})"
        ) from error


def _choose_decoding(folder: Path) -> None:
    """Choose the settings of decoding for the best and for the last checkpoint, together if they are the same."""
    from panoptic.analysis.decoding import choose_decoding
    from panoptic.commands.console import progress
    from panoptic.training.checkpoint import read_checkpoint
    from panoptic.training.runs import record_event
    from panoptic.utils.files import write_json

    best, last = (folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    others = [best] if best.is_file() else []
    if others and read_checkpoint(best).steps != read_checkpoint(last).steps:
        choose_decoding(best, progress=progress)
        others = []
    decoding = choose_decoding(last, others, progress)  # what is evaluated at the end
    chosen = {"images": decoding.images, "pq_before": decoding.pq_before, "pq": decoding.pq, **decoding.settings}
    record_event(folder, "decoding", **chosen)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    write_json(folder / "summary.json", summary | {"decoding": chosen})
    print(decoding, flush=True)


def _evaluate(config: DictConfig, folder: Path, trainer: Trainer | None = None) -> None:
    """Score the last checkpoint as configured, unless that was done before in the same way."""
    from panoptic.analysis.evaluation import evaluate_checkpoint
    from panoptic.commands.console import print_evaluation, progress
    from panoptic.config.schema import EvaluateConfig
    from panoptic.data.images import read_image
    from panoptic.training.dashboard import log_picture
    from panoptic.training.runs import scored

    split = config.evaluation.split
    if split is None or (trainer is None and scored(folder, config.evaluation)):
        return
    options = EvaluateConfig(checkpoint=str(folder / "checkpoints" / "last.ckpt"), **config.evaluation)
    evaluated = evaluate_checkpoint(options, progress)
    print_evaluation(evaluated)
    if trainer is not None:
        for name in ("alpha", "alpha_maps"):
            picture = evaluated.folder / f"{name}.png"
            if picture.is_file():
                log_picture(trainer.logger, f"{split}/{name}", read_image(picture), trainer.global_step)
        if trainer.logger is not None:
            trainer.logger.save()  # what was written after the end of training


def _announce(trainer: Trainer, module: PanopticModule, config: DictConfig, folder: Path) -> None:
    parameters = sum(p.numel() for p in module.network.parameters()) / 1e6
    print(
        f"{config.name}: {parameters:.2f} million parameters, {config.model.backbone.name} from "
        f"{module.record['backbone_weights']} weights, {trainer.world_size} x {trainer.strategy.root_device}, "
        f"precision {trainer.precision}\nrun folder: {folder}",
        flush=True,
    )


def _report(folder: Path, labels: LabelSpace, dashboard: str | None) -> None:
    from panoptic.commands.console import print_table
    from panoptic.metrics.display import score_rows, summary_columns

    summary = json.loads((folder / "summary.json").read_text())
    rows: dict[str, Mapping[str, float]] = {}
    for which in ("best", "last"):
        scores = {name.removeprefix("val/"): value for name, value in summary[which].items()}
        rows |= {
            f"{which}: {row}": v
            for row, v in score_rows(scores, labels, summary_columns(scores)).items()
            if row in ("all", "things", "stuff")
        }
    after = "1 epoch" if summary["epochs"] == 1 else f"{summary['epochs']} epochs"
    decoded = ", decoded as configured" if "decoding" in summary else ""
    print_table(f"validation, after {after} in {summary['seconds']:.0f} s{decoded}", rows)
    if summary["boundary_remark"] is not None:
        print(summary["boundary_remark"])
    print(f"checkpoints: {folder / 'checkpoints'}\nsummary: {folder / 'summary.json'}")
    if dashboard is not None:
        print(f"dashboard: {dashboard}")
