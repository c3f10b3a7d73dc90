"""Scores against a visitor's truth."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from panoptic.demo_page.truth import Quality, read_truth, score, segments_of
from panoptic.demo_page.uploads import Limits, Upload
from panoptic.errors import InputError
from panoptic.metrics import PanopticQuality
from panoptic.results import Result
from tests.demo_page.made_results import IDS, LABELS, result

LIMITS = Limits(bytes=1_000_000, pixels=1_000)


def files(found: Result, **changed: object) -> tuple[Upload, Upload]:
    """A result as the files of a truth."""
    picture, infos = found.to_coco()
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    entry = {"image_id": 1, "file_name": "true.png", "segments_info": infos}
    content = {"annotations": [entry], "categories": LABELS.to_dicts(), **changed}
    return Upload("true.png", stream.getvalue()), Upload("true.json", json.dumps(content).encode())


def truth_ids() -> np.ndarray:
    ids = IDS.copy()
    ids[2:5, 2:6] = 4
    ids[2:5, 3:6] = 1  # IoU 9 / 12
    ids[IDS == 3] = 4  # missed: a false positive of <b>
    return ids


def test_scores_by_hand() -> None:
    truth = read_truth(*files(result(truth_ids())), LABELS, LIMITS)
    scores = {quality.name: quality for quality in score(result(), truth)}
    road = (IDS == 4).sum() / (truth_ids() == 4).sum()
    assert scores["car"] == Quality("car", 0.875, 0.875, 1.0)
    assert scores["<b>"] == Quality("<b>", 0.0, 0.0, 0.0)
    assert scores["road"].pq == pytest.approx(road)
    assert scores["all"].pq == pytest.approx((0.875 + 0.0 + road) / 3)
    assert scores["things"].rq == 0.5
    assert list(scores) == ["all", "things", "stuff", "road", "car", "<b>"]


def test_scores_are_those_of_the_metric_and_leave_out_what_does_not_occur() -> None:
    found, truth = result(), read_truth(*files(result(np.where(IDS == 4, 4, 0).astype(np.int32)[:, :])), LABELS, LIMITS)
    metric = PanopticQuality(LABELS)
    metric.update(segments_of(found), truth)
    expected = metric.compute()
    scores = score(found, truth)
    assert [quality.name for quality in scores] == ["all", "things", "stuff", "road"]  # on void, things do not count
    assert scores[0].pq == float(expected["pq"])
    assert math.isnan(float(expected["pq/car"]))


def test_segments_as_tensors() -> None:
    segments = segments_of(result())
    assert segments.classes.tolist() == [1, 1, 2, 0]
    assert segments.scores is not None
    assert segments.scores.tolist() == pytest.approx([0.9, 0.4, 0.6, 1.0])
    assert np.array_equal(segments.ids.numpy(), IDS)


def test_tables_in_either_form() -> None:
    png, table = files(result())
    content = json.loads(table.content)
    (entry,) = content["annotations"]
    more = {"annotations": [{**entry, "file_name": "other.png", "segments_info": []}, entry]}
    for given in (content, entry, {"segments_info": entry["segments_info"]}, more):
        truth = read_truth(png, Upload("true.json", json.dumps(given).encode()), LABELS, LIMITS)
        assert score(result(), truth)[0] == Quality("all", 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"categories": LABELS.to_dicts()[:2]},
            "true.json: expected the categories of the checkpoint, category 3 to be",
        ),
        ({"annotations": None}, "true.json: expected an object with segments_info or annotations, got neither"),
        ({"annotations": []}, "true.json: expected one annotation with segments_info for true.png, got 0"),
        (
            {"segments_info": [{"id": 1, "category_id": 8}]},
            "true.json: .*segment 1: expected a category_id of .*, got 8",
        ),
        ({"segments_info": [{"id": 9, "category_id": 7}]}, "true.png: expected the segment ids that true.json lists"),
        ({"segments_info": 3}, "true.json: annotations: "),
    ],
)
def test_truths_that_do_not_fit(changed: dict, told: str) -> None:
    with pytest.raises(InputError, match=rf"^{told}") as error:
        read_truth(*files(result(), **changed), LABELS, LIMITS)
    assert "/tmp" not in str(error.value)


def test_truths_that_cannot_be_read() -> None:
    png, table = files(result())
    wide = files(result(np.zeros((10, 101), dtype=np.int32)))[0]
    for one, other, told in (
        (Upload("a.png", b"text"), table, "a.png: expected an image"),
        (png, Upload("a.json", b"{"), "a.json: expected JSON, got text that is not"),
        (png, Upload("a.json", b"[]"), "a.json: expected an object"),
        (png, Upload("a.json", b"[" * 100_000), "a.json: expected JSON"),
        (wide, table, r"true.png: expected at most 0.001 million pixels, got 101 x 10"),
    ):
        with pytest.raises(InputError, match=rf"^{told}"):
            read_truth(one, other, LABELS, LIMITS)
    truth = read_truth(*files(result(np.ascontiguousarray(IDS[:, :10]))), LABELS, LIMITS)
    with pytest.raises(InputError, match=r"^truth: expected the size of the image, 20 x 10, got 10 x 10$"):
        score(result(), truth)


def test_a_16_bit_picture_is_no_map_of_ids() -> None:
    _, table = files(result())
    stream = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), dtype=np.uint16)).save(stream, "PNG")
    with pytest.raises(InputError, match=r"^a.png: expected a PNG with 8-bit RGB"):
        read_truth(Upload("a.png", stream.getvalue()), table, LABELS, LIMITS)
