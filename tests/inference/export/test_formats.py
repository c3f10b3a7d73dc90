"""Networks are recorded for images of any size, with each fusion, and say what they are.

In processes of their own: the checks of the signatures do not know the sizes that are recorded.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]

FUSIONS = """
import torch
import torch.nn.functional as F
from panoptic.models import fusion as fusions
from panoptic.models.complexity import ComplexityEstimate

NAMES = ("Adaptive", "Features", "Local", "Random", "Sized", "Static", "Uniform")

class All(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fusions = torch.nn.ModuleList(getattr(fusions, name + "Fusion")(4, 3) for name in NAMES)

    def forward(self, coarse):
        levels = [F.interpolate(coarse, scale_factor=factor) for factor in (4, 2, 1)]
        estimate = ComplexityEstimate(coarse[:, :2].abs().mean((2, 3)), coarse[:, :2].abs(), coarse[:, 1:].abs())
        inside = levels[0].shape[2] - 0.5, levels[0].shape[3] - 6.5
        return [fusion(levels, estimate, inside) for fusion in self.fusions]

torch.manual_seed(0)
network = All().eval()
with torch.no_grad():
    for weight in network.parameters():
        weight.add_(torch.randn_like(weight))
any_size = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)
example = (torch.randn(2, 4, 4, 5),)
recorded = torch.export.export(network, example, dynamic_shapes=any_size, strict=False).module()
for shape in ((1, 4, 3, 7), (3, 4, 6, 6)):
    coarse = torch.randn(shape)
    for name, found, expected in zip(NAMES, recorded(coarse), network(coarse), strict=True):
        torch.testing.assert_close(found[0], expected[0], msg=name)
        torch.testing.assert_close(found[1], expected[1], msg=name)
print("all")
"""

TORCH_EXPORT = """
import functools, pathlib, sys
import numpy as np, torch
from panoptic.codec import Codec
from panoptic.errors import InputError
from panoptic.inference.export.agreement import agreeing_pixels
from panoptic.inference.export.exporting import predict
from panoptic.inference.export.formats import load_torch_export, write_torch_export
from panoptic.inference.export.graph import ExportedNetwork
from panoptic.inference.predictor import Predictor
from panoptic.models import *
from tests.codec.made_maps import LABELS

BANDS = 4

def network():
    return PanopticNetwork(
        functools.partial(Backbone, "test_resnet", "random"),
        functools.partial(FPN, channels=8),
        functools.partial(ComplexityEstimator, channels=8),
        UniformFusion,
        functools.partial(SemanticHead, channels=8, depth=1, upsample=2),
        functools.partial(InstanceHead, channels=8, depth=1, upsample=2),
        num_classes=len(LABELS),
        context=functools.partial(PyramidPooling, channels=8),
        fusion_per_head=True,
        in_channels=BANDS,
    )

made = network().eval()
torch.manual_seed(0)
with torch.no_grad():
    for layer in (made.semantic_head.logits, made.instance_head.center, made.instance_head.offset):
        layer.conv.weight.normal_(std=10.0)  # varied maps
        layer.conv.bias.zero_()
codec = Codec(LABELS, stride=2, max_things=5, stuff_area=20)
path = pathlib.Path(sys.argv[1])
write_torch_export(ExportedNetwork(made, codec), path)
run, predictor = load_torch_export(path), Predictor(made, codec, "cpu")
things = 0
for shape in ((64, 96, BANDS), (75, 101, BANDS)):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected, found = predict(predictor, image), run(image[None])
    ids, classes = expected.ids[0].numpy(), expected.classes[0].numpy()
    assert agreeing_pixels(ids, classes, found["ids"][0], found["classes"][0]) > 0.999 * ids.size
    things += sum(LABELS.is_thing[c] for c in classes)
assert things
torch.export.save(torch.export.export(torch.nn.Identity(), (torch.zeros(1),)), path)
try:
    load_torch_export(path)
except InputError as error:
    print(error)
"""


def told_by(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.soak
def test_every_fusion_can_be_recorded():
    assert told_by(FUSIONS) == ["all"]


@pytest.mark.soak
def test_a_file_of_torch_export(tmp_path: Path):
    path = tmp_path / "network.pt2"
    (unknown,) = told_by(TORCH_EXPORT, str(path))
    assert unknown == f"{path}: expected a network that python -m panoptic.export wrote, got one without its record"


@pytest.mark.parametrize("name", ["onnx", "torch_export", "openvino"])
def test_each_format_says_what_it_needs(name: str, monkeypatch: pytest.MonkeyPatch):
    from panoptic.errors import InputError
    from panoptic.inference.export import formats

    if tuple(map(int, version("torch").split(".")[:2])) < (2, 10):
        pytest.skip("torch is too old, which is said first")
    monkeypatch.setattr(formats, "find_spec", lambda package: None)
    if name == "torch_export":
        assert formats.find_format(name).suffix == ".pt2"
        return
    with pytest.raises(InputError, match=f"format={name}: expected the packages .*; pip install 'panoptic-adaptive-"):
        formats.find_format(name)
