"""The codec: both directions by hand, there and back, and the images that have nothing in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from panoptic.codec import Codec, Outputs
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.metrics import PanopticQuality
from panoptic.segments import VOID, Segments

ROAD, SKY, CAR, PERSON = range(4)
LABELS = LabelSpace(
    tuple(
        Category(name, i, isthing, (0, 0, 0))
        for i, (name, isthing) in enumerate((("road", False), ("sky", False), ("car", True), ("person", True)))
    )
)


def make(ids, classes, crowd=()) -> Segments:
    """A batch of one image from a map of ids; ``crowd`` names the ids that are one."""
    segments = Segments(
        torch.as_tensor(ids, dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor([i + 1 in crowd for i in range(len(classes))], dtype=torch.bool),
    )
    return Segments.stack([segments])


def boxes(size, *things, crowd=()) -> Segments:
    """Road below sky, with things given as (class, top, left, bottom, right)."""
    ids = torch.ones(size, dtype=torch.int32)
    ids[: size[0] // 2] = 2
    for i, (_, top, left, bottom, right) in enumerate(things):
        ids[top:bottom, left:right] = i + 3
    return make(ids, [ROAD, SKY, *(thing[0] for thing in things)], crowd)


def random_scene(seed: int, size=(64, 96), least: int = 10) -> Segments:
    """Things of ``least`` to 24 pixels a side, each in a place of its own on a grid of 32."""
    rng = np.random.default_rng(seed)
    things = []
    for top in range(0, size[0] - 31, 32):
        for left in range(0, size[1] - 31, 32):
            height, width = rng.integers(least, 25, 2)
            y, x = top + rng.integers(0, 33 - height), left + rng.integers(0, 33 - width)
            things.append((int(rng.choice([CAR, PERSON])), y, x, y + height, x + width))
    return boxes(size, *things)


def outputs(semantic, center, offset=None) -> Outputs:
    """Outputs of a batch, of which decoding reads the first three."""
    batch, _, height, width = semantic.shape
    offset = torch.zeros(batch, 2, height, width) if offset is None else offset
    rest = torch.zeros(batch, 2), torch.zeros(batch, 2, 1, 1), torch.zeros(batch, 3, 1, 1), torch.ones(batch, 1)
    return Outputs(semantic, center, offset, *rest)


def of_classes(classes) -> torch.Tensor:
    """Logits that are sure of a class map ``[h w]``."""
    one_hot = torch.nn.functional.one_hot(torch.as_tensor(classes), len(LABELS))
    return one_hot.permute(2, 0, 1)[None].float() * 20


def with_peaks(size, **heights) -> torch.Tensor:
    """Center logits, low but at places given as ``y3x4=logit``."""
    center = torch.full((1, *size), -20.0)
    for place, logit in heights.items():
        y, x = place.removeprefix("y").split("x")
        center[0, int(y), int(x)] = logit
    return center


def there_and_back(codec: Codec, segments: Segments) -> Segments:
    return codec.decode(codec.encode(segments).as_outputs(len(LABELS)), segments.size)


def is_same(a: Segments, b: Segments) -> bool:
    """Whether two batches have the same segments, whatever their ids."""
    for one, other in zip(a.unstack(), b.unstack(), strict=True):
        pairs = torch.stack([one.ids.flatten(), other.ids.flatten()], dim=1).unique(dim=0)
        if len(pairs[:, 0].unique()) != len(pairs) or len(pairs[:, 1].unique()) != len(pairs):
            return False
        if not torch.equal(one.semantic(), other.semantic()):
            return False
    return True


def quality(prediction: Segments, target: Segments) -> float:
    metric = PanopticQuality(LABELS)
    metric.update(prediction, target)
    return metric.compute()["pq"].item()


class TestThereAndBack:
    @pytest.mark.parametrize("seed", range(3))
    def test_exact_at_stride_1(self, seed):
        scene = random_scene(seed, least=3)
        decoded = there_and_back(Codec(LABELS, stride=1), scene)
        assert is_same(decoded, scene)
        assert quality(decoded, scene) == 1.0

    def test_exact_for_shapes_that_are_not_boxes(self):
        y, x = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
        ids = torch.ones(40, 60)
        ring = (y - 20) ** 2 + (x - 20) ** 2
        ids[(ring < 15**2) & (ring > 8**2)] = 2  # its center of mass is not on it
        ids[ring < 5**2] = 1
        ids[(y + x > 80) & (x > 40)] = 3
        scene = make(ids, [ROAD, CAR, PERSON])
        assert is_same(there_and_back(Codec(LABELS, stride=1), scene), scene)

    @pytest.mark.parametrize(("stride", "least"), [(2, 0.88), (4, 0.8)])
    @pytest.mark.parametrize("size", [(64, 96), (65, 99), (67, 97)])
    def test_high_at_greater_strides(self, stride, least, size):
        codec = Codec(LABELS, stride=stride)
        scenes = [random_scene(seed, size) for seed in range(4)]
        for scene in scenes:
            decoded = there_and_back(codec, scene)
            assert decoded.size == size
            found = decoded.unstack()[0].classes
            assert torch.equal(found.sort().values, scene.classes[0].sort().values)
        pairs = [(there_and_back(codec, scene), scene) for scene in scenes]
        assert np.mean([quality(*pair) for pair in pairs]) > least

    @pytest.mark.parametrize("stride", [1, 2, 4])
    def test_touching_things_of_one_class_are_told_apart(self, stride):
        scene = boxes((32, 48), (CAR, 8, 8, 24, 20), (CAR, 8, 20, 24, 36), (CAR, 24, 8, 32, 36))
        decoded = there_and_back(Codec(LABELS, stride=stride), scene)
        assert quality(decoded, scene) > {1: 0.9999, 2: 0.9999, 4: 0.9}[stride]  # corners are rounded at 4

    def test_maps_are_rounded_up_and_the_rest_is_void(self):
        targets = Codec(LABELS, stride=4, complexity_stride=16).encode(make(torch.ones(37, 61), [CAR]))
        assert targets.semantic.shape == targets.center.shape == (1, 10, 16)
        assert targets.complexity_map.shape == (1, 2, 3, 4)
        # The middle of the last row of cells is row 38, of the last column column 62: both beyond the image.
        assert targets.semantic[0, -1].unique().tolist() == [VOID]
        assert targets.semantic[0, :, -1].unique().tolist() == [VOID]
        assert targets.semantic[0, :-1, :-1].unique().tolist() == [CAR]

    @pytest.mark.parametrize("stride", [1, 2, 4])
    @pytest.mark.parametrize(
        "segments",
        [
            make(torch.zeros(16, 24), []),
            make(torch.zeros(16, 24), [CAR]),
            make(torch.ones(16, 24), [ROAD]),
            make(torch.ones(16, 24), [CAR]),
            make(torch.ones(16, 24), [CAR], crowd={1}),
        ],
        ids=["no segment", "no pixel", "no things", "no stuff", "only crowd"],
    )
    def test_images_with_nothing_of_a_kind(self, segments, stride):
        codec = Codec(LABELS, stride=stride, complexity_stride=8)
        targets = codec.encode(segments)
        assert all(t.isfinite().all() for t in targets)
        decoded = codec.decode(targets.as_outputs(len(LABELS)), segments.size)
        assert decoded.scores.isfinite().all()
        assert decoded.size == segments.size
        if segments.classes.tolist() in ([[ROAD]], [[CAR]]) and segments.areas()[0, 0] and not segments.crowd.any():
            assert is_same(decoded, segments)
        if segments.crowd.any():  # a thing class everywhere, and no center
            assert not decoded.ids.any()
            assert decoded.unstack()[0].classes.tolist() == []

    def test_more_things_than_are_looked_for(self):
        things = [(CAR, y, x, y + 6, x + 6) for y in range(0, 40, 8) for x in range(0, 40, 8)]
        scene = boxes((40, 40), *things)
        all_found = there_and_back(Codec(LABELS, stride=1, max_things=25), scene)
        assert is_same(all_found, scene)
        some_found = there_and_back(Codec(LABELS, stride=1, max_things=7), scene).unstack()[0]
        assert (some_found.classes == CAR).sum() == 7
        assert torch.equal(some_found.semantic(), scene.semantic()[0])  # every pixel joins one of them


class TestEncode:
    def test_offsets_by_hand(self):
        # Rows 2..3 and columns 2..4: the center is (2.5, 3).
        targets = Codec(LABELS, stride=1).encode(boxes((6, 8), (CAR, 2, 2, 4, 5)))
        assert targets.offset[0, 0, 2:4, 2:5].tolist() == [[0.5] * 3, [-0.5] * 3]
        assert targets.offset[0, 1, 2:4, 2:5].tolist() == [[1.0, 0.0, -1.0]] * 2
        assert targets.offset_weight[0].sum() == pytest.approx(6 / 6**0.5)  # six pixels of weight 1 / sqrt(6)
        assert (targets.offset[0] * (targets.offset_weight == 0)).abs().sum() == 0

    def test_offsets_are_in_cells(self):
        # Rows 0..7 and columns 4..15 of pixels: the center (3.5, 9.5) is at (0.5, 2) in cells of 4, whose own centers
        # are at 1.5, 5.5, 9.5 ...
        targets = Codec(LABELS, stride=4).encode(boxes((16, 24), (CAR, 0, 4, 8, 16)))
        assert targets.offset[0, 0, :2, 1:4].tolist() == [[0.5] * 3, [-0.5] * 3]
        assert targets.offset[0, 1, :2, 1:4].tolist() == [[1.0, 0.0, -1.0]] * 2

    @pytest.mark.parametrize("sigma", [1.0, 2.0, 2.5])
    def test_heatmap_is_a_gaussian_of_the_distance_to_the_nearest_center(self, sigma):
        # One pixel each, at (10, 8) and (14, 30): the peaks are there.
        scene = boxes((24, 40), (CAR, 10, 8, 11, 9), (PERSON, 14, 30, 15, 31))
        center = Codec(LABELS, stride=1, sigma=sigma).encode(scene).center[0]
        y, x = torch.meshgrid(torch.arange(24), torch.arange(40), indexing="ij")
        expected = torch.zeros(24, 40)
        for row, column in ((10, 8), (14, 30)):
            dy, dx = y - row, x - column
            near = torch.maximum(dy.abs(), dx.abs()) <= math.ceil(3 * sigma)
            expected = expected.maximum(torch.exp(-(dy**2 + dx**2) / (2 * sigma**2)) * near)
        torch.testing.assert_close(center, expected, rtol=1e-5, atol=1e-7)
        assert center[10, 8] == center[14, 30] == 1.0

    def test_heatmap_value_by_hand(self):
        center = Codec(LABELS, stride=1, sigma=2.0).encode(boxes((24, 24), (CAR, 10, 8, 11, 9))).center[0]
        assert center[13, 12] == pytest.approx(math.exp(-25 / 8))  # 3 down and 4 right, 25 = 3² + 4²
        assert center[10, 14] == pytest.approx(math.exp(-36 / 8))  # 6 right, the last that is not cut off
        assert center[10, 15] == 0.0

    def test_a_peak_is_at_the_cell_nearest_to_its_center_and_inside_the_map(self):
        # In the last of 3 columns of cells of 4 over 9 pixels: (8.5 / 4) - 0.5 = 1.625 is nearest to 2.
        targets = Codec(LABELS, stride=4).encode(boxes((9, 9), (CAR, 8, 8, 9, 9), (CAR, 0, 0, 1, 1)))
        assert (targets.center[0] == 1.0).nonzero().tolist() == [[0, 0], [2, 2]]

    def test_weights(self):
        # A crowd of 8 pixels, a car of 8, a person of 9, void in a corner; things below 9 pixels are small.
        scene = boxes((12, 12), (CAR, 0, 0, 2, 4), (CAR, 4, 0, 6, 4), (PERSON, 6, 6, 9, 9), crowd={3})
        ids = scene.ids.clone()
        ids[0, 11, 11] = 0
        scene = Segments(ids, scene.classes, scene.crowd)
        targets = Codec(LABELS, stride=1, small_area=9, small_weight=3.0).encode(scene)
        expected = torch.ones(12, 12)
        expected[4:6, :4] = 3
        assert torch.equal(targets.semantic_weight[0], expected)
        assert torch.equal(targets.center_weight[0], ((scene.ids[0] > 0) & (scene.ids[0] != 3)).float())
        expected = torch.zeros(12, 12)
        expected[4:6, :4] = 8**-0.5
        expected[6:9, 6:9] = 9**-0.5
        # Table rows follow the order of the boxes behind stuff: the car, and the person.
        assert torch.allclose(targets.offset_weight[0], torch.where(scene.ids[0] > 3, expected, 0.0))
        assert (targets.center[0] == 1.0).sum() == 2  # the crowd has no center
        assert targets.semantic[0, 11, 11] == VOID
        assert targets.semantic[0, 0, 0] == CAR  # a crowd has its class

    def test_small_means_pixels_of_the_image_at_any_stride(self):
        scene = boxes((16, 16), (CAR, 0, 0, 4, 4))
        for small_area, weight in ((16, 1.0), (17, 5.0)):
            targets = Codec(LABELS, stride=4, small_area=small_area, small_weight=5.0).encode(scene)
            assert targets.semantic_weight[0, 0, 0] == weight
            assert targets.semantic_weight.sum() == 15 + weight

    def test_batched_is_each_alone(self):
        codec = Codec(LABELS, stride=2, small_area=150)
        empty = make(torch.zeros(64, 96), [])
        scenes = [random_scene(0), empty, boxes((64, 96), (CAR, 0, 0, 9, 9), crowd={3}), random_scene(1)]
        together = codec.encode(Segments.stack([scene.unstack()[0] for scene in scenes]))
        for i, scene in enumerate(scenes):
            for name, alone, batched in zip(together._fields, codec.encode(scene), together, strict=True):
                assert torch.equal(alone[0], batched[i]), name


class TestDecode:
    def test_offsets_scale_with_the_stride(self):
        # Peaks in columns 1 and 6 of 8: pixels 5.5 and 25.5. Every pixel points 2 cells, that is 8 pixels, to the
        # right, so those left of 15.5 - 8 = 7.5 belong to the first; unscaled it would be those left of 13.5.
        offset = torch.zeros(1, 2, 1, 8)
        offset[:, 1] = 2.0
        logits = of_classes(torch.full((1, 8), CAR))
        decoded = Codec(LABELS, stride=4).decode(outputs(logits, with_peaks((1, 8), y0x1=4, y0x6=3), offset))
        assert decoded.size == (4, 32)
        assert decoded.ids[0].tolist() == [[1] * 8 + [2] * 24] * 4

    def test_offsets_point_down_and_right(self):
        # Two peaks, in the corners of 9 x 9; a pixel at the middle that points up and left belongs to the first.
        logits = of_classes(torch.full((9, 9), CAR))
        center = with_peaks((9, 9), y0x0=4, y8x8=3)
        for sign, segment in ((-1.0, 1), (1.0, 2)):
            offset = torch.zeros(1, 2, 9, 9)
            offset[0, :, 4, 4] = sign
            assert Codec(LABELS, stride=1).decode(outputs(logits, center, offset)).ids[0, 4, 4] == segment

    def test_two_equal_neighbors_are_one_peak(self):
        logits = of_classes(torch.full((8, 8), CAR))
        for places in ({"y3x3": 2, "y3x4": 2}, {"y3x3": 2, "y4x3": 2}, {"y3x4": 2, "y4x3": 2}, {"y3x3": 2, "y4x4": 2}):
            decoded = Codec(LABELS, stride=1).decode(outputs(logits, with_peaks((8, 8), **places)))
            assert decoded.classes.tolist() == [[CAR]]
            assert decoded.ids.unique().tolist() == [1]
        apart = Codec(LABELS, stride=1).decode(outputs(logits, with_peaks((8, 8), y3x3=2, y3x5=2)))
        assert apart.classes.tolist() == [[CAR, CAR]]

    def test_a_wider_window_takes_the_higher_of_two_near_peaks(self):
        logits = of_classes(torch.full((8, 8), CAR))
        center = with_peaks((8, 8), y3x3=2, y3x5=3)
        assert len(Codec(LABELS, stride=1, peak_window=3).decode(outputs(logits, center)).classes[0]) == 2
        one = Codec(LABELS, stride=1, peak_window=5).decode(outputs(logits, center))
        assert one.scores[0].tolist() == pytest.approx([torch.tensor(3.0).sigmoid().item()])

    def test_peaks_below_the_threshold_are_none(self):
        # sigmoid(log(0.3 / 0.7)) = 0.3
        found = outputs(of_classes(torch.full((8, 8), CAR)), with_peaks((8, 8), y2x2=math.log(0.3 / 0.7), y6x6=2))
        assert len(Codec(LABELS, stride=1, peak_threshold=0.29).decode(found).classes[0]) == 2
        assert len(Codec(LABELS, stride=1, peak_threshold=0.31).decode(found).classes[0]) == 1

    def test_things_without_a_peak_are_void(self):
        classes = torch.full((6, 6), ROAD)
        classes[2:4] = CAR
        decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), with_peaks((6, 6))))
        assert decoded.semantic()[0].tolist() == [[ROAD] * 6] * 2 + [[VOID] * 6] * 2 + [[ROAD] * 6] * 2

    def test_class_by_majority_of_the_pixels(self):
        # The right half of the car looks like a person, of road nothing counts.
        classes = torch.full((6, 10), ROAD)
        classes[1:4, :5], classes[1:4, 5:9] = CAR, PERSON
        decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), with_peaks((6, 10), y2x4=3)))
        assert decoded.classes.tolist() == [[CAR, ROAD]]
        assert decoded.semantic()[0, 1:4, :9].unique().tolist() == [CAR]
        classes[1:4, 4] = PERSON
        decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), with_peaks((6, 10), y2x4=3)))
        assert decoded.classes.tolist() == [[PERSON, ROAD]]

    def test_scores_by_hand(self):
        # Road is certain by 3 : 1 + 1 + 1, a probability of 1/2; a car by 9 : 1 + 1 + 1 in one column, 3/4, and by 1/2
        # in another, on the mean 5/8; the peak is sigmoid(log 4) = 0.8.
        logits = torch.zeros(1, 4, 4, 4)
        logits[0, ROAD, :, :2] = math.log(3)
        logits[0, CAR, :, 2] = math.log(9)
        logits[0, CAR, :, 3] = math.log(3)
        decoded = Codec(LABELS, stride=1).decode(outputs(logits, with_peaks((4, 4), y1x2=math.log(4))))
        assert decoded.classes.tolist() == [[CAR, ROAD]]
        assert decoded.scores[0].tolist() == pytest.approx([0.8 * 5 / 8, 0.5])

    def test_table_is_things_by_peak_then_stuff_by_class(self):
        classes = torch.full((9, 9), SKY)
        classes[3:], classes[:3, :3], classes[6:, 6:] = ROAD, CAR, PERSON
        center = with_peaks((9, 9), y1x1=1, y7x7=2)
        decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), center))
        assert decoded.classes.tolist() == [[PERSON, CAR, ROAD, SKY]]
        assert torch.equal(decoded.semantic()[0], classes)
        assert not decoded.crowd.any()

    def test_small_stuff_becomes_void(self):
        classes = torch.full((6, 6), ROAD)
        classes[0, :5] = SKY
        found = outputs(of_classes(classes), with_peaks((6, 6)))
        assert Codec(LABELS, stride=1, stuff_area=5).decode(found).classes.tolist() == [[ROAD, SKY]]
        filtered = Codec(LABELS, stride=1, stuff_area=6).decode(found)
        assert filtered.classes.tolist() == [[ROAD]]
        assert filtered.semantic()[0, 0].tolist() == [VOID] * 5 + [ROAD]

    def test_small_things_are_kept_by_the_filter_of_stuff(self):
        classes = torch.full((6, 6), ROAD)
        classes[2, 2] = CAR
        found = outputs(of_classes(classes), with_peaks((6, 6), y2x2=3))
        assert Codec(LABELS, stride=1, stuff_area=6).decode(found).classes.tolist() == [[CAR, ROAD]]

    def random_outputs(self, seed=0, batch=4) -> Outputs:
        generator = torch.Generator().manual_seed(seed)
        semantic = torch.randn(batch, 4, 7, 9, generator=generator) * 3
        center = torch.randn(batch, 7, 9, generator=generator) * 2
        center[1] = -20.0  # an image without a peak
        return outputs(semantic, center, torch.randn(batch, 2, 7, 9, generator=generator))

    @pytest.mark.parametrize("stride", [1, 2, 4])
    def test_batched_is_each_alone(self, stride):
        codec = Codec(LABELS, stride=stride, stuff_area=4)
        found = self.random_outputs()
        together = codec.decode(found)
        assert 0 < len(together.unstack()[1].classes) < len(together.unstack()[0].classes)
        for i, batched in enumerate(together.unstack()):
            alone = codec.decode(Outputs(*(values[i : i + 1] for values in found))).unstack()[0]
            assert torch.equal(alone.ids, batched.ids)
            assert torch.equal(alone.classes, batched.classes)
            torch.testing.assert_close(alone.scores, batched.scores, rtol=1e-6, atol=0)

    @pytest.mark.parametrize("seed", range(3))
    def test_every_result_is_valid(self, seed):
        decoded = Codec(LABELS, stride=2).decode(self.random_outputs(seed), (13, 17))
        assert decoded.size == (13, 17)
        for image in decoded.unstack():
            assert (image.areas() > 0).all()
            assert int(image.ids.max()) <= len(image.classes)
            assert ((image.scores > 0) & (image.scores <= 1)).all()
            stuff = [c for c in image.classes.tolist() if c in LABELS.stuff]
            assert stuff == sorted(set(stuff))

    def test_a_size_cuts_off_what_lies_beyond(self):
        # One at a time, since a cut may take a segment away and change the ids of the others.
        codec = Codec(LABELS, stride=4)
        for image in range(4):
            found = Outputs(*(values[image : image + 1] for values in self.random_outputs()))
            cut = codec.decode(found, (26, 33))
            assert cut.size == (26, 33)
            whole = codec.decode(found)
            assert whole.size == (28, 36)
            different = cut.semantic() != whole.semantic()[:, :26, :33]
            assert different.float().mean() < 0.02  # a majority may turn at the edge

    def test_more_centers_than_a_chunk(self):
        # 64 centers in a row, every second column, and each pixel nearest to its own: a center between two belongs to
        # the first, which has the higher peak.
        center = torch.full((1, 1, 128), -20.0)
        center[0, 0, ::2] = torch.linspace(4, 3, 64)
        decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(torch.full((1, 128), CAR)), center))
        assert decoded.ids[0, 0].tolist() == [1 + i // 2 for i in range(128)]


class TestAutocast:
    def test_a_center_keeps_its_half(self):
        scene = make(torch.ones(4, 2052), [CAR])
        with torch.autocast("cpu", torch.bfloat16):
            targets = Codec(LABELS, stride=1).encode(scene)
        assert targets.offset.dtype == torch.float32
        assert targets.offset[0, :, 0, 0].tolist() == [1.5, 1025.5]
        assert targets.offset[0, :, 3, 1026].tolist() == [-1.5, -0.5]

    def test_encoding_is_as_without(self):
        codec, scene = Codec(LABELS, stride=2, small_area=150), random_scene(3)
        plain = codec.encode(scene)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = codec.encode(scene)
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(plain, mixed, strict=True))

    def test_decoding_is_as_without(self):
        codec = Codec(LABELS, stride=4)
        found = TestDecode().random_outputs()
        plain = codec.decode(found)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = codec.decode(found)
        assert torch.equal(plain.ids, mixed.ids)
        assert torch.equal(plain.scores, mixed.scores)
        assert mixed.scores.dtype == torch.float32

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_counts_are_exact_in_outputs_of_half_precision(self, dtype):
        # 3000 pixels of a car and 3001 of a person: half precision makes that a tie, which the car would win.
        classes = torch.full((1, 6001), CAR)
        classes[0, 3000:] = PERSON
        found = outputs(of_classes(classes), with_peaks((1, 6001), y0x3000=3))
        found = Outputs(*(values.to(dtype) for values in found))
        with torch.autocast("cpu", torch.bfloat16):
            decoded = Codec(LABELS, stride=1).decode(found)
        assert decoded.classes.tolist() == [[PERSON]]

    def test_areas_of_stuff_are_exact(self):
        classes = torch.full((1, 6001), ROAD)
        classes[0, 3000:] = SKY
        found = outputs(of_classes(classes), with_peaks((1, 6001)))
        with torch.autocast("cpu", torch.bfloat16):
            decoded = Codec(LABELS, stride=1, stuff_area=3001).decode(found)
        assert decoded.classes.tolist() == [[SKY]]
        assert (decoded.ids == 0).sum() == 3000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_things": 0}, "codec.max_things: expected at least 1, got 0"),
        ({"small_area": -1}, "codec.small_area: expected at least 0, got -1"),
        ({"small_weight": -0.5}, "codec.small_weight: expected at least 0, got -0.5"),
        ({"stuff_area": -1}, "codec.stuff_area: expected at least 0, got -1"),
        ({"peak_threshold": -0.1}, "codec.peak_threshold: expected at least 0, got -0.1"),
        ({"peak_threshold": math.nan}, "codec.peak_threshold: expected at least 0, got nan"),
        ({"window": 4}, "codec.window: expected an odd number of cells, got 4"),
        ({"peak_window": 2}, "codec.peak_window: expected an odd number of cells, got 2"),
        ({"peak_window": -1}, "codec.peak_window: expected an odd number of cells, got -1"),
        ({"sigma": 0.0}, "codec.sigma: expected a positive number of cells, got 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Codec(LABELS, stride=1, **settings)
