"""``python -m panoptic.resolution``; see :mod:`panoptic.commands.resolution`."""

from panoptic.commands.app import command
from panoptic.commands.resolution import resolution

if __name__ == "__main__":
    command("resolution", resolution)
