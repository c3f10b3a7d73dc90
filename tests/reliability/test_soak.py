"""A handful of each fault that ``make soak`` injects by the hundred."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak.forking import CRASHED, Outcome
from benchmarks.soak.records import Row, broken_promise, sentence
from benchmarks.soak.tables import EQUAL, soak

ROOT = Path(__file__).parents[2]


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self").exists(), reason="needs Linux")
def test_a_handful_of_each_fault_is_survived(tmp_path):
    counts = ("--kills=2", "--saving=1", "--epochs=2", "--disks=1", "--inputs=12", "--altered=5", "--jobs=1")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--output", str(tmp_path / "soak.json"), *counts],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "soak.json").read_text())["parts"]
    injected = {name: sum(row["injected"] for row in part["rows"]) for name, part in parts.items()}
    disks = 1 if "not tried" in parts["disks"] else 2  # not everybody may mount a small one
    assert injected == {"inputs": 12, "kills": 2, "altered": 5, "disks": disks}
    assert all(row["survived"] == row["injected"] for part in parts.values() for row in part["rows"])
    assert "| killed while saving | 1 | 1 | 0 |" in done.stdout
    assert list(tmp_path.glob("soak_*")) == []  # nothing is left


def outcome(status: int = 0, output: str = "", *, busy: float = 1.0, peak: float = 0.5, late: bool = False) -> Outcome:
    return Outcome(status, 1.0, busy, peak, output, late)


@pytest.mark.parametrize(
    ("ended", "broken"),
    [
        (outcome(), None),
        (outcome(1, "scoring\npanoptic: a.png: expected an image\n"), None),
        (outcome(1, "panoptic: one\npanoptic: two\n"), "no sentence"),
        (outcome(1, "panoptic: one\nand more\n"), "no sentence"),
        (outcome(1), "no sentence"),
        (outcome(2, "panoptic: one\n"), "status 2"),
        (outcome(-9), "status -9"),
        (outcome(CRASHED, "ValueError"), "a traceback"),
        (outcome(1, "Traceback (most recent call last)\npanoptic: one\n"), "a traceback"),
        (outcome(busy=11.0), "11.0 s of a processor"),
        (outcome(peak=2.1), "2.1 GB"),
        (outcome(-9, late=True), "no end"),
    ],
)
def test_promises_that_a_command_breaks_are_told(ended, broken):
    assert broken_promise(ended) == broken


def test_the_sentence_is_the_last_line():
    assert sentence("note\npanoptic: it ended\n") == "it ended"
    assert sentence("panoptic: it ended\nnote") is None


def test_rows_become_a_table():
    row = Row("bits flipped")
    row.add(outcome(1, "panoptic: damaged"), None)
    row.add(outcome(CRASHED, "Traceback\nKeyError: 'x'"), "a traceback", "bit 7")
    assert row.to_dict()["broken"] == ["bit 7: a traceback: KeyError: 'x'"]
    kills = {"minutes": 2, EQUAL: True, "steps of an epoch": 4, "epochs lost beyond the current one": 0}
    kills |= {"steps trained again after a kill, mean": 1.25, "steps trained again after a kill, most": 3}
    text = soak({"parts": {"altered": {"minutes": 1, "rows": [row.to_dict()]}, "kills": {**kills, "rows": []}}})
    assert "| bits flipped | 2 | 1 | 1 | 2 | 0.5 |\n| **all** | 2 | 1 | 1 | 2 | 0.5 |" in text
    assert "1.2 steps were trained again on average, 3 at most, of 4 in an epoch" in text
    assert "at the end were those of a training that nothing disturbed" in text
    assert soak({}) == "not measured yet"
