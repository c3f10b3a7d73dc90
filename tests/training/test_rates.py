"""Learning rates that modules ask for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from panoptic.training import adamw_cosine, muon_cosine


class Gate(nn.Linear):
    adamw_lr = 0.003


@pytest.mark.parametrize("rate", [0, 1, 0.5])
def test_a_rate_may_be_a_whole_number(rate):
    network = nn.Sequential(nn.Linear(3, 4), Gate(4, 2))
    network[1].adamw_lr = rate
    optimizer, _ = muon_cosine(network, 10, lr=0.1, weight_decay=0.05, warmup=0.0)
    group = next(g for g in optimizer.param_groups if any(p is network[1].weight for p in g["params"]))
    assert (group["lr"], group["orthogonalize"]) == (rate, False)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_module_has_the_learning_rate_that_it_asks_for(kind):
    """Under AdamW, whatever the optimizer of the rest; in the schedule and the decay of the others."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(Gate(4, 2), nn.ReLU()), nn.Linear(2, 2))
    make = {"adamw": adamw_cosine, "muon": muon_cosine}[kind]
    optimizer, schedule = make(network, 10, lr=0.1, weight_decay=0.05, warmup=0.0)
    own = [group for group in optimizer.param_groups if group["lr"] == 0.003]
    assert [[id(p) for p in group["params"]] for group in own] == [[id(network[1][0].weight)], [id(network[1][0].bias)]]
    assert [group["weight_decay"] for group in own] == [0.05, 0.0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6
    if kind == "muon":
        assert not any(group["orthogonalize"] for group in own)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = network[1][0].weight.detach().clone()
    optimizer.step()
    torch.testing.assert_close(network[1][0].weight.detach(), before * (1 - 0.003 * 0.05) - 0.003)  # AdamW's first step
    for _ in range(5):
        schedule.step()
    assert own[0]["lr"] == pytest.approx(0.0015)  # half of the cosine


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_module_has_the_factor_of_the_learning_rate_that_it_asks_for(kind):
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    network[0].lr_factor = 0.1
    make = {"adamw": adamw_cosine, "muon": muon_cosine}[kind]
    optimizer, _ = make(network, 10, lr=0.5, weight_decay=0.0, warmup=0.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    vector = 0.5 if kind == "adamw" else 0.4 * 0.5
    assert rates[id(network[0].weight)] == pytest.approx(0.05)
    assert rates[id(network[0].bias)] == pytest.approx(0.1 * vector)
    assert rates[id(network[1].weight)] == pytest.approx(0.5)
    assert rates[id(network[1].bias)] == pytest.approx(vector)
