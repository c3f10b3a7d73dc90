"""Tables of the fusion study: conclusions by hand, and how weights vary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.collecting import run_figures
from benchmarks.study import conclusion, confirmed_fusions, liveness, own_runs, screened_recipes


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("[+0.09, +0.99]", "shown"),
        ("[+0.09, +0.49]", "shown, absent"),
        ("[-0.30, +0.16]", "absent"),
        ("[-0.06, +0.77]", "undecided"),
        ("[-0.50, +0.20]", "undecided"),
        ("[-1.10, -0.20]", "shown, lower"),
    ],
)
def test_conclusions_of_the_protocol(interval: str, expected: str) -> None:
    assert conclusion(interval) == expected


def test_confirmations_are_listed_by_screen() -> None:
    columns = ["variant", "score", "mean", "95% t", "pairs"]
    rows = [["local", "PQ", "+0.57", "[+0.41, +0.73]", "8"], ["local", "PQ things", "+0.80", "[+0.30, +1.30]", "8"]]
    report = {
        "about": {"baseline": "uniform"},
        "tables": {"Differences to uniform": [{"columns": columns, "rows": rows}]},
    }
    (row,) = [line for line in confirmed_fusions({"a": report}).splitlines() if "local" in line]
    assert row == "| a | local - uniform | PQ | 8 | +0.57 | [+0.41, +0.73] | shown |"


def test_how_weights_vary_is_collected_by_variant(tmp_path: Path) -> None:
    for name, std, active in (("Local", 0.05, 1.0), ("Local", 0.03, 0.75), ("Uniform", 0.0, None)):
        run = tmp_path / f"{name}_{std}"
        (run / "evaluate_test").mkdir(parents=True)
        config = {"model": {"fusion": {"_target_": f"panoptic.models.{name}Fusion"}}}
        (run / "summary.json").write_text(json.dumps({"config": config, "device": "cuda:0", "precision": "16-mixed"}))
        fusion = {"alpha": {"P2": {"std": std}}, "active_units": active}
        (run / "evaluate_test" / "scores.json").write_text(json.dumps({"fusion": fusion}))
    expected = {"variant": "local", "runs": 2, "devices": ["cuda, 16-mixed"], "std": {"P2": [0.03, 0.05]}}
    assert liveness(tmp_path) == [expected | {"active units": 0.75}]


def test_runs_are_collected_by_what_differs_from_the_first(tmp_path: Path) -> None:
    first = {"seed": 0, "loss": {"dice": 0.0}, "model": {"fusion": {"_target_": "panoptic.models.UniformFusion"}}}
    other = {"seed": 1, "loss": {"dice": 3.0}}
    other["model"] = {"fusion": {"_target_": "panoptic.models.AdaptiveFusion", "hidden": 64}}
    scores = {"val/pq": 0.5, "val/pq_things": 0.25, "val/pq_stuff": 0.75, "val/mean_iou": 0.625}
    scores["val/mean_iou_stuff"] = 0.875
    for name, config in (("a", first), ("b", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps({"config": config, "steps": 8, "last": scores}))
    figures = run_figures([tmp_path / "a", tmp_path / "b"])
    expected = {"steps": 8, "pq": 0.5, "pq_things": 0.25, "pq_stuff": 0.75, "mean_iou": 0.625, "mean_iou_stuff": 0.875}
    assert figures[0] == {"settings": "", "seed": 0, **expected}
    assert figures[1] == {"settings": "model.fusion=AdaptiveFusion loss.dice=3.0", "seed": 1, **expected}
    assert "| none | 0 | 50.0 | 25.0 | 75.0 | 62.5 | 87.5 |" in screened_recipes({"runs": figures})


def test_runs_that_chose_their_decoding_have_scores_before_and_after(tmp_path: Path) -> None:
    data = {"root": "/somewhere/photos", "normalize": "percentile"}
    config = {"seed": 2, "data": data, "loss": {"center": 0.125}}
    last = {"val/pq": 0.5, "val/pq_things": 0.25, "val/pq_stuff": 0.75, "val/mean_iou": 0.625}
    decoding = {"peak_threshold": 0.4, "peak_window": 5, "thing_area": 24, "stuff_area": 0, "pq": 60.0}
    summary = {"config": config, "steps": 8, "seconds": 90.0, "last": last, "decoding": decoding}
    (tmp_path / "evaluate_val").mkdir()
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    quality = {"pq": 0.6, "sq": 0.8, "rq": 0.75}
    scores = {"all": quality, "things": {"pq": 0.4}, "stuff": {"pq": 0.8}, "boundary_pq": {"all": {"pq": 0.3}}}
    scores |= {"boundary_f1": 0.7, "mean_iou": 0.65}
    (tmp_path / "evaluate_val" / "scores.json").write_text(json.dumps(scores))
    report = {"runs": run_figures([tmp_path])}
    row = own_runs(report).splitlines()[-1]
    assert row == "| photos | percentile | 0.125 | 2 | 8 | 2 | 50.0 | 25.0 | 62.5 | 60.0 | 40.0 | 65.0 | 0.4 5 24 0 |"
