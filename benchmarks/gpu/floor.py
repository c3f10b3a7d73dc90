"""Lower bound of run time from operations and bytes, at the device's rates for a large matrix product and a copy.

Operations are those of convolutions and matrix products; bytes are those read and written by each operator in eager
mode. Compilers fuse operators, so that fewer bytes can be sufficient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.inference import Inference
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.training import MIXED
from benchmarks.training import Training, scenes


class Traffic(TorchDispatchMode):
    """Counter of the bytes that operators read and write.

    Attributes:
        bytes: Number of bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.bytes += sum(map(moved, _tensors((args, kwargs or {})))) + sum(map(moved, _tensors(result)))
        return result


def moved(tensor: Tensor) -> int:
    """Return the number of bytes of a tensor; expanded dimensions count once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def run(record: Record, setting: Setting) -> None:
    """Measure the peak rates, then a step, a forward pass and decoding against them."""
    half = torch.bfloat16 if setting.hardware.device.type == "cpu" else torch.float16
    product = record.measure("product, TFLOP/s", lambda: product_rate(setting, half) / 1e12)
    single = record.measure(
        "convolution in single precision, TFLOP/s", lambda: convolution_rate(setting, torch.float32) / 1e12
    )
    convolution = record.measure(
        "convolution in half precision, TFLOP/s", lambda: convolution_rate(setting, half) / 1e12
    )
    copied = record.measure("copy, GB/s", lambda: copy_rate(setting) / 1e9)
    if None in (product, single, convolution, copied):
        return
    record.measure("step", lambda: of_step(setting, max(product, convolution), copied))
    record.measure("forward, batch 1", lambda: of_forward(setting, single, copied))
    record.measure("decode, batch 1", lambda: of_decoding(setting, single, copied))


@torch.inference_mode()
def product_rate(setting: Setting, dtype: torch.dtype) -> float:
    """Measure the operations per second of a large matrix product."""
    side, device = setting.product, setting.hardware.device
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / setting.hardware.pace(lambda: one @ other, setting.repeats)


@torch.inference_mode()
def convolution_rate(setting: Setting, dtype: torch.dtype) -> float:
    """Measure the operations per second of a 3x3 convolution with 256 channels."""
    side, batch, device = (8, 1, setting.hardware.device) if setting.tiny else (128, 32, setting.hardware.device)
    options = {"device": device, "dtype": dtype}
    maps = torch.randn(batch, 256, side, side, **options).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3, **options).contiguous(memory_format=torch.channels_last)
    call = lambda: torch.nn.functional.conv2d(maps, kernel, padding=1)  # noqa: E731
    return 2 * maps.numel() * kernel[0].numel() / setting.hardware.pace(call, setting.repeats)


@torch.inference_mode()
def copy_rate(setting: Setting) -> float:
    """Measure the bytes per second, read and written, of a large copy."""
    source = torch.randint(0, 256, (setting.copied,), dtype=torch.uint8, device=setting.hardware.device)
    target = torch.empty_like(source)
    return 2 * setting.copied / setting.hardware.pace(lambda: target.copy_(source), setting.repeats)


def of_step(setting: Setting, product: float, copied: float) -> dict[str, float]:
    """Compare a training step with its lower bound."""
    training = Training(
        scenes(setting.batch, setting.size, setting.hardware.device), *setting.overrides, precision=MIXED
    )
    training.step()
    return against_floor(training.step, setting, product, copied)


@torch.inference_mode()
def of_forward(setting: Setting, product: float, copied: float) -> dict[str, float]:
    """Compare the network in inference, for one image, with its lower bound."""
    inference = Inference(setting)
    images = inference.images(1)
    return against_floor(lambda: inference.predictor.network(images), setting, product, copied)


@torch.inference_mode()
def of_decoding(setting: Setting, product: float, copied: float) -> dict[str, float]:
    """Compare decoding of one image with its lower bound."""
    inference = Inference(setting)
    return against_floor(inference.decode(inference.outputs(1)), setting, product, copied)


def against_floor(call: Callable[[], Any], setting: Setting, product: float, copied: float) -> dict[str, float]:
    """Measure operations, bytes and seconds of a call, and its lower bound at given rates.

    Args:
        call: Function to measure.
        setting: Setting of the benchmark.
        product: Rate of arithmetic in TFLOP/s.
        copied: Rate of memory in GB/s.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    with Traffic() as traffic:
        call()
    operations = counter.get_total_flops()
    floor = max(operations / (product * 1e12), traffic.bytes / (copied * 1e9))
    seconds = setting.hardware.pace(call, setting.repeats)
    return {
        "GFLOP": operations / 1e9,
        "GB": traffic.bytes / 1e9,
        "arithmetic, seconds": operations / (product * 1e12),
        "memory, seconds": traffic.bytes / (copied * 1e9),
        "seconds": seconds,
        "x floor": seconds / floor,
    }
