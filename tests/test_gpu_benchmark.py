"""The benchmark of a GPU, tried on a CPU: every part runs, and its figures become tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.gpu import __main__ as benchmark
from benchmarks.gpu import runs
from benchmarks.gpu.floor import Traffic
from benchmarks.gpu.full import BESIDE, EPOCHS, planned
from benchmarks.gpu.hardware import Hardware
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import make_setting
from benchmarks.gpu.tables import (
    UNKNOWN,
    gpu_aims,
    gpu_alpha,
    gpu_checks,
    gpu_floor,
    gpu_full,
    gpu_inference,
    gpu_training,
)
from benchmarks.recording import run_table
from benchmarks.tables import filled, pages
from panoptic.commands.app import command
from panoptic.commands.predict import predict
from panoptic.commands.train import train

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
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])
    with pytest.raises(SystemExit, match="2"):
        benchmark.main()
    assert said in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.slow
def test_each_part_takes_its_figures_in_a_process_of_its_own(tmp_path: Path) -> None:
    parts = ("checks", "training", "inference")
    done = tiny(start_report(tmp_path), "--parts", *parts, "--minutes", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = sound_figures(tmp_path, *parts)
    assert figures["checks"]["tests"]["tests"] > 20
    assert {file.name for file in tmp_path.iterdir()} == {"gpu.json"}


@pytest.mark.soak
@pytest.mark.slow
def test_runs_of_full_and_the_floor_take_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """In this process, with all that they start: importing would take longer than what is measured."""
    monkeypatch.chdir(CHECKOUT)
    arguments = ("--device", "cpu", "--tiny", "--output", str(start_report(tmp_path)), "--minutes", "6")
    arguments = ("benchmarks.gpu", *arguments, "--variants", "adaptive", "--parts", "floor", "full")

    def part_here(name: str, seconds: float, work: Path) -> dict[str, object]:
        monkeypatch.setattr(sys, "argv", [*arguments, "--part", name, f"{seconds:.1f}", str(work)])
        benchmark.main()
        return {"outcome": benchmark.DONE, "seconds": 0.0, **json.loads((work / f"{name}.json").read_text())}

    def command_here(module: str, *arguments: str, seconds: float) -> str:
        name = module.removeprefix("panoptic.")
        command(name, {"train": train, "predict": predict}[name], arguments)
        return capsys.readouterr().out

    monkeypatch.setattr(benchmark, "_run_subprocess", part_here)
    monkeypatch.setattr("benchmarks.gpu.runs.command", command_here)
    monkeypatch.setattr(sys, "argv", list(arguments))
    benchmark.main()
    run = sound_figures(tmp_path, "floor", "full")["full"]["adaptive"]
    checkpoint = tmp_path / "full_adaptive.ckpt"
    assert run["steps"] == run["steps asked for"]
    assert 0 <= run["test"]["pq"] <= 1
    figures = json.loads((tmp_path / "gpu.json").read_text())["parts"]["full"]["figures"]
    assert abs(checkpoint.stat().st_size / 1e6 - figures["adaptive, checkpoint, MB"]) < 1e-6
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert {value.dtype for value in weights.values() if value.ndim > 1} == {torch.float16}
    predicted = tmp_path / "predicted"
    shown = ("input=docs/images/scene.jpg", f"output={predicted}")
    command_here("panoptic.predict", f"checkpoint={checkpoint}", *shown, seconds=60.0)
    assert list(predicted.rglob("*.png"))
    assert {file.name for file in tmp_path.iterdir()} == {"gpu.json", "full_adaptive.ckpt", "predicted"}


def start_report(folder: Path) -> Path:
    """The report of an earlier run, beside somebody else's file where runs usually are."""
    output = folder / "gpu.json"
    output.write_text(json.dumps({"tiny": True, "parts": {"earlier": {"figures": {}}}}))
    (folder / "runs").mkdir()
    (folder / "runs" / "mine.txt").touch()
    return output


def sound_figures(folder: Path, *parts: str) -> dict[str, dict]:
    """The figures of parts in a report, after all of them were checked; nobody's file is left behind."""
    (folder / "runs" / "mine.txt").unlink()
    (folder / "runs").rmdir()
    report = json.loads((folder / "gpu.json").read_text())
    assert report["tiny"] is True
    assert set(report["parts"]) == {"earlier", *parts}
    figures = {}
    for part in parts:
        found = report["parts"][part]
        assert found["failures"] == found["left out"] == {}, found
        assert found["outcome"] == "done"
        assert set(found["figures"]) == PARTS[part]
        found["figures"].get("adaptive", {}).pop("fusion", None)  # correlations, which may be negative
        assert _numbers_are_sound(found["figures"])
        figures[part] = found["figures"]
    return figures


def _numbers_are_sound(value: object) -> bool:
    """Whether all numbers in nested containers are finite and at least 0."""
    if isinstance(value, dict):
        return all(map(_numbers_are_sound, value.values()))
    if isinstance(value, list):
        return all(map(_numbers_are_sound, value))
    return not isinstance(value, (int, float)) or 0 <= value < float("inf")


