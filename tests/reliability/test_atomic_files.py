"""Files and checkpoints appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from panoptic.errors import InputError
from panoptic.training.checkpoint_io import load, save, verify
from panoptic.training.checkpoint_plugin import AtomicCheckpointIO
from panoptic.training.runs import record_event
from panoptic.utils.files import remove_strays, replacing
from tests.reliability.tiny_runs import TINY, refused

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from panoptic.utils.files import replacing
with replacing(Path(sys.argv[1]), durable=True) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def content(value: float = 0.0) -> dict[str, object]:
    return {"state_dict": {"weight": torch.full((8,), value)}, "epoch": 1}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk on which no file gets larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_process_killed_while_it_writes_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"whole")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"whole"
    (stray,) = (p for p in tmp_path.iterdir() if p != path)
    assert stray.name.startswith(".last.ckpt.")
    assert remove_strays(tmp_path) == [stray]
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_only_strays_of_dead_processes_are_removed(tmp_path):
    kept = [f".last.ckpt.{os.getppid()}.tmp", "last.ckpt", ".last.ckpt.tmp", f"last.ckpt.{2**22 + 1}.tmp"]
    for name in (*kept, f".a.{os.getpid()}.tmp", f".b.{2**22 + 1}.tmp", f".c.{2**80}.tmp"):
        (tmp_path / name).touch()
    remove_strays(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(kept)


def test_a_file_that_does_not_fit_is_named_and_the_checkpoint_of_before_stays(tmp_path):
    path = tmp_path / "last.ckpt"
    save(content(1.0), path)
    before = path.read_bytes()
    with largest_file(1000), pytest.raises(OSError, match="File too large") as error:
        save(content(2.0), path)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_disk_that_fails_later_leaves_the_checkpoint_of_before(stage, tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save(content(1.0), path)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, stage, full)
    with pytest.raises(OSError, match="No space left") as error:
        save(content(2.0), path)
    monkeypatch.undo()
    assert error.value.filename == str(path)
    assert float(load(path)["state_dict"]["weight"][0]) == 1.0
    assert list(tmp_path.iterdir()) == [path]


def test_errors_of_other_files_keep_their_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "a"):
        (tmp_path / "missing").read_bytes()
    assert error.value.filename == str(tmp_path / "missing")


def test_a_line_of_the_history_that_does_not_fit_is_told(tmp_path):
    record_event(tmp_path, "start")
    with largest_file(100), pytest.raises(OSError, match="File too large") as error:
        record_event(tmp_path, "end", notes="long" * 100)
    assert error.value.filename == str(tmp_path / "history.jsonl")


def test_what_does_not_fit_and_has_no_name_is_told_with_the_run(tmp_path, monkeypatch, capsys):
    """Such as the files of the dashboard."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("panoptic.commands.train._train", full)
    error = refused(capsys, *TINY, "hydra.run.dir=run")
    assert f"panoptic: {tmp_path / 'run'}: expected to read or write it, got: No space left on device" in error


def test_checkpoints_are_flushed_and_need_no_temporary_folder(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    io = AtomicCheckpointIO()
    path = tmp_path / "checkpoints" / "last.ckpt"
    io.save_checkpoint(content(3.0), path)
    assert flushed == [f"{path.parent}/.last.ckpt.{os.getpid()}.tmp", str(path.parent)]
    assert float(io.load_checkpoint(path, weights_only=False)["state_dict"]["weight"][0]) == 3.0
    assert torch.load(path, weights_only=True)["epoch"] == 1  # an archive like any other


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    save(content(), path)
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(whole):
            for bit in range(8):
                file.seek(position)
                file.write(bytes([byte ^ 1 << bit]))
                with pytest.raises(InputError, match=r"last.ckpt: expected a "):
                    verify(path)
            file.seek(position)
            file.write(bytes([byte]))
    verify(path)


def test_every_shortened_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    save(content(), path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"last.ckpt: expected a "):
            load(path)
    path.write_bytes(whole + b"0")
    with pytest.raises(InputError, match="damaged"):
        verify(path)


def test_an_archive_without_a_digest_is_held_to_its_own_checksums(tmp_path):
    path = tmp_path / "plain.ckpt"
    torch.save(content(1.0), path)
    verify(path)
    whole = path.read_bytes()
    position = whole.index(torch.full((8,), 1.0).numpy().tobytes())
    path.write_bytes(whole[:position] + b"\1" + whole[position + 1 :])
    with pytest.raises(InputError, match=r"damaged one: the checksum of \S*data/0 differs"):
        verify(path)
