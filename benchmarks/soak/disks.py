"""Disks that get full while a training goes on: a small file system, and a limit of the size of files."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.soak.forking import Outcome, attempt
from benchmarks.soak.records import HANGS, NotTriedError, Row, broken_promise
from benchmarks.soak.setting import run, same, weights
from panoptic.errors import InputError
from panoptic.training.checkpoint_io import verify


def limit_files(folder: Path, sound: Path, count: int, chance: random.Random) -> Row:
    """Let a training go on where files may not exceed a size, and again where they may.

    Args:
        folder: Folder to work in.
        sound: Folder with a run.
        count: Number of trainings.
        chance: Draws the limits.

    Returns:
        What became of them.
    """
    whole = _undisturbed(folder, sound)
    size = _size(sound)
    row = Row("size of files limited")
    for _ in range(count):
        with _copy(sound, folder / "limited") as here:
            limit = chance.choice((chance.randrange(2**14), chance.randrange(size + 2**16)))
            first = attempt(_go_on, here, HANGS, limit)
            row.add(first, _broken(first, here, whole), f"{limit} bytes")
    return row


def fill_disk(folder: Path, sound: Path, count: int, chance: random.Random) -> Row:
    """Let a training go on where a small disk gets full, and again where there is room.

    Args:
        folder: Folder to work in.
        sound: Folder with a run.
        count: Number of trainings.
        chance: Draws what is left on the disk.

    Returns:
        What became of them.

    Raises:
        NotTriedError: If no small file system can be mounted.
    """
    place = folder / "small"
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise NotTriedError(f"a full disk: {mounted.stderr.strip()}")
    try:
        whole = _undisturbed(folder, sound)
        size = _size(sound)
        row = Row("full")
        for _ in range(count):
            with _copy(sound, place / "here") as here:
                left = chance.choice((chance.randrange(2**16), chance.randrange(2 * size)))
                filler = place / "filler"
                filler.write_bytes(bytes(max(shutil.disk_usage(place).free - left, 0)))
                first = attempt(_go_on, here, HANGS)
                filler.unlink()
                row.add(first, _broken(first, here, whole), f"{left} bytes left")
        return row
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _go_on() -> None:
    run("train", "resume=run", "trainer.max_epochs=2", "checkpoint.every=0s")


def _size(sound: Path) -> int:
    """Return the size of a checkpoint."""
    return (sound / "run" / "checkpoints" / "last.ckpt").stat().st_size


def _undisturbed(folder: Path, sound: Path) -> Path:
    """Let a copy of the sound run go on undisturbed, and return its folder.

    Raises:
        RuntimeError: If that fails.
    """
    whole = folder / "whole"
    shutil.copytree(sound / "run", whole / "run")
    outcome = attempt(_go_on, whole, HANGS)
    if outcome.status:
        raise RuntimeError(f"expected a whole training, got status {outcome.status}: {outcome.output[-2000:]}")
    return whole


@contextmanager
def _copy(sound: Path, here: Path) -> Iterator[Path]:
    """Copy the sound run to a folder, and remove it afterwards."""
    here.mkdir()
    try:
        shutil.copytree(sound / "run", here / "run")
        yield here
    finally:
        shutil.rmtree(here)


def _broken(first: Outcome, here: Path, whole: Path) -> str | None:
    """Return the promise that was broken on a full disk, if any; then lets the training go on without a limit."""
    broken = broken_promise(first)
    if broken is None and first.status and not re.search(rf"{re.escape(str(here / 'run'))}|\brun/", first.output):
        broken = "no file is named"
    for name in ("last", "best"):
        path = here / "run" / "checkpoints" / f"{name}.ckpt"
        try:
            verify(path)
        except InputError as error:
            broken = str(error)
    if broken is None and first.status:
        second = attempt(_go_on, here, HANGS)
        if second.status:
            broken = f"does not go on: {(second.output.strip().splitlines() or [''])[-1]}"
    if broken is None:
        last = [weights(path / "run" / "checkpoints" / "last.ckpt") for path in (here, whole)]
        broken = None if same(*last) else "other weights"
    return broken
