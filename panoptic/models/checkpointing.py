"""Gradient checkpointing without its side effect on BatchNorm.

Checkpointed activations are recomputed in the backward pass (Chen et al. 2016, "Training Deep Nets with Sublinear
Memory Cost"), so BatchNorm would update its running statistics twice per batch.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class CountOnce:
    """Forward hooks that update BatchNorm statistics once per batch, not on recomputation.

    Args:
        module: Module with the BatchNorm layers, which must not be replaced afterwards.
    """

    def __init__(self, module: nn.Module) -> None:
        self._momentum: dict[_BatchNorm, float | None] = {}  # of the layers already called for this batch
        self._recomputing = False
        for norm in module.modules():
            if isinstance(norm, _BatchNorm) and norm.track_running_stats:
                norm.register_forward_pre_hook(self._pre_forward)
                norm.register_forward_hook(self._post_forward, always_call=True)

    def next_batch(self) -> None:
        """Start a new batch: the next call of each layer updates its statistics."""
        self._momentum.clear()

    def _pre_forward(self, norm: _BatchNorm, inputs: tuple) -> None:
        self._recomputing = norm in self._momentum
        if self._recomputing:
            # Keeps the running statistics; disabling them would save fewer tensors than in the first pass.
            norm.momentum = 0.0
        else:
            self._momentum[norm] = norm.momentum

    def _post_forward(self, norm: _BatchNorm, inputs: tuple, output: object) -> None:
        if self._recomputing:
            norm.momentum = self._momentum[norm]
            assert norm.num_batches_tracked is not None  # only layers that track statistics have these hooks
            norm.num_batches_tracked -= 1
