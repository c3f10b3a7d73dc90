"""Reading of image files, expansion of paths and glob patterns, and names for output files."""

from __future__ import annotations

import glob
import os
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8, UInt32
from kornia_rs.io import decode_image_png_u8
from PIL import Image

from panoptic.errors import InputError
from panoptic.utils.pictures import open_image, to_rgb, turned

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""Suffixes of image files in folders and glob matches, in lower case; case is ignored."""


def read_image(path: str | os.PathLike) -> UInt8[np.ndarray, "H W 3"]:
    """Read an image file as RGB in 0..255, with the orientation of its EXIF data applied.

    Supported formats are JPEG, PNG, TIFF, BMP and WebP. Grayscale, palette, 1-bit and CMYK images are converted. Only
    the first image of a file is read. Transparent pixels are blended with white. 16-bit grayscale is scaled from its
    full range (65535 becomes 255); 16-bit color keeps its upper byte. Color profiles are not applied.

    Args:
        path: Path of the image file.

    Raises:
        InputError: If the file is missing, a folder, not an image of these formats, damaged, or too large to be opened
            safely (more than 178 million pixels).
    """
    rgb = _decode_fast(path, pixels_only=True)
    if rgb is not None:
        return rgb
    with open_image(path) as image:
        return np.array(to_rgb(turned(image)))


def read_stored(path: str | os.PathLike, modes: Sequence[str], expected: str) -> Shaped[np.ndarray, "H W *channels"]:
    """Read the values of an annotation file exactly as they are stored, for example a map of ids.

    Args:
        path: Path of the image file.
        modes: Accepted pixel formats, as modes of Pillow such as ``RGB`` or ``I;16``.
        expected: Description of these formats for the error message.

    Raises:
        InputError: If the file is missing, damaged, or has another pixel format.
    """
    with open_image(path) as image:
        if image.mode not in modes:
            raise InputError(f"{path}: expected {expected}, got an image of mode {image.mode!r}")
        return np.array(image)


def read_words(path: str | os.PathLike) -> UInt32[np.ndarray, "H W"]:
    """Read the pixels of a PNG in COCO panoptic format as 32-bit words, whose upper byte is not part of the id.

    The lower three bytes are the id ``R + 256 G + 65536 B``. The upper byte is left to callers, who may need to clear
    it in few pixels only. Two pixels have equal ids if and only if they have equal words, unless the file has an alpha
    channel.

    Args:
        path: Path of a PNG with 8-bit RGB.

    Raises:
        InputError: If the file is missing, damaged, or has another pixel format.
    """
    rgb = _decode_fast(path)
    if rgb is not None:
        # The four bytes of an RGBA pixel are the id in little-endian order, apart from the fourth.
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA).view("<u4")[..., 0]
    with open_image(path, verify=True) as image:
        if image.mode not in ("RGB", "RGBA"):
            raise InputError(f"{path}: expected a PNG with 8-bit RGB, got an image of mode {image.mode!r}")
        stored = image.tobytes("raw", "RGBX" if image.mode == "RGB" else "RGBA")  # Pillow stores four bytes for both
        return np.frombuffer(stored, dtype="<u4").reshape(image.height, image.width)


_METADATA = (b"tRNS", b"eXIf", b"Raw profile type")  # transparency, and chunks that may hold the orientation


def _decode_fast(path: str | os.PathLike, *, pixels_only: bool = False) -> UInt8[np.ndarray, "H W 3"] | None:
    """Decode a PNG with 8-bit RGB faster than Pillow.

    Args:
        path: Path of the image file.
        pixels_only: Whether to leave files with transparency or a possible orientation to Pillow.

    Returns:
        RGB image, or ``None`` for files to be left to Pillow: other formats, large images, and damaged files.
    """
    try:
        content = Path(path).read_bytes() if os.path.isfile(path) else b""  # reading a pipe may never end
        header = struct.unpack(">8sI4sIIBB", content[:26])  # signature, first chunk, width, height, depth, color type
    except (OSError, struct.error):
        return None
    width, height = header[3:5]
    if header[:3] != (b"\x89PNG\r\n\x1a\n", 13, b"IHDR") or header[5:] != (8, 2):
        return None
    if not 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 1 << 28):
        return None
    if pixels_only and any(chunk in content for chunk in _METADATA):
        return None
    try:
        return np.asarray(decode_image_png_u8(content, (height, width), "rgb"))
    except Exception:  # Pillow gives a better error
        return None


def find_images(pattern: str | os.PathLike) -> list[Path]:
    """Find the images of a path, folder or glob pattern, in sorted order.

    Args:
        pattern: File with any suffix, folder whose images are taken without those in subfolders, or glob pattern, in
            which ``**`` includes subfolders. An existing path is never treated as a pattern; ``~`` is expanded. A file
            named ``*.txt`` is a list, with a path a line, relative to its folder; it keeps its order.

    Raises:
        InputError: If the path does not exist, the folder has no image, a list has none or one that is not there, or
            nothing matches.
    """
    expanded = os.path.expanduser(os.fspath(pattern))
    if os.path.isfile(expanded) and expanded.lower().endswith(".txt"):
        return _listed_images(Path(expanded))
    if os.path.isfile(expanded):
        return [Path(expanded)]
    if os.path.isdir(expanded):
        images = _filter_images(Path(expanded).iterdir())
        if not images:
            raise InputError(
                f"{pattern}: expected a folder with images ({' '.join(SUFFIXES)}), got one without any; "
                f"for those in folders within, give a glob: {pattern}/**/*.png"
            )
        return images
    if os.path.exists(expanded):  # a device or a pipe
        raise InputError(f"{pattern}: expected an image, got no regular file")
    if not glob.has_magic(expanded):
        raise InputError(
            f"{str(pattern)!r}: expected an image, a folder or a glob pattern, got a path that is not there"
        )
    images = _filter_images(Path(match) for match in glob.glob(expanded, recursive=True))
    if not images:
        raise InputError(f"{pattern}: expected a pattern that matches images ({' '.join(SUFFIXES)}), got no match")
    return images


def _listed_images(file: Path) -> list[Path]:
    """Return the paths in a list of images."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: expected a list of images, a path a line, got a file that is no text") from error
    named: dict[Path, int] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            named.setdefault(Path(os.path.normpath(file.parent / os.path.expanduser(line.strip()))), number)
    if not named:
        raise InputError(f"{file}: expected a list of images, a path a line, got an empty one")
    for path, number in named.items():
        if not path.is_file():
            raise InputError(f"{file}, line {number}: expected an image, got {path}, which is no file that is there")
    return list(named)


