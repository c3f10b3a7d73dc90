"""``python -m panoptic.headroom``: measure what choosing fusion weights could gain at most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from omegaconf import DictConfig, OmegaConf

from panoptic.config.schema import HeadroomConfig

if TYPE_CHECKING:
    from panoptic.analysis.headroom import Headroom


def headroom(config: DictConfig) -> Path:
    """Measure as configured, and return the folder with the results.

    Raises:
        InputError: If an option, the checkpoint or the data cannot be used.
    """
    from panoptic.analysis.headroom import measure_headroom
    from panoptic.commands.console import progress

    found = measure_headroom(cast(HeadroomConfig, OmegaConf.to_object(config)), progress)
    _print(found)
    return found.folder


def _print(found: Headroom) -> None:
    from panoptic.commands.console import print_rows

    columns = ("weights", "chosen on", "PQ", "gain", "95% interval")
    cells = [
        (
            row.weights,
            row.chosen_on,
            f"{row.pq:.2f}",
            f"{row.gain.value:+.2f}",
            f"{row.gain.low:+.2f} to {row.gain.high:+.2f}",
        )
        for row in found.rows
    ]
    print_rows(
        f"{found.split}: {found.images} images; points of PQ, gain over the best fixed weights", columns, cells, keys=2
    )
    best = ", ".join(f"{share:.2f}" for share in found.weightings[found.best])
    print(f"best fixed weights of all images, fine to coarse: {best}")
    print("weights chosen on the images that they are scored on gain from noise too: such a gain is optimistic")
    if not found.trained_with_random_weights:
        print(
            f"note: trained with {found.fusion}, not with model/fusion=random: the heads know its weights only, and "
            "others score lower than they could"
        )
    print(f"results: {found.folder}")
