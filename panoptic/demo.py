"""``python -m panoptic.demo``; see :mod:`panoptic.commands.demo`."""

from panoptic.commands.app import command
from panoptic.commands.demo import demo

if __name__ == "__main__":
    command("demo", demo)
