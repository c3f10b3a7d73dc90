"""``python -m panoptic.export``: write a network with its decoding to a file that runs without PyTorch."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    import numpy as np

    from panoptic.data.bands import Reading
    from panoptic.inference.export import Exported

MOST_IMAGES = 16
"""Maximum number of images of the check."""


def export(config: DictConfig) -> Path:
    """Export as configured, and return the file.

    Raises:
        InputError: If an option, the checkpoint or an image cannot be used, or the export does not agree with PyTorch.
    """
    from panoptic.data.bands import Reading
    from panoptic.inference.export.exporting import export_checkpoint
    from panoptic.inference.export.formats import find_format
    from panoptic.training.checkpoint import read_checkpoint

    form = find_format(config.format)
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    # What belongs to a checkpoint that is a folder, shared or downloaded, goes into the current folder.
    default = Path("panoptic") if checkpoint.path.is_dir() else checkpoint.path
    output = Path(config.output or default.with_suffix(form.suffix)).expanduser()
    images = _images(config.images, Reading.of_data(checkpoint.config.data))
    compared = "1 image" if len(images) == 1 else f"{len(images)} images"
    print(f"writing {config.format}, and comparing it with PyTorch on {compared}", flush=True)
    exported = export_checkpoint(checkpoint, config.format, output, images)
    _print(exported, config.format)
    return output


def _images(given: str | None, reading: Reading) -> list[np.ndarray]:
    """Read the images of the check: those given, else real ones of the checkout, else synthetic scenes.

    Those that are not given have the colors of a photo, repeated for a network of other bands.
    """
    from panoptic.data.images import find_images, read_image
    from panoptic.scenes.source import SyntheticSource

    if given is not None:
        return [reading.read(path) for path in find_images(given)[:MOST_IMAGES]]
    checkout = Path(__file__).parents[2]
    paths = [checkout / "docs" / "images" / "scene.jpg", *sorted((checkout / "examples/nuclei/val").glob("*.png"))]
    images = [read_image(path) for path in islice(filter(Path.is_file, paths), MOST_IMAGES)]
    if not images:
        scenes = SyntheticSource(split="val", size=2, height=250, width=500)
        images = [scenes.read(index).image for index in range(2)]
    return [reading.scaled(image[..., [band % 3 for band in range(reading.bands)]]) for image in images]


def _print(exported: Exported, format: str) -> None:
    height, width = exported.size
    pytorch, other = exported.seconds["PyTorch"], exported.seconds[format]
    print(
        f"same class and same instance as PyTorch: {exported.agreement:.3%} of the pixels of {exported.images} images, "
        f"{exported.lowest:.3%} of the one with the fewest"
    )
    print(
        f"an image of {height}x{width} on the CPU: PyTorch {1000 * pytorch:.0f} ms, {format} {1000 * other:.0f} ms, "
        f"{pytorch / other:.2f} times as fast"
    )
    print(f"file: {exported.path} ({exported.megabytes:.1f} MB)")
