"""``python -m panoptic.compare scores=[A,B]``: any models' scores, image by image, with numbers worked out by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from panoptic.commands.app import command
from panoptic.commands.score import score
from panoptic.comparison.score_differences import ScoreComparison, compare_score_files
from panoptic.comparison.score_files import read_score_files
from tests.commands import made_maps
from tests.comparison.made_runs import ROOT, run

CATEGORIES = [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0}]
Counts = tuple[float, int, int, int]
"""Sum of IoU, true positives, false positives, false negatives."""

OURS: dict[str, tuple[Counts, Counts]] = {  # car and road of two images
    "a": ((0.8, 1, 0, 0), (0.9, 1, 0, 0)),
    "b": ((0.0, 0, 1, 1), (0.7, 1, 0, 0)),
}
THEIRS: dict[str, tuple[Counts, Counts]] = {
    "a": ((0.6, 1, 1, 0), (0.9, 1, 0, 0)),
    "b": ((0.6, 1, 0, 0), (0.0, 0, 0, 1)),
}
OURS_F1 = {"a": (0.5, 1.0), "b": ("", 0.5)}
THEIRS_F1 = {"a": (0.3, 0.8), "b": ("", 0.6)}


def rows_of(
    images: Mapping[str, Sequence[Counts]], f1: Mapping[str, Sequence[Any]] | None = None, boundary: bool = False
) -> list[dict[str, Any]]:
    rows = []
    for place, (image_id, counts) in enumerate(images.items()):
        row: dict[str, Any] = {"image_id": image_id, "file_name": f"{image_id}.png"}
        row |= {"object_density": place, "scale_variance": 0.5}
        for prefix in ("", "boundary_") if boundary else ("",):
            for name, values in zip(("car", "road"), counts, strict=True):
                row |= {f"{prefix}{c}/{name}": v for c, v in zip(("iou_sum", "tp", "fp", "fn"), values, strict=True)}
        if f1 is not None:
            row |= {f"boundary_f1/{name}": v for name, v in zip(("car", "road"), f1[image_id], strict=True)}
        rows.append(row)
    return rows


def write(name: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any] | None = None) -> Path:
    """A table, and the JSON file that is written with it."""
    path = Path(f"{name}_per_image.csv")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    Path(f"{name}.json").write_text(json.dumps({"categories": CATEGORIES, **(about or {})}))
    return path


def compared(*names: str) -> ScoreComparison:
    files, _ = read_score_files([Path(f"{name}_per_image.csv") for name in names])
    return compare_score_files(files, files[-1])


@pytest.fixture
def two() -> None:
    write("ours", rows_of(OURS, OURS_F1))
    write("theirs", rows_of(THEIRS, THEIRS_F1))


def differences(rows: Sequence[Any], model: str = "ours") -> dict[str, tuple[float, float, float]]:
    return {row.score: tuple(row.differences[model]) for row in rows}


def test_two_images_and_two_categories_by_hand(two: None) -> None:
    comparison = compared("ours", "theirs")
    assert (comparison.baseline.name, comparison.things) == ("theirs", {"car"})
    # Cars: 0.8 / (1 + 1/2 + 1/2) and 1.2 / (2 + 1/2); road: 1.6 / 2 and 0.9 / (1 + 1/2).
    everything = {row.score: row.scores for row in comparison.groups["all"]}
    assert everything["pq"] == pytest.approx({"ours": 60, "theirs": 54})
    assert everything["sq"] == pytest.approx({"ours": 80, "theirs": 75})
    assert everything["rq"] == pytest.approx({"ours": 75, "theirs": 100 * (2 / 2.5 + 1 / 1.5) / 2})
    # The mean over images, of the one car, and of the two roads.
    assert everything["boundary_f1"] == pytest.approx({"ours": 62.5, "theirs": 50})
    # Of two images, a is drawn twice in a quarter of the replicates, b in another: 85 less 65, and 35 less 30.
    found = differences(comparison.groups["all"])
    assert found["pq"] == pytest.approx((6, 5, 20))
    assert found["sq"] == pytest.approx((5, (0 + 70 - 60) / 2, (80 - 60 + 90 - 90) / 2))
    assert differences(comparison.groups["things"])["pq"] == pytest.approx((40 - 48, -60, 40))
    assert differences(comparison.groups["stuff"])["pq"] == pytest.approx((20, 0, 70))
    assert differences(comparison.categories["road"])["pq"] == pytest.approx((20, 0, 70))
    car = {row.score: row for row in comparison.categories["car"]}
    assert car["pq"].differences["ours"] == pytest.approx((-8, -60, 40))
    assert (car["pq"].images, car["boundary_f1"].images) == (2, 1)
    assert car["boundary_f1"].differences["ours"] == pytest.approx((20, float("nan"), float("nan")), nan_ok=True)


def test_quartiles_of_complexity_by_hand(two: None) -> None:
    density = [quartile for quartile in compared("ours", "theirs").quartiles if quartile.measure == "object_density"]
    assert [(q.quartile, q.low, q.high, q.images) for q in density] == [(1, 0, 0, 1), (4, 1, 1, 1)]
    nan = float("nan")
    assert [differences(q.groups["all"])["pq"] for q in density] == [
        pytest.approx((20, nan, nan), nan_ok=True),
        pytest.approx((5, nan, nan), nan_ok=True),
    ]
    (variance,) = [q for q in compared("ours", "theirs").quartiles if q.measure == "scale_variance"]
    assert (variance.quartile, variance.images) == (1, 2)
    assert differences(variance.groups["things"])["pq"] == pytest.approx((-8, -60, 40))


def test_neither_the_order_of_rows_nor_of_categories_matters(two: None) -> None:
    rows = rows_of(OURS, OURS_F1)[::-1]
    columns = sorted(rows[0], reverse=True)
    path = write("turned", [{name: row[name] for name in columns} for row in rows])
    assert path.read_text().index("/road") < path.read_text().index("/car")
    one, other = compared("ours", "theirs"), compared("turned", "theirs")
    for rows_of_one, rows_of_other in (
        (one.groups["all"], other.groups["all"]),
        *((one.categories[name], other.categories[name]) for name in ("car", "road")),
    ):
        found = differences(rows_of_other, "turned")
        for name, expected in differences(rows_of_one).items():
            assert found[name] == pytest.approx(expected, nan_ok=True)


def test_a_file_does_not_differ_from_itself_whatever_is_drawn() -> None:
    images = {str(i): ((0.6 + i / 30, 1, i % 3, i % 2), (0.9 - i / 30, 1, 0, 0)) for i in range(9)}
    for name in ("one", "other"):
        write(name, rows_of(images, dict.fromkeys(images, (0.1, 0.2)), boundary=True))
    comparison = compared("one", "other")
    rows = [row for rows in (*comparison.groups.values(), *comparison.categories.values()) for row in rows]
    rows += [row for quartile in comparison.quartiles for group in quartile.groups.values() for row in group]
    assert {row.score for row in rows} == {"pq", "sq", "rq", "boundary_pq", "boundary_sq", "boundary_rq", "boundary_f1"}
    assert {tuple(row.differences["one"]) for row in rows} == {(0.0, 0.0, 0.0)}


def test_the_command_writes_what_it_shows(two: None, capsys: pytest.CaptureFixture) -> None:
    Path("out").mkdir()
    Path("out/runs.csv").write_text("of an earlier comparison")
    run("scores=[ours_per_image.csv,theirs_per_image.csv]", "names=[Ours (a=1),EoMT]", "output=out")
    shown = capsys.readouterr().out
    assert "points more than EoMT, with intervals over images (not training seeds)" in shown
    assert "+6.00 [+5.00, +20.00] *" in shown
    assert "report: out/report.md" in shown
    assert sorted(path.name for path in Path("out").iterdir()) == ["comparison.json", "report.md"]
    content = json.loads(Path("out/comparison.json").read_text())
    assert content["all"]["pq"]["differences"]["Ours (a=1)"] == pytest.approx({"value": 6, "low": 5, "high": 20})
    assert content["per_class"]["car"]["isthing"] == 1
    assert content["per_class"]["car"]["boundary_f1"]["differences"]["Ours (a=1)"]["low"] is None
    assert [q["quartile"] for q in content["quartiles"]["object_density"]] == [1, 4]
    assert (content["unit"], content["interval"]["covers"]) == ("points, 100 x the score", "images, not training seeds")
    report = Path("out/report.md").read_text()
    assert "| Ours (a=1) | all | +6.00 [+5.00, +20.00] * |" in report
    assert "cover other images of this kind, and not other training seeds" in report
    assert "'names=[Ours (a=1),EoMT]'" in report
    assert "nan" not in report


def test_the_baseline_may_be_any_and_files_more_than_two(two: None, capsys: pytest.CaptureFixture) -> None:
    write("third", rows_of(OURS, OURS_F1))
    given = "scores=[ours_per_image.csv,theirs_per_image.csv,third_per_image.csv]"
    run(given, "baseline=ours", "output=out")
    everything = json.loads(Path("out/comparison.json").read_text())["all"]["pq"]
    assert everything["differences"]["theirs"] == pytest.approx({"value": -6, "low": -20, "high": -5})
    assert everything["differences"]["third"] == {"value": 0, "low": 0, "high": 0}


def test_what_cannot_be_compared_is_left_out_and_told(two: None, capsys: pytest.CaptureFixture) -> None:
    write("wide", rows_of(OURS, OURS_F1, boundary=True), {"dilation_ratio": 0.02, "tolerance": 0.0075})
    write("narrow", rows_of(THEIRS, THEIRS_F1, boundary=True), {"dilation_ratio": 0.005, "tolerance": 0.0075})
    run("scores=[wide_per_image.csv,narrow_per_image.csv]", "output=out")
    shown = capsys.readouterr().out
    assert (
        "Boundary PQ is left out: it was computed with another dilation_ratio, 0.02 (wide), 0.005 (narrow)\n" in shown
    )
    assert "boundary_f1" in json.loads(Path("out/comparison.json").read_text())["all"]
    assert "boundary_pq" not in json.loads(Path("out/comparison.json").read_text())["all"]
    for name in ("ours", "wide"):
        Path(f"{name}.json").unlink()
    run("scores=[wide_per_image.csv,ours_per_image.csv]", "output=out")
    shown = capsys.readouterr().out
    assert "warning: Boundary PQ is left out: ours has none\n" in shown
    assert "warning: things and stuff are not told apart: which categories are things is in wide.json" in shown
    assert "things" not in json.loads(Path("out/comparison.json").read_text())


def test_boundaries_of_a_pixel_are_left_out_and_told(capsys: pytest.CaptureFixture) -> None:
    about = {"dilation_ratio": 0.005, "tolerance": 0.0075, "boundary_pq": {"remark": "its boundaries are narrow"}}
    for name, images, f1 in (("ours", OURS, OURS_F1), ("theirs", THEIRS, THEIRS_F1)):
        write(name, rows_of(images, f1, boundary=True), about)
    run("scores=[ours_per_image.csv,theirs_per_image.csv]", "output=out")
    assert capsys.readouterr().out.count("its boundaries are narrow\n") == 1
    content = json.loads(Path("out/comparison.json").read_text())
    assert list(content["all"]) == ["pq", "sq", "rq", "boundary_f1"]
    assert content["warnings"] == ["its boundaries are narrow"]


def test_from_maps_to_a_comparison(capsys: pytest.CaptureFixture) -> None:
    made_maps.write("truth", made_maps.TRUTH)
    made_maps.write("guess", made_maps.GUESS)
    for name in ("truth", "guess"):
        given = ("ground_truth=truth.json", f"predictions={name}.json", f"output={name}_scores.json")
        command("score", score, (*given, "dilation_ratio=0.4"))
    run("scores=[guess_scores_per_image.csv,truth_scores_per_image.csv]", "output=out")
    content = json.loads(Path("out/comparison.json").read_text())
    result = json.loads(Path("guess_scores.json").read_text())
    assert (content["images"], content["baseline"], content["warnings"]) == (2, "truth_scores", [])
    assert content["files"]["guess_scores"]["dilation_ratio"] == 0.4
    for prefix, scores in (("", result), ("boundary_", result["boundary_pq"])):
        for group in ("all", "things", "stuff"):
            for name in ("pq", "sq", "rq"):
                row = content[group][f"{prefix}{name}"]
                assert row["scores"] == pytest.approx({"guess_scores": 100 * scores[group][name], "truth_scores": 100})
    assert content["all"]["pq"]["differences"]["guess_scores"]["value"] == pytest.approx(-50)
    assert content["all"]["boundary_f1"]["scores"]["guess_scores"] == pytest.approx(100 * result["boundary_f1"])
    assert content["per_class"]["road"]["pq"]["differences"]["guess_scores"] == {"value": 0, "low": 0, "high": 0}


def test_scores_of_real_maps_are_the_published_ones() -> None:
    known = ROOT / "tests" / "data" / "pq_known"
    for name in ("coco_gt", "coco_pred"):
        given = (f"ground_truth={known}/coco_gt.json", f"predictions={known}/{name}.json")
        command("score", score, (*given, f"output={name}.json", "boundaries=false"))
    pq = {row.score: row.scores["coco_pred"] for row in compared("coco_pred", "coco_gt").groups["all"]}
    assert pq == pytest.approx({"pq": 67.40486628641355, "sq": 68.34387673557568, "rq": 82.05128205128206})


def changed(**values: Any) -> list[dict[str, Any]]:
    first, *rest = rows_of(THEIRS)
    return [first | {name.replace("__", "/"): value for name, value in values.items()}, *rest]


def renamed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name.replace("road", "street"): value for name, value in row.items()} for row in rows]


def without(rows: Sequence[Mapping[str, Any]], column: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != column} for row in rows]


GIVEN = ["scores=[ours_per_image.csv,theirs_per_image.csv]"]
BAD: dict[str, tuple[Any, list[str], str]] = {  # what is made, what is typed, what the sentence says
    "one file": (lambda: None, ["scores=ours_per_image.csv"], "scores: expected two files at least, as scores=[A,B]"),
    "no list": (lambda: None, ["scores=[[a],b]"], "scores: expected files as scores=[A,B], got"),
    "one file twice": (
        lambda: None,
        ["scores=[ours_per_image.csv,ours_per_image.csv]"],
        "scores: expected different files, got ours_per_image.csv twice",
    ),
    "runs too": (lambda: None, [*GIVEN, "runs=x"], "scores: expected either runs or scores, got both"),
    "a split": (lambda: None, [*GIVEN, "split=val"], "split: expected none with scores"),
    "too few names": (
        lambda: None,
        [*GIVEN, "names=[a]"],
        "names: expected 2 different names, one for each file, got a",
    ),
    "unknown baseline": (lambda: None, [*GIVEN, "baseline=x"], "baseline: expected one of ours, theirs, got 'x'"),
    "no file": (
        lambda: None,
        ["scores=[ours_per_image.csv,none.csv]"],
        "scores=none.csv: expected a table with a row for each image (..._per_image.csv), got no such file",
    ),
    "the JSON file": (lambda: None, ["scores=[ours.json,theirs.json]"], "(..._per_image.csv), got a JSON file"),
    "an image less": (
        lambda: write("theirs", rows_of({"a": THEIRS["a"]})),
        GIVEN,
        "theirs_per_image.csv: expected the 2 images of ours_per_image.csv, got 1 without image b",
    ),
    "another image": (
        lambda: write("theirs", rows_of({"a": THEIRS["a"], "c": THEIRS["b"]})),
        GIVEN,
        "theirs_per_image.csv: expected the 2 images of ours_per_image.csv, got 2 without image b with image c",
    ),
    "an image twice": (
        lambda: write("theirs", rows_of(THEIRS) + rows_of(THEIRS)[1:]),
        GIVEN,
        "theirs_per_image.csv: expected one row for each image, got several for image b",
    ),
    "other categories": (
        lambda: (write("theirs", renamed(rows_of(THEIRS))), Path("theirs.json").unlink()),
        GIVEN,
        "theirs_per_image.csv: expected the 2 categories of ours_per_image.csv, got 2 without category road with "
        "category street",
    ),
    "another truth": (
        lambda: write("theirs", changed(fn__car=1)),
        GIVEN,
        "theirs_per_image.csv: expected scores against the ground truth of ours_per_image.csv, got images with other",
    ),
    "another complexity": (
        lambda: write("theirs", changed(object_density=2)),
        GIVEN,
        "theirs_per_image.csv: expected scores against the ground truth of ours_per_image.csv",
    ),
    "a column missing": (
        lambda: write("theirs", without(rows_of(THEIRS), "fp/road")),
        GIVEN,
        "theirs_per_image.csv: expected rows with image_id, object_density, scale_variance and counts of each "
        "category, got no fp/road",
    ),
    "NaN": (
        lambda: write("theirs", changed(tp__car="nan")),
        GIVEN,
        "theirs_per_image.csv: expected a number in each row under tp/car, got 'nan' for image a",
    ),
    "no number": (
        lambda: write("theirs", changed(iou_sum__road="x")),
        GIVEN,
        "theirs_per_image.csv: expected a number in each row under iou_sum/road, got 'x' for image a",
    ),
    "things and stuff exchanged": (
        lambda: write(
            "theirs", rows_of(THEIRS), {"categories": [{**c, "isthing": 1 - int(c["isthing"])} for c in CATEGORIES]}
        ),
        GIVEN,
        "theirs_per_image.csv: expected car to be thing, as in ours_per_image.csv, got stuff",
    ),
    "the JSON file of others": (
        lambda: write("theirs", rows_of(THEIRS), {"categories": CATEGORIES[:1]}),
        GIVEN,
        "theirs.json: expected the categories of theirs_per_image.csv, got 1 without category road",
    ),
    "a damaged JSON file": (
        lambda: Path("theirs.json").write_text("{"),
        GIVEN,
        "theirs.json: expected scores as python -m panoptic.score writes them, got:",
    ),
    "an output that is read": (
        lambda: (write("ours", rows_of(OURS)).rename("runs.csv"),),
        ["scores=[runs.csv,theirs_per_image.csv]", "output=."],
        "output=.: expected another folder, got that of runs.csv, which is to be read",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, two: None, here: Path, capsys: pytest.CaptureFixture
) -> None:
    make, arguments, said = BAD[case]
    make()
    before = {path: path.read_bytes() for path in here.rglob("*")}
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in shown
    assert shown.count("panoptic: ") == 1
    assert {path: path.read_bytes() for path in here.rglob("*")} == before
