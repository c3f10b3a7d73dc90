"""Tables of the fusion study: conclusions by hand, and how weights vary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.study import conclusion, liveness


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
