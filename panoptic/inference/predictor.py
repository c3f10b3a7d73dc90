"""Predictor: the Python API from a checkpoint to segments, also used by evaluation and prediction.

Example:
    predictor = Predictor.load("runs/train/.../checkpoints/best.ckpt")
    result = predictor("photo.jpg")
    for segment in result.segments:
        print(segment.category, segment.score, segment.box)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from panoptic.codec import Codec, Outputs
from panoptic.data.bands import Reading
from panoptic.data.batch import Batch, collate
from panoptic.data.sample import Sample
from panoptic.errors import InputError
from panoptic.inference.calibration import ScoreCalibration
from panoptic.inference.compiling import compile_network
from panoptic.inference.folding import fold_batchnorm
from panoptic.inference.precision import check_precision, computing_in
from panoptic.inference.resolution import (
    ADAPTIVE,
    AdaptiveResolution,
    Prediction,
    Resolution,
    check_scale,
    predict_adaptively,
    predict_at,
)
from panoptic.inference.tiles import Tiling, predict_tiled
from panoptic.inference.tta import VIEWS, check_tta, mean_outputs
from panoptic.labels import LabelSpace
from panoptic.models.network import PanopticNetwork
from panoptic.results import Result
from panoptic.runtime.images import to_array
from panoptic.runtime.predictor import OnnxPredictor
from panoptic.segments import Segments
from panoptic.training import sharing
from panoptic.training.checkpoint import Checkpoint, build_codec, read_checkpoint, restore_network


class ImagePrediction(NamedTuple):
    """Prediction of one image, on the CPU.

    Attributes:
        segments: Segments with scores.
        complexity: Predicted object density and scale variance.
        alpha: Fusion weights of the levels, fine to coarse, averaged over places.
    """

    segments: Segments
    complexity: Float[Tensor, " 2"]
    alpha: Float[Tensor, " L"]


class Predictor:
    """Predictor of segments from images, with a trained network and its codec.

    On a CPU, calling :func:`panoptic.utils.malloc.keep_freed_memory` beforehand makes it faster.

    Args:
        network: Trained network. The predictor uses a copy with BatchNorm folded into convolutions.
        codec: Codec for the network's strides.
        device: Device to run on. By default that of :func:`find_device`.
        tta: Test-time augmentation, a key of :data:`panoptic.inference.tta.VIEWS`.
        compile: Whether to compile the network, which slows down the first image of each size.
        resolution: Factor of height and width to predict at, or the rule that chooses it for each image.
        checkpoint: Checkpoint that the network is of, to share it.
        calibration: Map of scores to probabilities; by default scores are as decoded.
        precision: Precision of the network, a key of :data:`panoptic.inference.precision.PRECISIONS`. Decoding is
            always in single precision.
        tiling: Sizes of tiles in which larger images are predicted; by default images are predicted whole.

    Attributes:
        limited: Number of images so far in which ``codec.max_things`` left things out.

    Raises:
        InputError: If ``tta`` or ``precision`` is unknown, or two of ``tta``, ``resolution`` and ``tiling`` are used
            together.
    """

    def __init__(  # noqa: PLR0917  # each has a default
        self,
        network: nn.Module,
        codec: Codec,
        device: str | torch.device | None = None,
        tta: str = "none",
        compile: bool = False,
        resolution: Resolution = 1.0,
        checkpoint: Checkpoint | None = None,
        calibration: ScoreCalibration | None = None,
        precision: str = "fp32",
        tiling: Tiling | None = None,
    ) -> None:
        check_tta(tta)
        check_precision(precision)
        if tiling is not None and (tta != "none" or resolution != 1):
            raise InputError("tile: expected 0 with test-time augmentation or a resolution other than 1")
        if tta != "none" and resolution != 1:
            given = ADAPTIVE if isinstance(resolution, AdaptiveResolution) else resolution
            raise InputError(f"resolution: expected 1 with test-time augmentation, got {given}")
        self.tta = tta
        self.resolution = resolution
        self.device = torch.device(device or find_device())
        self.checkpoint = checkpoint
        self.calibration = calibration
        self.network = fold_batchnorm(network).to(self.device).to(memory_format=torch.channels_last)
        self.codec = codec
        self.precision = precision
        self.tiling = tiling
        self.limited = 0
        if compile:
            compile_network(self.network, self.device)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | Checkpoint,
        overrides: Sequence[str] = (),
        device: str | torch.device | None = None,
        tta: str = "none",
        compile: bool = False,
        resolution: float | str = 1.0,
        precision: str = "fp32",
        tile: int = 0,
        overlap: int | None = None,
    ) -> Predictor:
        """Load a predictor from a checkpoint.

        Args:
            checkpoint: Path of a checkpoint, or its contents.
            overrides: Overrides of its configuration, e.g. ``codec.peak_threshold=0.3``. Ignored for contents.
            device: Device to run on. By default that of :func:`find_device`.
            tta: Test-time augmentation, a key of :data:`panoptic.inference.tta.VIEWS`.
            compile: Whether to compile the network.
            resolution: Factor of height and width to predict at, in (0, 1], or ``adaptive``, by the rule that the
                checkpoint has.
            precision: Precision of the network, a key of :data:`panoptic.inference.precision.PRECISIONS`.
            tile: Maximum side in pixels of the tiles in which larger images are predicted; 0 predicts images whole.
            overlap: Width of the margin of a tile in pixels; see :class:`~panoptic.inference.tiles.Tiling`.

        Raises:
            InputError: If the checkpoint does not exist or cannot be used.
        """
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = read_checkpoint(checkpoint, overrides)
        rule: Resolution
        if resolution == ADAPTIVE:
            rule = AdaptiveResolution.from_record(checkpoint.resolution, str(checkpoint.path))
        else:
            rule = check_scale(resolution)
        network = restore_network(checkpoint)
        codec = build_codec(checkpoint.config, checkpoint.labels, network)
        calibration = ScoreCalibration.from_record(checkpoint.calibration, str(checkpoint.path))
        tiling = Tiling.of(tile, overlap)
        return cls(network, codec, device, tta, compile, rule, checkpoint, calibration, precision, tiling)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, token: str | None = None, **options: Any
    ) -> Predictor:
        """Load a predictor that was shared, from a folder or from a repository of the Hugging Face Hub.

        Args:
            source: Folder that :meth:`save_pretrained` wrote, checkpoint, or id of a repository, ``user/name``.
            revision: Branch, tag or commit of the repository.
            token: Token of the hub, by default the one that its client has stored.
            options: ``device``, ``tta``, ``compile``, ``resolution``, ``precision``, ``tile`` and ``overlap`` of
                :meth:`load`.

        Raises:
            InputError: If there is no such folder or repository, or it cannot be used.
        """
        return cls.load(sharing.from_pretrained(source, revision=revision, token=token), **options)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights, configuration and a model card into a folder, and return it.

        Raises:
            InputError: If the predictor was not loaded from a checkpoint, or the folder cannot be written.
        """
        return sharing.save_pretrained(self._shared(), folder)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Upload weights, configuration and a model card to the Hugging Face Hub, and return the commit's address.

        Args:
            repo_id: Id of the repository, ``user/name``, created if it does not exist.
            private: Whether a new repository is private; by default as the account has it.
            token: Token of the hub, by default the one that its client has stored.

        Raises:
            InputError: If the predictor was not loaded from a checkpoint, or the hub cannot be reached or refuses it.
        """
        return sharing.push_to_hub(self._shared(), repo_id, private=private, token=token)

    def _shared(self) -> Checkpoint:
        if self.checkpoint is None:
            raise InputError("predictor: expected one that was loaded from a checkpoint, got a network of your own")
        return self.checkpoint

    @classmethod
    def from_onnx(cls, file: str | Path, **options: Any) -> OnnxPredictor:
        """Return the predictor of an exported network; see :class:`~panoptic.runtime.predictor.OnnxPredictor`."""
        return OnnxPredictor(file, **options)

    @property
    def labels(self) -> LabelSpace:
        """Label space of the predictions."""
        return self.codec.labels

    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Result]: ...

    @overload
    def __call__(self, image: Any) -> Result: ...

    def __call__(self, image: Any) -> Result | list[Result]:
        """Predict the segments of one image of any size, or of each of a list.

        Args:
            image: Path of an image file, picture of Pillow, RGB array, uint8 ``[H W 3]``, or tensor, uint8 ``[3 H W]``;
                or a list of these. A network for other bands takes arrays and tensors with these, and files. One of
                images scaled by percentiles (``data.normalize``) scales all of these, and takes any numbers.

        Raises:
            InputError: If an image is none of these, or its file cannot be read.
        """
        if isinstance(image, (list, tuple)):
            return [self._result(each) for each in image]
        return self._result(image)

    def _result(self, image: Any) -> Result:
        array = self._to_array(image)
        return self.to_result(self.predict_one(array), array)

    def to_result(self, prediction: ImagePrediction, image: UInt8[np.ndarray, "H W bands"]) -> Result:
        """Return the result of what :meth:`predict_one` gave for an image.

        Args:
            prediction: Prediction of the image.
            image: RGB image, or one of the network's other bands.
        """
        segments, complexity, alpha = prediction
        assert segments.scores is not None  # decoding gives them
        return Result.from_tables(
            segments.ids.numpy(),
            segments.classes.numpy(),
            segments.scores.numpy(),
            self.labels,
            complexity=complexity.numpy(),
            alpha=alpha.numpy(),
            image=image,
        )

    def _to_array(self, image: Any) -> UInt8[np.ndarray, "H W bands"]:
        bands, scaled = self.reading.bands, self.reading.normalize == "percentile"
        if isinstance(image, (str, Path)):
            return self.reading.read(image)
        if isinstance(image, Tensor):
            if image.ndim != 3 or image.shape[0] != bands or not (scaled or image.dtype == torch.uint8):
                kind = f"{'of numbers' if scaled else 'uint8'} [{bands} H W]"
                raise InputError(f"image: expected a tensor {kind}, got {image.dtype} {list(image.shape)}")
            image = image.permute(1, 2, 0).cpu().numpy()
        return to_array(image, bands, scaled)

    def segments(self, image: UInt8[np.ndarray, "H W bands"]) -> Segments:
        """Predict the segments of one image of any size as tensors, with scores, on the CPU.

        Args:
            image: RGB image, or one of the network's other bands.

        Raises:
            InputError: If the image is not such an image.
        """
        return self.predict_one(self._to_array(image)).segments

    def predict_one(self, image: UInt8[np.ndarray, "H W bands"]) -> ImagePrediction:
        """Predict one image.

        Args:
            image: RGB image, or one of the network's other bands.

        Raises:
            InputError: If the image is predicted in tiles, and their temporary files do not fit on the disk.
        """
        return self.predict_images([image])[0]

    def predict_images(self, images: Sequence[UInt8[np.ndarray, "H W bands"]]) -> list[ImagePrediction]:
        """Predict images of equal size, together unless they are predicted in tiles.

        Args:
            images: RGB images, or images of the network's other bands.

        Raises:
            InputError: If images are predicted in tiles, and their temporary files do not fit on the disk.
        """
        if self.tiling is not None and not self.tiling.covers(images[0].shape[:2]):
            return [self._predict_tiled(image, self.tiling) for image in images]
        found = []
        for part, prediction in self.predictions(collate([Sample(image, None, "") for image in images])):
            complexity, alpha = prediction.outputs.complexity, prediction.outputs.alpha_of_image
            segments = prediction.segments.to("cpu").unstack(part.sizes)
            found += list(zip(segments, complexity.float().cpu(), alpha.float().cpu(), strict=True))
        return [ImagePrediction(*each) for each in found]

    def _predict_tiled(self, image: UInt8[np.ndarray, "H W bands"], tiling: Tiling) -> ImagePrediction:
        assert isinstance(self.network, PanopticNetwork)
        with computing_in(self.precision, self.device):
            found = predict_tiled(self.network, self.codec, image, tiling, self.device)
        self.limited += found.exceeds_limit
        segments = found.segments
        if self.calibration is not None:
            segments = self.calibration.apply(segments, self.labels.is_thing)
        return ImagePrediction(segments, found.complexity, found.alpha)

    @property
    def reading(self) -> Reading:
        """How image files are read: as those of the training data were."""
        return Reading() if self.checkpoint is None else Reading.of_data(self.checkpoint.config.data)

    @torch.inference_mode()
    def outputs(self, batch: Batch) -> Outputs:
        """Compute the network outputs for a batch, on the predictor's device."""
        scales, flips = VIEWS[self.tta]
        images = batch.to(self.device).images
        return mean_outputs(self.network, images, stride=self.codec.stride, scales=scales, flips=flips)

    @torch.inference_mode()
    def decode(self, outputs: Outputs, batch: Batch) -> Segments:
        """Decode the outputs for a batch to segments of its size."""
        height, width = batch.images.shape[-2:]
        return self.codec.decode(outputs, (height, width))

    def limit_note(self) -> str | None:
        """Return a sentence on images in which things were left out; ``None`` if there were none."""
        if not self.limited:
            return None
        return (
            f"{self.limited} images have more peaks than codec.max_things={self.codec.max_things}, and the lowest were "
            "left out; a larger codec.max_things keeps them"
        )

    @torch.inference_mode()
    def predictions(self, batch: Batch) -> list[tuple[Batch, Prediction]]:
        """Predict a batch, on the predictor's device, never in tiles; with a rule for the resolution, image by image.

        Returns:
            Parts of the batch, in order, with their predictions.
        """
        with computing_in(self.precision, self.device):
            found = self._predictions(batch)
        self.limited += sum(int(self.codec.exceeds_limit(prediction.outputs).sum()) for _, prediction in found)
        if self.calibration is None:
            return found
        apply, is_thing = self.calibration.apply, self.labels.is_thing
        return [(part, p._replace(segments=apply(p.segments, is_thing))) for part, p in found]

    def _predictions(self, batch: Batch) -> list[tuple[Batch, Prediction]]:
        if self.resolution == 1:
            outputs = self.outputs(batch)
            return [(batch, Prediction(outputs, self.decode(outputs, batch), 1.0))]
        if isinstance(self.resolution, AdaptiveResolution):
            parts = batch.split()
            images = [part.to(self.device).images for part in parts]
            found = [predict_adaptively(self.network, self.codec, image, self.resolution) for image in images]
            return list(zip(parts, found, strict=True))
        return [(batch, predict_at(self.network, self.codec, batch.to(self.device).images, self.resolution))]

    def predict_batch(self, batch: Batch) -> Segments:
        """Predict the segments of a batch, on the predictor's device."""
        parts = [prediction.segments.unstack(part.sizes) for part, prediction in self.predictions(batch)]
        return Segments.stack([segments for part in parts for segments in part])


def find_device() -> str:
    """Return the device to compute on: CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
