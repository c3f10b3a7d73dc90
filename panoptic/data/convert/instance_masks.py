"""One mask file an object, in a folder an image: ``ID/images/ID.png``, ``ID/masks/*.png`` (Data Science Bowl 2018)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from panoptic.data.convert.drawing import Drawn, draw
from panoptic.data.convert.files import files_in, folder_at, images_in
from panoptic.data.convert.records import SPLIT_NAMES, Listing, Record, Truth, label_space
from panoptic.data.images import read_stored
from panoptic.errors import InputError

NAME = "object"
"""Name of the only category, since the files have none."""


def listing(root: Path, images: Path | None) -> Listing:
    """List the images of a folder; folders ``train``, ``val`` and ``test`` in it are splits.

    Args:
        root: Folder with a folder for each image.
        images: Not used; each folder has its image.

    Raises:
        InputError: If there are none, or a folder has not one image.
    """
    folder_at(root, "a folder for each image (ID/images/ID.png, ID/masks/*.png)")
    own = {path.name: SPLIT_NAMES[path.name] for path in root.iterdir() if path.is_dir() and path.name in SPLIT_NAMES}
    records = []
    parents: dict[Path, str | None] = {root / name: split for name, split in own.items()} or {root: None}
    for parent, split in parents.items():
        folders = sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))
        for folder in folders:
            files = images_in(folder_at(folder / "images", "the image of its object masks"))
            if len(files) != 1:
                raise InputError(f"{folder / 'images'}: expected one image, got {len(files)}")
            masks = folder_at(folder / "masks", "a mask of each object")
            records.append(Record(files[0], str(folder.relative_to(root)), split, partial(_load, masks)))
    if not records:
        raise InputError(f"{root}: expected a folder for each image (ID/images/ID.png, ID/masks/*.png), got none")
    return Listing(records, label_space([NAME], str(root)))


def _load(folder: Path, size: tuple[int, int]) -> Truth:
    """Draw the masks of a folder."""
    objects = []
    for path in files_in(folder, ".png", ".tif", ".tiff", ".bmp"):
        mask = read_stored(path, ("1", "L", "P"), "a mask with one channel of 8 bits") > 0
        if mask.shape != size:
            raise InputError(f"{path}: expected the height and width of its image, {size}, got {mask.shape}")
        if not mask.any():
            raise InputError(f"{path}: expected the pixels of an object, got none")
        objects.append(Drawn.of(mask, 0))
    return draw(objects, size)
