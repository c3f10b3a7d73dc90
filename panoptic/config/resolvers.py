"""Names of run folders. Does not import torch.

Runs of a study have fixed names, so that an interrupted sweep can continue.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from datetime import datetime

from panoptic.config.keys import WITHOUT_EFFECT, is_below
from panoptic.errors import InputError

MAX_LENGTH = 80
"""Maximum number of characters in the name of a folder."""


def run_folder(study: str | None, name: str, overrides: Iterable[str]) -> str:
    """Return the folder of a run that is not part of a sweep."""
    if study is None:
        return f"runs/train/{_checked_name('name', name)}/{_now()}"
    return f"{_study_folder(study)}/{slug(run_name(overrides))}"


def sweep_folder(study: str | None, name: str) -> str:
    """Return the folder that holds the runs of a sweep."""
    return f"runs/sweep/{_checked_name('name', name)}/{_now()}" if study is None else _study_folder(study)


def sweep_subfolder(study: str | None, number: int, overrides: Iterable[str]) -> str:
    """Return the folder of one run of a sweep; in a study, it does not depend on the other runs of the sweep."""
    name = slug(run_name(overrides))
    return name if study is not None else f"{number}_{name}"


def run_name(overrides: Iterable[str]) -> str:
    """Join the overrides of a run that affect its results, except for the experiment."""
    excluded = (*WITHOUT_EFFECT, "experiment")
    kept = [o for o in overrides if not is_below(o.partition("=")[0].lstrip("+~").replace("/", "."), excluded)]
    return "_".join(sorted(kept)).replace("=", "-")


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"


def _study_folder(study: str) -> str:
    return f"runs/study/{_checked_name('study', study)}"


def _checked_name(key: str, name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(name)) is None:
        raise InputError(f"{key}: expected a name of letters, digits, dots, - and _, got {name!r}")
    return name


def slug(text: str) -> str:
    """Convert text to the name of a folder, without ``=``, which Hydra cannot parse in a path.

    Long text is truncated and a checksum appended, so that texts with a common prefix have different names.
    """
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_") or "run"
    return name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH - 9]}_{zlib.crc32(text.encode()):08x}"
