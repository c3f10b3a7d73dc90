"""The picture of the method: what a network computes for one image, step by step, drawn from its own outputs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from panoptic.codec.grouping import find_peaks, most_likely
from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.data.batch import collate
from panoptic.data.sample import Sample
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor
from panoptic.models.fusion import weighted_sum
from panoptic.models.network import PanopticNetwork
from panoptic.segments import Segments
from panoptic.visualization.overlay import LEVEL_COLORS, alpha_picture, overlay


@torch.inference_mode()
def method_figure(predictor: Predictor, image: np.ndarray) -> Figure:
    """Draw the steps from an image to its segments.

    Feature maps are drawn as the norm over their channels, each in its own range; offsets by direction (hue) and length
    (strength) on the pixels of thing classes.

    Args:
        predictor: Network and codec, without test-time augmentation.
        image: RGB image, uint8 ``[H W 3]``.

    Raises:
        InputError: If the network has a fusion for each head, of which there is no single map.
    """
    network, codec = cast(PanopticNetwork, predictor.network), predictor.codec
    if network.instance_fusion is not None:
        raise InputError("checkpoint: expected a network with one fusion, got model.fusion_per_head=true")
    size = (image.shape[0], image.shape[1])
    images = collate([Sample(image, None, "")]).images.to(predictor.device)
    levels = network.levels(images)
    complexity = network.estimate(levels, size)
    outputs = network.fused_outputs(levels, complexity, size)
    alpha = outputs.alpha[0].float().cpu()
    fused = weighted_sum(levels, outputs.alpha)
    logits, offset = codec.at_pixels(outputs, size)
    classes = most_likely(logits)[0][0].cpu()
    heat = outputs.center.float().sigmoid()
    cells, heights = find_peaks(heat, window=codec.peak_window, threshold=codec.peak_threshold, most=codec.max_things)
    peaks = cells[heights > 0].cpu().numpy()
    segments = codec.decode(outputs, size).to("cpu").unstack()[0].compact()
    is_thing = np.append(np.array(codec.labels.is_thing), False)[classes.numpy()]

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    panels = figure.subplots(3, 4)
    for axes in panels.flat:
        axes.set_axis_off()
    strides = network.backbone.strides
    _show(panels[0, 0], "image", image)
    for number, (axes, level) in enumerate(zip(panels[0, 1:], levels, strict=True)):
        _show(axes, f"level P{number + 2}, stride {strides[number]}", _norm(level, size, strides[number]))
    for number, name in enumerate(COMPLEXITY_NAMES):
        title = f"estimated {name.replace('_', ' ')}: {float(outputs.complexity[0, number]):.2f}"
        _show(panels[1, number], title, outputs.complexity_map[0, number].float().cpu().numpy())
    _show_alpha(panels[1, 2], alpha, size)
    _show(panels[1, 3], "fused map", _norm(fused, size, strides[0]))
    _show(panels[2, 0], "most probable class", _of_classes(image, classes, predictor))
    _show(panels[2, 1], f"centers: {len(peaks)} peaks", heat[0].cpu().numpy())
    panels[2, 1].plot(peaks[:, 1], peaks[:, 0], "o", markersize=5, markerfacecolor="none", markeredgecolor="red")
    _show(panels[2, 2], "offsets to centers", _directions(offset[0].float().cpu().numpy(), is_thing))
    _show(panels[2, 3], f"{len(segments.classes)} segments", overlay(image, segments, codec.labels))
    return figure


def _show(axes: Any, title: str, picture: np.ndarray) -> None:
    axes.imshow(picture, cmap="viridis", interpolation="nearest")
    axes.set_title(title, fontsize=10)


def _show_alpha(axes: Any, alpha: Tensor, size: tuple[int, int]) -> None:
    """Show weights of the whole image as bars, and those of places as a map."""
    if alpha.ndim == 3:
        _show(axes, "fusion weights α (red P2, green P3, blue P4)", alpha_picture(alpha, size))
        return
    axes.set_axis_on()
    names = [f"P{number + 2}" for number in range(len(alpha))]
    bars = axes.bar(names, alpha.numpy(), color=LEVEL_COLORS[: len(alpha)] / 255)
    axes.bar_label(bars, fmt="%.2f", fontsize=9)
    axes.set(ylim=(0, 1), yticks=[])
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.set_title("fusion weights α", fontsize=10)


def _norm(maps: Tensor, size: tuple[int, int], stride: int) -> np.ndarray:
    """Return the norm over channels at each place of the image, without the cells of padding."""
    rows, columns = (-(-side // stride) for side in size)
    return maps[0, :, :rows, :columns].float().norm(dim=0).cpu().numpy()


def _of_classes(image: np.ndarray, classes: Tensor, predictor: Predictor) -> np.ndarray:
    """Return an image with the color of the class of each pixel."""
    segments = Segments.from_maps(classes, torch.zeros_like(classes))
    return overlay(image, segments, predictor.labels)


def _directions(offset: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Draw vectors ``[2 H W]`` by direction and length, white elsewhere."""
    length = np.hypot(*offset) * inside
    saturation = length / max(float(length.max()), 1e-6)
    hue = (np.arctan2(offset[0], offset[1]) / (2 * np.pi)) % 1
    return hsv_to_rgb(np.stack([hue, saturation**0.5, np.ones_like(hue)], -1))
