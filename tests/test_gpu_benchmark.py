"""The benchmark of a GPU, tried on a CPU: every part runs, and its figures become tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

CHECKOUT = Path(__file__).parents[1]
PARTS = {
    "checks": {"device", "tests", "device afterwards"},
    "training": {
        "peak memory, GB",
        "by stage",
        "kernels",
        "run, scenes painted anew",
        "step, 16-mixed",
        "step, bf16-mixed",
        "step, 32-true",
        "step, Muon",
        "step, cuDNN's fastest",
        "step, batch 3",
        "step, CUDA graph",
        "step, 16-mixed, compiled",
        "step, bf16-mixed, compiled",
    },
    "inference": {
        "batch 1",
        "batch 1, stages",
        "batch 1, decode by things",
        "batch 1, CUDA graph",
        "batch 1, half precision",
        "batch 1, compiled",
        "batch 2",
        "batch 2, stages",
        "batch 2, decode by things",
        "batch 2, CUDA graph",
        "kernels, batch 1",
        "peak memory, GB",
    },
    "floor": {
        "product, TFLOP/s",
        "convolution in single precision, TFLOP/s",
        "convolution in half precision, TFLOP/s",
        "copy, GB/s",
        "step",
        "forward, batch 1",
        "decode, batch 1",
    },
    "full": {
        "timed warm-up, scenes kept in memory",
        "adaptive",
        "adaptive, loss",
        "adaptive, checkpoint, MB",
    },
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    variables = os.environ | environment
    return subprocess.run(
        command, cwd=CHECKOUT, env=variables, capture_output=True, text=True, timeout=400, check=False
    )


def tiny(output: Path, *arguments: str) -> subprocess.CompletedProcess:
    return python("-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--output", str(output), *arguments)


def refuse(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The command in this process, which it ends with a message on how it is used."""
    from benchmarks.gpu.__main__ import main

    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_each_part_takes_its_figures(tmp_path: Path, part: str) -> None:
    output = tmp_path / "gpu.json"
    output.write_text(json.dumps({"tiny": True, "parts": {"earlier": {"figures": {}}}}))
    mine = tmp_path / "runs" / "mine.txt"  # somebody else's, where runs usually are
    mine.parent.mkdir()
    mine.touch()
    done = tiny(output, "--parts", part, "--variants", "adaptive", "--minutes", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert mine.exists()
    mine.unlink()
    mine.parent.rmdir()
    report = json.loads(output.read_text())
    assert report["tiny"] is True
    assert set(report["parts"]) == {"earlier", part}
    found = report["parts"][part]
    assert found["failures"] == found["left out"] == {}, found
    assert found["outcome"] == "done"
    assert set(found["figures"]) == PARTS[part]
    found["figures"].get("adaptive", {}).pop("fusion", None)  # correlations, which may be negative
    assert _numbers_are_sound(found["figures"])
    if part == "checks":
        assert found["figures"]["tests"]["tests"] > 20
    if part == "full":
        checkpoint = tmp_path / "full_adaptive.ckpt"
        run = found["figures"]["adaptive"]
        assert run["steps"] == run["steps asked for"]
        assert 0 <= run["test"]["pq"] <= 1
        assert abs(checkpoint.stat().st_size / 1e6 - found["figures"]["adaptive, checkpoint, MB"]) < 1e-6
        weights = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert {value.dtype for value in weights.values() if value.ndim > 1} == {torch.float16}
        predicted = tmp_path / "predicted"
        arguments = (f"checkpoint={checkpoint}", "input=docs/images/scene.jpg", f"output={predicted}")
        assert python("-m", "panoptic.predict", *arguments).returncode == 0
        assert list(predicted.rglob("*.png"))
    left = {"gpu.json"} | ({"full_adaptive.ckpt", "predicted"} if part == "full" else set())
    assert {file.name for file in tmp_path.iterdir()} == left


def _numbers_are_sound(value: object) -> bool:
    """Whether all numbers in nested containers are finite and at least 0."""
    if isinstance(value, dict):
        return all(map(_numbers_are_sound, value.values()))
    if isinstance(value, list):
        return all(map(_numbers_are_sound, value))
    return not isinstance(value, (int, float)) or 0 <= value < float("inf")


CODE = """
import json, sys, time
from pathlib import Path
from benchmarks.gpu.floor import Traffic
from benchmarks.gpu.full import BESIDE, EPOCHS, planned
from benchmarks.gpu.hardware import Hardware
from benchmarks.gpu.__main__ import DONE, _run_subprocess, went_well
from benchmarks.gpu.record import Record
from benchmarks.gpu.runs import OutOfTime, command
from benchmarks.gpu.setting import make_setting
import torch

folder = Path(sys.argv[1])

# What fails is noted and passed over; what there is no time for is left out; the file is whole after each.
record = Record(folder / "part.json", 100.0)
assert record.measure("fine", lambda: 3) == 3
assert record.measure("broken", lambda: 1 / 0) is None
assert record.measure("late", lambda: 4, needs=1000.0) is None
assert record.measure("after", lambda: {"a": 1.5}) == {"a": 1.5}
written = json.loads((folder / "part.json").read_text())
assert written["figures"] == {"fine": 3, "after": {"a": 1.5}}
assert list(written["failures"]) == ["broken"] and "ZeroDivisionError" in written["failures"]["broken"]
assert list(written["left out"]) == ["late"]

# A part without time is not begun, and did not go well.
part = _run_subprocess("floor", -3.0, folder)
assert part["outcome"] == "left out: 0 s were left" and not went_well(part)

# A part goes well if it ends and nothing failed, no test either.
well = {"outcome": DONE, "figures": {"tests": {"failures": 0, "errors": 0}}, "failures": {}}
assert went_well(well)
for change in ({"outcome": "stopped"}, {"failures": {"a": ""}}, {"figures": {"tests": {"failures": 1, "errors": 0}}}):
    assert not went_well(well | change)

# Bytes: a sum reads two matrices and writes one, a view moves nothing, an expanded number is read once.
a, b = torch.zeros(4, 8), torch.zeros(4, 8)
with Traffic() as traffic:
    a + b
assert traffic.bytes == 3 * 4 * 8 * 4
with Traffic() as traffic:
    a.view(8, 4).mT
assert traffic.bytes == 0
with Traffic() as traffic:
    a + torch.zeros(()).expand(4, 8)
assert traffic.bytes == 2 * 4 * 8 * 4 + 2 * 4  # and the number was written before

# As many steps as fit, in few epochs; or those asked for.
setting = make_setting(Hardware(), folder, folder, tiny=False)
epochs, size = planned(setting, 160.0, 100.0 + BESIDE, None)
assert (epochs, size) == (EPOCHS, 16 * (800 // EPOCHS))
assert planned(setting, 160.0, 140.0, 800) == (EPOCHS, 1600)
assert planned(setting, 1.0, 1.0, None) == (EPOCHS, 16)

# A command that takes too long is ended.
start = time.monotonic()
try:
    command("http.server", "0", "--bind", "127.0.0.1", seconds=1.0)
except OutOfTime:
    assert time.monotonic() - start < 30
else:
    raise AssertionError
try:
    command("benchmarks.ceiling", "nothing_of_that_name", seconds=60.0)
except RuntimeError as error:
    assert "ended with 1" in str(error)
else:
    raise AssertionError
"""


def test_records_bytes_plans_and_commands(tmp_path: Path) -> None:
    done = python("-c", CODE, str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "--output: expected a JSON file to write, got a folder"),
        ("no JSON", "--output: expected a file of this command or none, got one with other content"),
        ("[]", "--output: expected a file of this command or none, got one with other content"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    tmp_path: Path, content: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "output"
    output.mkdir() if content is None else output.write_text(content)
    refuse(("--device", "cpu", "--tiny", "--output", str(output)), said, monkeypatch, capsys)
    assert content is None or output.read_text() == content
    assert list(tmp_path.iterdir()) == [output]


def test_an_interruption_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--parts", "inference"]
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path / "gpu.json")],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell has what it starts in the background ignore SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline().startswith(b"inference: up to")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not any(str(tmp_path) in argument for arguments in running for argument in arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "cpu"), "--device cpu: expected --tiny with it"),
        (("--device", "cuda"), "--device: expected cuda to be available, got none"),
        (("--minutes", "0"), "--minutes: expected a number of minutes from 0.5 to 600, got '0'"),
        (("--minutes", "many"), "--minutes: expected a number of minutes from 0.5 to 600, got 'many'"),
        (("--steps", "0"), "--steps: expected a whole number of at least 1, got '0'"),
        (("--device", "cpu", "--tiny", "--override", "optimizer.lrr=1"), "Did you mean 'lr'"),
        (("--parts", "nothing"), "argument --parts: invalid choice: 'nothing'"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    output = tmp_path / "gpu.json"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refuse(("--output", str(output), *arguments), said, monkeypatch, capsys)
    assert not output.exists()


TABLES = """
import json
from benchmarks.gpu.tables import UNKNOWN, gpu_aims, gpu_alpha, gpu_checks, gpu_floor, gpu_full
from benchmarks.gpu.tables import gpu_inference, gpu_training
from benchmarks.recording import run_table
from benchmarks.tables import TABLES, filled

for make in (gpu_aims, gpu_alpha, gpu_checks, gpu_training, gpu_inference, gpu_floor, gpu_full, run_table):
    assert UNKNOWN in make({})

step = {"seconds": 0.02, "x backbone": 1.5, "images/s": 200.0}
text = gpu_training({"parts": {"training": {"figures": {"step, 16-mixed": step, "peak memory, GB": {"step": 3.5}}}}})
assert "| 16-mixed, batch 4 | 20 | 200 | 1.5 | 3.5 |" in text
assert f"| 16-mixed, batch 32 | {UNKNOWN} |" in text
scores = {"pq": 0.5, "sq": 0.6, "rq": 0.7, "pq_things": 0.1, "pq_stuff": 0.2, "boundary_pq": 0.3, "boundary_f1": 0.4}
run = {"steps": 100, "seconds": 60.4, "training": {"images_per_second": 99.6}, "test": scores | {"mean_iou": 0.8}}
text = gpu_full({"parts": {"full": {"figures": {"adaptive": run}}}})
assert "| adaptive | test | 100 | 60 | 100 | 0.500 | 0.600 | 0.700 | 0.100 | 0.200 | 0.300 | 0.400 | 0.800 |" in text
assert f"| uniform | test |  |  |  | {UNKNOWN} |" in text

page = "before\\n<!-- table gpu_full -->\\nold\\n<!-- end -->\\nafter\\n"
assert filled(page).startswith("before\\n<!-- table gpu_full -->\\n**")
assert filled(page).endswith("|\\n<!-- end -->\\nafter\\n")
assert filled(filled(page)) == filled(page)
"""


def test_figures_become_tables() -> None:
    done = python("-c", TABLES)
    assert done.returncode == 0, done.stderr


def test_tables_in_the_documentation_are_those_of_the_files() -> None:
    from benchmarks.tables import filled, pages

    for page in pages():
        assert filled(page.read_text()) == page.read_text(), f"{page.name} is stale; make tables writes it"
