"""``torch.compile`` as an option: the same outputs, or a sentence and the network as it was."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from panoptic.inference import compiling
from panoptic.inference.compiling import compile_network


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()).eval()


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("No C++ compiler found.\nHere is a long\nexplanation")

    monkeypatch.setattr(torch, "compile", fail)
    network = make()
    with pytest.warns(
        UserWarning, match=r"compile=true: torch\.compile does not work here \(No C\+\+ compiler found\)"
    ):
        assert compile_network(network, "cpu") is False
    assert network._compiled_call_impl is None
    assert network(torch.zeros(1, 3, 4, 4)).shape == (1, 4, 4, 4)


def test_where_it_works_outputs_and_names_are_the_same(monkeypatch):
    # The compiler itself is PyTorch's to test, and takes minutes: here its first half alone captures the network.
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda call, **options: compiled(call, backend="eager", **options))
    network, images = make(), torch.rand(2, 3, 8, 8)
    names, expected = list(network.state_dict()), network(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, while it captures
        assert compile_network(network, "cpu") is True
        assert network._compiled_call_impl is not None
        assert torch.allclose(network(images), expected, atol=1e-6)
    assert list(network.state_dict()) == names


def test_trouble_is_one_line(monkeypatch):
    def fail(*arguments, **options):
        raise ValueError

    monkeypatch.setattr(torch, "compile", fail)
    assert compiling._compile_error(torch.device("cpu")) == "ValueError"
