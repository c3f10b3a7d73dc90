"""Export of a checkpoint, checked against PyTorch before anything is written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from panoptic.data.bands import Reading
from panoptic.errors import InputError
from panoptic.inference.calibration import ScoreCalibration
from panoptic.inference.export.agreement import agreeing_pixels, seconds_in_turn
from panoptic.inference.export.formats import Run, find_format
from panoptic.inference.export.graph import ExportedNetwork
from panoptic.inference.predictor import Predictor
from panoptic.segments import Segments
from panoptic.training.checkpoint import Checkpoint, build_codec, restore_network
from panoptic.utils.files import replacing, writable_folder

LEAST = 0.999
"""Share of pixels with the same class and instance as PyTorch's below which an export fails."""

REPEATS = 5
"""Number of timed predictions of each."""


@dataclass(frozen=True)
class Exported:
    """Exported network.

    Attributes:
        path: File that was written.
        megabytes: Size of the file or files.
        images: Number of images of the check.
        agreement: Share of their pixels with the same class and instance as PyTorch's.
        lowest: The same of the image with the lowest share.
        size: Height and width of the image that was timed.
        seconds: Median seconds for it: ``PyTorch``, and the format.
    """

    path: Path
    megabytes: float
    images: int
    agreement: float
    lowest: float
    size: tuple[int, int]
    seconds: dict[str, float]


def export_checkpoint(
    checkpoint: Checkpoint, format: str, output: Path, images: Sequence[np.ndarray], repeats: int = REPEATS
) -> Exported:
    """Export the network of a checkpoint, and compare it with PyTorch on images, on the CPU.

    Args:
        checkpoint: Contents of the checkpoint.
        format: Format, a key of :data:`panoptic.inference.export.formats.FORMATS`.
        output: File to write or replace, with the suffix of the format.
        images: Images, uint8 ``[H W bands]``.
        repeats: Number of timed predictions of each.

    Raises:
        InputError: If the format, the file or the network cannot be used, or the two agree on too few pixels; then
            nothing is written.
    """
    form = find_format(format)
    if output.suffix != form.suffix:
        raise InputError(f"output={output}: expected a name that ends with {form.suffix} for format={format}")
    if output.is_dir():
        raise InputError(f"output={output}: expected a file, got a folder")
    restored = restore_network(checkpoint)
    predictor = Predictor(restored, build_codec(checkpoint.config, checkpoint.labels, restored), "cpu")
    calibration = ScoreCalibration.from_record(checkpoint.calibration, str(checkpoint.path))
    reading = Reading.of_data(checkpoint.config.data)
    network = ExportedNetwork(restored, predictor.codec, calibration, reading)
    writable_folder(output.parent, "output")
    with tempfile.TemporaryDirectory(prefix="panoptic_export_") as folder:
        made = Path(folder) / output.name
        form.write(network, made)
        run = form.load(made)
        shares = [share_of_agreement(run, predictor, image) for image in images]
        agreement = float(np.average(shares, weights=[image[..., 0].size for image in images]))
        if agreement < LEAST:
            raise InputError(
                f"output={output}: expected the export to agree with PyTorch on {LEAST:.1%} of the pixels at least, "
                f"got {agreement:.2%} on {len(images)} images; nothing was written"
            )
        largest = max(images, key=lambda image: image.size)
        seconds = seconds_in_turn(
            {"PyTorch": lambda: predict(predictor, largest), format: lambda: run(largest[None])}, repeats
        )
        files = sorted(Path(folder).iterdir())  # OpenVINO's weights before what names them
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        for file in files:
            with replacing(output.with_name(file.name)) as part:
                shutil.copyfile(file, part)
    size = (largest.shape[0], largest.shape[1])
    return Exported(output, megabytes, len(images), agreement, min(shares), size, seconds)


def share_of_agreement(run: Run, predictor: Predictor, image: np.ndarray) -> float:
    """Return the share of the pixels of an image with the same class and instance.

    Args:
        run: Exported network.
        predictor: Predictor with the same network.
        image: Image, uint8 ``[H W bands]``.
    """
    expected, found = predict(predictor, image), run(image[None])
    same = agreeing_pixels(expected.ids[0].numpy(), expected.classes[0].numpy(), found["ids"][0], found["classes"][0])
    return same / image[..., 0].size


@torch.inference_mode()
def predict(predictor: Predictor, image: np.ndarray) -> Segments:
    """Predict the segments of an image with PyTorch, as a batch of one.

    Args:
        predictor: Predictor on the CPU.
        image: Image, uint8 ``[H W bands]``.
    """
    outputs = predictor.network(torch.from_numpy(image).permute(2, 0, 1)[None])
    return predictor.codec.decode(outputs, image.shape[:2])
