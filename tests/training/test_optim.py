"""The schedule at steps worked out by hand, what weight decay spares, and what an orthogonalized step is."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from panoptic.errors import InputError
from panoptic.training.optim import Muon, adamw_cosine, muon_cosine
from panoptic.training.orthogonal import (
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    _group_by_size,
    orthogonalize,
    orthogonalize_all,
)


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
        ({"lr": -0.1}, "^lr: expected at least 0, got -0.1"),
        ({"weight_decay": -1.0}, "^weight_decay: expected at least 0, got -1.0"),
        ({"warmup": 1.0}, r"^warmup: expected a number in \[0, 1\), got 1.0"),
        ({"beta2": 1.0}, r"^beta2: expected a number in \[0, 1\), got 1.0"),
        ({"warmup": -0.1}, r"^warmup: expected a number in \[0, 1\), got -0.1"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        adamw_cosine([nn.Parameter(torch.zeros(2))], 10, **{"lr": 0.1, "weight_decay": 0.0, "warmup": 0.0, **settings})


def iterated(value: float) -> float:
    """What becomes of a singular value: the quintic of Newton-Schulz over and over."""
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        value = a * value + b * value**3 + c * value**5
    return value


@pytest.mark.parametrize("shape", [(4, 4), (8, 30), (30, 8), (1, 5), (5, 1)])
@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e4])
def test_orthogonalized_is_the_iteration_on_singular_values(shape, scale):
    matrix = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    expected = u @ torch.diag((values / values.norm()).apply_(iterated)) @ v
    torch.testing.assert_close(orthogonalize(matrix).double(), expected, atol=2e-5, rtol=0.0)


def test_orthogonalized_directions_are_about_as_long_as_each_other():
    matrix = torch.randn(16, 64, generator=torch.Generator().manual_seed(1)) * torch.logspace(0, 2, 16)[:, None]
    assert torch.linalg.cond(matrix) > 50
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("decades", [0, 2, 4, 8])
def test_orthogonalizing_in_half_precision_stays_near_single(decades):
    # Singular values over many decades: what rounding makes of the smallest must not grow beyond the others.
    generator = torch.Generator().manual_seed(4)
    u, _, v = torch.linalg.svd(torch.randn(64, 300, generator=generator), full_matrices=False)
    values = torch.logspace(0, -decades, 64)
    half, single = (orthogonalize(u @ torch.diag(values) @ v, dtype) for dtype in (torch.bfloat16, torch.float32))
    assert half.dtype == torch.float32
    assert torch.linalg.matrix_norm(half, 2) < 1.25
    large = values > 0.01 * values.norm()  # of the others, a number of 8 bits knows little
    assert large.sum() >= 5
    directions = [(u.mT @ step @ v.mT)[large][:, large] for step in (half, single)]
    torch.testing.assert_close(*directions, atol=0.1, rtol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalizing_nothing_gives_nothing(dtype):
    assert torch.equal(orthogonalize(torch.zeros(3, 5), dtype), torch.zeros(3, 5))


def test_orthogonalizing_turns_with_the_matrix():
    generator = torch.Generator().manual_seed(2)
    matrix, turn = torch.randn(6, 9, generator=generator), torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    torch.testing.assert_close(orthogonalize(turn @ matrix), turn @ orthogonalize(matrix), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(orthogonalize(matrix.mT), orthogonalize(matrix).mT, atol=1e-5, rtol=0.0)


def gradients(parameter: torch.Tensor, steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(parameter.shape, generator=generator) for _ in range(steps)]


def run(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, steps: int = 5) -> torch.Tensor:
    """The parameter after a few steps along the same random gradients."""
    for gradient in gradients(parameter, steps):
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("half", [True, False])
def test_first_step_of_muon_by_hand(monkeypatch, half):
    monkeypatch.setattr("panoptic.training.optim.has_fast_bfloat16", lambda device: half)
    # The mean of gradients looked ahead points along the first gradient, whose two singular values are 0.6 and 0.8 of
    # its norm. The step is 0.2 * sqrt(3) of the orthogonalized matrix, times the rate; decay takes 0.1 * 0.5.
    parameter = nn.Parameter(torch.ones(2, 3))
    parameter.grad = torch.tensor([[6.0, 0.0, 0.0], [0.0, 8.0, 0.0]])
    Muon([parameter], lr=0.1, weight_decay=0.5).step()
    expected = torch.full((2, 3), 0.95)
    expected[0, 0] -= 0.1 * 0.2 * math.sqrt(3) * iterated(0.6)
    expected[1, 1] -= 0.1 * 0.2 * math.sqrt(3) * iterated(0.8)
    torch.testing.assert_close(parameter.detach(), expected, atol=2e-3 if half else 1e-6, rtol=0.0)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has Muon since 2.9")
def test_muon_agrees_with_pytorch_which_rounds_to_bfloat16():
    options = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.95}
    ours, theirs = nn.Parameter(torch.zeros(6, 20)), nn.Parameter(torch.zeros(6, 20))
    reference = torch.optim.Muon([theirs], **options, nesterov=True, adjust_lr_fn="match_rms_adamw")
    moved, expected = run(Muon([ours], **options), ours), run(reference, theirs)
    assert expected.abs().mean() > 0.05
    assert (moved - expected).abs().max() < 0.05 * expected.abs().max()


def test_what_is_not_orthogonalized_moves_as_under_adamw():
    for shape in [(7,), (4, 5), (2, 3, 3, 3)]:
        ours, theirs = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape))
        group = {"params": [ours], "orthogonalize": False, "beta2": 0.9}
        reference = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.2, betas=(0.9, 0.9))
        torch.testing.assert_close(run(Muon([group], lr=0.1, weight_decay=0.2), ours), run(reference, theirs))


@pytest.mark.parametrize("orthogonalized", [True, False])
def test_muon_does_not_see_the_order_in_memory(orthogonalized):
    results = []
    for order in (torch.contiguous_format, torch.channels_last):
        parameter = nn.Parameter(torch.ones(4, 3, 3, 3).to(memory_format=order))
        group = {"params": [parameter], "orthogonalize": orthogonalized}
        results.append(run(Muon([group], lr=0.1), parameter))
        assert parameter.is_contiguous(memory_format=order)
    torch.testing.assert_close(*results)


def test_muon_orthogonalizes_all_kernels_but_the_widest():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3), nn.Linear(4, 2))
    options = {"lr": 0.1, "weight_decay": 0.05, "warmup": 0.0, "vector_lr": 0.5, "beta2": 0.9, "largest": 108}
    optimizer, _ = muon_cosine(network.parameters(), 10, **options)
    orthogonal, wide, vectors = optimizer.param_groups
    assert [id(p) for p in orthogonal["params"]] == [id(network[0].weight), id(network[3].weight)]
    assert [id(p) for p in wide["params"]] == [id(network[2].weight)]
    assert all(p.ndim == 1 for p in vectors["params"])
    assert len(vectors["params"]) == 5
    assert [g["orthogonalize"] for g in optimizer.param_groups] == [True, False, False]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.05, 0.05, 0.0]
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.05, 0.05]
    assert [g["beta2"] for g in (wide, vectors)] == [0.9, 0.9]


def test_muon_resumes_in_the_middle(tmp_path):
    def start() -> tuple[nn.Module, torch.optim.Optimizer]:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        nn.init.constant_(network[0].weight, 0.5)
        return network, muon_cosine(network.parameters(), 10, lr=0.1, weight_decay=0.1, warmup=0.0)[0]

    def advance(network: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
            optimizer.step()

    network, optimizer = start()
    advance(network, optimizer, range(3))
    torch.save((network.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    resumed, again = start()
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.load_state_dict(weights)
    again.load_state_dict(state)
    for pair in ((network, optimizer), (resumed, again)):
        advance(*pair, range(3, 6))
    for unbroken, after in zip(network.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(unbroken, after)


def test_muon_takes_a_closure_and_leaves_what_has_no_gradient():
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer, _ = muon_cosine([used, unused], 10, lr=0.1, weight_decay=0.1, warmup=0.0)

    def closure():
        optimizer.zero_grad()
        loss = used.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert (used < 1).all()
    assert torch.equal(unused.detach(), torch.ones(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -0.1}, "^lr: expected at least 0, got -0.1"),
        ({"vector_lr": -1.0}, "^vector_lr: expected at least 0, got -1.0"),
        ({"largest": -1}, "^largest: expected at least 0, got -1"),
        ({"momentum": 1.0}, r"^momentum: expected a number in \[0, 1\), got 1.0"),
    ],
)
def test_settings_of_muon_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        muon_cosine([nn.Parameter(torch.zeros(2))], 10, **{"lr": 0.1, "weight_decay": 0.0, "warmup": 0.0, **settings})


def kernels() -> list[nn.Parameter]:
    """Kernels of two shapes of matrix, wide and tall, some laid out channels-last, and a vector."""
    generator = torch.Generator().manual_seed(5)
    shapes = [(6, 2, 3, 3), (6, 18), (6, 2, 3, 3), (8, 3), (8, 3), (4,)]
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    made[2] = made[2].contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(value) for value in made]


def moved(parameters: list[nn.Parameter], scaler: torch.amp.GradScaler | None = None, spoiled: int = -1) -> list:
    """The parameters after a few steps of Muon along their own squares; the gradients of one step may be infinite."""
    optimizer, _ = muon_cosine(parameters, 10, lr=0.05, weight_decay=0.1, warmup=0.0)
    for step in range(4):
        loss = sum((p**2).sum() for p in parameters)
        if step == spoiled:
            loss = loss * torch.inf
        optimizer.zero_grad()
        if scaler is None:
            loss.backward()
            if step != spoiled:
                optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    return [p.detach() for p in parameters]


def test_kernels_of_similar_size_move_together_as_they_do_alone(monkeypatch):
    alone = moved(kernels())
    monkeypatch.setattr("panoptic.training.orthogonal._one_by_one", lambda device: False)
    for ours, expected in zip(moved(kernels()), alone, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_matrices_of_similar_size_are_orthogonalized_together(monkeypatch):
    generator = torch.Generator().manual_seed(7)
    shapes = [(3, 8), (70, 20), (64, 200), (100, 90), (65, 300), (2, 2)]
    given = [torch.randn(shape, generator=generator) for shape in shapes]
    assert _group_by_size([m if m.shape[0] <= m.shape[1] else m.mT for m in given]) == [[0, 1, 2, 5], [3, 4]]
    expected = orthogonalize_all(given)
    monkeypatch.setattr("panoptic.training.orthogonal._one_by_one", lambda device: False)
    for ours, alone in zip(orthogonalize_all(given), expected, strict=True):
        torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spoiled", [-1, 0, 2])
def test_muon_unscales_gradients_and_leaves_out_a_step_with_an_overflow(monkeypatch, spoiled):
    monkeypatch.setattr("panoptic.training.optim.has_fast_bfloat16", lambda device: False)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    asked = []
    monkeypatch.setattr(torch.Tensor, "item", lambda self: asked.append(self))
    ours = moved(kernels(), scaler, spoiled)
    assert asked == []  # nothing waits for a value
    monkeypatch.undo()
    assert scaler.get_scale() == (1024.0 if spoiled < 0 else 512.0)
    monkeypatch.setattr("panoptic.training.optim.has_fast_bfloat16", lambda device: False)
    for value, expected in zip(ours, moved(kernels(), None, spoiled), strict=True):
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
