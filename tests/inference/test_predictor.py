"""What the Python API says to images that it cannot take, told as a user without type checking at run time is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
from types import SimpleNamespace
import numpy as np
import torch
from panoptic.data.bands import Reading
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor

shapes = ((4, 5), (4, 5, 4), (4, 5, 3, 3), (0, 5, 3))
tensors = (torch.zeros(4, 5, 3, dtype=torch.uint8), torch.zeros(3, 4, 5))
for image in (np.ones((4, 5), np.uint16), torch.ones(1, 4, 5), np.array([[[1j]]])):
    try:
        Predictor._to_array(SimpleNamespace(reading=Reading(normalize="percentile")), image)
    except InputError as error:
        print(error)
ramp = np.arange(4 * 5 * 3).reshape(4, 5, 3)
scaled = SimpleNamespace(reading=Reading(normalize="percentile"))
for image in (ramp, ramp / 7, torch.tensor(ramp).permute(2, 0, 1).float()):
    print(Predictor._to_array(scaled, image)[[0, -1], [0, -1]].tolist())
for image in (*(np.zeros(shape, np.uint8) for shape in shapes), np.zeros((4, 5, 3)), 7, *tensors, "photo.jpg"):
    try:
        Predictor._to_array(SimpleNamespace(reading=Reading()), image)
    except InputError as error:
        print(error)
"""


def test_images_that_are_no_plain_rgb_are_named():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120
    )
    expected = "image: expected a path, a picture of Pillow or an array uint8 [H W 3], got "
    came = ["uint8 [4, 5]", "uint8 [4, 5, 4]", "uint8 [4, 5, 3, 3]", "uint8 [0, 5, 3]", "float64 [4, 5, 3]", "int"]
    numbers = "image: expected a path, a picture of Pillow or an array of numbers [H W 3], got "
    assert done.stdout.splitlines() == [
        f"{numbers}uint16 [4, 5]",
        "image: expected a tensor of numbers [3 H W], got torch.float32 [1, 4, 5]",
        f"{numbers}complex128 [1, 1, 1]",
        *["[[0, 0, 0], [255, 255, 255]]"] * 3,
        *(expected + c for c in came),
        "image: expected a tensor uint8 [3 H W], got torch.uint8 [4, 5, 3]",
        "image: expected a tensor uint8 [3 H W], got torch.float32 [3, 4, 5]",
        "photo.jpg: expected an image, got a path that is not there",
    ], done.stderr
