"""``python -m panoptic.convert``; see :mod:`panoptic.commands.convert`."""

from panoptic.commands.app import command
from panoptic.commands.convert import convert

if __name__ == "__main__":
    command("convert", convert)
