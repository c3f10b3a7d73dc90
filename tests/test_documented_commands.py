"""Every command that the documentation shows is one: keys, groups and options exist, and values are of their types.

What is run for real is in tests/commands/test_documented_runs.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys

import pytest
from hydra import compose
from hydra.errors import HydraException
from omegaconf import OmegaConf

from panoptic.commands.app import _check_arguments
from panoptic.config.composing import with_hydra
from panoptic.config.overrides import pack_overrides, validate
from panoptic.data.checks.faults import KINDS
from panoptic.data.convert.formats import FORMATS
from panoptic.errors import InputError
from panoptic.inference.export.formats import FORMATS as EXPORT_FORMATS
from panoptic.inference.tta import VIEWS
from tests.documented import ROOT, choices_of_sweep, in_blocks, in_text, parts, variations

SHOWN = {**in_text(), **in_blocks()}
OURS = sorted(text for text, words in SHOWN.items() if parts(words)[0].startswith("panoptic."))
BENCHMARKS = sorted(SHOWN.keys() - set(OURS))
VALUES = {  # of keys that the schema takes any text for
    ("convert", "format"): FORMATS,
    ("export", "format"): EXPORT_FORMATS,
    ("scenes", "format"): ("cityscapes", "coco_panoptic"),
    ("inspect", "ignore"): KINDS,
    ("evaluate", "split"): ("train", "val", "test"),
    ("evaluate", "tta"): VIEWS,
    ("predict", "tta"): VIEWS,
    ("score", "missing"): ("error", "count_as_empty"),
}
NO_CONFIGURATION = ("panoptic.training.replay",)  # takes a path
LAUNCHERS = ("hydra/launcher=", "hydra.launcher.")  # of plugins, which need not be installed
NO_FLAGS = ("benchmarks.ceiling", "benchmarks.cost")  # take names of experiments


@pytest.mark.parametrize("text", OURS)
def test_configurations_compose(text: str) -> None:
    module, arguments = parts(SHOWN[text])
    assert importlib.util.find_spec(module), module
    if module in NO_CONFIGURATION:
        assert len(arguments) == 1
        return
    name = module.removeprefix("panoptic.")
    for line in variations(arguments):
        _check_arguments(name, line)
        for run in choices_of_sweep(line) if "-m" in line else [line]:
            check(name, run, whole=text in in_blocks())


def check(name: str, arguments: list[str], whole: bool) -> None:
    """Compose the configuration of a run, and check it as the command does; if it is whole, no key may lack."""
    packed = [word for word in pack_overrides(name, arguments) if not word.startswith(LAUNCHERS)]
    with with_hydra():
        config = compose(name, packed)
    if whole or not OmegaConf.missing_keys(config):
        validate(config)
    for word in arguments:
        key, _, value = word.partition("=")
        for one in value.strip("[]").split(",") if (name, key) in VALUES else ():
            assert one in VALUES[name, key], word


def test_what_does_not_exist_is_told() -> None:
    for words in (
        ["python", "-m", "panoptic.predict", "checkpoint=A", "input=B", "tiles=3"],
        ["panoptic", "score", "a=1"],
    ):
        module, arguments = parts(words)
        with pytest.raises((InputError, HydraException)):
            check(module.removeprefix("panoptic."), arguments, whole=True)
    with pytest.raises(InputError, match=r"^input: expected a value"):
        check("predict", ["checkpoint=A"], whole=True)
    with pytest.raises(AssertionError):
        check("convert", ["format=tiff", "input=A", "output=B"], whole=True)
    synopsis = "python -m panoptic.predict checkpoint=FILE [tta=flip|multiscale] [stuff=[a,b]]"
    assert list(variations(parts(synopsis.split())[1])) == [
        ["checkpoint=FILE", "tta=flip", "stuff=[a,b]"],
        ["checkpoint=FILE", "tta=multiscale", "stuff=[a,b]"],
    ]
    assert list(choices_of_sweep(["-m", "ablation=on,off", "seed=0,1", "data.scale=[1,2]"])) == [
        ["ablation=on", "seed=0", "data.scale=[1,2]"],
        ["ablation=off", "seed=0", "data.scale=[1,2]"],
    ]


@pytest.mark.parametrize("text", BENCHMARKS)
def test_benchmarks_take_their_arguments(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, arguments = parts(SHOWN[text])
    if (ROOT / module.replace(".", "/")).is_dir():
        module += ".__main__"
    assert importlib.util.find_spec(module), module
    if module in NO_FLAGS:
        assert all((ROOT / "conf" / "experiment" / f"{name}.yaml").is_file() for name in arguments)
        return
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self: argparse.ArgumentParser, *given: object) -> None:
        parse(self, *given)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("benchmarks", "panoptic")):
            raise
        pytest.skip(f"{error.name} is not installed")
    # A mention of a command need not have all arguments.
    with pytest.raises(Parsed if arguments else (Parsed, SystemExit)):
        loaded.main()


class Parsed(Exception):
    """Ends a benchmark once its arguments are parsed."""
