"""Peaks and nearest centers, against the plain ways of finding them, and in pieces of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from panoptic.codec import grouping
from panoptic.codec.grouping import (
    count_peaks,
    find_peaks,
    find_peaks_in_bands,
    most_likely,
    nearest_center,
    window_maximum,
)


@pytest.fixture(params=[1, 7, 1 << 19])
def piece(request, monkeypatch) -> int:
    """The size of a piece: of one number, of an odd few, and the usual."""
    monkeypatch.setitem(grouping.CHUNK, "cpu", request.param)
    return request.param


def pooled_peaks(heat, window, threshold) -> torch.Tensor:
    """Peaks by max-pooling, which reports the first of equals in its window."""
    _, winner = F.max_pool2d(heat[:, None], window, 1, window // 2, return_indices=True)
    own = torch.arange(heat[0].numel()).view_as(heat[0])
    return (winner[:, 0] == own) & (heat >= threshold)


class TestFindPeaks:
    @pytest.mark.parametrize("window", [1, 3, 5, 11, 15])
    @pytest.mark.parametrize("levels", [3, 10, 10**6])
    def test_as_max_pooling_finds_them(self, window, levels):
        # With few levels most neighbors are equal, and plateaus are wider than the window.
        generator = torch.Generator().manual_seed(levels + window)
        heat = (torch.rand(3, 21, 34, generator=generator) * levels).floor() / levels
        expected = pooled_peaks(heat, window, 0.2)
        centers, heights = find_peaks(heat, window=window, threshold=0.2, most=10**4)
        for image, found, height in zip(range(3), centers, heights, strict=True):
            places = {(int(y), int(x)) for (y, x), h in zip(found, height, strict=True) if h > 0}
            assert places == {tuple(place) for place in expected[image].nonzero().tolist()}
            assert height.tolist() == sorted(height.tolist(), reverse=True)
            real = height > 0
            assert torch.equal(heat[image][tuple(found[real].long().T)], height[real])

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
    def test_a_constant_map_has_one_peak_at_most(self, value):
        centers, heights = find_peaks(torch.full((1, 9, 9), value), window=3, threshold=0.1, most=50)
        # Only the first place has no equal before it in its window.
        assert heights[0].tolist() == ([value] if value else [0.0])
        assert value == 0.0 or centers[0, 0].tolist() == [0.0, 0.0]

    def test_the_highest_are_kept(self):
        heat = torch.zeros(1, 1, 9)
        heat[0, 0, ::2] = torch.tensor([0.3, 0.9, 0.5, 0.7, 0.4])
        centers, heights = find_peaks(heat, window=3, threshold=0.1, most=2)
        assert heights[0].tolist() == pytest.approx([0.9, 0.7])
        assert centers[0].tolist() == [[0.0, 2.0], [0.0, 6.0]]

    def test_equal_peaks_come_in_reading_order(self) -> None:
        heat = torch.zeros(1, 40, 40)
        heat[0, ::4, ::4] = 0.7
        heat[0, 36, 36] = 0.8
        centers, heights = find_peaks(heat, window=3, threshold=0.1, most=30)
        expected = [[36.0, 36.0], *([float(r), float(c)] for r in range(0, 40, 4) for c in range(0, 40, 4))]
        assert centers[0].tolist() == expected[:30]
        assert heights[0].tolist() == pytest.approx([0.8] + 29 * [0.7])

    def test_a_map_smaller_than_the_window(self):
        centers, heights = find_peaks(torch.tensor([[[0.2, 0.6]]]), window=15, threshold=0.1, most=200)
        assert centers.tolist() == [[[0.0, 1.0]]]
        assert heights.tolist() == [[pytest.approx(0.6)]]


@pytest.mark.parametrize("window", [1, 3, 5, 7, 9, 15, 31])
def test_window_maximum_is_that_of_max_pooling(window):
    maps = torch.randint(-50, 50, (2, 19, 23), generator=torch.Generator().manual_seed(window))
    expected = F.max_pool2d(maps[:, None].double(), window, 1, window // 2)[:, 0].long()
    assert torch.equal(window_maximum(maps, window), expected)


class TestMostLikely:
    @pytest.mark.parametrize("channels_last", [False, True])
    def test_is_argmax_and_softmax(self, piece, channels_last):
        logits = torch.randn(2, 5, 6, 9, generator=torch.Generator().manual_seed(0)) * 4
        if channels_last:
            logits = logits.contiguous(memory_format=torch.channels_last)
        classes, probability = most_likely(logits)
        assert torch.equal(classes, logits.argmax(1))
        assert torch.allclose(probability, logits.softmax(1).amax(1))

    def test_large_logits_do_not_overflow(self):
        classes, probability = most_likely(torch.tensor([1000.0, -1000.0, 1000.0]).view(1, 3, 1, 1))
        assert (classes.item(), probability.item()) == (0, 0.5)

    def test_leaves_the_logits_as_they_were(self):
        logits = torch.randn(1, 3, 4, 4)
        before = logits.clone()
        most_likely(logits)
        assert torch.equal(logits, before)


class TestNearestCenter:
    def test_by_hand(self):
        # Pixels of one row of five that point nowhere else; centers at 0 and 3: the middle, 1.5, is passed at pixel 2.
        centers = torch.tensor([[[0.0, 0.0], [0.0, 3.0]]])
        found = nearest_center(torch.zeros(1, 2, 1, 5), torch.ones(1, 1, 5) > 0, centers, torch.tensor([2]))
        assert found.tolist() == [[[0, 0, 1, 1, 1]]]

    def test_of_equals_the_first(self, piece):
        centers = torch.tensor([[[0.0, 4.0], [0.0, 0.0], [0.0, 0.0]]])
        found = nearest_center(torch.zeros(1, 2, 1, 5), torch.ones(1, 1, 5) > 0, centers, torch.tensor([3]))
        assert found.tolist() == [[[1, 1, 0, 0, 0]]]

    def test_is_the_smallest_of_all_distances(self, piece):
        generator = torch.Generator().manual_seed(1)
        offset = torch.randn(3, 2, 8, 11, generator=generator) * 5
        centers = torch.rand(3, 4, 2, generator=generator) * 10
        counts = torch.tensor([4, 1, 0])
        where = torch.rand(3, 8, 11, generator=generator) < 0.6
        found = nearest_center(offset, where, centers, counts)
        grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(11.0), indexing="ij"))
        points = (offset + grid).flatten(2).mT
        for image, count in enumerate(counts.tolist()):
            expected = torch.zeros(8 * 11, dtype=torch.long)
            if count:
                expected = torch.cdist(points[image].double(), centers[image, :count].double()).argmin(1)
            assert torch.equal(found[image], expected.view(8, 11) * where[image])

    def test_far_coordinates_keep_their_digits(self):
        # Around 30 000 pixels, squares differ by less than single precision holds of their size.
        centers = torch.tensor([[[0.0, 30000.0], [0.0, 30000.75]]])
        offset = torch.zeros(1, 2, 1, 2)
        offset[0, 1, 0] = torch.tensor([30000.25, 30000.5 - 1])  # less where the pixels are
        found = nearest_center(offset, torch.ones(1, 1, 2) > 0, centers, torch.tensor([2]))
        assert found.tolist() == [[[0, 1]]]

    def test_no_pixel_and_no_center(self):
        nothing = torch.zeros(1, 3, 3) > 0
        assert nearest_center(torch.zeros(1, 2, 3, 3), nothing, torch.zeros(1, 1, 2), torch.tensor([1])).sum() == 0
        assert nearest_center(torch.zeros(1, 2, 3, 3), ~nothing, torch.zeros(1, 1, 2), torch.tensor([0])).sum() == 0


def test_scores_are_finite_where_a_network_is_certain():
    logits = torch.full((1, 2, 1, 1), -math.inf)
    logits[0, 1] = 3.0
    assert most_likely(logits)[1].item() == 1.0

    @pytest.mark.parametrize("count", [65, 300])
    def test_many_centers_give_what_all_distances_give(self, count):
        # From 65 on, blocks of pixels are assigned with those centers alone that can be nearest. Some are ties.
        generator = torch.Generator().manual_seed(count)
        size = (150, 170)
        centers = torch.rand(1, count, 2, generator=generator) * torch.tensor(size)
        centers[0, -20:] = centers[0, :20]
        offset = torch.randn(1, 2, *size, generator=generator) * 20
        where = torch.rand(1, *size, generator=generator) < 0.5
        found = nearest_center(offset, where, centers, torch.tensor([count]))
        grid = torch.stack(torch.meshgrid(torch.arange(150.0), torch.arange(170.0), indexing="ij"))
        points = (offset[0] + grid).flatten(1).mT
        distances = ((points[:, None].double() - centers[0].double()) ** 2).sum(2)
        chosen = distances.gather(1, found.view(-1, 1))[:, 0]
        on = where.flatten()
        torch.testing.assert_close(chosen[on], distances.min(1).values[on], rtol=1e-5, atol=1e-4)
        assert found.max() < count - 20  # of equals the first
        assert found[~where].sum() == 0


class TestBands:
    @pytest.mark.parametrize("window", [1, 3, 7])
    @pytest.mark.parametrize("rows", [1, 5, 64])
    def test_bands_have_the_peaks_of_the_whole(self, window, rows):
        heat = torch.randint(0, 6, (40, 23), generator=torch.Generator().manual_seed(window)) / 5  # with many ties
        for most in (7, 1000):
            cells, heights = find_peaks(heat[None], window=window, threshold=0.3, most=most)
            found = find_peaks_in_bands(
                heat.numpy(), window=window, threshold=0.3, most=most, device=torch.device("cpu"), rows=rows
            )
            assert torch.equal(found[0], cells)
            assert torch.equal(found[1], heights)
            number = int(count_peaks(heat[None], window=window, threshold=0.3))
            assert found[2] == (number > most)

    def test_no_peak_is_height_0(self):
        cells, heights, exceeds = find_peaks_in_bands(
            np.zeros((9, 4), np.float32), window=3, threshold=0.1, most=5, device=torch.device("cpu")
        )
        assert cells.shape == (1, 1, 2)
        assert heights.tolist() == [[0.0]]
        assert not exceeds
