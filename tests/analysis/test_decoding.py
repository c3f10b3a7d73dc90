"""Settings of decoding that are chosen on the validation split, on outputs whose best settings are known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from panoptic.analysis.decoding import choose
from panoptic.codec import Codec, Outputs
from panoptic.codec.maps import Readout
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

LABELS = LabelSpace((Category("car", 1, True, (9, 9, 9)), Category("road", 2, False, (8, 8, 8))))
SIZE = 64


def scene(seed: int) -> tuple[Segments, Outputs]:
    """Return an image of four squares of 100 pixels on road, and outputs that find them, and more.

    Their peaks are 0.8 and 0.45. There are false peaks: one of 0.25, eight pixels from the first square's, that splits
    it, one of 0.5, three pixels from a higher one, and one on a speck of six pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((SIZE, SIZE), 5, dtype=torch.int32)
    heat = torch.full((SIZE, SIZE), 0.01)
    offset = torch.zeros(2, SIZE, SIZE)
    corners = [(4, 4), (4, 40), (40, 4), (40, 40)]
    for number, (row, column) in enumerate(corners, start=1):
        row, column = (side + int(torch.randint(0, 6, (), generator=generator)) for side in (row, column))
        ids[row : row + 10, column : column + 10] = number
        center = torch.tensor([row + 4.0, column + 4.0])
        heat[row + 4, column + 4] = 0.45 if number == 4 else 0.8
        rows, columns = torch.meshgrid(torch.arange(10.0) + row, torch.arange(10.0) + column, indexing="ij")
        offset[0, row : row + 10, column : column + 10] = center[0] - rows
        offset[1, row : row + 10, column : column + 10] = center[1] - columns
        if number == 1:  # a second peak, to which a half of the square points
            heat[row + 4, column + 12] = 0.25
            offset[1, row : row + 10, column + 5 : column + 10] += 8
        if number == 2:
            heat[row + 4, column + 7] = 0.5
            offset[1, row : row + 10, column + 6 : column + 10] += 3
    semantic = (ids == 5).long()
    semantic[31:33, 28:31] = 0
    heat[31, 29] = 0.7
    offset[:, 31:33, 28:31] = 0
    logits = torch.nn.functional.one_hot(semantic, 2).permute(2, 0, 1).float() * 8
    maps = [logits[None], torch.logit(heat)[None], offset[None]]
    unused = torch.zeros(1, 2), torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1, 1)
    truth = Segments(ids, torch.tensor([0, 0, 0, 0, 1]), torch.zeros(5, dtype=torch.bool))
    return truth, Outputs(*maps, *unused)


def images() -> Iterator[tuple[Readout, Segments]]:
    """Yield what decoding reads of four images, and their truth."""
    for seed in range(4):
        truth, outputs = scene(seed)
        yield Codec(LABELS, stride=1).read_out(outputs), truth


def test_the_best_settings_are_chosen() -> None:
    chosen = choose(Codec(LABELS, stride=1, peak_threshold=0.1, peak_window=3, stuff_area=0), images())
    assert chosen.images == 4
    assert chosen.pq == pytest.approx(100 * (1 + (64**2 - 406) / (64**2 - 400)) / 2)  # the speck is missing in the road
    assert chosen.pq > chosen.pq_before
    # A threshold above the false peak of 0.25 and not above the true one of 0.45; a window that spans three pixels to
    # either side; an area above the speck's six pixels. Of several that are as good, the first and the smallest.
    assert chosen.settings == {"peak_threshold": 0.3, "peak_window": 7, "thing_area": 8, "stuff_area": 0}
    assert chosen.before == {"peak_threshold": 0.1, "peak_window": 3, "thing_area": 0, "stuff_area": 0}
    assert chosen.calibration.keys() == {"things", "stuff"}
    assert str(chosen) == (
        "decoding, chosen by 4 images of val: codec.peak_threshold=0.3 rather than 0.1, codec.peak_window=7 rather "
        f"than 3, codec.thing_area=8 rather than 0; PQ {chosen.pq:.2f} rather than {chosen.pq_before:.2f} points"
    )


def test_what_is_configured_stays_where_nothing_is_better() -> None:
    chosen = choose(Codec(LABELS, stride=1, peak_threshold=0.35, peak_window=9, thing_area=50, stuff_area=77), images())
    assert chosen.settings == chosen.before
    assert chosen.pq == chosen.pq_before > 99
    assert str(chosen) == f"decoding, by 4 images of val: none better than what is configured, PQ {chosen.pq:.2f}"


def test_stuff_is_chosen_apart_from_things() -> None:
    """A patch of grass where there is none is dropped by an area above its own, a true one of 900 pixels kept."""
    labels = LabelSpace((*LABELS.categories, Category("grass", 3, False, (7, 7, 7))))
    truth = Segments(torch.ones(SIZE, SIZE, dtype=torch.int32), torch.tensor([1, 2]), torch.zeros(2, dtype=torch.bool))
    truth.ids[:30, :30] = 2

    def with_patches() -> Iterator[tuple[Readout, Segments]]:
        for has_grass in (False, True):
            classes = torch.ones(1, SIZE, SIZE, dtype=torch.int64)
            classes[0, 40:50, 40:50] = 2
            if has_grass:
                classes[0, :30, :30] = 2
            nothing = torch.zeros(1, SIZE, SIZE)
            readout = Readout(classes, nothing + 1, nothing > 0, torch.zeros(1, 2, SIZE, SIZE), nothing)
            ids = truth.ids if has_grass else torch.ones_like(truth.ids)
            yield readout, Segments(ids, truth.classes, truth.crowd)

    chosen = choose(Codec(labels, stride=1), with_patches())
    assert chosen.settings["stuff_area"] == 128
    assert chosen.settings["peak_threshold"] == chosen.before["peak_threshold"]
