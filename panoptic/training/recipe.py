"""Settings chosen by the data: crop, scales, steps, weights, limits and how numbers are read, with reasons.

A configuration that has ``null`` for one of them leaves it to the data; a value that is given stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from panoptic.codec import Codec
from panoptic.config.composing import build
from panoptic.data.statistics import DataStatistics

EPOCHS = 4
CROP_AREA = 512 * 1024
"""Largest area of a crop: what a batch of four takes about 8 GB of memory for."""

USED_RANGE = 0.5
"""Median share of their range below which images are scaled by percentiles."""

INSTANCE_WEIGHTS = {"loss.center": 0.5, "loss.offset": 0.2, "loss.complexity": 0.1}
"""Weights of what is learned about instances, where semantics is no more than things and their background."""

INSTANCE_SHARE = 0.25
"""Factor of these weights for more categories, whose classes the shared layers have to tell apart."""

FEW_CATEGORIES = 2

TRIED_AREA, TRIED_IMAGES, TRIED_STEPS = 352 * 480, 367, 1000
"""Crop, images and steps that the recipe was found with; docs/experiments.md."""


class Choice(NamedTuple):
    """A value of a key and the reason for it."""

    value: Any
    reason: str


def recipe(
    statistics: DataStatistics, batch_size: int = 4, crop: Sequence[int] | None = None, epochs: int | None = None
) -> dict[str, Choice]:
    """Choose crop, scales, steps, weights of losses, the limit of things and the scaling of numbers for a data set.

    Args:
        statistics: Statistics of the training split.
        batch_size: Number of crops in a step.
        crop: Height and width of crops, if they are given.
        epochs: Number of epochs that the steps are divided into, if it is given.

    Returns:
        Choices by dotted key of the configuration.
    """
    choices = {"data.crop": _crop(statistics), "data.scale": _scale(statistics)}
    height, width = choices["data.crop"].value if crop is None else crop
    more_images = max(math.sqrt(statistics.images / TRIED_IMAGES), 1.0)
    small_crops = min(max(math.sqrt(TRIED_AREA / (height * width)), 1.0), 1.6)
    steps = min(round(TRIED_STEPS * more_images * small_crops / EPOCHS), 5000) * EPOCHS
    choices["data.epoch_size"] = Choice(
        max(steps // (epochs or EPOCHS), 1) * batch_size,
        f"samples of an epoch: {steps} steps in all for {statistics.images} images and crops of {height}x{width}",
    )
    choices["trainer.max_epochs"] = Choice(EPOCHS, "validations take little of the time")
    choices["codec.max_things"] = _max_things(statistics)
    choices["data.normalize"] = normalization(statistics)
    return choices | _instance_weights(statistics)


def _crop(statistics: DataStatistics) -> Choice:
    if not statistics.sizes:
        return Choice([352, 480], "sizes of the images are not known")
    height, width = (float(side) for side in np.median(np.array(statistics.sizes), axis=0))
    reason = f"images of {height:.0f}x{width:.0f}"
    sides = statistics.thing_sides
    if len(sides):
        large = float(np.quantile(sides, 0.95))
        if 8 * large < max(height, width):
            height, width = min(height, 8 * large), min(width, 8 * large)
            reason += f", eight times the side of large things, {large:.0f}"
    if height * width > CROP_AREA:
        factor = math.sqrt(CROP_AREA / (height * width))
        height, width = factor * height, factor * width
        reason += ", and as much as fits into memory"
    # Whole cells of the coarsest level.
    return Choice([max(int(side / 32 + 1e-6), 1) * 32 for side in (height, width)], reason)


def _scale(statistics: DataStatistics) -> Choice:
    sides = statistics.thing_sides
    if len(sides) == 0:
        return Choice([0.75, 1.5], "sizes of things are not known")
    low, high = (float(side) for side in np.quantile(sides, (0.05, 0.95)))
    spread = high / max(low, 1.0)
    reason = f"sides of things from {low:.0f} to {high:.0f} pixels"
    if spread >= 8:
        return Choice([0.75, 1.5], f"{reason}: seen from any distance")
    return Choice([1.0, 1.0], f"{reason}: all at one magnification")


def _max_things(statistics: DataStatistics) -> Choice:
    most = statistics.most_things
    if not most:
        return Choice(Codec.max_things, "numbers of things are not known")
    return Choice(max(2 * most, Codec.max_things), f"an image holds up to {most} things")


def _instance_weights(statistics: DataStatistics) -> dict[str, Choice]:
    found = statistics.categories
    number = "one category" if found == 1 else f"{found} categories"
    if 0 < found <= FEW_CATEGORIES:
        share, reason = 1.0, f"{number}: instances are the harder part"
    else:
        number = f"{number}, more than {FEW_CATEGORIES}" if found else "the number of categories is not known"
        share, reason = INSTANCE_SHARE, f"{number}: shared layers serve classes more"
    return {key: Choice(share * weight, reason) for key, weight in INSTANCE_WEIGHTS.items()}


def normalization(statistics: DataStatistics) -> Choice:
    """Choose how numbers of images become 8 bits; see :class:`panoptic.data.bands.Reading`.

    Args:
        statistics: Statistics of the training split.
    """
    found = statistics.used_ranges
    used = [share for share in found if share is not None]
    if not found:
        return Choice("range", "the range that images use is not known")
    if len(used) < len(found):
        return Choice("percentile", "numbers of images are other than whole ones of 8 or 16 bits")
    share = float(np.median(used))
    if share < USED_RANGE:
        return Choice("percentile", f"images use {share:.0%} of the range of their numbers, less than {USED_RANGE:.0%}")
    return Choice("range", f"images use {share:.0%} of the range of their numbers")


def open_keys(config: DictConfig) -> list[str]:
    """Return the keys that a configuration leaves to the data."""
    keys = [key for key in ("data.crop", "data.scale", "trainer.max_epochs") if OmegaConf.select(config, key) is None]
    if keys and config.data.epoch_size is None:  # where nothing is left to the data, it takes each image once
        keys.append("data.epoch_size")
    if config.codec.max_things is None:
        keys.append("codec.max_things")
    if "normalize" in config.data and config.data.normalize is None:  # only data from files has it
        keys.append("data.normalize")
    return keys + [key for key in INSTANCE_WEIGHTS if OmegaConf.select(config, key, default=0.0) is None]


def size_by_data(config: DictConfig, statistics: DataStatistics) -> tuple[DictConfig, dict[str, Choice]]:
    """Fill in the keys that a configuration leaves to the data.

    Args:
        config: Configuration of a run.
        statistics: Statistics of its training split.

    Returns:
        Configuration without open keys, and what was chosen.
    """
    choices = recipe(statistics, config.data.batch_size, config.data.crop, config.trainer.max_epochs)
    chosen = {key: choices[key] for key in open_keys(config)}
    sized = config.copy()
    for key, choice in chosen.items():
        OmegaConf.update(sized, key, choice.value)
    return sized, chosen


def sized_by_data(config: DictConfig, tell: bool = True) -> DictConfig:
    """Fill in what a configuration leaves to the data, after a look at its data set.

    Args:
        config: Configuration of a run.
        tell: Whether to print what was chosen and why.

    Raises:
        InputError: If the data set cannot be read.
    """
    if not open_keys(config):
        return config
    data = config.data.copy()
    data.crop, data.scale = data.crop or [32, 32], data.scale or [1.0, 1.0]
    sized, chosen = size_by_data(config, build(data, seed=0).statistics())
    if config.budget is not None:  # which replaces it
        chosen.pop("data.epoch_size", None)
    if tell and chosen:
        print(table(chosen), flush=True)
    return sized


def table(choices: Mapping[str, Choice]) -> str:
    """Format choices as a table of key, value and reason."""
    rows = [(f"{key}={choice.value}".replace(" ", ""), choice.reason) for key, choice in choices.items()]
    width = max(len(setting) for setting, _ in rows)
    return "\n".join(["chosen by the data:", *(f"  {setting:<{width}}  {reason}" for setting, reason in rows)])
