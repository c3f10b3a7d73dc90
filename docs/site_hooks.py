"""Hooks of the site: what lies outside of docs/, and anchors.

Links lead to files where they lie in the repository, so that they work there. On the site, pages and files outside of
docs/ are copied beside the others, and links to them follow.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the site by their files in the repository. That of README.md has a text of its own."""

LINK = re.compile(r"(?<=\]\()([^()#\s:]+)(?=[#)])")
"""Target of a relative link, without anchor."""


def on_config(config: Any) -> Any:
    """Make anchors as GitHub does, in any alphabet."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    return config


def slug(text: str, separator: str) -> str:
    """Return the anchor of a heading: lower case, without punctuation, words joined."""
    return re.sub(r"\s", separator, re.sub(r"[^\w\s-]", "", text.strip().lower()))


def on_files(files: Files, config: Any) -> Files:
    """Add pages of the repository, and the files outside of docs/ that are linked."""
    for source, page in PAGES.items():
        if page != "index.md":
            files.append(File.generated(config, page, content=(CHECKOUT / source).read_text(encoding="utf-8")))
    for file in list(files.documentation_pages()):
        for target in LINK.findall(file.content_string):
            path = _in_repository(file.src_uri, target)
            if path not in PAGES and not path.startswith("docs/") and (CHECKOUT / path).is_file():
                files.append(File.generated(config, path, abs_src_path=str(CHECKOUT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links to their copies."""

    def moved(match: re.Match[str]) -> str:
        path = _in_repository(page.file.src_uri, match[0])
        if not (CHECKOUT / path).exists():
            return match[0]
        return posixpath.relpath(PAGES.get(path, path.removeprefix("docs/")), posixpath.dirname(page.file.src_uri))

    return LINK.sub(moved, markdown)


def _in_repository(page: str, target: str) -> str:
    """Return the path in the repository of the target of a link on a page."""
    source = next((path for path, name in PAGES.items() if name == page != "index.md"), f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
