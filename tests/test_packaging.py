"""The package works from a checkout and installed, from any directory."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from panoptic.__main__ import COMMANDS, main
from panoptic.config.groups import OPTIONS

CHECKOUT = Path(__file__).parents[1]


def composed(folder: Path, cwd: Path, *arguments: str) -> str:
    """What the package in a folder composes for the ablation of the quick experiment."""
    done = subprocess.run(
        [sys.executable, "-m", "panoptic.train", "experiment=quick", "ablation=on", *(arguments or ("--cfg", "job"))],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_package_has_its_own_configuration(tmp_path: Path) -> None:
    # The layout that the wheel has: pyproject.toml maps panoptic.conf to conf/.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "panoptic", tmp_path / "site" / "panoptic", ignore=ignored)
    shutil.copytree(CHECKOUT / "conf", tmp_path / "site" / "panoptic" / "conf", ignore=ignored)
    installed = composed(tmp_path / "site", tmp_path)
    assert "panoptic.models.UniformFusion" in installed
    assert installed == composed(CHECKOUT, tmp_path)
    told = composed(tmp_path / "site", tmp_path, "--help")
    assert f"model/fusion: {', '.join(sorted(OPTIONS['model/fusion']))}\n" in told
    assert "panoptic.models.UniformFusion" in told
    assert told == composed(CHECKOUT, tmp_path, "--help")


def test_two_checkouts_never_mix(tmp_path: Path) -> None:
    other, elsewhere = tmp_path / "other", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("panoptic", "conf"):
        shutil.copytree(CHECKOUT / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", other)
    quick = other / "conf" / "experiment" / "quick.yaml"
    quick.write_text(quick.read_text().replace("name: quick", "name: other"))
    assert "name: other" in composed(other, elsewhere)
    assert "name: quick" in composed(CHECKOUT, elsewhere)


def panoptic(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """The console script, which runs the same function."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "panoptic", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_one_script_has_all_commands(tmp_path: Path) -> None:
    assert 'panoptic = "panoptic.__main__:main"' in (CHECKOUT / "pyproject.toml").read_text()
    assert callable(main)
    told = panoptic("--help", cwd=tmp_path)
    assert told.returncode == 0
    assert [line.split()[0] for line in told.stdout.splitlines() if line.startswith("  ")] == list(COMMANDS)
    for name in COMMANDS:  # python -m panoptic.<name> too
        assert importlib.util.find_spec(f"panoptic.{name}")
        assert importlib.util.find_spec(f"panoptic.commands.{name}")
    assert panoptic("--version", cwd=tmp_path).stdout.startswith("panoptic ")
    same = panoptic("train", "experiment=quick", "ablation=on", "--cfg", "job", cwd=tmp_path)
    assert same.stdout == composed(CHECKOUT, tmp_path)
    refused = panoptic("trian", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("panoptic: expected a command (train, evaluate, ")
    assert list(tmp_path.iterdir()) == []


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def test_the_container_has_what_the_readme_installs() -> None:
    found = instructions((CHECKOUT / "Dockerfile").read_text())
    known = {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in found} == known
    assert all(rest for _, rest in found)
    assert found[0][0] == "FROM"
    of = {word: [rest for other, rest in found if other == word] for word in known}
    (install,) = re.findall(r"(?m)^pip install .*$", (CHECKOUT / "README.md").read_text().split("## Train")[0])
    assert [run for run in of["RUN"] if run.startswith("pip ")] == [install]
    assert json.loads(of["ENTRYPOINT"][0]) == ["panoptic"]
    assert json.loads(of["CMD"][0]) == ["--help"]
    assert of["USER"] == ["panoptic"]
    assert any(run.startswith("useradd ") and " panoptic " in run for run in of["RUN"])
    words = [word for word, _ in found]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word == "RUN")
    assert "PIP_NO_CACHE_DIR=1" in of["ENV"][0]
    version = tuple(map(int, re.findall(r"python:(\d+)\.(\d+)-slim", of["FROM"][0])[0]))
    assert version >= (3, 10)
    (argument,) = (rest.partition("=")[0] for rest in of["ARG"])
    assert f'"${argument}"' in " ".join(of["RUN"])
    assert f"--build-arg {argument}=" in (CHECKOUT / "docs" / "deploy.md").read_text()


def test_the_container_gets_what_git_keeps_alone() -> None:
    left_out = set((CHECKOUT / ".dockerignore").read_text().split())
    ignored = {line.rstrip("/") for line in (CHECKOUT / ".gitignore").read_text().split()}
    assert {".git"} | ignored <= left_out | {line.removeprefix("**/") for line in left_out}
    for needed in ("pyproject.toml", "README.md", "LICENSE", "panoptic", "conf"):  # what the build reads
        assert needed not in left_out
