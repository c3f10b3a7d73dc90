"""Who may import whom: the rooms of the project know each other one way only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "panoptic"

FORBIDDEN = {  # a room, and what it may not know
    "labels.py": ("panoptic", "torch", "lightning", "hydra"),
    "errors.py": ("panoptic", "torch", "lightning", "hydra"),
    "config_groups.py": ("torch", "lightning", "panoptic.models", "panoptic.data", "panoptic.module"),
    "config.py": ("torch", "lightning", "panoptic.models", "panoptic.data", "panoptic.module"),
    "settings.py": ("torch", "lightning", "panoptic.models", "panoptic.data", "panoptic.module"),
    "cli.py": ("torch", "lightning", "panoptic.models", "panoptic.data", "panoptic.module"),
    "segments.py": ("lightning", "hydra", "panoptic.codec", "panoptic.data", "panoptic.models", "panoptic.metrics"),
    "complexity.py": ("lightning", "hydra", "panoptic.codec", "panoptic.data", "panoptic.models", "panoptic.metrics"),
    "codec.py": ("lightning", "hydra", "panoptic.data", "panoptic.models", "panoptic.metrics", "panoptic.losses"),
    "counting.py": ("panoptic", "lightning", "hydra"),
    "grouping.py": ("panoptic", "lightning", "hydra"),
    "orthogonal.py": ("panoptic", "lightning", "hydra"),
    "memory.py": ("panoptic", "torch", "lightning", "hydra"),
    "comparison": ("torch", "lightning", "hydra", "omegaconf", "matplotlib.pyplot"),
    "oracle.py": ("lightning", "hydra", "panoptic.data", "panoptic.models", "panoptic.losses"),
    "models": (
        "lightning",
        "hydra",
        "omegaconf",
        "panoptic.data",
        "panoptic.metrics",
        "panoptic.losses",
        "panoptic.module",
    ),
    "losses": (
        "lightning",
        "hydra",
        "omegaconf",
        "panoptic.data",
        "panoptic.metrics",
        "panoptic.models",
        "panoptic.module",
    ),
    "metrics": (
        "lightning",
        "hydra",
        "omegaconf",
        "panoptic.data",
        "panoptic.models",
        "panoptic.losses",
        "panoptic.module",
    ),
    "data": ("hydra", "omegaconf", "panoptic.models", "panoptic.metrics", "panoptic.losses", "panoptic.module"),
    "scenes": (
        "lightning",
        "hydra",
        "panoptic.codec",
        "panoptic.models",
        "panoptic.metrics",
        "panoptic.losses",
        "panoptic.module",
    ),
    "module.py": ("hydra", "omegaconf", "panoptic.models", "panoptic.callbacks", "panoptic.checkpoint"),
    "callbacks": ("hydra", "omegaconf", "panoptic.models", "panoptic.checkpoint", "panoptic.train"),
}


def imported(file: Path, everywhere: bool = True) -> set[str]:
    """Names of the modules that a file imports, at its top level only or anywhere in it."""
    tree = ast.parse(file.read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def breaches(room: str, forbidden: tuple[str, ...]) -> list[str]:
    """Imports of a room that it may not have."""
    files = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
    assert files
    found = []
    for file in files:
        for name in imported(file):
            own = room.endswith(".py") and name == f"panoptic.{room[:-3]}"
            if not own and any(name == f or name.startswith(f"{f}.") for f in forbidden):
                found.append(f"{file.relative_to(PACKAGE)} imports {name}")
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_rooms_know_each_other_one_way(room: str) -> None:
    assert breaches(room, FORBIDDEN[room]) == []


def test_only_the_network_sees_its_siblings() -> None:
    parts = {"backbone", "fpn", "fusion", "heads"}
    # Layers, the type that fusion takes, and what the backbone does to its own.
    shared = {f"panoptic.models.{name}" for name in ("layers", "complexity", "checkpointing")}
    for file in (PACKAGE / "models").glob("*.py"):
        seen = {name for name in imported(file) if name.startswith("panoptic.models.")} - shared
        assert not seen or file.name == "network.py", f"{file.name} imports {seen}"
    assert parts <= {file.stem for file in (PACKAGE / "models").glob("*.py")}


@pytest.mark.parametrize(
    "name",
    [
        "__init__",
        "cli",
        "cli_help",
        "memory",
        "config",
        "config_groups",
        "settings",
        "train",
        "evaluate",
        "predict",
        "score",
        "compare",
        "scenes/__init__",
        "scenes/__main__",
        "inspect",
    ],
)
def test_commands_answer_before_torch_is_imported(name: str) -> None:
    slow = (
        "torch",
        "lightning",
        "torchvision",
        "timm",
        "albumentations",
        "torchmetrics",
        "panoptic.checkpoint",
        "panoptic.module",
    )
    body = imported(PACKAGE / f"{name}.py", everywhere=False)
    assert [n for n in body if n.split(".")[0] in slow or n in slow] == []
