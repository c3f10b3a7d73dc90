"""Starting from a checkpoint: which weights are kept, and that the run says so."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
import torch

from panoptic.commands.app import command
from panoptic.commands.scenes import scenes
from panoptic.commands.train import train
from panoptic.labels import CITYSCAPES, Category, LabelSpace
from panoptic.training.checkpoint import FORMAT_VERSION, adopt_weights, build_network, read_checkpoint

TINY = (
    *("data.crop=[64,128]", "data.workers=0", "data.batch_size=2", "data.epoch_size=2", "data.appearance=0"),
    *("callbacks.pictures=0", "logger=none", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.precision=32"),
)
OTHER = LabelSpace((Category("road", 1, False, (1, 2, 3)), Category("car", 9, True, (4, 5, 6))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint, and a data set with two categories."""
    here = tmp_path_factory.mktemp("finetune")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(sys, "argv", ["panoptic"])
        written = ("height=64", "width=128", "train_size=2", "val_size=1", "test_size=0", "workers=1")
        command("scenes", scenes, ("output=data", "format=coco_panoptic", *written))
        sizes = ("data.height=64", "data.width=128", "data.train_size=2", "data.val_size=1", "data.test_size=1")
        small = ("model.backbone.name=test_resnet", *TINY, *sizes)
        command("train", train, ("experiment=quick", *small, "hydra.run.dir=first"))
    return here


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["panoptic"])


FIRST = "first/checkpoints/last.ckpt"


def merged_into_two() -> None:
    """Rewrites the data set's categories: everything is road, except the things, which are cars."""
    for split in ("train", "val"):
        path = Path(f"data/panoptic_{split}.json")
        content = json.loads(path.read_text())
        isthing = {c["id"]: c["isthing"] for c in content["categories"]}
        if set(isthing) == {1, 9}:
            continue
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                segment["category_id"] = 9 if isthing[segment["category_id"]] else 1
        content["categories"] = OTHER.to_dicts()
        path.write_text(json.dumps(content))


def test_heads_are_reinitialized_for_other_categories_and_the_run_says_so(capsys: pytest.CaptureFixture) -> None:
    merged_into_two()
    data = ("data=coco_panoptic", "data.root=data", "data.normalize=percentile")
    run = ("experiment=finetune", f"start_from={FIRST}", *data, *TINY, "seed=3", "hydra.run.dir=second")
    command("train", train, (*run, "optimizer.lr=0", "model.fusion.lr=0", "optimizer.weight_decay=0"))
    first, second = (torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True) for name in ("first", "second"))
    said = capsys.readouterr().out
    assert f"note: {FIRST} was trained with data.normalize=range, and is trained on with percentile; " in said
    kept, reinitialized = said.split(f"{FIRST}: kept ")[1].splitlines()[0].split("; reinitialized: ")
    assert [word.split(" ")[0] for word in kept.split(", ")] == ["backbone", "fpn", "complexity", "fusion"]
    assert [word.split(" ")[0] for word in reinitialized.split(", ")] == ["semantic_head", "instance_head"]
    # Nothing moved at a rate of 0, other than what normalization counts, so the weights are the ones started from.
    fresh = build_network(read_checkpoint("second/checkpoints/last.ckpt").config, 2).state_dict()
    for key, weight in second["state_dict"].items():
        if key.startswith("network.") and not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            is_head = key.split(".")[1] in ("semantic_head", "instance_head")
            expected = fresh[key.removeprefix("network.")] if is_head else first["state_dict"][key]
            assert torch.equal(weight, expected), key
    record = second["panoptic"]
    assert [c["name"] for c in record["labels"]] == ["road", "car"]
    assert list(record["started_from"]["kept"]) == ["backbone", "fpn", "complexity", "fusion"]
    assert record["backbone_weights"] == "the checkpoint's (random)"
    # The network and the codec are those of the checkpoint, without a flag: those of the quick experiment.
    expected = copy.deepcopy(first["panoptic"]["config"]["model"])
    expected["fusion"]["lr"] = 0.0
    assert record["config"]["model"] == expected
    assert record["config"]["codec"] == first["panoptic"]["config"]["codec"]
    assert json.loads(Path("second/summary.json").read_text())["started_from"] == record["started_from"]


