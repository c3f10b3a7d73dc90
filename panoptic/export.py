"""``python -m panoptic.export``; see :mod:`panoptic.commands.export`."""

from panoptic.commands.app import command
from panoptic.commands.export import export

if __name__ == "__main__":
    command("export", export)
