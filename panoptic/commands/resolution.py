"""``python -m panoptic.resolution``: panoptic quality against time, and the rule of adaptive resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.config.schema import ResolutionConfig

if TYPE_CHECKING:
    from panoptic.analysis.resolution import Resolutions


def resolution(config: DictConfig) -> Path:
    """Measure as configured, and return the folder with the results.

    Raises:
        InputError: If an option, the checkpoint or the data cannot be used.
    """
    from panoptic.analysis.resolution import measure_resolutions
    from panoptic.commands.console import progress

    found = measure_resolutions(cast(ResolutionConfig, OmegaConf.to_object(config)), progress)
    _print(found)
    return found.folder


def _print(found: Resolutions) -> None:
    from panoptic.commands.console import print_rows

    cells = [(row.resolution, f"{row.pq:.2f}", f"{row.time:.2f}", f"{row.full:.0%}") for row in found.rows]
    columns = ("resolution", "PQ", "time", "at full size")
    print_rows(
        f"{found.split}: {found.images} images; points of PQ, time relative to full size", columns, cells, keys=1
    )
    threshold = f"first look at {found.rule.first:g}, threshold of the object density {found.rule.threshold:.3f}"
    print(f"adaptive: {threshold}{', stored in the checkpoint' if found.stored else ''}")
    adaptive = found.rows[-1]
    if adaptive.time >= 1:
        print(f"note: adaptive takes {adaptive.time:.2f} of the time of full size, and so is of no use here")
    print(f"results: {found.folder}")
