"""What the documentation shows, run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from panoptic.__main__ import COMMANDS
from panoptic.commands.app import command
from panoptic.commands.inspect import inspect
from panoptic.config.groups import CocoPanopticConfig, SyntheticConfig
from panoptic.data.checks.faults import KINDS
from panoptic.data.coco.reader import CocoPanopticSource

ROOT = Path(__file__).parents[1]
DATA = (ROOT / "docs" / "data.md").read_text()


def test_masks_become_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic"])
    (code,) = re.findall(r"```python\n(.*?)```", DATA, re.DOTALL)
    exec(compile(code, "docs/data.md", "exec"), {})
    source = CocoPanopticSource("train", root="own")
    assert len(source) == 2
    segments = source.read(1).segments
    assert sorted(zip(segments.classes.tolist(), segments.areas().tolist(), strict=True)) == [
        (0, 144),
        (0, 620),
        (1, 64 * 64 - 764),
    ]
    command("inspect", inspect, ("data=coco_panoptic", "data.root=own", "workers=1"))


def test_kinds_of_faults_are_all_explained() -> None:
    table = re.findall(r"^\| `(\w+)` \| ", DATA.split("## Is it sound?")[1].split("##")[0], re.MULTILINE)
    assert table == list(KINDS)


def test_keys_that_are_explained_exist() -> None:
    keys = set(re.findall(r"`data\.(\w+)", DATA))
    assert keys <= {*CocoPanopticConfig.__dataclass_fields__, *SyntheticConfig.__dataclass_fields__, "md"}
    assert {"crop", "scale", "appearance", "any_orientation", "epoch_size", "batch_size", "workers"} <= keys


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "examples/nuclei/README.md",
        *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 7 * 1024


def test_architecture_names_every_package() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    packages = {path.parent.name for path in (ROOT / "panoptic").rglob("__init__.py")} - {"functional", "callbacks"}
    assert packages <= set(re.findall(r"(?m)^ *(\w+)/", plan))
    for name in re.findall(r"`(panoptic/[\w/.]+)`", (ROOT / "docs" / "architecture.md").read_text()):
        assert (ROOT / name).exists(), name


def test_commands_are_all_explained() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    assert set(re.findall(r"(?m)^## (\w+)$", text)) - {"Checkpoints", "Make"} == set(COMMANDS)
    targets = set(re.findall(r"(?m)^\.PHONY: (.*)$", (ROOT / "Makefile").read_text())[0].split())
    assert targets == set(re.findall(r"`make (\w+)`", text))
