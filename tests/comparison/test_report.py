"""``python -m panoptic.compare``: what is read, and the report that is written."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.commands.compare import FILES
from panoptic.comparison.report import interval_text, spread_text
from panoptic.comparison.runs import Images, read_images, read_run
from panoptic.comparison.spread import spread
from panoptic.utils.statistics import Estimate
from tests.comparison.made_runs import ROOT, T2, evaluated, made, rows_of, run


def test_tables_of_images_are_read_in_the_order_of_their_ids() -> None:
    evaluated(made("runs", 0), [0.6, 0.7], [0.4, 0.8], ids=[5, 3], alpha=[0.1, 0.2], predicted=[1.0, 2.0])
    images = read_images(Path("runs/uniform_0/evaluate_test/per_image.csv"))
    assert isinstance(images, Images)
    assert (images.ids, images.categories, images.levels) == (("3", "5"), ("car", "road"), ("P2", "P3", "P4"))
    assert images.counts.tolist() == [[[0.7, 1, 0, 0], [0.8, 1, 0, 0]], [[0.6, 1, 0, 0], [0, 0, 0, 1]]]
    assert images.truth.tolist() == [[1, 0.5], [0, 0.5]]
    assert images.predicted is not None
    assert images.predicted.tolist() == [[2, 0.5], [1, 0.5]]
    assert images.alpha[:, 0].tolist() == [0.2, 0.1]


def test_scores_of_a_run_are_those_of_its_evaluation_or_of_its_end() -> None:
    run = made("runs", 0, 0.4)
    last = read_run(run, "val")
    assert last.scores["pq/car"] == pytest.approx(0.3)
    assert "pq/bus" not in last.scores
    assert last.minutes == 1
    evaluated(run, [0.6], [0.8], split="val")
    assert read_run(run, "val").scores == pytest.approx(
        {
            "pq": 0.7,
            "pq_things": 0.6,
            "pq_stuff": 0.8,
            "boundary_pq": 0.25,
            "boundary_f1": 0.5,
            "mean_iou": 0.75,
            "pq/car": 0.6,
            "pq/road": 0.8,
        }
    )


@pytest.mark.parametrize("split", ["val", "test"])  # as training ended, and as evaluated
def test_a_boundary_pq_with_a_remark_is_left_out_and_told(split: str, capsys: pytest.CaptureFixture) -> None:
    for seed in (0, 1):
        folder = made("runs", seed, 0.4, boundary_remark="its boundaries are narrow")
        if split == "test":
            evaluated(folder, [0.6], [0.8])
            file = folder / "evaluate_test" / "scores.json"
            scores = json.loads(file.read_text())
            scores["boundary_pq"]["remark"] = "its boundaries are narrow"
            file.write_text(json.dumps(scores))
    assert "boundary_pq" not in read_run(folder, split).scores
    run("runs=runs", f"split={split}", "output=out")
    report = Path("out/report.md").read_text()
    for text in (report, capsys.readouterr().out):
        assert "its boundaries are narrow" in text
        assert "boundary F1" in text
        assert "boundary PQ" not in text


def test_numbers_as_texts() -> None:
    assert spread_text(spread([39.0, 40.0])) == "39.50 ± 0.71"
    assert spread_text(spread([39.0])) == "39.00"
    assert spread_text(spread([])) == "–"
    assert interval_text(Estimate(1, -0.484, 2.5)) == "[-0.48, +2.50]"
    assert interval_text(Estimate(1, math.nan, math.nan)) == "–"


def test_the_command_writes_a_report_with_tables_and_pictures(here: Path) -> None:
    sweep = here / "a=b, (c)"
    for seed in range(3):
        evaluated(made(str(sweep), seed), [0.6] * 4, [0.8 - 0.01 * seed] * 4, predicted=[0.0, 1, 2, 3])
        run = made(str(sweep), seed, fusion="local")
        evaluated(
            run, [0.62] * 4, [0.8 + 0.01 * seed] * 4, alpha=[0.1, 0.2, 0.3, 0.4], predicted=[0.0, 1, 2, 4],
            shuffled=[0.48],
        )  # fmt: skip
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(sweep / "local_0" / "evaluate_test" / "alpha_maps.png")
    done = subprocess.run(
        [sys.executable, "-m", "panoptic.compare", f"runs={sweep}", "output=out"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = here / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert "warning: local and uniform have 3 pairs" in done.stdout
    assert "report: out/report.md" in done.stdout
    assert "│ 71.50±0.50 │" in done.stdout
    assert "no difference" in done.stdout
    report = (out / "report.md").read_text()
    assert f"- command: `python -m panoptic.compare 'runs={sweep}' output=out`" in report
    assert "- runs: 6, of 2 variants\n- seeds: 0, 1, 2\n- scores: of the split test, 4 images, last.ckpt\n" in report
    # PQ: 70.0, 69.5 and 69.0 against 71.0, 71.5 and 72.0; the differences are 1, 2 and 3.
    assert (
        "| uniform | 3 | 69.50 ± 0.50 | 60.00 ± 0.00 | 79.00 ± 1.00 | 50.00 ± 0.00 | 25.00 ± 0.00 | 2.0 ± 1.0 |"
        in report
    )
    assert "| local | 3 | 71.50 ± 0.50 |" in report
    assert "| local | PQ | +2.00 | 1.00 | [-0.48, +4.48] | [+1.00, +3.00] | 3 | no difference shown |" in report
    assert "| local | PQ things | +2.00 | 0.00 | [+2.00, +2.00] | [+2.00, +2.00] | 3 | higher |" in report
    assert "- local: no difference shown in PQ to uniform: the t interval includes 0." in report
    assert "Of PQ, PQ things, PQ stuff it draws seeds and images anew" in report
    assert "| road | 79.00 | +2.00 [+0.00, +4.00] |" in report
    assert "| 4 | 3 to 3 | 1 | 71.50 ± 0.50 | 69.50 ± 0.50 | +2.00 [+1.00, +3.00] * |" in report
    assert "| local | P2 | 0.250 ± 0.000 | +1.00 [+1.00, +1.00] * | – |" in report
    assert "| uniform | 1.00 ± 0.00 | – | – | – |" in report
    assert "| local | 0.80 ± 0.00 | – | -2.00 [-2.00, -2.00] * | lower |" in report
    assert "![α over images, local, seed 0](alpha_maps.png)" in report
    for name in ("differences.png", "categories.png", "quartiles.png", "alpha.png"):
        assert f"]({name})" in report
        with Image.open(out / name) as picture:
            assert min(picture.size) > 200
    (row,) = [row for row in rows_of(out / "differences.csv") if row["score"] == "pq"]
    assert (row["pairs"], row["bootstrap_of"], row["says"]) == ("3", "seeds and images", "no difference shown")
    assert float(row["t_high"]) == pytest.approx(2 + T2 / math.sqrt(3))
    runs = rows_of(out / "runs.csv")
    assert [(row["variant"], row["seed"]) for row in runs] == [
        (v, str(s)) for v in ("local", "uniform") for s in range(3)
    ]
    assert float(runs[0]["pq/road"]) == pytest.approx(0.8)
    (row,) = [r for r in rows_of(out / "variants.csv") if (r["variant"], r["score"]) == ("local", "pq")]
    assert (float(row["mean"]), float(row["std"]), row["runs"]) == (pytest.approx(71.5), pytest.approx(0.5), "3")
    assert len(rows_of(out / "categories.csv")) == 2
    assert len(rows_of(out / "quartiles.csv")) == (4 + 1) * 2


def test_runs_without_tables_of_images_are_compared_by_seeds(three_pairs: None, capsys: pytest.CaptureFixture) -> None:
    Path("runs/compare/runs").mkdir(parents=True)
    Path("runs/compare/runs/alpha.png").touch()  # of an earlier comparison
    run("runs=[runs/uniform_0,runs/uniform_1,runs,runs/adaptive_0]", "output=runs/compare/runs", "split=val")
    out = Path("runs/compare/runs")
    assert not (out / "alpha.png").exists()
    assert not (out / "quartiles.png").exists()
    report = (out / "report.md").read_text()
    assert "It draws seeds alone" in report
    assert "- runs: 6, of 2 variants" in report
    assert "| adaptive | PQ | +2.00 | 1.00 | [-0.48, +4.48] | [+1.00, +3.00] | 3 | no difference shown |" in report
    assert rows_of(out / "quartiles.csv") == []
    assert "report: runs/compare/runs/report.md" in capsys.readouterr().out


def test_one_variant_has_scores_and_nothing_to_compare(capsys: pytest.CaptureFixture) -> None:
    evaluated(made("sweep", 0), [0.6] * 4, [0.8] * 4)
    run("runs=sweep")
    report = Path("runs/compare/sweep/report.md").read_text()
    assert "| uniform | 1 | 70.00 | 60.00 | 80.00 | 50.00 | 25.00 | 1.0 |" in report
    assert "Differences" not in report
    assert "warning: there is one variant only" in capsys.readouterr().out


def test_a_comparison_that_fails_leaves_nothing(three_pairs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.png")

    monkeypatch.setattr("panoptic.comparison.figures.write_plots", fail)
    with pytest.raises(SystemExit):
        run("runs=runs", "output=out/deep")
    assert not Path("out").exists()
