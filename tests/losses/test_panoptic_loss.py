"""The sum of the losses: its terms, its weights, perfect outputs, and images with nothing in them."""

from __future__ import annotations

import pytest
import torch

from panoptic.codec import Codec, Outputs
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.losses import CenterLoss, ComplexityLoss, OffsetLoss, PanopticLoss, SemanticLoss, functional
from panoptic.losses.panoptic_loss import weights_by_class
from panoptic.segments import Segments

ROAD, CAR = 0, 1
LABELS = LabelSpace((Category("road", 0, False, (0, 0, 0)), Category("car", 1, True, (0, 0, 0))))
CODEC = Codec(LABELS, stride=1, complexity_stride=8)


def make(*things, background=1, crowd=False) -> Segments:
    ids = torch.full((16, 24), background, dtype=torch.int32)
    for i, (top, left, bottom, right) in enumerate(things):
        ids[top:bottom, left:right] = i + 2
    classes = torch.tensor([ROAD, *[CAR] * len(things)])
    return Segments.stack([Segments(ids, classes, (classes == CAR) & torch.tensor(crowd))])


SCENE = make((2, 2, 8, 9), (9, 12, 15, 20))


def random_outputs(requires_grad=False) -> Outputs:
    generator = torch.Generator().manual_seed(0)
    shapes = (1, 2, 16, 24), (1, 16, 24), (1, 2, 16, 24), (1, 2), (1, 2, 2, 3), (1, 3, 2, 3), (1, 3)
    values = [torch.randn(s, generator=generator) for s in shapes]
    values[5] = values[5].exp()  # numbers and variances are above 0
    return Outputs(*(value.requires_grad_(requires_grad) for value in values))


def test_modules_hand_on_to_the_functions():
    outputs, targets = random_outputs(), CODEC.encode(SCENE)
    semantic = functional.semantic_loss(
        outputs.semantic, targets.semantic, targets.semantic_weight, boundary_weight=3.0, hard_pixels=0.5
    )
    assert SemanticLoss(boundary_weight=3.0, hard_pixels=0.5)(outputs, targets) == semantic
    center = functional.center_loss(outputs.center, targets.center, targets.center_weight)
    assert CenterLoss()(outputs, targets) == center
    offset = functional.offset_loss(outputs.offset, targets.offset, targets.offset_weight)
    assert OffsetLoss()(outputs, targets) == offset
    complexity = functional.complexity_loss(
        outputs.complexity,
        targets.complexity,
        outputs.complexity_map,
        targets.complexity_map,
        outputs.complexity_cells,
        targets.complexity_cells,
    )
    assert ComplexityLoss()(outputs, targets) == complexity
    assert min(semantic, center, offset, complexity) > 0.01


def test_total_is_the_weighted_sum_of_the_terms():
    loss = PanopticLoss(semantic=2.0, center=3.0, offset=0.5, complexity=0.25)
    terms = loss(random_outputs(), CODEC.encode(SCENE))
    assert list(terms) == ["semantic", "center", "offset", "complexity", "total"]
    expected = 2 * terms["semantic"] + 3 * terms["center"] + 0.5 * terms["offset"] + 0.25 * terms["complexity"]
    assert terms["total"].item() == pytest.approx(expected.item())


def test_dice_and_levels_are_terms_where_they_weigh_something():
    """Levels count with the weights of the other terms, but for complexity, which does not depend on the fusion."""
    outputs, targets = random_outputs(), CODEC.encode(SCENE)
    levels = [
        outputs._replace(semantic=outputs.semantic + shift * torch.tensor([1.0, -1.0])[:, None, None])
        for shift in (1, 2)
    ]
    loss = PanopticLoss(dice=3.0, levels=0.5, complexity=0.25)
    assert loss.needs_levels
    assert not PanopticLoss().needs_levels
    terms = loss(outputs, targets, levels)
    assert terms["dice"].item() == functional.dice_loss(outputs.semantic, targets.semantic).item()
    plain = PanopticLoss(dice=3.0, complexity=0.0)
    expected = sum(plain(level, targets)["total"] for level in levels) / 2
    torch.testing.assert_close(terms["levels"], expected)
    without = PanopticLoss(dice=3.0, complexity=0.25)(outputs, targets)["total"]
    torch.testing.assert_close(terms["total"], without + 0.5 * expected)


@pytest.mark.parametrize(
    ("term", "fields"),
    [
        ("semantic", {"semantic"}),
        ("center", {"center"}),
        ("offset", {"offset"}),
        ("complexity", {"complexity", "complexity_map", "complexity_cells"}),
    ],
)
def test_a_weight_of_one_term_alone_sends_gradient_to_its_outputs_alone(term, fields):
    weights = {name: float(name == term) for name in ("semantic", "center", "offset", "complexity")}
    outputs = random_outputs(requires_grad=True)
    PanopticLoss(**weights)(outputs, CODEC.encode(SCENE))["total"].backward()
    with_gradient = {n for n, v in outputs._asdict().items() if v.grad is not None and v.grad.any()}
    assert with_gradient == fields


