"""Formats of exported networks: how each is written, and run again for the check."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from panoptic.errors import InputError
from panoptic.inference.export.graph import ExportedNetwork
from panoptic.runtime.predictor import OnnxPredictor
from panoptic.runtime.record import INPUT, KEY, OUTPUTS, Record

OPSET = 18
"""Version of the operators of ONNX files, the first whose scatter operators take a maximum."""

LEAST_TORCH = "2.10"
"""First version of PyTorch whose exporter to ONNX knows loops."""

EXAMPLE = (2, 72, 104)
"""Number, height and width of the images with which a network is recorded; files take any other."""

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Function from images, uint8 ``[B H W bands]``, to outputs by name."""


class Format(NamedTuple):
    """Format of exported networks.

    Attributes:
        suffix: Suffix of its files.
        packages: Packages that it needs.
        extra: Extra of this project that installs them.
        write: Writes a network to a file.
        load: Loads a file.
    """

    suffix: str
    packages: tuple[str, ...]
    extra: str
    write: Callable[[ExportedNetwork, Path], None]
    load: Callable[[Path], Run]


def recorded(network: ExportedNetwork) -> ExportedProgram:
    """Record a network for batches of any number of images, of any height and width."""
    with _quiet(), torch.no_grad():
        example = torch.zeros((*EXAMPLE, network.bands), dtype=torch.uint8)
        any_size = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC},)
        return torch.export.export(network.eval(), (example,), dynamic_shapes=any_size, strict=False)


def write_onnx(network: ExportedNetwork, path: Path) -> None:
    """Write a network as one ONNX file, with its record as metadata."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            recorded(network),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props[KEY] = network.record().to_json()
        program.model.producer_name = "panoptic"
        _name_dimensions(program.model)
        program.save(path, external_data=False)


def load_onnx(path: Path) -> Run:
    """Load an ONNX file for a CPU."""
    return OnnxPredictor(path, providers=["CPUExecutionProvider"]).run


def _name_dimensions(model: Any) -> None:
    """Give the dimensions of the outputs the names of the record, in place of formulas."""
    for value, names in zip(model.graph.outputs, OUTPUTS.values(), strict=True):
        known = value.shape
        if known is not None and len(known) == len(names):
            for axis, name in enumerate(names):
                if not isinstance(known[axis], int):
                    known[axis] = name
    for axis, name in enumerate(("batch", "height", "width")):
        model.graph.inputs[0].shape[axis] = name


def write_torch_export(network: ExportedNetwork, path: Path) -> None:
    """Write a network as a file of ``torch.export``, with its record as an extra file of the archive."""
    stream = io.BytesIO()
    with _quiet():
        torch.export.save(recorded(network), stream, extra_files={KEY: network.record().to_json()})
    path.write_bytes(stream.getvalue())


def load_torch_export(path: Path) -> Run:
    """Load a file of ``torch.export``, and check its record."""
    record = {KEY: ""}
    with _quiet():
        program = _module(torch.export.load(io.BytesIO(path.read_bytes()), extra_files=record))
    Record.from_json(record[KEY] or None, str(path))

    @torch.no_grad()
    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        with _quiet():
            values = program(torch.from_numpy(np.ascontiguousarray(images)))
        return {name: value.numpy() for name, value in zip(OUTPUTS, values, strict=True)}

    return run


def _module(program: ExportedProgram) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    """Return the function of a recorded network.

    Recent versions of PyTorch guard it by how the tensors of the example lay in memory, which its operations do not
    depend on: an image whose sides are multiples of the coarsest stride would be refused.
    """
    try:
        return program.module(check_guards=False)
    except TypeError:  # an older version, without guards
        return program.module()


def write_openvino(network: ExportedNetwork, path: Path) -> None:
    """Write a network as the two files of OpenVINO, ``.xml`` and ``.bin``, by way of ONNX."""
    onnx = path.with_suffix(".onnx")
    write_onnx(network, onnx)
    convert_to_openvino(onnx, network.record(), path)
    onnx.unlink()


def convert_to_openvino(onnx: Path, record: Record, path: Path) -> None:
    """Convert an ONNX file to the two files of OpenVINO, in single precision.

    Args:
        onnx: ONNX file.
        record: Its record.
        path: File to write, with the suffix ``.xml``.
    """
    import openvino

    model = openvino.convert_model(onnx)
    model.set_rt_info(record.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=False)


def load_openvino(path: Path) -> Run:
    """Load the two files of OpenVINO for a CPU, in single precision, and check their record."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    Record.from_json(str(model.get_rt_info([KEY]).value) if model.has_rt_info([KEY]) else None, str(path))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        found = compiled(images)
        return {name: found[name] for name in OUTPUTS}

    return run


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), "export", write_onnx, load_onnx),
    "torch_export": Format(".pt2", (), "export", write_torch_export, load_torch_export),
    "openvino": Format(".xml", ("onnx", "onnxscript", "openvino"), "export,openvino", write_openvino, load_openvino),
}
"""Formats by name."""


def find_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        InputError: If there is no such format, or a package for it is missing.
    """
    if name not in FORMATS:
        raise InputError(f"format: expected one of {', '.join(FORMATS)}, got {name}")
    found = FORMATS[name]
    if "onnx" in found.packages and torch.__version__ < LEAST_TORCH:
        raise InputError(f"format={name}: expected torch {LEAST_TORCH} or later, got {torch.__version__}")
    missing = [package for package in found.packages if find_spec(package) is None]
    if missing:
        raise InputError(
            f"format={name}: expected the package{'s' * (len(missing) > 1)} {', '.join(missing)}, got none; "
            f"pip install 'panoptic-adaptive-fusion[{found.extra}]'"
        )
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what exporters tell their developers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
