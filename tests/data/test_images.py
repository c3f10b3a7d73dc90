"""Reading image files: every pixel format to plain RGB, every unreadable file to an error that names it."""

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic.data import images
from panoptic.data.images import find_images, output_names, read_image, read_stored, read_words
from panoptic.errors import InputError


def read_numbers(path) -> np.ndarray:
    """R + 256 G + 65536 B."""
    return read_words(path) & np.uint32(0xFFFFFF)


def _rgb(height=6, width=4):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "PNG"])
def test_lossless_formats_give_the_same_pixels(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(_rgb()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(str(path))
    np.testing.assert_array_equal(image, _rgb())
    assert image.dtype == np.uint8
    assert image.flags.writeable


def test_jpeg_is_close(tmp_path):
    Image.new("RGB", (16, 8), (200, 100, 50)).save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == (8, 16, 3)
    assert np.abs(image.astype(int) - [200, 100, 50]).max() <= 3


def _palette():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 150, 100])
    image.putdata([1, 0])
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.array([[0, 77]], np.uint8)), [[0] * 3, [77] * 3]),
        (Image.fromarray(np.array([[False, True]])), [[0] * 3, [255] * 3]),
        (Image.fromarray(np.array([[65535, 25700, 128, 129]], np.uint16)), [[255] * 3, [100] * 3, [0] * 3, [1] * 3]),
        (_palette(), [[200, 150, 100], [10, 20, 30]]),
        # A fifth of 64 and four fifths of 255 are 216.8.
        (
            Image.fromarray(np.array([[[64, 0, 0, 255], [9, 9, 9, 0], [64, 64, 64, 51]]], np.uint8)),
            [[64, 0, 0], [255, 255, 255], [217, 217, 217]],
        ),
        (Image.merge("LA", [Image.new("L", (1, 1), 64), Image.new("L", (1, 1), 51)]), [[217] * 3]),
    ],
    ids=["grey", "1-bit", "16-bit grey", "palette", "alpha", "grey with alpha"],
)
def test_pixel_formats(tmp_path, image, expected):
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], expected)


def test_transparent_palette_entry_shows_white(tmp_path):
    _palette().save(tmp_path / "a.png", transparency=b"\x00\xff")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], [[200, 150, 100], [255, 255, 255]])


def test_16_bit_color_keeps_its_upper_byte(tmp_path):
    rgb = np.array([[[0, 256, 65535], [0x1234, 0xABCD, 255]]], np.uint16)
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), rgb[..., ::-1])
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}")[0], [[0, 1, 255], [0x12, 0xAB, 0]])


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone(tmp_path, orientation, suffix):
    upright = _rgb(3, 2)
    # How a camera held in each of the eight ways stores what is upright.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{suffix}", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), upright)


