"""What the Python API says to images that it cannot take, told as a user without type checking at run time is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import numpy as np
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor

shapes = ((4, 5), (4, 5, 4), (4, 5, 3, 3), (0, 5, 3))
for image in (*(np.zeros(shape, np.uint8) for shape in shapes), np.zeros((4, 5, 3)), "photo.jpg"):
    try:
        Predictor.__call__(None, image)
    except InputError as error:
        print(error)
"""


def test_images_that_are_no_plain_rgb_are_named():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120
    )
    expected = "image: expected an RGB array, uint8 [H W 3], got "
    came = ["uint8 [4, 5]", "uint8 [4, 5, 4]", "uint8 [4, 5, 3, 3]", "uint8 [0, 5, 3]", "float64 [4, 5, 3]", "str"]
    assert done.stdout.splitlines() == [expected + c for c in came], done.stderr
