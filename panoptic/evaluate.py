"""``python -m panoptic.evaluate``; see :mod:`panoptic.commands.evaluate`."""

from panoptic.commands.app import command
from panoptic.commands.evaluate import evaluate

if __name__ == "__main__":
    command("evaluate", evaluate)
