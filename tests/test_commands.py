"""The commands as a person runs them, at a tiny size."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from panoptic.codec import Outputs
from panoptic.commands.app import command
from panoptic.commands.evaluate import evaluate
from panoptic.commands.predict import predict
from panoptic.commands.score import score
from panoptic.commands.train import train
from panoptic.config.composing import build
from panoptic.data.batch import Batch
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.metrics import PanopticQuality
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments
from panoptic.training.checkpoint import FORMAT_VERSION, read_checkpoint

CONF = Path(__file__).parents[1] / "conf"
FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures"
SWEEPS = ("component_study", "fusion_study")  # see test_study.py
EXPERIMENTS = sorted({path.stem for path in (CONF / "experiment").glob("*.yaml")} - set(SWEEPS))
TINY = (
    "data.epoch_size=null",
    *("data.height=64", "data.width=128", "data.crop=[64,128]", "data.workers=0"),
    *("data.train_size=8", "data.val_size=2", "data.test_size=2"),
    *("model.backbone.weights=random", "callbacks.pictures=1", "trainer.log_every_n_steps=1"),
    "trainer.check_val_every_n_epoch=1",
)
SYNTHETIC = ("data.height", "data.width", "data.train_size", "data.val_size", "data.test_size")
RUN = {"train": train, "evaluate": evaluate, "predict": predict}


def run(name: str, *arguments: str) -> None:
    """A command in this process."""
    command(name, RUN[name], arguments)


def shell(name: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as typed."""
    return subprocess.run(
        [sys.executable, "-m", f"panoptic.{name}", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CONF.parent), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def sizes_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Width and height of each PNG in a folder."""
    sizes = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            sizes[path.stem] = image.size
    return sizes


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic"])
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs in two stages, made by the real command."""
    folder = tmp_path_factory.mktemp("trained")
    settings = (
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=2",
        "curriculum.stages=2",
        "curriculum.epochs_per_stage=1",
    )
    done = shell("train", *settings, "hydra.run.dir=run", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 2/2, stage 2" in done.stdout
    assert "tensorboard --logdir" in done.stdout
    assert "\x1b" not in done.stdout, "a log gets no colors"
    return folder / "run"


@pytest.fixture(scope="module")
def street_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic scenes on disk, in the layout of Cityscapes."""
    folder = tmp_path_factory.mktemp("street_scenes")
    sizes = ("height=64", "width=128", "train_size=4", "val_size=2", "test_size=0", "workers=1")
    done = shell("scenes", "output=cityscapes", *sizes, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "cityscapes"


def test_a_run_leaves_all_that_is_to_know(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == {"config.yaml", "summary.json", "checkpoints", "tensorboard"}
    assert {p.name for p in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    summary = json.loads((trained / "summary.json").read_text())
    assert (summary["name"], summary["seed"], summary["epochs"], summary["steps"]) == ("quick", 0, 2, 4)
    assert summary["backbone_weights"] == "random"
    assert summary["last"]["val/pq"] <= summary["best"]["val/pq"]
    assert summary["config"]["trainer"]["max_epochs"] == 2


def test_the_dashboard_has_what_a_run_is_judged_by(trained: Path) -> None:
    events = EventAccumulator(str(trained / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    for split in ("train", "val"):
        terms = {f"{split}/loss{t}" for t in ("", "_semantic", "_center", "_offset", "_complexity")}
        assert terms | {f"{split}/alpha_P{level}" for level in (2, 3, 4)} <= scalars
    assert {"val/pq", "val/sq", "val/rq", "val/pq_things", "val/pq_stuff", "val/boundary_f1"} <= scalars
    assert {f"complexity/object_density_{what}" for what in ("predicted", "true", "mean_absolute_error")} <= scalars
    assert {"lr-Muon/pg1", "curriculum/stage", "curriculum/strength"} <= scalars
    assert {"final/pq", "final/boundary_f1"} <= scalars
    assert [e.value for e in events.Scalars("curriculum/stage")] == [1.0, 2.0]
    for level in zip(*(events.Scalars(f"val/alpha_P{n}") for n in (2, 3, 4)), strict=True):
        assert sum(e.value for e in level) == pytest.approx(1.0, abs=1e-5)
    assert set(events.Tags()["images"]) == {"validation/0", "complexity", "alpha"}
    assert len(events.Images("validation/0")) == 2


def test_a_checkpoint_is_data_not_code(trained: Path) -> None:
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    record = content["panoptic"]
    assert record["format_version"] == FORMAT_VERSION
    assert type(record["config"]) is dict
    assert [c["name"] for c in record["labels"]] == list(CITYSCAPES.names)


def test_evaluate_scores_and_writes_predictions(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run("evaluate", f"checkpoint={trained}/checkpoints/best.ckpt", "output=out", "visualize=true")
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (written["split"], written["images"]) == ("test", 2)
    assert 0 <= written["all"]["pq"] <= 1
    written_names = {p.name for p in (tmp_path / "out").iterdir()}
    assert written_names == {
        "alpha.png",
        "cityscapes",
        "overlays",
        "per_image.csv",
        "predictions",
        "predictions.json",
        "scores.json",
    }
    assert sorted(p.name for p in (tmp_path / "out" / "overlays").iterdir()) == ["test_000000.png", "test_000001.png"]
    source = CocoPanopticSource(
        "test", image_dir="out/overlays", panoptic_dir="out/predictions", panoptic_json="out/predictions.json"
    )
    assert source.labels == CITYSCAPES
    assert source.read_segments(0).size == (64, 128)
    assert f"results: {Path('out')}" in capsys.readouterr().out


def test_the_official_evaluators_give_the_scores_of_evaluate(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cityscapes = pytest.importorskip("cityscapesscripts.evaluation.evalPanopticSemanticLabeling")
    hotcoco = pytest.importorskip("hotcoco.panoptic")

    def oracle(self: Predictor, outputs: Outputs, batch: Batch) -> Segments:
        """The truth through the codec and moved by a pixel: a network of this size finds next to nothing."""
        outputs = self.codec.encode(batch.segments).as_outputs(len(self.labels))
        decoded = self.codec.decode(outputs, batch.segments.size)
        return replace(decoded, ids=decoded.ids.roll(1, -1))

    monkeypatch.setattr(Predictor, "decode", oracle)
    arguments = ("data.test_size=4", "truth=true", "worst=2", "output=out")
    run("evaluate", f"checkpoint={trained}/checkpoints/last.ckpt", *arguments)
    scores = json.loads(Path("out/scores.json").read_text())
    truth, found = (f"out/{name}/cityscapes_panoptic_test" for name in ("cityscapes_truth", "cityscapes"))
    theirs = cityscapes.evaluatePanoptic(f"{truth}.json", truth, f"{found}.json", found, "theirs.json")
    coco = hotcoco.PanopticEval("out/truth.json", "out/predictions.json")
    coco.evaluate()
    by_hotcoco = coco.results()
    for group, name in (("all", "All"), ("things", "Things"), ("stuff", "Stuff")):
        assert scores[group] == pytest.approx(theirs[name], abs=1e-9)
        assert scores[group] == pytest.approx(by_hotcoco[name], abs=1e-9)
    assert 0.1 < scores["things"]["pq"] < scores["stuff"]["pq"] < 1
    for c in CITYSCAPES.categories:
        if c.name in scores["per_class"]:
            assert scores["per_class"][c.name]["pq"] == pytest.approx(theirs["per_class"][c.id]["pq"], abs=1e-9)
    # The score command says the same of both formats.
    command("score", score, ("ground_truth=out/truth.json", "predictions=out/predictions.json", "output=coco.json"))
    command("score", score, (f"ground_truth={truth}.json", f"predictions={found}.json", "output=cityscapes.json"))
    for name in ("coco", "cityscapes"):
        again = json.loads(Path(f"{name}.json").read_text())
        assert {key: again[key] for key in ("all", "per_class", "boundary_pq", "boundary_f1", "mean_iou")} == {
            key: scores[key] for key in ("all", "per_class", "boundary_pq", "boundary_f1", "mean_iou")
        }
    own, again = (list(csv.reader(Path(f"{name}per_image.csv").read_text().splitlines())) for name in ("out/", "coco_"))
    assert (len(own), own[1][:2]) == (5, ["0", "test_000000"])
    columns = len(again[0])
    assert [row[2:columns] for row in own] == [row[2:] for row in again]
    assert own[0][columns:] == [  # which is not known of saved predictions
        *("predicted_object_density", "predicted_scale_variance", "alpha_P2", "alpha_P3", "alpha_P4")
    ]


def test_a_withheld_truth_is_neither_scored_nor_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    read = SyntheticSource.read
    monkeypatch.setattr(SyntheticSource, "read", lambda self, index: replace(read(self, index), segments=None))
    run("evaluate", f"checkpoint={trained}/checkpoints/last.ckpt", "truth=true", "output=out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"cityscapes", "predictions", "predictions.json"}
    assert "the truth of split test is withheld: predictions were written" in capsys.readouterr().out
    run("evaluate", f"checkpoint={trained}/checkpoints/last.ckpt", "predictions=false", "output=none")
    assert "the truth of split test is withheld: no predictions were asked for" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "none").iterdir()] == []


def test_evaluation_repeats_the_scores_of_training(trained: Path, tmp_path: Path) -> None:
    run("evaluate", f"checkpoint={trained}/checkpoints/last.ckpt", "split=val", "output=out")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    last = json.loads((trained / "summary.json").read_text())["last"]
    for name in ("pq", "sq", "rq"):
        assert scores["all"][name] == pytest.approx(last[f"val/{name}"], abs=1e-6)
        assert scores["boundary_pq"]["all"][name] == pytest.approx(last[f"val/boundary_{name}"], abs=1e-6)
    for name in ("boundary_f1", "mean_iou"):
        assert scores[name] == pytest.approx(last[f"val/{name}"], abs=1e-6)


def test_the_oracle_begins_with_the_prediction_and_ends_with_the_ceiling(trained: Path, tmp_path: Path) -> None:
    run("evaluate", f"checkpoint={trained}/checkpoints/last.ckpt", "split=val", "oracle=true", "output=out")
    scores = json.loads(Path("out/scores.json").read_text())
    variants = json.loads(Path("out/oracle.json").read_text())["variants"]
    assert variants["as predicted"]["pq"] == pytest.approx(scores["all"]["pq"], abs=1e-12)
    assert variants["as predicted"]["pq_things"] == pytest.approx(scores["things"]["pq"], abs=1e-12)
    checkpoint = read_checkpoint(trained / "checkpoints" / "last.ckpt")
    predictor, metric = Predictor.load(checkpoint), PanopticQuality(CITYSCAPES)
    for batch in build(checkpoint.config.data, seed=0).split_dataloader("val"):
        decoded = predictor.codec.decode(predictor.codec.encode(batch.segments).as_outputs(19), batch.segments.size)
        metric.update(decoded, batch.segments)
    assert variants["all true"]["pq"] == pytest.approx(float(metric.compute()["pq"]), abs=1e-12)
    assert variants["all true"]["pq"] > variants["as predicted"]["pq"]


def test_evaluate_takes_changes_to_the_checkpoints_configuration(trained: Path, tmp_path: Path) -> None:
    checkpoint = f"checkpoint={trained}/checkpoints/last.ckpt"
    run("evaluate", checkpoint, "data.test_size=3", "codec.peak_threshold=0.9", "output=out")
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["images"] == 3


def test_predict_takes_images_of_any_size_and_kind(trained: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (37, 61, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(photos / "rgb.png")
    Image.fromarray(rgb[..., 0]).save(photos / "grey.png")
    Image.fromarray(random.integers(0, 2**16, (40, 50)).astype(np.uint16)).save(photos / "deep.png")
    Image.fromarray(random.integers(0, 256, (30, 20, 4), dtype=np.uint8)).save(photos / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    Image.fromarray(rgb).save(photos / "turned.jpg", exif=exif)
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out")
    sizes = sizes_of(tmp_path / "out" / "panoptic")
    assert sizes == {"rgb": (61, 37), "grey": (61, 37), "deep": (50, 40), "alpha": (20, 30), "turned": (37, 61)}
    assert {p.stem for p in (tmp_path / "out" / "overlays").iterdir()} == set(sizes)
    assert len(json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]) == 5


def test_predict_passes_over_images_that_cannot_be_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "c"):
        Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(photos / f"{name}.png")
    (photos / "b.png").write_text("no picture")
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=out", "visualize=false")
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments)
    told = capsys.readouterr()
    assert "left out: photos/b.png: expected " in told.out
    assert told.err.splitlines()[-1] == (
        "panoptic: input: expected 3 images that can be read, got 1 that cannot; they are listed above"
    )
    images = json.loads((tmp_path / "out" / "panoptic.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a.png", "c.png"]
    for name in ("a", "c"):  # and where none can be read, nothing is written
        (photos / f"{name}.png").write_text("no picture")
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments[:2], "output=none")
    assert capsys.readouterr().out.count("left out: ") == 3
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the real photos are not here")
def test_predict_on_real_photos(trained: Path, tmp_path: Path) -> None:
    run(
        "predict",
        f"checkpoint={trained}/checkpoints/best.ckpt",
        f"input={FIXTURES}/coco_photos/images/*.jpg",
        "output=out",
    )
    sizes = sizes_of(tmp_path / "out" / "panoptic")
    assert sizes == {"000000142238": (640, 427), "000000439180": (640, 360)}


def test_output_defaults_to_the_folder_of_the_run(trained: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save("one.png")
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=one.png", "visualize=false")
    assert (trained / "predict" / "panoptic" / "one.png").is_file()
    assert not (trained / "predict" / "overlays").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["one.png"]


def test_the_same_seed_gives_the_same_weights_with_any_number_of_workers(trained: Path, tmp_path: Path) -> None:
    settings = (
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=2",
        "curriculum.stages=2",
        "curriculum.epochs_per_stage=1",
    )
    done = shell("train", *settings, "data.workers=2", "hydra.run.dir=two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run("train", *settings, "seed=1", "hydra.run.dir=other")
    first = weights(trained / "checkpoints" / "last.ckpt")
    assert same(first, weights(tmp_path / "two" / "checkpoints" / "last.ckpt"))
    assert not same(first, weights(tmp_path / "other" / "checkpoints" / "last.ckpt"))


def test_a_resumed_run_is_the_unbroken_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from panoptic.training.callbacks.summary import Summary

    def stop(self: Summary, trainer, *_: object) -> None:
        trainer.should_stop = True

    settings = (
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=2",
        "curriculum.stages=2",
        "curriculum.epochs_per_stage=1",
    )
    monkeypatch.setattr(Summary, "on_train_epoch_end", stop, raising=False)
    run("train", *settings, "hydra.run.dir=broken")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert json.loads(Path("broken/summary.json").read_text())["epochs"] == 1
    run("train", "resume=broken/checkpoints/last.ckpt", "hydra.run.dir=resumed", "data.workers=2")
    assert same(weights(trained / "checkpoints" / "last.ckpt"), weights(Path("resumed/checkpoints/last.ckpt")))
    whole, resumed = (json.loads((p / "summary.json").read_text()) for p in (trained, Path("resumed")))
    assert resumed["epochs"] == 2
    assert "epoch 2/2, stage 2" in capsys.readouterr().out
    assert resumed["last"] == whole["last"]


FUSIONS = ("ablation=off", "ablation=on", "model/fusion=local", "model/fusion=static")


@pytest.mark.parametrize(
    ("experiment", "fusion"),
    # Fusions are the same in all experiments, so that two of them are enough to try each.
    [(e, f) for e in EXPERIMENTS for f in (FUSIONS if e in ("quick", "full") else FUSIONS[:1])],
)
def test_every_experiment_and_ablation_trains_two_steps(
    experiment: str, fusion: str, street_scenes: Path, trained: Path
) -> None:
    small = [*TINY, "data.batch_size=2", "data.epoch_size=4", "trainer.max_epochs=1", "hydra.run.dir=run"]
    if experiment == "cityscapes":
        small = [s for s in small if s.split("=")[0] not in SYNTHETIC] + [f"data.root={street_scenes}"]
    if experiment == "finetune":
        small.append(f"start_from={trained}/checkpoints/last.ckpt")
    run("train", f"experiment={experiment}", fusion, *small)
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["steps"] == 2
    assert np.isfinite(summary["last"]["val/loss"])


def test_a_sweep_over_the_ablation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small = (*TINY, "trainer.max_epochs=1", "data.train_size=4", "callbacks.pictures=0", "hydra.sweep.dir=sweep")
    run("train", "-m", "experiment=quick", "ablation=on,off", *small)
    runs = sorted(p for p in (tmp_path / "sweep").iterdir() if p.is_dir())
    assert len(runs) == 2
    assert not any("=" in p.name for p in runs), "Hydra cannot parse a path with = on the command line"
    targets = [json.loads((p / "summary.json").read_text())["config"]["model"]["fusion"]["_target_"] for p in runs]
    assert [t.rsplit(".", 1)[-1] for t in targets] == ["UniformFusion", "AdaptiveFusion"]


def test_a_failed_job_does_not_end_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small = (*TINY, "trainer.max_epochs=1", "data.train_size=4", "logger=none", "hydra.sweep.dir=sweep")
    with pytest.raises(SystemExit) as stop:
        run("train", "-m", "experiment=quick", "data.batch_size=0,4", *small)
    assert stop.value.code == 1
    assert "data.batch_size: expected at least 1, got 0" in capsys.readouterr().err
    assert [p.parent.name[0] for p in (tmp_path / "sweep").glob("*/summary.json")] == ["1"]


BAD = {  # what is typed, and what the sentence says
    "nothing to start from": ("train", ["experiment=finetune"], "start_from: expected a checkpoint"),
    "ablation of a checkpoint": (
        "train",
        ["start_from=CKPT", "ablation=on"],
        "model/fusion=uniform exchanges its fusion",
    ),
    "network of another kind": ("train", ["start_from=CKPT", "model=small"], "model"),
    "unknown views": ("predict", ["checkpoint=CKPT", "input=whole.png", "tta=rotate"], "tta: expected none, flip"),
    "paths by halves": ("train", ["data=coco_panoptic", "data.train.panoptic_json=x.json"], "data.train.image_dir"),
    "misspelt key": ("train", ["optimizer.lrr=1"], "'lrr'"),
    "misspelt group": ("train", ["experiment=quik"], "experiment/quik"),
    "wrong type": ("train", ["optimizer.lr=fast"], "optimizer.lr"),
    "added key": ("train", ["+optimizer.dampening=1"], "optimizer.dampening"),
    "added trainer key": ("train", ["+trainer.max_epoch=1"], "max_epoch"),
    "no files": ("train", ["data=cityscapes", "data.root=nowhere"], "data=synthetic"),
    "no root": ("train", ["data=coco_panoptic"], "data.root"),
    "batch of none": ("train", ["data.batch_size=0"], "data.batch_size: expected at least 1, got 0"),
    "unknown backbone": ("train", ["model.backbone.name=resnet51"], "resnet51"),
    "no width": ("train", ["model.fusion.hidden=0"], "model.fusion.hidden"),
    "warmup": ("train", ["optimizer.warmup=2"], "optimizer.warmup"),
    "even window": ("train", ["codec.peak_window=4"], "codec.peak_window"),
    "seed below 0": ("train", ["seed=-1"], "seed: expected at least 0, got -1"),
    "seed too large": ("train", ["seed=4294967296"], "seed: expected less than 4294967296, got 4294967296"),
    "no epoch": ("train", ["trainer.max_epochs=0"], "trainer.max_epochs: expected at least 1, got 0"),
    "never validated": ("train", ["trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch: expected"),
    "no patience": ("train", ["callbacks.patience=-1"], "callbacks.patience: expected at least 0, got -1"),
    "no momentum": ("train", ["optimizer.momentum=1.5"], "optimizer.momentum: expected a number in [0, 1), got 1.5"),
    "no file of weights": ("train", ["model.backbone.weights=text.ckpt"], "text.ckpt: expected a file of weights"),
    "no checkpoint to resume": ("train", ["resume=nowhere.ckpt"], "nowhere.ckpt"),
    "no checkpoint": ("evaluate", ["checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
    "checkpoint not given": ("evaluate", [], "checkpoint: expected a value"),
    "no checkpoint at all": ("evaluate", ["checkpoint=text.ckpt"], "text.ckpt"),
    "folder for a checkpoint": ("evaluate", ["checkpoint=."], "a folder"),
    "other torch file": ("evaluate", ["checkpoint=tensor.ckpt"], "tensor.ckpt"),
    "unknown split": ("evaluate", ["checkpoint=CKPT", "split=dev"], "split"),
    "misspelt change": ("evaluate", ["checkpoint=CKPT", "data.rooot=x"], "did you mean data.root?"),
    "misspelt key of the command": ("predict", ["checkpoint=CKPT", "input=.", "outptu=x"], "did you mean output?"),
    "change that the weights do not fit": ("evaluate", ["checkpoint=CKPT", "model.fpn.channels=8"], "size mismatch"),
    "overlays in a file": ("predict", ["checkpoint=CKPT", "input=whole.png", "output=out"], "out/overlays"),
    "change of a wrong type": ("evaluate", ["checkpoint=CKPT", "data.test_size=few"], "data.test_size"),
    "experiment with a checkpoint": ("evaluate", ["checkpoint=CKPT", "experiment=full"], "experiment"),
    "output in a file": ("evaluate", ["checkpoint=CKPT", "output=text.ckpt/out"], "text.ckpt/out"),
    "no input": ("predict", ["checkpoint=CKPT", "input=nothing.png"], "nothing.png"),
    "truncated image": ("predict", ["checkpoint=CKPT", "input=cut.png"], "cut.png"),
    "empty image": ("predict", ["checkpoint=CKPT", "input=empty.png"], "empty.png"),
    "empty folder": ("predict", ["checkpoint=CKPT", "input=folder"], "folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    name, arguments, said = BAD[case]
    Path("text.ckpt").write_text("no checkpoint")
    torch.save({"weight": torch.zeros(1)}, "tensor.ckpt")
    Path("empty.png").touch()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save("whole.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:2000])
    Path("folder").mkdir()
    Path("out").mkdir()
    Path("out/overlays").touch()
    before = sorted(tmp_path.rglob("*"))
    if name == "train" and not any(a.startswith(("experiment", "resume")) for a in arguments):
        settings = [t for t in TINY if not (t.startswith("data.") and any(a.startswith("data=") for a in arguments))]
        arguments = ["experiment=quick", *settings, *arguments]
    with pytest.raises(SystemExit) as stop:
        run(name, *(a.replace("CKPT", f"{trained}/checkpoints/best.ckpt") for a in arguments))
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in shown
    assert shown.count("panoptic: ") == 1
    assert "Traceback" not in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_that_cannot_be_had_are_told_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    done = shell(
        "train", "experiment=quick", "model.backbone.weights=imagenet", cwd=tmp_path, HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode == 1
    assert "model.backbone.weights=imagenet" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 60  # of which nearly all is importing torch; timm alone retries for longer
    assert not any(tmp_path.iterdir())


def test_help_and_faults_come_before_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    for arguments, code, said in (
        (["--help"], 0, "python -m panoptic.train"),
        (["--cfg", "job", "experiment=quick"], 0, "name: quick"),
        (["sed=1"], 1, "'seed'"),
    ):
        done = shell("train", *arguments, cwd=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{CONF.parent}")
        assert (done.returncode, "torch was imported" in done.stdout + done.stderr) == (code, False)
        assert said in done.stdout + done.stderr


def test_paths_may_hold_what_hydra_reads_otherwise(trained: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a=b, (c) [d]'s"
    odd.mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(odd / "one.png")
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", f"input={odd}/one.png", f"output={odd}/out")
    assert (odd / "out" / "panoptic" / "one.png").is_file()


def test_a_run_too_short_for_its_first_validation_is_validated_at_its_end(tmp_path: Path) -> None:
    run(
        "train",
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=2",
        "hydra.run.dir=run",
    )
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["best"]["epoch"] == 1
    assert summary["best_checkpoint"] == "best.ckpt"
    assert sorted(p.name for p in Path("run/checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_finished_run_is_not_resumed(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        run("train", f"resume={trained}/checkpoints/last.ckpt")
    assert stop.value.code == 1
    assert "last.ckpt: expected a run with epochs left, got one that has trained 2 of 2" in capsys.readouterr().err
    assert not any(tmp_path.rglob("*.*"))


def test_images_of_one_name_are_told_apart(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(f"{folder}/one.png")
    run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=*/one.png", "output=out")
    images = json.loads(Path("out/panoptic.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a/one.png", "b/one.png"]
    assert "2 images" in capsys.readouterr().out
