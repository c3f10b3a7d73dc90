"""Bad input to ``python -m panoptic.compare`` gets one sentence and leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.comparison.made_runs import evaluated, made, run


def damaged(content: str, name: str = "runs/uniform_0/summary.json") -> None:
    evaluated(made("runs", 0), [0.6], [0.6])
    Path(name).write_text(content)


def no_table(text: str) -> None:
    damaged(text, "runs/uniform_0/evaluate_test/per_image.csv")


HEADER = "image_id,object_density,scale_variance,iou_sum/car,tp/car,fp/car,fn/car\n"
BAD: dict[str, tuple[Any, list[str], str]] = {  # what is made, what is typed, what the sentence says
    "nothing given": (lambda: None, [], "runs: expected a value (runs=...), got none"),
    "no folder": (lambda: None, ["runs=nowhere"], "runs=nowhere: expected a folder with runs, got no such folder"),
    "a file": (lambda: Path("x").touch(), ["runs=x"], "runs=x: expected a folder with runs, got a file"),
    "no list of folders": (lambda: None, ["runs=[[a]]"], "runs: expected a folder, or folders as runs=[A,B]"),
    "empty list": (lambda: None, ["runs=[]"], "runs: expected a folder, or folders as runs=[A,B]"),
    "no runs": (
        lambda: Path("runs").mkdir(),
        ["runs=runs"],
        "runs=runs: expected folders with the summary.json of finished runs, got none",
    ),
    "unfinished only": (
        lambda: (Path("runs/a").mkdir(parents=True), Path("runs/a/config.yaml").touch()),
        ["runs=runs"],
        "got none; 1 there have not finished",
    ),
    "not evaluated": (
        lambda: made("runs", 0),
        ["runs=runs", "split=test"],
        "runs/uniform_0/evaluate_test/scores.json: expected the scores of the run on test, got no such file; "
        "python -m panoptic.evaluate checkpoint=runs/uniform_0/checkpoints/last.ckpt split=test makes it",
    ),
    "unknown split": (
        lambda: made("runs", 0),
        ["runs=runs", "split=train"],
        "split: expected test or val, got 'train'",
    ),
    "unknown baseline": (
        lambda: (made("runs", 0), made("runs", 0, fusion="local")),
        ["runs=runs", "baseline=a=b, c"],
        "baseline: expected one of the variants (local; uniform), got 'a=b, c'",
    ),
    "output in a file": (
        lambda: (made("runs", 0), Path("x").touch()),
        ["runs=runs", "output=x"],
        "output=x: expected a folder, got a file",
    ),
    "misspelt key": (lambda: None, ["run=x"], "did you mean runs?"),
    "no JSON": (lambda: damaged("{"), ["runs=runs"], "runs/uniform_0/summary.json: expected JSON, got:"),
    "no object": (lambda: damaged("[]"), ["runs=runs"], "summary.json: expected a JSON object, got list"),
    "no seed": (lambda: damaged("{}"), ["runs=runs"], "summary.json: expected a number under seed, got None"),
    "no scores": (
        lambda: damaged('{"all": 1}', "runs/uniform_0/evaluate_test/scores.json"),
        ["runs=runs"],
        "scores.json: expected an object under all, got 1",
    ),
    "scores of another kind": (
        lambda: damaged(
            '{"all": {"pq": "x", "n": 1}, "things": {}, "stuff": {}, "per_class": {}}',
            "runs/uniform_0/evaluate_test/scores.json",
        ),
        ["runs=runs"],
        "scores.json: expected scores as evaluation writes them",
    ),
    "scores in percent": (
        lambda: damaged(
            '{"all": {"pq": 57.0, "n": 1}, "things": {"n": 0}, "stuff": {"n": 0}, "per_class": {}}',
            "runs/uniform_0/evaluate_test/scores.json",
        ),
        ["runs=runs"],
        "scores.json: expected scores as evaluation writes them, got: 57.0 as pq, which is in 0..1",
    ),
    "empty table": (lambda: no_table(""), ["runs=runs"], "per_image.csv: expected rows with image_id"),
    "no rows": (lambda: no_table(HEADER), ["runs=runs"], "of each category, got no rows"),
    "no counts": (lambda: no_table("image_id,object_density,scale_variance\n1,1,1\n"), ["runs=runs"], "no categories"),
    "a column missing": (lambda: no_table(HEADER.replace(",fn/car", "")), ["runs=runs"], "got no fn/car"),
    "text for a number": (lambda: no_table(f"{HEADER}1,1,1,x,0,0,0\n"), ["runs=runs"], "expected a number in each row"),
    "no number": (lambda: no_table(f"{HEADER}1,1,1,nan,0,0,0\n"), ["runs=runs"], "expected a number in each row"),
    "no end of a number": (lambda: no_table(f"{HEADER}1,1,1,inf,0,0,0\n"), ["runs=runs"], "expected a number in each"),
    "no text": (
        lambda: (no_table(""), Path("runs/uniform_0/evaluate_test/per_image.csv").write_bytes(b"\xff\xfe")),
        ["runs=runs"],
        "per_image.csv: expected a table as CSV, got: 'utf-8' codec can't decode",
    ),
    "versions of another kind": (
        lambda: made("runs", 0, versions=[1]),
        ["runs=runs"],
        "summary.json: expected an object under versions, got [1]",
    ),
    "what was shuffled of another kind": (
        lambda: evaluated(made("runs", 0), [0.6], [0.6], shuffled=["x"]),
        ["runs=runs"],
        "scores.json: expected scores as evaluation writes them",
    ),
    "a list of paths": (
        lambda: None,
        ["runs=[a=b, (c),1_0]"],
        "runs=a=b: expected a folder with runs, got no such folder",
    ),
    "paths like numbers": (
        lambda: None,
        ["runs=[1_0,2]"],
        "runs=1_0: expected a folder with runs, got no such folder",
    ),
    "a row cut short": (lambda: no_table(f"{HEADER}1,1,1\n"), ["runs=runs"], "expected a number in each row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(case: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    make, arguments, said = BAD[case]
    make()
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in shown
    assert shown.count("panoptic: ") == 1
    assert sorted(here.rglob("*")) == before
