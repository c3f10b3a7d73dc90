"""Figures written as soon as they are there, failures noted and passed over, all within a time limit."""

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
    """The figures of one part, in a JSON file that is always whole.

    Args:
        path: of the file.
        seconds: that the part may take.

    Attributes:
        figures: by name.
        failures: tracebacks by name.
        left_out: why a figure was not taken, by name.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.ends = time.monotonic() + seconds
        self.figures: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self.left_out: dict[str, str] = {}

    def left(self) -> float:
        """Seconds until the part must end."""
        return self.ends - time.monotonic()

    def measure(self, name: str, call: Callable[[], Any], needs: float = 0.0) -> Any:
        """Keep what a call returns; return it, or ``None`` if it failed or there was no time.

        Args:
            name: of the figure.
            call: takes it.
            needs: seconds that must be left to begin.
        """
        if self.left() < needs:
            self.left_out[name] = f"{self.left():.0f} s were left, {needs:.0f} are needed"
            self.write()
            return None
        value = None
        try:
            value = self.figures[name] = call()
        except Exception as error:
            # Frames hold tensors: without them, a failure for want of memory would leave none to the next figure.
            self.failures[name] = without_paths(traceback.format_exc())
            traceback.clear_frames(error.__traceback__)
        self.write()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return value

    def write(self) -> None:
        """Replace the file."""
        write_json(self.path, {"figures": self.figures, "failures": self.failures, "left out": self.left_out})


def without_paths(text: str) -> str:
    """A text without the paths of this machine, so that a file of figures can be published."""
    for path, name in ((CHECKOUT, "."), (Path(sys.prefix), "<python>"), (Path(tempfile.gettempdir()), "<tmp>")):
        text = text.replace(str(path), name)
    return re.sub(r"(?<![\w.>/:])/(?:[\w.+-]+/)+", "", text)
