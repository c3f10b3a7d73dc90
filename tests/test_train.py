"""What the training command works out by itself."""

from __future__ import annotations

import pytest
import torch

from panoptic.train import _precision


@pytest.mark.parametrize(
    ("accelerator", "cuda", "able", "expected"),
    [
        ("auto", True, {"avx512_bf16": True}, "16-mixed"),
        ("gpu", True, {}, "16-mixed"),
        ("cpu", True, {}, "32-true"),
        ("cpu", True, {"avx512_bf16": True}, "bf16-mixed"),
        ("auto", False, {"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ("auto", False, {"avx2": True, "avx512_f": True, "avx512_bf16": False}, "32-true"),
        ("auto", False, {}, "32-true"),
        ("mps", False, {"avx512_bf16": True}, "32-true"),
    ],
)
def test_precision_is_half_where_the_device_computes_in_it(monkeypatch, accelerator, cuda, able, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert _precision(accelerator) == expected


def test_precision_is_single_on_an_apple_gpu_and_where_pytorch_cannot_tell(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert _precision("auto") == "32-true"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert _precision("auto") == "32-true"
