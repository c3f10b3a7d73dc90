"""``python -m panoptic.predict``; see :mod:`panoptic.commands.predict`."""

from panoptic.commands.app import command
from panoptic.commands.predict import predict

if __name__ == "__main__":
    command("predict", predict)
