"""Every fault of a data set in COCO panoptic format has its sentence."""

from __future__ import annotations

import pytest
from PIL import Image

from panoptic.data import CocoPanopticData
from panoptic.data.checks.coco import CocoExaminer
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.errors import InputError
from tests.data.coco.made_files import write_image


def at(content, path):
    for step in path:
        content = content[step]
    return content


def set(*path, value):
    return lambda content: at(content, path[:-1]).__setitem__(path[-1], value)


def append(*path, value):
    return lambda content: at(content, path).append(value)


INFO = ("annotations", 0, "segments_info")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "expected 'annotations' to be a list"),
        (lambda c: c.pop("images"), "expected 'images' to be a list"),
        (lambda c: c.pop("categories"), "expected 'categories' to be a list"),
        (set("categories", 0, value={"id": 1}), "categories: .*'name'"),
        (set("categories", 0, value="car"), "categories: "),
        (set("images", value=[]), "images: expected distinct ids, got none"),
        (lambda c: c["images"].append(c["images"][0]), "images: expected distinct ids, got twice 5"),
        (set("images", 0, "id", value=1.5), "expected 'id' to be a whole number or text"),
        (set("images", 0, "height", value="2"), "expected 'height' to be a whole number"),
        (lambda c: c["images"].append({"id": "6", "file_name": "b.png"}), "got none for '6'"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "got more for 5"),
        (set("annotations", 0, "image_id", value=9), "image_id that is in 'images', got 9"),
        (set("annotations", 0, "file_name", value=None), "expected 'file_name' to be text"),
        (set(*INFO, 0, "category_id", value=4), "image_id 5: segment 70000: expected a category_id .* got 4"),
        (set(*INFO, 0, "category_id", value=True), "expected 'category_id' to be a whole number"),
        (set(*INFO, 0, "id", value=0), "segment ids of 1 to 16777215, got 0"),
        (set(*INFO, 0, "id", value=255), "distinct segment ids, got twice 255"),
        (append(*INFO, value=3), "expected an object with 'id', got 3"),
    ],
)
def test_faults_in_the_json_file(dataset, content, change, message):
    change(content)
    with pytest.raises(InputError, match=rf"panoptic_val\.json: .*{message}"):
        CocoPanopticSource("val", root=dataset(content))


def test_stuff_listed_again_with_its_category_is_one_segment(dataset, content):
    segments = CocoPanopticSource("val", root=dataset(content)).read(0).segments
    again = {"id": 70000, "category_id": 7, "area": 1}
    content["annotations"][0]["segments_info"] += [again, {"id": 70000, "category_id": 7, "bbox": [1, 0, 1, 1]}]
    root = dataset(content)
    found = CocoPanopticSource("val", root=root).read(0).segments
    assert found.ids.equal(segments.ids)
    assert found.classes.equal(segments.classes)
    assert not CocoExaminer("val", root=root).faults
    again["category_id"] = 3  # of another category, it is a fault
    with pytest.raises(InputError, match="distinct segment ids, got twice 70000"):
        CocoPanopticSource("val", root=dataset(content))


def test_images_without_an_annotation_can_be_left_out(dataset, content):
    content["images"].insert(0, {"id": "6", "file_name": "none.png"})
    root = dataset(content)
    with pytest.raises(InputError, match=r"got none for '6'; data\.unannotated=skip leaves such images out"):
        CocoPanopticSource("val", root=root)
    source = CocoPanopticSource("val", root=root, skip_unannotated=True)
    assert list(source.image_ids) == [5]
    assert source.read(0).segments is not None
    examiner = CocoExaminer("val", root=root, skip_unannotated=True)
    assert len(examiner) == 1
    assert any("1 images without an annotation are left out" in note for note in examiner.notes)
    assert not examiner.faults
    assert [fault.kind for fault in CocoExaminer("val", root=root).faults] == ["missing"]
    with pytest.raises(InputError, match=r"data\.unannotated: expected error or skip, got 'maybe'"):
        CocoPanopticData(str(root), unannotated="maybe", batch_size=1, crop=(32, 32), scale=(1.0, 1.0))


def test_sizes_that_exif_swaps_are_named_so(dataset, content):
    del content["images"][0]["height"], content["images"][0]["width"]
    root = dataset(content)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3, 2)).save(root / "val" / "a.png", exif=exif)
    with pytest.raises(InputError, match=r"expected the height and width of .*, \(3, 2\), got \(2, 3\) \(.*EXIF"):
        CocoPanopticSource("val", root=root).read(0)
    (fault,) = CocoExaminer("val", root=root).examine(0).faults
    assert "its EXIF data" in fault.what
    content["images"][0] |= {"height": 2, "width": 3}
    dataset(content)
    Image.new("RGB", (3, 2)).save(root / "val" / "a.png", exif=exif)
    with pytest.raises(InputError, match=r"expected height and width \(2, 3\) .* got \(3, 2\) \(.*EXIF"):
        CocoPanopticSource("val", root=root).read(0)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_invalid_json(dataset, text):
    root = dataset()
    (root / "panoptic_val.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"panoptic_val\.json: expected"):
        CocoPanopticSource("val", root=root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0]["segments_info"].pop(), r"panoptic_val/a\.png: .*got others: 255"),
        (append(*INFO, value={"id": 8, "category_id": 3}), r"panoptic_val/a\.png: .*got no pixel of 8"),
        (set("images", 0, "height", value=3), r"val/a\.png: expected height and width \(3, 3\).*got \(2, 3\)"),
        (set("images", 0, "file_name", value="b.png"), r"val/b\.png: .*not there"),
        (set("annotations", 0, "file_name", value="b.png"), r"panoptic_val/b\.png: .*not there"),
    ],
)
def test_faults_between_the_files(dataset, content, change, message):
    change(content)
    source = CocoPanopticSource("val", root=dataset(content))
    with pytest.raises(InputError, match=message):
        source.read(0)


def test_png_of_another_size_or_kind(dataset, content):
    del content["images"][0]["height"], content["images"][0]["width"]
    root = dataset(content)
    source = CocoPanopticSource("val", root=root)
    write_image(root / "val" / "a.png", 2, 4)
    with pytest.raises(InputError, match=r"panoptic_val/a\.png: .*val/a\.png, \(2, 4\), got \(2, 3\)"):
        source.read(0)
    Image.new("L", (4, 2)).save(root / "panoptic_val" / "a.png")
    with pytest.raises(InputError, match=r"panoptic_val/a\.png: expected a PNG with 8-bit RGB"):
        source.read(0)


def test_missing_folders(dataset, tmp_path):
    with pytest.raises(InputError, match=r"data\.root.*data=synthetic"):
        CocoPanopticSource("val")
    with pytest.raises(InputError, match="nowhere: expected a folder"):
        CocoPanopticSource("val", root=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"none\.json: expected a JSON file"):
        CocoPanopticSource("val", panoptic_json=tmp_path / "none.json")
    dataset(image_folder="elsewhere")
    with pytest.raises(InputError, match="folder with the images of split 'val'"):
        CocoPanopticSource("val", root=tmp_path)
    with pytest.raises(InputError, match="missing: expected a folder with images"):
        CocoPanopticSource("val", root=tmp_path, image_dir="missing")
    with pytest.raises(InputError, match="missing: expected a folder with the PNG files"):
        CocoPanopticSource("val", root=tmp_path, image_dir="elsewhere", panoptic_dir="missing")
