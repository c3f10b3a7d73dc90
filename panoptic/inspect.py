"""``python -m panoptic.inspect``; see :mod:`panoptic.commands.inspect`."""

from panoptic.commands.app import command
from panoptic.commands.inspect import inspect

if __name__ == "__main__":
    command("inspect", inspect)
