"""Does a network use the complexity of an image? Each image is given another image's, and scored again.

An estimate that fusion does not use, or uses to no effect, can be exchanged without loss: what PQ loses is what the
right estimate is worth to this network, whatever α correlates with.
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
    """PQ with the complexity of images shuffled among them, and as predicted.

    First :meth:`add` every batch's outputs, then :meth:`result` goes over the batches again.

    Args:
        network: from plain RGB and a complexity to outputs.
        codec: at its strides.
        rounds: how many shuffles to score, each with an order of its own.
        device: that the network is on.
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
        self.maps: list[Float[Tensor, "5 gh gw"]] = []  # both numbers per place, then what cells hold

    def add(self, outputs: Outputs) -> None:
        """Remembers what was estimated of a batch."""
        self.images.extend(outputs.complexity)
        self.maps.extend(torch.cat([outputs.complexity_map, outputs.complexity_cells], dim=1))

    def result(self, batches: Iterable[Batch], as_predicted: float) -> dict[str, object]:
        """Scores every round.

        Args:
            batches: the same as before, in the same order.
            as_predicted: PQ with each image's own complexity.

        Returns:
            ``rounds``, ``pq`` of each, and ``as_predicted``.
        """
        orders = [others(len(self.images), seed) for seed in range(self.rounds)]
        # One process has them all, and others may wait for none of it.
        metrics = [PanopticQuality(self.codec.labels, sync_on_compute=False).to(self.device) for _ in orders]
        first = 0
        for batch in batches:
            here = batch.to(self.device)
            images, truth = here.images, here.segments
            for order, metric in zip(orders, metrics, strict=True):
                chosen = order[first : first + len(images)]
                with torch.inference_mode():
                    predicted = self.codec.decode(self.network(images, self._of(chosen)), truth.size)
                metric.update(predicted, truth, sizes=batch.sizes)
            first += len(images)
        pq = [float(metric.compute()["pq"]) for metric in metrics]
        return {"rounds": self.rounds, "pq": pq, "as_predicted": as_predicted}

    def _of(self, chosen: list[int]) -> ComplexityEstimate:
        """The estimates of some images as a batch; of maps that differ in size, each takes the size of the first."""
        size = self.maps[chosen[0]].shape[-2:]
        maps = [self.maps[i][None] for i in chosen]
        same = [m if m.shape[-2:] == size else torch.nn.functional.interpolate(m, size=size) for m in maps]
        return ComplexityEstimate(torch.stack([self.images[i] for i in chosen]), *torch.cat(same).split([2, 3], dim=1))


def others(count: int, seed: int) -> list[int]:
    """For each of several images another one, in an order that the seed decides; itself if there is but one."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    another = torch.empty_like(order)
    another[order] = order.roll(1)
    return another.tolist()
