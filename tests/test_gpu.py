"""What only a CUDA device can show: the same values as on a CPU, and steps in which the host waits for nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hydra import compose
from omegaconf import DictConfig

from panoptic.codec import Codec
from panoptic.config.composing import build, with_hydra
from panoptic.data.batch import Batch, collate
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, MeanIoU, PanopticQuality
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments
from panoptic.training.checkpoint import build_codec, build_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CHECKOUT = Path(__file__).parents[1]
SIZE = (128, 256)
METRICS = (PanopticQuality, BoundaryPanopticQuality, BoundaryF1, MeanIoU)


@pytest.fixture(scope="module")
def batch() -> Batch:
    source = SyntheticSource("val", size=4, height=SIZE[0], width=SIZE[1])
    return collate([source.read(i) for i in range(4)])


def experiment(name: str, *overrides: str) -> DictConfig:
    with with_hydra():
        return compose("train", [f"experiment={name}", "model.backbone.weights=random", *overrides])


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def codec(stride: int) -> Codec:
    return Codec(CITYSCAPES, stride=stride, complexity_stride=16, sigma=4.0, peak_window=11, small_area=50)


def shaken(segments: Segments) -> Segments:
    """A prediction: the truth, moved by a few pixels."""
    return Segments(segments.ids.roll((2, 5), (1, 2)), segments.classes, segments.crowd)


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_give_the_same_bits_in_half_precision(batch: Batch, metric: type) -> None:
    ours, expected = metric(CITYSCAPES).to("cuda"), metric(CITYSCAPES)
    target, prediction = batch.segments, shaken(batch.segments)
    for _ in range(3):
        expected.update(prediction, target)
        with torch.autocast("cuda", dtype=torch.float16):
            ours.update(prediction.to("cuda"), target.to("cuda"))
    for name in expected._defaults:
        assert torch.equal(getattr(ours, name).cpu(), getattr(expected, name)), name
    assert {k: float(v) for k, v in ours.compute().items() if v == v} == {
        k: float(v) for k, v in expected.compute().items() if v == v
    }


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_targets_are_those_of_a_cpu(batch: Batch, stride: int) -> None:
    expected = codec(stride).encode(batch.segments)
    with torch.autocast("cuda", dtype=torch.float16):
        ours = codec(stride).encode(batch.segments.to("cuda"))
    for name, value, true in zip(expected._fields, ours, expected, strict=True):
        assert value.dtype == true.dtype, name
        if name.startswith("complexity"):  # sums of floats
            torch.testing.assert_close(value.cpu(), true, atol=1e-5, rtol=1e-5, msg=name)
        else:
            torch.testing.assert_close(value.cpu(), true, atol=1e-6, rtol=1e-6, msg=name)
    assert torch.equal(ours.semantic.cpu(), expected.semantic)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_decoding_gives_what_a_cpu_gives(batch: Batch, stride: int) -> None:
    outputs = codec(stride).encode(batch.segments).as_outputs(len(CITYSCAPES))
    expected = codec(stride).decode(outputs, SIZE)
    on_device = type(outputs)(*(value.to("cuda") for value in outputs))
    with torch.autocast("cuda", dtype=torch.float16):
        ours = codec(stride).decode(on_device, SIZE).to("cpu")
    if stride == 1:  # nothing is interpolated, so that there is nothing to round
        assert torch.equal(ours.ids, expected.ids)
        assert torch.equal(ours.classes, expected.classes)
    assert ours.classes.shape == expected.classes.shape
    assert (ours.ids != expected.ids).float().mean() < 1e-3
    torch.testing.assert_close(ours.scores, expected.scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("fusion", ["adaptive", "local", "uniform", "static", "random"])
def test_a_training_step_waits_for_nothing(batch: Batch, optimizer: str, fusion: str) -> None:
    config = experiment("quick", f"optimizer={optimizer}", f"model/fusion={fusion}")
    network = build_network(config, len(CITYSCAPES)).to("cuda").train()
    loss, targets_of = build(config.loss), build_codec(config, CITYSCAPES, network).encode
    stepped, schedule = build(config.optimizer)(network.parameters(), 100)
    scaler = torch.amp.GradScaler("cuda")
    pinned = batch.pin_memory()

    def step() -> torch.Tensor:
        moved = pinned.to("cuda")
        with torch.autocast("cuda", dtype=torch.float16):
            total = loss(network(moved.images), targets_of(moved.segments))["total"]
        stepped.zero_grad(set_to_none=True)
        scaler.scale(total).backward()
        scaler.step(stepped)
        scaler.update()
        schedule.step()
        return total.detach()

    first, _ = step(), step()  # what is kept for a device goes there once
    with waiting_is_an_error():
        for _ in range(20):
            total = step()
    assert total < first  # the same batch again and again
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_waiting_is_noticed() -> None:
    value = torch.ones(1, device="cuda")
    with waiting_is_an_error(), pytest.raises(RuntimeError, match="synchroniz"):
        value.item()
    assert torch.cuda.get_sync_debug_mode() == 0


def test_a_predictor_finds_what_it_finds_on_a_cpu(batch: Batch) -> None:
    config = experiment("quick")
    network = build_network(config, len(CITYSCAPES)).eval()
    predictors = [Predictor(network, build_codec(config, CITYSCAPES, network), device) for device in ("cpu", "cuda")]
    expected, ours = (predictor.outputs(batch) for predictor in predictors)
    for name, value, true in zip(expected._fields, ours, expected, strict=True):
        scale = true.abs().max().clamp(min=1.0)
        torch.testing.assert_close(value.cpu() / scale, true / scale, atol=1e-2, rtol=1e-2, msg=name)  # TF32


def test_a_half_precision_step_has_the_gradients_of_single_precision(batch: Batch) -> None:
    config = experiment("quick", "model/fusion=adaptive")
    network = build_network(config, len(CITYSCAPES)).to("cuda").train()
    encode, loss, moved = build_codec(config, CITYSCAPES, network).encode, build(config.loss), batch.to("cuda")
    gradients = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16, enabled=enabled):
            total = loss(network(moved.images), encode(moved.segments))["total"]
        (1024 * total).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]) / 1024)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.98


def test_the_commands_train_resume_evaluate_and_predict(tmp_path: Path) -> None:
    def run(module: str, *arguments: str) -> str:
        command = [sys.executable, "-m", f"panoptic.{module}", *arguments]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    sizes = ("data.train_size=8", "data.val_size=4", "data.test_size=4", "data.epoch_size=16")
    quick = ("experiment=quick", *sizes, "trainer.check_val_every_n_epoch=1")
    said = run("train", *quick, "trainer.max_epochs=1", "optimizer=muon", f"hydra.run.dir={tmp_path / 'one'}")
    assert "cuda:0" in said
    assert "16-mixed" in said
    checkpoint = tmp_path / "one" / "checkpoints" / "last.ckpt"
    run("train", f"resume={checkpoint}", "trainer.max_epochs=2")
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert (summary["epochs"], summary["precision"], summary["device"]) == (2, "16-mixed", "cuda:0")
    assert all(value == value and abs(value) < 1e4 for value in summary["last"].values())
    run("evaluate", f"checkpoint={checkpoint}", "tta=flip", "oracle=true", f"output={tmp_path / 'scores'}")
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert 0 <= scores["all"]["pq"] <= 1
    run("predict", f"checkpoint={checkpoint}", "input=docs/images/scene.jpg", f"output={tmp_path / 'predicted'}")
    assert list((tmp_path / "predicted").rglob("*.png"))
