"""Networks of the page, from a checkpoint or an exported file: reading of image files, and prediction by stages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from panoptic.codec import Outputs
from panoptic.data.batch import Batch
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor
from panoptic.labels import LabelSpace
from panoptic.results import Result
from panoptic.runtime.predictor import OnnxPredictor
from panoptic.segments import Segments


class Prediction(NamedTuple):
    """Prediction for an image.

    Attributes:
        result: Segments, complexity and fusion weights of the image.
        alpha: Local fusion weights, fine to coarse ``[L h w]``; ``None`` if they are of the whole image.
        seconds: Time of each stage by name.
    """

    result: Result
    alpha: np.ndarray | None
    seconds: dict[str, float]


@runtime_checkable
class Network(Protocol):
    """What the page needs of a network.

    Attributes:
        about: What it is, for people, without the path of its file.
    """

    about: str

    @property
    def labels(self) -> LabelSpace:
        """Label space of the predictions."""

    def read(self, path: Path) -> np.ndarray:
        """Read an image file as the network's predictor does, uint8 ``[H W 3]``."""

    def predict(self, image: np.ndarray) -> Prediction:
        """Predict the segments of an RGB image, uint8 ``[H W 3]``."""


def load_network(source: str, overrides: Sequence[str] = ()) -> Network:
    """Load the network of a checkpoint or of an exported file.

    Args:
        source: Checkpoint, shared folder, ``hf://user/name``, or a file whose name ends with ``.onnx``.
        overrides: Overrides of the checkpoint's configuration.

    Raises:
        InputError: If it cannot be used, or there are overrides for an exported file.
    """
    if not source.lower().endswith(".onnx"):
        return TorchNetwork(source, overrides)
    if overrides:
        raise InputError(
            f"{overrides[0]}: expected a checkpoint with it, got an exported file ({source}), whose settings are fixed"
        )
    return OnnxNetwork(source)


class TorchNetwork:
    """Network of a checkpoint.

    Args:
        source: Checkpoint, shared folder, or ``hf://user/name``.
        overrides: Overrides of its configuration.

    Raises:
        InputError: If it cannot be used.
    """

    def __init__(self, source: str, overrides: Sequence[str] = ()) -> None:
        predictor = TimedPredictor.load(source, overrides)
        bands = predictor.reading.bands
        if bands != 3:
            raise InputError(f"{source}: expected a network for RGB images, got one for {bands} bands")
        assert isinstance(predictor, TimedPredictor)  # loading returns the class that it is called on
        self._predictor = predictor
        self._one_at_a_time = threading.Lock()  # the times are those of one image
        checkpoint = predictor.checkpoint
        assert checkpoint is not None  # it was loaded from one
        model = checkpoint.config.model
        fusion = str(model.fusion._target_).rpartition(".")[2]
        self.about = f"{model.backbone.name}, {fusion}, on {self._predictor.device.type}"

    @property
    def labels(self) -> LabelSpace:
        """Label space of the predictions."""
        return self._predictor.labels

    def read(self, path: Path) -> np.ndarray:
        """Read an image file as those of the training data were."""
        return self._predictor.reading.read(path)

    def predict(self, image: np.ndarray) -> Prediction:
        """Predict the segments of an RGB image, uint8 ``[H W 3]``."""
        with self._one_at_a_time:
            self._predictor.seconds, self._predictor.alpha = {}, None
            found = self._predictor.predict_one(image)
            seconds, alpha = self._predictor.seconds, self._predictor.alpha
        return Prediction(self._predictor.to_result(found, image), alpha, seconds)


class TimedPredictor(Predictor):
    """Predictor that notes how long network and decoding take, and the fusion weights by place.

    Attributes:
        seconds: Time of each stage by name.
        alpha: Local fusion weights ``[L h w]``; ``None`` if they are of the whole image, or it was predicted in tiles.
    """

    seconds: dict[str, float]
    alpha: np.ndarray | None

    def outputs(self, batch: Batch) -> Outputs:
        """Compute the network outputs for a batch."""
        with self._timed("network"):
            found = super().outputs(batch)
        if found.alpha.ndim > 2:
            self.alpha = found.alpha[0].float().cpu().numpy()
        return found

    def decode(self, outputs: Outputs, batch: Batch) -> Segments:
        """Decode the outputs for a batch."""
        with self._timed("decoding"):
            return super().decode(outputs, batch)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[stage] = time.perf_counter() - start


class OnnxNetwork:
    """Network of a file that ``python -m panoptic.export`` wrote, which has no local fusion weights.

    Args:
        source: ONNX file.

    Raises:
        InputError: If it cannot be used.
    """

    about = "exported network, with ONNX Runtime"

    def __init__(self, source: str) -> None:
        self._predictor = OnnxPredictor(source)
        bands = self._predictor.record.bands
        if bands != 3:
            raise InputError(f"{source}: expected a network for RGB images, got one for {bands} bands")

    @property
    def labels(self) -> LabelSpace:
        """Label space of the predictions."""
        return self._predictor.labels

    def read(self, path: Path) -> np.ndarray:
        """Read an image file as those of the training data were."""
        return self._predictor.read(path)

    def predict(self, image: np.ndarray) -> Prediction:
        """Predict the segments of an RGB image, uint8 ``[H W 3]``."""
        start = time.perf_counter()
        result = self._predictor(image)
        return Prediction(result, None, {"network and decoding": time.perf_counter() - start})
