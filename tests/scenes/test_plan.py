"""Version 2 of the scene generator, and what its plans draw."""

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from panoptic.data.sample import SPLITS
from panoptic.labels import CITYSCAPES
from panoptic.scenes.colors import film
from panoptic.scenes.plan import Plan2, _sizes, draw_camera, weather
from panoptic.scenes.source import SyntheticSource, render_scene
from tests.made_once import made_once
from tests.scenes.test_source import BACKGROUND, fingerprint, things_of

SMALL = {"height": 128, "width": 256, "generator": 2}
# Besides the bytes, the number of segments and the mean color, which hold for every OpenCV.
PINNED = {
    ("train", 0): (
        "c67cf3d481a1adce7516848bc7ad1f61143d461c276aceaf482f7b79b76777d0",
        20,
        (148.8, 150.8, 141.5),
    ),
    ("train", 7): (
        "d58c04f7b03403297a1be8821e568771a4f3c06f268f2faa05aaf8314b9d94f5",
        32,
        (132.6, 123.3, 117.1),
    ),
    ("val", 3): (
        "2a0e6bf356d6be0f955b37d0f27e4b52d5fe6f7b5cf08d2b8945507aa57b7daa",
        12,
        (134.0, 134.6, 120.3),
    ),
    ("test", 11): (
        "f2e92a20d1af0f4f3806fb284880dc3d35c0405ded16a46aa2398dc4ce2af977",
        19,
        (97.0, 101.9, 91.2),
    ),
}


def stream(seed: int):
    return lambda name: np.random.default_rng([seed, *name.encode()])


PAINT = """
import sys, cv2, torch
from panoptic.scenes.source import render_scene
cv2.setNumThreads(1), torch.set_num_threads(1)
tables = []
for index in range(200):
    _, segments = render_scene(0, "train", index, height=96, width=192, generator=2)
    tables.append((segments.classes, segments.crowd, segments.areas()))
torch.save(tables, sys.argv[1])
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Classes, crowds and areas of the segments of 200 scenes.

    They are painted in a process without the type checks of this one, which take most of the time.
    """
    folder = made_once(tmp_path_factory, "scenes_of_version_2", paint)
    return torch.load(folder / "tables.pt", weights_only=True)


def paint(folder: Path) -> None:
    command = [sys.executable, "-c", PAINT, str(folder / "tables.pt")]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)


@pytest.fixture(scope="module")
def areas(scenes) -> list[np.ndarray]:
    """Areas of the things of each scene."""
    is_thing = torch.tensor(CITYSCAPES.is_thing)
    return [areas[is_thing[classes] & ~crowd].double().numpy() for classes, crowd, areas in scenes]


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 draws the edges of polygons differently")
@pytest.mark.parametrize(("split", "index"), PINNED)
def test_scenes_are_the_same_bytes(split, index):
    assert fingerprint(*render_scene(0, split, index, **SMALL)) == PINNED[split, index][0]


@pytest.mark.parametrize(("split", "index"), PINNED)
def test_scenes_look_the_same(split, index):
    image, segments = render_scene(0, split, index, **SMALL)
    _, count, color = PINNED[split, index]
    assert abs(len(segments.classes) - count) <= 1
    assert image.mean(axis=(0, 1)) == pytest.approx(color, abs=1.0)


def test_splits_and_seeds_are_apart():
    keys = [(0, split, 0) for split in SPLITS] + [(0, "train", 1), (1, "train", 0)]
    assert len({fingerprint(*render_scene(*key, **SMALL)) for key in keys}) == len(keys)


def test_a_source_reads_and_describes_its_version():
    one, two = (SyntheticSource("val", size=2, height=64, width=128, generator=g) for g in (1, 2))
    sample = two.read(1)
    expected = render_scene(0, "val", 1, height=64, width=128, generator=2)
    assert fingerprint(sample.image, sample.segments) == fingerprint(*expected)
    assert one.recipe(1).replace("generator 1", "generator 2") == two.recipe(1)


