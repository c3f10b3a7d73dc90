"""Answers of the page, from values to HTML."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.demo_page import html
from panoptic.demo_page.answers import Answers, told
from panoptic.demo_page.examples import examples
from panoptic.demo_page.pictures import Filter
from panoptic.demo_page.uploads import Limits, Upload
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from tests.demo_page.made_results import CLASSES, IDS, LABELS, Same, result

LIMITS = Limits(bytes=1_000_000, pixels=1_000)
IMAGE = np.random.default_rng(0).integers(0, 256, (*IDS.shape, 3), dtype=np.uint8)


def upload(image: np.ndarray = IMAGE, name: str = "<i>.png", **options: object) -> Upload:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", **options)
    return Upload(name, stream.getvalue())


def pictures(text: str) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r"data:image/\w+;base64,([^\"]+)", text)
    ]


def test_an_upload_becomes_all_parts_of_the_page() -> None:
    network = Same()
    answer = Answers([network], LIMITS).to_upload(upload(), 0.5, Filter())
    assert np.array_equal(answer.scene.predictions[0].result.image, IMAGE)
    assert answer.message == '<p class="note" role="status">&lt;i&gt;.png: 20 x 10</p>'
    drawn, ids = pictures(answer.view)
    assert drawn.shape == IMAGE.shape
    assert np.array_equal(ids[..., 0], IDS)
    texts = json.loads(unescape(re.findall(r'data-segments="([^"]*)"', answer.view)[0]))
    assert texts == {
        "1": "car · score 0.90 · 12 pixels",
        "2": "car · score 0.40 · 12 pixels",
        "3": "<b> · score 0.60 · 6 pixels",
        "4": "road · score 1.00 · 160 pixels",
    }
    for text in ("object density</td><td>1.500", "scale variance</td><td>0.250", "P4</span>", "width:50.0%", "0.500"):
        assert text in answer.details
    assert re.search(r"network</td><td>250 ms.*decoding</td><td>500 ms.*drawing</td><td>\d+ ms", answer.details)
    assert "<tr><td>&lt;b&gt;</td><td>1</td><td>3.0%</td></tr>" in answer.details
    assert "<b>" not in answer.details.replace('<b style="', "")
    assert "α by place" not in answer.details


def test_drawing_again_predicts_nothing() -> None:
    network = Same()
    answers = Answers([network], LIMITS)
    scene = answers.to_image("a.png", IMAGE, 0.5, Filter()).scene
    strong, weak = (answers.view(scene, strength, Filter()) for strength in (1.0, 0.0))
    _, ids = pictures(answers.view(scene, 0.5, Filter(("car",), 0.5)))
    assert strong != weak
    assert np.unique(ids[..., 0]).tolist() == [0, 1]
    assert network.predicted == 1


def test_files_to_download_are_coco_panoptic() -> None:
    links = html.downloads(result(), 'a"b.jpg', "checkpoint: x")
    (picture,) = pictures(links)
    assert np.array_equal(picture[..., 0], IDS)
    assert re.findall('download="([^"]*)"', links) == ["a&quot;b_checkpoint.png", "a&quot;b_checkpoint.json"]
    content = json.loads(base64.b64decode(re.findall(r"application/json;base64,([^\"]+)", links)[0]))
    assert content["images"] == [{"id": 1, "file_name": 'a"b.jpg', "height": 10, "width": 20}]
    assert content["annotations"][0]["segments_info"] == result().to_coco()[1]
    assert content["annotations"][0]["file_name"] == 'a"b_checkpoint.png'
    assert content["categories"] == LABELS.to_dicts()


def test_two_networks_are_shown_beside_each_other() -> None:
    other_ids = np.where(IDS == 2, 0, IDS)
    alpha = np.full((3, 2, 4), 1 / 3, dtype=np.float32)
    answers = Answers([Same(), Same(other_ids, alpha=alpha)], LIMITS)
    answer = answers.to_upload(upload(name="a.png"), 0.0, Filter())
    assert "a.png: 20 x 10; class differs in 6.0% of the pixels, instance alone in 0.0%" in answer.message
    assert answer.scene.mark is not None
    assert np.array_equal(answer.scene.mark, IDS == 2)
    assert len(pictures(answer.view)) == 4
    assert re.findall("<figcaption>([^<]*)", answer.view) == ["checkpoint: the same", "compare_with: the same"]
    assert len(pictures(answer.details)) == 3
    assert re.findall('download="([^"]*)"', answer.downloads)[2:] == ["a_compare_with.png", "a_compare_with.json"]


def test_networks_of_other_categories_cannot_be_compared() -> None:
    other = Same()
    other.labels = LabelSpace(LABELS.categories[:2])
    with pytest.raises(
        InputError, match=r"^compare_with: expected the categories of the checkpoint, category 3 to be '<b>"
    ):
        Answers([Same(), other], LIMITS)


def test_large_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"^<i>.png: expected at most 0.001 million pixels, got 101 x 10$"):
        Answers([Same()], LIMITS).to_upload(upload(np.zeros((10, 101, 3), np.uint8)), 0.5, Filter())


def test_scores_need_an_image_and_both_files() -> None:
    answers = Answers([Same(), Same(classes=CLASSES[[0, 0, 2, 3, 4]])], LIMITS)
    scene = answers.to_image("a.png", IMAGE, 0.5, Filter()).scene
    picture, infos = result().to_coco()
    files = {
        "truth": upload(np.asarray(picture)),
        "table": Upload("a.json", json.dumps({"segments_info": infos}).encode()),
    }
    assert answers.scores(scene, files).count("<td>car</td><td>100.0</td><td>100.0</td><td>100.0</td>") == 2
    for given, sent, got in (
        (None, files, "truth: expected an image first, got none"),
        (scene, {}, "truth: expected a PNG of ids, got none"),
        (scene, {"truth": files["truth"]}, "truth: expected a JSON file, got none"),
    ):
        with pytest.raises(InputError, match=got):
            answers.scores(given, sent)


def test_faults_are_told_without_their_insides(capsys: pytest.CaptureFixture) -> None:
    def fail(error: Exception) -> None:
        raise error

    assert told(lambda: 3) == (3, None)
    assert told(lambda: fail(InputError("a: expected b, got c"))) == (None, "a: expected b, got c")
    assert capsys.readouterr().err == ""
    assert told(lambda: fail(KeyError("/home/secret"))) == (None, "this did not work; the log of the server says why")
    assert "KeyError: '/home/secret'" in capsys.readouterr().err
    assert told(lambda: fail(MemoryError()))[1] == (
        "image: expected one that fits into memory, got one that does not; a smaller one may"
    )


def test_examples_are_of_the_checkout_or_drawn(tmp_path: Path) -> None:
    assert [each.name for each in examples()] == ["scene 1", "nuclei 1", "nuclei 2"]
    drawn = examples(tmp_path)
    assert [(each.name, each.image.shape) for each in drawn] == [(f"scene {n}", (256, 512, 3)) for n in (1, 2, 3)]
