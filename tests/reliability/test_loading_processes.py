"""Loading processes that die, stop or lack memory, and batches that do not fit."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panoptic.commands import app
from panoptic.data import loader as loading
from panoptic.data.failures import failure_sentence
from panoptic.errors import InputError
from panoptic.utils.memory import available_memory
from tests.reliability.faulty_data import FaultyData, signal_itself
from tests.reliability.tiny_runs import TINY, refused


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    others = set(multiprocessing.active_children())  # of other tests
    yield
    gc.collect()  # a loader that is at its end keeps its processes
    assert set(multiprocessing.active_children()) <= others


def test_one_that_is_killed_is_named_with_its_cause():
    data = FaultyData(64, act=signal_itself(9, signal.SIGKILL), workers=2)
    with pytest.raises(InputError, match=r"process \d+\) that (was killed \(Killed\)|ended), as the system does when"):
        list(data.val_dataloader())


def test_one_that_is_stopped_ends_the_run_in_time():
    data = FaultyData(64, act=signal_itself(9, signal.SIGSTOP), workers=2, timeout=2)
    with pytest.raises(InputError, match=r"data.timeout=2: expected a batch .* got none: process \d+, .* was stopped"):
        list(data.val_dataloader())


def test_so_does_reading_that_hangs():
    data = FaultyData(64, act=lambda index: time.sleep(600 if index == 9 else 0), workers=1, timeout=2)
    with pytest.raises(InputError, match=r"data.timeout=2: expected a batch .* got none: reading hangs, or is slow"):
        list(data.val_dataloader())


def test_one_that_waits_for_the_training_is_not_late():
    data = FaultyData(8, workers=1, timeout=0.5)
    batches = iter(data.val_dataloader())
    next(batches)
    time.sleep(1.5)
    assert len(list(batches)) == 7


BUS_ERROR = (
    "DataLoader worker (pid 17) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
    "shared memory. Please try to raise your shared memory limit."
)
FULL = "unable to write to file </torch_17_2_0>: No space left on device (28)"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(BUS_ERROR), "--shm-size"),
        (RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\n{FULL}"), "--shm-size"),
        (RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. "), "process 17) that was killed"),
        (RuntimeError("DataLoader worker (pid(s) 17, 18) exited unexpectedly"), "process 17, 18) that ended"),
        (RuntimeError("Too many open files. Communication with the workers is no longer possible."), "ulimit -n"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "of this machine"),
        (RuntimeError("CUDA out of memory. Tried to allocate 9.00 GiB."), "memory of the GPU"),
        (MemoryError("Unable to allocate 9 GiB"), "data.batch_size"),
    ],
)
def test_the_errors_of_pytorch_are_sentences(error, expected, monkeypatch):
    assert expected in str(failure_sentence(error))
    assert expected in str(app._told(error))


def test_other_errors_stay_as_they_are():
    error = RuntimeError("expected scalar type Half")
    assert failure_sentence(error) is None
    with pytest.raises(RuntimeError, match="expected scalar type Half"):
        app._told(error)


@pytest.mark.parametrize(("free", "fits"), [(4 * 4 * 32 * 32 * 7, True), (4 * 4 * 32 * 32 * 7 - 1, False)])
def test_shared_memory_that_is_too_small_is_told_before_the_start(free, fits, monkeypatch):
    """Two processes have two batches of four images each."""
    monkeypatch.setattr(loading, "available_shared_memory", lambda: free)
    FaultyData(64).check_room(on_cpu=True)  # no loading processes
    data = FaultyData(64, workers=2)
    if fits:
        data.check_room(on_cpu=True)
    else:
        with pytest.raises(InputError, match=r"data.workers=2: expected 0.1 MB .*/dev/shm.*--shm-size.*data.workers=0"):
            data.check_room(on_cpu=True)


@pytest.mark.parametrize(("on_cpu", "bytes_per_pixel"), [(True, 19), (False, 7)])
def test_a_batch_that_cannot_fit_into_memory_is_refused(on_cpu, bytes_per_pixel, monkeypatch):
    needed = 4 * 32 * 32 * bytes_per_pixel
    monkeypatch.setattr(loading, "available_memory", lambda: needed)
    FaultyData(64).check_room(on_cpu=on_cpu)
    monkeypatch.setattr(loading, "available_memory", lambda: needed - 1)
    with pytest.raises(InputError, match=r"data.batch_size=4: expected a batch that fits into memory"):
        FaultyData(64).check_room(on_cpu=on_cpu)
    FaultyData(3).check_room(on_cpu=on_cpu)  # batches are no larger than the split


def test_the_command_refuses_it(capsys):
    told = refused(capsys, *TINY, "data.crop=[16384,16384]", "data.batch_size=4096", "data.train_size=4096")
    assert "data.batch_size=4096: expected a batch that fits into memory" in told
    assert not Path("runs").exists()


def test_memory_is_that_of_the_machine_and_of_its_control_group(tmp_path):
    assert available_memory(tmp_path) is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\nSwapFree: 100 kB\n")
    assert available_memory(tmp_path) == 600 * 1024
    (tmp_path / "proc/self/cgroup").write_text("0::/jobs/mine\n")
    (tmp_path / "sys/fs/cgroup/jobs/mine").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/jobs/mine/memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 600 * 1024
    (tmp_path / "sys/fs/cgroup/jobs/memory.max").write_text("4096\n")
    assert available_memory(tmp_path) == 4096
