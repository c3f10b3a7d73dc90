"""Augmentation: a function of its seed, image and segments together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from panoptic.data.augment import augment, least_scale
from panoptic.segments import Segments

SCALE = (0.5, 2.0)


def scene(size=(48, 80), seed=0) -> tuple[np.ndarray, Segments]:
    """Blocks of segments, each painted in a color of its own: ``color_of`` its id."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 9, (size[0] // 8, size[1] // 8)).repeat(8, 0).repeat(8, 1).astype(np.int32)
    segments = Segments(torch.from_numpy(ids), torch.arange(8), torch.arange(8) % 3 == 0)
    return color_of(ids), segments


def color_of(ids: np.ndarray) -> np.ndarray:
    """Void is black. The brightness of red tells ids apart, by 30."""
    colors = np.zeros((*ids.shape, 3), np.uint8)
    colors[..., 0] = ids * 30
    colors[..., 1] = np.where(ids > 0, 255 - ids * 30, 0)
    return colors


def view(size=(48, 80), crop=(32, 32), strength=1.0, seed=0, of=0) -> tuple[np.ndarray, Segments]:
    image, segments = scene(size, of)
    return augment(image, segments, crop=crop, scale=SCALE, strength=strength, seed=seed)


def is_same(a, b) -> bool:
    return np.array_equal(a[0], b[0]) and torch.equal(a[1].ids, b[1].ids) and torch.equal(a[1].classes, b[1].classes)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_seed_gives_its_view_whatever_came_before(strength):
    first = [view(strength=strength, seed=seed) for seed in range(12)]
    backwards = [view(strength=strength, seed=seed) for seed in reversed(range(12))]
    assert all(is_same(a, b) for a, b in zip(first, reversed(backwards), strict=True))


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_another_seed_gives_another_view(strength):
    views = [view(strength=strength, seed=seed)[0].tobytes() for seed in range(12)]
    assert len(set(views)) > 10


def test_global_random_states_are_neither_read_nor_moved():
    import random

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = [view(seed=seed) for seed in range(8)]
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    assert all(is_same(a, view(seed=seed)) for seed, a in enumerate(first))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    view()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002


@pytest.mark.parametrize("seed", range(8))
def test_strength_0_on_an_image_of_the_crops_size_is_itself_or_flipped(seed):
    image, segments = scene((32, 48))
    moved, moved_segments = augment(image, segments, crop=(32, 48), scale=SCALE, strength=0.0, seed=seed)
    flipped = not np.array_equal(moved, image)
    assert np.array_equal(moved, image[:, ::-1] if flipped else image)
    expected = Segments(segments.ids.flip(1) if flipped else segments.ids, segments.classes, segments.crowd).compact()
    assert torch.equal(moved_segments.ids, expected.ids)
    assert torch.equal(moved_segments.classes, expected.classes)
    assert torch.equal(moved_segments.crowd, expected.crowd)


def test_strength_0_flips_half_of_the_time():
    image, segments = scene((32, 48))
    arguments = {"crop": (32, 48), "scale": SCALE, "strength": 0.0}
    flips = sum(not np.array_equal(augment(image, segments, seed=s, **arguments)[0], image) for s in range(60))
    assert 15 < flips < 45


def test_strength_0_crops_at_the_original_scale():
    """Every view of 32 x 32 pixels is a window of the image or of its mirror image, and not always the same."""
    image, _ = scene()
    both = [image, image[:, ::-1]]
    places = set()
    for seed in range(12):
        moved, _ = view(strength=0.0, seed=seed)
        found = [
            (mirrored, y, x)
            for mirrored, whole in enumerate(both)
            for y in range(48 - 32 + 1)
            for x in range(80 - 32 + 1)
            if np.array_equal(whole[y : y + 32, x : x + 32], moved)
        ]
        assert found
        places.add(found[0])
    assert len(places) > 8


