"""Settings sized by the data: by hand, on the data they were found with, and what the user gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.config.composing import with_hydra
from panoptic.data import SyntheticData
from panoptic.data.bands import Reading
from panoptic.data.coco.statistics import read_statistics
from panoptic.data.statistics import DataStatistics
from panoptic.training.recipe import open_keys, recipe, size_by_data, sized_by_data, table

NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"
STREET = DataStatistics(367, [(360, 480)] * 367, np.geomspace(4, 110, 3000), categories=11)
WEIGHTS = ["loss.center", "loss.offset", "loss.complexity"]


def values(statistics: DataStatistics, **given) -> dict[str, object]:
    return {key: choice.value for key, choice in recipe(statistics, **given).items()}


def composed(*overrides: str):
    from hydra import compose

    with with_hydra():
        return compose("train", ["experiment=own", *overrides])


def test_street_photos_get_what_was_found_with_them() -> None:
    assert values(STREET) == {
        "data.crop": [352, 480],
        "data.scale": [0.75, 1.5],
        "data.epoch_size": 1000,
        "trainer.max_epochs": 4,
        "codec.max_things": 200,
        "data.normalize": "range",
        "loss.center": 0.125,
        "loss.offset": 0.05,
        "loss.complexity": 0.025,
    }
    assert values(STREET, batch_size=8)["data.epoch_size"] == 2000  # 1000 steps of eight


def test_nuclei_get_about_what_the_quick_experiment_has() -> None:
    """Crops of 128 x 256, their own scale, 1560 steps of four."""
    found = read_statistics(NUCLEI / "panoptic_train.json", None)
    assert (found.images, set(found.sizes), len(found.thing_sides)) == (48, {(256, 256)}, 1359)
    assert found.categories == 2
    chosen = values(found)
    height, width = chosen["data.crop"]
    assert 0.7 < height * width / (128 * 256) < 1.3
    assert chosen["data.scale"] == [1.0, 1.0]
    assert 1400 <= chosen["data.epoch_size"] * chosen["trainer.max_epochs"] / 4 <= 1700
    assert [chosen[key] for key in WEIGHTS] == [0.5, 0.2, 0.1]


@pytest.mark.parametrize(
    ("size", "sides", "crop"),
    [
        ((360, 480), [], [352, 480]),
        ((1024, 2048), [300], [512, 1024]),  # half a million pixels
        ((20, 500), [100], [32, 480]),  # no less than a cell of the coarsest level
        ((600, 600), [20], [160, 160]),  # eight things side by side
        ((600, 100), [20], [160, 96]),
    ],
)
def test_the_crop_shows_large_things_and_fits(size, sides, crop) -> None:
    assert values(DataStatistics(1, [size], np.array(sides, np.float64)))["data.crop"] == crop


def test_more_images_and_small_crops_take_more_steps() -> None:
    def steps(images: int, crop: list[int]) -> float:
        return values(DataStatistics(images, [(360, 480)]), crop=crop)["data.epoch_size"]

    assert steps(10, [352, 480]) == steps(367, [352, 480]) == 1000
    assert steps(4 * 367, [352, 480]) == 2000
    assert steps(367, [256, 352]) == pytest.approx(1000 * (352 * 480 / (256 * 352)) ** 0.5, rel=0.01)
    assert steps(367, [32, 32]) == 1600
    assert steps(10**9, [352, 480]) == 20_000


@pytest.mark.parametrize(("most", "limit"), [(0, 200), (100, 200), (101, 202), (484, 968)])
def test_twice_as_many_things_are_looked_for_as_an_image_holds(most: int, limit: int) -> None:
    assert values(DataStatistics(1, [(320, 320)], np.zeros(0), most))["codec.max_things"] == limit


@pytest.mark.parametrize(
    ("categories", "center", "reason"),
    [
        (0, 0.125, "the number of categories is not known: shared layers serve classes more"),
        (1, 0.5, "one category: instances are the harder part"),
        (2, 0.5, "2 categories: instances are the harder part"),
        (3, 0.125, "3 categories, more than 2: shared layers serve classes more"),
    ],
)
def test_instances_weigh_less_where_there_are_classes_to_tell_apart(
    categories: int, center: float, reason: str
) -> None:
    chosen = recipe(DataStatistics(1, [(64, 64)], categories=categories))
    assert chosen["loss.center"] == (center, reason)
    assert [chosen[key].value for key in WEIGHTS] == pytest.approx([center, 0.4 * center, 0.2 * center])


@pytest.mark.parametrize(
    ("used", "choice"),
    [
        ([0.1, 0.49, 0.9], ("percentile", "images use 49% of the range of their numbers, less than 50%")),
        ([0.1, 0.5, 0.9], ("range", "images use 50% of the range of their numbers")),
        ([0.9, None, 0.9], ("percentile", "numbers of images are other than whole ones of 8 or 16 bits")),
        ([], ("range", "the range that images use is not known")),
    ],
)
def test_images_that_use_less_than_half_of_their_range_are_stretched(used: list[float], choice: tuple) -> None:
    assert recipe(DataStatistics(1, [(64, 64)], used_ranges=used))["data.normalize"] == choice


def test_the_range_is_that_of_images_spread_over_the_split(tmp_path: Path) -> None:
    """Of 31, every second is read; those that cannot be are passed over."""
    for number in range(31):
        Image.fromarray(np.repeat(np.uint8([[0, number]]), 2, 0)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "04.png").write_text("no image")
    images = [{"id": n, "file_name": f"{n:02}.png", "height": 2, "width": 2} for n in range(31)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "a", "isthing": 0}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_statistics(tmp_path / "a.json", tmp_path).used_ranges == []
    found = read_statistics(tmp_path / "a.json", tmp_path, Reading())
    # Percentiles 1 and 99.8 of two zeros and two others: 0 and the other.
    assert found.used_ranges == pytest.approx([n / 255 for n in range(0, 31, 2) if n != 4])


def test_what_is_not_known_is_left_as_it_was_found() -> None:
    chosen = recipe(DataStatistics(367, []))
    assert chosen["data.crop"] == ([352, 480], "sizes of the images are not known")
    assert chosen["data.scale"] == ([0.75, 1.5], "sizes of things are not known")


def test_what_is_given_stays() -> None:
    config = composed("data.crop=[64,96]", "trainer.max_epochs=2")
    keys = ["data.scale", "data.epoch_size", "codec.max_things", "data.normalize", *WEIGHTS]
    assert open_keys(config) == keys
    sized, chosen = size_by_data(config, STREET)
    assert list(chosen) == keys
    assert (sized.data.crop, sized.trainer.max_epochs) == ([64, 96], 2)
    assert sized.data.epoch_size * 2 / 4 == 1600  # steps in all, whatever the number of epochs
    given = ("data.crop=[64,96]", "trainer.max_epochs=2", "data.scale=[1,1]")
    assert open_keys(composed(*given)) == ["codec.max_things", "data.normalize", *WEIGHTS]
    given += ("codec.max_things=50", "loss.center=1", "loss.complexity=0")
    assert open_keys(composed(*given, "data.normalize=range")) == ["loss.offset"]
    assert open_keys(composed(*given, "loss.offset=0", "data=cityscapes")) == []  # which has no data.normalize
    assert config.data.scale is None  # the original is as it was
    assert open_keys(sized) == []

    config = composed("data.epoch_size=40")
    others = ["data.crop", "data.scale", "trainer.max_epochs", "codec.max_things", "data.normalize", *WEIGHTS]
    assert open_keys(config) == others
    assert size_by_data(config, STREET)[0].data.epoch_size == 40


def test_a_data_set_is_looked_at_and_told_of(capsys: pytest.CaptureFixture) -> None:
    sized = sized_by_data(composed(f"data.root={NUCLEI}"))
    assert (sized.data.crop, sized.data.scale, sized.data.epoch_size) == ([160, 160], [1.0, 1.0], 1600)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "chosen by the data:"
    assert lines[1] == "  data.crop=[160,160]        images of 256x256, eight times the side of large things, 22"
    assert lines[5] == "  codec.max_things=200       an image holds up to 82 things"
    assert lines[6] == "  data.normalize=percentile  images use 35% of the range of their numbers, less than 50%"
    assert lines[7] == "  loss.center=0.5            2 categories: instances are the harder part"
    assert len(lines) == 10
    again = sized_by_data(sized)
    assert again is sized
    assert capsys.readouterr().out == ""


def test_synthetic_scenes_are_sized_by_some_of_them() -> None:
    sizes = {"height": 64, "width": 96, "train_size": 20, "val_size": 1, "test_size": 1}
    found = SyntheticData(0, **sizes, batch_size=1, crop=[32, 32], scale=[1.0, 1.0]).statistics()
    assert (found.images, found.sizes, found.categories) == (20, [(64, 96)] * 8, 19)
    assert len(found.thing_sides) > 8
    assert 1 <= found.thing_sides.min() < found.thing_sides.max() < 96


def test_boxes_and_headers_stand_in_for_what_a_file_lacks(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [
            {
                "image_id": 1,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 1, "category_id": 1, "area": 16},
                    {"id": 2, "category_id": 1, "bbox": [0, 0, 5, 5]},
                    {"id": 3, "category_id": 1},  # neither
                    {"id": 4, "category_id": 1, "area": 100, "iscrowd": 1},
                    {"id": 5, "category_id": 2, "area": 100},  # stuff
                ],
            }
        ],
        "categories": [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0}],
    }
    (tmp_path / "panoptic_train.json").write_text(json.dumps(content))
    found = read_statistics(tmp_path / "panoptic_train.json", tmp_path)
    assert (found.images, found.sizes, found.thing_sides.tolist()) == (1, [(20, 30)], [4.0, 5.0])


def test_the_table_lines_up() -> None:
    text = table({"a": recipe(STREET)["data.crop"], "longer": recipe(STREET)["trainer.max_epochs"]})
    assert text.splitlines()[1:] == [
        "  a=[352,480]  images of 360x480",
        "  longer=4     validations take little of the time",
    ]
