"""``python -m panoptic.export``, and prediction with what it writes, with and without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import panoptic
from panoptic import OnnxPredictor, Predictor
from panoptic.data.bands import Reading
from panoptic.errors import InputError
from panoptic.inference.export import exporting
from panoptic.inference.export.formats import FORMATS, convert_to_openvino, load_openvino
from panoptic.runtime.record import OUTPUTS
from tests.commands.small_runs import CONF, NO_TORCH, SETTINGS, run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture
def predictor(exported: Path) -> Predictor:
    return Predictor.load(exported / "network.ckpt", SETTINGS, device="cpu")


def images_of(folder: Path) -> list[np.ndarray]:
    return [np.array(Image.open(folder / f"scene{index}.png")) for index in range(2)]


def test_results_are_those_of_pytorch(exported: Path, predictor: Predictor) -> None:
    assert {path.name for path in exported.iterdir()} == {"network.ckpt", "network.onnx", "scene0.png", "scene1.png"}
    other = OnnxPredictor(exported / "network.onnx")
    assert other.labels == predictor.labels
    things = 0
    for image in images_of(exported):
        expected, found = predictor.segments(image), other(image)
        assert np.array_equal(found.ids, expected.ids.numpy())
        assert [s.class_index for s in found.segments] == expected.classes.tolist()
        assert [s.area for s in found.segments] == expected.areas().tolist()
        assert [s.score for s in found.segments] == pytest.approx(expected.scores.tolist(), abs=1e-5)
        assert found.alpha is not None
        assert found.alpha.sum() == pytest.approx(1.0)
        for segment in found.segments:
            left, top, width, height = segment.box
            inside = found.ids[top : top + height, left : left + width] == segment.id
            assert inside.sum() == segment.area
            assert inside[[0, -1]].any(1).all()
            assert inside[:, [0, -1]].any(0).all()
        things += sum(segment.isthing for segment in found.segments)
    assert things > 0


def test_all_images_are_scaled_as_the_training_data_were(exported: Path) -> None:
    other = OnnxPredictor(exported / "network.onnx", threads=1)
    other.record = replace(other.record, reading={"channels": None, "normalize": "percentile"})
    dark = images_of(exported)[0] // 4
    Image.fromarray(dark).save("dark.png")
    scaled = Reading(normalize="percentile").read("dark.png")
    assert dark.max() < 64
    assert scaled.max() == 255
    for image in (dark, Image.fromarray(dark), "dark.png", scaled, dark / 255):
        assert np.array_equal(other.read(image), scaled)
    deep = np.arange(100, 1124, dtype=np.uint16).reshape(32, 32)  # of 16 bits, of which little would be left in 8
    Image.fromarray(deep).save("deep.png")
    expected = Reading(normalize="percentile").read("deep.png")
    assert len(np.unique(expected)) == 256
    pictures = Image.open("deep.png"), Image.fromarray(deep.astype(np.float32))
    for image in ("deep.png", *pictures, np.stack([deep] * 3, 2)):
        assert np.array_equal(other.read(image), expected)
    with pytest.raises(InputError, match=r"an array of numbers \[H W 3\], got uint16 \[32, 32\]"):
        other.read(deep)
    expected = other.run(scaled[None])["ids"][0]  # which takes arrays as they are
    assert not np.array_equal(other.run(dark[None])["ids"][0], expected)
    assert np.array_equal(other(dark).ids, expected)
    assert np.array_equal(other.predict_batch(dark[None])[0].ids, expected)
    with pytest.raises(InputError, match=r"images: expected uint8 \[B H W 3\], got uint8 \[3, 4, 3\]"):
        other.predict_batch(dark[:3, :4])


def test_images_of_a_batch_are_independent(exported: Path) -> None:
    other = OnnxPredictor(exported / "network.onnx", threads=1)
    image, _ = images_of(exported)
    batch = np.stack([image, image[::-1], np.zeros_like(image)])
    alone = [other.run(each[None]) for each in batch]
    together = other.run(batch)
    assert list(together) == list(OUTPUTS)
    for name, values in together.items():
        np.testing.assert_allclose(values, np.concatenate([each[name] for each in alone]), rtol=1e-4, atol=1e-5)
    shown = other([exported / "scene0.png", Image.fromarray(image), image])
    assert np.array_equal(shown[0].ids, together["ids"][0])
    assert all(np.array_equal(shown[0].ids, each.ids) for each in shown)
    turned = Image.fromarray(image).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned back
    assert np.array_equal(other(turned).ids, shown[0].ids)


def test_the_file_says_what_it_is(exported: Path, predictor: Predictor) -> None:
    model = onnx.load(exported / "network.onnx")
    record = json.loads({entry.key: entry.value for entry in model.metadata_props}["panoptic"])
    assert record["version"] == panoptic.__version__
    assert record["categories"] == predictor.labels.to_dicts()
    assert record["strides"] == {"heads": 1, "complexity": 16, "coarsest": 32}
    assert record["codec"] == {
        "peak_window": 11,
        "peak_threshold": 0.2,
        "max_things": 7,
        "stuff_area": 20,
        "thing_area": 0,
    }
    assert {entry.domain: entry.version for entry in model.opset_import}[""] >= 18
    names = [[d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input]
    assert names == [["batch", "height", "width", 3]]
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


WITHOUT_TORCH = f"""{NO_TORCH}
import panoptic
from panoptic import InputError, OnnxPredictor, Predictor

