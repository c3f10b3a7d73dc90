"""``python -m benchmarks.latency``: time until one image is segmented, beside the pipeline of ``transformers``.

Cold is from the start of a process to its result on disk: ``panoptic predict``, a program that loads the exported file
without PyTorch, and one that makes transformers' image-segmentation pipeline with Mask2Former. Warm is from the path of
the image to segments in memory, in one process. Both networks have a ResNet-50 and random weights, so that almost
nothing is found and post-processing costs little; both see the image at its own size. Candidates alternate, and figures
are medians after a warm-up run. Needs ``pip install -e '.[bench,export]'``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import cpu_tables
from benchmarks.measuring import at_least_one, find_device, in_turn, machine, write
from benchmarks.peers import mask2former
from benchmarks.startup import FIRST_STEP
from panoptic import OnnxPredictor, Predictor
from panoptic.inference.export.formats import write_onnx
from panoptic.inference.export.graph import ExportedNetwork
from panoptic.scenes.source import SyntheticSource
from panoptic.training.checkpoint import build_codec, read_checkpoint, restore_network

CHECKOUT = Path(__file__).resolve().parents[1]
SIZE = (512, 1024)
COMMAND = "panoptic predict"
EXPORTED, PEER = "OnnxPredictor, without PyTorch", "pipeline of transformers, Mask2Former-R50"
PREDICTOR = "Predictor"

PEER_PROGRAM = """
import json, sys
import numpy as np
from PIL import Image
from transformers import pipeline

folder, image, output = sys.argv[1:]
found = pipeline("image-segmentation", model=folder)(image, subtask="panoptic")
ids = np.zeros(Image.open(image).size[::-1], np.uint8)
for number, segment in enumerate(found, 1):
    ids[np.asarray(segment["mask"]) > 0] = number
Image.fromarray(ids).save(f"{output}.png")
with open(f"{output}.json", "w") as file:
    json.dump([{"label": segment["label"], "score": segment["score"]} for segment in found], file)
"""

EXPORTED_PROGRAM = """
import json, sys
from panoptic import OnnxPredictor

file, image, output = sys.argv[1:]
picture, infos = OnnxPredictor(file)(image).to_coco()
picture.save(f"{output}.png")
with open(f"{output}.json", "w") as file:
    json.dump(infos, file)
assert "torch" not in sys.modules
"""

IMPORT_PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def process(*arguments: str | Path) -> str:
    """Run Python in a process of its own, without access to a model hub, and return its output.

    Raises:
        RuntimeError: If it fails.
    """
    known = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": known, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()[-400:]}")
    return done.stdout


def write_networks(folder: Path) -> dict[str, float]:
    """Write an image and the networks to a folder, and return the millions of weights of each network.

    Ours is that of ``full`` after a single step, as a checkpoint and as an ONNX file.
    """
    scene = SyntheticSource(split="val", size=1, height=SIZE[0], width=SIZE[1], generator=2).read(0)
    Image.fromarray(scene.image).save(folder / "image.png")
    run = ("-m", "panoptic.train", "experiment=full", "model.backbone.weights=random", *FIRST_STEP)
    process(*run, f"hydra.run.dir={folder / 'run'}")
    checkpoint = read_checkpoint(folder / "run" / "checkpoints" / "last.ckpt")
    ours = restore_network(checkpoint)
    write_onnx(ExportedNetwork(ours, build_codec(checkpoint.config, checkpoint.labels, ours)), folder / "network.onnx")
    from transformers import Mask2FormerImageProcessor

    theirs = mask2former(torch.device("cpu")).network
    theirs.save_pretrained(folder / "mask2former")
    processor = Mask2FormerImageProcessor(size={"height": SIZE[0], "width": SIZE[1]})
    processor.save_pretrained(folder / "mask2former")
    return {
        "panoptic, adaptive, R50": sum(weight.numel() for weight in ours.parameters()) / 1e6,
        "Mask2Former-R50": sum(weight.numel() for weight in theirs.parameters()) / 1e6,
    }


def cold_calls(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the programs that segment the image and write what they found."""
    image = folder / "image.png"
    given = (f"checkpoint={folder / 'run' / 'checkpoints' / 'last.ckpt'}", f"input={image}", f"output={folder / 'out'}")
    return {
        COMMAND: lambda: process("-m", "panoptic", "predict", *given),
        EXPORTED: lambda: process("-c", EXPORTED_PROGRAM, folder / "network.onnx", image, folder / "exported"),
        PEER: lambda: process("-c", PEER_PROGRAM, folder / "mask2former", image, folder / "peer"),
    }


def warm_calls(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the predictors, loaded, as calls from the path of the image to segments in memory."""
    from transformers import pipeline

    image = str(folder / "image.png")
    predictor = Predictor.load(folder / "run" / "checkpoints" / "last.ckpt")
    exported = OnnxPredictor(folder / "network.onnx")
    device = -1 if find_device().type == "cpu" else 0
    peer = pipeline("image-segmentation", model=str(folder / "mask2former"), device=device)
    processed = peer.image_processor(Image.open(image), return_tensors="pt")["pixel_values"]
    assert tuple(processed.shape[-2:]) == SIZE, f"expected the image at its own size, got {tuple(processed.shape)}"
    return {
        PREDICTOR: lambda: predictor(image),
        EXPORTED: lambda: exported(image),
        PEER: lambda: peer(image, subtask="panoptic"),
    }


def import_seconds(repeats: int) -> dict[str, float]:
    """Return the median seconds that packages take to import in a fresh process."""
    seconds: dict[str, list[float]] = {name: [] for name in ("panoptic", "torch", "transformers")}
    for i in range(repeats + 1):
        for name, values in seconds.items():
            found = float(process("-c", IMPORT_PROGRAM.format(name)))
            if i:
                values.append(found)
    return {f"import {name}": float(np.median(values)) for name, values in seconds.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=5, help="number of runs of each candidate")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    report: dict[str, Any] = {"machine": machine("transformers", "onnxruntime"), "size": list(SIZE)}
    report["repeats"] = arguments.repeats
    report["import, s"] = import_seconds(arguments.repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report["weights, millions"] = write_networks(folder)
        report["cold, s"] = in_turn(cold_calls(folder), arguments.repeats)
        report["segments found"] = {
            "panoptic": len(json.loads((folder / "exported.json").read_text())),
            "Mask2Former-R50": len(json.loads((folder / "peer.json").read_text())),
        }
        report["warm, s"] = in_turn(warm_calls(folder), arguments.repeats, find_device())
    print(cpu_tables.latency(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
