"""Commands in forked processes, with their status, time, peak memory and output."""

from __future__ import annotations

import fcntl
import io
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from panoptic.errors import InputError

CRASHED = 70
"""Status of a process that ends with an exception other than the project's own."""

ROOM = 6 * 10**9
"""Bytes of address space beyond those of the parent that a process may ask for, so that the machine survives it."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        status: Exit status, or minus the number of the signal that ended it.
        seconds: Time from its start to its end.
        busy: Seconds of a processor that it and those it started took.
        gigabytes: Peak of its resident memory, of which about 0.6 are the imported packages.
        output: What it printed, and the traceback if it crashed.
        timed_out: Whether it was killed because its time was up.
    """

    status: int
    seconds: float
    busy: float
    gigabytes: float
    output: str
    timed_out: bool = False


PIPE_SIZE = 2**20


class Process:
    """A task in a forked process, in a folder.

    Args:
        task: What to run. A status other than 0 is given with :class:`SystemExit`.
        folder: Folder to work in.
        file_size: Size in bytes that no file it writes may exceed.

    Attributes:
        pid: Number of the process, which leads a group of its own.
    """

    def __init__(self, task: Callable[[], object], folder: Path, file_size: int = resource.RLIM_INFINITY) -> None:
        self._started = time.monotonic()
        self._events, events = os.pipe()
        self._output, output = os.pipe()  # not a file, which a limit of their size would cut
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        os.set_blocking(self._output, False)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._events)
            os.close(self._output)
            _run(task, folder, output, events, file_size)
        os.close(events)
        os.close(output)
        self._printed = b""

    def event(self, seconds: float) -> str | None:
        """Wait for a line that the process tells with :func:`tell`; ``None`` once it has ended or the time is up."""
        if not select.select([self._events], [], [], max(seconds, 0.0))[0]:
            return None
        line = b""
        while not line.endswith(b"\n"):  # lines are written at once, and are shorter than a pipe's atomic writes
            letter = os.read(self._events, 1)
            if not letter:
                return None
            line += letter
        return line.decode().strip()

    def told(self) -> Iterator[str]:
        """Give the lines that are waiting."""
        while (line := self.event(0)) is not None:
            yield line

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, not to those it has started."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> Outcome:
        """Wait for the end of the process, and kill it and those it has started when the time is up."""
        timed_out, pid = False, 0
        until = time.monotonic() + seconds
        while not pid:
            if time.monotonic() > until:
                timed_out = True
                _kill_group(self.pid)
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            self._read_output()
            time.sleep(0 if pid else 0.005)
        elapsed = time.monotonic() - self._started
        os.close(self._events)
        os.close(self._output)
        output = self._printed.decode(errors="backslashreplace")
        busy, gigabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9
        return Outcome(os.waitstatus_to_exitcode(status), elapsed, busy, gigabytes, output, timed_out=timed_out)

    def _read_output(self) -> None:
        with suppress(BlockingIOError):
            while text := os.read(self._output, PIPE_SIZE):
                self._printed += text


def attempt(
    task: Callable[[], object], folder: Path, seconds: float, file_size: int = resource.RLIM_INFINITY
) -> Outcome:
    """Run a task in a forked process, for so many seconds at most."""
    return Process(task, folder, file_size).wait(seconds)


def tell(line: str) -> None:
    """Tell the parent something, from within a forked process."""
    os.write(int(os.environ["SOAK_EVENTS"]), f"{line}\n".encode())


def check_single_thread() -> None:
    """Raise if this process has several threads, whose locks a forked process would find locked for ever.

    Raises:
        RuntimeError: If there are several.
    """
    threads = psutil.Process().num_threads()
    if threads > 1:
        raise RuntimeError(f"expected a process with a single thread to fork from, got {threads}; OMP_NUM_THREADS=1")


def _run(task: Callable[[], object], folder: Path, output: int, events: int, file_size: int) -> None:
    """Run a task in this process, which is the forked one, and end it."""
    status = CRASHED
    try:
        os.setpgid(0, 0)
        os.environ["SOAK_EVENTS"] = str(events)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in the background
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, copy in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, copy)
        # Anew, since those of the parent may be files, which can seek.
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
        os.chdir(folder)
        sys.path.insert(0, "")  # as for a command that is typed: modules of the current folder can be imported
        sys.argv = ["panoptic"]
        room = psutil.Process().memory_info().vms + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        task()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:  # of a function that no command wraps
        print(f"panoptic: {error}", file=sys.stderr)
        status = error.status
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
