"""``python -m panoptic.resolution``, and predictions at a reduced resolution, at a tiny size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.commands.small_runs import run


def test_a_rule_is_found_on_val_stored_and_applied(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    checkpoint = tmp_path / "last.ckpt"
    shutil.copy(trained / "checkpoints" / "last.ckpt", checkpoint)
    before = torch.load(checkpoint, weights_only=True)
    for command in (["resolution", "split=test"], ["evaluate", "split=val", "resolution=adaptive"]):
        with pytest.raises(SystemExit):  # there is none yet
            run(command[0], f"checkpoint={checkpoint}", *command[1:], "output=out")
        assert "expected a checkpoint with a threshold for resolution=adaptive" in capsys.readouterr().err
        assert not Path("out").exists()

    run("resolution", f"checkpoint={checkpoint}", "output=val", "drop=0.5", "data.val_size=5")
    told = capsys.readouterr().out
    found = json.loads(Path("val/resolution.json").read_text())
    assert (found["split"], found["images"], found["drop"], found["first"]) == ("val", 5, 0.5, 0.5)
    assert [row["resolution"] for row in found["rows"]] == ["0.5", "0.75", "1", "adaptive"]
    full, adaptive = found["rows"][2:]
    assert (full["time"], full["full"]) == (1, 1)
    assert adaptive["pq"] >= full["pq"] - 0.5
    assert f"threshold of the object density {found['threshold']:.3f}, stored in the checkpoint" in told

    after = torch.load(checkpoint, weights_only=True)
    rule = {"first": 0.5, "threshold": found["threshold"], "drop": 0.5}
    assert after["panoptic"] == before["panoptic"] | {"resolution": rule}
    assert all(torch.equal(after["state_dict"][name], value) for name, value in before["state_dict"].items())

    run("resolution", f"checkpoint={checkpoint}", "output=test", "split=test")
    applied = json.loads(Path("test/resolution.json").read_text())
    assert (applied["threshold"], applied["drop"]) == (found["threshold"], None)

    options = ("split=val", "data.val_size=5", "boundaries=false")
    run("evaluate", f"checkpoint={checkpoint}", "resolution=adaptive", "output=scored", *options)
    scored = json.loads(Path("scored/scores.json").read_text())
    assert 100 * scored["all"]["pq"] == pytest.approx(adaptive["pq"], abs=1e-6)
    assert scored["resolution"] == "adaptive"
    run("evaluate", f"checkpoint={checkpoint}", "resolution=0.5", "output=half", *options)
    half = json.loads(Path("half/scores.json").read_text())["all"]["pq"]
    assert 100 * half == pytest.approx(found["rows"][0]["pq"], abs=1e-6)

    Image.new("RGB", (75, 41), (90, 120, 30)).save("image.png")
    run(
        "predict",
        f"checkpoint={checkpoint}",
        "input=image.png",
        "resolution=adaptive",
        "output=predicted",
        "visualize=false",
    )
    (png,) = Path("predicted").rglob("*.png")
    with Image.open(png) as image:
        assert image.size == (75, 41)


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("evaluate", ["resolution=2"], "resolution: expected adaptive or a number in (0, 1], got 2"),
        ("evaluate", ["resolution=half"], "resolution: expected adaptive or a number in (0, 1], got 'half'"),
        ("evaluate", ["resolution=0.5", "oracle=true"], "resolution: expected 1 with oracle and shuffles, got 0.5"),
        ("evaluate", ["resolution=0.5", "tta=flip"], "resolution: expected 1 with test-time augmentation, got 0.5"),
        ("resolution", ["first=1"], "first: expected a factor below 1, got 1"),
        ("resolution", ["drop=-1"], "drop: expected at least 0, got -1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_out_of_range_are_named(
    trained: Path, command: str, options: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(command, f"checkpoint={trained}/checkpoints/last.ckpt", "output=out", *options)
    assert stop.value.code == 1
    assert message in capsys.readouterr().err
    assert not Path("out").exists()
