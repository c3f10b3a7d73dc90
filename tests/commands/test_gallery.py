"""``python -m benchmarks.gallery`` with a tiny network: what it chooses, draws and writes."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.gallery import FALSE_COLOR, MISSED_COLOR, Scored, choose_by_error, choose_by_score, main, marked
from benchmarks.measuring import experiment
from benchmarks.method import method_figure
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments
from panoptic.training.checkpoint import build_codec, build_network
from tests.commands.small_runs import SMALL_BACKBONE, run, vary

DOCS = Path(__file__).parents[2] / "docs"
SCORED = [Scored(index, pq, Counter(errors)) for index, pq, errors in (
    (4, 0.1, {"merged": 2}), (1, 0.2, {"merged": 2, "split": 1}), (3, 0.4, {}), (0, 0.5, {}), (2, 0.9, {"split": 1}),
)]  # fmt: skip


def test_images_are_chosen_by_rules() -> None:
    chosen = {name: [each.index for each in some] for name, some in choose_by_score(SCORED, 2).items()}
    assert chosen == {"best": [2, 0], "median": [3, 0], "worst": [4, 1]}
    assert [each.index for each in choose_by_score(SCORED, 1)["median"]] == [3]
    assert [each.index for each in choose_by_score(SCORED[:1], 2)["median"]] == [4]
    # The first of ties by their index; no kind that none has.
    assert {kind: each.index for kind, each in choose_by_error(SCORED).items()} == {"merged": 1, "split": 1}


def test_errors_are_marked_where_they_are() -> None:
    ids = torch.tensor([[1, 1, 2, 0]], dtype=torch.int32)
    truth = Segments(ids, torch.tensor([0, 1]), torch.zeros(2, dtype=torch.bool))
    prediction = Segments(ids.flip(1), truth.classes, truth.crowd)
    picture = marked(np.zeros((1, 4, 3), np.uint8), (truth, torch.tensor([True, False])), (prediction, truth.crowd))
    red = np.round(0.65 * np.array(MISSED_COLOR)).tolist()
    assert picture[0].tolist() == [red, red, [0, 0, 0], [0, 0, 0]]
    both = marked(np.zeros((1, 4, 3), np.uint8), (truth, truth.classes >= 0), (prediction, truth.classes == 1))
    mixed = np.round(0.65 * (np.array(MISSED_COLOR) + FALSE_COLOR) / 2).tolist()
    assert both[0].tolist() == [red, mixed, red, [0, 0, 0]]


def test_the_page_says_what_evaluation_says(trained: Path, tmp_path: Path) -> None:
    vary(trained / "checkpoints" / "last.ckpt", tmp_path / "network.ckpt")
    run("evaluate", "checkpoint=network.ckpt", "split=val", "output=scored", "predictions=false", "worst=1")
    scores = json.loads(Path("scored/scores.json").read_text())
    main(["network.ckpt", "--count", "1", "--output", "d/page.md", "--images", "d/images", "--figure", "d/method.png"])
    text = Path("d/page.md").read_text()
    assert f"| PQ | {100 * scores['all']['pq']:.2f} |\n" in text
    assert "| data | SyntheticData, generator 1, 64x128; split val, 2 images |\n" in text
    for kind, number in scores["errors"]["all"]["fn"].items():
        assert re.search(rf"(?m)^\| {kind.replace('_', ' ')} \| {number} \|", text), kind
    shown = [Path("d") / target for target in re.findall(r"!\[.*?\]\((.*?)\)", text)]
    assert {path.name for path in shown} == {path.name for path in Path("d/images").iterdir()}
    assert {"best_1.jpg", "median_1.jpg", "worst_1.jpg", "error_missed.jpg"} <= {path.name for path in shown}
    for path in shown:
        with Image.open(path) as picture:
            assert picture.size == (4 * 128 + 3 * 4, 64)
    assert str(tmp_path) not in text
    with Image.open("d/method.png") as picture:
        assert picture.size == (1100, 520)


def test_maps_alone_show_nothing_of_the_images(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vary(trained / "checkpoints" / "last.ckpt", tmp_path / "network.ckpt")
    main(["network.ckpt", "--count", "2", "--maps", "d/maps.png"])
    assert re.fullmatch(
        r"best: `val_\d+` [\d.]+, `val_\d+` [\d.]+; worst: (`val_\d+` [\d.]+(, )?){2}\n", capsys.readouterr().out
    )
    with Image.open("d/maps.png") as picture:
        assert picture.size == (2 * 128 + 4, 2 * 64 + 4)
        colors = {color for _, color in picture.getcolors(10**6)}
    assert len(colors) < 60  # of categories and variations of things, contours, void and lines
    assert [path.name for path in Path("d").iterdir()] == ["maps.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("network.ckpt",), "network.ckpt: "),
        (("network.ckpt", "--split", "all"), "split: expected train, val or test, got 'all'"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        main(list(arguments))
    assert str(refused.value).startswith(said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fusion", "bars"), [("adaptive", 3), ("local", 0)])
def test_the_method_is_drawn_from_outputs(fusion: str, bars: int) -> None:
    config = experiment("quick", f"model/fusion={fusion}", SMALL_BACKBONE)
    network = build_network(config, len(CITYSCAPES)).eval()
    predictor = Predictor(network, build_codec(config, CITYSCAPES, network), device="cpu")
    image = SyntheticSource(split="val", size=1, height=72, width=120).read(0).image  # no whole cells of P5
    figure = method_figure(predictor, image)
    titles = {axes.get_title(): axes for axes in figure.axes}
    segments = predictor(image).segments
    assert f"{len(segments)} segments" in titles
    assert titles["level P2, stride 4"].images[0].get_array().shape == (18, 30)
    assert titles["level P4, stride 16"].images[0].get_array().shape == (5, 8)
    (alpha,) = (axes for title, axes in titles.items() if "α" in title)
    assert len(alpha.patches) == bars
    assert len(alpha.images) == int(fusion == "local")


def test_the_committed_page_is_whole_small_and_of_no_machine() -> None:
    text = (DOCS / "gallery.md").read_text()
    pictures = sorted((DOCS / "images" / "gallery").iterdir())
    shown = {Path(target).name for target in re.findall(r"!\[.*?\]\((.*?)\)", text)}
    assert shown == {path.name for path in pictures}
    assert len(shown) > 6
    assert sum(path.stat().st_size for path in pictures) < 1_000_000
    assert (DOCS / "images" / "method.png").stat().st_size < 300_000
    assert re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users)/", text) == []