def test_large_images_do_not_warn_and_larger_ones_are_an_error(tmp_path, monkeypatch):
    Image.fromarray(_rgb(10, 15)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(tmp_path / "a.png").shape == (10, 15, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 70)
    with pytest.raises(InputError, match=r"a\.png.*150 pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(_rgb(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"cut\.{suffix}: expected an image that can be read"):
        read_image(path)


def test_errors_name_the_file_and_what_is_wrong(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    Image.new("F", (2, 2)).save(tmp_path / "float.tif")
    Image.new("I", (2, 2), 70000).save(tmp_path / "deep.tif")
    for name, got in {
        "empty.png": "an empty file",
        "text.png": "a file of another kind",
        "folder.png": "a folder",
        "missing.png": "not there",
        "float.tif": "floating-point",
        "deep.tif": "70000",
    }.items():
        with pytest.raises(InputError, match=f"{name}.*{got}"):
            read_image(tmp_path / name)


def test_read_stored_converts_nothing(tmp_path):
    numbers = np.array([[0, 300, 65535]], np.uint16)
    Image.fromarray(numbers).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_stored(tmp_path / "a.png", ("I;16", "I"), "16 bits"), numbers)
    with pytest.raises(InputError, match=r"a\.png: expected 8-bit RGB, got an image of mode"):
        read_stored(tmp_path / "a.png", ("RGB",), "8-bit RGB")


@pytest.mark.filterwarnings("ignore:passed over")
def test_find_images(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "notes.md", ".hidden.png", "._b.jpg", "odd[1].png", "sub/c.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    def names(pattern):
        return [str(p.relative_to(tmp_path)) for p in find_images(pattern)]

    assert names(tmp_path) == ["a.PNG", "b.jpg", "odd[1].png"]
    assert names(str(tmp_path / "notes.md")) == ["notes.md"]
    (tmp_path / "list.txt").write_text("b.jpg\n\n sub/c.tiff \nb.jpg\n", encoding="utf-8")
    assert names(tmp_path / "list.txt") == ["b.jpg", "sub/c.tiff"]  # relative to the list, in its order
    assert names(f"{tmp_path}/odd[1].png") == ["odd[1].png"]
    assert names(f"{tmp_path}/[ab].*") == ["a.PNG", "b.jpg"]
    assert names(f"{tmp_path}/**/*.*") == ["a.PNG", "b.jpg", "odd[1].png", "sub/c.tiff"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/b.jpg") == ["b.jpg"]


def test_find_images_says_what_is_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    for pattern, message in {
        "none.jpg": r"none\.jpg.*not there",
        "empty": "empty: .*one without any",
        "*.jpg": r"/\*\.jpg: .*no match",
    }.items():
        with pytest.raises(InputError, match=message):
            find_images(tmp_path / pattern)
    with pytest.raises(InputError, match="'': expected an image"):
        find_images("")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"list\.txt: expected a list of images, .*, got a file that is no text"):
        find_images(tmp_path / "list.txt")


def test_output_names():
    assert output_names(["x/a.jpg", "y/b.jpg", "c.d.png"]) == ["a", "b", "c.d"]
    assert output_names(["a.jpg", "a.png", "b.png"]) == ["a_jpg", "a_png", "b"]
    assert output_names(["in/x/a.jpg", "in/y/a.jpg"]) == ["x_a_jpg", "y_a_jpg"]
    assert output_names(["A.jpg", "a.png"]) == ["A_jpg", "a_png"]  # the same name on some file systems
    assert output_names(["a.jpg", "a.jpg", "a"]) == ["a_jpg", "a_jpg_2", "a"]
    assert output_names(["a_jpg.png", "a.jpg", "a.png"]) == ["a_jpg", "a_jpg_2", "a_png"]
    assert output_names([]) == []


class TestNumbers:
    """The numbers of a PNG with color, which two decoders read."""

    COLOR = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    EXPECTED = COLOR.astype(np.uint32) @ np.array([1, 256, 65536], dtype=np.uint32)

    def write(self, path, mode="RGB", **options):
        Image.fromarray(self.COLOR).convert(mode).save(path, **options)
        return path

    @pytest.mark.parametrize("slow", [False, True])
    @pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}])
    def test_both_decoders_read_what_was_written(self, tmp_path, monkeypatch, slow, options):
        path = self.write(tmp_path / "a.png", **options)
        assert images._decode_fast(path) is not None
        if slow:
            monkeypatch.setattr(images, "_decode_fast", lambda path: None)
        np.testing.assert_array_equal(read_numbers(path), self.EXPECTED)

    def test_transparency_is_no_part_of_the_number(self, tmp_path):
        rgba = np.concatenate([self.COLOR, np.random.default_rng(1).integers(0, 256, (37, 53, 1), dtype=np.uint8)], -1)
        Image.fromarray(rgba).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_numbers(tmp_path / "a.png"), self.EXPECTED)
        self.write(tmp_path / "b.png", transparency=(1, 2, 3))
        np.testing.assert_array_equal(read_numbers(tmp_path / "b.png"), self.EXPECTED)

    @pytest.mark.parametrize("mode", ["L", "P", "1"])
    def test_other_pixel_formats_are_refused(self, tmp_path, mode):
        with pytest.raises(InputError, match=f"a.png: expected a PNG with 8-bit RGB, got an image of mode '{mode}'"):
            read_numbers(self.write(tmp_path / "a.png", mode))

    def test_a_damaged_file_is_never_read_as_something_else(self, tmp_path):
        content = self.write(tmp_path / "a.png").read_bytes()
        rng, refused = np.random.default_rng(2), 0
        for i in range(150):
            spoilt = bytearray(content)
            if i % 3:
                spoilt[rng.integers(len(spoilt))] ^= 1 << int(rng.integers(8))
            else:
                spoilt = spoilt[: rng.integers(len(spoilt) - 16)]
            (tmp_path / "b.png").write_bytes(spoilt)
            try:
                numbers = read_numbers(tmp_path / "b.png")
            except InputError:
                refused += 1
            else:
                np.testing.assert_array_equal(numbers, self.EXPECTED)
        assert refused > 100

    def test_a_header_that_promises_too_much_allocates_nothing(self, tmp_path):
        content = bytearray(self.write(tmp_path / "a.png").read_bytes())
        content[16:24] = (1 << 30).to_bytes(4, "big") * 2
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.png: expected"):
            read_numbers(tmp_path / "a.png")

    def test_checksums_are_held_to(self, tmp_path):
        content = bytearray(self.write(tmp_path / "a.png", compress_level=0).read_bytes())
        content[len(content) // 2] ^= 1  # stored as it is, so that any decoder would read another number
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.png: expected an image that can be read"):
            read_numbers(tmp_path / "a.png")


class TestPlainPng:
    """Plain color PNG files, which another decoder than Pillow's reads."""

    def test_pixels_are_those_of_pillow_and_can_be_written_to(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (40, 31, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        image = read_image(tmp_path / "a.png")
        assert image.flags.writeable
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, pixels)

    def test_a_transparent_color_shows_white(self, tmp_path):
        pixels = np.zeros((2, 2, 3), np.uint8)
        pixels[0] = (9, 8, 7)
        Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(9, 8, 7))
        assert read_image(tmp_path / "a.png").tolist() == [[[255] * 3] * 2, [[0] * 3] * 2]
