"""``python -m benchmarks.export``: exported networks compared with PyTorch, in what they find and how long they take.

Agreement is the share of pixels with the same class and the same instance. It is measured for the network of ``full``
with random weights, whose heads are widened so that their maps vary, and for the given checkpoints; on synthetic
scenes, on the validation images of ``examples/nuclei``, and on the given images. Times are those of one image on the
CPU, from uint8 to segments, medians of alternating runs in one process; decoding by the number of things is timed
alone, since random weights find none. OpenVINO is measured where it is installed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from benchmarks import cpu_tables
from benchmarks.inference import crowded, our_network
from benchmarks.measuring import at_least_one, in_turn, machine, write
from panoptic.codec import Codec, Outputs
from panoptic.codec.traced import decode
from panoptic.data.images import find_images, read_image
from panoptic.inference.export.exporting import predict, share_of_agreement
from panoptic.inference.export.formats import OPSET, convert_to_openvino, load_onnx, load_openvino, write_onnx
from panoptic.inference.export.graph import ExportedNetwork
from panoptic.inference.predictor import Predictor
from panoptic.models import PanopticNetwork
from panoptic.scenes.source import SyntheticSource
from panoptic.training.checkpoint import build_codec, read_checkpoint, restore_network
from panoptic.utils.malloc import keep_freed_memory

CHECKOUT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
SIZE = (512, 1024)


class Decoding(nn.Module):
    """Decoding alone, as it is exported.

    Args:
        codec: Codec of the network.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, semantic: Tensor, center: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
        """Decode the maps that decoding reads."""
        unused = semantic.new_zeros(1)
        outputs = Outputs(semantic, center, offset, unused, unused, unused, unused)
        return tuple(decode(self.codec, outputs, (semantic.shape[2], semantic.shape[3])))


def widened(network: PanopticNetwork) -> PanopticNetwork:
    """Widen the last layers of a network with random weights in place, so that its maps vary."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (network.semantic_head.logits, network.instance_head.center, network.instance_head.offset):
            assert layer.conv.bias is not None
            layer.conv.weight.normal_(std=5.0, generator=generator)
            layer.conv.bias.zero_()
    return network


def image_sets(given: list[str]) -> dict[str, list[np.ndarray]]:
    """Return images by name; those given are ``NAME=FILE|DIR|GLOB``, of which at most 20 are read."""
    scenes = SyntheticSource(split="val", size=20, height=256, width=512, generator=2)
    sets = {
        "20 synthetic scenes": [scenes.read(index).image for index in range(20)],
        "nuclei, val": [read_image(path) for path in sorted((CHECKOUT / "examples/nuclei/val").glob("*.*"))],
    }
    for name, _, pattern in (each.partition("=") for each in given):
        sets[name] = [read_image(path) for path in find_images(pattern)[:20]]
    return sets


def agreement(
    network: PanopticNetwork, codec: Codec, sets: dict[str, list[np.ndarray]], folder: Path
) -> list[dict[str, Any]]:
    """Return the agreement of an ONNX file with PyTorch on sets of images."""
    predictor = Predictor(network, codec, CPU)
    write_onnx(ExportedNetwork(network, codec), folder / "network.onnx")
    run = load_onnx(folder / "network.onnx")
    rows = []
    for name, images in sets.items():
        shares = [share_of_agreement(run, predictor, image) for image in images]
        things = [sum(predictor.labels.is_thing[c] for c in run(i[None])["classes"][0] if c >= 0) for i in images]
        mean = float(np.average(shares, weights=[image[..., 0].size for image in images]))
        rows.append(
            {
                "images": name,
                "count": len(images),
                "things": float(np.mean(things)),
                "mean": mean,
                "lowest": min(shares),
            }
        )
    return rows


def times(original: PanopticNetwork, predictor: Predictor, repeats: int, folder: Path) -> dict[str, float]:
    """Return the seconds from an image to segments."""
    network = ExportedNetwork(original, predictor.codec)
    write_onnx(network, folder / "network.onnx")
    run = load_onnx(folder / "network.onnx")
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    calls: dict[str, Callable[[], Any]] = {
        "PyTorch": lambda: predict(predictor, image),
        "ONNX Runtime": lambda: run(image[None]),
    }
    if find_spec("openvino"):
        convert_to_openvino(folder / "network.onnx", network.record(), folder / "network.xml")
        other = load_openvino(folder / "network.xml")
        calls["OpenVINO"] = lambda: other(image[None])
    return in_turn(calls, repeats, CPU)


@torch.inference_mode()
def decoding_times(codec: Codec, repeats: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return the seconds of decoding alone, by number of things."""
    import onnxruntime

    maps = crowded(codec, 2, (64, 96), 4, CPU)
    sizes = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, {0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC})
    program = torch.onnx.export(
        Decoding(codec),
        tuple(each.contiguous() for each in maps[:3]),
        dynamo=True,
        dynamic_shapes=(*sizes, sizes[0]),
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    program.save(folder / "decoding.onnx", external_data=False)
    session = onnxruntime.InferenceSession(folder / "decoding.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    found = {}
    for things in (1, 10, 100):
        outputs = crowded(codec, 1, SIZE, things, CPU)
        feed = {name: each.contiguous().numpy() for name, each in zip(names, outputs[:3], strict=True)}
        assert np.array_equal(session.run(None, feed)[1], codec.decode(outputs, SIZE).ids.numpy())
        calls = {
            "PyTorch": lambda o=outputs: codec.decode(o, SIZE),
            "ONNX Runtime": lambda f=feed: session.run(None, f),
        }
        found[str(things)] = in_turn(calls, repeats, CPU)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=9, help="number of runs of each call")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NAME=FILE", help="also measure this one")
    parser.add_argument("--images", action="append", default=[], metavar="NAME=FILE|DIR|GLOB", help="also on these")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    kept = keep_freed_memory()
    torch.manual_seed(0)
    packages = ["onnxruntime", *(["openvino"] if find_spec("openvino") else [])]
    report: dict[str, Any] = {"machine": machine(*packages), "freed memory kept": kept, "size": list(SIZE)}
    network, predictor = our_network(CPU)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report["seconds"] = times(network, predictor, arguments.repeats, folder)
        report["decoding by things"] = decoding_times(predictor.codec, arguments.repeats, folder)
        sets = image_sets(arguments.images)
        title = "ResNet-50, random weights, widened heads"
        report["agreement"] = {title: agreement(widened(network), predictor.codec, sets, folder)}
        for title, _, path in (each.partition("=") for each in arguments.checkpoint):
            checkpoint = read_checkpoint(path)
            restored = restore_network(checkpoint)
            codec = build_codec(checkpoint.config, checkpoint.labels, restored)
            report["agreement"][title] = agreement(restored, codec, sets, folder)
    print(cpu_tables.exported(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