@pytest.mark.parametrize("size", [(48, 80), (20, 24), (32, 32), (33, 200)])
@pytest.mark.parametrize("seed", range(4))
def test_strength_0_moves_ids_and_image_together(size, seed):
    # Classes are ids less one before compacting, so that they tell the color of each pixel.
    moved, segments = view(size, strength=0.0, seed=seed, of=seed)
    assert moved.shape == (min(size[0] // 8 * 8, 32), min(size[1] // 8 * 8, 32), 3)  # a scene of whole blocks
    assert segments.size == moved.shape[:2]
    assert np.array_equal(moved, color_of(segments.per_pixel(segments.classes + 1, 0).numpy()))
    assert torch.equal(segments.crowd, segments.classes % 3 == 0)


def test_strength_1_moves_ids_and_image_together():
    """Color, blur and weather change values and enlarging mixes them at edges, but regions stay where they are."""
    agreement = []
    for seed in range(24):
        image, segments = scene((64, 96), seed)
        ids = np.zeros((64, 96), np.int32)
        ids[16:48, 24:72] = 1
        segments = Segments(torch.from_numpy(ids), torch.tensor([0]), torch.tensor([False]))
        image = np.where(ids[..., None] > 0, np.uint8(220), np.uint8(30)).repeat(3, 2)
        moved, found = augment(image, segments, crop=(64, 96), scale=SCALE, strength=1.0, seed=seed)
        inside = found.ids.numpy() > 0
        if inside.all() or not inside.any():
            continue
        brightness = moved.astype(float).mean(2)
        middle = (brightness[inside].mean() + brightness[~inside].mean()) / 2
        agreement.append(((brightness > middle) == inside).mean())
    assert len(agreement) > 15
    assert np.median(agreement) > 0.99
    assert min(agreement) > 0.85


def test_labels_lie_on_their_pixels_at_any_scale():
    """The edge between black and white, in a view at a random scale, lies where that of the ids lies."""
    image, ids = np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.int32)
    image[25:], ids[25:] = 255, 2
    segments = Segments(torch.from_numpy(ids), torch.arange(2), torch.zeros(2, dtype=torch.bool))
    shifts = []
    for seed in range(200):
        view, moved = augment(image, segments, crop=(32, 32), scale=SCALE, appearance=0, strength=1.0, seed=seed)
        column = view[:, 16, 0] / 255
        labels = moved.ids[:, 16].numpy()
        known = labels > 0  # rows that pad the view are void
        white = moved.classes.tolist().index(1) + 1 if 1 in moved.classes else -1
        below = (labels[known] == white).sum()
        if 2 < below < known.sum() - 2:  # the edge is in view
            # The sum of the brightness is the place of the edge to fractions of a pixel; that of the ids is whole.
            shifts.append(column[known].sum() - below)
    assert len(shifts) > 50
    assert abs(np.mean(shifts)) < 0.15  # 0.4 with cv2.INTER_NEAREST
    assert np.abs(shifts).max() <= 0.76


def test_scales_open_up_with_strength():
    """A square of 16 x 16 pixels, found with 4 to 32 a side at full strength and 16 at none."""
    ids = np.zeros((64, 64), np.int32)
    ids[24:40, 24:40] = 1
    segments = Segments(torch.from_numpy(ids), torch.tensor([0]), torch.tensor([False]))
    image = np.zeros((64, 64, 3), np.uint8)

    def sides(strength: float, padding: float = 1.0) -> np.ndarray:
        found = []
        for seed in range(100):
            settings = {"crop": (160, 160), "scale": SCALE, "padding": padding, "strength": strength}
            _, moved = augment(image, segments, **settings, seed=seed)
            found.append(int(moved.areas()[0]) ** 0.5)
        return np.array(found)

    assert (sides(0.0) == 16).all()
    half, full = sides(0.5), sides(1.0)
    # At half strength factors from 0.75 to 1.5, at full strength from 0.5 to 2.
    assert 11 <= half.min() < 14
    assert 19 < half.max() <= 25
    assert 7 <= full.min() < 11
    assert 25 < full.max() <= 33
    assert 15.9 < sides(1.0, padding=0.0).min() < 18  # smaller than the crop at its own scale: not reduced


@pytest.mark.parametrize(
    ("size", "padding", "expected"),
    [
        ((64, 128), 1.0, 0.0),
        ((64, 128), 0.0, 1.0),
        ((128, 256), 0.0, 0.5),
        ((64, 256), 0.0, 1.0),
        ((64, 128), 0.36, 0.8),  # 0.8 of both sides
        ((64, 256), 0.25, 0.75),  # three quarters of the height, all of the width
        ((32, 512), 0.0, 1.0),  # would have to be enlarged
    ],
)
def test_the_least_scale_leaves_that_share_of_the_crop_empty(size, padding, expected):
    assert least_scale(size, (64, 128), padding) == pytest.approx(expected)
    assert least_scale(size[::-1], (128, 64), padding) == pytest.approx(expected)


@pytest.mark.parametrize(("padding", "low", "high"), [(0.0, 0.0, 0.005), (0.25, 0.24, 0.26), (1.0, 0.7, 0.76)])
def test_padding_is_at_most_the_share_that_is_allowed(padding, low, high):
    image, segments = scene((64, 128))
    settings = {"crop": (64, 128), "scale": SCALE, "padding": padding, "appearance": 0.0, "strength": 1.0}
    empty = [1 - np.prod(augment(image, segments, **settings, seed=s)[0].shape[:2]) / (64 * 128) for s in range(300)]
    assert low <= max(empty) <= high


def test_a_scale_that_is_asked_for_alone_is_used_whatever_it_leaves_empty():
    image, segments = scene((64, 128))
    settings = {"crop": (64, 128), "scale": (0.5, 0.5), "padding": 0.0, "appearance": 0.0, "strength": 1.0}
    assert augment(image, segments, **settings, seed=0)[0].shape == (32, 64, 3)


def test_windows_lie_anywhere_in_the_image():
    """Rows of an image of 200, each with its number as color, seen through a crop of 50 at scales from 0.5 to 2."""
    image = np.arange(200, dtype=np.uint8)[:, None, None].repeat(64, 1).repeat(3, 2)
    segments = Segments(torch.ones(200, 64, dtype=torch.int32), torch.tensor([0]), torch.tensor([False]))
    settings = {"crop": (50, 32), "scale": SCALE, "padding": 0.0, "appearance": 0.0, "strength": 1.0}
    views = [augment(image, segments, **settings, seed=seed)[0][:, 0, 0].astype(int) for seed in range(200)]
    first, last = np.array([view[0] for view in views]), np.array([view[-1] for view in views])
    assert (first.min(), last.max()) >= (0, 190)
    assert first.min() < 10
    share = first / (200 - (last - first))  # uniform over the places that a window of this size can have
    assert np.quantile(share, (0.25, 0.5, 0.75)) == pytest.approx((0.25, 0.5, 0.75), abs=0.1)
    factors = 49 / (last - first)
    assert np.quantile(factors, (0.25, 0.5, 0.75)) == pytest.approx((0.875, 1.25, 1.625), abs=0.15)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_ids_beyond_16_bits_survive(strength):
    # 300 x 300 segments of one pixel: the class is the id less one.
    ids = torch.arange(1, 90001, dtype=torch.int32).view(300, 300)
    segments = Segments(ids, torch.arange(90000), torch.zeros(90000, dtype=torch.bool))
    image = np.zeros((300, 300, 3), np.uint8)
    _, moved = augment(image, segments, crop=(300, 300), scale=(1.0, 1.0), strength=strength, seed=1)
    assert moved.ids.dtype == torch.int32
    semantic = moved.per_pixel(moved.classes, -1)
    assert torch.equal(semantic, ids.long() - 1) or torch.equal(semantic, ids.flip(1).long() - 1)


def test_segments_out_of_view_leave_the_table():
    for seed in range(6):
        _, segments = view((48, 200), crop=(32, 32), seed=seed)
        assert (segments.areas() > 0).all()
        assert len(segments.classes) == int(segments.ids.max())
        assert len(segments.crowd) == len(segments.classes)


def test_an_image_without_segments():
    segments = Segments(
        torch.zeros(40, 50, dtype=torch.int32), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
    )
    for seed in range(4):
        image = np.zeros((40, 50, 3), np.uint8)
        _, moved = augment(image, segments, crop=(32, 32), scale=SCALE, strength=1.0, seed=seed)
        assert not moved.ids.any()
        assert moved.classes.tolist() == []


def test_the_inputs_stay_as_they_are():
    image, segments = scene()
    before = image.copy(), segments.ids.clone()
    for seed in range(6):
        augment(image, segments, crop=(48, 80), scale=SCALE, strength=1.0, seed=seed)
    assert np.array_equal(image, before[0])
    assert torch.equal(segments.ids, before[1])


@pytest.mark.parametrize(("any_orientation", "count"), [(False, 2), (True, 8)])
def test_images_without_up_and_down_are_turned_too(any_orientation, count):
    image, segments = scene((32, 32))
    symmetries = [np.rot90(image, k)[:, ::step].tobytes() for k in range(4) for step in (1, -1)]
    settings = {"crop": (32, 32), "scale": SCALE, "any_orientation": any_orientation, "strength": 0.0}
    seen = set()
    for seed in range(60):
        turned, moved = augment(image, segments, **settings, seed=seed)
        seen.add(symmetries.index(turned.tobytes()))
        classes = np.append(0, moved.classes.numpy() + 1)[moved.ids.numpy()]  # the class of a segment was its row
        np.testing.assert_array_equal(turned, color_of(classes))
    assert len(seen) == count


def test_turning_fits_crops_that_are_not_square():
    image, segments = scene((32, 64))
    for seed in range(8):
        turned, moved = augment(
            image, segments, crop=(32, 64), scale=(2.0, 3.0), any_orientation=True, strength=1.0, seed=seed
        )
        assert turned.shape == (32, 64, 3)
        assert moved.size == (32, 64)


@pytest.mark.parametrize("bands", [2, 4, 9])
def test_other_bands_are_moved_as_colors_are(bands):
    colors, segments = scene()
    image = np.stack([colors[..., band % 3] for band in range(bands)], axis=2)
    for seed in range(8):
        given = {"crop": (32, 32), "scale": SCALE, "strength": 1.0, "seed": seed, "any_orientation": True}
        expected, moved = augment(colors, segments, appearance=0.0, **given)
        found, ids = augment(image, segments, appearance=0.0, **given)
        assert torch.equal(ids.ids, moved.ids)
        for band in range(bands):
            np.testing.assert_array_equal(found[..., band], expected[..., band % 3])


def test_other_bands_change_in_brightness_alike():
    image = np.full((32, 32, 5), 100, np.uint8) + np.arange(5, dtype=np.uint8)
    nothing = torch.zeros(0, dtype=torch.long)
    segments = Segments(torch.zeros(32, 32, dtype=torch.int32), nothing, nothing.bool())
    given = {"crop": (32, 32), "scale": (1.0, 1.0), "strength": 1.0}
    changed = [augment(image, segments, seed=seed, **given)[0] for seed in range(40)]
    assert len({view.tobytes() for view in changed}) > 20
    means = np.array([view.mean((0, 1)) for view in changed])
    assert 50 < means.min() < 80
    assert 120 < means.max() < 180
    assert np.ptp(means - image[0, 0], axis=1).max() < 6  # no band for itself