def test_a_record_notes_what_fails_and_leaves_out_what_there_is_no_time_for(tmp_path: Path) -> None:
    record = Record(tmp_path / "part.json", 100.0)
    assert record.measure("fine", lambda: 3) == 3
    assert record.measure("broken", lambda: 1 / 0) is None
    assert record.measure("late", lambda: 4, needs=1000.0) is None
    assert record.measure("after", lambda: {"a": 1.5}) == {"a": 1.5}
    written = json.loads((tmp_path / "part.json").read_text())  # whole after each
    assert written["figures"] == {"fine": 3, "after": {"a": 1.5}}
    assert list(written["failures"]) == ["broken"]
    assert "ZeroDivisionError" in written["failures"]["broken"]
    assert list(written["left out"]) == ["late"]


def test_a_part_without_time_is_not_begun_and_did_not_go_well(tmp_path: Path) -> None:
    part = benchmark._run_subprocess("floor", -3.0, tmp_path)
    assert part["outcome"] == "left out: 0 s were left"
    assert not benchmark.went_well(part)


def test_a_part_goes_well_if_it_ends_and_nothing_failed_no_test_either() -> None:
    tests = {"failures": 0, "errors": 0}
    well = {"outcome": benchmark.DONE, "figures": {"tests": tests}, "failures": {}}
    assert benchmark.went_well(well)
    for change in ({"outcome": "stopped"}, {"failures": {"a": ""}}, {"figures": {"tests": tests | {"failures": 1}}}):
        assert not benchmark.went_well(well | change)


def test_bytes_are_those_that_are_moved() -> None:
    # A sum reads two matrices and writes one, a view moves nothing, an expanded number is read once.
    a, b = torch.zeros(4, 8), torch.zeros(4, 8)
    with Traffic() as traffic:
        a + b
    assert traffic.bytes == 3 * 4 * 8 * 4
    with Traffic() as traffic:
        a.view(8, 4).mT  # noqa: B018
    assert traffic.bytes == 0
    with Traffic() as traffic:
        a + torch.zeros(()).expand(4, 8)
    assert traffic.bytes == 2 * 4 * 8 * 4 + 2 * 4  # and the number was written before


def test_as_many_steps_as_fit_in_few_epochs_or_those_asked_for(tmp_path: Path) -> None:
    setting = make_setting(Hardware(), tmp_path, tmp_path, tiny=False)
    epochs, size = planned(setting, 160.0, 100.0 + BESIDE, None)
    assert (epochs, size) == (EPOCHS, 16 * (800 // EPOCHS))
    assert planned(setting, 160.0, 140.0, 800) == (EPOCHS, 1600)
    assert planned(setting, 1.0, 1.0, None) == (EPOCHS, 16)


def test_a_command_that_takes_too_long_is_ended_and_one_that_fails_is_told() -> None:
    start = time.monotonic()
    with pytest.raises(runs.OutOfTime):
        runs.command("http.server", "0", "--bind", "127.0.0.1", seconds=1.0)
    assert time.monotonic() - start < 30
    with pytest.raises(RuntimeError, match="ended with 1"):
        runs.command("nothing_of_that_name", seconds=60.0)


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


@pytest.mark.soak
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
        (("--device", "cpu", "--tiny", "--override", "optimizer.lrr=1"), "did you mean lr?"),
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


def test_figures_become_tables() -> None:
    for make in (gpu_aims, gpu_alpha, gpu_checks, gpu_training, gpu_inference, gpu_floor, gpu_full, run_table):
        assert UNKNOWN in make({})

    step = {"seconds": 0.02, "x backbone": 1.5, "images/s": 200.0}
    text = gpu_training(
        {"parts": {"training": {"figures": {"step, 16-mixed": step, "peak memory, GB": {"step": 3.5}}}}}
    )
    assert "| 16-mixed, batch 4 | 20 | 200 | 1.5 | 3.5 |" in text
    assert f"| 16-mixed, batch 32 | {UNKNOWN} |" in text
    scores = {
        "pq": 0.5,
        "sq": 0.6,
        "rq": 0.7,
        "pq_things": 0.1,
        "pq_stuff": 0.2,
        "boundary_pq": 0.3,
        "boundary_f1": 0.4,
    }
    run = {"steps": 100, "seconds": 60.4, "training": {"images_per_second": 99.6}, "test": scores | {"mean_iou": 0.8}}
    text = gpu_full({"parts": {"full": {"figures": {"adaptive": run}}}})
    assert (
        "| adaptive | test | 100 | 60 | 100 | 0.500 | 0.600 | 0.700 | 0.100 | 0.200 | 0.300 | 0.400 | 0.800 |" in text
    )
    assert f"| uniform | test |  |  |  | {UNKNOWN} |" in text

    page = "before\n<!-- table gpu_full -->\nold\n<!-- end -->\nafter\n"
    assert filled(page).startswith("before\n<!-- table gpu_full -->\n**")
    assert filled(page).endswith("|\n<!-- end -->\nafter\n")
    assert filled(filled(page)) == filled(page)


def test_tables_in_the_documentation_are_those_of_the_files() -> None:
    for page in pages():
        assert filled(page.read_text()) == page.read_text(), f"{page.name} is stale; make tables writes it"
