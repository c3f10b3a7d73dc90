"""Depthwise convolutions with a faster backward pass in bfloat16 on CPUs.

For depthwise convolutions in bfloat16, oneDNN has fast kernels for some gradients and slow reference code for others:
the gradient of the weights of kernels above 3x3, and that of the image at strides above 1. Both are computed here from
operations of the fast kind, with the same result, which saves a quarter of a training step with an EfficientNet
(``python -m benchmarks.depthwise``). In single precision, oneDNN's own are as fast.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FASTER_IN = torch.bfloat16
"""Data type in which the backward pass of this module is used."""

FAST = 3
"""Largest kernel whose gradient of the weights is fast."""


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution: one kernel of odd, equal sides for each channel.

    Outputs are those of :class:`torch.nn.Conv2d`, and gradients the same sums in another order.

    Args:
        channels: Number of channels.
        kernel: Side of the kernel, odd.
        stride: Stride.
        padding: Zeros on each side; ``None`` for as many as TensorFlow's ``SAME`` gives, which depends on the image.
        bias: Whether to add a bias.
    """

    def __init__(
        self, channels: int, kernel: int = 3, stride: int = 1, padding: int | None = 0, *, bias: bool = False
    ) -> None:
        super().__init__(channels, channels, kernel, stride, padding or 0, groups=channels, bias=bias)
        self.pads_same = padding is None

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:  # torch's name
        """Compute the convolution."""
        if self.pads_same:
            input = pad_same(input, [*self.kernel_size], [*self.stride])
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        on_cpu = input.device.type == "cpu"
        if not (on_cpu and dtype == FASTER_IN and torch.is_grad_enabled()) or _is_traced():
            return super().forward(input)
        weight, padding = self.weight.to(dtype), int(self.padding[0])
        output: Tensor = _Depthwise.apply(input.to(dtype), weight, self.stride[0], padding)
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]

    def extra_repr(self) -> str:
        """Return the arguments."""
        return super().extra_repr() + (", pads_same=True" if self.pads_same else "")


def convert_depthwise(module: nn.Module) -> None:
    """Replace depthwise convolutions inside a module by :class:`DepthwiseConv2d`, which take over their parameters.

    Names in the state dict stay. Others than those with an odd, square kernel and zeros as padding are left.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and _is_convertible(child):
            same = isinstance(child, Conv2dSame)
            padding = None if same else int(child.padding[0])
            with torch.device("meta"):  # its own weights are dropped, and no random number is drawn for them
                converted = DepthwiseConv2d(child.in_channels, child.kernel_size[0], child.stride[0], padding)
            converted.weight, converted.bias = child.weight, child.bias
            converted.train(child.training)
            setattr(module, name, converted)
        else:
            convert_depthwise(child)


def restore_depthwise(module: nn.Module) -> None:
    """Undo :func:`convert_depthwise` for inference, whose tools know PyTorch's convolutions; others are left.

    Those whose padding depends on the image stay.
    """
    for name, child in module.named_children():
        if isinstance(child, DepthwiseConv2d) and not child.pads_same:
            sides = child.kernel_size[0], child.stride[0], int(child.padding[0])
            with torch.device("meta"):  # its own weights are dropped
                plain = nn.Conv2d(child.in_channels, child.out_channels, *sides, groups=child.groups, bias=False)
            plain.weight, plain.bias = child.weight, child.bias
            plain.train(child.training)
            setattr(module, name, plain)
        else:
            restore_depthwise(child)


def _is_convertible(conv: nn.Conv2d) -> bool:
    return (
        type(conv) in (nn.Conv2d, Conv2dSame)
        and conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.kernel_size[0] % 2 == 1
        and conv.stride[0] == conv.stride[1]
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.padding[0] == conv.padding[1] < conv.kernel_size[0]
    )


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.jit.is_scripting()


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution without bias."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(image, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, weight = ctx.saved_tensors
        of_image = of_weight = None
        if ctx.needs_input_grad[0]:
            of_image = _gradient_of_image(gradient, image, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _gradient_of_weight(gradient, image, weight, ctx.stride, ctx.padding)
        return of_image, of_weight, None, None


def _gradient_of_image(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve the gradient, with ``stride - 1`` zeros between its cells, with the mirrored kernel."""
    if stride > 1:
        sides = [size + 2 * padding - weight.shape[-1] + 1 for size in image.shape[2:]]  # of the output of stride 1
        spread = gradient.new_zeros((*gradient.shape[:2], *sides))
        spread = spread.contiguous(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
        gradient = spread
    return F.conv2d(gradient, weight.flip(2, 3), padding=weight.shape[-1] - 1 - padding, groups=len(weight))


def _gradient_of_weight(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Compute the gradient of the weights in blocks of 3x3, each that of a small kernel on a shifted image."""
    kernel = weight.shape[-1]
    if kernel <= FAST:
        return _small_gradient(gradient, image, weight, stride, padding)
    image = F.pad(image, (padding,) * 4)
    height, width = (stride * (size - 1) + FAST for size in gradient.shape[2:])
    result = torch.empty_like(weight)
    starts = range(0, kernel - FAST + 1, FAST - 1)  # the blocks overlap by a row or column
    for y in starts:
        for x in starts:
            block = image[:, :, y : y + height, x : x + width].contiguous(memory_format=torch.channels_last)
            part = weight[:, :, :FAST, :FAST].contiguous()  # only its shape matters
            result[:, :, y : y + FAST, x : x + FAST] = _small_gradient(gradient, block, part, stride, 0)
    return result


def _small_gradient(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    sides = [stride, stride], [padding, padding], [1, 1]
    mask = [False, True, False]
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient, image, weight, None, *sides, False, [0, 0], len(weight), mask
    )[1]
    return result
