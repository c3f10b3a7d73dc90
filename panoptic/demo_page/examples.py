"""Images to try the page with."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from panoptic.data.images import read_image
from panoptic.scenes.source import SyntheticSource

MOST = 3
"""Number of examples."""


class Example(NamedTuple):
    """Image to try the page with.

    Attributes:
        name: Name for display.
        image: RGB image, uint8 ``[H W 3]``.
    """

    name: str
    image: np.ndarray


def examples(checkout: Path = Path(__file__).parents[2]) -> list[Example]:
    """Return images of the checkout's data set, and one synthetic scene; scenes alone where there is no checkout.

    Args:
        checkout: Folder of the checkout.
    """
    files = sorted((checkout / "examples" / "nuclei" / "val").glob("*.png"))
    found = [Example(f"nuclei {n}", read_image(file)) for n, file in enumerate(islice(files, MOST - 1), 1)]
    scenes = SyntheticSource(split="val", size=MOST, height=256, width=512)
    drawn = [Example(f"scene {n + 1}", scenes.read(n).image) for n in range(MOST - len(found))]
    return [*drawn, *found]
