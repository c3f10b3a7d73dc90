"""Segments: areas, spreading, renumbering, and batches of unequal images."""

from __future__ import annotations

import pytest
import torch

from panoptic.segments import VOID, Segments


def make(rows, classes, crowd=(), scores=None) -> Segments:
    """Segments of one image from rows of ids; ``crowd`` names the ids that are one."""
    return Segments(
        torch.tensor(rows, dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor([i + 1 in crowd for i in range(len(classes))], dtype=torch.bool),
        None if scores is None else torch.tensor(scores),
    )


def same(a: Segments, b: Segments) -> bool:
    return (
        torch.equal(a.ids, b.ids)
        and torch.equal(a.classes, b.classes)
        and torch.equal(a.crowd, b.crowd)
        and ((a.scores is None and b.scores is None) or torch.equal(a.scores, b.scores))
    )


# Segment 1 has 3 pixels, 2 has 1, 3 none, 4 has 2; 2 pixels are void.
SMALL = make([[1, 1, 0, 2], [1, 4, 4, 0]], [5, 0, 7, 5], crowd={4})
WIDE = make([[1, 1, 1, 1, 1, 2]], [3, 1])
EMPTY = make([[0, 0], [0, 0], [0, 0]], [])


def test_areas_semantic_and_values_per_pixel_by_hand():
    assert SMALL.size == (2, 4)
    assert not SMALL.is_batch
    assert SMALL.areas().tolist() == [3, 1, 0, 2]
    assert SMALL.semantic().tolist() == [[5, 5, VOID, 0], [5, 5, 5, VOID]]
    values = torch.tensor([0.5, 1.5, 2.5, 3.5])
    assert SMALL.per_pixel(values, -1.0).tolist() == [[0.5, 0.5, -1.0, 1.5], [0.5, 3.5, 3.5, -1.0]]


def test_areas_and_void_add_up_to_the_image():
    assert int(SMALL.areas().sum()) + int((SMALL.ids == 0).sum()) == 8


def test_an_image_without_segments():
    assert EMPTY.areas().tolist() == []
    assert EMPTY.semantic().unique().tolist() == [VOID]
    assert same(EMPTY.compact(), EMPTY)


def test_compact_drops_rows_without_a_pixel_and_keeps_the_order():
    scored = make(SMALL.ids.tolist(), [5, 0, 7, 5], crowd={4}, scores=[0.1, 0.2, 0.3, 0.4])
    compact = scored.compact()
    assert same(compact, make([[1, 1, 0, 2], [1, 3, 3, 0]], [5, 0, 5], crowd={3}, scores=[0.1, 0.2, 0.4]))
    assert torch.equal(compact.semantic(), scored.semantic())
    assert same(compact.compact(), compact)


def test_compact_refuses_a_batch():
    with pytest.raises(ValueError, match="compact: expected the segments of one image, got a batch; call unstack"):
        Segments.stack([SMALL]).compact()


def test_stack_pads_maps_with_void_and_tables_with_no_class():
    batch = Segments.stack([SMALL, WIDE, EMPTY])
    assert batch.is_batch
    assert batch.size == (3, 6)
    assert batch.ids[0].tolist() == [[1, 1, 0, 2, 0, 0], [1, 4, 4, 0, 0, 0], [0] * 6]
    assert batch.ids[1].tolist() == [[1, 1, 1, 1, 1, 2], [0] * 6, [0] * 6]
    assert batch.classes.tolist() == [[5, 0, 7, 5], [3, 1, -1, -1], [-1] * 4]
    assert batch.crowd.tolist() == [[False, False, False, True], [False] * 4, [False] * 4]
    assert batch.areas().tolist() == [[3, 1, 0, 2], [5, 1, 0, 0], [0, 0, 0, 0]]
    assert batch.semantic()[1].tolist() == [[3, 3, 3, 3, 3, 1], [VOID] * 6, [VOID] * 6]


def test_stack_and_unstack_are_inverse_whatever_the_sizes():
    images = [SMALL, WIDE, EMPTY]
    back = Segments.stack(images).unstack([image.size for image in images])
    assert all(same(a, b) for a, b in zip(images, back, strict=True))
    as_tensor = Segments.stack(images).unstack(torch.tensor([image.size for image in images]))
    assert all(same(a, b) for a, b in zip(images, as_tensor, strict=True))


def test_unstack_without_sizes_keeps_the_padding():
    back = Segments.stack([SMALL, WIDE]).unstack()
    assert [image.size for image in back] == [(2, 6), (2, 6)]
    assert back[1].classes.tolist() == [3, 1]


def test_scores_travel_and_are_padded_with_zero():
    images = [make([[1, 2]], [0, 1], scores=[0.25, 0.5]), make([[1, 1]], [2], scores=[0.75])]
    batch = Segments.stack(images)
    assert batch.scores.tolist() == [[0.25, 0.5], [0.75, 0.0]]
    assert all(same(a, b) for a, b in zip(images, batch.unstack(), strict=True))


def test_all_or_none_of_the_items_have_scores():
    with pytest.raises(ValueError, match="stack: expected all or none of the items to have scores"):
        Segments.stack([WIDE, make([[1]], [0], scores=[0.5])])
    assert Segments.stack([WIDE, SMALL]).scores is None


def test_stack_refuses_nothing():
    with pytest.raises(ValueError, match="stack: expected at least one item, got none"):
        Segments.stack([])


def test_ids_beyond_16_bits():
    ids = torch.arange(1, 70001, dtype=torch.int32).view(200, 350)
    classes = torch.arange(70000) % 19
    segments = Segments(ids, classes, torch.zeros(70000, dtype=torch.bool))
    assert segments.areas().unique().tolist() == [1]
    assert torch.equal(segments.semantic().flatten(), classes)
    without_first = Segments(torch.where(ids == 1, 0, ids), classes, segments.crowd).compact()
    assert int(without_first.ids.max()) == len(without_first.classes) == 69999


def test_moving_takes_every_tensor():
    moved = make([[1, 2]], [0, 1], crowd={2}, scores=[0.25, 0.5]).to("meta")
    assert {tensor.device.type for tensor in (moved.ids, moved.classes, moved.crowd, moved.scores)} == {"meta"}
    assert same(SMALL.to("cpu"), SMALL)


def test_from_maps_of_classes_and_instances():
    semantic = torch.tensor([[4, 4, 255, 2], [4, 4, 2, 2]])
    instances = torch.tensor([[7, 9, 7, 0], [7, 9, 0, 5]])
    crowd = torch.tensor([[False, True, True, False], [False, True, False, False]])
    segments = Segments.from_maps(semantic, instances, crowd)
    assert segments.ids.tolist() == [[3, 4, 0, 1], [3, 4, 1, 2]]
    assert segments.ids.dtype == torch.int32
    assert segments.classes.tolist() == [2, 2, 4, 4]
    assert segments.crowd.tolist() == [False, False, False, True]
    assert torch.equal(segments.semantic(), semantic)
    empty = Segments.from_maps(torch.full((2, 3), 255), torch.zeros(2, 3, dtype=torch.int64))
    assert (empty.ids.sum(), len(empty.classes)) == (0, 0)
    with pytest.raises(ValueError, match=r"maps of one size, got \[2, 4\], \[2, 3\], \[2, 4\]"):
        Segments.from_maps(semantic, torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("semantic", "instances", "said"),
    [
        (torch.tensor([[0, -1]]), torch.tensor([[0, 0]]), "expected classes of at least 0, and 255 for void, got -1"),
        (torch.tensor([[0.0, 1.0]]), torch.tensor([[0, 0]]), r"expected maps \[H W\] of whole numbers"),
        (torch.tensor([[[0, 1]]]), torch.tensor([[[0, 0]]]), r"whole numbers, got torch.int64 \[1, 1, 2\]"),
    ],
)
def test_maps_that_mean_nothing_are_refused(semantic, instances, said):
    with pytest.raises(ValueError, match=said):
        Segments.from_maps(semantic, instances)
