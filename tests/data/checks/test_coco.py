"""JSON files that are wrong in every way: all of it is told, and nothing but faults comes of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from panoptic.data.checks.coco import survey
from panoptic.labels import LabelSpace

PATH = Path("folder/panoptic_val.json")
SOUND: dict[str, Any] = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 6} for i in (1, 2)],
    "annotations": [
        {
            "image_id": i,
            "file_name": f"{i}.png",
            "segments_info": [{"id": 7, "category_id": 3, "iscrowd": 0}, {"id": 8, "category_id": 5}],
        }
        for i in (1, 2)
    ],
    "categories": [{"id": 3, "name": "car", "isthing": 1}, {"id": 5, "name": "sky", "isthing": 0}],
}
LABELS = LabelSpace.from_dicts(SOUND["categories"])
STRANGE = (None, True, -1, 1.5, "x", "", [], [1], {}, {"id": []}, 1 << 40)


def surveyed(edit: Callable[[dict], None]) -> tuple[list, list[tuple[str, str]]]:
    content = copy.deepcopy(SOUND)
    edit(content)
    entries, faults = survey(content, PATH, LABELS)
    assert all(fault.file and fault.what for fault in faults)
    return entries, [(fault.kind, fault.what) for fault in faults]


def put(path: tuple, value: object) -> Callable[[dict], None]:
    def edit(content: dict) -> None:
        node: Any = content
        for step in path[:-1]:
            node = node[step]
        if value is put:
            del node[path[-1]]
        else:
            node[path[-1]] = value

    return edit


PLACES = [
    ("images",),
    ("images", 0),
    ("images", 0, "id"),
    ("images", 0, "file_name"),
    ("images", 0, "height"),
    ("annotations",),
    ("annotations", 0),
    ("annotations", 0, "image_id"),
    ("annotations", 0, "file_name"),
    ("annotations", 0, "segments_info"),
    ("annotations", 0, "segments_info", 0),
    ("annotations", 0, "segments_info", 0, "id"),
    ("annotations", 0, "segments_info", 0, "category_id"),
    ("annotations", 0, "segments_info", 0, "iscrowd"),
]
SOUND_ELSEWHERE = {  # what is strange in one place may be right in another
    ("images", 0, "file_name"): ("x", ""),
    ("images", 0, "height"): (None, -1, 1 << 40),
    ("annotations", 0, "file_name"): ("x",),
    ("annotations", 0, "segments_info"): ([],),
    ("annotations", 0, "segments_info", 0, "iscrowd"): (True, -1, 1 << 40),
}


def test_a_sound_file_has_no_fault() -> None:
    entries, faults = surveyed(lambda content: None)
    assert faults == []
    assert [(e.image_id, e.png, e.ids.tolist(), e.classes.tolist()) for e in entries] == [
        (1, "1.png", [7, 8], [0, 1]),
        (2, "2.png", [7, 8], [0, 1]),
    ]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_whatever_stands_in_a_place_is_a_fault_and_the_rest_is_read(place: tuple) -> None:
    for value in (*STRANGE, put):  # put stands for taking the key away
        entries, faults = surveyed(put(place, value))
        needless = value is put and place[-1] in ("height", "iscrowd", 0)
        if not needless and value not in SOUND_ELSEWHERE.get(place, ()):
            assert faults, value
        if len(place) > 1:
            assert [e.ids.tolist() for e in entries if e.image_id == 2] == [[7, 8]]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda c: c["images"].append(c["images"][0]), [("doubled", "image id 1 is listed more than once")]),
        (put(("images", 1, "file_name"), "1.jpg"), [("doubled", f"{PATH} lists it as 2 images")]),
        (put(("annotations", 1, "file_name"), "1.png"), [("doubled", f"{PATH} names it for 2 images")]),
        (
            lambda c: c["annotations"].append(c["annotations"][0]),
            [("doubled", "image id 1 has more than one annotation")],
        ),
        (lambda c: c["annotations"].pop(), [("missing", f"{PATH} has no annotation of it (image id 2)")]),
        (lambda c: c["images"].pop(), [("missing", "an annotation is of image id 2, no image has it")]),
        (
            put(("annotations", 1, "segments_info", 1, "id"), 7),
            [("doubled", "image id 2: segment 7 is listed more than once")],
        ),
        (
            put(("annotations", 0, "segments_info", 0, "category_id"), 4),
            [("category", "image id 1: segment 7 is of unknown category 4")],
        ),
    ],
)
def test_faults_by_hand(edit: Callable[[dict], None], expected: list[tuple[str, str]]) -> None:
    assert surveyed(edit)[1] == expected


def test_every_segment_at_fault_is_told() -> None:
    def edit(content: dict) -> None:
        content["annotations"][0]["segments_info"] += [{"id": 9, "category_id": 99}, {"id": 0, "category_id": 3}, 5]

    entries, faults = surveyed(edit)
    assert [kind for kind, _ in faults] == ["category", "malformed", "malformed"]
    assert entries[0].ids.tolist() == [7, 8]
