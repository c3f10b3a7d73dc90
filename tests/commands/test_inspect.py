"""``python -m panoptic.inspect``: sound data sets pass with the right numbers, and bad arguments are told."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.analysis.inspection import evenly
from panoptic.analysis.inspection_pictures import contact_sheet
from panoptic.commands.app import command
from panoptic.commands.inspect import inspect
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments
from tests.commands.inspected import JSON, inspected

pytestmark = pytest.mark.usefixtures("data_sets")
NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"
FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"


class TestSound:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_cityscapes(self, workers: str) -> None:
        status, report, faults = inspected("data=cityscapes", "data.root=cityscapes", f"workers={workers}")
        assert (status, faults) == (0, set())
        assert {split: s["images"] for split, s in report["splits"].items()} == {"train": 5, "val": 3, "test": 1}
        assert report["splits"]["train"]["sizes"] == {"128x64": 5}
        with Image.open("out/contact_sheet.png") as sheet, Image.open("out/histograms.png") as histograms:
            assert sheet.size[0] > 256
            assert histograms.size == (1400, 900)

    def test_the_same_numbers_from_each_format(self) -> None:
        reports = []
        for data, root in (
            ("cityscapes", "cityscapes"),
            ("coco_panoptic", "coco_panoptic"),
            ("cityscapes", "panoptic"),
        ):
            status, report, faults = inspected(f"data={data}", f"data.root={root}")
            assert (status, faults) == (0, set())
            reports.append({split: report["splits"][split] for split in ("train", "val")})
        assert reports[0] == reports[1]
        # Where the truth is the panoptic version, categories come in the order of its JSON file.
        for split in ("train", "val"):
            reports[2][split]["per_class"] = dict(sorted(reports[2][split]["per_class"].items()))
            reports[0][split]["per_class"] = dict(sorted(reports[0][split]["per_class"].items()))
        assert reports[0] == reports[2]

    def test_synthetic_scenes_as_they_are_drawn(self) -> None:
        _, written, _ = inspected("data=cityscapes", "data.root=cityscapes")
        size = ("data.height=64", "data.width=128", "data.train_size=5", "data.val_size=3", "data.test_size=1")
        status, drawn, _ = inspected("data=synthetic", *size)
        assert status == 0
        assert drawn["splits"] == written["splits"]

    def test_numbers_by_hand(self) -> None:
        """Two images: a crowd and two things of 1 and 8 pixels on stuff, with 3 pixels of void; stuff alone."""
        pixels = np.array([[1, 1, 1, 1, 2, 0], [3, 3, 3, 3, 4, 0], [3, 3, 3, 3, 4, 0]])
        write_coco(
            {
                "a": (pixels, [(1, 5, 0), (2, 9, 0), (3, 9, 0), (4, 9, 1)]),
                "b": (np.ones((3, 6)), [(1, 5, 0)]),
            }
        )
        status, report, _ = inspected("data=coco_panoptic", "data.root=own", "splits=[val]")
        assert (status, report["notes"]) == (0, [])
        split = report["splits"]["val"]
        assert split["sizes"] == {"6x3": 2}
        assert split["void_pixels"] == pytest.approx(3 / 36)
        assert split["thing_area"] == {"min": 1, "median": 4.5, "mean": 4.5, "max": 8}
        assert split["object_density"]["max"] == pytest.approx(math.log1p(2 * 256**2 / 18))
        assert split["object_density"]["min"] == 0
        assert split["scale_variance"]["max"] == pytest.approx((math.log(8) / 2) ** 2)
        car = {"thing": True, "segments": 3, "crowd": 1, "images": 1, "pixels": pytest.approx(11 / 36)}
        road = {"thing": False, "segments": 2, "crowd": 0, "images": 2, "pixels": pytest.approx(22 / 36)}
        assert split["per_class"] == {"road": road, "car": car}

    @pytest.mark.parametrize(
        ("data", "root", "images", "segments", "crowd"),
        [
            ("coco_panoptic", FIXTURES / "coco_photos", 2, 50, 3),
            ("coco_panoptic", NUCLEI, 64, 1816 + 64, 0),
            ("cityscapes", FIXTURES / "street_photo", 1, 10, 1),
        ],
    )
    def test_real_data_sets_pass(self, data: str, root: Path, images: int, segments: int, crowd: int) -> None:
        if not root.is_dir():
            pytest.skip(f"{root.name} may not be part of the project")
        splits = "splits=[val]" if root.name == "street_photo" else "splits=null"
        status, report, faults = inspected(f"data={data}", f"data.root={root}", splits)
        assert (status, faults) == (0, set())
        assert sum(split["images"] for split in report["splits"].values()) == images
        for what, count in (("segments", segments), ("crowd", crowd)):
            per_class = [c for split in report["splits"].values() for c in split["per_class"].values()]
            assert sum(entry[what] for entry in per_class) == count


def write_coco(images: dict[str, tuple[np.ndarray, list[tuple[int, int, int]]]]) -> None:
    """A data set in the folder ``own``: PNG numbers and (id, category, iscrowd) of the segments of each image."""
    for folder in ("own/val", "own/panoptic_val"):
        Path(folder).mkdir(parents=True)
    content = {
        "images": [{"id": name, "file_name": f"{name}.png"} for name in images],
        "annotations": [],
        "categories": [
            {"id": 5, "name": "road", "isthing": 0, "color": [9, 9, 9]},
            {"id": 9, "name": "car", "isthing": 1, "color": [200, 9, 9]},
        ],
    }
    for position, (name, (numbers, segments)) in enumerate(images.items()):
        Image.new("RGB", numbers.shape[::-1], (position, 2, 3)).save(f"own/val/{name}.png")
        color = np.stack([numbers, np.zeros_like(numbers), np.zeros_like(numbers)], -1).astype(np.uint8)
        Image.fromarray(color).save(f"own/panoptic_val/{name}.png")
        infos = [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in segments]
        content["annotations"].append({"image_id": name, "file_name": f"{name}.png", "segments_info": infos})
    Path("own/panoptic_val.json").write_text(json.dumps(content))


def test_train_ids_are_the_same_categories() -> None:
    conversion = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    conversion.convert2panoptic("cityscapes/gtFine", "cityscapes/gtFine", True, ["val"])
    for png in Path("cityscapes/gtFine/val").rglob("*Ids.png"):
        png.unlink()
    _, plain, _ = inspected("data=cityscapes", "data.root=panoptic")
    status, report, faults = inspected("data=cityscapes", "data.root=cityscapes")
    assert (status, faults) == (0, set())
    assert report["splits"]["val"] == plain["splits"]["val"]


def test_folders_of_images_without_a_test_split() -> None:
    for split in ("train", "val"):
        shutil.copytree(f"coco_panoptic/{split}", f"own/images/{split}")
        shutil.copytree(f"coco_panoptic/panoptic_{split}", f"own/annotations/panoptic_{split}")
        shutil.copy(f"coco_panoptic/panoptic_{split}.json", "own/annotations")
    status, report, faults = inspected("data=coco_panoptic", "data.root=own")
    assert (status, faults) == (0, set())
    assert list(report["splits"]) == ["train", "val"]
    Path("own/images/test").mkdir()  # images alone are a test split whose truth is withheld
    Image.new("RGB", (128, 64)).save("own/images/test/a.png")
    status, report, _ = inspected("data=coco_panoptic", "data.root=own")
    assert (status, report["splits"]["test"]["images"]) == (0, 1)


@pytest.mark.parametrize("given", [True, False])
def test_coco_instances_are_told_as_such(given: bool) -> None:
    objects = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4]], "iscrowd": 0}]
    images = [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}]
    for folder in ("annotations", "train2017"):
        Path("own", folder).mkdir(parents=True)
    file = Path("own/annotations/instances_train2017.json")
    file.write_text(json.dumps({"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cell"}]}))
    with pytest.raises(InputError) as told:
        CocoPanopticSource("train", root="own", panoptic_json="annotations/instances_train2017.json" if given else None)
    assert "COCO instances" in str(told.value)
    source = file if given else "own"
    assert f"python -m panoptic.convert format=coco_instances input={source} output=DIR converts" in str(told.value)


def test_one_json_file_for_all_splits_is_inspected_once() -> None:
    root = Path("one")
    shutil.copytree("coco_panoptic/train", root / "images")
    shutil.copytree("coco_panoptic/panoptic_train", root / "panoptic")
    shutil.copy(JSON, root / "panoptic.json")
    status, report, _ = inspected("data=coco_panoptic", "data.root=one")
    assert (status, [s["images"] for s in report["splits"].values()]) == (0, [5])
    assert report["notes"] == ["the same files serve train, val, test"]


def test_withheld_truth_is_no_fault() -> None:
    shutil.rmtree("cityscapes/gtFine/test")
    shutil.copytree("coco_panoptic/val", "coco_panoptic/test")
    for image in Path("coco_panoptic/test").iterdir():
        with Image.open(image) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    for kind in ("cityscapes", "coco_panoptic"):
        status, report, _ = inspected(f"data={kind}", f"data.root={kind}")
        assert status == 0
        assert report["splits"]["test"]["with_truth"] == 0


BAD = {
    "no data": ((), "data: expected a data set (data=coco_panoptic"),
    "no root": (("data=cityscapes",), "data.root: expected a folder, got none"),
    "nothing there": (("data=coco_panoptic", "data.root=nowhere"), "nowhere: expected a folder"),
    "unknown kind": (("data=cityscapes", "data.root=cityscapes", "ignore=[dust]"), "ignore: expected kinds of faults"),
    "unknown split": (("data=cityscapes", "data.root=cityscapes", "splits=[dev]"), "splits: expected some of train"),
    "negative sheet": (("data=cityscapes", "data.root=cityscapes", "sheet=-1"), "sheet: expected at least 0"),
    "output in a file": (("data=cityscapes", "data.root=cityscapes", "output=file/x"), "output=file/x"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, said = BAD[case]
    Path("file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        command("inspect", inspect, arguments)
    shown = capsys.readouterr().err
    assert (stop.value.code, len(shown.strip().splitlines())) == (1, 1)
    assert said in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_the_contact_sheet_is_a_grid() -> None:
    pictures = [(f"a picture with a long name {i}" * 3, np.full((20 + i, 30, 3), i, np.uint8)) for i in range(5)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (21 + 30 + 23 + 30 + 24 + 30, 76, 3)
    assert (sheet[22:43, 38:68] == 1).all()
    assert (sheet[22 + 51 : 22 + 51 + 22, :30] == 2).all()


def test_evenly_spread() -> None:
    assert evenly(5, 10) == [0, 1, 2, 3, 4]
    assert evenly(10, 4) == [0, 3, 6, 9]
    assert evenly(0, 4) == evenly(7, 0) == []


def test_images_with_more_things_than_are_looked_for_are_noted() -> None:
    labels = LabelSpace((Category("cell", 1, True, (9, 9, 9)),))
    for split, most in (("train", 400), ("val", 200)):
        ids = torch.arange(1, 401, dtype=torch.int32).clamp(max=most).view(20, 20)
        ids = ids.repeat_interleave(2, 0).repeat_interleave(2, 1)
        with CocoPanopticWriter("cells", labels, name=f"panoptic_{split}") as writer:
            classes = torch.zeros(most, dtype=torch.int64)
            writer.add("a", Segments(ids, classes, classes.bool()), image_id=1)
        Path("cells", split).mkdir()
        pixels = np.random.default_rng(most).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(f"cells/{split}/a.png")
    status, report, _ = inspected("data=coco_panoptic", "data.root=cells")
    assert status == 0
    assert [note for note in report["notes"] if "things" in note] == [
        "train: an image holds 400 things, more than the 200 that an image can have by default; train with "
        "codec.max_things=800"
    ]


def test_what_images_have_beside_three_bands_is_noted(capsys: pytest.CaptureFixture) -> None:
    labels = LabelSpace((Category("cell", 1, True, (9, 9, 9)),))
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = np.random.default_rng(0).integers(1280, 1920, (2, 20, 20)).astype(np.uint16)
    for split in ("train", "val"):
        ids = torch.zeros(20, 20, dtype=torch.int32)
        ids[:5, :5] = 1
        classes = torch.zeros(1, dtype=torch.int64)
        Path("dim", split).mkdir(parents=True)
        with CocoPanopticWriter("dim", labels, name=f"panoptic_{split}") as writer:
            for name in ("a", "b"):
                writer.add(name, Segments(ids, classes, classes.bool()), image_id=name)
    Image.fromarray(pixels[0]).save("dim/train/a.png")
    Image.fromarray(pixels[0].T.copy()).save("dim/train/b.png", exif=exif)
    for position, name in enumerate("ab"):
        Image.new("RGB", (20, 20), (position, 0, 0)).save(f"dim/val/{name}.png")
    status, report, _ = inspected("data=coco_panoptic", "data.root=dim")
    assert status == 0
    notes = [note for note in report["notes"] if note.startswith("train")]
    assert [note.split(":")[1].split(" their")[0] for note in notes] == [
        " 2 images have 16 bits and use less than a quarter of",
        " 1 images are turned by",
        " cell is the only category, and the rest is void, of which nothing is learned",
    ]
    assert notes[1].endswith("likewise: 'b.png'")
    status, report, _ = inspected("data=coco_panoptic", "data.root=dim", "data.normalize=percentile")
    assert status == 0
    assert not any("16 bits" in note for note in report["notes"])
    capsys.readouterr()
    status, report, _ = inspected("data=own", "data.root=dim")  # as training would read it
    assert status == 0
    assert not any("16 bits" in note for note in report["notes"])
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "data.normalize=percentile: images use 1% of the range of their numbers, less than 50%"


def test_stuff_in_pieces_and_no_truth_are_noted(capsys: pytest.CaptureFixture) -> None:
    labels = LabelSpace((Category("car", 1, False, (9, 9, 9)), Category("road", 2, False, (1, 1, 1))))
    for split in ("train", "val"):
        ids = torch.ones(20, 20, dtype=torch.int32)
        ids[:4], ids[8:12] = 2, 3
        classes = torch.tensor([1, 0, 0] if split == "train" else [1, 0, 1])
        Path("flat", split).mkdir(parents=True)
        with CocoPanopticWriter("flat", labels, name=f"panoptic_{split}") as writer:
            writer.add("a", Segments(ids, classes, torch.zeros(3, dtype=torch.bool)), image_id=1)
        pixels = np.random.default_rng(len(split)).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(f"flat/{split}/a.png")
    content = json.loads(Path("flat/panoptic_val.json").read_text())
    assert len(content["annotations"][0]["segments_info"]) == 3
    status, report, _ = inspected("data=coco_panoptic", "data.root=flat")
    assert status == 0
    assert [note.split(";")[0] for note in report["notes"] if "several" in note] == [
        "train: stuff with several segments in one image, which are one in a prediction: 'car'",
        "val: stuff with several segments in one image, which are one in a prediction: 'road'",
    ]
    for split in ("train", "val"):  # no truth that can be read, and nothing said of it
        Path(f"flat/panoptic_{split}/a.png").write_text("no picture")
    capsys.readouterr()
    status, report, _ = inspected("data=coco_panoptic", "data.root=flat")
    assert status == 1
    told = "".join(capsys.readouterr())
    assert "artists" not in told
    assert "void" not in told
