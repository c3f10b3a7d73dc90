"""What all metrics share: any split and any order of the images, padding, ranks, precision, tables, plots, devices."""

from __future__ import annotations

import inspect
import math
from functools import partial

import matplotlib
import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from panoptic.labels import Category, LabelSpace
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, MeanIoU, PanopticQuality
from panoptic.metrics.functional import check_pair
from panoptic.segments import Segments

matplotlib.use("Agg")
NAMES = (("car", True), ("person", True), ("road", False), ("sky", False), ("grass", False))
LABELS = LabelSpace(tuple(Category(name, 3 * i, thing, (0, 0, 0)) for i, (name, thing) in enumerate(NAMES)))
METRICS = {
    "pq": PanopticQuality,
    "boundary_pq": partial(BoundaryPanopticQuality, dilation_ratio=0.1),
    "boundary_f1": BoundaryF1,
    "mean_iou": MeanIoU,
}


def random_segments(rng: np.random.Generator, size=(24, 33), rows: int = 7) -> Segments:
    coarse = rng.integers(0, rows + 1, (size[0] // 5 + 1, size[1] // 5 + 1))
    ids = coarse.repeat(5, 0).repeat(5, 1)[: size[0], : size[1]].astype(np.int32)
    classes = torch.from_numpy(rng.integers(0, 4, rows))  # the last class never occurs
    crowd = torch.from_numpy(rng.random(rows) < 0.2) & (classes < 2)
    return Segments(torch.from_numpy(ids), classes, crowd)


def random_pairs(count: int, sizes=((24, 33),)) -> list[tuple[Segments, Segments]]:
    rng = np.random.default_rng(count)
    pairs = []
    for i in range(count):
        target = random_segments(rng, sizes[i % len(sizes)])
        prediction = Segments(target.ids.roll(1 + i % 2, 1), target.classes, torch.zeros_like(target.crowd))
        ids = prediction.ids.clone()
        ids[: i % 9] = 0
        pairs.append((Segments(ids, prediction.classes, prediction.crowd), target))
    return pairs


def numbers(metric) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


def scored(name: str, pairs) -> dict[str, float]:
    metric = METRICS[name](LABELS)
    for prediction, target in pairs:
        metric.update(prediction, target)
    return numbers(metric)


def same(one: dict[str, float], other: dict[str, float]) -> None:
    assert one == pytest.approx(other, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
class TestEveryMetric:
    def test_gives_scalars_by_name_that_never_change(self, name: str) -> None:
        metric = METRICS[name](LABELS)
        metric.update(*random_pairs(1)[0])
        result = metric.compute()
        assert all(value.ndim == 0 and value.dtype == torch.float64 for value in result.values())
        headline = {f"{name}{suffix}" for suffix in ("", "_things", "_stuff")}
        assert headline <= set(result)
        per_class = name.removeprefix("mean_")
        assert {f"{per_class}/{label}" for label in LABELS.names} <= set(result)
        assert math.isnan(result[f"{per_class}/grass"])
        empty = Segments(torch.zeros(4, 4, dtype=torch.int32), torch.zeros(0).long(), torch.zeros(0).bool())
        metric.reset()
        metric.update(empty, empty)
        assert list(metric.compute()) == list(result)
        assert all(metric.compute()[key] == 0 for key in headline)

    def test_is_one_for_truth_and_means_over_classes(self, name: str) -> None:
        result = scored(name, [(target, target) for _, target in random_pairs(6)])
        assert result[name] == 1.0
        result = scored(name, random_pairs(6))
        per_class = name.removeprefix("mean_")
        values = {label: result[f"{per_class}/{label}"] for label in LABELS.names}
        assert 0 < result[name] < 1
        assert result[name] == pytest.approx(np.nanmean(list(values.values())), rel=1e-12)
        assert result[f"{name}_things"] == pytest.approx(np.mean([values["car"], values["person"]]), rel=1e-12)
        assert result[f"{name}_stuff"] == pytest.approx(np.mean([values["road"], values["sky"]]), rel=1e-12)

    def test_any_split_into_batches_gives_one_value(self, name: str) -> None:
        pairs = random_pairs(7)
        expected = scored(name, pairs)
        batches = [pairs[:3], pairs[3:4], pairs[4:]]
        stacked = [tuple(Segments.stack([pair[side] for pair in batch]) for side in (0, 1)) for batch in batches]
        same(scored(name, stacked), expected)
        same(scored(name, reversed(pairs)), expected)

    def test_padding_changes_nothing_where_sizes_are_given(self, name: str) -> None:
        pairs = random_pairs(5, sizes=((24, 33), (17, 40), (30, 12)))
        expected = scored(name, pairs)
        prediction, target = (Segments.stack([pair[side] for pair in pairs]) for side in (0, 1))
        filled = torch.where(target.ids == 0, 1, prediction.ids)  # networks predict on padding too
        cropped = [tuple(pair[1].size) for pair in pairs]
        for i, (height, width) in enumerate(cropped):
            filled[i, :height, :width] = prediction.ids[i, :height, :width]
        metric = METRICS[name](LABELS)
        metric.update(Segments(filled, prediction.classes, prediction.crowd), target, sizes=cropped)
        same(numbers(metric), expected)

    def test_any_number_of_ranks_gives_one_value(self, name: str) -> None:
        pairs = random_pairs(6)
        others = [METRICS[name](LABELS) for _ in range(2)]
        for i, other in enumerate(others):
            for pair in pairs[2 * i + 2 : 2 * i + 4]:
                other.update(*pair)

        def gather(state, group=None):
            which = next(key for key in metric._defaults if getattr(metric, key) is state)
            return [state, *(getattr(other, which) for other in others)]

        metric = METRICS[name](LABELS, dist_sync_fn=gather, distributed_available_fn=lambda: True)
        for pair in pairs[:2]:
            metric.update(*pair)
        same(numbers(metric), scored(name, pairs))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast_and_half_precision_modules_change_no_bit(self, name: str, dtype: torch.dtype) -> None:
        pairs = random_pairs(3)
        expected = scored(name, pairs)
        metric = METRICS[name](LABELS)
        module = nn.ModuleList([metric]).to(dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for pair in pairs:
                module[0].update(*pair)
            result = numbers(module[0])
        same(result, expected)
        for state, other in ((getattr(metric, key), metric._defaults[key]) for key in metric._defaults):
            assert state.is_floating_point() == other.is_floating_point()

    def test_states_do_not_grow(self, name: str) -> None:
        metric = METRICS[name](LABELS)
        shapes = []
        for pair in random_pairs(5):
            metric.update(*pair)
            shapes.append({key: tuple(getattr(metric, key).shape) for key in metric._defaults})
        assert all(step == shapes[0] for step in shapes)

    def test_prints_a_row_for_each_class_that_occurs(self, name: str) -> None:
        metric = METRICS[name](LABELS)
        for pair in random_pairs(6):
            metric.update(*pair)
        text = metric.table()
        assert type(metric).__name__ in text
        assert f"{metric.compute()[name].item():.4f}" in text
        assert all(row in text for row in ("all", "things", "stuff", "car", "person", "road", "sky"))
        assert "grass" not in text

    def test_plots_bars_by_class_and_lines_over_steps(self, name: str) -> None:
        metric = METRICS[name](LABELS)
        steps = []
        for pair in random_pairs(3):
            metric.update(*pair)
            steps.append(metric.compute())
        figure, ax = metric.plot()
        assert figure is ax.figure
        rows = [tick.get_text() for tick in ax.get_yticklabels()]
        assert rows[:3] == ["all", "things", "stuff"]
        assert "grass" not in rows
        drawn = [bar.get_width() for bar in ax.patches][: len(rows)]
        assert drawn[0] == pytest.approx(steps[-1][name].item())
        _, given = matplotlib.pyplot.subplots()
        assert metric.plot(steps[0], ax=given)[1] is given
        _, lines = metric.plot(steps)
        assert any(
            list(line.get_ydata()) == pytest.approx([s[name].item() for s in steps]) for line in lines.get_lines()
        )
        matplotlib.pyplot.close("all")

    def test_survives_pickling_and_cloning(self, name: str) -> None:
        import pickle

        metric = METRICS[name](LABELS)
        metric.update(*random_pairs(1)[0])
        same(numbers(pickle.loads(pickle.dumps(metric))), numbers(metric))
        same(numbers(metric.clone()), numbers(metric))

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_a_gpu_gives_the_same_bits(self, name: str) -> None:
        pairs = random_pairs(6)
        metric = METRICS[name](LABELS).to("cuda")
        with torch.autocast("cuda", dtype=torch.float16):
            for prediction, target in pairs:
                metric.update(prediction.to("cuda"), target.to("cuda"))
        expected = METRICS[name](LABELS)
        for pair in pairs:
            expected.update(*pair)
        for key in metric._defaults:
            assert torch.equal(getattr(metric, key).cpu(), getattr(expected, key)), key


def test_a_collection_gives_what_each_gives_alone() -> None:
    pairs = random_pairs(4)
    collection = MetricCollection([metric(LABELS) for metric in METRICS.values()], prefix="val/")
    for prediction, target in pairs:
        collection.update(prediction, target, sizes=None)
    expected = {f"val/{key}": value for name in METRICS for key, value in scored(name, pairs).items()}
    same(numbers(collection), expected)


def test_segments_from_maps_are_scored_as_others() -> None:
    _, target = random_pairs(1)[0]
    instances = 100 * target.ids
    again = Segments.from_maps(target.semantic(), instances, target.per_pixel(target.crowd, False))
    assert scored("pq", [(again, target)]) == pytest.approx(scored("pq", [(target, target)]), nan_ok=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: Segments(s.ids[:5], s.classes, s.crowd),
            "expected a prediction of the target's size 24x33, got 5x33",
        ),
        (lambda s: Segments(s.ids + 9, s.classes, s.crowd), r"prediction: expected ids in 0\.\.7 .* got 9\.\.16"),
        (lambda s: Segments(s.ids - 1, s.classes, s.crowd), r"prediction: expected ids in 0\.\.7 .* got -1\.\.6"),
        (lambda s: Segments(s.ids, s.classes + 9, s.crowd), "prediction: expected classes below 5, got"),
        (
            lambda s: Segments(s.ids, s.classes * 0 - 1, s.crowd),
            "expected classes of at least 0 where there are pixels",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(change, said: str) -> None:
    target = random_segments(np.random.default_rng(0))
    with pytest.raises(ValueError, match=said):
        check_pair(change(target), target, len(LABELS))


@pytest.mark.parametrize(
    ("place", "given", "said"),
    [
        (0, torch.zeros(24, 33), "prediction: expected Segments, such as Segments.from_maps returns, got Tensor"),
        (1, torch.zeros(24, 33), "target: expected Segments, .*, got Tensor"),
        (1, None, "target: expected Segments, .*, got NoneType"),
    ],
)
def test_anything_but_segments_is_refused(place: int, given, said: str) -> None:
    pair: list = [random_segments(np.random.default_rng(0))] * 2
    pair[place] = given
    with pytest.raises(TypeError, match=said):  # of the function itself, without the checks that tests add to it
        inspect.unwrap(check_pair)(*pair, len(LABELS))


@pytest.mark.parametrize("sizes", [[(24, 33)], [(24, 33)] * 3, [(24, 34)] * 2, [(0, 33)] * 2])
def test_sizes_that_do_not_fit_the_batch_are_refused(sizes) -> None:
    prediction, target = (Segments.stack([pair[side] for pair in random_pairs(2)]) for side in (0, 1))
    with pytest.raises(
        ValueError, match="sizes: expected a height and a width of at most 24 x 33 for each of 2 images"
    ):
        PanopticQuality(LABELS).update(prediction, target, sizes=sizes)


def test_padding_rows_of_a_batch_are_no_fault() -> None:
    few, many = random_segments(np.random.default_rng(0), rows=2), random_segments(np.random.default_rng(1), rows=9)
    batch = Segments.stack([few, many])
    assert (batch.classes == -1).any()
    metric = PanopticQuality(LABELS)
    metric.update(batch, batch)
    assert metric.compute()["pq"] == 1.0


def test_a_category_may_be_called_like_a_summary() -> None:
    labels = LabelSpace(
        tuple(Category(n, i, i == 0, (0, 0, 0)) for i, n in enumerate(("all", "[red]things[/]", "stuff")))
    )
    target = Segments(torch.tensor([[1, 2, 3, 3]], dtype=torch.int32), torch.tensor([0, 1, 2]), torch.zeros(3).bool())
    prediction = Segments(torch.tensor([[1, 3, 3, 3]], dtype=torch.int32), target.classes, target.crowd)
    metric = PanopticQuality(labels)
    metric.update(prediction, target)
    rows = {line.split("│")[1].strip(): line for line in metric.table().splitlines() if line.startswith("│")}
    assert list(rows) == ["all", "things", "stuff", "all (category)", "[red]things[/]", "stuff (category)"]
    assert "1.0000" in rows["all (category)"]
