import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from panoptic.data.sample import SPLITS
from panoptic.labels import CITYSCAPES
from panoptic.scenes.source import GENERATORS, SyntheticSource, render_scene
from panoptic.segments import VOID, Segments
from tests.made_once import made_once

SMALL = {"height": 128, "width": 256}
# Pinned for version 1: whoever changes a scene adds a version, with scenes of its own. Besides the bytes, the
# number of segments and the mean color, which hold for every OpenCV.
PINNED = {
    ("train", 0): (
        "f0dfe3271127ca405ed00c76c763adea37e83dc0b5b09d00bd07a628fadbe65d",
        14,
        (147.8, 117.9, 117.6),
    ),
    ("train", 7): (
        "48ad44c83bf1d7a3da38e940a66d2e823c6ac74e47a2daa1800b163ae27dee1b",
        20,
        (147.2, 129.5, 122.5),
    ),
    ("val", 3): (
        "5f60dd5003003c5a73b863e9ec86d28f2a9d4fb4d0723709583249c3ec85d28a",
        35,
        (125.8, 128.7, 123.9),
    ),
    ("test", 11): (
        "81d28ca06c35765d156ba19eb1c13064583402c8f7907e581a281d63d5db6d7e",
        20,
        (110.2, 102.6, 104.9),
    ),
}
BACKGROUND = [CITYSCAPES.names.index(name) for name in ("road", "sidewalk", "building", "wall", "fence", "sky")]


def fingerprint(image, segments):
    content = [image, segments.ids.numpy(), segments.classes.numpy(), segments.crowd.numpy()]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in content)).hexdigest()


def things_of(segments):
    """Areas of the things that are no crowds."""
    single = torch.tensor(CITYSCAPES.is_thing)[segments.classes] & ~segments.crowd
    return segments.areas()[single]


PAINT = """
import sys, cv2, torch
from panoptic.scenes.source import render_scene
cv2.setNumThreads(1), torch.set_num_threads(1)
scenes = []
for index in range(200):
    image, segments = render_scene(0, "train", index, height=128, width=256)
    scenes.append((torch.from_numpy(image), segments.ids, segments.classes, segments.crowd))
torch.save(scenes, sys.argv[1])
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Images and segments, painted in a process without the type checks of this one, which take most of the time."""
    folder = made_once(tmp_path_factory, "scenes_of_version_1", paint)
    stored = torch.load(folder / "scenes.pt", weights_only=True)
    return [(image.numpy(), Segments(*parts)) for image, *parts in stored]


def paint(folder: Path) -> None:
    command = [sys.executable, "-c", PAINT, str(folder / "scenes.pt")]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 draws the edges of polygons differently")
@pytest.mark.parametrize(("split", "index"), PINNED)
def test_scenes_are_the_same_bytes_for_one_generator_version(split, index):
    assert fingerprint(*render_scene(0, split, index, **SMALL)) == PINNED[split, index][0]
    assert fingerprint(*render_scene(0, split, index, **SMALL, generator=1)) == PINNED[split, index][0]


@pytest.mark.parametrize(("split", "index"), PINNED)
def test_scenes_look_the_same_for_one_generator_version(split, index):
    image, segments = render_scene(0, split, index, **SMALL)
    _, count, color = PINNED[split, index]
    assert abs(len(segments.classes) - count) <= 1
    assert image.mean(axis=(0, 1)) == pytest.approx(color, abs=1.0)


def test_scenes_neither_use_nor_move_global_random_state():
    first = fingerprint(*render_scene(5, "train", 2, **SMALL))
    np.random.seed(1)  # noqa: NPY002  the global state is the point
    torch.manual_seed(1)
    numpys, torchs = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    render_scene(5, "train", 3, **SMALL)
    assert fingerprint(*render_scene(5, "train", 2, **SMALL)) == first
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torchs)


