"""The notebooks, executed at a tiny size and as they are committed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = (
    "model.backbone.name=test_resnet",
    *("data.height=64", "data.width=128", "data.crop=[64,128]", "data.epoch_size=null"),
    *("data.train_size=4", "data.val_size=2", "data.test_size=8", "callbacks.pictures=0", "trainer.max_epochs=1"),
)
LARGEST = 300_000
"""Bytes of a committed notebook."""

MACHINE = r"(?<![\w.])/(?:home|root|work|tmp|opt|usr|private|Users)/"
"""How paths begin that another machine does not have."""


@pytest.fixture(autouse=True)
def _a_kernel_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # it would warn of the move otherwise
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def executed(name: str, parameters: dict[str, object], check: str, folder: Path) -> NotebookNode:
    """A notebook after its cells have run in a folder, with other parameters and a cell at its end that checks."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    assert set(parameters) <= names(cell.source)
    cell.source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()  # raises if a cell does
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert re.findall(MACHINE, nbformat.writes(notebook)) == []
    return notebook


def names(source: str) -> set[str]:
    """What a cell of plain assignments sets."""
    return {line.split(" = ")[0] for line in source.splitlines()}


def pictures(notebook: NotebookNode) -> dict[str, list[str]]:
    """Types of the pictures that cells show, by the id of the cell."""
    shown = {
        cell.id: [kind for output in cell.get("outputs", ()) for kind in output.get("data", ()) if "image/" in kind]
        for cell in notebook.cells
    }
    return {id: kinds for id, kinds in shown.items() if kinds}


@pytest.mark.slow
def test_quickstart_scores_as_training_did(tmp_path: Path) -> None:
    parameters = {"FOLDER": ".", "OVERRIDES": [*TINY, "evaluation.split=null"], "RUN": "runs/tiny", "SCENES": 2}
    check = """
assert prediction.size == truth.size == (64, 128)
assert prediction.scores.shape == prediction.classes.shape
assert abs(float(alpha.sum()) - 1) < 1e-5
assert abs(float(scores["pq"]) - summary["last"]["val/pq"]) < 1e-3
assert abs(float(scores["sq"]) - summary["last"]["val/sq"]) < 1e-2
"""
    notebook = executed("quickstart", parameters, check, tmp_path)
    summary = json.loads((tmp_path / "runs" / "tiny" / "summary.json").read_text())
    assert summary["steps"] == 1
    assert pictures(notebook) == {"show-scene": ["image/jpeg"], "predict": ["image/jpeg"]}
    (train,) = (cell for cell in notebook.cells if cell.id == "train")
    assert "run folder: runs/tiny\n" in "".join(output.text for output in train.outputs)


@pytest.mark.soak
@pytest.mark.slow
def test_ablation_compares_what_it_has_trained(tmp_path: Path) -> None:
    parameters = {
        "FOLDER": ".",
        "STUDY": "tiny",
        "FUSIONS": "uniform,local",
        "SEEDS": "0,1",
        "OVERRIDES": [*TINY, "evaluation.shuffles=1"],
    }
    check = """
assert baseline.name == "uniform" and comparison.images == 8 and not unfinished and not doubled
assert {variant.name: [run.seed for run in variant.runs] for variant in variants} == {
    name: [0, 1] for name in FUSIONS.split(",")
}
assert {(row.variant, len(row.means)) for row in comparison.alpha_rows} == {(name, 3) for name in FUSIONS.split(",")}
assert all(abs(sum(mean.mean for mean in row.means.values()) - 1) < 1e-4 for row in comparison.alpha_rows)
assert abs(comparison.shuffled["uniform"].value) < 1e-9
"""
    notebook = executed("ablation", parameters, check, tmp_path)
    assert len(list((tmp_path / "runs" / "study" / "tiny").glob("*/summary.json"))) == 4
    assert (tmp_path / "runs" / "compare" / "tiny" / "report.md").is_file()
    assert pictures(notebook) == {
        "differences": ["image/png"],
        "quartiles": ["image/png"],
        "alpha": ["image/png"],
        "maps": ["image/jpeg"],
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_small_whole_and_of_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    assert re.findall(MACHINE, text) == []
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (tagged,) = (i for i, cell in enumerate(code) if "parameters" in cell.metadata.get("tags", ()))
    before = [line.split()[0] for line in code[tagged - 1].source.splitlines() if line]
    assert set(before) == {"import", "from"}
    counts = [cell.execution_count for cell in code]
    assert counts in ([None] * len(code), list(range(1, len(code) + 1)))  # all cells in their order, or none
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("installed", [True, False])
def test_the_first_cell_installs_the_package_where_it_is_missing(
    path: Path, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib if installed else None)
    exec(compile(first.source, path.name, "exec"), {})
    install = [sys.executable, "-m", "pip", "install", "--quiet", ".."]
    assert commands == ([] if installed else [install])
    assert (path.parent / install[-1] / "pyproject.toml").is_file()
