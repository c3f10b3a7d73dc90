"""Checkpoints altered at random: damaged, with other content, or with callables that leave a mark."""

from __future__ import annotations

import copy
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.soak.forking import attempt
from benchmarks.soak.records import HANGS, Row, broken_promise
from benchmarks.soak.setting import TINY, run, same, weights
from panoptic.training.checkpoint_io import save

FILE = "stranger.ckpt"
MARK = "it_ran"
MODULE = f"""
from pathlib import Path
Path({MARK!r}).touch()
def mark(*arguments, **options):
    Path({MARK!r}).touch()
"""
"""A module in the current folder that leaves a mark when it is imported, and when its function is called."""

CALLABLES: tuple[dict[str, Any], ...] = (
    {"_target_": "stranger.mark"},
    {"_target_": "stranger.mark", "_partial_": True},
    {"_target_": "os.system", "command": f"touch {MARK}"},
    {"_target_": "os.system", "_args_": [f"touch {MARK}"]},
    {"_target_": "builtins.exec", "_args_": [f"open({MARK!r}, 'w')"]},
    {"_target_": "builtins.open", "_args_": [MARK, "w"]},
    {"_target_": "subprocess.run", "_args_": [["touch", MARK]]},
    {"_target_": "hydra.utils.instantiate", "_args_": [{"_target_": "stranger.mark"}]},
    {"_target_": "hydra.utils.get_method", "path": "stranger.mark"},
    {"_target_": "panoptic.commands.train.stranger.mark"},
)
ODD = (
    *(None, True, -1, 0, 1, 7, 2**31, 2**40, -(2**63), 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "auto", "${seed}", "../x", "\ud800", [], {}, [[]], [1] * 5, {"x": 1}, [None], b"x", ["x"] * 1000),
)
"""Values in the place of others."""

READERS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", f"checkpoint={FILE}", "input=image.png", "output=out"),
    "resume": ("train", f"resume={FILE}", "hydra.run.dir=new", "trainer.max_epochs=2"),
    "start_from": ("train", *TINY, f"start_from={FILE}", "hydra.run.dir=new", "trainer.max_epochs=1"),
}
"""Commands that read a checkpoint, with their arguments."""


class Pickled:
    """Pickled as a call that leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARK}",)


def alter_checkpoints(folder: Path, sound: Path, kind: str, count: int, chance: random.Random) -> Row:
    """Give altered checkpoints to the commands that read some.

    Args:
        folder: Folder to work in.
        sound: Folder with a run and an image.
        kind: Key of :data:`ALTERATIONS`.
        count: Number of checkpoints.
        chance: Draws what is altered, and which command reads it.

    Returns:
        What became of them.
    """
    folder.mkdir(parents=True)
    original = sound / "run" / "checkpoints" / "last.ckpt"
    plain = folder / "plain.ckpt"  # as torch writes it, without a digest
    torch.save(torch.load(original, weights_only=True), plain)
    true_weights = weights(original)
    row = Row(kind)
    for _ in range(count):
        here = folder / "here"
        here.mkdir()
        (here / "stranger.py").write_text(MODULE)
        shutil.copy(sound / "image.png", here)
        shutil.copy(chance.choice((original, plain)), here / FILE)
        case = ALTERATIONS[kind][1](here / FILE, chance)
        reader = chance.choice(sorted(READERS))
        outcome = attempt(partial(run, *READERS[reader]), here, HANGS)
        broken = broken_promise(outcome)
        if (here / MARK).exists():
            broken = "a callable ran"
        elif outcome.status == 0 and kind in DAMAGED and not same(weights(here / FILE), true_weights):
            broken = "altered weights"
        row.add(outcome, broken, f"{reader}: {case}")
        shutil.rmtree(here)
    return row


def flip_bits(path: Path, chance: random.Random) -> str:
    """Flip one bit of a file, or several."""
    content = bytearray(path.read_bytes())
    bits = [chance.randrange(8 * len(content)) for _ in range(chance.choice((1, 1, 1, 2, 8)))]
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"bits {bits}"


def shorten(path: Path, chance: random.Random) -> str:
    """Cut the end of a file, or make it zeros, as a disk may have it after a crash."""
    content = path.read_bytes()
    kept = chance.randrange(len(content))
    zeros = chance.random() < 0.3
    path.write_bytes(content[:kept] + bytes((len(content) - kept) * zeros))
    return f"{kept} of {len(content)} bytes{', then zeros' * zeros}"


def alter_values(path: Path, chance: random.Random) -> str:
    """Replace or remove a value of the record, or of what a run goes on with; the file is whole."""
    content = torch.load(path, weights_only=True)
    part = chance.choice(("config", "config", "config", "panoptic", "content"))
    top = {"content": content, "panoptic": content["panoptic"], "config": content["panoptic"]["config"]}[part]
    places = [place for place in _places(top) if "state_dict" not in place[:1]]
    place = chance.choice(places)
    node = _node(top, place[:-1])
    if chance.random() < 0.2:
        del node[place[-1]]
        told = "removed"
    else:
        node[place[-1]] = value = chance.choice(ODD)
        told = f"= {value!r}"[:100]
    save(content, path)
    return f"{part}: {'.'.join(map(str, place))} {told}"


def name_callables(path: Path, chance: random.Random) -> str:
    """Let a node of the configuration name a callable that leaves a mark."""
    content = torch.load(path, weights_only=True)
    config = content["panoptic"]["config"]
    nodes = [(), *(place for place in _places(config) if isinstance(_node(config, place), dict))]
    place = chance.choice(nodes)
    hostile = copy.deepcopy(chance.choice(CALLABLES))
    node = _node(config, place)
    if chance.random() < 0.5:  # among the arguments, or in their place
        node["x"] = [hostile]
    else:
        node.update(hostile)
    save(content, path)
    return f"{'.'.join(map(str, place)) or 'the root'}: {hostile}"


def pickle_callables(path: Path, chance: random.Random) -> str:
    """Have the archive call a function as it is unpickled."""
    content = torch.load(path, weights_only=True)
    place = chance.choice(list(_places(content)))
    _node(content, place[:-1])[place[-1]] = Pickled()
    save(content, path)
    return ".".join(map(str, place))


ALTERATIONS: dict[str, tuple[int, Callable[[Path, random.Random], str]]] = {
    "bits flipped": (100, flip_bits),
    "shortened": (50, shorten),
    "values replaced or removed": (60, alter_values),
    "callables named in the configuration": (70, name_callables),
    "callables pickled": (20, pickle_callables),
}
"""Share of the checkpoints, and what alters one and tells what it did, by kind."""

DAMAGED = ("bits flipped", "shortened")


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the keys that lead to each value below a node."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from _places(value, (*above, key))


def _node(node: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        node = node[key]
    return node