def test_density_and_scale_variance_are_independent_and_widely_spread(areas):
    counts = np.array([len(a) for a in areas])
    variance = np.array([np.log(a).var() if len(a) > 1 else 0.0 for a in areas])
    assert abs(spearmanr(counts, variance).statistic) < 0.2
    assert np.percentile(counts, 15) <= 3
    assert (np.percentile(counts, (50, 90)) >= (7, 28)).all()
    assert np.percentile(variance, 15) < 0.3
    assert np.percentile(variance, 85) > 1.3
    assert counts.max() <= 60
    assert np.mean(counts == 0) < 0.04


def test_the_scale_of_scenes_varies_eightfold(areas):
    small, large = np.percentile([math.sqrt(np.median(a)) for a in areas if len(a)], (5, 95))
    assert large > 8 * small
    assert max(a.max() for a in areas if len(a)) > 0.3 * 96 * 192


def test_every_class_occurs(scenes):
    occurs = torch.zeros(len(CITYSCAPES), dtype=torch.int64)
    for classes, _, _ in scenes:
        occurs[classes.unique()] += 1
    assert occurs.min() >= 20, dict(zip(CITYSCAPES.names, occurs.tolist(), strict=True))


def test_strength_leaves_out_things_of_the_same_street():
    counts = dict.fromkeys((0.0, 0.5, 1.0), 0)
    for index in range(8):
        semantic, seen = {}, []
        for strength in counts:
            _, segments = render_scene(0, "train", index, **SMALL, strength=strength)
            seen.append(len(things_of(segments)))
            counts[strength] += seen[-1]
            semantic[strength] = segments.semantic()
        assert seen == sorted(seen)
        background = torch.isin(semantic[1.0], torch.tensor(BACKGROUND))
        assert all((easier == semantic[1.0])[background].all() for easier in semantic.values())
    assert counts[0.0] < 0.3 * counts[1.0]
    assert 0.4 * counts[1.0] < counts[0.5] < 0.7 * counts[1.0]


def test_layout_is_the_same_at_every_resolution():
    for index in range(4):
        _, small = render_scene(0, "train", index, **SMALL)
        _, large = render_scene(0, "train", index, height=256, width=512, generator=2)
        assert abs(len(things_of(small)) - len(things_of(large))) <= 1
        assert (small.semantic() == large.semantic()[::2, ::2]).float().mean() > 0.85


@pytest.mark.parametrize("count", [2, 7, 60])
def test_sizes_have_the_variance_asked_for(count):
    for variance in (0.0, 0.4, 1.3):
        for scale in (0.0, 1.0):
            sizes = np.array(_sizes(count, variance, scale))
            assert (2 * np.log(sizes)).var() == pytest.approx(variance)
            assert sizes.min() >= 0.0299


def test_one_thing_may_be_tiny_or_fill_the_picture():
    assert _sizes(1, 1.0, 0.0) == pytest.approx([0.03])
    assert _sizes(1, 1.0, 1.0) == pytest.approx([0.95])


def test_cameras_vary_and_keep_the_horizon_in_the_picture():
    views = [Plan2(stream(seed)).view for seed in range(300)]
    for name, ratio in (("focal", 3.0), ("height", 6.0)):
        low, high = np.percentile([getattr(view, name) for view in views], (5, 95))
        assert high > ratio * low
    assert all(0.08 < view.horizon < 0.65 for view in views)


def test_weather_keeps_far_things_visible():
    view = draw_camera(np.random.default_rng(0), np.array([0.1]))
    plain = film(np.random.default_rng(0))
    drawn = [weather(np.random.default_rng(seed), view, plain, 40.0) for seed in range(200)]
    assert min(math.exp(-40.0 / air.clearness) for air, _ in drawn) > 0.1
    assert 0.2 < np.mean([air.veil > 0 for air, _ in drawn]) < 0.5
    contrast = [int(shown.curve[:, 1].max()) - int(shown.curve[:, 1].min()) for _, shown in drawn]
    assert min(contrast) > 60
    assert np.mean(np.array(contrast) < max(contrast)) > 0.2  # dusk and rain
