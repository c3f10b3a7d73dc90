"""What all commands share: Hydra's entry, errors meant for a person, and the folder a run writes to."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from panoptic.commands.help import help_text
from panoptic.config.composing import config_path, sentence
from panoptic.config.overrides import pack_overrides, validate
from panoptic.config.resolvers import run_folder, sweep_folder, sweep_subfolder
from panoptic.config.schema import register
from panoptic.errors import InputError
from panoptic.utils.malloc import keep_freed_memory

Task = Callable[[DictConfig], object]


def command(name: str, run: Task, arguments: Sequence[str] | None = None) -> None:
    """Runs a command with Hydra: composes ``conf/<name>.yaml`` with the command line and hands the result over.

    What a person can mend is shown as its sentence alone and ends with exit status 1, without a traceback. In a
    multirun the other jobs still run before that.

    Args:
        name: of the command.
        run: what it does.
        arguments: instead of the process's own.
    """
    register()
    for resolver in (run_folder, sweep_folder, sweep_subfolder):  # kept, so that a run has one folder
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True, use_cache=True)
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask over the network at import
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that errors come here, rather than to Hydra's own printing

    failures: list[InputError] = []

    def task(config: DictConfig) -> None:
        _quiet_libraries()
        keep_freed_memory()
        try:
            validate(config)
            run(config)
        except InputError as error:
            if is_multirun():
                raise  # the sweep goes on, and ends with this error
            failures.append(error)  # Hydra would announce it in its own words
        except OSError as error:
            if is_multirun() or error.errno is None:
                raise
            what = error.filename or "a file"
            failures.append(InputError(f"{what}: expected to read or write it, got: {error.strerror}"))
        finally:
            _remove_if_empty(run_dir())

    try:
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        text = help_text(name, arguments)
        if text is not None:
            print(text)
            return
        _check_launcher(arguments)
        given = pack_overrides(name, arguments)
        sys.argv = [sys.argv[0], *given]
        hydra.main(version_base="1.3", config_path=config_path(), config_name=name)(task)()
        if failures:
            raise failures[0]
    except InputError as error:
        _fail(error)
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_refused_by_resolver(error) or sentence(error))
    except KeyboardInterrupt:
        _fail("interrupted")


LAUNCHERS = {"joblib": ("hydra-joblib-launcher", "sweeps"), "submitit": ("hydra-submitit-launcher", "slurm")}
"""Hydra's plugins for sweeps by the beginning of their option, each with its package and the extra that has it."""


def _check_launcher(arguments: list[str]) -> None:
    """Says what to install for a launcher, where Hydra would say that it has no such option.

    Raises:
        InputError: if the launcher is not installed.
    """
    for argument in arguments:
        key, _, option = argument.partition("=")
        package, extra = LAUNCHERS.get(option.split("_")[0], (None, None))
        if key != "hydra/launcher" or package is None:
            continue
        try:
            distribution(package)
        except PackageNotFoundError:
            raise InputError(
                f"{argument}: expected {package}, got no such package; pip install -e '.[{extra}]' installs it"
            ) from None


def run_dir() -> Path:
    """The folder of this run."""
    return Path(HydraConfig.get().runtime.output_dir)


def is_multirun() -> bool:
    """Whether this is one job of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def _fail(reason: object) -> NoReturn:
    # What a data-loading worker raised comes wrapped in its traceback; its last line is the error itself.
    text = str(reason)
    if "Original Traceback" in text:
        text = text.rstrip().rsplit(f"{InputError.__name__}: ", 1)[-1]
    print(f"panoptic: {text}", file=sys.stderr)
    sys.exit(1)


def _refused_by_resolver(error: BaseException) -> InputError | None:
    """What a resolver has raised, without the words that OmegaConf puts before it; ``None`` if none has."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, InputError):
        inner = inner.__context__
    return inner


def _remove_if_empty(folder: Path) -> None:
    """Removes the folder that Hydra made for a run, if nothing came to be in it, and so the folders around it."""
    here = Path.cwd()
    for path in (folder, *folder.parents):
        if here not in path.parents or not path.is_dir() or any(path.iterdir()):
            return
        path.rmdir()


def _quiet_libraries() -> None:
    """Shows warnings as their sentence, and keeps from the user what libraries say to programmers."""
    warnings.simplefilter("ignore", FutureWarning)

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        print(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = show
