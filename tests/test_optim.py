"""The schedule at steps worked out by hand, and what weight decay spares."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from panoptic.errors import InputError
from panoptic.optim import adamw_cosine


def rates(total_steps: int, warmup: float, steps: int, lr: float = 2.0) -> list[float]:
    """The learning rate of each step."""
    parameter = nn.Parameter(torch.zeros(2, 2))
    optimizer, schedule = adamw_cosine([parameter], total_steps, lr=lr, weight_decay=0.0, warmup=warmup)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        parameter.grad = torch.ones(2, 2)
        optimizer.step()
        schedule.step()
    return values


def test_rises_then_falls_by_hand():
    # 4 of 20 steps rise: 1/5, 2/5, 3/5, 4/5 of the rate, then the whole. Half of the 16 that fall later it is half,
    # a quarter of them later (1 + cos 45°) / 2.
    values = rates(20, 0.2, 21)
    assert values[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert values[8] == pytest.approx(1 + math.sqrt(0.5))
    assert values[12] == pytest.approx(1.0)
    assert values[16] == pytest.approx(1 - math.sqrt(0.5))
    assert values[20] == pytest.approx(0.0, abs=1e-12)


def test_without_warmup_it_starts_at_the_top():
    assert rates(4, 0.0, 4) == pytest.approx([2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)])


@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("total_steps", [1, 7, 100])
def test_never_zero_before_the_end_nor_above_the_rate(total_steps, warmup):
    values = rates(total_steps, warmup, total_steps)
    assert all(0 < value <= 2.0 for value in values)
    top = values.index(max(values))
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)


def test_stays_at_zero_beyond_the_end():
    assert rates(4, 0.25, 8)[4:] == pytest.approx([0.0] * 4, abs=1e-12)


def test_decay_spares_vectors_and_scalars():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    scalar = nn.Parameter(torch.tensor(1.0))
    frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    optimizer, _ = adamw_cosine([*network.parameters(), scalar, frozen], 10, lr=0.1, weight_decay=0.05, warmup=0.0)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert [id(p) for p in decayed["params"]] == [id(network[0].weight), id(network[2].weight)]
    expected = [network[0].bias, network[1].weight, network[1].bias, network[2].bias, scalar]
    assert [id(p) for p in spared["params"]] == [id(p) for p in expected]


def test_decay_of_one_step_by_hand():
    # With a gradient of 0 only decay moves a weight: by a factor of 1 - 0.1 * 0.5.
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer, _ = adamw_cosine([matrix, vector], 10, lr=0.1, weight_decay=0.5, warmup=0.0)
    for parameter in (matrix, vector):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), 0.95))
    assert torch.equal(vector.detach(), torch.ones(2))


@pytest.mark.parametrize("shape", [(2, 2), (2,)])
def test_one_kind_of_parameters_alone(shape):
    optimizer, _ = adamw_cosine([nn.Parameter(torch.zeros(shape))], 10, lr=0.1, weight_decay=0.5, warmup=0.0)
    assert len(optimizer.param_groups) == 1


def test_resumes_in_the_middle():
    parameter = nn.Parameter(torch.zeros(2, 2))
    _, first = adamw_cosine([parameter], 20, lr=2.0, weight_decay=0.0, warmup=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the schedule alone is stepped
        for _ in range(7):
            first.step()
        _, second = adamw_cosine([parameter], 20, lr=2.0, weight_decay=0.0, warmup=0.2)
        second.load_state_dict(first.state_dict())
        first.step()
        second.step()
    assert second.get_last_lr() == first.get_last_lr() == [pytest.approx(1 + math.sqrt(0.5))]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -0.1}, "optimizer.lr: expected at least 0, got -0.1"),
        ({"weight_decay": -1.0}, "optimizer.weight_decay: expected at least 0, got -1.0"),
        ({"warmup": 1.0}, r"optimizer.warmup: expected a share of the steps in \[0, 1\), got 1.0"),
        ({"warmup": -0.1}, r"optimizer.warmup: expected a share of the steps in \[0, 1\), got -0.1"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        adamw_cosine([nn.Parameter(torch.zeros(2))], 10, **{"lr": 0.1, "weight_decay": 0.0, "warmup": 0.0, **settings})
