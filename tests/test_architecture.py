"""Who may import whom: the packages know each other one way only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "panoptic"

VOCABULARY = ("errors", "labels", "segments", "complexity")
CORE = ("codec", "data", "scenes", "models", "losses", "metrics", "visualization")

ALLOWED = {  # a package or module, and the others that it may import
    "errors.py": (),
    "labels.py": (),
    "segments.py": ("utils",),
    "complexity.py": ("segments", "utils"),
    "utils": ("errors",),
    "config": ("errors",),
    "codec": (*VOCABULARY, "utils"),
    "models": ("errors", "complexity", "codec", "utils"),  # the codec for Outputs, which a network returns
    "losses": (*VOCABULARY, "codec", "utils"),
    "metrics": (*VOCABULARY, "utils"),
    "data": (*VOCABULARY, "scenes", "utils"),
    "scenes": (*VOCABULARY, "data", "utils"),
    "visualization": (*VOCABULARY, "utils"),
    "results.py": ("errors", "labels", "utils", "visualization"),
    "runtime": ("data", "errors", "labels", "results", "utils"),
    "training": (*VOCABULARY, *CORE, "config", "utils", "__version__"),
    "inference": (*VOCABULARY, *CORE, "training", "results", "runtime", "utils", "__version__"),
    "analysis": (*VOCABULARY, *CORE, "training", "inference", "config", "utils"),
    "demo_page": (*VOCABULARY, *CORE, "inference", "results", "runtime"),
    "comparison": ("errors", "labels", "config", "utils", "visualization"),
    "commands": (
        *(*VOCABULARY, *CORE, "training", "inference", "analysis", "comparison", "demo_page", "config", "utils"),
    ),
}

FORBIDDEN = {  # packages that do not know these libraries
    "errors.py": ("torch", "lightning", "hydra"),
    "labels.py": ("torch", "lightning", "hydra"),
    "results.py": ("torch", "lightning", "hydra", "jaxtyping", "cv2"),
    "runtime": ("torch", "lightning", "hydra", "jaxtyping", "cv2"),
    "config": ("torch", "lightning"),
    "demo_page": ("lightning", "hydra", "omegaconf"),
    "comparison": ("torch", "lightning", "hydra", "matplotlib.pyplot"),
    **dict.fromkeys(("models", "losses", "metrics", "codec", "utils"), ("lightning", "hydra", "omegaconf")),
    "scenes": ("lightning", "hydra", "omegaconf"),
    "data": ("hydra", "omegaconf"),
    "visualization": ("lightning", "hydra", "omegaconf"),
}


def files_of(room: str) -> list[Path]:
    found = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
    assert found
    return found


def imported(file: Path, everywhere: bool = True) -> set[str]:
    """Names of the modules that a file imports, at its top level only or anywhere in it."""
    tree = ast.parse(file.read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names.update([f"{module}.{alias.name}" for alias in node.names] if module == "panoptic" else [module])
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_know_each_other_one_way(room: str) -> None:
    own = room.removesuffix(".py")
    for file in files_of(room):
        if file.name == "__main__.py":  # a command, at its place
            continue
        seen = {name.split(".")[1] for name in imported(file) if name.startswith("panoptic.")} - {own}
        assert seen <= set(ALLOWED[room]), f"{file.relative_to(PACKAGE)} imports {seen - set(ALLOWED[room])}"


def test_every_room_has_a_row() -> None:
    commands = {"train", "evaluate", "export", "headroom", "predict", "resolution", "score", "compare"}
    commands |= {"convert", "demo", "inspect"}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__", "__main__"} - commands == {room.removesuffix(".py") for room in ALLOWED}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_rooms_do_without_libraries(room: str) -> None:
    for file in files_of(room):
        seen = {n for n in imported(file) for f in FORBIDDEN[room] if n == f or n.startswith(f"{f}.")}
        assert not seen, f"{file.relative_to(PACKAGE)} imports {seen}"


def test_only_the_network_sees_its_siblings() -> None:
    parts = {"backbone", "fpn", "fusion", "heads"}
    # Layers, the type that fusion takes, and what the backbone does to its own.
    shared = {f"panoptic.models.{name}" for name in ("layers", "complexity", "checkpointing", "depthwise")}
    for file in (PACKAGE / "models").glob("*.py"):
        seen = {name for name in imported(file) if name.startswith("panoptic.models.")} - shared
        assert not seen or file.name in ("network.py", "__init__.py"), f"{file.name} imports {seen}"
    assert parts <= {file.stem for file in (PACKAGE / "models").glob("*.py")}


def test_no_command_imports_another() -> None:
    shared = {f"panoptic.commands.{name}" for name in ("app", "console", "help", "run_start")}
    for file in files_of("commands"):
        seen = {name for name in imported(file) if name.startswith("panoptic.commands.")} - shared
        assert not seen, f"{file.name} imports {seen}"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "__init__",
            "__main__",
            "train",
            "evaluate",
            "export",
            "headroom",
            "predict",
            "resolution",
            "score",
            "compare",
            "convert",
            "demo",
            "inspect",
        ),
        *("scenes/__init__", "scenes/__main__", "training/__init__", "training/runs", "data/__init__"),
        *("inference/__init__", "inference/export/__init__", "utils/malloc", "utils/files", "utils/lazy"),
        *(f"commands/{file.stem}" for file in sorted((PACKAGE / "commands").glob("*.py"))),
        *(f"config/{file.stem}" for file in sorted((PACKAGE / "config").glob("*.py"))),
    ],
)
def test_commands_answer_before_torch_is_imported(name: str) -> None:
    slow = ("torch", "lightning", "torchvision", "timm", "albumentations", "torchmetrics")
    modules = ("panoptic.training.checkpoint", "panoptic.training.module", "panoptic.segments")
    body = imported(PACKAGE / f"{name}.py", everywhere=False)
    assert [n for n in body if n.split(".")[0] in slow or n in modules] == []
