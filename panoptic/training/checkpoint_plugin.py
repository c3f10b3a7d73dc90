"""Lightning's plugin for the files of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import TorchCheckpointIO

from panoptic.training.checkpoint_io import load, save


class AtomicCheckpointIO(TorchCheckpointIO):
    """Plugin for Lightning's trainer that writes and reads checkpoints with :func:`save` and :func:`load`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint, without running code whatever ``weights_only`` says."""
        return load(Path(path), map_location)
