"""The documentation as a site: it builds without a warning, no link is dead, and it needs no network."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.made_once import made_once

ROOT = Path(__file__).parents[1]
SUBMODULES = {  # functions that have the name of their module, under which the reference has them
    f"panoptic.metrics.functional.{name}": f"panoptic.metrics.functional.{name}.{name}"
    for name in ("boundary_f1", "panoptic_quality")
}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("material", "mkdocs", "mkdocstrings", "griffe"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return made_once(tmp_path_factory, "site", build)


def build(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr + done.stdout


def pages_of(site: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in sorted(site.rglob("*.html"))}


def test_links_and_anchors_resolve(site: Path) -> None:
    texts = pages_of(site)
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    followed = 0
    for path, text in texts.items():
        for link in re.findall(r'\b(?:href|src)="([^"]*)"', text):
            target, _, anchor = unquote(unescape(link)).partition("#")
            if re.match(r"\w+:", target) or path.name == "404.html":  # whose links are for the root of a server
                continue
            there = (path.parent / target).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), f"{path.relative_to(site)}: {link}"
            # The theme's own, at the end of a page's navigation, has no heading of its own.
            assert not anchor or anchor in anchors.get(there, {anchor}), f"{path.relative_to(site)}: {link}"
            followed += 1
    assert followed > 1000


def test_nothing_is_fetched(site: Path) -> None:
    for path, text in pages_of(site).items():
        fetched = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="?(\w+:)?//', text)
        fetched += re.findall(r'<link\b[^>]*\brel="?(?:stylesheet|preload|preconnect)"?[^>]*\bhref="?(?:\w+:)?//', text)
        assert not fetched, path.relative_to(site)
        assert "fonts.googleapis" not in text, path.relative_to(site)


def test_pages_of_the_repository_are_there(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    sources = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    assert names == {*sources, "changelog.html", "contributing.html", "security.html", "404.html"}
    assert (site / "notebooks" / "ablation.ipynb").is_file()
    texts = {name: (site / name).read_text() for name in names}
    assert '<a href="changelog.html">' in texts["reliability.html"] + texts["results.html"] + texts["protocol.html"]
    assert not any("&lt;!-- end --&gt;" in text for text in texts.values()), "a marker is no row of its table"


def test_public_names_are_in_the_reference(site: Path) -> None:
    names = set()
    for path in (ROOT / "panoptic").rglob("__init__.py"):
        package = ".".join(path.parent.relative_to(ROOT).parts)
        for exported in re.findall(r"(?s)^__all__ = (\[.*?\])", path.read_text(), re.MULTILINE):
            names |= {f"{package}.{name}" for name in ast.literal_eval(exported)}
    described = {
        name for path in (site / "api").glob("*.html") for name in re.findall(r' id="([\w.]+)"', path.read_text())
    }
    assert len(names) > 100
    assert {SUBMODULES.get(name, name) for name in names} <= described
    roles = [path.name for path in (site / "api").glob("*.html") if re.search(r":(class|func|mod):", path.read_text())]
    assert not roles
