"""Optimizers with a cosine schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.adamw import adamw
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from panoptic.errors import InputError, expect_at_least
from panoptic.training.orthogonal import orthogonalize_all
from panoptic.utils.precision import has_fast_bfloat16


def adamw_cosine(
    parameters: Iterable[Tensor],
    total_steps: int,
    *,
    lr: float,
    weight_decay: float,
    warmup: float,
    beta2: float = 0.999,
) -> tuple[Optimizer, LRScheduler]:
    """AdamW (Loshchilov and Hutter 2019) whose learning rate rises linearly, then falls to 0 along half a cosine.

    Weight decay spares vectors and scalars: it would only pull norms and biases to 0.

    Args:
        parameters: to train.
        total_steps: of the whole run.
        lr: the highest learning rate.
        weight_decay: of matrices and kernels.
        beta2: decay of the mean of squared gradients; lower than the usual 0.999 suits short runs.
        warmup: share of the steps in which the rate rises, 0..1.

    Raises:
        InputError: if ``warmup`` is not in [0, 1), or ``lr`` or ``weight_decay`` is negative.
    """
    expect_at_least(0, optimizer__lr=lr, optimizer__weight_decay=weight_decay)
    _expect_below_one(warmup=warmup, beta2=beta2)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = AdamW([group for group in groups if group["params"]], lr=lr, betas=(0.9, beta2), fused=True)
    return optimizer, _cosine(optimizer, total_steps, warmup)


def muon_cosine(
    parameters: Iterable[Tensor],
    total_steps: int,
    *,
    lr: float,
    weight_decay: float,
    warmup: float,
    beta2: float = 0.99,
    momentum: float = 0.95,
    vector_lr: float = 0.4,
    largest: int = 1_000_000,
) -> tuple[Optimizer, LRScheduler]:
    """:class:`Muon`, whose learning rate rises linearly, then falls to 0 along half a cosine.

    Meant for short runs from random weights.

    Args:
        parameters: to train.
        total_steps: of the whole run.
        lr: the highest learning rate of kernels.
        weight_decay: of matrices and kernels.
        warmup: share of the steps in which the rate rises, 0..1.
        beta2: decay of the mean of squared gradients, for what is left to AdamW.
        momentum: decay of the mean of gradients, for what is orthogonalized.
        vector_lr: learning rate of what is left to AdamW, as a multiple of ``lr``.
        largest: kernels of more elements than this are left to AdamW: the cost of a step grows with the cube of their
            width, and the widest are few.

    Raises:
        InputError: if ``warmup``, ``beta2`` or ``momentum`` is not in [0, 1), or another number is negative.
    """
    expect_at_least(
        0,
        optimizer__lr=lr,
        optimizer__weight_decay=weight_decay,
        optimizer__vector_lr=vector_lr,
        optimizer__largest=largest,
    )
    _expect_below_one(warmup=warmup, beta2=beta2, momentum=momentum)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    kernels = [p for p in trained if p.ndim > 1]
    adam = {"orthogonalize": False, "lr": vector_lr * lr, "beta2": beta2}
    groups = [
        {"params": [p for p in kernels if p.numel() <= largest]},
        {"params": [p for p in kernels if p.numel() > largest], **adam},
        {"params": [p for p in trained if p.ndim <= 1], **adam, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = Muon(groups, lr=lr, weight_decay=weight_decay, momentum=momentum)
    return optimizer, _cosine(optimizer, total_steps, warmup)


class Muon(Optimizer):
    """Momentum whose steps are orthogonalized, layer by layer (Jordan et al. 2024), with AdamW for the rest.

    A step moves all directions of a kernel alike, where that of Adam mostly follows its few strongest ones. It has the
    size that a step of AdamW has at the same learning rate (Liu et al. 2025, "Muon is scalable for LLM training").

    The implementations of PyTorch and timm orthogonalize in bfloat16 alone, which is very slow on a processor that does
    not compute in it; this one takes single precision there. It iterates on the kernel's Gram matrix, which is up to
    nine times smaller than the kernel. On a GPU, kernels of similar size are orthogonalized together, since one by one
    they would leave it idle between launches. Where a ``torch.amp.GradScaler`` makes the step, gradients are unscaled
    and a step with an overflow is left out on the device, so that the host waits for nothing.

    Args:
        groups: of parameters, each with options: ``orthogonalize`` (else AdamW), ``lr``, ``weight_decay``,
            ``momentum``, ``beta2``.
        lr: learning rate where a group has none.
        weight_decay: decoupled, where a group has none.
        momentum: decay of the mean of gradients.
    """

    def __init__(
        self, groups: Iterable[Tensor] | list[dict], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "beta2": 0.99, "orthogonalize": True}
        super().__init__(groups, options)

    _step_supports_amp_scaling = True  # GradScaler then sets grad_scale and found_inf for the time of a step

    @torch.no_grad()
    def step(self, closure=None):
        """One step; ``closure`` computes the loss anew, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            (self._orthogonalized if group["orthogonalize"] else self._adamw)(trained, group)
        return loss

    def _orthogonalized(self, parameters: list[Tensor], group: dict) -> None:
        if not parameters:
            return
        scale, overflow = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["mean"] = torch.zeros_like(parameter)
        means = [self.state[parameter]["mean"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        if scale is not None:
            gradients = torch._foreach_mul(gradients, scale.float().reciprocal())
        decay, kept = 1 - group["lr"] * group["weight_decay"], None
        if overflow is not None:  # with the mean for a gradient, the mean stays as it is
            gradients = [torch.where(overflow > 0, mean, g) for mean, g in zip(means, gradients, strict=True)]
            kept = 1 - overflow
            decay = 1 - group["lr"] * group["weight_decay"] * kept
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, means, group["momentum"])  # Nesterov's look ahead
        torch._foreach_mul_(parameters, decay)
        # Columns may come in any order: in that of the memory, nothing is copied.
        orders = [[0, *(d for d in _order_in_memory(p) if d != 0)] for p in parameters]
        ahead = [kernel.permute(order) for kernel, order in zip(ahead, orders, strict=True)]
        kernels = [parameter.permute(order) for parameter, order in zip(parameters, orders, strict=True)]
        dtype = torch.bfloat16 if has_fast_bfloat16(parameters[0].device.type) else torch.float32
        steps = orthogonalize_all([kernel.flatten(1) for kernel in ahead], dtype)
        if kept is not None:
            torch._foreach_mul_(steps, kept)
        by_length: dict[int, list[int]] = {}
        for i, step in enumerate(steps):
            by_length.setdefault(max(step.shape), []).append(i)
        for length, places in by_length.items():
            moved = [steps[i].view(kernels[i].shape) for i in places]
            rate = -group["lr"] * 0.2 * math.sqrt(length)
            torch._foreach_add_([kernels[i] for i in places], moved, alpha=rate)

    def _adamw(self, parameters: list[Tensor], group: dict) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["steps"] = torch.zeros((), device=parameter.device)
        states = [self.state[parameter] for parameter in parameters]
        means, squares, steps = ([state[name] for state in states] for name in ("mean", "square", "steps"))
        orders = [_order_in_memory(parameter) for parameter in parameters]
        columns = (parameters, [parameter.grad for parameter in parameters], means, squares)
        parameters, gradients, means, squares = (
            [tensor.permute(order) if len(order) > 1 else tensor for tensor, order in zip(column, orders, strict=True)]
            for column in columns
        )
        gradients = [gradient.contiguous() for gradient in gradients]  # the fused step takes their order for granted
        options = {"beta1": 0.9, "beta2": group["beta2"], "eps": 1e-8, "lr": group["lr"], "maximize": False}
        options |= {"weight_decay": group["weight_decay"], "amsgrad": False, "fused": True}
        options |= {name: getattr(self, name, None) for name in ("grad_scale", "found_inf")}
        adamw(parameters, gradients, means, squares, [], steps, **options)


def _order_in_memory(kernel: Tensor) -> list[int]:
    """Dimensions from the slowest to the fastest: in any other order, the fused step makes copies."""
    return sorted(range(kernel.ndim), key=lambda d: (-kernel.stride(d), d))


def _expect_below_one(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number < 1:
            raise InputError(f"optimizer.{name}: expected a number in [0, 1), got {number}")


def _cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    """The rate rises linearly over a share of the steps, then falls to 0 along half a cosine."""
    rising = warmup * total_steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min((step - rising) / max(total_steps - rising, 1), 1.0)))

    return LambdaLR(optimizer, factor)
