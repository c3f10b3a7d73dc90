"""Disks that get full while a training goes on: a small file system, and a limit of the size of files."""

from __future__ import annotations

import random
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.soak.forking import Outcome, attempt
from benchmarks.soak.records import HANGS, Row, broken_promise
from benchmarks.soak.setting import run, same, weights
from panoptic.errors import InputError
from panoptic.training.checkpoint_io import verify

SETTINGS = ("resume=run", "trainer.max_epochs=2", "checkpoint.every=0s")


def fill_disks(folder: Path, sound: Path, count: int, chance: random.Random) -> tuple[list[Row], list[str]]:
    """Let a training go on where its files do not fit, and again where they do.

    Args:
        folder: Folder to work in.
        sound: Folder with a run.
        count: Number of trainings on each kind of disk.
        chance: Draws what is left on the disk.

    Returns:
        A row for each kind of disk, and notes on those that could not be tried.
    """
    folder.mkdir(parents=True)
    rows, notes = [], []
    size = (sound / "run" / "checkpoints" / "last.ckpt").stat().st_size
    whole = folder / "whole"
    whole.mkdir()
    shutil.copytree(sound / "run", whole / "run")
    outcome = attempt(lambda: run("train", *SETTINGS), whole, HANGS)
    if outcome.status:
        raise RuntimeError(f"expected a whole training, got status {outcome.status}: {outcome.output[-2000:]}")
    limited = Row("size of files limited")
    for _ in range(count):
        with _copy(sound, folder / "limited") as here:
            limit = chance.choice((chance.randrange(2**14), chance.randrange(size + 2**16)))
            first = attempt(lambda: run("train", *SETTINGS), here, HANGS, limit)
            limited.add(first, _broken(first, here, whole), f"{limit} bytes")
    rows.append(limited)
    place = folder / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        return rows, [f"no small file system could be mounted ({mounted.stderr.strip()})"]
    try:
        small = Row("full")
        for _ in range(count):
            with _copy(sound, place / "here") as here:
                left = chance.choice((chance.randrange(2**16), chance.randrange(2 * size)))
                filler = place / "filler"
                filler.write_bytes(bytes(max(shutil.disk_usage(place).free - left, 0)))
                first = attempt(lambda: run("train", *SETTINGS), here, HANGS)
                filler.unlink()
                small.add(first, _broken(first, here, whole), f"{left} bytes left")
        rows.append(small)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
    return rows, notes


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
        second = attempt(lambda: run("train", *SETTINGS), here, HANGS, resource.RLIM_INFINITY)
        if second.status:
            broken = f"does not go on: {(second.output.strip().splitlines() or [''])[-1]}"
    if broken is None:
        last = [weights(path / "run" / "checkpoints" / "last.ckpt") for path in (here, whole)]
        broken = None if same(*last) else "other weights"
    return broken
