"""Recording of figures: each is written when measured, failures are recorded, and a time limit is kept."""

from __future__ import annotations

import gc
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from panoptic.utils.files import write_json

CHECKOUT = Path(__file__).resolve().parents[2]


class Record:
    """Figures of one part, in a JSON file that is written atomically.

    Args:
        path: Path of the JSON file.
        seconds: Time limit of the part.

    Attributes:
        figures: Figures by name.
        failures: Tracebacks by name.
        left_out: Reasons of skipped figures, by name.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.ends = time.monotonic() + seconds
        self.figures: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self.left_out: dict[str, str] = {}

    def left(self) -> float:
        """Return the seconds until the time limit."""
        return self.ends - time.monotonic()

    def measure(self, name: str, call: Callable[[], Any], needs: float = 0.0) -> Any:
        """Record and return the result of a call; return ``None`` if it fails or the remaining time is too short.

        Args:
            name: Name of the figure.
            call: Function that measures the figure.
            needs: Seconds that must remain to start.
        """
        if self.left() < needs:
            self.left_out[name] = f"{self.left():.0f} s were left, {needs:.0f} are needed"
            self.write()
            return None
        value = None
        try:
            value = self.figures[name] = call()
        except Exception as error:
            # Frames keep tensors alive; after an out-of-memory error, the next figure would fail as well.
            self.failures[name] = without_paths(traceback.format_exc())
            traceback.clear_frames(error.__traceback__)
        self.write()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return value

    def write(self) -> None:
        """Write the JSON file."""
        write_json(self.path, {"figures": self.figures, "failures": self.failures, "left out": self.left_out})


def without_paths(text: str) -> str:
    """Remove local paths from a text, so that the figures can be published."""
    for path, name in ((CHECKOUT, "."), (Path(sys.prefix), "<python>"), (Path(tempfile.gettempdir()), "<tmp>")):
        text = text.replace(str(path), name)
    return re.sub(r"(?<![\w.>/:])/(?:[\w.+-]+/)+", "", text)
