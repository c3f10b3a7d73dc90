"""The monitor of fusion: deviations by hand, the gradient of the logits, and the warning of static fusion."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from panoptic.models import AdaptiveFusion, UniformFusion
from panoptic.models.complexity import ComplexityEstimate
from panoptic.training.callbacks.fusion import FusionMonitor
from panoptic.training.module import Evaluated


class Module(LightningModule):
    """What the monitor takes of the module that is trained."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.network = nn.Module()
        self.network.fusion = fusion
        self.logged: dict[str, float] = {}

    def log(self, name, value, **options) -> None:
        self.logged[name] = float(value)

    def log_dict(self, values, **options) -> None:
        for name, value in values.items():
            self.log(name, value)


def trainer(scaler=None, steps=100) -> Mock:
    return Mock(spec=Trainer, is_global_zero=True, global_step=steps, precision_plugin=SimpleNamespace(scaler=scaler))


def fuse(fusion: nn.Module, generator: torch.Generator) -> None:
    levels = [torch.randn(1, 4, 8 >> i, 8 >> i, generator=generator) for i in range(3)]
    fusion(
        levels,
        ComplexityEstimate(torch.rand(1, 2, generator=generator), torch.zeros(1, 2, 1, 1), torch.zeros(1, 3, 1, 1)),
    )


def validated(fusion: nn.Module, alpha: list[list[float]]) -> tuple[Module, FusionMonitor]:
    """A monitor that saw a validation with an image a batch."""
    module, monitor = Module(fusion), FusionMonitor()
    monitor.on_validation_epoch_start(trainer(), module)
    generator = torch.Generator().manual_seed(0)
    for row in alpha:
        monitor.on_validation_batch_start(trainer(), module, None, 0)
        fuse(fusion, generator)
        evaluated = Mock(spec=Evaluated, outputs=Mock(alpha_of_image=torch.tensor([row])))
        monitor.on_validation_batch_end(trainer(), module, evaluated, None, 0)
    monitor.on_validation_epoch_end(trainer(), module)
    return module, monitor


def test_deviations_over_images_by_hand(capsys):
    module, monitor = validated(AdaptiveFusion(4, 3).eval(), [[0.5, 0.3, 0.2], [0.7, 0.1, 0.2], [0.6, 0.2, 0.2]] * 3)
    deviation = pytest.approx((0.02 / 3) ** 0.5, abs=1e-6)
    assert module.logged["val/alpha_std_P2"] == deviation
    assert module.logged["val/alpha_std_P3"] == deviation
    assert module.logged["val/alpha_std_P4"] == pytest.approx(0.0, abs=1e-6)
    assert module.logged["val/alpha_active_units"] > 0.9
    monitor.on_fit_end(trainer(), module)
    assert capsys.readouterr().out == ""


def test_static_fusion_is_warned_of(capsys):
    module, monitor = validated(AdaptiveFusion(4, 3).eval(), [[0.5, 0.3, 0.2], [0.504, 0.296, 0.2]] * 4)
    monitor.on_fit_end(trainer(), module)
    assert capsys.readouterr().out == (
        "warning: fusion has become static: α, averaged over places, varies over validation images by a standard "
        "deviation of 0.0020, less than 0.005\n"
    )


def test_few_steps_say_nothing(capsys):
    module, monitor = validated(AdaptiveFusion(4, 3).eval(), [[0.5, 0.3, 0.2]] * 8)
    monitor.on_fit_end(trainer(steps=99), module)
    assert capsys.readouterr().out == ""


def test_few_images_say_nothing(capsys):
    module, monitor = validated(AdaptiveFusion(4, 3).eval(), [[0.5, 0.3, 0.2]] * 7)
    monitor.on_fit_end(trainer(), module)
    assert capsys.readouterr().out == ""


def test_weights_that_are_not_numbers_are_warned_of(capsys):
    module, monitor = validated(AdaptiveFusion(4, 3).eval(), [[float("nan")] * 3] * 8)
    monitor.on_fit_end(trainer(), module)
    assert "deviation of nan" in capsys.readouterr().out


def test_uniform_fusion_is_meant_to_be_static(capsys):
    module, monitor = validated(UniformFusion(4, 3), [[1 / 3] * 3] * 2)
    assert set(module.logged) == {f"val/alpha_std_P{i}" for i in (2, 3, 4)}
    monitor.on_fit_end(trainer(), module)
    monitor.on_before_optimizer_step(trainer(), module, Mock(spec=torch.optim.Optimizer))
    assert capsys.readouterr().out == ""
    assert "train/alpha_gradient" not in module.logged


def test_an_interrupted_validation_leaves_no_hook():
    fusion, monitor = AdaptiveFusion(4, 3), FusionMonitor()
    monitor.on_validation_epoch_start(trainer(), Module(fusion))
    monitor.on_validation_batch_start(trainer(), Module(fusion), None, 0)
    assert len(fusion.activation._forward_hooks) == 1
    monitor.on_exception(trainer(), Module(fusion), KeyboardInterrupt())
    assert len(fusion.activation._forward_hooks) == 0


def test_what_others_compute_with_the_network_does_not_count():
    fusion, monitor, generator = AdaptiveFusion(4, 3), FusionMonitor(), torch.Generator().manual_seed(0)
    module = Module(fusion)
    monitor.on_validation_epoch_start(trainer(), module)
    monitor.on_validation_batch_start(trainer(), module, None, 0)
    levels = [torch.ones(1, 4, 8 >> i, 8 >> i) for i in range(3)]
    fusion(levels, ComplexityEstimate(torch.ones(1, 2), torch.zeros(1, 2, 1, 1), torch.zeros(1, 3, 1, 1)))
    evaluated = Mock(spec=Evaluated, outputs=Mock(alpha_of_image=torch.tensor([[0.5, 0.3, 0.2]])))
    monitor.on_validation_batch_end(trainer(), module, evaluated, None, 0)
    fuse(fusion, generator)  # as for a picture
    monitor.on_validation_epoch_end(trainer(), module)
    assert module.logged["val/alpha_active_units"] == 0  # of one image, nothing varies


@pytest.mark.parametrize("scale", [None, 8.0])
def test_gradient_of_the_logits_by_hand(scale):
    """Gradients of optimizers that unscale in their step are unscaled, those that were unscaled before are not."""
    fusion = AdaptiveFusion(4, 3)
    fusion.logits.weight.grad = torch.zeros_like(fusion.logits.weight)
    fusion.logits.weight.grad[0, 0], fusion.logits.bias.grad = 3.0, torch.tensor([0.0, 4.0, 0.0])
    scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    for supports, divisor in ((True, scale or 1.0), (False, 1.0)):
        module = Module(fusion)
        optimizer = Mock(spec=torch.optim.Optimizer, _step_supports_amp_scaling=supports)
        FusionMonitor().on_before_optimizer_step(trainer(scaler), module, optimizer)
        assert module.logged == {"train/alpha_gradient": 5.0 / divisor}
