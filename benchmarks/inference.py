"""``python -m benchmarks.inference``: inference from a uint8 image to segments, compared with other networks.

All calls run alternately in one process; times are medians, after a warm-up run. Weights are random, so decoding gets
synthetic outputs that contain a hundred things on a quarter of the image. Memory is the peak of a fresh process with a
single network (on a GPU, of the allocated memory). Other networks need ``pip install -e '.[bench]'``.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import cpu_tables
from benchmarks.measuring import (
    at_least_one,
    experiment,
    find_device,
    in_own_process,
    in_turn,
    machine,
    peak_memory,
    write,
)
from benchmarks.peers import NUM_CLASSES, PEERS
from panoptic.codec import Codec, Outputs
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.models.network import PanopticNetwork
from panoptic.segments import Segments
from panoptic.training.checkpoint import build_codec, build_network
from panoptic.utils.malloc import keep_freed_memory

OURS, BACKBONE = "panoptic, adaptive, R50", "ResNet-50 backbone alone (timm)"

SEPARABLE = ("model.semantic_head.separable=true", "model.instance_head.separable=true")
NARROW = ("model.fpn.channels=96", "model.semantic_head.channels=96", "model.instance_head.channels=96")
VARIANTS = {"separable heads": SEPARABLE, "96 channels": NARROW}
"""Overrides of faster variants of the network, by what they are called."""


def crowded(codec: Codec, batch: int, size: tuple[int, int], things: int, device: torch.device) -> Outputs:
    """Create network outputs that decode to cars in rows on a road below a sky; cars cover a quarter of the image.

    Args:
        codec: Codec that encodes the segments.
        batch: Number of images.
        size: Height and width of the images.
        things: Number of cars.
        device: Device of the outputs.
    """
    height, width = size
    columns = round((things * width / height) ** 0.5)
    rows = -(-things // columns)
    ids = torch.ones(height, width, dtype=torch.int32)
    ids[: height // 2] = 2
    for i in range(things):
        row, column = divmod(i, columns)
        cell_height, cell_width = height // rows, width // columns
        top, left = row * cell_height, column * cell_width
        ids[top : top + cell_height // 2, left : left + cell_width // 2] = 3 + i
    names = CITYSCAPES.names
    classes = torch.tensor([names.index("road"), names.index("sky")] + [names.index("car")] * things)
    segments = Segments.stack([Segments(ids, classes, torch.zeros(2 + things, dtype=torch.bool))] * batch).to(device)
    outputs = codec.encode(segments).as_outputs(codec.labels.num_classes)
    return outputs._replace(semantic=outputs.semantic.contiguous(memory_format=torch.channels_last))


def our_network(device: torch.device, *overrides: str) -> tuple[PanopticNetwork, Predictor]:
    """Build the network of the experiment ``full`` and its predictor."""
    config = experiment("full", *overrides)
    network = build_network(config, NUM_CLASSES).eval().to(device)
    return network, Predictor(network, build_codec(config, CITYSCAPES, network), device)


def stages(predictor: Predictor, images: Tensor, decoded: Outputs) -> dict[str, Callable[[], Any]]:
    """Return the stages of inference as calls on the precomputed results of earlier stages."""
    network, size = predictor.network, tuple(images.shape[-2:])
    normalized = network.normalize(images)
    features = network.backbone(normalized)
    levels = network.fpn(features)
    complexity = network.complexity(levels)
    fused, _ = network.fusion(levels, complexity)
    return {
        "normalize": lambda: network.normalize(images),
        "backbone, BatchNorm folded": lambda: network.backbone(normalized),
        "FPN": lambda: network.fpn(features),
        "complexity + fusion": lambda: network.fusion(levels, network.complexity(levels)),
        "semantic head": lambda: network.semantic_head(fused),
        "instance head": lambda: network.instance_head(fused),
        "decode": lambda: predictor.codec.decode(decoded, size),
    }


def _predict(predictor: Predictor, images: Tensor, decoded: Outputs) -> None:
    """Run the network on images, and decode other outputs."""
    predictor.network(images)
    predictor.codec.decode(decoded, tuple(images.shape[-2:]))


@torch.inference_mode()
def compare(
    size: tuple[int, int], batch: int, things: int, repeats: int, peers: list[str], compiled: bool
) -> dict[str, Any]:
    """Measure the seconds of all networks and stages at one size and batch size."""
    device = find_device()
    network, predictor = our_network(device)
    images = torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8).permute(0, 3, 1, 2).to(device)
    normalized = network.normalize(images)
    decoded = crowded(predictor.codec, batch, size, things, device)
    found = int((predictor.codec.decode(decoded).classes[0] == CITYSCAPES.names.index("car")).sum())
    assert found == things, f"expected {things} things to decode, found {found}"

    calls: dict[str, Callable[[], Any]] = {
        BACKBONE: lambda: network.backbone(normalized),
        OURS: partial(_predict, predictor, images, decoded),
    }
    for name, overrides in VARIANTS.items():
        calls[f"{OURS}, {name}"] = partial(_predict, our_network(device, *overrides)[1], images, decoded)
    if compiled:
        other = copy.deepcopy(predictor.network)
        other.compile()
        calls[f"{OURS}, compiled"] = lambda: (other(images), predictor.codec.decode(decoded, size))
    for name in peers:
        peer = PEERS[name](device)
        calls[name] = lambda run=peer.run: run(images)
    by_things = {count: crowded(predictor.codec, batch, size, count, device) for count in (1, 10, things)}
    decoding = {n: lambda o=outputs: predictor.codec.decode(o, size) for n, outputs in by_things.items()}
    return {
        "size": list(size),
        "batch": batch,
        "things": things,
        "seconds": in_turn(calls, repeats, device),
        "stages": in_turn(stages(predictor, images, decoded), 2 * repeats, device),
        "decode by things": in_turn(decoding, repeats, device),
    }


@torch.inference_mode()
def alone(name: str, size: tuple[int, int]) -> float:
    """Return the peak memory in gigabytes of one network with one image."""
    device = find_device()
    images = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8).permute(0, 3, 1, 2).to(device)
    if name in PEERS:
        run = PEERS[name](device).run
        return peak_memory(lambda: run(images), device)
    network, predictor = our_network(device)
    if name == BACKBONE:
        return peak_memory(lambda: network.backbone(network.normalize(images)), device)

    def ours() -> None:
        predictor.codec.decode(predictor.network(images), size)

    return peak_memory(ours, device)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=7, help="number of runs of each call")
    parser.add_argument("--things", type=at_least_one, default=100, help="number of things to decode")
    parser.add_argument("--no-peers", action="store_true", help="omit other networks")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile, which takes another minute")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--memory-of", nargs=3, metavar=("NAME", "HEIGHT", "WIDTH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    kept = keep_freed_memory()
    torch.manual_seed(0)
    if arguments.memory_of:
        name, height, width = arguments.memory_of
        print(json.dumps(alone(name, (int(height), int(width)))))
        return
    device = find_device()
    peers = [] if arguments.no_peers else list(PEERS)
    report = {"machine": machine(*([] if arguments.no_peers else ["transformers", "segmentation-models-pytorch"]))}
    report["freed memory kept"] = kept
    report["runs"] = []
    for batch in (1, 8) if device.type == "cuda" else (1,):
        run = compare((512, 1024), batch, arguments.things, arguments.repeats, peers, arguments.compile)
        report["runs"].append(run)
    report["peak memory, GB"] = {
        f"{height}x{width}": {
            name: in_own_process("benchmarks.inference", "--memory-of", name, str(height), str(width))
            for name in (BACKBONE, OURS, *(peers if height == 512 else ()))
        }
        for height, width in ((512, 1024), (1024, 2048))
    }
    print(cpu_tables.inference(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