result = Predictor.from_onnx(sys.argv[1])(sys.argv[2])
assert isinstance(Predictor.from_onnx(sys.argv[1]), OnnxPredictor)
result.overlay().save("overlay.png")
picture, infos = result.to_coco()
picture.save("ids.png")
print(result, len(infos))
paths = [sys.argv[2]]
for call in (
    lambda: Predictor.load("best.ckpt"),
    lambda: Predictor(None, None),
    lambda: Predictor.from_onnx(sys.argv[1]).predict_batch(paths),
):
    try:
        call()
    except InputError as error:
        print(error)
"""


def test_no_torch_is_needed(exported: Path, predictor: Predictor, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, exported / "network.onnx", exported / "scene1.png"],
        env={"PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = predictor.segments(images_of(exported)[1])
    things = sum(predictor.labels.is_thing[c] for c in expected.classes.tolist())
    rows = len(expected.classes)
    told = done.stdout.splitlines()
    assert told[0] == f"Result(101 x 75, {things} things, {rows - things} stuff) {rows}"
    assert told[1].startswith("Predictor.load: expected torch, which is not installed; Predictor.from_onnx predicts")
    assert told[2].startswith("Predictor: expected torch")
    assert told[3] == "images: expected an array uint8 [B H W 3], got list"
    stored = np.array(Image.open("ids.png")).astype(int)
    assert np.array_equal(stored[..., 0], expected.ids.numpy())
    assert not stored[..., 1:].any()
    with Image.open("overlay.png") as overlay:
        assert overlay.size == (101, 75)


def test_files_that_are_no_exported_network(exported: Path, tmp_path: Path) -> None:
    whole = (exported / "network.onnx").read_bytes()
    Path("short.onnx").write_bytes(whole[: len(whole) // 2])
    Path("empty.onnx").touch()
    Path("text.onnx").write_text("a picture")
    Path("folder.onnx").mkdir()
    foreign = onnx.load_from_string(whole)
    del foreign.metadata_props[:]
    onnx.save(foreign, "foreign.onnx")
    for number, text in enumerate(("{", "[]", json.dumps({"format_version": 9}), json.dumps({"format_version": 1}))):
        foreign.metadata_props.add(key="panoptic", value=text)
        onnx.save(foreign, f"record{number}.onnx")
        del foreign.metadata_props[:]
    for name, got in (
        ("none", "expected an ONNX file, got no such file"),
        ("folder", "expected an ONNX file, got a folder"),
        ("short", "expected a whole ONNX file, got one that cannot be loaded"),
        ("empty", "expected a"),
        ("text", "expected a whole ONNX file, got one that cannot be loaded"),
        ("foreign", "expected a network that python -m panoptic.export wrote, got one without its record"),
        ("record0", "expected a whole record of panoptic, got a damaged one"),
        ("record1", "expected a whole record of panoptic, got a damaged one"),
        ("record2", "expected an exported network of format 1, got 9; another version of panoptic wrote it"),
        ("record3", "expected a whole record of panoptic, got a damaged one"),
    ):
        with pytest.raises(InputError, match=f"^{name}.onnx: {got}"):
            Predictor.from_onnx(f"{name}.onnx")


def test_images_that_are_none(exported: Path, tmp_path: Path) -> None:
    predictor = OnnxPredictor(exported / "network.onnx")
    Path("text.png").write_text("a picture")
    for image, got in (
        ("none.png", "none.png: expected an image, got a path that is not there"),
        ("text.png", r"text.png: expected an image \(JPEG, .*, got a file of another kind"),
        (tmp_path, "expected an image, got a folder"),
        (np.zeros((4, 5), np.uint8), r"image: expected a path, a picture of Pillow or an array .*, got uint8 \[4, 5\]"),
        (np.zeros((4, 5, 3)), r"image: expected .*, got float64 \[4, 5, 3\]"),
        (np.zeros((0, 5, 3), np.uint8), r"image: expected .*, got uint8 \[0, 5, 3\]"),
        (3, "image: expected .*, got int"),
        (Image.new("F", (4, 4)), "image: expected a picture that can be read as RGB: grey values of 8 or 16 bits"),
    ):
        with pytest.raises(InputError, match=got):
            predictor(image)


def expect_refused(capsys: pytest.CaptureFixture, message: str, *arguments: str) -> None:
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run("export", *arguments)
    assert stop.value.code == 1
    assert message in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_what_cannot_be_exported(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copy(trained / "checkpoints" / "last.ckpt", "last.ckpt")
    given = "checkpoint=last.ckpt"
    expect_refused(capsys, "checkpoint: expected a value (checkpoint=...), got none")
    expect_refused(
        capsys, "format: expected one of onnx, torch_export, openvino, got tensorrt", given, "format=tensorrt"
    )
    expect_refused(
        capsys, "output=last.ckpt: expected a name that ends with .onnx for format=onnx", given, "output=last.ckpt"
    )
    Path("folder.onnx").mkdir()
    expect_refused(capsys, "output=folder.onnx: expected a file, got a folder", given, "output=folder.onnx")
    expect_refused(capsys, "none.ckpt: expected a checkpoint, got no such file", "checkpoint=none.ckpt")
    expect_refused(capsys, "expected an image, a folder or a glob pattern", given, "images=none.jpg")
    with monkeypatch.context() as patch:
        patch.setattr("panoptic.inference.export.formats.find_spec", lambda name: None if "onnx" in name else name)
        expect_refused(
            capsys,
            "format=onnx: expected the packages onnx, onnxscript, onnxruntime, got none; "
            "pip install 'panoptic-adaptive-fusion[export]'",
            given,
        )


def test_an_export_that_disagrees_is_not_written(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    # As if the network of another checkpoint had been written: an earlier file stays.
    Path("network.onnx").write_bytes(b"earlier")
    copying = FORMATS["onnx"]._replace(write=lambda network, path: shutil.copy(exported / "network.onnx", path))
    monkeypatch.setattr(exporting, "find_format", lambda name: copying)
    arguments = (f"checkpoint={exported}/network.ckpt", "output=network.onnx", f"images={exported}/scene1.png")
    expect_refused(
        capsys,
        "output=network.onnx: expected the export to agree with PyTorch on 99.9% of the pixels at least, got ",
        *arguments,
        "codec.max_things=1",
    )
    assert Path("network.onnx").read_bytes() == b"earlier"


def test_openvino_gives_the_same(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    other = OnnxPredictor(exported / "network.onnx")
    convert_to_openvino(exported / "network.onnx", other.record, tmp_path / "network.xml")
    run = load_openvino(tmp_path / "network.xml")
    for image in images_of(exported):
        expected, found = other.run(image[None]), run(image[None])
        assert list(found) == list(expected)
        for name in ("ids", "semantic", "classes", "areas", "boxes"):
            assert np.array_equal(found[name], expected[name]), name
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
