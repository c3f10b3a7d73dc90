"""Losses and gradients that are not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from panoptic.commands.app import command
from panoptic.commands.compare import compare
from panoptic.losses import PanopticLoss
from panoptic.training.replay import replay
from tests.reliability.tiny_runs import TINY, history, run, same, summary, weights

ONE_EPOCH = (*TINY, "trainer.max_epochs=2", "hydra.run.dir=run")


def broken_at(steps: set[int], monkeypatch: pytest.MonkeyPatch, term: str = "offset") -> None:
    """A loss with a term that is not a number at some training steps."""
    seen = 0

    def forward(self: PanopticLoss, outputs, targets, *levels):
        nonlocal seen
        terms = original(self, outputs, targets, *levels)
        if not outputs.semantic.requires_grad:
            return terms
        seen += 1
        if seen - 1 in steps:
            terms |= {name: terms[name] * math.nan for name in (term, "total")}
        return terms

    original = PanopticLoss.forward
    monkeypatch.setattr(PanopticLoss, "forward", forward)


def finite(state: dict[str, torch.Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in state.values())


@pytest.mark.slow
def test_a_step_that_is_not_finite_changes_no_weight_and_is_counted(monkeypatch):
    broken_at({1, 2, 6}, monkeypatch)
    run(*ONE_EPOCH)
    assert summary("run")["skipped_steps"] == 3
    assert finite(weights("run"))
    steps = torch.load("run/checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    counts = {int(state["steps"]) for state in steps.values() if "steps" in state}
    assert counts == {5}


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_three_in_a_row_end_the_run_with_what_is_to_know(optimizer, monkeypatch, capsys):
    settings = ONE_EPOCH if optimizer == "muon" else (*ONE_EPOCH, "optimizer=adamw")
    with monkeypatch.context() as patch:
        broken_at({5, 6, 7}, patch)
        with pytest.raises(SystemExit) as ended:
            run(*settings)
    assert ended.value.code == 3
    said = capsys.readouterr().err
    about = json.loads(Path("run/nonfinite.json").read_text())
    assert (about["epoch"], about["step"], about["term"], about["in_a_row"]) == (2, 5, "offset", 3)
    assert len(about["keys"]) == len(about["images"]) == 2
    assert f"offset: expected finite numbers, got others in epoch 2, step 5, images {about['images'][0]}, " in said
    assert [e["event"] for e in history("run")] == ["start", "nonfinite"]
    assert not Path("run/summary.json").exists()
    content = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert content["global_step"] == 4
    assert finite(content["state_dict"])
    assert finite(weights("run", "best"))
    terms = replay("run/nonfinite.ckpt")  # here the loss is sound, and so is what it is computed from
    assert set(terms) == {"semantic", "center", "offset", "complexity", "dice", "total", "gradient"}
    assert all(math.isfinite(value) for value in terms.values())


def test_the_replayed_step_has_the_batch_and_the_weights_of_the_run(monkeypatch):
    losses = []

    def forward(self, outputs, targets, *levels):
        terms = original(self, outputs, targets, *levels)
        if outputs.semantic.requires_grad:
            losses.append({name: float(value.detach()) for name, value in terms.items()})
            if len(losses) > 5:
                terms["total"] = terms["total"] * math.inf
        return terms

    original = PanopticLoss.forward
    with monkeypatch.context() as patch:
        patch.setattr(PanopticLoss, "forward", forward)
        with pytest.raises(SystemExit):
            run(*ONE_EPOCH)
    terms = replay("run/nonfinite.ckpt")
    assert terms.pop("gradient") > 0
    assert terms == pytest.approx(losses[5], rel=1e-4)  # another memory format sums up in another order


@pytest.mark.soak
def test_what_is_not_counted_does_not_end_the_run(monkeypatch):
    broken_at(set(range(2, 8)), monkeypatch)
    run(*ONE_EPOCH, "trainer.nonfinite=null")
    assert summary("run")["skipped_steps"] == 6


@pytest.mark.soak
def test_a_rate_far_too_high_ends_the_run_and_is_left_out_of_comparisons(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*TINY, "optimizer.lr=1e18", "optimizer.vector_lr=1e18", "hydra.run.dir=runs/bad")
    assert ended.value.code == 3
    assert "expected finite" in capsys.readouterr().err
    assert Path("runs/bad/nonfinite.json").is_file()
    for path in Path("runs/bad/checkpoints").glob("*"):
        assert finite(torch.load(path, weights_only=True)["state_dict"])
    run(*TINY, "trainer.max_epochs=1", "hydra.run.dir=runs/good")
    command("compare", compare, ("runs=runs", "output=report"))
    said = capsys.readouterr().out + Path("report/report.md").read_text()
    assert "1 run was ended by numbers that are not finite" in said


@pytest.mark.soak
def test_steps_that_are_finite_are_as_without_looking(unbroken, monkeypatch):
    from panoptic.training.callbacks.finite import Finite

    monkeypatch.setattr(Finite, "on_before_optimizer_step", lambda *_: None)
    run(*TINY, "hydra.run.dir=run")
    assert same(weights("run"), weights(unbroken))
