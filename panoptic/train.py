"""``python -m panoptic.train``; see :mod:`panoptic.commands.train`."""

from panoptic.commands.app import command
from panoptic.commands.train import train

if __name__ == "__main__":
    command("train", train)
