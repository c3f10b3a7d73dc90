"""Shared code of all commands: entry point with Hydra, error reporting, and the folder of a run."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import FrameType
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from panoptic.commands.help import help_text
from panoptic.config.composing import config_path
from panoptic.config.overrides import pack_overrides, validate
from panoptic.config.resolvers import run_folder, sweep_folder, sweep_subfolder
from panoptic.config.schema import register
from panoptic.config.sentences import sentence
from panoptic.data.failures import failure_sentence
from panoptic.errors import InputError
from panoptic.utils.malloc import keep_freed_memory

Task = Callable[[DictConfig], object]


def command(name: str, run: Task, arguments: Sequence[str] | None = None) -> None:
    """Run a command with Hydra on ``conf/<name>.yaml`` composed with the command line.

    User errors print only their message, without a traceback, and exit with status 1. In a multirun, the remaining jobs
    run first. SIGINT (Ctrl-C) and SIGTERM end the command with a sentence and the status that shells give them.

    Args:
        name: Name of the command.
        run: Function to call with the configuration.
        arguments: Command-line arguments; by default those of the process.
    """
    _set_up_streams()
    _set_up_hydra()

    failures: list[InputError] = []

    def task(config: DictConfig) -> None:
        _quiet_libraries()
        keep_freed_memory()
        try:
            validate(config)
            run(config)
        except (InputError, OSError, RuntimeError, MemoryError) as error:
            failure = _told(error)
            if is_multirun():
                raise failure from None  # the sweep continues, and ends with this error
            failures.append(failure)  # raised later, since Hydra would add its own message
        finally:
            _remove_if_empty(run_dir())

    signals: list[int] = []
    try:
        with _like_ctrl_c(signals):
            arguments = sys.argv[1:] if arguments is None else list(arguments)
            if _helped(name, arguments):
                return
            _check_arguments(name, arguments)
            _check_alone(arguments)
            _check_launcher(arguments)
            # Keys before flags: argparse takes no more of them once it has seen some and a flag.
            given = sorted(pack_overrides(name, arguments), key=lambda a: a.startswith("-") or "=" not in a)
            sys.argv = [sys.argv[0], *given]
            hydra.main(version_base="1.3", config_path=config_path(), config_name=name)(task)()
            if failures:
                raise failures[0]
    except InputError as error:
        _fail(error)
    except (HydraException, OmegaConfBaseException) as error:  # before OSError, which some of them are
        _fail(_refused_by_resolver(error) or sentence(error))
    except OSError as error:  # of the folder that Hydra makes
        _fail(_with_its_file(error))
    except KeyboardInterrupt:
        _fail(*(("stopped by SIGTERM", 128 + signal.SIGTERM) if signals else ("interrupted", 128 + signal.SIGINT)))


@contextmanager
def _like_ctrl_c(received: list[int]) -> Iterator[None]:
    """Let SIGTERM end a block like Ctrl-C, so that its files are removed and its processes ended.

    A second one ends this process at once. Training takes over the signals while it lasts.

    Args:
        received: Gets the number of the signal.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:  # a child that has no handler yet
            os.kill(os.getpid(), number)
        received.append(number)
        raise KeyboardInterrupt

    process, before = os.getpid(), signal.getsignal(signal.SIGTERM)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and before == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, receive)
    try:
        yield
    finally:
        if is_main and before == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)


def _set_up_streams() -> None:
    """Let names be printed that the encoding of the terminal lacks, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _set_up_hydra() -> None:
    """Register the schemas and resolvers, and set what libraries read from the environment."""
    register()
    for resolver in (run_folder, sweep_folder, sweep_subfolder):  # cached, so that a run has a single folder
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True, use_cache=True)
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # disable the online version check at import
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let errors propagate instead of being printed by Hydra


def _helped(name: str, arguments: list[str]) -> bool:
    """Print the help if it is asked for, and return whether it is."""
    text = help_text(name, arguments)
    if text is not None:
        with suppress(BrokenPipeError):  # somebody reads the beginning only
            print(text, flush=True)
    return text is not None


def _told(error: InputError | OSError | RuntimeError | MemoryError) -> InputError:
    """Return the sentence for what may go wrong in a run; an error of anything else is raised."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError):
        return _with_its_file(error)
    meaning = failure_sentence(error)
    if meaning is None:
        raise error
    return InputError(meaning)


