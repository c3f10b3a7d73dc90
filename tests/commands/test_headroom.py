"""``python -m panoptic.headroom``, at a tiny size."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from panoptic.scenes.source import SyntheticSource
from tests.commands.small_runs import TINY, run, same, weights


def test_a_run_with_random_weights_is_measured_and_repeats(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("one", "other"):
        settings = ("experiment=quick", *TINY, "data.val_size=6", "trainer.max_epochs=1", "model/fusion=random")
        run("train", *settings, f"hydra.run.dir={name}")
    assert same(weights(Path("one/checkpoints/last.ckpt")), weights(Path("other/checkpoints/last.ckpt")))
    capsys.readouterr()

    run("headroom", "checkpoint=one/checkpoints/last.ckpt")
    told = capsys.readouterr().out
    assert "val: 6 images; points of PQ" in told
    assert "note: " not in told
    assert told.endswith(f"results: {tmp_path / 'one' / 'headroom_val'}\n")
    assert [path.name for path in Path("one/headroom_val").iterdir()] == ["headroom.json"]
    text = Path("one/headroom_val/headroom.json").read_text()
    found = json.loads(text)
    assert (found["split"], found["images"], found["fusion"]) == ("val", 6, "RandomFusion")
    assert found["trained_with_random_weights"]
    assert len(found["weightings"]) == 16

    by_choice = {(row["weights"], row["chosen_on"]): row for row in found["choices"]}
    assert len(by_choice) == len(found["choices"]) == 12
    last = json.loads(Path("one/summary.json").read_text())["last"]
    assert by_choice["uniform", ""]["pq"] == pytest.approx(100 * last["val/pq"], abs=1e-4)
    assert by_choice["uniform", ""]["pq"] == found["weightings"][0]["pq"]
    assert by_choice["best fixed", "the same images"]["pq"] == max(each["pq"] for each in found["weightings"])
    fixed = by_choice["best fixed", "the other half"]
    assert fixed["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    for row in by_choice.values():
        assert row["gain"]["value"] == pytest.approx(row["pq"] - fixed["pq"], abs=1e-9)
        assert row["gain"]["low"] <= row["gain"]["high"]
        assert f"{row['pq']:.2f}" in told
        assert row["weights"] in told
    assert set(found["quartiles"]) == {"object_density", "scale_variance", "median_thing_area"}
    for groups in found["quartiles"].values():
        assert sum(group["images"] for group in groups) == 6
        assert all(math.isclose(sum(group["best"]), 1, abs_tol=1e-6) and len(group["pq"]) == 16 for group in groups)

    run("headroom", "checkpoint=one/checkpoints/last.ckpt")  # into the same folder
    assert Path("one/headroom_val/headroom.json").read_text() == text


def test_a_run_with_other_weights_is_told(trained: Path, capsys: pytest.CaptureFixture) -> None:
    run("headroom", f"checkpoint={trained}/checkpoints/last.ckpt", "split=test", "output=out", "data.test_size=3")
    told = capsys.readouterr().out
    assert "note: trained with AdaptiveFusion, not with model/fusion=random" in told
    assert "test: 3 images" in told
    assert told.endswith("results: out\n")
    assert json.loads(Path("out/headroom.json").read_text())["trained_with_random_weights"] is False


def test_a_withheld_truth_is_an_error(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    read = SyntheticSource.read
    monkeypatch.setattr(SyntheticSource, "read", lambda self, index: replace(read(self, index), segments=None))
    with pytest.raises(SystemExit) as stop:
        run("headroom", f"checkpoint={trained}/checkpoints/last.ckpt", "split=test", "output=out")
    assert stop.value.code == 1
    assert "split=test: expected at least two images with their truth, got 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
