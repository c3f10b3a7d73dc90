"""``python -m panoptic.score``; see :mod:`panoptic.commands.score`."""

from panoptic.commands.app import command
from panoptic.commands.score import score

if __name__ == "__main__":
    command("score", score)