def test_a_fine_tuned_run_resumes_without_the_checkpoint_it_started_from(capsys: pytest.CaptureFixture) -> None:
    merged_into_two()
    Path("copy.ckpt").write_bytes(Path(FIRST).read_bytes())
    data = ("data=coco_panoptic", "data.root=data")
    command("train", train, ("experiment=finetune", "start_from=copy.ckpt", *data, *TINY, "hydra.run.dir=third"))
    Path("copy.ckpt").unlink()
    command("train", train, ("resume=third/checkpoints/last.ckpt", "trainer.max_epochs=2"))
    assert "epoch 2/2" in capsys.readouterr().out
    summary = json.loads(Path("third/summary.json").read_text())
    assert summary["started_from"]["checkpoint"] == "copy.ckpt"


def test_everything_is_kept_for_the_same_categories() -> None:
    checkpoint = read_checkpoint(FIRST)
    network = build_network(checkpoint.config, len(CITYSCAPES))
    adopted = adopt_weights(network, CITYSCAPES, checkpoint)
    assert adopted.reinitialized == {}
    assert sum(adopted.kept.values()) == sum(p.numel() for p in network.parameters())
    assert all(torch.equal(value, checkpoint.weights[key]) for key, value in network.state_dict().items())


def test_a_part_that_the_command_line_exchanges_is_reinitialized() -> None:
    checkpoint = read_checkpoint(FIRST, ["model/fusion=local", "model.complexity.channels=32"])
    network = build_network(checkpoint.config, len(CITYSCAPES))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    adopted = adopt_weights(network, CITYSCAPES, checkpoint)
    assert list(adopted.reinitialized) == ["complexity", "fusion"]
    after = network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in after if key.startswith(("complexity.", "fusion.")))
    uniform = read_checkpoint(FIRST, ["model/fusion=uniform"])
    assert "fusion" not in adopt_weights(build_network(uniform.config, 19), CITYSCAPES, uniform).kept


DAMAGE = {
    "no labels": lambda content: content["panoptic"].pop("labels"),
    "no config": lambda content: content["panoptic"].pop("config"),
    "no version": lambda content: content["panoptic"].pop("format_version"),
    "strange version": lambda content: content["panoptic"].update(format_version="x"),
    "older version": lambda content: content["panoptic"].update(format_version=1),
    "newer version": lambda content: content["panoptic"].update(format_version=FORMAT_VERSION + 1),
    "empty labels": lambda content: content["panoptic"].update(labels=[]),
    "empty config": lambda content: content["panoptic"].update(config={}),
    "no epochs": lambda content: content.pop("loops"),
    "no weights": lambda content: content.update(state_dict={}),
    "strange weights": lambda content: content.update(state_dict=[1]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoints_are_told(
    damage: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    content = torch.load(folder / FIRST, weights_only=True)
    DAMAGE[damage](content)
    torch.save(content, "damaged.ckpt")
    before = sorted(tmp_path.rglob("*"))
    start = ("start_from=damaged.ckpt", "hydra.run.dir=run")
    with pytest.raises(SystemExit):
        command("train", train, ("experiment=finetune", *start, *TINY, "data.height=64", "data.width=128"))
    said = capsys.readouterr().err
    assert said.startswith("panoptic: damaged.ckpt: expected ")
    assert len(said.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_goes_on_from_one_checkpoint_only(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        command("train", train, (f"resume={FIRST}", f"start_from={FIRST}"))
    assert "start_from: expected none with resume" in capsys.readouterr().err


def test_a_checkpoint_may_be_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert read_checkpoint(f"~/{FIRST}").labels == CITYSCAPES


def test_a_study_is_asked_for_the_network_of_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what its finished runs have recorded, whatever network the command line would make."""
    asked = []
    monkeypatch.setattr("panoptic.training.runs.finished", lambda folder, config: asked.append(config) or True)
    start = (f"start_from={FIRST}", "study=started", "model/fusion=uniform", "data.epoch_size=8")
    command("train", train, ("experiment=full", *start, "hydra.run.dir=started"))
    (config,) = asked
    first = read_checkpoint(FIRST).config
    assert config.model.backbone.name == first.model.backbone.name == "test_resnet"
    assert config.model.fusion._target_.endswith("UniformFusion")
    assert config.codec == first.codec
