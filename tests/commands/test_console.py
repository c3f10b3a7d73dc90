"""Tables for terminals and logs: whole names, and parts where a table is too wide."""

from __future__ import annotations

import pytest
from rich.console import Console

from panoptic.commands import console
from panoptic.commands.console import print_errors, print_rows, print_table, table_parts

COLUMNS = [
    "category",
    "",
    *(f"{split}: {what}" for split in ("train", "val", "test") for what in ("segments", "crowd")),
]
ROWS = [["a long name of a category", "thing", *"123456"], ["road", "stuff", *"123456"]]


def test_parts_are_as_few_as_fit_and_begin_with_the_keys() -> None:
    # Widths with borders: keys 1 + 28 + 8, then 18 + 15, 16 + 13 and 17 + 14.
    assert table_parts(COLUMNS, ROWS, 130, 2, 2) == [list(range(8))]
    assert table_parts(COLUMNS, ROWS, 129, 2, 2) == [[0, 1, 2, 3, 4, 5], [0, 1, 6, 7]]
    assert table_parts(COLUMNS, ROWS, 99, 2, 2) == [[0, 1, 2, 3, 4, 5], [0, 1, 6, 7]]
    assert table_parts(COLUMNS, ROWS, 98, 2, 2) == [[0, 1, 2, 3], [0, 1, 4, 5, 6, 7]]
    assert table_parts(COLUMNS, ROWS, 96, 2, 2) == [[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]]
    assert table_parts(COLUMNS, ROWS, 60, 2, 2) == [[0, 1, i] for i in range(2, 8)]  # even a group is too wide
    assert table_parts(COLUMNS, ROWS, 10, 2, 2) == [[0, 1, i] for i in range(2, 8)]  # and a column
    assert table_parts(["", "a"], [["x", "1"]], 80, 1, 1) == [[0, 1]]
    assert table_parts([""], [["x"]], 80, 1, 1) == [[0]]


@pytest.mark.parametrize("width", [20, 60, 100, 200])
def test_words_are_never_broken(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(console, "_console", lambda: Console(width=width, no_color=True, highlight=False))
    print_rows("categories", COLUMNS, ROWS, keys=2, group=2)
    told = capsys.readouterr().out
    for word in (*COLUMNS, "a long name of a category", "road"):
        assert word in told
    assert told.count("a long name of a category") == {20: 6, 60: 6, 100: 2, 200: 1}[width]
    print_table("scores", {"traffic light": {"boundary PQ": 0.5, "boundary F1": 0.25, "mean IoU": 0.125}})
    told = capsys.readouterr().out
    assert all(word in told for word in ("traffic light", "boundary PQ", "boundary F1", "mean IoU", "0.5000", "0.1250"))


def test_names_with_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture) -> None:
    print_rows("[bold]t", ["[red]c", "n"], [["[x]", "1"]])
    told = capsys.readouterr().out
    assert "[bold]t" in told
    assert "[red]c" in told
    assert "[x]" in told


def test_errors_are_shown_as_counts_without_rows_of_zeros(capsys: pytest.CaptureFixture) -> None:
    none, some = {"merged": 0, "poor_shape": 0}, {"merged": 1, "poor_shape": 2}
    groups = {name: {"fn": some, "fp": none} for name in ("all", "things")} | {"stuff": {"fn": none, "fp": none}}
    print_errors(groups | {"per_class": {"things": groups["all"], "road": groups["stuff"]}})
    told = capsys.readouterr().out
    assert "true segments that are missed" in told
    assert "in all" in told
    assert "poor shape" in told
    rows = {cells[1].strip(): cells[2:-1] for line in told.splitlines() if len(cells := line.split("│")) > 3}
    assert rows == {name: ["      3 ", "      1 ", "          2 "] for name in ("all", "things", "things (category)")}
    assert "false" not in told