@pytest.mark.parametrize(
    "segments",
    [SCENE, make(), make((0, 0, 16, 24)), make((2, 2, 8, 9), crowd=True), make(background=0)],
    ids=["scene", "no things", "no stuff", "only crowd", "no segment"],
)
def test_perfect_outputs_cost_next_to_nothing(segments):
    targets = CODEC.encode(segments)
    terms = PanopticLoss()(targets.as_outputs(2), targets)
    assert terms["semantic"] < 1e-3
    assert terms["offset"] == 0
    assert terms["complexity"] == 0
    # Focal loss is not least at the heatmap itself: a place near a center costs a little at its own heat.
    wrong = PanopticLoss()(random_outputs(), targets)
    assert terms["center"] <= 0.2 * wrong["center"]
    assert terms["total"] < 0.2 * wrong["total"]


@pytest.mark.parametrize(
    "segments",
    [make(), make((0, 0, 16, 24)), make((0, 0, 16, 24), crowd=True), make(background=0)],
    ids=["no things", "no stuff", "only crowd", "no segment"],
)
@pytest.mark.parametrize("hard_pixels", [1.0, 0.2])
def test_nothing_of_a_kind_gives_finite_losses_and_gradients(segments, hard_pixels):
    outputs = random_outputs(requires_grad=True)
    terms = PanopticLoss(hard_pixels=hard_pixels)(outputs, CODEC.encode(segments))
    terms["total"].backward()
    assert all(value.isfinite() for value in terms.values())
    gradients = {name: values.grad for name, values in outputs._asdict().items() if name != "alpha"}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    has_segment, has_crowd = bool(segments.ids.any()), bool(segments.crowd.any())
    has_thing = len(segments.classes[0]) > 1 and not has_crowd
    assert bool(gradients["semantic"].any()) == has_segment
    assert bool(gradients["center"].any()) == (has_segment and not has_crowd)
    assert bool(gradients["offset"].any()) == has_thing
    assert gradients["complexity"].any()


def test_void_changes_no_loss_but_complexity():
    """Padding an image with void leaves what is said of its pixels, since all means are over what counts."""
    padded = Segments(torch.nn.functional.pad(SCENE.ids, (0, 8, 0, 8)), SCENE.classes, SCENE.crowd)
    outputs = random_outputs()
    maps = [torch.nn.functional.pad(values, (0, 8, 0, 8), value=1.5) for values in outputs[:3]]
    larger = Outputs(*maps, outputs.complexity, torch.rand(1, 2, 3, 4), torch.rand(1, 3, 3, 4), outputs.alpha)
    loss = PanopticLoss(boundary_weight=1.0)
    here, there = loss(outputs, CODEC.encode(SCENE)), loss(larger, CODEC.encode(padded))
    for name in ("semantic", "center", "offset"):
        assert there[name].item() == pytest.approx(here[name].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"boundary_weight": -1.0}, "^boundary_weight: expected at least 0, got -1"),
        ({"hard_pixels": 0.0}, r"^hard_pixels: expected a share in \(0, 1\], got 0"),
        ({"hard_pixels": 1.5}, r"^hard_pixels: expected a share in \(0, 1\], got 1.5"),
        ({"class_balance": -0.1}, r"^class_balance: expected a number in \[0, 1\], got -0.1"),
        ({"class_balance": 1.1}, r"^class_balance: expected a number in \[0, 1\], got 1.1"),
        ({"semantic": -1.0}, "^semantic: expected at least 0, got -1"),
        ({"center": -1.0}, "^center: expected at least 0, got -1"),
        ({"offset": -1.0}, "^offset: expected at least 0, got -1"),
        ({"complexity": -1.0}, "^complexity: expected at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        PanopticLoss(**settings)


def test_pixels_of_a_category_weigh_what_is_given():
    outputs, targets = random_outputs(), CODEC.encode(SCENE)
    weights = torch.where(targets.semantic == CAR, 5.0, 1.0) * targets.semantic_weight
    expected = functional.semantic_loss(outputs.semantic, targets.semantic, weights)
    loss = PanopticLoss(class_weights={"car": 5.0}, names=LABELS.names)
    torch.testing.assert_close(loss(outputs, targets)["semantic"], expected)
    assert not loss.state_dict()  # a setting, not a weight
    equal = PanopticLoss(class_weights={"car": 1.0}, names=LABELS.names)
    torch.testing.assert_close(equal(outputs, targets)["total"], PanopticLoss()(outputs, targets)["total"])


def test_void_has_no_weight_whatever_categories_have():
    outputs, targets = random_outputs(), CODEC.encode(SCENE)
    targets.semantic[:, :8] = 255
    loss = PanopticLoss(class_weights={"road": 7.0, "car": 7.0}, names=LABELS.names)
    torch.testing.assert_close(loss(outputs, targets)["semantic"], PanopticLoss()(outputs, targets)["semantic"])


@pytest.mark.parametrize(
    ("weights", "got"),
    [
        ({"bus": 2.0}, r"expected names of categories \(road, car\), got 'bus'"),
        ({"car": -1.0}, "at least 0, got -1.0"),
        ({"car": "x"}, "at least 0, got 'x'"),
        (4, "expected numbers by names of categories, .*, got 4"),
    ],
)
def test_weights_of_categories_that_cannot_be(weights, got):
    with pytest.raises(InputError, match=f"^class_weights.*{got}"):
        weights_by_class(weights, LABELS.names)
