"""Double precision, where the device has it."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from panoptic.labels import CITYSCAPES
from panoptic.metrics import PanopticQuality
from panoptic.utils.precision import widest


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)])
def test_the_widest_type_of_a_device(device: str, dtype: torch.dtype) -> None:
    with FakeTensorMode():
        values = torch.empty(3, dtype=torch.int64, device=device)
        assert widest(values).dtype == dtype
        assert widest(values).device.type == device


def test_states_of_metrics_move_to_devices_without_double_precision() -> None:
    def move(state: torch.Tensor) -> torch.Tensor:
        if state.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return state.clone()

    metric = PanopticQuality(CITYSCAPES)
    assert metric.iou_sum.dtype == torch.float64
    metric._apply(move)
    assert metric.iou_sum.dtype == torch.float32
    metric.reset()
    assert metric.iou_sum.dtype == torch.float32
    assert metric.tp.dtype == torch.int64
