"""``python -m panoptic COMMAND``, which the console script ``panoptic`` runs too."""

from __future__ import annotations

import sys
from importlib import import_module

from panoptic import __version__

COMMANDS = {
    "train": "Train a network on a data set, or on synthetic scenes.",
    "evaluate": "Score a checkpoint on a split of its data.",
    "headroom": "Measure what choosing fusion weights could gain at most.",
    "predict": "Segment images with a checkpoint.",
    "export": "Write a network to a file that runs without PyTorch.",
    "demo": "Serve a web page that segments the images dropped on it.",
    "resolution": "Choose the resolution of an image by its complexity.",
    "score": "Score saved predictions against a ground truth.",
    "compare": "Compare finished runs by seed, or any models by image.",
    "convert": "Make a data set in COCO panoptic format from other label files.",
    "inspect": "Check a data set for faults, and show what is in it.",
    "scenes": "Write synthetic street scenes as a data set.",
}
"""Commands by name, each with what it does; the module of each has a function of its name."""


def main() -> None:
    """Run the command that the first argument names with the arguments after it."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(usage())
    elif name == "--version":
        print(f"panoptic {__version__}")
    elif name in COMMANDS:
        from panoptic.commands.app import command

        sys.argv[:2] = [f"panoptic {name}"]
        command(name, getattr(import_module(f"panoptic.commands.{name}"), name))
    else:
        sys.exit(f"panoptic: expected a command ({', '.join(COMMANDS)}), got {name!r}")


def usage() -> str:
    """Return the text of ``panoptic --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, about in COMMANDS.items()]
    return "\n".join(["usage: panoptic COMMAND [key=value ...]", "", *lines, "", "panoptic COMMAND --help: its keys"])


if __name__ == "__main__":
    main()
