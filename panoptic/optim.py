"""AdamW with a cosine schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from panoptic.errors import InputError, expect_at_least


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
    if not 0 <= beta2 < 1:
        raise InputError(f"optimizer.beta2: expected a number in [0, 1), got {beta2}")
    if not 0 <= warmup < 1:
        raise InputError(f"optimizer.warmup: expected a share of the steps in [0, 1), got {warmup}")
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = AdamW([group for group in groups if group["params"]], lr=lr, betas=(0.9, beta2), fused=True)
    rising = warmup * total_steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min((step - rising) / max(total_steps - rising, 1), 1.0)))

    return optimizer, LambdaLR(optimizer, factor)