def _with_its_file(error: OSError) -> InputError:
    """Return the sentence for a file that cannot be read or written; an error of anything else is raised."""
    if error.errno is None:
        raise error
    return InputError(f"{error.filename or 'a file'}: expected to read or write it, got: {error.strerror}")


def _check_arguments(name: str, arguments: list[str]) -> None:
    """Raise for arguments that Hydra would answer with a traceback.

    Raises:
        InputError: If an argument has no key or no value, flags exclude each other, a group of the configuration is
            given another value than an option, or a key of a data set comes without its kind.
    """
    for argument in arguments:
        if "=" not in argument and not argument.startswith(("-", "~")) and argument not in FLAG_VALUES:
            raise InputError(f"{argument}: expected key=value, got no value")
        key, _, value = argument.lstrip("+").partition("=")
        if key in GROUPS and (value.strip("'\"").lower() in ("", "null") or value.startswith(("[", "{"))):
            raise InputError(
                f"{key}: expected the name of an option of this group, got {value or 'nothing'}; its keys are given "
                f"one by one, {key.replace('/', '.')}.KEY=VALUE"
            )
    keys = [argument.partition("=")[0] for argument in arguments if "=" in argument]
    if "" in keys:
        raise InputError(f"{next(a for a in arguments if a.startswith('='))}: expected key=value, got no key")
    flags = {argument.partition("=")[0] for argument in arguments}
    if {"-m", "--multirun"} & flags and {"-c", "--cfg"} & flags:
        raise InputError("--cfg: expected no --multirun with it, got both; it shows the configuration of one run")
    if name == "inspect" and "data" not in keys and any(key.startswith("data.") for key in keys):
        raise InputError("data: expected a data set (data=coco_panoptic, cityscapes or synthetic), got none")


FLAG_VALUES = ("job", "hydra", "all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""Values of Hydra's flags, which may stand apart from them."""


GROUPS = (
    *("ablation", "callbacks", "codec", "curriculum", "data", "experiment", "logger", "loss", "model"),
    *("model/backbone", "model/context", "model/fusion", "optimizer", "trainer"),
)
"""Groups of the configuration, of which an option is chosen by name."""


def _check_alone(arguments: list[str]) -> None:
    """Raise if torchrun has started several processes for a sweep, each of which would run all of it.

    Raises:
        InputError: In the first process; the others leave it to that one, with whose end torchrun ends them.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if not {"-m", "--multirun"} & set(arguments) or not world.isdecimal() or int(world) < 2:
        return
    if os.environ.get("RANK", "0") != "0":
        time.sleep(OTHERS_WAIT)
        sys.exit(1)
    raise InputError(
        f"--multirun: expected one process, got {world} of torchrun, each of which would start the whole sweep; start "
        "the runs one by one with torchrun, or the sweep without it"
    )


OTHERS_WAIT = 10
"""Seconds that other processes give the first one to say what is wrong."""


LAUNCHERS = {"joblib": ("hydra-joblib-launcher", "sweeps"), "submitit": ("hydra-submitit-launcher", "slurm")}
"""Package and extra of Hydra's launcher plugins, by prefix of their option."""


def _check_launcher(arguments: list[str]) -> None:
    """Raise if a launcher is not installed, where Hydra would report an unknown option.

    Raises:
        InputError: If the launcher is not installed; the message names what to install.
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
    """Return the folder of this run."""
    return Path(HydraConfig.get().runtime.output_dir)


def is_multirun() -> bool:
    """Return whether this run is a job of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def _fail(reason: object, status: int = 1) -> NoReturn:
    """Print an error and exit with its status, or the one given."""
    print(f"panoptic: {reason}", file=sys.stderr)
    sys.exit(getattr(reason, "status", status))


def _refused_by_resolver(error: BaseException) -> InputError | None:
    """Return the error raised by a resolver, without OmegaConf's wrapper, or ``None``."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, InputError):
        inner = inner.__context__
    return inner


def _remove_if_empty(folder: Path) -> None:
    """Remove the run folder created by Hydra if it is empty, and then its parents if they are empty."""
    working_dir = Path.cwd()
    for path in (folder, *folder.parents):
        if working_dir not in path.parents or not path.is_dir() or any(path.iterdir()):
            return
        path.rmdir()


def _quiet_libraries() -> None:
    """Print only the message of warnings, and hide warnings addressed to developers."""
    warnings.simplefilter("ignore", FutureWarning)

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        print(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = show
