"""``python -m benchmarks.configuration [--check]``: write docs/configuration.md, the reference of all keys.

Keys, types and defaults are those of the schema and of the files in ``conf/``. The meaning of a key is what says it
first: the docstring of its schema, that of the class or function that it configures, or the comment in its file. With
``--check``, nothing is written, and a stale page is an error.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Union

from hydra import compose
from hydra.utils import get_object
from omegaconf import MISSING, DictConfig, OmegaConf

from panoptic.config.composing import with_hydra
from panoptic.config.limits import LIMITS
from panoptic.config.schema import COMMANDS

CHECKOUT = Path(__file__).resolve().parents[1]
CONF = CHECKOUT / "conf"
PAGE = CHECKOUT / "docs" / "configuration.md"
LONGEST = 300
"""Largest number of characters that a table has of an option."""

GROUPS = (
    *("data", "model", "model/backbone", "model/context", "model/fusion", "codec", "loss", "optimizer"),
    *("curriculum", "callbacks", "logger", "trainer"),
)
"""Groups of the training configuration, in the order of the page."""

INTRODUCTION = """\
# Configuration

Every key of every command. This page is written by `python -m benchmarks.configuration` from the schema
(`panoptic/config/`), the files in `conf/`, and the docstrings of what they configure; `make tables` does so too.

