"""The training step leaves the device to itself: on stand-ins for CUDA tensors, without a GPU.

Fake tensors have a device, a shape and a type but no values. Whatever asks for a value, for which the host would wait
for a GPU, fails on them; a mode around the step reports every copy between host and device.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from panoptic.codec import Codec
from panoptic.complexity import thing_table
from panoptic.data.batch import Batch
from panoptic.labels import CITYSCAPES
from panoptic.losses import PanopticLoss
from panoptic.models.backbone import Backbone
from panoptic.models.complexity import ComplexityEstimator
from panoptic.models.context import NoContext
from panoptic.models.fpn import FPN
from panoptic.models.fusion import AdaptiveFusion, LocalFusion, RandomFusion, StaticFusion, UniformFusion
from panoptic.models.heads import InstanceHead, SemanticHead
from panoptic.models.network import PanopticNetwork
from panoptic.segments import Segments

LABELS = CITYSCAPES


class Copies(TorchDispatchMode):
    """Collects what is copied between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        flat = torch.utils._pytree.tree_leaves((args, kwargs or {}))
        before = {value.device.type for value in flat if isinstance(value, torch.Tensor)}
        after = {v.device.type for v in torch.utils._pytree.tree_leaves(result) if isinstance(v, torch.Tensor)}
        if len(before | after) > 1 and before:
            self.found.append(str(function))
        return result


@pytest.fixture
def cuda():
    """Fake CUDA tensors; what was kept for them is forgotten afterwards."""
    thing_table.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        try:
            torch.tensor([0.0]).to("cuda")
        except RuntimeError:
            pytest.skip("this version of PyTorch makes fake CUDA tensors with a driver only")
        yield torch.device("cuda")
    thing_table.cache_clear()


def make(fusion, device, **loss):
    with device:
        network = PanopticNetwork(
            backbone=partial(Backbone, "test_resnet", "random"),
            context=NoContext,
            fpn=partial(FPN, channels=16),
            complexity=partial(ComplexityEstimator, channels=8),
            fusion=fusion,
            semantic_head=partial(SemanticHead, channels=8, depth=1),
            instance_head=partial(InstanceHead, channels=8, depth=1),
            num_classes=len(LABELS),
        )
    codec = Codec(LABELS, stride=network.stride, complexity_stride=network.complexity_stride, small_area=10)
    return network, codec, PanopticLoss(**loss)


def batch_on(device, batch=2, size=(64, 96), rows=6) -> Batch:
    segments = Segments(
        torch.zeros(batch, *size, dtype=torch.int32, device=device),
        torch.zeros(batch, rows, dtype=torch.int64, device=device),
        torch.zeros(batch, rows, dtype=torch.bool, device=device),
    )
    images = torch.zeros(batch, 3, *size, dtype=torch.uint8, device=device)
    return Batch(images, segments, (size,) * batch, ("",) * batch)


def step(network, codec, loss, batch) -> torch.Tensor:
    """As far as this project's own code goes: what follows is PyTorch's backward pass."""
    return loss(network(batch.images), codec.encode(batch.segments))["total"]


@pytest.mark.parametrize("fusion", [AdaptiveFusion, LocalFusion, RandomFusion, StaticFusion, UniformFusion])
@pytest.mark.parametrize("hard_pixels", [1.0, 0.2])
def test_a_training_step_asks_for_no_value_and_copies_nothing(cuda, fusion, hard_pixels):
    parts = make(fusion, cuda, hard_pixels=hard_pixels)
    batch = batch_on(cuda)
    step(*parts, batch)  # what is kept for a device goes there once
    with Copies() as copies:
        total = step(*parts, batch)
    assert copies.found == []
    assert total.device.type == "cuda"


def test_copies_and_questions_are_noticed(cuda):
    values = torch.ones(3, device=cuda)
    with Copies() as copies:
        values.cpu()
        torch.tensor([1.0, 2.0]).to(cuda)
        torch.tensor([1.0, 2.0], device=cuda)
    assert len(copies.found) == 3
    with pytest.raises(DataDependentOutputException):
        values.sum().item()


def test_a_batch_goes_to_an_accelerator_without_waiting(monkeypatch):
    seen = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **options: seen.append((args, options)) or self)
    batch = batch_on("cpu")
    batch.to("cuda")
    assert len(seen) == 5  # images, extents, and three of the segments
    assert all(options == {"non_blocking": True} for _, options in seen)
    seen.clear()
    batch.to(torch.device("cpu"))
    assert all(options == {"non_blocking": False} for _, options in seen)
