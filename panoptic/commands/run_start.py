"""Where a training run begins: in which folder, and from which configuration and checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.commands.app import is_multirun, run_dir
from panoptic.errors import InputError

if TYPE_CHECKING:
    from panoptic.training.resuming import Start


def folder_of_run(config: DictConfig, is_first: bool) -> Path:
    """Return the folder of the run: that of the run which goes on, or a new one.

    Args:
        config: Configuration from the command line.
        is_first: Whether this process is the first of the run; the others check nothing.

    Raises:
        InputError: If there is a run already in what should be a new folder, or a folder is given for one that goes on.
    """
    from hydra.core.hydra_config import HydraConfig

    from panoptic.training.runs import goes_on_from_checkpoint, has_run, newest_unfinished, run_of

    if config.resume == "auto":
        if is_multirun():
            raise InputError("resume=auto: expected a single run, got a sweep; study=NAME goes on with the runs of one")
        folder = newest_unfinished(run_dir().parent, _with_weights_of(config).config) or run_dir()
    else:
        folder = run_dir() if config.resume is None else run_of(Path(config.resume).expanduser()) or run_dir()
    if not is_first:  # the first process has made or found the folder
        return folder
    given = [key for key in HydraConfig.get().overrides.hydra if key.startswith("hydra.run.dir=")]
    if given and folder != run_dir() and not folder.samefile(run_dir()):
        raise InputError(f"{given[0]}: expected none with resume, which goes on in {folder}")
    if config.resume is None and config.study is None and has_run(folder):
        advice = f"resume={folder} goes on with it"
        if not goes_on_from_checkpoint(folder):
            advice = f"it has no checkpoint yet, and resume=auto hydra.run.dir={folder} begins it again"
        raise InputError(f"{folder}: expected a folder without a run, got one; {advice}")
    return folder


def start_of_run(config: DictConfig, folder: Path) -> Start:
    """Return what the run begins from.

    Args:
        config: Configuration from the command line.
        folder: Folder of the run.

    Raises:
        InputError: If a checkpoint cannot be used, or the run in the folder of a study has another configuration.
    """
    from panoptic.training.resuming import resume
    from panoptic.training.runs import goes_on_from_checkpoint, plain, refuse_other_study

    if config.resume not in (None, "auto"):
        return resume(Path(config.resume).expanduser(), config.overrides)
    start = _with_weights_of(config)
    goes_on = goes_on_from_checkpoint(folder)  # a run that was killed before its first checkpoint begins again
    if config.study is not None:
        recorded = folder / "config.yaml"
        goes_on = goes_on and recorded.is_file() and not (folder / "summary.json").is_file()
        if goes_on:
            refuse_other_study(folder, plain(cast("DictConfig", OmegaConf.load(recorded))), start.config)
    elif config.resume is None:
        goes_on = False
    if not goes_on:
        return start
    if start.config.budget is not None:  # its steps were chosen when it began
        start.config.data.epoch_size = OmegaConf.load(folder / "config.yaml").data.epoch_size
    return resume(folder, config=start.config)


def _with_weights_of(config: DictConfig) -> Start:
    """Return a new run's start: the configuration, and with ``start_from`` the checkpoint that its network is of.

    Raises:
        InputError: If the checkpoint cannot be used.
    """
    from panoptic.training.checkpoint import read_checkpoint
    from panoptic.training.resuming import Start

    if config.start_from is None:
        return Start(config)
    if not config.start_from:
        raise InputError("start_from: expected a checkpoint to start from (start_from=FILE), got none")
    source = read_checkpoint(config.start_from, _changes("model", "codec"), decoding=False)
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
