"""``python -m panoptic.compare``; see :mod:`panoptic.commands.compare`."""

from panoptic.commands.app import command
from panoptic.commands.compare import compare

if __name__ == "__main__":
    command("compare", compare)
