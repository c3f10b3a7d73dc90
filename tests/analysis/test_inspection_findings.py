"""What statistics say about training: categories of one split, and things that networks cannot see, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hydra import compose

from panoptic.analysis.inspection_findings import Scale, findings_json, lone_categories, thing_sizes
from panoptic.analysis.split_numbers import ImageNumbers, SplitNumbers, _extents
from panoptic.config.composing import with_hydra
from panoptic.data.checks.near_duplicates import Alike, NearDuplicates, Pair
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments
from panoptic.training.checkpoint import build_network

LABELS = LabelSpace(
    tuple(
        Category(name, i, isthing, (9, 9, 9))
        for i, (name, isthing) in enumerate((("road", False), ("car", True), ("dog", True), ("sky", False)))
    )
)


def split(*segments: tuple[int, int, tuple[int, int], bool], labels: LabelSpace = LABELS) -> SplitNumbers:
    """A split of one image with segments of these classes, areas, heights and widths; some are crowds."""
    numbers = SplitNumbers(labels)
    classes, areas, extents, crowd = (np.array(column) for column in zip(*segments, strict=True))
    complexity = np.zeros(2)
    numbers.add(ImageNumbers("a", [], (2000, 2000), None, None, classes, areas, extents, crowd, complexity))
    return numbers


def test_things_are_counted_by_what_a_network_sees_of_them() -> None:
    train = split(
        (0, 900_000, (1000, 2000), False),  # stuff
        (1, 3, (1, 3), False),
        (1, 4, (2, 2), False),
        (1, 15, (3, 5), False),
        (1, 16, (4, 4), False),
        (1, 1023, (33, 31), False),
        (1, 1024, (32, 32), False),
        (1, 9000, (512, 1024), False),
        (1, 9000, (513, 10), False),
        (2, 1, (1, 1), True),  # a crowd
    )
    val = split((2, 500, (10, 1025), False), (1, 2, (2, 1), False))
    car, dog = thing_sizes({"train": train, "val": val}, Scale((512, 1024)))
    assert car == ("car", 9, 2, 4, 6, 1)
    assert dog == ("dog", 1, 0, 0, 1, 1)
    (coarse, _) = thing_sizes({"train": train, "val": val}, Scale((512, 1024), heads=2, finest=8, coarsest=16))
    assert coarse == ("car", 9, 4, 5, 5, 1)
    assert thing_sizes({"train": split((0, 5, (1, 5), False))}, Scale((512, 1024))) == []


@pytest.mark.parametrize("model", ["small", "full"])
def test_assumed_strides_are_those_of_the_networks(model: str) -> None:
    with with_hydra():
        config = compose("train", [f"model={model}", "model.backbone.weights=random"])
    network = build_network(config, num_classes=2)
    assumed = Scale((512, 1024))
    assert assumed.heads == network.stride
    assert assumed.finest == network.backbone.strides[0]
    assert assumed.coarsest == network.coarsest_stride


def test_boxes_around_segments() -> None:
    ids = torch.zeros(6, 8, dtype=torch.int32)
    ids[1, 2:7], ids[4, 0], ids[2, 7] = 1, 3, 3
    segments = Segments(ids, torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.bool))
    assert _extents(segments).tolist() == [[1, 5], [0, 0], [3, 8]]
    none = Segments(ids * 0, segments.classes[:0], segments.crowd[:0])
    assert _extents(none).shape == (0, 2)


def test_categories_of_some_splits() -> None:
    train = split((0, 9, (3, 3), False), (1, 9, (3, 3), False), (1, 9, (3, 3), False))
    val = split((0, 9, (3, 3), False), (2, 9, (3, 3), False))
    withheld = SplitNumbers(LABELS, images=3)
    found = lone_categories({"train": train, "val": val, "test": withheld})
    assert [(c.name, c.segments, c.matters) for c in found] == [
        ("dog", {"train": 0, "val": 1}, True),
        ("car", {"train": 2, "val": 0}, False),
    ]
    assert [c.consequence for c in found] == [
        "scored in val, where its PQ is 0 for want of an example in train",
        "learned, and not scored in val",
    ]
    assert lone_categories({"train": train, "test": withheld}) == []
    (alone,) = (c for c in lone_categories({"val": val, "test": train}) if c.name == "dog")
    assert (alone.matters, alone.consequence) == (False, "scored in val alone")


def test_categories_that_a_split_does_not_list() -> None:
    cats = LabelSpace((Category("road", 0, False, (9, 9, 9)), Category("cat", 7, True, (1, 1, 1))))
    train, val = split((0, 9, (3, 3), False)), split((0, 9, (3, 3), False), (1, 4, (2, 2), False), labels=cats)
    assert lone_categories({"train": train, "val": val}) == [("cat", {"train": 0, "val": 1}, True)]
    assert [sizes.name for sizes in thing_sizes({"train": train, "val": val}, Scale((64, 64)))] == ["cat"]


def test_findings_for_json() -> None:
    found = NearDuplicates((Alike("val", "train", 1, 1),), (Pair(3, "val", 1, "train", 0),))
    splits = {"train": split((1, 9, (3, 3), False)), "val": split((0, 9, (3, 3), False))}
    findings = findings_json(splits, Scale((64, 96)), found, {"train": ["a.png"], "val": ["b.png", "c.png"]})
    assert findings["near_duplicates"] == {
        "bits": 256,
        "most_bits_that_differ": 24,
        "counts": [{"split": "val", "like": "train", "images": 1, "pairs": 1}],
        "closest": [{"split": "val", "file": "c.png", "like": "train", "other": "a.png", "bits_that_differ": 3}],
    }
    assert [category["name"] for category in findings["lone_categories"]] == ["road", "car"]
    assert findings["thing_sizes"]["assumed"] == {"crop": (64, 96), "heads": 1, "finest": 4, "coarsest": 32}
    assert findings["thing_sizes"]["per_class"]["car"]["below_finest"] == 1
