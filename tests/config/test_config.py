"""The schema and the files in conf/ against the code that they configure."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import MISSING, DictConfig, OmegaConf

from panoptic.config import groups as schema
from panoptic.config.composing import config_path
from panoptic.config.groups import OPTIONS
from panoptic.config.overrides import validate
from panoptic.config.schema import register
from panoptic.config.targets import TARGETS
from panoptic.data.datamodule import DataModule

CONF = Path(__file__).parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
FUSIONS = [
    OmegaConf.load(CONF / "model" / "fusion" / f"{name}.yaml")["_target_"].rpartition(".")[2]
    for name in OPTIONS["model/fusion"]
]
FROM_CODE = {  # what code hands over, so that no configuration has to
    "PanopticNetwork": {"num_classes", "seed", "in_channels"},
    "Backbone": {"in_channels"},
    "NoContext": {"in_channels"},
    "PyramidPooling": {"in_channels"},
    "FPN": {"in_channels"},
    "ComplexityEstimator": {"in_channels", "num_levels", "finest_stride"},
    **{fusion: {"channels", "num_levels"} for fusion in FUSIONS},
    "SemanticHead": {"in_channels", "num_classes"},
    "InstanceHead": {"in_channels"},
    "Codec": {"labels", "stride", "complexity_stride"},
    "PanopticLoss": {"names"},
    "adamw_cosine": {"trained", "total_steps"},
    "muon_cosine": {"trained", "total_steps"},
}


@pytest.fixture(scope="module", autouse=True)
def _hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(config_path(), version_base="1.3"):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("train", list(overrides))


def nodes(config: DictConfig, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    for key in config:
        if isinstance(config[key], DictConfig):
            if config[key].get("_target_"):
                yield f"{path}{key}", config[key]
            yield from nodes(config[key], f"{path}{key}.")


def arguments(target: object) -> set[str]:
    parameters = set(inspect.signature(target).parameters)
    if inspect.isclass(target) and issubclass(target, DataModule):
        parameters = parameters - {"loading"} | set(inspect.signature(DataModule).parameters) - {"seed"}
    return parameters


@pytest.mark.parametrize(
    "choice", [[], *([f"{group}={option}"] for group, options in OPTIONS.items() for option in options)], ids=str
)
def test_fields_are_the_arguments_of_their_targets(choice: list[str]) -> None:
    checked = 0
    for path, node in nodes(composed(*choice)):
        target = get_object(node._target_)
        if not node._target_.startswith("panoptic."):
            continue
        fields = {key for key in node if not key.startswith("_")}
        expected = arguments(target) - FROM_CODE.get(target.__name__, set())
        assert fields == expected, f"{path}: {node._target_}"
        checked += 1
    assert checked >= 11


FOR_COMMANDS = {  # keys whose default for a command is another than for a caller in Python, each for a reason
    "workers": "a command finds how many processes read ahead; in Python, none unless asked for",
    **dict.fromkeys(("train", "val", "test"), "a mapping without a path, which a caller leaves out"),
}


@pytest.mark.parametrize(
    "choice", [[], *([f"{group}={option}"] for group, options in OPTIONS.items() for option in options)], ids=str
)
def test_defaults_are_those_of_their_targets(choice: list[str]) -> None:
    checked = 0
    for path, node in nodes(composed(*choice)):
        if not node._target_.startswith("panoptic."):
            continue
        target = get_object(node._target_)
        parameters = dict(inspect.signature(target).parameters)
        if inspect.isclass(target) and issubclass(target, DataModule):
            parameters |= inspect.signature(DataModule).parameters
        for name, parameter in parameters.items():
            if parameter.default is parameter.empty or name not in node or name in FOR_COMMANDS:
                continue
            value = tuple(node[name]) if OmegaConf.is_list(node[name]) else node[name]
            assert value == parameter.default, f"{path}.{name}"
            checked += 1
    assert checked > 20


def test_every_schema_is_documented() -> None:
    for name, item in vars(schema).items():
        if dataclasses.is_dataclass(item):
            assert item.__doc__, name
            assert not item.__doc__.startswith(f"{name}("), f"{name} has only the docstring that dataclasses makes"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("ablation", ["on", "off"])
def test_experiments_compose_whole(experiment: str, ablation: str) -> None:
    config = composed(f"experiment={experiment}", f"ablation={ablation}")
    assert not OmegaConf.missing_keys(config)
    fusion = config.model.fusion._target_.rsplit(".", 1)[-1]
    assert fusion == ("UniformFusion" if ablation == "on" else "AdaptiveFusion")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_ablation_changes_the_fusion_and_nothing_else(experiment: str) -> None:
    on, off = (
        OmegaConf.to_container(composed(f"experiment={experiment}", f"ablation={choice}"), resolve=True)
        for choice in ("on", "off")
    )
    on["model"].pop("fusion"), off["model"].pop("fusion")
    assert on == off


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name != "nuclei_study"])
def test_experiments_take_any_data(experiment: str) -> None:
    for data in OPTIONS["data"]:
        assert composed(f"experiment={experiment}", f"data={data}").data._target_


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_header_of_an_experiment_is_its_command(experiment: str) -> None:
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"python -m panoptic.train experiment={experiment}" in text


def test_full_is_what_the_readme_says() -> None:
    config = composed("experiment=full")
    assert config.model.backbone.name == "resnet50"
    assert (config.optimizer.lr, config.optimizer.weight_decay) == (1e-4, 1e-4)
    assert (config.data.batch_size, config.trainer.max_epochs, config.callbacks.patience) == (4, 100, 15)
    assert (config.curriculum.stages, config.curriculum.epochs_per_stage) == (3, 10)
    assert config.loss.boundary_weight == 2.0
    assert (config.data.train_size, config.data.val_size, config.data.test_size) == (800, 150, 150)
    assert (config.data.height, config.data.width) == (512, 1024)


def test_the_curriculum_is_that_of_full_alone() -> None:
    stages = {name: composed(f"experiment={name}").curriculum.stages for name in EXPERIMENTS}
    assert {name for name, count in stages.items() if count > 1} == {"full"}


def test_the_tuned_recipe_trains_the_network_of_full() -> None:
    full, tuned = (composed(f"experiment={name}") for name in ("full", "full_tuned"))
    for config in (full, tuned):
        config.model.norm_momentum = config.model.backbone.lr_factor = 0
    assert tuned.model == full.model
    assert tuned.trainer == full.trainer
    # Decay over the whole run, 20 000 steps of half the peak rate on average.
    felt = [20_000 / 2 * c.optimizer.lr * c.optimizer.weight_decay for c in (full, tuned)]
    assert felt == pytest.approx([1e-4, 1.0])


def test_targets_are_public_names_and_stand_in_yaml() -> None:
    stated = {
        name for file in CONF.rglob("*.yaml") for name in re.findall(r"(?m)^\s*_target_: (\S+)$", file.read_text())
    } - {"null"}
    assert stated == TARGETS
    for name in stated:
        package, _, attribute = name.rpartition(".")
        assert attribute in importlib.import_module(package).__all__
    defaults = {
        field.default
        for item in vars(schema).values()
        if dataclasses.is_dataclass(item)
        for field in dataclasses.fields(item)
        if field.name == "_target_"
    }
    assert defaults == {MISSING}


LAZY = ("panoptic", "panoptic.data", "panoptic.training", "panoptic.inference", "panoptic.scenes")


@pytest.mark.parametrize("package", LAZY)
def test_packages_export_what_they_say(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    checked = next(node for node in ast.parse(Path(module.__file__).read_text()).body if isinstance(node, ast.If))
    assert {alias.name for statement in checked.body for alias in statement.names} == set(module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_weights_of_categories_are_given_by_name() -> None:
    config = composed("loss.class_weights={pole: 4, sign: 2.5}")
    validate(config)
    assert config.loss.class_weights == {"pole": 4, "sign": 2.5}
    assert composed().loss.class_weights is None
