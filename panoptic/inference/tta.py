"""Test-time augmentation: the mean of what a network says of several views of an image.

Class probabilities, center heatmaps and offsets are averaged over mirrored and resized views, as Panoptic-DeepLab
(Cheng et al. 2020) does for its best scores. Each view costs a pass through the network, at its own size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from panoptic.codec import Outputs
from panoptic.errors import InputError

VIEWS: dict[str, tuple[tuple[float, ...], tuple[bool, ...]]] = {
    "none": ((1.0,), (False,)),
    "flip": ((1.0,), (False, True)),
    "multiscale": ((1.0, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0), (False, True)),
}
"""By name: the scales of the views, the image's own first, and whether each is seen as it is, mirrored, or both."""


def check_tta(name: str) -> None:
    """Refuses what is no name of :data:`VIEWS`.

    Raises:
        InputError: naming them.
    """
    if name not in VIEWS:
        raise InputError(f"tta: expected {', '.join(VIEWS)}, got {name!r}")


@torch.no_grad()
def mean_outputs(
    network: Callable[[Tensor], Outputs],
    images: UInt8[Tensor, "B 3 H W"] | Float[Tensor, "B 3 H W"],
    *,
    stride: int,
    scales: Sequence[float],
    flips: Sequence[bool],
) -> Outputs:
    """The mean outputs over all pairs of scales and flips, on the maps of the first view.

    Probabilities are averaged, and come back as logits. Offsets come back in cells of the image itself. Local
    complexity and α, which belong to a view and its size, are those of the first view.

    Args:
        network: from plain RGB to outputs.
        images: a batch.
        stride: pixels per cell of the outputs' maps.
        scales: factors of height and width; the first is 1.
        flips: whether the image is mirrored left to right; the first is false.
    """
    first = network(images)
    views = [(scale, flip) for scale in scales for flip in flips]
    if len(views) == 1:
        return first
    sums = [first.semantic.float().softmax(1), first.center.float().sigmoid(), first.offset.float()]
    complexity = first.complexity.float()
    for scale, flip in views[1:]:
        view = _resized(images, scale)
        view = view.flip(-1) if flip else view
        outputs = network(view)
        ratio = [there / here for here, there in zip(images.shape[-2:], view.shape[-2:], strict=True)]
        maps = torch.cat([outputs.semantic.softmax(1), outputs.center.sigmoid()[:, None], outputs.offset], dim=1)
        maps = _aligned(maps.float(), first.center.shape[-2:], images.shape[-2:], ratio, stride, flip)
        # Offsets are differences of coordinates: they shrink with the view, and turn around with it.
        unit = maps.new_tensor([1 / ratio[0], (-1 if flip else 1) / ratio[1]])[:, None, None]
        for total, part in zip(sums, (maps[:, :-3], maps[:, -3], maps[:, -2:] * unit), strict=True):
            total += part
        complexity = complexity + outputs.complexity.float()
    semantic, center, offset = (total / len(views) for total in sums)
    tiny = torch.finfo(torch.float32).tiny
    return Outputs(
        semantic.clamp(min=tiny).log(),
        torch.logit(center, eps=1e-7),
        offset,
        complexity / len(views),
        first.complexity_map,
        first.complexity_cells,
        first.alpha,
    )


def _resized(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    size = [max(round(side * scale), 1) for side in images.shape[-2:]]
    return F.interpolate(images.float(), size=size, mode="bilinear", align_corners=False, antialias=True)


def _aligned(
    maps: Float[Tensor, "B C h w"],
    cells: Sequence[int],
    size: Sequence[int],
    ratio: Sequence[float],
    stride: int,
    flip: bool,
) -> Float[Tensor, "B C a b"]:
    """A view's maps at the places where the cells of the image's own maps are.

    Args:
        maps: of the view.
        cells: height and width of the image's own maps.
        size: height and width of the image in pixels.
        ratio: size of the view by that of the image, along each axis.
        stride: pixels per cell, of both.
        flip: whether the view is mirrored.
    """
    axes = []
    for axis in (0, 1):
        place = (torch.arange(cells[axis], dtype=torch.float64) + 0.5) * stride  # in pixels
        if flip and axis == 1:
            place = size[1] - place
        edge = stride * maps.shape[2 + axis]
        axes.append((2 * place * ratio[axis] / edge - 1).to(maps.device, maps.dtype))  # -1 and 1 are the maps' edges
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], -1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
