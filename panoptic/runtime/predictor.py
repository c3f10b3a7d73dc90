"""Predictor from an ONNX file to results, without torch.

Example:
    predictor = OnnxPredictor("panoptic.onnx")
    result = predictor("street.jpg")
    result.overlay().save("overlay.png")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.results import Result
from panoptic.runtime.images import read_as_trained, to_array
from panoptic.runtime.record import INPUT, KEY, OUTPUTS, Record

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""Execution providers that are used by default; that of TensorRT builds an engine first, which takes minutes."""


class OnnxPredictor:
    """Predictor of segments from images, with a file that ``python -m panoptic.export`` wrote.

    Args:
        file: ONNX file.
        providers: Execution providers of ONNX Runtime, in order of preference. By default CUDA, where it is installed
            with it, and the CPU.
        threads: Number of threads. By default one for each core.

    Attributes:
        record: What the file says of itself.

    Raises:
        InputError: If onnxruntime is not installed, or the file does not exist or is no such network.
    """

    def __init__(self, file: str | Path, providers: Sequence[str] | None = None, threads: int | None = None) -> None:
        runtime = _onnxruntime()
        path = Path(file).expanduser()
        if not path.is_file():
            raise InputError(f"{path}: expected an ONNX file, got {'a folder' if path.is_dir() else 'no such file'}")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = threads or 0
        try:
            chosen = providers or [each for each in PROVIDERS if each in runtime.get_available_providers()]
            self._session = runtime.InferenceSession(str(path), options, providers=list(chosen))
        except Exception as error:  # its own type for each kind of damage, and none that they share
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{path}: expected a whole ONNX file, got one that cannot be loaded: {reason}") from None
        self.record = Record.from_json(self._session.get_modelmeta().custom_metadata_map.get(KEY), str(path))
        names = [output.name for output in self._session.get_outputs()]
        if names != list(OUTPUTS) or [i.name for i in self._session.get_inputs()] != [INPUT]:
            raise InputError(f"{path}: expected the outputs {', '.join(OUTPUTS)}, got {', '.join(names)}")

    @property
    def labels(self) -> LabelSpace:
        """Label space of the predictions."""
        return self.record.labels

    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Result]: ...

    @overload
    def __call__(self, image: Any) -> Result: ...

    def __call__(self, image: Any) -> Result | list[Result]:
        """Predict the segments of one image of any size, or of each of a list.

        Args:
            image: Path of an image file, picture of Pillow, or RGB array, uint8 ``[H W 3]``; or a list of these. A
                network for other bands takes arrays uint8 ``[H W bands]``, and files. One of images scaled by
                percentiles (``data.normalize``) scales all of these, and takes arrays of any numbers.

        Raises:
            InputError: If an image is none of these.
        """
        if isinstance(image, (list, tuple)):
            return [self._predict(each) for each in image]
        return self._predict(image)

    def _predict(self, image: Any) -> Result:
        return self._results(self.read(image)[None])[0]

    def read(self, image: Any) -> np.ndarray:
        """Return an image as an array, uint8 ``[H W bands]``, read and scaled as those of the training data were.

        Raises:
            InputError: If it is no image, or cannot be read.
        """
        if self.record.reading and isinstance(image, (str, os.PathLike)):
            return read_as_trained(image, self.record.reading)
        return to_array(image, self.record.bands, self._by_percentiles)

    def predict_batch(self, images: np.ndarray) -> list[Result]:
        """Predict the segments of images of equal size together.

        Args:
            images: RGB images, uint8 ``[B H W 3]``, or with the network's other bands. Each is scaled as when it is
                given alone.

        Raises:
            InputError: If they are not such an array.
        """
        if not self._by_percentiles or not isinstance(images, np.ndarray) or images.ndim != 4 or images.size == 0:
            return self._results(images)  # or say what is wrong with them
        return self._results(np.stack([self.read(image) for image in images]))

    @property
    def _by_percentiles(self) -> bool:
        return self.record.reading.get("normalize") == "percentile"

    def _results(self, images: np.ndarray) -> list[Result]:
        outputs = self.run(images)
        return [
            Result.from_tables(
                outputs["ids"][i],
                outputs["classes"][i],
                outputs["scores"][i],
                self.labels,
                areas=outputs["areas"][i],
                boxes=outputs["boxes"][i],
                complexity=outputs["complexity"][i],
                alpha=outputs["alpha"][i],
                image=image,
            )
            for i, image in enumerate(images)
        ]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of the file by name; see :data:`panoptic.runtime.record.OUTPUTS`.

        Args:
            images: RGB images, uint8 ``[B H W 3]``, or with the network's other bands, as they are to be.

        Raises:
            InputError: If they are not such an array.
        """
        bands = self.record.bands
        if not isinstance(images, np.ndarray):
            raise InputError(f"images: expected an array uint8 [B H W {bands}], got {type(images).__name__}")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != bands or images.size == 0:
            raise InputError(f"images: expected uint8 [B H W {bands}], got {images.dtype} {list(images.shape)}")
        values = self._session.run(None, {INPUT: np.ascontiguousarray(images)})
        return dict(zip(OUTPUTS, values, strict=True))


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime: expected the package, got none; pip install onnxruntime") from None
    return onnxruntime
