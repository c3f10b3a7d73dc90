"""One's own data, through the commands: any label space, paths one by one, and a real photo at its full size."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.analysis.decoding import Decoding
from panoptic.commands.app import command
from panoptic.commands.evaluate import evaluate
from panoptic.commands.predict import predict
from panoptic.commands.score import score
from panoptic.commands.train import _choose_decoding, train
from panoptic.data.cityscapes import CityscapesSource
from panoptic.errors import InputError
from panoptic.training.checkpoint import CHOSEN, read_checkpoint
from panoptic.training.checkpoint_io import load, save

NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"
FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
TINY = (
    *(
        "experiment=quick",
        "model.backbone.name=test_resnet",
        "data.crop=[32,64]",
        "data.workers=0",
        "data.batch_size=2",
        "data.epoch_size=4",
    ),
    *("callbacks.pictures=1", "trainer.max_epochs=1", "trainer.accelerator=cpu", "hydra.run.dir=run"),
)
CHECKPOINT = "checkpoint=run/checkpoints/last.ckpt"
RUN = {"train": train, "evaluate": evaluate, "predict": predict, "score": score}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic"])


def run(name: str, *arguments: str) -> None:
    command(name, RUN[name], arguments)


def label_space(kind: str) -> list[dict]:
    """Categories as in a JSON file, with ids that have gaps and come in no order."""
    isthing = {
        "most there can be": [int(i % 3 == 0) for i in range(254)],
        "stuff only": [0, 0, 0],
        "things only": [1, 1],
        "one thing": [1],
        "one stuff": [0],
    }[kind]
    ids = np.random.default_rng(0).permutation(3 * len(isthing) + 1)[: len(isthing)].tolist()
    return [{"id": i, "name": f"category {i}", "isthing": thing} for i, thing in zip(ids, isthing, strict=True)]


def write(root: Path, categories: list[dict], sizes: tuple[tuple[int, int], ...] = ((40, 72), (33, 65))) -> Path:
    """A data set of two images a split: blocks of 8x8 pixels, each a segment of a random category, or void."""
    rng = np.random.default_rng(1)
    for split in ("train", "val"):
        content: dict = {"images": [], "annotations": [], "categories": categories}
        (root / f"panoptic_{split}").mkdir(parents=True)
        (root / split).mkdir()
        for index, (height, width) in enumerate(sizes):
            blocks = rng.integers(0, 9, (-(-height // 8), -(-width // 8)))
            numbers = np.kron(blocks, np.ones((8, 8), np.int64))[:height, :width] * 1000
            chosen = rng.integers(0, len(categories), 9)
            color = np.stack([numbers % 256, numbers // 256, 0 * numbers], -1).astype(np.uint8)
            Image.fromarray(color).save(root / f"panoptic_{split}" / f"{index}.png")
            Image.fromarray((numbers[..., None] // 40 + [0, 9, 30]).astype(np.uint8)).save(
                root / split / f"{index}.png"
            )
            content["images"].append({"id": index, "file_name": f"{index}.png", "height": height, "width": width})
            infos = [
                {"id": int(n), "category_id": categories[chosen[n // 1000]]["id"]} for n in np.unique(numbers) if n
            ]
            content["annotations"].append({"image_id": index, "file_name": f"{index}.png", "segments_info": infos})
        (root / f"panoptic_{split}.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    ("kind", "fusion"),
    [
        ("most there can be", "adaptive"),
        ("stuff only", "local"),
        ("one thing", "local"),
        pytest.param("things only", "adaptive", marks=pytest.mark.soak),
        pytest.param("one stuff", "adaptive", marks=pytest.mark.soak),
    ],
)
def test_any_label_space_trains_scores_and_predicts(kind: str, fusion: str, capsys: pytest.CaptureFixture) -> None:
    categories = label_space(kind)
    write(Path("own"), categories)
    run("train", *TINY, "data=coco_panoptic", "data.root=own", f"model/fusion={fusion}", "choose_decoding=true")
    told = f"note: {categories[0]['name']} is the only category, and the rest is void" in capsys.readouterr().out
    assert told == (len(categories) == 1)
    last = json.loads(Path("run/summary.json").read_text())["last"]
    assert np.isfinite(last["val/loss"])
    assert 0 <= last["val/pq"] <= 1
    run("evaluate", CHECKPOINT, "split=val", "output=out", "truth=true", "tta=flip")
    scores = json.loads(Path("out/scores.json").read_text())
    assert (scores["images"], scores["tta"]) == (2, "flip")
    run("predict", CHECKPOINT, "input=own/val", "output=seen", "tta=multiscale", "visualize=false")
    for path in ("out/predictions.json", "out/truth.json", "seen/panoptic.json"):
        content = json.loads(Path(path).read_text())
        plain = [{key: c[key] for key in ("id", "name", "isthing")} for c in content["categories"]]
        assert plain == categories
    run("score", "ground_truth=out/truth.json", "predictions=out/truth.json", "output=self.json")
    assert json.loads(Path("self.json").read_text())["all"]["pq"] == 1.0
    run("score", "ground_truth=own/panoptic_val.json", "predictions=out/predictions.json", "output=again.json")
    assert json.loads(Path("again.json").read_text())["all"] == scores["all"]


def test_the_decoding_that_a_run_chooses_is_used_from_then_on(capsys: pytest.CaptureFixture) -> None:
    write(Path("own"), label_space("things only"))
    run("train", *TINY, "data=coco_panoptic", "data.root=own", "choose_decoding=true", "evaluation.split=val")
    chosen = json.loads(Path("run/summary.json").read_text())["decoding"]
    assert chosen["images"] == 2
    assert chosen["pq"] >= chosen["pq_before"] >= 0
    settings = {key: chosen[key] for key in CHOSEN}
    events = [json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()]
    assert [{k: v for k, v in e.items() if k in chosen} for e in events if e["event"] == "decoding"] == [chosen]
    scores = json.loads(Path("run/evaluate_val/scores.json").read_text())
    assert 100 * scores["all"]["pq"] == pytest.approx(chosen["pq"], abs=1e-4)
    for name in ("best", "last"):
        checkpoint = Path("run/checkpoints") / f"{name}.ckpt"
        assert {key: read_checkpoint(checkpoint).config.codec[key] for key in CHOSEN} == settings
        given = read_checkpoint(checkpoint, ["codec.peak_threshold=0.77"]).config.codec
        assert given.peak_threshold == 0.77
        assert given.thing_area == settings["thing_area"]
    # Going on, with the same configuration as before, chooses again.
    own = ("data=coco_panoptic", "data.root=own", "choose_decoding=true", "evaluation.split=val")
    run("train", *TINY, *own, "resume=auto", "trainer.max_epochs=2")
    events = [json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events].count("decoding") == 2
    assert [e["key"] for e in events if e["event"] == "change"] == ["trainer.max_epochs"]
    codec = json.loads(Path("run/summary.json").read_text())["config"]["codec"]
    assert (codec["peak_threshold"], codec["thing_area"]) == (0.2, 0)
    assert "decoding, " in capsys.readouterr().out


@pytest.mark.parametrize(("steps", "calls"), [((9, 9), [("last", ["best"])]), ((7, 9), [("best", []), ("last", [])])])
def test_checkpoints_of_other_weights_choose_apart(
    steps: tuple[int, int], calls: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = dict(zip(("best", "last"), steps, strict=True))
    made = []

    def choose(path: Path, others: Sequence[Path] = (), progress: Any = None) -> Decoding:
        made.append((path.stem, [other.stem for other in others]))
        return Decoding({"thing_area": 8}, {"thing_area": 0}, 2, 50.0, 51.0, {})

    monkeypatch.setattr("panoptic.analysis.decoding.choose_decoding", choose)
    monkeypatch.setattr(
        "panoptic.training.checkpoint.read_checkpoint", lambda path: SimpleNamespace(steps=of[path.stem])
    )
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "summary.json").write_text("{}")
    _choose_decoding(tmp_path)
    assert made == calls
    assert json.loads((tmp_path / "summary.json").read_text())["decoding"]["thing_area"] == 8


@pytest.mark.parametrize("decoding", [{"settings": {"sigma": 1.0}}, {"settings": {"stuff_area": "1,x=2"}}, 3])
def test_a_checkpoint_with_other_settings_of_decoding_is_refused(decoding: Any) -> None:
    write(Path("own"), label_space("one thing"))
    run("train", *TINY, "data=coco_panoptic", "data.root=own")
    content = load(Path("run/checkpoints/last.ckpt"))
    content["panoptic"]["decoding"] = decoding
    save(content, Path("run/checkpoints/last.ckpt"))
    with pytest.raises(InputError, match="expected a whole checkpoint of panoptic, got a damaged one"):
        read_checkpoint("run/checkpoints/last.ckpt")


def test_one_category_more_than_there_can_be_is_refused(capsys: pytest.CaptureFixture) -> None:
    categories = [{"id": i, "name": str(i), "isthing": 1} for i in range(255)]
    write(Path("own"), categories)
    with pytest.raises(SystemExit):
        run("train", *TINY, "data=coco_panoptic", "data.root=own")
    assert "own/panoptic_train.json: categories: expected 1 to 254 categories, got 255" in capsys.readouterr().err


def test_paths_one_by_one() -> None:
    root = write(Path("own"), label_space("things only"))
    Path("pictures, all=").mkdir()
    for split in ("train", "val"):
        shutil.move(root / split, f"pictures, all=/{split}")
        shutil.move(root / f"panoptic_{split}.json", f"{split}.json")
    shutil.move(root / "panoptic_train", "train")  # the JSON file's name without suffix
    shutil.move(root / "panoptic_val", "segments")
    paths = (
        *("data.train.image_dir=pictures, all=/train", "data.train.panoptic_json=train.json"),
        *("data.val.image_dir=pictures, all=/val", "data.val.panoptic_json=val.json"),
    )
    run("train", *TINY, "data=coco_panoptic", *paths, "data.val.panoptic_dir=segments")
    assert json.loads(Path("run/summary.json").read_text())["steps"] == 2
    shutil.move("val.json", "moved.json")
    run("evaluate", CHECKPOINT, "split=val", "output=out", "data.val.panoptic_json=moved.json")
    assert json.loads(Path("out/scores.json").read_text())["images"] == 2


def test_a_path_that_is_not_given_is_named(capsys: pytest.CaptureFixture) -> None:
    write(Path("own"), label_space("things only"))
    given = ("data.train.image_dir=own/train", "data.train.panoptic_json=own/panoptic_train.json")
    with pytest.raises(SystemExit):
        run("train", *TINY, "data=coco_panoptic", *given)
    assert "data.val.panoptic_json: expected a path, or data.root=FOLDER" in capsys.readouterr().err
    assert not Path("run").exists()


def test_train_and_val_must_have_the_same_categories(capsys: pytest.CaptureFixture) -> None:
    write(Path("own"), label_space("stuff only"))
    path = Path("own/panoptic_val.json")
    content = json.loads(path.read_text())
    content["categories"].reverse()
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        run("train", *TINY, "data=coco_panoptic", "data.root=own")
    assert "data: expected one label space for train and val, category 1 to be" in capsys.readouterr().err
    assert not Path("run").exists()


def test_colors_are_no_part_of_a_category(capsys: pytest.CaptureFixture) -> None:
    categories = label_space("stuff only")
    write(Path("own"), categories)
    run("train", *TINY, "data=coco_panoptic", "data.root=own")
    write(Path("other"), [{**category, "color": [1, 2, 3]} for category in categories])
    run("evaluate", CHECKPOINT, "split=val", "output=out", "data.root=other")
    tiny = [t for t in TINY if not t.startswith(("experiment", "hydra"))]
    start = ("experiment=finetune", "start_from=run/checkpoints/last.ckpt", "hydra.run.dir=second")
    run("train", *start, *tiny, "data=coco_panoptic", "data.root=other")
    assert "reinitialized: nothing" in capsys.readouterr().out
    write(Path("third"), label_space("things only"))
    with pytest.raises(SystemExit):
        run("evaluate", CHECKPOINT, "split=val", "output=out2", "data.root=third")
    assert "expected data with the categories it was trained on, category 1 to be" in capsys.readouterr().err


def test_what_a_loading_process_cannot_read_is_told_in_one_sentence(capsys: pytest.CaptureFixture) -> None:
    write(Path("own"), label_space("stuff only"))
    png = Path("own/panoptic_train/0.png")
    png.write_bytes(png.read_bytes()[:60])
    settings = [t for t in TINY if not t.startswith("data.workers")]
    with pytest.raises(SystemExit) as stop:
        run("train", *settings, "data=coco_panoptic", "data.root=own", "data.workers=1")
    shown = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 1
    assert shown[-1].startswith("panoptic: own/panoptic_train/0.png: expected an image that can be read")
    assert "Traceback" not in "".join(shown)


def test_an_older_checkpoint_is_read(capsys: pytest.CaptureFixture) -> None:
    """One from before epochs had sizes, splits had paths, and samples were kept."""
    write(Path("own"), label_space("stuff only"))
    run("train", *TINY, "data=coco_panoptic", "data.root=own")
    path = Path("run/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    for key in ("epoch_size", "any_orientation", "train", "val", "test", "cache_dir"):
        del content["panoptic"]["config"]["data"][key]
    del content["panoptic"]["config"]["start_from"], content["panoptic"]["started_from"]
    del content["panoptic"]["config"]["trainer"]["sync_batchnorm"]
    torch.save(content, path)
    run("evaluate", CHECKPOINT, "split=val", "output=out")
    run("train", f"resume={path}", "trainer.max_epochs=2")
    assert "epoch 2/2" in capsys.readouterr().out


def test_the_example_goes_from_files_to_predictions() -> None:
    run("train", *TINY, "data=coco_panoptic", f"data.root={NUCLEI}", "data.any_orientation=true")
    run("evaluate", CHECKPOINT, "split=val", "boundaries=false", "output=scores")
    scores = json.loads(Path("scores/scores.json").read_text())
    assert scores["images"] == 16
    assert [category["name"] for category in scores["categories"]] == ["nucleus", "background"]
    run("predict", CHECKPOINT, f"input={NUCLEI}/val/*0.png", "output=predicted", "visualize=false")
    assert {png.name for png in Path("predicted/panoptic").iterdir()} == {p.name for p in NUCLEI.glob("val/*0.png")}


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs the shared fixtures")
def test_a_real_street_photo_trains_two_epochs_and_is_evaluated_at_full_size() -> None:
    for kind in ("leftImg8bit", "gtFine"):
        for split in ("train", "val"):
            shutil.copytree(FIXTURES / "street_photo" / kind / "val", f"street/{kind}/{split}")
    settings = [t for t in TINY if not t.startswith(("trainer.max_epochs", "data.crop"))]
    run("train", *settings, "data=cityscapes", "data.root=street", "data.crop=[128,256]", "trainer.max_epochs=2")
    assert json.loads(Path("run/summary.json").read_text())["epochs"] == 2
    run("evaluate", CHECKPOINT, "split=val", "output=out", "truth=true", "visualize=true")
    with Image.open("out/predictions/dummy_000000_000000.png") as png:
        assert png.size == (800, 800)
    for truth in ("out/truth.json", "out/cityscapes_truth/cityscapes_panoptic_val.json"):
        run("score", f"ground_truth={truth}", f"predictions={truth}", "output=self.json")
        assert json.loads(Path("self.json").read_text())["all"]["pq"] == 1.0
    segments = CityscapesSource("val", root="street").read(0).segments
    listed = json.loads(Path("out/truth.json").read_text())["annotations"][0]["segments_info"]
    assert [s["area"] for s in listed] == segments.areas().tolist()
    assert sum(s["iscrowd"] for s in listed) == 1
