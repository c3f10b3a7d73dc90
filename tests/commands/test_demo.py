"""``python -m panoptic.demo``, up to where it serves the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic import Predictor
from panoptic.demo_page.networks import OnnxNetwork, TorchNetwork, load_network
from panoptic.errors import InputError
from panoptic.scenes.source import SyntheticSource
from tests.commands.small_runs import SETTINGS, run, vary

IMAGE = SyntheticSource(split="val", size=1, height=64, width=128).read(0).image


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    vary(trained / "checkpoints" / "last.ckpt", tmp_path / "network.ckpt")
    return tmp_path / "network.ckpt"


def test_a_checkpoint_predicts_as_its_predictor_does_and_says_how_long_it_took(checkpoint: Path) -> None:
    network = load_network(str(checkpoint), ["codec.max_things=7"])
    assert isinstance(network, TorchNetwork)
    assert network.about.startswith("test_resnet, AdaptiveFusion, on ")
    expected = Predictor.load(checkpoint, ["codec.max_things=7"])(IMAGE)
    found = network.predict(IMAGE)
    assert np.array_equal(found.result.ids, expected.ids)
    assert found.result.segments == expected.segments
    assert found.result.alpha is not None
    assert expected.alpha is not None
    assert found.result.alpha.tolist() == expected.alpha.tolist()
    assert found.alpha is None
    assert list(found.seconds) == ["network", "decoding"]
    assert min(found.seconds.values()) > 0


def test_images_are_read_as_the_predictor_reads_them(checkpoint: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(IMAGE).save("turned.png", exif=exif)
    Image.fromarray(np.arange(30, dtype=np.uint16).reshape(5, 6) * 1000).save("deep.png")
    plain = load_network(str(checkpoint))
    assert np.array_equal(plain.read(Path("turned.png")), np.rot90(IMAGE, -1))
    assert plain.read(Path("deep.png")).max() == round(29_000 / 257)
    percentiles = load_network(str(checkpoint), ["data=coco_panoptic", "data.normalize=percentile", "data.root=x"])
    assert percentiles.read(Path("deep.png")).max() == 255


def test_local_fusion_has_maps_of_its_weights(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = Predictor.outputs

    def with_places(self: Predictor, batch: Any) -> Any:
        alpha = torch.zeros(1, 3, 4, 8)
        alpha[:, 0, :, :4], alpha[:, 2, :, 4:] = 1.0, 1.0
        return outputs(self, batch)._replace(alpha=alpha)

    monkeypatch.setattr(Predictor, "outputs", with_places)
    network = load_network(str(checkpoint))
    found = network.predict(IMAGE)
    assert found.alpha is not None
    assert found.alpha.shape == (3, 4, 8)
    assert found.alpha[0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert found.result.alpha is not None
    assert found.result.alpha.tolist() == [0.5, 0.0, 0.5]


def test_an_exported_file_predicts_the_same(exported: Path) -> None:
    network, other = load_network(f"{exported}/network.onnx"), load_network(f"{exported}/network.ckpt", SETTINGS)
    assert isinstance(network, OnnxNetwork)
    assert network.labels == other.labels
    image = network.read(exported / "scene0.png")
    assert np.array_equal(image, other.read(exported / "scene0.png"))
    found, expected = network.predict(image), other.predict(image)
    assert np.array_equal(found.result.ids, expected.result.ids)
    assert [s.category for s in found.result.segments] == [s.category for s in expected.result.segments]
    assert (list(found.seconds), found.alpha) == (["network and decoding"], None)
    with pytest.raises(InputError, match=r"^codec.max_things=7: expected a checkpoint with it, got an exported file"):
        load_network(f"{exported}/network.onnx", ["codec.max_things=7"])


def expect_refused(capsys: pytest.CaptureFixture, message: str, *arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run("demo", *arguments)
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith(f"panoptic: {message}")


def test_what_cannot_be_served(
    checkpoint: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    given = f"checkpoint={checkpoint}"
    expect_refused(capsys, "checkpoint: expected a value (checkpoint=...), got none")
    expect_refused(capsys, "max_upload: expected a number of millions above 0, got 0", given, "max_upload=0")
    expect_refused(capsys, "max_pixels: expected finite numbers, got nan", given, "max_pixels=nan")
    expect_refused(capsys, "share: expected a key of the training configuration", given, "share=true")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gradio", None)
        expect_refused(
            capsys,
            "gradio: expected the package, got none; pip install 'panoptic-adaptive-fusion[demo]'",
            given,
        )
    pytest.importorskip("gradio")
    expect_refused(capsys, "none.ckpt: expected a checkpoint, got no such file", "checkpoint=none.ckpt")
    expect_refused(capsys, "none.onnx: expected an ONNX file", given, "compare_with=none.onnx")


def test_where_the_page_cannot_be_served() -> None:
    pytest.importorskip("gradio")
    from panoptic.demo_page.serving import listen

    with listen("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        assert opened.getsockname()[0] == "127.0.0.1"
        for host, at, got in (
            ("127.0.0.1", port, "Address already in use"),
            ("192.0.2.1", 0, ""),  # of no machine
            ("name.invalid", 0, ""),
        ):
            with pytest.raises(
                InputError, match=f"^host={host} port={at}: expected an address that is free, got: .*{got}"
            ):
                listen(host, at)
        with pytest.raises(InputError, match=r"^port: expected 0 to 65535, got 70000$"):
            listen("127.0.0.1", 70_000)
