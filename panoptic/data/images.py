"""Image files in, plain RGB out; and which files a path, a folder or a pattern means."""

from __future__ import annotations

import glob
import os
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8, UInt32
from kornia_rs.io import decode_image_png_u8
from PIL import Image

from panoptic.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""Files with one of these, in upper or lower case, count as images when a folder is listed."""

# Others that Pillow knows are left out on purpose: some start outside programs (EPS), some hold many pictures.
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {  # what undoes each value of the tag; 1 is upright already
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | os.PathLike) -> UInt8[np.ndarray, "H W 3"]:
    """An image file as plain RGB in 0..255, the way up in which it was taken.

    JPEG, PNG, TIFF, BMP and WebP; grey, palette, 1-bit and CMYK are converted, of several pictures in a file the
    first is read. Transparent pixels show white behind them, as on a page. Grey of 16 bits is scaled from its full
    range (65535 becomes 255), color of 16 bits keeps its upper byte. Color profiles are not applied.

    Raises:
        InputError: if the file is missing, a folder, not an image of these formats, damaged, or too large to be
            opened safely (more than 178 million pixels).
    """
    color = _decode_fast(path, plain=True)
    if color is not None:
        return color
    with _opened(path) as image:
        return np.array(_plain(_upright(image)))


def read_stored(path: str | os.PathLike, modes: Sequence[str], expected: str) -> Shaped[np.ndarray, "H W *channels"]:
    """The numbers of an annotation file exactly as they are stored, for maps of ids.

    Args:
        path: the file.
        modes: Pillow's names of the pixel formats that are accepted, such as ``RGB`` or ``I;16``.
        expected: those formats in words, for the error.

    Raises:
        InputError: if the file is missing, damaged, or has another pixel format.
    """
    with _opened(path) as image:
        if image.mode not in modes:
            raise InputError(f"{path}: expected {expected}, got an image of mode {image.mode!r}")
        return np.array(image)


def read_numbers(path: str | os.PathLike) -> UInt32[np.ndarray, "H W"]:
    """The numbers ``R + 256 G + 65536 B`` that a PNG with 8-bit color stores, as COCO panoptic has them.

    Raises:
        InputError: if the file is missing, damaged, or has another pixel format.
    """
    return read_words(path) & np.uint32(0xFFFFFF)


def read_words(path: str | os.PathLike) -> UInt32[np.ndarray, "H W"]:
    """:func:`read_numbers` before the upper byte is cleared, for those who clear it where they look at it only.

    Pixels have one number exactly if they have one word, unless the file has an alpha channel.
    """
    color = _decode_fast(path)
    if color is not None:
        # Four bytes a pixel are a number as they lie there, but for the fourth.
        return cv2.cvtColor(color, cv2.COLOR_RGB2RGBA).view("<u4")[..., 0]
    with _opened(path, whole=True) as image:
        if image.mode not in ("RGB", "RGBA"):
            raise InputError(f"{path}: expected a PNG with 8-bit RGB, got an image of mode {image.mode!r}")
        stored = image.tobytes("raw", "RGBX" if image.mode == "RGB" else "RGBA")  # Pillow holds four bytes for both
        return np.frombuffer(stored, dtype="<u4").reshape(image.height, image.width)


_NOT_PLAIN = (b"tRNS", b"eXIf", b"Raw profile type")  # transparency, and what may say which way is up


def _decode_fast(path: str | os.PathLike, *, plain: bool = False) -> UInt8[np.ndarray, "H W 3"] | None:
    """A PNG with 8-bit RGB, decoded faster than by Pillow.

    ``None`` is for everything that Pillow shall judge: other formats, large images, and files with any fault. With
    ``plain``, so are those in which there may be more to see than the pixels as they are stored.
    """
    try:
        content = Path(path).read_bytes()
        header = struct.unpack(">8sI4sIIBB", content[:26])  # signature, first chunk, width, height, depth, color type
    except (OSError, struct.error):
        return None
    width, height = header[3:5]
    if header[:3] != (b"\x89PNG\r\n\x1a\n", 13, b"IHDR") or header[5:] != (8, 2):
        return None
    if not 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 1 << 28):
        return None
    if plain and any(mark in content for mark in _NOT_PLAIN):
        return None
    try:
        return np.asarray(decode_image_png_u8(content, (height, width), "rgb"))
    except Exception:  # whatever it is, Pillow says it better
        return None


def find_images(pattern: str | os.PathLike) -> list[Path]:
    """The images that a path means, in sorted order.

    Args:
        pattern: a file, whatever its suffix; a folder, for the images directly in it; or a glob pattern, in which
            ``**`` reaches into subfolders. A name that exists is never taken for a pattern; ``~`` is the home folder.

    Raises:
        InputError: if nothing is there, the folder holds no image, or nothing matches.
    """
    given = os.path.expanduser(os.fspath(pattern))
    if os.path.isfile(given):
        return [Path(given)]
    if os.path.isdir(given):
        found = _images_among(Path(given).iterdir())
        if not found:
            raise InputError(
                f"{pattern}: expected a folder with images ({' '.join(SUFFIXES)}), got one without any; "
                f"for those in folders within, give a glob: {pattern}/**/*.png"
            )
        return found
    if not glob.has_magic(given):
        raise InputError(
            f"{str(pattern)!r}: expected an image, a folder or a glob pattern, got a path that is not there"
        )
    found = _images_among(Path(match) for match in glob.glob(given, recursive=True))
    if not found:
        raise InputError(f"{pattern}: expected a pattern that matches images ({' '.join(SUFFIXES)}), got no match")
    return found


def output_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """A distinct name without folder or suffix for each input, to call its outputs after.

    That is the stem of the file where no other input shares it. Inputs that do share it take their folders below the
    common one and their suffix along (``a.jpg`` and ``a.png`` become ``a_jpg`` and ``a_png``), and a number where
    even that is not enough. Names that differ in upper and lower case alone count as shared, since some file systems
    hold them for the same.
    """
    paths = [Path(path) for path in paths]
    stems = Counter(path.stem.casefold() for path in paths)
    shared = [os.path.abspath(path) for path in paths if stems[path.stem.casefold()] > 1]
    common = os.path.commonpath([os.path.dirname(path) for path in shared]) if shared else ""
    taken = {stem for stem, count in stems.items() if count == 1}
    names = []
    for path in paths:
        name = path.stem
        if stems[name.casefold()] > 1:
            parts = Path(os.path.relpath(os.path.abspath(path), common)).with_suffix("").parts
            name = longer = "_".join((*parts, path.suffix[1:])).rstrip("_")
            number = 2
            while name.casefold() in taken:
                name = f"{longer}_{number}"
                number += 1
            taken.add(name.casefold())
        names.append(name)
    return names


@contextmanager
def _opened(path: str | os.PathLike, whole: bool = False) -> Iterator[Image.Image]:
    """The decoded image; any failure while it is in use, other than an InputError, becomes one that names the file.

    With ``whole``, checksums are checked first: Pillow decodes some damaged files without a word.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: expected an image, got a path that is not there")
    if os.path.isdir(path):
        raise InputError(f"{path}: expected an image, got a folder")
    if os.path.getsize(path) == 0:
        raise InputError(f"{path}: expected an image, got an empty file")
    try:
        with warnings.catch_warnings():
            # Large images and oddities in metadata: the pixels are all there, or else decoding fails below.
            warnings.simplefilter("ignore")
            if whole:
                with Image.open(path, formats=_FORMATS) as image:
                    image.verify()
            with Image.open(path, formats=_FORMATS) as image:
                image.load()
                yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: expected an image ({', '.join(_FORMATS)}), got a file of another kind") from error
    except Exception as error:  # decoders raise nearly anything on damaged files: SyntaxError, struct.error, ...
        raise InputError(f"{path}: expected an image that can be read, got a file that cannot: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata says nothing about the pixels
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _plain(image: Image.Image) -> Image.Image:
    """Converts any pixel format to 8-bit RGB."""
    if image.mode.startswith("I"):  # 16-bit grey; "I" holds it in 32 bits, as older releases of Pillow read PNG
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"grey values of at most 16 bits can be read, these go from {grey.min()} to {grey.max()}")
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("grey values of 8 or 16 bits can be read, these are floating-point numbers")
    if image.has_transparency_data:
        if image.mode in ("La", "PA"):  # no direct way to RGBA
            image = image.convert("LA" if image.mode == "La" else "RGBA")
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _images_among(paths: Iterator[Path]) -> list[Path]:
    # Hidden files are left out: macOS puts a "._photo.jpg" with no picture in it beside each photo on foreign disks.
    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())
