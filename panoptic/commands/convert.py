"""``python -m panoptic.convert``: make a data set in COCO panoptic format from the label files of other formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from panoptic.errors import InputError, expect_at_least

if TYPE_CHECKING:
    from panoptic.analysis.split_numbers import SplitNumbers


def convert(config: DictConfig) -> None:
    """Convert as configured.

    Raises:
        InputError: If an input cannot be converted, or an option cannot be used; the output is not there then.
    """
    from panoptic.commands.console import progress
    from panoptic.data.convert.formats import ALONE, FORMATS
    from panoptic.data.convert.records import with_stuff
    from panoptic.data.convert.writing import in_splits, write
    from panoptic.utils.files import appearing

    if config.format not in FORMATS:
        raise InputError(f"format: expected one of {', '.join(FORMATS)}, got {config.format!r}")
    if config.workers is not None:
        expect_at_least(0, workers=config.workers)
    root, output = Path(config.input).expanduser(), Path(config.output).expanduser()
    if not root.exists():
        raise InputError(f"input={config.input}: expected a folder or a file, got a path that is not there")
    images = None if config.images is None else Path(config.images).expanduser()
    if images is not None and not images.is_dir():
        raise InputError(f"images={config.images}: expected a folder with images, got none")
    if images is not None and config.format in ALONE:
        raise InputError(
            f"images: expected none with format={config.format}, whose layout has them, got {config.images}"
        )
    with appearing(output, "output") as part:
        listing = FORMATS[config.format](root, images)
        labels = with_stuff(listing.labels, config.stuff, config.background)
        splits = in_splits(listing.records, config.split, config.seed)
        counts = write(part, listing, splits, labels, config.background, config.workers, progress, config.crowd)
        numbers = {split: _checked(part, output, split, config.workers) for split in splits}
    _print(numbers, counts)
    for note in (*listing.notes, *_notes(numbers)):
        print(f"note: {note}")
    print(f"data set: {output}\ntrain on it: python -m panoptic.train experiment=own data.root={output}")


def _checked(folder: Path, output: Path, split: str, workers: int | None) -> SplitNumbers:
    """Examine a split as ``inspect`` does, and return its numbers.

    Raises:
        InputError: If it has a fault.
    """
    from panoptic.analysis.split_numbers import SplitNumbers, examine_split
    from panoptic.commands.console import progress
    from panoptic.data.checks.coco import CocoExaminer

    examiner = CocoExaminer(split, root=folder)
    faults = list(examiner.faults)
    numbers = SplitNumbers(examiner.labels)
    with closing(examine_split(examiner, (), workers)) as examined:
        for image in progress(examined, f"checking {split}, images", len(examiner)):
            numbers.add(image)
            faults += image.faults
    if faults:
        file = faults[0].file.replace(str(folder), str(output))
        raise InputError(f"{file}: expected a data set without faults, got {len(faults)}, first: {faults[0].what}")
    return numbers


def _print(numbers: Mapping[str, SplitNumbers], counts: Counter[str]) -> None:
    from panoptic.commands.console import print_rows
    from panoptic.data.convert.records import COUNTS

    columns = ["category", "", *(f"{split}: segments" for split in numbers)]
    labels = next(iter(numbers.values())).labels
    rows = [["images", "", *(str(n.images) for n in numbers.values())]]
    for c, name in enumerate(labels.names):
        segments = [int(n.segments[c]) for n in numbers.values()]
        if any(segments):
            rows.append([name, "thing" if labels.is_thing[c] else "stuff", *map(str, segments)])
    print_rows("converted", columns, rows, keys=2)
    told = [(str(counts[key]), meaning) for key, meaning in COUNTS.items() if counts[key]]
    if told:
        print_rows("counts", ("", ""), told)


def _notes(numbers: Mapping[str, SplitNumbers]) -> list[str]:
    """Return remarks on what a network would learn from the data set."""
    from panoptic.data.statistics import only_category_note

    notes = []
    labels = next(iter(numbers.values())).labels
    occurring = [name for c, name in enumerate(labels.names) if any(n.segments[c] for n in numbers.values())]
    if len(occurring) == 1 and any(n.pixels[-1] for n in numbers.values()):
        notes.append(f"{only_category_note(occurring[0])} (background=NAME)")
    missing = [split for split in ("train", "val") if split not in numbers]
    if missing:
        notes.append(f"no {' and no '.join(missing)} split, which training needs; split=[0.8,0.2] draws one")
    return notes
