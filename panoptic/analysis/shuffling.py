"""Permutation test of estimated complexity: each image is scored again with the estimate of another image.

If fusion does not use the estimate, or uses it without effect, shuffling does not change PQ. The drop in PQ is the
value of the correct estimate to this network, regardless of what α correlates with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from panoptic.codec import Codec, Outputs
from panoptic.data.batch import Batch
from panoptic.metrics import PanopticQuality
from panoptic.models.complexity import ComplexityEstimate


class ShuffledComplexity:
    """PQ with complexity estimates shuffled among images.

    Call :meth:`add` with the outputs for every batch first; :meth:`result` then iterates over the batches again.

    Args:
        network: Function from RGB images and a complexity estimate to outputs.
        codec: Codec with the strides of the network.
        rounds: Number of shuffles to score, each in a different order.
        device: Device of the network; defaults to the CPU.
    """

    def __init__(
        self,
        network: Callable[[Tensor, ComplexityEstimate], Outputs],
        codec: Codec,
        rounds: int,
        device: torch.device | None = None,
    ) -> None:
        self.network = network
        self.codec = codec
        self.rounds = rounds
        self.device = device or torch.device("cpu")
        self.images: list[Float[Tensor, " 2"]] = []
        self.maps: list[
            Float[Tensor, "5 gh gw"]
        ] = []  # density and variance per location, then the three values of each cell

    def add(self, outputs: Outputs) -> None:
        """Store the complexity estimates of a batch."""
        self.images.extend(outputs.complexity)
        self.maps.extend(torch.cat([outputs.complexity_map, outputs.complexity_cells], dim=1))

    def result(self, batches: Iterable[Batch], as_predicted: float) -> dict[str, object]:
        """Score every round.

        Args:
            batches: Batches whose outputs were added, in the same order; those without truth are passed over.
            as_predicted: PQ of each image with its own complexity estimate.

        Returns:
            ``rounds``, ``pq`` of each round, and ``as_predicted``.
        """
        orders = [derangement(len(self.images), seed) for seed in range(self.rounds)]
        # This process has all images, so metrics must not wait for other processes.
        metrics = [PanopticQuality(self.codec.labels, sync_on_compute=False).to(self.device) for _ in orders]
        first = 0
        for batch in batches:
            on_device = batch.to(self.device)
            images, truth = on_device.images, on_device.segments
            if truth is None:  # its outputs were not added either
                continue
            for order, metric in zip(orders, metrics, strict=True):
                shuffled = order[first : first + len(images)]
                with torch.inference_mode():
                    predicted = self.codec.decode(self.network(images, self._of(shuffled)), truth.size)
                metric.update(predicted, truth, sizes=batch.sizes)
            first += len(images)
        pq = [float(metric.compute()["pq"]) for metric in metrics]
        return {"rounds": self.rounds, "pq": pq, "as_predicted": as_predicted}

    def _of(self, rows: list[int]) -> ComplexityEstimate:
        """Return the estimates of some images as a batch; maps are resized to the size of the first."""
        size = self.maps[rows[0]].shape[-2:]
        maps = [self.maps[i][None] for i in rows]
        resized = [m if m.shape[-2:] == size else torch.nn.functional.interpolate(m, size=size) for m in maps]
        image = torch.stack([self.images[i] for i in rows])
        return ComplexityEstimate(image, *torch.cat(resized).split([2, 3], dim=1))


def derangement(count: int, seed: int) -> list[int]:
    """Return a random permutation without fixed points; the identity for a single item.

    Args:
        count: Number of items.
        seed: Seed of the permutation.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    permutation = torch.empty_like(order)
    permutation[order] = order.roll(1)
    return permutation.tolist()
