import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from panoptic.scenes import source as synthetic
from panoptic.scenes.cache import SceneCache
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments

SIZE = {"size": 3, "height": 64, "width": 128}


def scene(number):
    ids = torch.arange(32, dtype=torch.int32).reshape(4, 8) % (number + 2)
    classes = torch.arange(number + 1) + 10
    return np.full((4, 8, 3), number, np.uint8), Segments(ids, classes, classes % 2 == 0)


def same(one, other):
    (image, segments), (image_, segments_) = one, other
    parts = [(getattr(segments, name), getattr(segments_, name)) for name in ("ids", "classes", "crowd")]
    return (image == image_).all() and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in parts)


def test_gives_back_what_was_put_at_the_same_strength():
    cache = SceneCache(2, 4, 8)
    assert cache.get(0, 1.0) is None
    cache.put(0, 0.5, *scene(3))
    cache.put(1, 1.0, *scene(0))
    assert same(cache.get(0, 0.5), scene(3))
    assert same(cache.get(1, 1.0), scene(0))
    assert cache.get(0, 1.0) is None
    cache.put(0, 1.0, *scene(1))
    assert same(cache.get(0, 1.0), scene(1))
    assert cache.get(0, 0.5) is None


def test_gives_copies():
    cache = SceneCache(1, 4, 8)
    cache.put(0, 1.0, *scene(3))
    image, segments = cache.get(0, 1.0)
    image[:] = 0
    segments.ids[:] = 0
    assert same(cache.get(0, 1.0), scene(3))


def test_as_many_segments_as_a_label_map_can_hold():
    ids = torch.arange(256, dtype=torch.int32).reshape(16, 16)
    full = np.zeros((16, 16, 3), np.uint8), Segments(ids, torch.arange(255) % 19, torch.arange(255) % 3 == 0)
    cache = SceneCache(1, 16, 16)
    cache.put(0, 1.0, *full)
    assert same(cache.get(0, 1.0), full)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forked processes here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_share_it():
    cache = SceneCache(1, 4, 8)
    worker = multiprocessing.get_context("fork").Process(target=cache.put, args=(0, 1.0, *scene(3)))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert same(cache.get(0, 1.0), scene(3))


def test_begins_anew_in_a_process_that_is_not_forked():
    cache = SceneCache(1, 4, 8)
    cache.put(0, 1.0, *scene(3))
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(0, 1.0) is None
    copy.put(0, 1.0, *scene(2))
    assert same(cache.get(0, 1.0), scene(3))


def test_a_source_with_a_cache_reads_the_same_scenes_and_paints_them_once(monkeypatch):
    plain, cached = SyntheticSource("train", **SIZE), SyntheticSource("train", **SIZE, cache=True)
    painted = []

    def paint(*arguments, **options):
        painted.append(arguments[2])
        return render(*arguments, **options)

    render = synthetic.render_scene
    for strength in (0.0, 0.0, 1.0, 1.0, 0.0):
        for index in range(3):
            expected = plain.read(index, strength)
            monkeypatch.setattr(synthetic, "render_scene", paint)
            sample = cached.read(index, strength)
            monkeypatch.setattr(synthetic, "render_scene", render)
            assert sample.name == expected.name
            assert same((sample.image, sample.segments), (expected.image, expected.segments))
    assert painted == [0, 1, 2] * 3  # at each strength anew: only the last one is kept
