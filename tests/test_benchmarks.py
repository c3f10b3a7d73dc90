"""What benchmarks are made of; the benchmarks themselves are run by hand, for a quiet machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

CODE = """
import torch
from benchmarks.inference import crowded
from benchmarks.loading import transforms
from benchmarks.measuring import in_turn, table
from benchmarks.scaling import exponent
from panoptic.codec import Codec
from panoptic.data.augment import photometric_pipeline
from panoptic.labels import CITYSCAPES

# Decoding finds as many things as it is said to, on a quarter of the lower and upper half alike.
codec = Codec(CITYSCAPES, stride=1, sigma=8.0, peak_window=15)
for count in (1, 10, 100):
    decoded = codec.decode(crowded(codec, 2, (512, 1024), count, torch.device("cpu")))
    cars = decoded.classes == CITYSCAPES.names.index("car")
    assert cars.sum(1).tolist() == [count] * 2
    share = (decoded.areas() * cars).sum(1) / (512 * 1024)
    assert ((0.2 < share) & (share < 0.26)).all(), share

order = []
seconds = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
assert order == ["a", "b"] * 3 and list(seconds) == ["a", "b"]

assert abs(exponent({1: 3.0, 2: 6.0, 4: 12.0}) - 1.0) < 1e-9
assert abs(exponent({1: 3.0, 2: 12.0, 4: 48.0}) - 2.0) < 1e-9
assert table("T", ("x", "y"), [("a", 0.12345), (None, 1234.5)]) == (
    "\\n**T**\\n\\n| x | y |\\n|---|---|\\n| a | 0.123 |\\n|  | 1234 |"
)

# A peer by this project's recipe is trained with the loss of its classes.
from omegaconf import OmegaConf
from benchmarks.camvid import semantic_loss
from panoptic.losses import PanopticLoss
settings = dict(boundary_weight=2.0, hard_pixels=0.5, class_balance=0.5, dice=3.0)
logits, classes = torch.randn(1, 4, 16, 16), torch.randint(0, 4, (1, 16, 16))
classes[0, 3:9] = 255
weight = torch.rand(1, 16, 16)
module = PanopticLoss(**settings)
outputs = type("Outputs", (), {"semantic": logits})
targets = type("Targets", (), {"semantic": classes, "semantic_weight": weight})
expected = module.losses["semantic"](outputs, targets) + 3 * module.losses["dice"](outputs, targets)
loss = semantic_loss("own", OmegaConf.create({"loss": settings}))(logits, classes, weight)
torch.testing.assert_close(loss, expected)
usual = semantic_loss("usual", None)(logits, classes, weight)
torch.testing.assert_close(usual, torch.nn.functional.cross_entropy(logits, classes, ignore_index=255))

# A folder is predicted as the command does it.
import tempfile
from pathlib import Path
from benchmarks.predicting import folder_of_images, predict_folder, predictor_of
with tempfile.TemporaryDirectory() as name:
    files = folder_of_images(Path(name), 2, (64, 128))
    predict_folder(predictor_of("quick"), files, Path(name) / "out")
    assert {path.stem for path in Path(name, "out", "overlays").iterdir()} == {file.name for file in files}

# Chances of what excludes each other add up to that of the choice.
chances = dict((type(t).__name__, p) for t, p in transforms(photometric_pipeline(1.0)))
assert chances["ColorJitter"] == 0.8
assert abs(sum(chances[name] for name in ("RandomRain", "RandomSnow", "RandomShadow")) - 0.1) < 1e-9
"""


def test_parts() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_make_runs_each_that_times_something() -> None:
    files = {file.stem for file in (CHECKOUT / "benchmarks").glob("*.py") if '"--output"' in file.read_text()}
    files -= {"camvid", "collecting", "gallery", "recording", "study"}  # whose figures are no times
    made = (CHECKOUT / "Makefile").read_text()
    assert files == {name for name in files if f"benchmarks.{name} --output" in made}
    assert {"allocation", "inference", "loading", "metrics", "scaling", "startup", "training"} <= files
