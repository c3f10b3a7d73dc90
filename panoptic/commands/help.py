"""Help text of the commands, equal to Hydra's but without the second that Hydra takes to list the groups.

Does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from hydra import compose
from omegaconf import OmegaConf, open_dict

from panoptic.config.composing import config_path, with_hydra

FLAGS = {"--help", "-h", "--multirun", "-m"}
"""Flags with which the text is created here; with other flags, Hydra handles the command line."""


def help_text(name: str, arguments: Sequence[str]) -> str | None:
    """Return the help text of a command, or ``None`` if it is not requested or Hydra has to handle the flags.

    Args:
        name: Name of the command.
        arguments: Arguments of the command line; overrides of the configuration appear in the text.

    Raises:
        HydraException: If the configuration cannot be composed.
    """
    flags = {argument for argument in arguments if argument.startswith("-")}
    if not flags & {"--help", "-h"} or not flags <= FLAGS:
        return None
    with with_hydra():
        config = compose(name, [a for a in arguments if a not in flags], return_hydra_config=True)
    template = config.hydra.help.template
    with open_dict(config):
        del config["hydra"]
    groups = "".join(f"{group}: {', '.join(options)}\n" for group, options in config_groups())
    return Template(template).safe_substitute(APP_CONFIG_GROUPS=groups, CONFIG=OmegaConf.to_yaml(config))


def config_groups() -> Iterator[tuple[str, list[str]]]:
    """Yield the groups of the configuration and their options, in alphabetical order.

    Files that only serve as parts of options, ``hydra/command.yaml`` and ``data/base.yaml``, are omitted.
    """
    path = config_path()
    yield from _groups(Path(str(files(path.removeprefix("pkg://")))) if path.startswith("pkg://") else Path(path), "")


def _groups(folder: Path, group: str) -> Iterator[tuple[str, list[str]]]:
    inner = sorted(folder.iterdir(), key=lambda entry: entry.name)
    options = [
        entry.name.removesuffix(".yaml")
        for entry in inner
        if entry.name.endswith(".yaml") and entry.name != "base.yaml"
    ]
    if group and options:
        yield group, options
    for entry in inner:
        if entry.is_dir() and not entry.name.startswith(("_", ".", "hydra")):
            yield from _groups(entry, f"{group}/{entry.name}".lstrip("/"))
