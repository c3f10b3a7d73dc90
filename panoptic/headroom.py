"""``python -m panoptic.headroom``; see :mod:`panoptic.commands.headroom`."""

from panoptic.commands.app import command
from panoptic.commands.headroom import headroom

if __name__ == "__main__":
    command("headroom", headroom)
