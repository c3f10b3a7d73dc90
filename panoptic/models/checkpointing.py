"""Gradient checkpointing without its side effect on BatchNorm.

Activations that are not kept are computed again in the backward pass (Chen et al. 2016, "Training Deep Nets with
Sublinear Memory Cost"), and BatchNorm would take every batch into its running statistics twice.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class CountOnce:
    """Has each BatchNorm of a module take a batch into its statistics at its first call alone.

    Args:
        module: whose layers are meant, in the state in which it is first run.
    """

    def __init__(self, module: nn.Module) -> None:
        self._momentum: dict[nn.Module, float | None] = {}  # of those that were called
        self._repeated = False
        for norm in module.modules():
            if isinstance(norm, _BatchNorm) and norm.track_running_stats:
                norm.register_forward_pre_hook(self._before)
                norm.register_forward_hook(self._after, always_call=True)

    def next_batch(self) -> None:
        """Says that the next calls are first ones again."""
        self._momentum.clear()

    def _before(self, norm: nn.Module, inputs: tuple) -> None:
        self._repeated = norm in self._momentum
        if self._repeated:
            norm.momentum = 0.0  # running statistics stay; without them, fewer tensors would be saved than at first
        else:
            self._momentum[norm] = norm.momentum

    def _after(self, norm: nn.Module, inputs: tuple, output: object) -> None:
        if self._repeated:
            norm.momentum = self._momentum[norm]
            norm.num_batches_tracked -= 1
