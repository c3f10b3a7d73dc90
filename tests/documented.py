"""The commands that README.md, CONTRIBUTING.md and docs/ show, as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from panoptic.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

PLACEHOLDERS = {  # what stands for a choice of the reader, and a choice
    "data=...": "data=coco_panoptic",
    "model/fusion=uniform,NAME": "model/fusion=uniform,local",
    "format=FORMAT": "format=masks",
    "[workers=N]": "workers=4",
}


def in_blocks() -> dict[str, list[str]]:
    """Words of each command of this project in a block of code, by its text."""
    found = {}
    for page in PAGES:
        for language, code in FENCE.findall(page.read_text()):
            for line in code.replace("\\\n", " ").splitlines() if language in ("bash", "") else ():
                if is_ours(line):
                    words = shlex.split(line, comments=True)
                    found[shlex.join(words)] = words
    return found


def in_text() -> dict[str, list[str]]:
    """Words of each command of this project within the text or a table, by its text."""
    found = {}
    for page in PAGES:
        for code in re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text())):
            line = " ".join(code.replace("\\|", "|").split())
            if is_ours(line):
                found[line] = shlex.split(line)
    return found


def is_ours(line: str) -> bool:
    """Whether a line starts a command of this project, whatever starts its processes; other mentions do not."""
    by_module = re.search(r"(^|\s)-m (panoptic|benchmarks)\.(\w+)(\s|$)", line)
    by_script = re.match(rf"panoptic ({'|'.join(COMMANDS)})(\s|$)", line)
    return bool(by_script or (by_module and re.match(r"python|torchrun|srun", line) and by_module[3] not in NAMES))


NAMES = ("NAME", "COMMAND", "X")
"""What stands for the name of any command."""


def parts(words: list[str]) -> tuple[str, list[str]]:
    """Return the module of a command and its arguments, whatever starts its processes."""
    if words[0] == "panoptic":
        return f"panoptic.{words[1]}", words[2:]
    start = words.index("-m")
    return words[start + 1], words[start + 2 :]


def variations(arguments: list[str]) -> Iterator[list[str]]:
    """Yield the command lines that a synopsis stands for: with what is optional, and each alternative at least once."""
    yield from each_once([alternatives(PLACEHOLDERS.get(word, word)) for word in arguments])


def each_once(choices: list[list[str]]) -> Iterator[list[str]]:
    """Yield the first of all choices, and then each other one with the first of the others."""
    yield [choice[0] for choice in choices]
    for place, others in enumerate(choices):
        for other in others[1:]:
            yield [other if at == place else choice[0] for at, choice in enumerate(choices)]


def alternatives(word: str) -> list[str]:
    """Return the arguments that ``key=a|b`` or ``[key=a|b]`` stands for."""
    optional = re.fullmatch(r"\[(\w[\w./]*=.*)\]", word)
    key, equals, value = (optional[1] if optional else word).partition("=")
    return [f"{key}{equals}{choice}" for choice in value.split("|")]


def choices_of_sweep(arguments: list[str]) -> Iterator[list[str]]:
    """Yield command lines of runs of a sweep, without ``-m``, with each value at least once, of numbers the first."""
    choices = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals:
            values = [value] if value.startswith("[") else value.split(",")
            choices.append([f"{key}={one}" for one in (values[:1] if values[0].isdecimal() else values)])
    yield from each_once(choices)
