"""``python -m panoptic.score``: real maps with known scores, every fault with its sentence, and what is written."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.score import score
from panoptic.data.coco.pairs import PredictionPairs

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT.parent / "shared" / "fixtures"
CATEGORIES = [
    {"id": 7, "name": "road", "isthing": 0},
    {"id": 26, "name": "car", "isthing": 1},
    {"id": 24, "name": "person", "isthing": 1},
]
TRUTH = {  # by image id: rows of segment ids, and the category of each
    "a": ([[1, 1, 1, 1], [2, 2, 0, 3], [2, 2, 0, 3]], {1: 7, 2: 26, 3: 26}),
    "b": ([[70000, 70000, 70000], [256, 256, 256]], {70000: 7, 256: 24}),
}
GUESS = {
    "a": ([[9, 9, 9, 9], [8, 8, 8, 0], [8, 8, 0, 0]], {9: 7, 8: 26}),
    "b": ([[5, 5, 5], [6, 6, 6]], {5: 7, 6: 26}),
}


def write(name: str, maps: dict[Any, tuple[list, dict]], change: Callable[[dict], None] | None = None) -> None:
    """Files in COCO panoptic format, in the working directory."""
    Path(name).mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id, (rows, categories) in maps.items():
        numbers = np.array(rows)
        pixels = np.stack([numbers & 255, (numbers >> 8) & 255, numbers >> 16], -1).astype(np.uint8)
        Image.fromarray(pixels).save(f"{name}/{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": len(rows), "width": len(rows[0])})
        infos = [{"id": i, "category_id": c, "iscrowd": 0, "area": -1} for i, c in categories.items()]
        annotations.append({"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": infos})
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    if change is not None:
        change(content)
    Path(f"{name}.json").write_text(json.dumps(content))


def run(*arguments: str) -> None:
    command("score", score, ("ground_truth=truth.json", "predictions=guess.json", *arguments))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic.score"])
    return tmp_path


@pytest.fixture
def maps() -> None:
    write("truth", TRUTH)
    write("guess", GUESS)


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
    assert (result["images"], result["without_prediction"], result["ground_truth"]) == (2, 0, "truth.json")
    first, second = rows_of("out/result_per_image.csv")
    assert (first["image_id"], first["file_name"], first["tp/car"], first["fn/car"]) == ("a", "a.png", "1", "1")
    assert float(first["pq"]) == pytest.approx((1 + 1 / 1.5) / 2)
    assert (second["pq_stuff"], second["fn/person"], second["tp/road"]) == ("1.0", "1", "1")
    assert second["pq_things"] == "0.0"
    shown = capsys.readouterr().out
    assert "the 1 images with the lowest PQ" in shown
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


def test_without_an_output_nothing_is_written(maps: None, here: Path, capsys: pytest.CaptureFixture) -> None:
    before = sorted(here.rglob("*"))
    run("boundaries=false")
    assert sorted(here.rglob("*")) == before
    shown = capsys.readouterr().out
    assert "0.5000" in shown
    assert "boundary" not in shown


def test_folders_of_other_names_and_predictions_without_images_and_categories(here: Path) -> None:
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


def blocked() -> None:
    Path("result_per_image.csv").mkdir()


def text_for_isthing(content: dict) -> None:
    content["categories"] = [CATEGORIES[0] | {"isthing": "0"}, *CATEGORIES[1:]]


def no_file_name(content: dict) -> None:
    content["annotations"][0]["file_name"] = ""


def huge(content: dict) -> None:
    content["annotations"][0]["segments_info"][0]["score"] = 10**400


def other_ids() -> None:
    write("truth", {1: TRUTH["a"]})
    write("guess", {"1": GUESS["a"]})


def doubled(content: dict) -> None:
    content["annotations"].append(content["annotations"][0])


def renamed(content: dict) -> None:
    content["categories"] = [{"id": 7, "name": "street", "isthing": 0}, *CATEGORIES[1:]]


def other_kind(content: dict) -> None:
    content["categories"] = [{"id": 7, "name": "road", "isthing": 1}]


def unknown_category(content: dict) -> None:
    content["annotations"][0]["segments_info"][0]["category_id"] = 99


def not_in_png(content: dict) -> None:
    content["annotations"][1]["segments_info"].append({"id": 77, "category_id": 7})


def not_in_json(content: dict) -> None:
    content["annotations"][1]["segments_info"].pop()


def nan(content: dict) -> None:
    content["annotations"][0]["segments_info"][0]["score"] = float("nan")


def text_for_a_number(content: dict) -> None:
    content["annotations"][0]["segments_info"][0]["id"] = "8"


def smaller() -> None:
    write("guess", GUESS | {"b": ([[5, 5]], {5: 7})})


def grey() -> None:
    Image.fromarray(np.zeros((2, 3), np.uint8)).save("guess/b.png")


def cut() -> None:
    Path("guess/b.png").write_bytes(Path("guess/b.png").read_bytes()[:45])


BAD: dict[str, tuple[Any, tuple[str, ...], str]] = {  # what is wrong, other arguments, what the sentence says
    "no truth": (lambda: Path("truth.json").unlink(), (), "truth.json: expected a JSON file"),
    "no predictions": (lambda: Path("guess.json").unlink(), (), "guess.json: expected a JSON file"),
    "no JSON": (lambda: Path("guess.json").write_text("{"), (), "guess.json: expected JSON"),
    "no folder": (
        lambda: Path("guess").rename("other"),
        (),
        "guess: expected a folder with the PNG files of guess.json",
    ),
    "no PNG": (lambda: Path("guess/b.png").unlink(), (), "guess/b.png: expected an image"),
    "unreadable PNG": (cut, (), "guess/b.png: expected an image that can be read"),
    "grey PNG": (grey, (), "guess/b.png: expected a PNG with 8-bit RGB"),
    "smaller PNG": (smaller, (), "guess/b.png: expected height and width (2, 3) as truth/b.png has them, got (1, 2)"),
    "missing prediction": (lambda: write("guess", {"a": GUESS["a"]}), (), "got none for 'b'"),
    "doubled prediction": (
        lambda: write("guess", GUESS, doubled),
        (),
        "guess.json: annotations: expected distinct image",
    ),
    "doubled truth": (
        lambda: write("truth", TRUTH, doubled),
        (),
        "truth.json: annotations: expected distinct image ids",
    ),
    "other name": (lambda: write("guess", GUESS, renamed), (), "expected name 'road' of id 7 as in the ground truth"),
    "other kind": (lambda: write("guess", GUESS, other_kind), (), "expected isthing 0 of id 7"),
    "unknown category": (lambda: write("guess", GUESS, unknown_category), (), "got 99"),
    "id not in PNG": (
        lambda: write("guess", GUESS, not_in_png),
        (),
        "guess/b.png: expected each segment that guess.json",
    ),
    "id not in JSON": (
        lambda: write("guess", GUESS, not_in_json),
        (),
        "guess/b.png: expected the segment ids that guess",
    ),
    "truth's id not in PNG": (lambda: write("truth", TRUTH, not_in_png), (), "truth/b.png: expected each segment"),
    "NaN": (
        lambda: write("guess", GUESS, nan),
        (),
        "guess.json: expected JSON, got text that is not: NaN is no number",
    ),
    "text for a number": (lambda: write("guess", GUESS, text_for_a_number), (), "expected 'id' to be a whole number"),
    "truth with id 0": (lambda: write("truth", TRUTH | {"a": ([[0, 1]], {0: 7, 1: 7})}), (), "segment ids of 1 to"),
    "rows in a folder": (blocked, ("output=result.json",), "result_per_image.csv: expected a file to write rows to"),
    "text for isthing": (
        lambda: write("truth", TRUTH, text_for_isthing),
        (),
        "truth.json: categories: category 1: expected",
    ),
    "no file name": (
        lambda: write("guess", GUESS, no_file_name),
        (),
        "guess.json: annotations: image_id 'a': expected 'file",
    ),
    "huge score": (lambda: write("guess", GUESS, huge), (), "expected 'score' to be a number of some use"),
    "ids of other types": (other_ids, ("missing=count_as_empty",), "got none for 1 (but for '1' and others)"),
    "a name too long": (
        None,
        ("output=" + "x" * 300 + ".json",),
        "expected to read or write it, got: File name too long",
    ),
    "folder for a file": (None, ("predictions_dir=guess.json",), "guess.json: expected a folder with the PNG files of"),
    "unknown choice": (None, ("missing=ignore",), "missing: expected error or count_as_empty, got 'ignore'"),
    "misspelt key": (None, ("wurst=3",), "'wurst'"),
    "negative": (None, ("worst=-1",), "worst: expected at least 0, got -1"),
    "negative workers": (None, ("workers=-1",), "workers: expected at least 0, got -1"),
    "ratio": (None, ("dilation_ratio=0",), "dilation_ratio: expected a share of the diagonal, above 0"),
    "NaN ratio": (None, ("tolerance=nan",), "tolerance: expected a share of the diagonal"),
    "output no JSON": (None, ("output=result.txt",), "output=result.txt: expected the name of a .json file"),
    "output a folder": (None, ("output=truth",), "output=truth: expected the name of a .json file, got a folder"),
    "output an input": (None, ("output=./guess.json",), "output=./guess.json: expected a file of its own"),
    "output in a file": (None, ("output=truth.json/result.json",), "truth.json"),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, workers: int, maps: None, here: Path, capsys: pytest.CaptureFixture
) -> None:
    spoil, arguments, said = BAD[case]
    if spoil is not None:
        spoil()
    before = sorted(here.rglob("*"))
    keys = {argument.partition("=")[0] for argument in arguments}
    given = {"output": "new/folder/result.json", "workers": workers}
    defaults = [f"{key}={value}" for key, value in given.items() if key not in keys]
    with pytest.raises(SystemExit) as stop:
        run(*defaults, *arguments)
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in shown
    assert shown.count("panoptic: ") == 1
    assert len(shown.strip().splitlines()) == 1
    assert sorted(here.rglob("*")) == before


def test_an_earlier_result_survives_a_later_fault(maps: None) -> None:
    run("output=result.json")
    before = {p: p.read_bytes() for p in (Path("result.json"), Path("result_per_image.csv"))}
    cut()
    with pytest.raises(SystemExit):
        run("output=result.json")
    assert {p: p.read_bytes() for p in before} == before


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
