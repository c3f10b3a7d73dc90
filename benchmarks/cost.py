"""``python -m benchmarks.cost``: floating-point operations of the network of an experiment for one image.

Arguments are experiments (by default ``full``). The operations are counted by torch, with a multiply-add as two; the
backward pass needs about twice as many in addition.
"""

from __future__ import annotations

import sys

import torch
from hydra import compose, initialize_config_dir
from torch.utils.flop_counter import FlopCounterMode

from panoptic.config.composing import config_path
from panoptic.config.schema import register
from panoptic.labels import CITYSCAPES
from panoptic.training.checkpoint import build_network

SIZES = ((512, 1024), (1024, 2048))


def main(experiments: list[str]) -> None:
    """Print the operations of the forward pass at both sizes."""
    register()
    with initialize_config_dir(config_path(), version_base="1.3"):
        for experiment in experiments or ["full"]:
            config = compose("train", [f"experiment={experiment}", "model.backbone.weights=random"])
            network = build_network(config, CITYSCAPES.num_classes).to("meta")
            for size in SIZES:
                image = torch.empty(1, 3, *size, dtype=torch.uint8, device="meta")
                with FlopCounterMode(display=False) as counter, torch.no_grad():
                    network(image)
                print(f"{experiment}: {size[0]}x{size[1]}: {counter.get_total_flops() / 1e9:.0f} GFLOP")


if __name__ == "__main__":
    main(sys.argv[1:])