A key is given as `key=value`, a group by the name of one of its options: `data=cityscapes`, `model/fusion=local`. Later
ones win: the options of the groups, then the experiment, then the ablation, then the command line. `--cfg job` prints
what comes of it. Names and types are checked before anything is loaded. Values are in the syntax of
[Hydra](https://hydra.cc): `null`, `true`, `[256,512]`.

Commands that start from a checkpoint take its configuration from there; keys of the training configuration that are
given in addition change it, as in `data.root=/where/the/data/moved`.
"""

EXPERIMENTS = """\
An experiment sets the keys of a whole run, an ablation takes one thing away from it. Each is a file in
`conf/experiment/` or `conf/ablation/`, and a file of your own beside them is another. `data.crop`, `data.scale`,
`data.epoch_size`, `data.normalize`, `trainer.max_epochs`, `codec.max_things`, `loss.center`, `loss.offset` and
`loss.complexity` may be `null`, as in `experiment=own`: they are then chosen by the data.
"""

LARGEST = """\
A number that is larger is refused, since it could only be a mistake. `*` stands for anything; the first row that fits a
key holds, and of a list for each entry.
"""

BAR = "\\|"
"""A bar within a cell of a table."""

TRAINER = "Any other argument of Lightning's `Trainer` can be added with a plus: `+trainer.accumulate_grad_batches=2`."


class Key(NamedTuple):
    """A key of a schema: dotted name, type, the schema it is a field of, and the default there."""

    name: str
    kind: Any
    schema: type
    default: Any


def page() -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION, "## Experiments and ablations\n", EXPERIMENTS]
    parts += [_options("experiment"), _options("ablation"), "## Keys of training\n"]
    parts += ["Beside the groups below:\n", _table(_rows_of_command("train"))]
    for group in GROUPS:
        parts += [f"## {group}\n", _options(group)]
        rows = list(_rows_of_group(group))
        parts += [_table(rows)] if rows else []
        parts += [TRAINER + "\n"] if group == "trainer" else []
    for command in COMMANDS:
        if command != "train":
            parts += [f"## panoptic.{command}\n", _table(_rows_of_command(command))]
    parts += ["## Largest values\n", LARGEST, _limits()]
    return "\n".join(parts)


def _rows_of_command(command: str) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a command, without those of groups."""
    composed = _composed(0)
    for key in _keys(COMMANDS[command], "", GROUPS if command == "train" else ()):
        if command == "inspect" and key.name == "data":
            yield "data", "group", "required", f"{_meaning(key, None, {})} Its keys are those of [training](#data)."
            continue
        default = OmegaConf.select(composed, key.name, throw_on_missing=False) if command == "train" else key.default
        yield key.name, _kind(key.kind), _value(default), _meaning(key, None, {})


def _rows_of_group(group: str) -> Iterator[tuple[str, ...]]:
    """Yield the keys of a group, each with its default by option."""
    options = _names(group)
    nodes = {option: _node(group, option) for option in options}
    inner = [name.removeprefix(f"{group}/") for name in GROUPS if name.startswith(f"{group}/")]
    keys = {
        option: {key.name: key for key in _keys(OmegaConf.get_type(nodes[option]), "", inner)} for option in options
    }
    for name in dict.fromkeys(name for names in keys.values() for name in names):
        having = [option for option in options if name in keys[option]]
        kind = keys[having[0]][name].kind
        values = {option: _value(_select(nodes[option], name)) for option in having}
        meanings = {
            option: _meaning(keys[option][name], _owner(nodes[option], name), _comments(group, option))
            for option in having
        }
        yield f"{group.replace('/', '.')}.{name}", _kind(kind), _by_option(values, options), _told_apart(meanings)


def _names(group: str) -> list[str]:
    """Return the options of a group, that of the command's default first."""
    names = sorted(path.stem for path in (CONF / group).glob("*.yaml") if path.stem != "base")
    return sorted(names, key=lambda name: name != _default_of(group))


def _default_of(group: str) -> str | None:
    """Return the option of a group that holds where none is given."""
    file, _, name = group.rpartition("/")
    text = (CONF / (f"{file}/full.yaml" if file else "train.yaml")).read_text()
    found = re.search(rf'(?m)^  - {name}: "?(\w+)"?$', text)
    return found[1] if found else None


def _keys(schema: type, path: str, without: Collection[str]) -> Iterator[Key]:
    """Yield the fields of a schema and of those in it, but for groups of their own."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind = hints[field.name]
        if field.name.startswith("_") or f"{path}{field.name}" in without:
            continue
        if dataclasses.is_dataclass(kind):
            yield from _keys(typing.cast("type", kind), f"{path}{field.name}.", without)
        else:
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            yield Key(f"{path}{field.name}", kind, schema, default)


@cache
def _composed(number: int) -> DictConfig:
    """Compose training with the option of this number of each group; groups do not depend on each other."""
    chosen = {group: _names(group) for group in GROUPS}
    with with_hydra():
        return compose("train", [f"{group}={names[min(number, len(names) - 1)]}" for group, names in chosen.items()])


def _node(group: str, option: str) -> DictConfig:
    """Return a group as it is composed with an option."""
    composed = _composed(_names(group).index(option))
    return typing.cast("DictConfig", OmegaConf.select(composed, group.replace("/", ".")))


def _select(node: DictConfig, key: str) -> Any:
    """Return a value as it stands, an interpolation by the key that it names."""
    *path, last = key.split(".")
    for part in path:
        node = node[part]
    return OmegaConf.to_container(node, resolve=False)[last]  # type: ignore[call-overload]


def _owner(node: DictConfig, key: str) -> Any:
    """Return the class or function of this project that takes a key as an argument, or ``None``."""
    for part in key.split(".")[:-1]:
        node = node[part]
    target = node.get("_target_")
    return get_object(target) if target and target.startswith("panoptic.") else None


def _meaning(key: Key, target: Any, comments: dict[str, str]) -> str:
    """Return what a key means.

    Args:
        key: Key to explain.
        target: Class or function that it is an argument of, or ``None``.
        comments: Comments in the file of the option.

    Raises:
        ValueError: If nothing says it.
    """
    name = key.name.rpartition(".")[2]
    of_target = target.__mro__ if inspect.isclass(target) else (target,)
    for item in (*key.schema.__mro__, *of_target):
        text = _section(item.__doc__ or "", "Args|Attributes").get(name)
        if text:
            return _markdown(text)
    if key.name in comments:
        text = comments[key.name]
        return f"{text[0].upper()}{text[1:]}."
    raise ValueError(f"{key.schema.__name__}.{name}: expected a docstring or a comment that says what it means")


def _section(docstring: str, title: str) -> dict[str, str]:
    """Return the entries of a section of a docstring in the style of Google, by name."""
    found = re.search(rf"^(?:{title}):\n((?: +.*\n?|\n)*)", inspect.cleandoc(docstring), re.MULTILINE)
    entries = re.findall(r"^    (\w+): ((?:.*\n?)(?:^ {8}.*\n?)*)", found[1] if found else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _markdown(text: str) -> str:
    """Return a docstring as Markdown: roles and double backticks become code."""
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text)
    return text.replace("``", "`").replace("`None`", "`null`")


def _comments(group: str, option: str) -> dict[str, str]:
    """Return the comments beside the keys of an option, and of the base that it is on top of, by dotted key."""
    comments: dict[str, str] = {}
    for name in ("base", option):
        path: list[str] = []
        for line in (CONF / group / f"{name}.yaml").read_text().splitlines() if _is_there(group, name) else ():
            found = re.match(r"( *)(\w+):[^#]*(?:  # (.*))?$", line)
            if found:
                path = [*path[: len(found[1]) // 2], found[2]]
                if found[3]:
                    comments[".".join(path)] = found[3]
    return comments


def _is_there(group: str, name: str) -> bool:
    return (CONF / group / f"{name}.yaml").is_file()


def _options(group: str) -> str:
    """Return the table of the options of a group, by the comments at the beginning of their files.

    Of a long comment the table has the first sentence, and a list below it has the rest.
    """
    rows, more = [], []
    for name in _names(group):
        lines = []
        for line in (CONF / group / f"{name}.yaml").read_text().splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.removeprefix("#").strip())
        kept = [line for line in lines if not re.match(r"@package|(or, on one GPU: )?(python -m|torchrun)", line)]
        text = re.sub(r"docs/(\w+\.md)", r"[\1](\1)", " ".join(line for line in kept if line))
        if not text:
            raise ValueError(f"conf/{group}/{name}.yaml: expected a comment at the beginning that says what it is")
        if len(text) > LONGEST:
            text, rest = re.split(r"(?<=[.]) (?=[A-Z])", text, maxsplit=1)
            more.append(f"- `{group}={name}`: {rest}")
        rows.append((f"`{group}={name}`" + (", the default" if name == _default_of(group) else ""), text))
    return "\n".join([_as_table(("option", "what it is"), rows), *more, *([""] if more else [])])


def _kind(kind: Any) -> str:
    """Return a type in words."""
    words = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any", type(None): "null"}
    if kind in words:
        return words[kind]
    if typing.get_origin(kind) is list:
        return f"list of {_kind(typing.get_args(kind)[0])}s".replace("texts", "text")
    if typing.get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in typing.get_args(kind))
    raise ValueError(f"{kind}: expected a type with a name on the page")


def _value(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    if value is dataclasses.MISSING or value == MISSING:
        return "required"
    interpolated = re.fullmatch(r"\$\{([\w.]+)\}", str(value))
    if interpolated:
        return f"that of `{interpolated[1]}`"
    if value is None or isinstance(value, bool):
        return f"`{'null' if value is None else str(value).lower()}`"
    if isinstance(value, (list, tuple)) or OmegaConf.is_list(value):
        return f"`[{','.join(map(str, value))}]`"
    return f"`{value}`" if value != "" else "empty"


def _by_option(values: dict[str, str], options: list[str]) -> str:
    """Return a default, or that of each option where they differ or not all have the key."""
    if len(values) == len(options) and len(set(values.values())) == 1:
        return next(iter(values.values()))
    alike = {value: [option for option in values if values[option] == value] for value in values.values()}
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in alike.items())


def _told_apart(meanings: dict[str, str]) -> str:
    """Return a meaning, or that of each option where they differ."""
    if len(set(meanings.values())) == 1:
        return next(iter(meanings.values()))
    alike = {text: [option for option in meanings if meanings[option] == text] for text in meanings.values()}
    return " ".join(f"*{', '.join(names)}:* {text}" for text, names in alike.items())


def _limits() -> str:
    return _as_table(
        ("keys", "at most"), [(f"`{pattern}`", f"{limit:,}".replace(",", " ")) for pattern, limit in LIMITS.items()]
    )


def _table(rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    return _as_table(("key", "type", "default", "meaning"), [(f"`{row[0]}`", *row[1:]) for row in rows])


def _as_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell.replace('|', BAR) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is stale")
    check, text = parser.parse_args().check, page()
    stale = not PAGE.is_file() or PAGE.read_text() != text
    if stale and not check:
        PAGE.write_text(text)
    if stale:
        outcome = "stale; python -m benchmarks.configuration writes it anew" if check else "written"
        print(f"{PAGE.relative_to(CHECKOUT)}: {outcome}")
    sys.exit(bool(check and stale))


if __name__ == "__main__":
    main()