def test_scenes_do_not_move_pythons_random_state():
    # In a process of its own: the type checks of this one draw which item of a list to look at.
    code = (
        "import random; from panoptic.scenes.source import render_scene; random.seed(1); before = random.getstate(); "
        "render_scene(5, 'train', 3, height=128, width=256); assert random.getstate() == before"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_every_part_of_the_key_changes_the_scene():
    keys = [(0, "train", 0), (1, "train", 0), (0, "val", 0), (0, "test", 0), (0, "train", 1)]
    assert len({fingerprint(*render_scene(*key, **SMALL)) for key in keys}) == len(keys)


def test_every_generator_draws_scenes_of_its_own():
    assert GENERATORS == (1, 2)
    assert len({fingerprint(*render_scene(0, "train", 0, **SMALL, generator=g)) for g in GENERATORS}) == 2


def test_segments_are_valid(scenes):
    is_thing = torch.tensor(CITYSCAPES.is_thing)
    for image, segments in scenes:
        assert image.shape == (128, 256, 3)
        assert image.dtype == np.uint8
        assert (segments.ids.dtype, segments.classes.dtype, segments.crowd.dtype) == (
            torch.int32,
            torch.int64,
            torch.bool,
        )
        assert segments.ids.shape == (128, 256)
        count = len(segments.classes)
        assert set(segments.ids.unique().tolist()) - {0} == set(range(1, count + 1))
        stuff = segments.classes[~is_thing[segments.classes]]
        assert len(stuff) == len(stuff.unique())
        assert is_thing[segments.classes[segments.crowd]].all()
        assert ((segments.classes >= 0) & (segments.classes < 19)).all()


def test_every_class_occurs_in_several_scenes_of_a_hundred(scenes):
    occurs = torch.zeros(len(CITYSCAPES), dtype=torch.int64)
    for _, segments in scenes[:100]:
        occurs[segments.classes.unique()] += 1
    assert occurs.min() >= 10, dict(zip(CITYSCAPES.names, occurs.tolist(), strict=True))


def test_some_scenes_have_crowds_and_some_have_void(scenes):
    crowds = sum(bool(segments.crowd.any()) for _, segments in scenes)
    voids = sum(bool((segments.ids == 0).any()) for _, segments in scenes)
    assert 10 <= crowds <= 50
    assert 30 <= voids <= 100


def test_streets_are_empty_to_packed_and_sizes_spread_independently_of_that(scenes):
    areas = [things_of(segments).double().numpy() for _, segments in scenes]
    counts = np.array([len(a) for a in areas])
    assert counts.min() <= 2
    assert counts.max() >= 60
    assert (np.percentile(counts, (10, 50, 90)) >= (1, 6, 30)).all()
    assert np.percentile(counts, 25) <= 10
    variances = np.array([np.log(a).var() if len(a) > 1 else 0.0 for a in areas])
    assert np.percentile(variances, 20) < 0.4
    assert np.percentile(variances, 85) > 1.2
    assert abs(np.corrcoef(np.log1p(counts), variances)[0, 1]) < 0.3


def test_things_are_large_enough_to_be_seen():
    for index in range(12):
        _, segments = render_scene(1, "train", index, height=512, width=1024)
        assert (things_of(segments) >= 85).all()


def test_strength_leaves_out_things_of_the_same_street(scenes):
    counts = dict.fromkeys((0.0, 0.5, 1.0), 0)
    for index in range(20):
        semantic = {}
        for strength in counts:
            image, segments = render_scene(0, "train", index, strength=strength, **SMALL)
            counts[strength] += len(things_of(segments))
            assert strength or not segments.crowd.any()
            semantic[strength] = segments.semantic()
        assert fingerprint(image, segments) == fingerprint(*scenes[index])
        # What is seen behind all things and clutter stays, since nothing comes in front of it.
        background = torch.isin(semantic[1.0], torch.tensor([BACKGROUND]))
        for strength in (0.0, 0.5):
            assert (semantic[strength] == semantic[1.0])[background].all()
    assert counts[0.0] < 0.25 * counts[1.0]
    assert 0.4 * counts[1.0] < counts[0.5] < 0.7 * counts[1.0]


def test_layout_is_the_same_at_every_resolution(scenes):
    for index in range(12):
        _, small = scenes[index]
        _, large = render_scene(0, "train", index, height=256, width=512)
        assert abs(len(things_of(small)) - len(things_of(large))) <= 1
        assert (small.semantic() == large.semantic()[::2, ::2]).float().mean() > 0.88


def test_things_are_painted_where_they_are_labeled(scenes):
    """Against the same street at a lower strength, the image changes inside the things that came and hardly outside."""
    inside, outside = [], []
    for index in range(20):
        easier, before = render_scene(0, "train", index, strength=0.0, **SMALL)
        image, after = scenes[index]
        change = np.abs(image.astype(int) - easier).mean(axis=-1)
        came = (before.semantic() != after.semantic()).numpy()
        inside.append(change[came])
        outside.append(change[~came & np.isin(after.semantic().numpy(), BACKGROUND)])
    assert np.concatenate(inside).mean() > 25
    assert np.concatenate(outside).mean() < 5


def test_almost_every_pixel_without_bonnet_or_border_has_a_class(scenes):
    void = np.array([(segments.semantic() == VOID).float().mean() for _, segments in scenes])
    assert np.median(void) == 0.0
    assert void.max() < 0.25


def test_source_reads_scenes_by_index():
    source = SyntheticSource("train", seed=3, size=2, height=64, width=128)
    assert len(source) == 2
    assert source.labels is CITYSCAPES
    sample = source.read(1)
    assert sample.name == "train_000001"
    expected = render_scene(3, "train", 1, height=64, width=128)
    assert fingerprint(sample.image, sample.segments) == fingerprint(*expected)


@pytest.mark.parametrize("split", SPLITS)
def test_only_training_scenes_follow_the_curriculum(split):
    source = SyntheticSource(split, size=30, height=64, width=128)
    same = [fingerprint_of(source, i, 0.2) == fingerprint_of(source, i, 1.0) for i in range(4)]
    assert all(same) == (split != "train")


def fingerprint_of(source, index, strength):
    sample = source.read(index, strength)
    return fingerprint(sample.image, sample.segments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, "split: expected one of train, val, test, got 'dev'"),
        ({"size": 0}, "size: expected at least 1 scene, got 0"),
        ({"height": 31}, "height: expected at least 32 pixels, got 31"),
        ({"width": 0}, "width: expected at least 32 pixels, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"generator": 3}, "generator: expected one of 1, 2, got 3"),
    ],
)
def test_source_refuses_what_it_cannot_make(change, message):
    arguments = {"split": "train", "size": 4} | change
    with pytest.raises(ValueError, match=message):
        SyntheticSource(arguments.pop("split"), **arguments)


def test_reading_refuses_a_wrong_index_or_strength():
    source = SyntheticSource("val", size=2, height=32, width=64)
    with pytest.raises(IndexError, match="index: expected 0 to 1, got 2"):
        source.read(2)
    with pytest.raises(ValueError, match=r"strength: expected a number in 0\.\.1, got 1\.5"):
        source.read(0, 1.5)
