"""``python -m panoptic.evaluate``, at a tiny size."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.codec import Outputs
from panoptic.commands.app import command
from panoptic.commands.score import score
from panoptic.config.composing import build
from panoptic.data.batch import Batch
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.metrics import PanopticQuality
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments
from panoptic.training.checkpoint import read_checkpoint
from tests.commands.small_runs import (
    run,
)


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
        "reliability.png",
        "scores.json",
    }
    assert sorted(p.name for p in (tmp_path / "out" / "overlays").iterdir()) == ["test_000000.png", "test_000001.png"]
    source = CocoPanopticSource(
        "test", image_dir="out/overlays", panoptic_dir="out/predictions", panoptic_json="out/predictions.json"
    )
    assert source.labels == CITYSCAPES
    assert source.read_segments(0).size == (64, 128)
    assert f"results: {Path('out')}" in capsys.readouterr().out


def test_scores_are_those_that_the_run_calibrated(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = read_checkpoint(trained / "checkpoints" / "last.ckpt")
    assert checkpoint.calibration is not None
    assert set(checkpoint.calibration) == {"things", "stuff"}
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    predictor = Predictor.load(checkpoint, device="cpu")
    calibrated = predictor.segments(image).scores
    calibration, predictor.calibration = predictor.calibration, None
    plain = predictor.segments(image)
    assert calibration is not None
    torch.testing.assert_close(calibrated, calibration.apply(plain, predictor.labels.is_thing).scores)
    assert not torch.equal(calibrated, plain.scores)
    run("evaluate", f"checkpoint={trained}/checkpoints/last.ckpt", "output=out", "split=val")
    written = json.loads((tmp_path / "out" / "scores.json").read_text())["calibration"]
    told = capsys.readouterr().out
    for kind, found in written.items():
        total = sum(found["segments"])
        errors = (n * abs(s - c) for n, s, c in zip(found["segments"], found["score"], found["correct"], strict=True))
        assert found["ece"] == pytest.approx(sum(errors) / total)
        assert f"{kind} {found['ece']:.3f}" in told


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
            for count, kinds in scores["errors"]["per_class"][c.name].items():
                assert sum(kinds.values()) == scores["per_class"][c.name][count]
            assert scores["per_class"][c.name]["pq"] == pytest.approx(theirs["per_class"][c.id]["pq"], abs=1e-9)
    # The score command says the same of both formats.
    command("score", score, ("ground_truth=out/truth.json", "predictions=out/predictions.json", "output=coco.json"))
    command("score", score, (f"ground_truth={truth}.json", f"predictions={found}.json", "output=cityscapes.json"))
    shared = ("all", "per_class", "boundary_pq", "boundary_f1", "mean_iou", "errors")
    for name in ("coco", "cityscapes"):
        again = json.loads(Path(f"{name}.json").read_text())
        assert {key: again[key] for key in shared} == {key: scores[key] for key in shared}
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


def test_things_that_the_limit_leaves_out_are_counted(trained: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("evaluate", checkpoint, "output=out", "codec.max_things=1", "codec.peak_threshold=0", "boundaries=false")
    assert "note: 2 images have more peaks than codec.max_things=1, and the lowest were" in capsys.readouterr().out
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)).save("picture.png")
    run("predict", checkpoint, "input=picture.png", "output=new", "codec.max_things=1", "codec.peak_threshold=0")
    assert "note: 1 images have more peaks than codec.max_things=1" in capsys.readouterr().out
    run("predict", checkpoint, "input=picture.png", "output=all", "codec.max_things=5000", "codec.peak_threshold=0")
    assert "max_things" not in capsys.readouterr().out
