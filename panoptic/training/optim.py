"""Optimizers with a cosine schedule.

A module of the network with the attribute ``adamw_lr`` is updated by AdamW with that peak learning rate, whatever the
optimizer of the rest: small layers that weigh features against each other need small steps. The learning rate of one
with the attribute ``lr_factor`` is multiplied by it: pretrained layers need smaller steps than new ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.adamw import adamw
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from panoptic.errors import ArgumentError, expect_at_least
from panoptic.training.orthogonal import orthogonalize_all
from panoptic.utils.precision import has_fast_bfloat16


def adamw_cosine(
    trained: nn.Module | Iterable[Tensor],
    total_steps: int,
    *,
    lr: float,
    weight_decay: float,
    warmup: float,
    beta2: float = 0.999,
) -> tuple[Optimizer, LRScheduler]:
    """Create AdamW (Loshchilov and Hutter 2019) with linear warmup and a cosine schedule to 0.

    Weight decay does not apply to vectors and scalars: it would only pull norms and biases to 0.

    Args:
        trained: Network, or its parameters.
        total_steps: Number of steps of the whole run.
        lr: Peak learning rate.
        weight_decay: Weight decay of matrices and kernels.
        warmup: Share of the steps for linear warmup, in [0, 1).
        beta2: Decay of the mean of squared gradients. Values below the usual 0.999 suit short runs.

    Raises:
        InputError: If ``warmup`` or ``beta2`` is not in [0, 1), or ``lr`` or ``weight_decay`` is negative.
    """
    expect_at_least(0, lr=lr, weight_decay=weight_decay)
    _expect_below_one(warmup=warmup, beta2=beta2)
    groups: list[dict[str, Any]] = []
    for (rate, factor), parameters in _by_rate(trained).items():
        options = {"lr": factor * lr if rate is None else rate}
        groups.append({"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, **options})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, **options})
    optimizer = AdamW([group for group in groups if group["params"]], lr=lr, betas=(0.9, beta2), fused=True)
    return optimizer, _cosine(optimizer, total_steps, warmup)


def muon_cosine(
    trained: nn.Module | Iterable[Tensor],
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
    """Create :class:`Muon` with linear warmup and a cosine schedule to 0, for short runs from random weights.

    Args:
        trained: Network, or its parameters.
        total_steps: Number of steps of the whole run.
        lr: Peak learning rate of orthogonalized kernels.
        weight_decay: Weight decay of matrices and kernels.
        warmup: Share of the steps for linear warmup, in [0, 1).
        beta2: Decay of the mean of squared gradients, for parameters updated by AdamW.
        momentum: Decay of the mean of gradients, for orthogonalized kernels.
        vector_lr: Learning rate of parameters updated by AdamW, as a multiple of ``lr``.
        largest: Largest number of elements of orthogonalized kernels. Larger ones are updated by AdamW: the cost of a
            step grows with the cube of their width, and only few are that wide.

    Raises:
        InputError: If ``warmup``, ``beta2`` or ``momentum`` is not in [0, 1), or another number is negative.
    """
    expect_at_least(
        0,
        lr=lr,
        weight_decay=weight_decay,
        vector_lr=vector_lr,
        largest=largest,
    )
    _expect_below_one(warmup=warmup, beta2=beta2, momentum=momentum)
    groups: list[dict[str, Any]] = []
    for (rate, factor), parameters in _by_rate(trained).items():
        adam = {"orthogonalize": False, "lr": vector_lr * factor * lr if rate is None else rate, "beta2": beta2}
        kernels = [p for p in parameters if p.ndim > 1]
        orthogonalized = [p for p in kernels if rate is None and p.numel() <= largest]
        groups.append({"params": orthogonalized, "lr": factor * lr})
        groups.append({"params": [p for p in kernels if rate is not None or p.numel() > largest], **adam})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], **adam, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    optimizer = Muon(groups, lr=lr, weight_decay=weight_decay, momentum=momentum)
    return optimizer, _cosine(optimizer, total_steps, warmup)


def _by_rate(trained: nn.Module | Iterable[Tensor]) -> dict[tuple[float | None, float], list[Tensor]]:
    """Group trainable parameters by what their modules ask for: a learning rate or ``None``, and a factor of it."""
    rates: dict[Tensor, float] = {}
    factors: dict[Tensor, float] = {}
    if isinstance(trained, nn.Module):
        for module in trained.modules():
            if (rate := getattr(module, "adamw_lr", None)) is not None:
                rates |= dict.fromkeys(module.parameters(), float(rate))
            if (factor := getattr(module, "lr_factor", None)) is not None:
                factors |= dict.fromkeys(module.parameters(), float(factor))
        trained = trained.parameters()
    groups: dict[tuple[float | None, float], list[Tensor]] = {(None, 1.0): []}
    for parameter in trained:
        if parameter.requires_grad:
            groups.setdefault((rates.get(parameter), factors.get(parameter, 1.0)), []).append(parameter)
    return groups


class Muon(Optimizer):
    """Muon (Jordan et al. 2024): momentum with orthogonalized updates of kernels, and AdamW for other parameters.

    An update moves all directions of a kernel by similar amounts, while that of Adam is dominated by a few directions.
    Its magnitude matches that of AdamW at the same learning rate (Liu et al. 2025, "Muon is scalable for LLM
    training").

    The implementations of PyTorch and timm always orthogonalize in bfloat16, which is very slow on processors that
    emulate it; this one then uses single precision. It iterates on the Gram matrix, which is up to nine times smaller
    than the kernel. On a GPU, kernels of similar size are orthogonalized in a batch, since single ones leave it idle
    between launches. Under a ``torch.amp.GradScaler``, gradients are unscaled and steps with an overflow skipped on the
    device, without synchronization.

    Args:
        groups: Parameters, or parameter groups with the options ``orthogonalize`` (else AdamW), ``lr``,
            ``weight_decay``, ``momentum`` and ``beta2``.
        lr: Default learning rate of the groups.
        weight_decay: Default decoupled weight decay of the groups.
        momentum: Default decay of the mean of gradients.
    """

    def __init__(
        self,
        groups: Iterable[Tensor] | list[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "beta2": 0.99, "orthogonalize": True}
        super().__init__(groups, options)

    _step_supports_amp_scaling = True  # GradScaler then sets grad_scale and found_inf during a step

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform an optimization step.

        Args:
            closure: Function that recomputes gradients and returns the loss.

        Returns:
            Loss of the closure, ``None`` without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            (self._step_orthogonalized if group["orthogonalize"] else self._step_adamw)(parameters, group)
        return loss

    def _step_orthogonalized(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        if not parameters:
            return
        scale, overflow = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["mean"] = torch.zeros_like(parameter)
        means = [self.state[parameter]["mean"] for parameter in parameters]
        gradients: tuple[Tensor, ...] | list[Tensor] = cast("list[Tensor]", [p.grad for p in parameters])
        if scale is not None:
            gradients = torch._foreach_mul(gradients, scale.float().reciprocal())
        decay, keep = 1 - group["lr"] * group["weight_decay"], None
        if overflow is not None:  # replacing gradients by the mean leaves the mean unchanged
            gradients = [torch.where(overflow > 0, mean, g) for mean, g in zip(means, gradients, strict=True)]
            keep = 1 - overflow
            decay = 1 - group["lr"] * group["weight_decay"] * keep
        torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
        lookahead = torch._foreach_lerp(gradients, means, group["momentum"])  # Nesterov momentum
        torch._foreach_mul_(parameters, decay)
        # The order of columns does not matter; the order in memory avoids copies.
        orders = [[0, *(d for d in _order_in_memory(p) if d != 0)] for p in parameters]
        updates = [update.permute(order) for update, order in zip(lookahead, orders, strict=True)]
        kernels = [parameter.permute(order) for parameter, order in zip(parameters, orders, strict=True)]
        dtype = torch.bfloat16 if has_fast_bfloat16(parameters[0].device.type) else torch.float32
        steps = orthogonalize_all([update.flatten(1) for update in updates], dtype)
        if keep is not None:
            torch._foreach_mul_(steps, keep)
        by_length: dict[int, list[int]] = {}
        for i, step in enumerate(steps):
            by_length.setdefault(max(step.shape), []).append(i)
        for length, indices in by_length.items():
            shaped = [steps[i].view(kernels[i].shape) for i in indices]
            rate = -group["lr"] * 0.2 * math.sqrt(length)
            torch._foreach_add_([kernels[i] for i in indices], shaped, alpha=rate)

    def _step_adamw(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
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
        gradients = [gradient.contiguous() for gradient in gradients]  # the fused step assumes this order
        options = {"beta1": 0.9, "beta2": group["beta2"], "eps": 1e-8, "lr": group["lr"], "maximize": False}
        options |= {"weight_decay": group["weight_decay"], "amsgrad": False, "fused": True}
        options |= {name: getattr(self, name, None) for name in ("grad_scale", "found_inf")}
        adamw(parameters, gradients, means, squares, [], steps, **options)


def _order_in_memory(kernel: Tensor) -> list[int]:
    """Return the dimensions from the slowest to the fastest; in other orders, the fused step makes copies."""
    strides = kernel.stride()
    return sorted(range(kernel.ndim), key=lambda d: (-strides[d], d))


def _expect_below_one(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number < 1:
            raise ArgumentError(name, f"expected a number in [0, 1), got {number}")


def _cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    """Create a schedule with linear warmup over a share of the steps and half a cosine to 0."""
    warmup_steps = warmup * total_steps

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return 0.5 * (1 + math.cos(math.pi * min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)))

    return LambdaLR(optimizer, factor)
