"""``python -m panoptic.score``: every fault has its sentence, and nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.commands.made_maps import CATEGORIES, GUESS, TRUTH, run, write


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
    "misspelt key": (None, ("wurst=3",), "did you mean worst?"),
    "negative": (None, ("worst=-1",), "worst: expected at least 0, got -1"),
    "negative workers": (None, ("workers=-1",), "workers: expected at least 0, got -1"),
    "ratio": (None, ("dilation_ratio=0",), "dilation_ratio: expected a share of the diagonal, above 0"),
    "NaN ratio": (None, ("tolerance=nan",), "tolerance: expected finite numbers, got nan"),
    "output no JSON": (None, ("output=result.txt",), "output=result.txt: expected the name of a .json file"),
    "output a folder": (None, ("output=truth",), "output=truth: expected the name of a .json file, got a folder"),
    "output an input": (None, ("output=./guess.json",), "output=./guess.json: expected a file of its own"),
    "output in a file": (None, ("output=truth.json/result.json",), "truth.json"),
}


IN_A_PROCESS = ("no PNG", "unreadable PNG", "grey PNG", "smaller PNG", "id not in PNG", "id not in JSON")
"""Faults met while maps are read, which several processes may do; all others are told before."""


@pytest.mark.parametrize(("case", "workers"), [*((case, 1) for case in BAD), *((case, 2) for case in IN_A_PROCESS)])
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, workers: int, maps: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    spoil, arguments, said = BAD[case]
    if spoil is not None:
        spoil()
    before = sorted(tmp_path.rglob("*"))
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
    assert sorted(tmp_path.rglob("*")) == before


def test_an_earlier_result_survives_a_later_fault(maps: None) -> None:
    run("output=result.json")
    before = {p: p.read_bytes() for p in (Path("result.json"), Path("result_per_image.csv"))}
    cut()
    with pytest.raises(SystemExit):
        run("output=result.json")
    assert {p: p.read_bytes() for p in before} == before