def output_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Return a unique name without folder or suffix for each input, for naming its outputs.

    The name is the stem of the file if it is unique. Otherwise it includes the folders below the common parent and the
    suffix (``a.jpg`` and ``a.png`` become ``a_jpg`` and ``a_png``), and a number if it still is not unique. Case is
    ignored in comparisons, since some file systems are case-insensitive.

    Args:
        paths: Paths of the inputs.
    """
    files = [Path(path) for path in paths]
    stems = Counter(_stem(file).casefold() for file in files)
    shared = [os.path.abspath(file) for file in files if stems[_stem(file).casefold()] > 1]
    common = os.path.commonpath([os.path.dirname(path) for path in shared]) if shared else ""
    taken = {stem for stem, count in stems.items() if count == 1}
    names = []
    for file in files:
        name = _stem(file)
        if stems[name.casefold()] > 1:
            parts = Path(os.path.relpath(os.path.abspath(file), common)).with_suffix("").parts
            name = longer = "_".join((*parts, file.suffix[1:])).rstrip("_")
            number = 2
            while name.casefold() in taken:
                name = f"{longer}_{number}"
                number += 1
            taken.add(name.casefold())
        names.append(name)
    return names


def _stem(file: Path) -> str:
    """Return the name of a file without suffix; dots alone, which would name a folder, become underscores."""
    return file.stem if file.stem.strip(".") else file.stem.replace(".", "_")


def _filter_images(paths: Iterator[Path]) -> list[Path]:
    """Return the image files among paths, in sorted order, and warn of what is named like one and is no file."""
    # Hidden files are excluded: on disks with other file systems, macOS adds a "._photo.jpg" that is not an image.
    named = sorted(p for p in paths if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    images = [path for path in named if path.is_file()]
    others = [f"{path} ({_kind(path)})" for path in named if not path.is_file()]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        warnings.warn(f"passed over, since they are no regular files: {', '.join(others[:5])}{more}", stacklevel=3)
    return images


def _kind(path: Path) -> str:
    """Return what a path is that is no regular file."""
    kinds = {
        "a folder": path.is_dir,
        "a pipe": path.is_fifo,
        "a socket": path.is_socket,
        "a device": lambda: path.is_char_device() or path.is_block_device(),
        "a link to nothing": path.is_symlink,
    }
    return next((kind for kind, is_one in kinds.items() if is_one()), "of another kind")
