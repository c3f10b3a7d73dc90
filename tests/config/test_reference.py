"""The reference of the configuration, docs/configuration.md."""

from __future__ import annotations

import re

import pytest

from benchmarks import configuration
from benchmarks.configuration import PAGE, page
from panoptic.config.overrides import _keys
from panoptic.config.schema import TrainConfig
from panoptic.models import SemanticHead


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "python -m benchmarks.configuration writes it anew"


def rows_of(text: str) -> dict[str, str]:
    """Type, default and meaning by key."""
    return dict(re.findall(r"(?m)^\| `([\w.]+)` \| (.*) \|$", text))


def test_every_key_has_a_row() -> None:
    rows = rows_of(PAGE.read_text().split("## Largest values")[0])
    groups = {group.replace("/", ".") for group in configuration.GROUPS}
    nodes = {key.rpartition(".")[0] for key in rows}
    assert {key for key in _keys(TrainConfig, "") if key not in groups | nodes} <= rows.keys()
    for key, row in rows.items():
        kind, default, meaning = row.split(" | ")
        assert kind, key
        assert default, key
        assert re.fullmatch(r"[A-Z`*].*\.", meaning), key


def test_rows_known_by_hand() -> None:
    rows = rows_of(PAGE.read_text().split("## Largest values")[0])
    assert rows["model.complexity.window"].startswith("integer | that of `codec.window` | Side of the window")
    assert rows["optimizer.warmup"].startswith("number | `0.02` (adamw); `0.1` (muon) | ")
    assert rows["data.crop"].startswith("list of integers or null | `[512,1024]` (")
    assert rows["model.fpn.top_down"].startswith("true or false | `true` (full); `false` (small) | ")
    assert "| `checkpoint` | text | required | " in PAGE.read_text()


def test_a_key_without_a_meaning_is_an_error() -> None:
    key = configuration.Key("instance_head.strange", int, TrainConfig, 1)
    assert configuration._meaning(key, None, {"instance_head.strange": "odd cells"}) == "Odd cells."
    with pytest.raises(ValueError, match=r"TrainConfig\.strange: expected a docstring or a comment"):
        configuration._meaning(key, SemanticHead, {})
