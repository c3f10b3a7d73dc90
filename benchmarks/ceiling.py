"""``python -m benchmarks.ceiling``: PQ of ``decode(encode(x))`` per experiment, an upper bound for training.

Arguments are experiments (by default ``full`` and ``quick``) and overrides of their configuration:
``python -m benchmarks.ceiling quick codec.sigma=1``. Scenes are the first 100 of the validation split.
"""

from __future__ import annotations

import sys

from hydra import compose, initialize_config_dir

from panoptic.codec import Codec
from panoptic.config.composing import build, config_path
from panoptic.config.schema import register
from panoptic.data.batch import collate
from panoptic.data.sample import Source
from panoptic.metrics import PanopticQuality
from panoptic.training.checkpoint import build_codec, build_network

SCENES = 100


def ceiling(codec: Codec, source: Source) -> dict[str, float]:
    """Score the decoded targets of all images."""
    metric = PanopticQuality(codec.labels)
    for index in range(len(source)):
        batch = collate([source.read(index)])
        outputs = codec.encode(batch.segments).as_outputs(codec.labels.num_classes)
        metric.update(codec.decode(outputs, batch.segments.size), batch.segments)
    return {name: float(value) for name, value in metric.compute().items()}


def main(arguments: list[str]) -> None:
    """Print the ceiling of each experiment."""
    experiments = [a for a in arguments if "=" not in a] or ["full", "quick"]
    overrides = [a for a in arguments if "=" in a]
    register()
    with initialize_config_dir(config_path(), version_base="1.3"):
        for experiment in experiments:
            config = compose("train", [f"experiment={experiment}", "model.backbone.weights=random", *overrides])
            config.data.val_size = SCENES
            data = build(config.data, seed=config.seed)
            codec = build_codec(config, data.labels, build_network(config, data.labels.num_classes))
            scores = ceiling(codec, data.val_source)
            line = ", ".join(f"{name} {scores[name]:.4f}" for name in ("pq", "sq", "rq", "pq_things", "pq_stuff"))
            print(f"{experiment}: stride {codec.stride}, {SCENES} scenes of {data.size[0]}x{data.size[1]}: {line}")


if __name__ == "__main__":
    main(sys.argv[1:])
