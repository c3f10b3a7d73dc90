"""``python -m panoptic.score``: maps with known scores, real ones too, and what is written."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from panoptic.analysis import scoring
from panoptic.commands.app import command
from panoptic.commands.score import score
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.metrics.per_image import ImageScores
from tests.commands.made_maps import CATEGORIES, GUESS, TRUTH, run, write

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT.parent / "shared" / "fixtures"


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [0, 2])
def test_scores_by_hand_and_a_row_for_each_image(maps: None, workers: int, capsys: pytest.CaptureFixture) -> None:
    run("output=out/result.json", f"workers={workers}", "worst=1")
    result = json.loads(Path("out/result.json").read_text())
    # Road is whole twice. One car is found (a pixel more is on void), one missed, one false; a person is missed.
    assert {n: [row[k] for k in ("tp", "fp", "fn", "iou_sum")] for n, row in result["per_class"].items()} == {
        "road": [2, 0, 0, 2.0],
        "car": [1, 1, 1, 1.0],
        "person": [0, 0, 1, 0.0],
    }
    assert result["all"] == pytest.approx({"pq": 1.5 / 3, "sq": 2 / 3, "rq": 1.5 / 3, "n": 3})
    assert result["things"] == pytest.approx({"pq": 0.25, "sq": 0.5, "rq": 0.25, "n": 2})
    assert result["stuff"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 1}
    assert result["boundary_pq"]["all"]["n"] == 3
    assert {name: sum(kinds.values()) for name, kinds in result["errors"]["all"].items()} == {"fn": 2, "fp": 1}
    assert (result["images"], result["without_prediction"], result["ground_truth"]) == (2, 0, "truth.json")
    first, second = rows_of("out/result_per_image.csv")
    assert (first["image_id"], first["file_name"], first["tp/car"], first["fn/car"]) == ("a", "a.png", "1", "1")
    assert float(first["pq"]) == pytest.approx((1 + 1 / 1.5) / 2)
    assert (second["pq_stuff"], second["fn/person"], second["tp/road"]) == ("1.0", "1", "1")
    assert second["pq_things"] == "0.0"
    shown = capsys.readouterr().out
    assert "the 1 images with the lowest PQ" in shown
    assert "true segments that are missed" in shown
    assert "predicted segments that are false" in shown
    assert "\nboundaries: dilation_ratio=0.02 for PQ, tolerance=0.0075 for F1\n" in shown
    assert "b.png" in shown
    assert "a.png" not in shown
    assert sorted(p.name for p in Path("out").iterdir()) == ["result.json", "result_per_image.csv"]


def test_one_process_or_many_write_the_same_bytes(maps: None) -> None:
    more = (
        {f"{n}{i}": m for i in range(6) for n, m in TRUTH.items()},
        {f"{n}{i}": m for i in range(6) for n, m in GUESS.items()},
    )
    for name, content in zip(("truth", "guess"), more, strict=True):
        write(name, content)
    run("output=one.json", "workers=1")
    run("output=many.json", "workers=3")
    for suffix in (".json", "_per_image.csv"):
        assert Path(f"one{suffix}").read_bytes() == Path(f"many{suffix}").read_bytes()


def test_without_an_output_nothing_is_written(maps: None, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before = sorted(tmp_path.rglob("*"))
    run("boundaries=false")
    assert sorted(tmp_path.rglob("*")) == before
    shown = capsys.readouterr().out
    assert "0.5000" in shown
    assert "boundary" not in shown


def test_folders_of_other_names_and_predictions_without_images_and_categories() -> None:
    write("truth", TRUTH)

    def bare(content: dict) -> None:
        del content["images"], content["categories"]

    write("guess", GUESS, bare)
    Path("guess").rename("elsewhere")
    Path("truth").rename("a=b, c")
    run("predictions_dir=elsewhere", "ground_truth_dir=a=b, c", "output=result.json")
    assert json.loads(Path("result.json").read_text())["all"]["pq"] == pytest.approx(0.5)


def test_whole_numbers_are_ids_too_and_order_does_not_matter() -> None:
    write("truth", {3: TRUTH["a"], 4: TRUTH["b"]})
    write("guess", {4: GUESS["b"], 3: GUESS["a"]})
    run("output=result.json")
    assert json.loads(Path("result.json").read_text())["all"]["pq"] == pytest.approx(0.5)
    assert [row["image_id"] for row in rows_of("result_per_image.csv")] == ["3", "4"]


def test_a_prediction_may_list_a_segment_of_id_0() -> None:
    write("truth", TRUTH)
    write("guess", GUESS | {"a": ([[9, 9, 9, 9], [8, 8, 0, 0], [8, 8, 0, 0]], {9: 7, 8: 26, 0: 26})})
    pair = PredictionPairs("truth.json", "guess.json")[0]
    assert pair.prediction.ids.tolist() == [[1, 1, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    run("output=result.json")
    car = json.loads(Path("result.json").read_text())["per_class"]["car"]
    assert (car["tp"], car["fp"], car["fn"]) == (2, 1, 0)  # 4 pixels, 2 of them on void, beside 2 true ones


def test_missing_predictions_count_as_empty_on_demand(maps: None, capsys: pytest.CaptureFixture) -> None:
    write("guess", {"a": GUESS["a"]})
    run("missing=count_as_empty", "output=result.json")
    result = json.loads(Path("result.json").read_text())
    assert result["per_class"]["road"] | {"tp": 1, "fn": 1, "fp": 0} == result["per_class"]["road"]
    assert result["without_prediction"] == 1
    assert "1 of 2 images have no prediction" in capsys.readouterr().out
    write("guess", {})
    run("missing=count_as_empty", "output=result.json")
    assert json.loads(Path("result.json").read_text())["all"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 3}


def test_predictions_for_other_images_are_left_out_and_told(capsys: pytest.CaptureFixture) -> None:
    write("truth", {"a": TRUTH["a"]})
    write("guess", GUESS)
    run("output=result.json")
    assert json.loads(Path("result.json").read_text())["per_class"]["road"]["tp"] == 1
    assert "1 predictions are for images that the ground truth lacks" in capsys.readouterr().out


def test_real_maps_have_the_published_scores() -> None:
    known = ROOT / "tests" / "data" / "pq_known"
    run_known = (f"ground_truth={known}/coco_gt.json", f"predictions={known}/coco_pred.json", "output=result.json")
    command("score", score, run_known)
    result = json.loads(Path("result.json").read_text())
    expected = {
        "all": (0.6740486628641355, 0.6834387673557568, 0.8205128205128206),
        "things": (0.5769675073143916, 0.5910526640518237, 0.7307692307692308),
        "stuff": (0.868210973963623, 0.868210973963623, 1.0),
    }
    for group, values in expected.items():
        assert [result[group][name] for name in ("pq", "sq", "rq")] == pytest.approx(values, abs=1e-9)
    boundary = [result["boundary_pq"][group]["pq"] for group in expected]
    assert boundary == pytest.approx([0.44510955259805035, 0.2471926191050795, 0.840943419583992], abs=1e-9)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs the shared fixtures")
def test_real_truth_against_itself_is_perfect() -> None:
    photos = FIXTURES / "coco_photos" / "panoptic.json"
    command("score", score, (f"ground_truth={photos}", f"predictions={photos}", "output=result.json"))
    result = json.loads(Path("result.json").read_text())
    assert result["all"]["pq"] == result["boundary_pq"]["all"]["pq"] == result["boundary_f1"] == 1.0


def test_crowd_of_stuff_is_crowd_as_for_the_references() -> None:
    def crowd(content: dict) -> None:
        content["annotations"][0]["segments_info"][0]["iscrowd"] = 1

    write("truth", TRUTH, crowd)
    write("guess", GUESS)
    run("output=result.json")
    road = json.loads(Path("result.json").read_text())["per_class"]["road"]
    assert (road["tp"], road["fn"], road["fp"]) == (1, 0, 0)


def test_names_may_look_like_markup(capsys: pytest.CaptureFixture) -> None:
    def rename(content: dict) -> None:
        content["categories"] = [CATEGORIES[0] | {"name": "[/x]"}, *CATEGORIES[1:]]

    write("truth", TRUTH, rename)
    write("guess", GUESS, rename)
    run("output=result.json", "worst=2")
    shown = capsys.readouterr().out
    assert "[/x]" in shown
    assert "a.png (id a)" in shown


def test_from_the_shell(maps: None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "panoptic.score", "ground_truth=truth.json", "predictions=guess.json", "output=r.json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "results: r.json, r_per_image.csv" in done.stdout
    assert json.loads(Path("r.json").read_text())["all"]["n"] == 3


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell has what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible", "maps")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("number", "status", "sentence"), [(signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_it_and_leaves_nothing(
    number: int, status: int, sentence: str, workers: int, monkeypatch, capsys: pytest.CaptureFixture
) -> None:
    def scores_of(arrays: tuple) -> ImageScores:
        assert [p.suffix for p in Path("out").iterdir()] == ([".tmp"] if rows else [])
        if rows:
            os.kill(os.getpid(), number)
        rows.append(1)
        return original(arrays)

    rows: list[int] = []
    original = scoring._scores_of
    children = set(multiprocessing.active_children())  # of other tests
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setattr(scoring, "_scores_of", scores_of)
    with pytest.raises(SystemExit) as ended:
        run("output=out/result.json", f"workers={workers}")
    assert ended.value.code == status
    assert capsys.readouterr().err == f"panoptic: {sentence}\n"
    assert not Path("out").exists()
    assert set(multiprocessing.active_children()) <= children
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
