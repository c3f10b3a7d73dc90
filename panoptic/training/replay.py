"""``python -m panoptic.training.replay RUN/nonfinite.ckpt``: repeat the step at which a run ended."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch

from panoptic.config.composing import build
from panoptic.data.batch import collate
from panoptic.data.sampler import SampleKey
from panoptic.errors import InputError
from panoptic.training.checkpoint import build_codec, read_checkpoint, restore_network


def replay(checkpoint: str | Path) -> dict[str, float]:
    """Repeat the step at which a run ended because its numbers were not finite, in single precision.

    Args:
        checkpoint: The file ``nonfinite.ckpt`` of the run, with ``nonfinite.json`` beside it.

    Returns:
        Terms of the loss, and ``gradient``, the norm of the gradient.

    Raises:
        InputError: If the file is not one of those.
    """
    path = Path(checkpoint)
    read = read_checkpoint(path)
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        keys = [SampleKey(*key) for key in about["keys"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.with_suffix('.json')}: expected the keys of a batch, got none") from error
    dataset = build(read.config.data, seed=read.config.seed).training_dataset()
    batch = collate([dataset[key] for key in keys], dataset.crop)
    network = restore_network(read).train()
    assert batch.segments is not None  # the training data set refuses images without ground truth
    extents = batch.extents if batch.is_padded else None
    targets = build_codec(read.config, read.labels, network).encode(batch.segments, extents)
    loss = build(read.config.loss, names=read.labels.names)
    if loss.needs_levels:
        outputs, of_levels = network.with_levels(batch.images, extents)
    else:
        outputs, of_levels = network(batch.images, extents=extents), []
    terms = loss(outputs, targets, of_levels)
    terms["total"].backward()
    gradients = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    return {name: float(value.detach()) for name, value in terms.items()} | {
        "gradient": float(torch.stack(gradients).norm())
    }


if __name__ == "__main__":
    try:
        for name, value in replay(sys.argv[1] if len(sys.argv) > 1 else "").items():
            print(f"{name}: {value:.6g}{'' if math.isfinite(value) else '  <- not finite'}")
    except InputError as error:
        sys.exit(f"panoptic: {error}")
