"""``python -m panoptic.scenes``; see :mod:`panoptic.commands.scenes`."""

from panoptic.commands.app import command
from panoptic.commands.scenes import scenes

if __name__ == "__main__":
    command("scenes", scenes)
