"""One process trains in a folder at a time, and a lock that is left keeps nobody out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panoptic.errors import InputError
from panoptic.training.run_lock import _identity, claimed
from tests.reliability.tiny_runs import TINY, refused

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from panoptic.training.run_lock import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A folder in which another process trains."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_kept_out_with_a_sentence_until_the_first_dies(tmp_path):
    with held(tmp_path) as process:
        said = rf"{tmp_path}: expected a run in which nobody trains, got one in which process {process.pid} on \S+ does"
        with pytest.raises(InputError, match=said), claimed(tmp_path):
            pass
        assert (tmp_path / ".lock").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with claimed(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_second_start_of_a_study_leaves_the_first_alone(tmp_path, capsys):
    folder = tmp_path / "runs" / "study" / "s" / "first"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_text("of the first")
    with held(folder):
        error = refused(capsys, *TINY, "study=s", f"hydra.run.dir={folder}")
    assert "expected a run in which nobody trains" in error
    assert (folder / "checkpoints" / "last.ckpt").read_text() == "of the first"


OTHERS = {  # what a lock says, and whether it keeps out
    "another machine": ({"host": "elsewhere", "pid": 1}, True),
    "the same job, begun again elsewhere": ({"host": "elsewhere", "pid": 1, "job": "7"}, False),
    "another job": ({"host": "elsewhere", "pid": 1, "job": "8"}, True),
    "a process that lives": ({"pid": os.getppid()}, True),
    "a number given anew": ({"pid": os.getppid(), "begun": "1"}, False),
    "a dead process": ({"pid": 2**22 + 1}, False),
    "nothing": (None, False),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_lock_that_the_system_does_not_know_is_judged_by_what_it_says(case, tmp_path, monkeypatch):
    from panoptic.training.run_lock import process_start

    says, keeps_out = OTHERS[case]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    own = _identity() | {"job": None}
    text = "{" if says is None else json.dumps(own | {"begun": process_start(says["pid"])} | says)
    (tmp_path / ".lock").write_text(text)
    if keeps_out:
        with (
            pytest.raises(InputError, match=rf"does since .*; remove {tmp_path}/.lock if it is gone"),
            claimed(tmp_path),
        ):
            pass
        assert (tmp_path / ".lock").read_text() == text
    else:
        with claimed(tmp_path):
            pass
        assert not (tmp_path / ".lock").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: expected a folder that can be written, got: Not a directory"):
        claimed(tmp_path / "file").__enter__()
