"""Pictures for the dashboard of a run, whichever logger writes it."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.loggers import Logger, TensorBoardLogger


def takes_pictures(logger: Logger | None) -> bool:
    """Return whether a logger takes pictures."""
    return isinstance(logger, TensorBoardLogger)


def log_picture(logger: Logger | None, tag: str, picture: UInt8[np.ndarray, "H W 3"], step: int) -> None:
    """Write a picture to the dashboard, if its logger takes pictures.

    Args:
        logger: Logger of the run; ``None`` writes nothing.
        tag: Name of the picture.
        picture: Picture to write.
        step: Training step that it belongs to.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(tag, picture, step, dataformats="HWC")
