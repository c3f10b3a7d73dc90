"""Test-time augmentation: mean network outputs over several views of an image.

Class probabilities, center heatmaps and offsets are averaged over flipped and resized views, as in Panoptic-DeepLab
(Cheng et al. 2020). Each view takes a forward pass at its own size.
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
"""Scales of the views, starting with 1, and horizontal flips to apply at each scale, by name."""


def check_tta(name: str) -> None:
    """Raise if a name is not in :data:`VIEWS`.

    Raises:
        InputError: If the name is unknown; the message lists the known names.
    """
    if name not in VIEWS:
        raise InputError(f"tta: expected {', '.join(VIEWS)}, got {name!r}")


@torch.no_grad()
def mean_outputs(
    network: Callable[[Tensor], Outputs],
    images: UInt8[Tensor, "B bands H W"] | Float[Tensor, "B bands H W"],
    *,
    stride: int,
    scales: Sequence[float],
    flips: Sequence[bool],
) -> Outputs:
    """Average network outputs over all pairs of scales and flips, on the grid of the first view.

    Probabilities are averaged and converted back to logits. Offsets are in cells of the original image, and object
    density is per area of the original image. The complexity maps and α depend on the size of a view; those of the
    first view are returned.

    Args:
        network: Network from images to outputs.
        images: Images, batched.
        stride: Pixels per cell of the output maps.
        scales: Factors of height and width; the first must be 1.
        flips: Whether to flip the images horizontally; the first must be false.

    Returns:
        Mean outputs; with a single view, the unchanged outputs of the network.
    """
    first = network(images)
    views = [(scale, flip) for scale in scales for flip in flips]
    if len(views) == 1:
        return first
    sums = [first.semantic.float().softmax(1), first.center.float().sigmoid(), first.offset.float()]
    complexity = first.complexity.float()
    for scale, flip in views[1:]:
        view = resize(images, scale)
        view = view.flip(-1) if flip else view
        outputs = network(view)
        ratio = [side / original for original, side in zip(images.shape[-2:], view.shape[-2:], strict=True)]
        maps = torch.cat([outputs.semantic.softmax(1), outputs.center.sigmoid()[:, None], outputs.offset], dim=1)
        maps = _align(maps.float(), first.center.shape[-2:], images.shape[-2:], ratio, stride, flip)
        # Offsets are differences of coordinates: they scale with the view, and a flip negates dx.
        unit = maps.new_tensor([1 / ratio[0], (-1 if flip else 1) / ratio[1]])[:, None, None]
        for total, part in zip(sums, (maps[:, :-3], maps[:, -3], maps[:, -2:] * unit), strict=True):
            total += part
        complexity = complexity + complexity_at(outputs.complexity.float(), ratio[0] * ratio[1])
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


def complexity_at(complexity: Float[Tensor, "B 2"], area: float) -> Float[Tensor, "B 2"]:
    """Convert the complexity of a view to that of the image, of which the view has this multiple of the area."""
    density, variance = complexity.unbind(1)
    return torch.stack([(density.expm1() * area).log1p(), variance], dim=1)


def resize(images: Tensor, scale: float) -> Tensor:
    """Resize images by a factor of height and width, to at least a pixel."""
    if scale == 1:
        return images
    size = [max(round(side * scale), 1) for side in images.shape[-2:]]
    return F.interpolate(images.float(), size=size, mode="bilinear", align_corners=False, antialias=True)


def _align(
    maps: Float[Tensor, "B C h w"],
    cells: Sequence[int],
    size: Sequence[int],
    ratio: Sequence[float],
    stride: int,
    flip: bool,
) -> Float[Tensor, "B C a b"]:
    """Sample the maps of a view at the cell centers of the original image's maps.

    Args:
        maps: Maps of the view.
        cells: Height and width of the original image's maps.
        size: Height and width of the original image in pixels.
        ratio: Size of the view relative to the original image, along each axis.
        stride: Pixels per cell, of both maps.
        flip: Whether the view is flipped horizontally.
    """
    axes = []
    for axis in (0, 1):
        centers = (torch.arange(cells[axis], dtype=torch.float64) + 0.5) * stride  # in pixels
        if flip and axis == 1:
            centers = size[1] - centers
        extent = stride * maps.shape[2 + axis]
        # In grid_sample, -1 and 1 are the edges of the maps.
        axes.append((2 * centers * ratio[axis] / extent - 1).to(maps.device, maps.dtype))
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], -1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
