"""Images of many bands and depths: which numbers become which colors, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic.data.bands import Reading, read_bands, remarks
from panoptic.data.images import read_image
from panoptic.errors import InputError
from panoptic.utils.pictures import by_percentiles

tifffile = pytest.importorskip("tifffile")


def numbers(*shape: int, dtype: str = "uint8", low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


def written(path: Path, values: np.ndarray, **options) -> Path:
    tifffile.imwrite(path, values, **options)
    return path


@pytest.mark.parametrize("extra", [None, "unspecified", "unassalpha"])
def test_a_fourth_band_is_no_transparency(tmp_path, extra):
    values = numbers(5, 7, 4)
    options = {} if extra is None else {"extrasamples": [extra]}
    path = written(tmp_path / "a.tif", values, photometric="rgb", **options)
    np.testing.assert_array_equal(Reading().read(path), values[..., :3])
    np.testing.assert_array_equal(Reading((4, 1, 2)).read(path), values[..., [3, 0, 1]])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_are_chosen_by_number(tmp_path, planar):
    values = numbers(5, 7, 8, dtype="uint16", high=65536)
    stored = values if planar == "contig" else np.moveaxis(values, 2, 0)
    path = written(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar)
    np.testing.assert_array_equal(read_bands(path).values, values)
    expected = np.round(values[..., [4, 2, 0]] / 257).astype(np.uint8)
    np.testing.assert_array_equal(Reading((5, 3, 1)).read(path), expected)
    np.testing.assert_array_equal(Reading((8,)).read(path), np.repeat(np.round(values[..., 7:] / 257), 3, 2))
    with pytest.raises(InputError, match=r"a\.tif: expected one band or three, got 8 bands of uint16; data\.chan"):
        Reading().read(path)
    with pytest.raises(InputError, match=r"a\.tif: expected bands \[9\] \(data\.channels\), got an image of 8"):
        Reading((9,)).read(path)


def test_any_number_of_bands_is_taken_as_it_is(tmp_path):
    values = numbers(5, 7, 8)
    path = written(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    for channels in ((2, 1), (8, 1, 2, 4), tuple(range(1, 9)), (5,) * 64):
        reading = Reading(channels)
        np.testing.assert_array_equal(reading.read(path), values[..., [number - 1 for number in channels]])
        assert reading.bands == len(channels)
    assert Reading().bands == Reading((4,)).bands == Reading((1, 2, 3)).bands == 3
    for channels in ((), (0,), (1, 2, 0), (1,) * 65):
        with pytest.raises(InputError, match=r"data\.channels: expected 1 to 64 band numbers from 1, got \["):
            Reading(channels)


def test_two_bands_and_pages_are_not_silently_one(tmp_path):
    two = written(tmp_path / "two.tif", numbers(5, 7, 2), photometric="minisblack", planarconfig="contig")
    stack = written(tmp_path / "stack.tif", numbers(5, 6, 7), photometric="minisblack")
    for path, count in ((two, 2), (stack, 5)):
        with pytest.raises(InputError, match=f"got {count} bands of uint8"):
            Reading().read(path)
    np.testing.assert_array_equal(Reading((3, 2, 1)).read(stack), np.moveaxis(numbers(5, 6, 7)[[2, 1, 0]], 0, 2))


def test_smaller_versions_in_a_file_are_no_bands(tmp_path):
    values = numbers(8, 8, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values, photometric="rgb")
        file.write(values[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(Reading().read(tmp_path / "a.tif"), values)


def test_percentiles_use_the_range_that_is_there(tmp_path):
    values = numbers(50, 50, dtype="uint16", low=1280, high=1920)
    path = written(tmp_path / "a.tif", values)
    assert len(np.unique(Reading().read(path))) <= 4  # of 12 bits in 16, hardly anything is left in 8
    scaled = Reading(normalize="percentile").read(path)
    low, high = np.percentile(values, (1.0, 99.8))
    expected = np.round(np.clip((values - low) / (high - low), 0, 1) * 255)
    np.testing.assert_array_equal(scaled, np.repeat(expected[..., None], 3, 2))
    assert (scaled.min(), scaled.max()) == (0, 255)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (40, 50)])
@pytest.mark.parametrize(("dtype", "high"), [("uint8", 256), ("uint8", 3), ("uint8", 1), ("uint16", 65536)])
def test_percentiles_of_whole_numbers_are_those_of_numpy(size, dtype, high):
    """They are found by a histogram and a table."""
    bands = numbers(*size, 3, dtype=dtype, high=high)
    np.testing.assert_array_equal(by_percentiles(bands), by_percentiles(bands.astype(np.float64)))
    scaled = by_percentiles(bands)
    if min(size) > 10:  # of fewer, the percentiles lie between the outermost two
        np.testing.assert_array_equal(by_percentiles(scaled), scaled)


def test_images_from_elsewhere_are_scaled_as_files_are(tmp_path):
    bands = numbers(40, 50, 3, high=60)
    path = written(tmp_path / "a.tif", bands, photometric="rgb")
    reading = Reading(normalize="percentile")
    np.testing.assert_array_equal(reading.scaled(bands), reading.read(path))
    assert reading.scaled(bands).max() == 255
    assert Reading().scaled(bands) is bands


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.uint8([[0, 102]]), 102 / 255),
        (np.uint16([[1000, 1000 + 13107]]), 0.2),
        (np.int32([[0, 65535]]), 1.0),
        (np.uint8([[7, 7]]), 0.0),
        (np.float32([[0, 255]]), None),  # such numbers have no range
        (np.int16([[-1, 255]]), None),
        (np.uint32([[0, 65536]]), None),
    ],
)
def test_the_range_that_an_image_uses(tmp_path, values, expected):
    path = written(tmp_path / "a.tif", np.repeat(np.repeat(values, 40, 0), 20, 1))
    assert Reading().used_range(path) == (None if expected is None else pytest.approx(expected))


def test_the_range_is_that_of_the_widest_band_that_is_taken(tmp_path):
    values = np.zeros((1100, 30, 3), np.uint8)  # thinned out to every third pixel
    values[:550] = 10, 51, 255
    path = written(tmp_path / "a.tif", values, photometric="rgb")
    assert [Reading(channels).used_range(path) for channels in (None, (1, 2), (1,))] == [1.0, 51 / 255, 10 / 255]
    with pytest.raises(InputError, match=r"a\.tif: expected bands \[4\]"):
        Reading((4,)).used_range(path)


def test_each_band_has_percentiles_of_its_own(tmp_path):
    values = np.stack([numbers(40, 40), numbers(40, 40) // 16, np.full((40, 40), 9)], 2).astype("uint16")
    path = written(tmp_path / "a.tif", values, photometric="rgb")
    scaled = Reading(normalize="percentile").read(path)
    assert [scaled[..., band].max() for band in range(3)] == [255, 255, 0]  # nothing is made of a constant one


def test_floating_point_and_negative_numbers_need_percentiles(tmp_path):
    values = np.linspace(-1, 1, 500, dtype=np.float32).reshape(20, 25)
    values[0, 0] = np.nan
    path = written(tmp_path / "a.tif", values)
    with pytest.raises(InputError, match=r"a\.tif: expected whole numbers of 8 or 16 bits, got float32.*=percentile"):
        Reading().read(path)
    scaled = Reading(normalize="percentile").read(path)[..., 0]
    assert scaled[0, 0] == 0  # unknown
    assert scaled[-1, -1] == 255
    assert (np.diff(scaled.ravel()[1:].astype(int)) >= 0).all()
    negative = written(tmp_path / "b.tif", numbers(4, 4, dtype="int16", low=-9, high=9))
    assert Reading(normalize="percentile").read(negative).dtype == np.uint8


def test_other_formats_keep_their_depth(tmp_path):
    values = numbers(9, 9, 3, dtype="uint16", low=300, high=900)
    cv2.imwrite(str(tmp_path / "a.png"), values[..., ::-1])
    read, is_color = read_bands(tmp_path / "a.png")
    np.testing.assert_array_equal(read, values)
    assert is_color
    Image.fromarray(values[..., 0]).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_bands(tmp_path / "gray.png").values[..., 0], values[..., 0])
    Image.fromarray(numbers(9, 9, 3)).save(tmp_path / "b.png")
    np.testing.assert_array_equal(Reading((3, 3, 1)).read(tmp_path / "b.png"), numbers(9, 9, 3)[..., [2, 2, 0]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_are_turned_as_photos_are(tmp_path, orientation):
    values = numbers(4, 6, 3)
    tags = [(274, "H", 1, orientation, True)]
    photo = written(tmp_path / "photo.tif", values, photometric="rgb", extratags=tags)
    bands = np.concatenate([values, values[..., :1]], 2)
    many = written(tmp_path / "many.tif", bands, photometric="minisblack", planarconfig="contig", extratags=tags)
    np.testing.assert_array_equal(Reading((1, 2, 3)).read(many), read_image(photo))


def test_ordinary_files_are_read_as_before(tmp_path):
    Image.fromarray(numbers(9, 9, 3)).save(tmp_path / "a.tif", compression="tiff_lzw")
    Image.fromarray(numbers(9, 9, 4)).save(tmp_path / "b.png")
    for name in ("a.tif", "b.png"):
        np.testing.assert_array_equal(Reading().read(tmp_path / name), read_image(tmp_path / name))


def test_bad_files_and_settings_are_named(tmp_path):
    (tmp_path / "cut.tif").write_bytes(b"II*\0" + b"\xff" * 20)
    with pytest.raises(InputError, match=r"cut\.tif: expected an image"):
        Reading().read(tmp_path / "cut.tif")
    for path in (tmp_path / "absent.tif", tmp_path):
        with pytest.raises(InputError, match="expected an image, got"):
            Reading((1,)).read(path)
    with pytest.raises(InputError, match=r"data\.channels: expected 1 to 64 band numbers from 1, got \[0\]"):
        Reading((0,))
    with pytest.raises(InputError, match=r"data\.normalize: expected range or percentile, got 'mean'"):
        Reading(None, "mean")


def test_without_the_package_the_file_and_the_extra_are_named(tmp_path, monkeypatch):
    path = written(tmp_path / "a.tif", numbers(5, 7, 8), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(InputError, match=r"a\.tif: expected the package tifffile .*adaptive-fusion\[tiff\]"):
        Reading((1,)).read(path)


def test_what_is_remarked_on(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.fromarray(numbers(9, 9, 3))
    photo.save(tmp_path / "turned.jpg", exif=exif)
    photo.save(tmp_path / "upright.png")
    Image.fromarray(numbers(9, 9, 4)).save(tmp_path / "clear.png")
    Image.fromarray(numbers(9, 9, dtype="uint16", low=1280, high=1920)).save(tmp_path / "dim.png")
    Image.fromarray(numbers(9, 9, dtype="uint16", high=65536)).save(tmp_path / "full.png")
    written(tmp_path / "four.tif", numbers(9, 9, 4), photometric="rgb")
    found = {path.name: remarks(path) for path in tmp_path.iterdir()}
    assert found == {
        "turned.jpg": ["turned"],
        "upright.png": [],
        "clear.png": ["transparency"],
        "dim.png": ["little range"],
        "full.png": [],
        "four.tif": ["fourth band"],
    }
