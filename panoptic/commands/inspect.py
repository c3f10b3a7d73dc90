"""``python -m panoptic.inspect``: checks a data set before it is trained on, and shows what is in it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from panoptic.errors import InputError

if TYPE_CHECKING:
    from panoptic.analysis.inspection import SplitNumbers
    from panoptic.data.checks.faults import Fault
    from panoptic.data.datamodule import DataModule


def inspect(config: DictConfig) -> None:
    """Inspects as configured.

    Raises:
        InputError: if the data set is not fit for training, or something that was given cannot be used.
    """
    import numpy as np
    from PIL import Image

    from panoptic.analysis.inspection import (
        SameContents,
        SplitNumbers,
        contact_sheet,
        evenly,
        examine_split,
        write_histograms,
    )
    from panoptic.commands.console import progress
    from panoptic.config.composing import build
    from panoptic.data.checks.faults import KINDS, Fault
    from panoptic.data.sample import SPLITS
    from panoptic.errors import expect_at_least
    from panoptic.utils.files import writable_folder, write_json

    expect_at_least(0, sheet=config.sheet)
    strange = [kind for kind in config.ignore if kind not in KINDS]
    if strange:
        raise InputError(f"ignore: expected kinds of faults ({', '.join(KINDS)}), got {strange[0]!r}")
    if config.data is None:
        raise InputError("data: expected a data set (data=coco_panoptic, cityscapes or synthetic), got none")
    unknown = [split for split in config.splits or [] if split not in SPLITS]
    if unknown:
        raise InputError(f"splits: expected some of {', '.join(SPLITS)}, got {unknown[0]!r}")
    data = build(config.data)
    found = data.splits()
    if config.splits is not None:
        found = {first: served for first, served in found.items() if set(served) & set(config.splits)}
    if not found:
        data.source((config.splits or SPLITS)[0])  # says what was looked for
        raise InputError("data: expected a split, got none")
    folder = writable_folder(config.output or Path("runs") / "inspect" / _name(config.data), "output")

    for name in ("contact_sheet.png", "histograms.png"):  # of an earlier inspection
        (folder / name).unlink(missing_ok=True)

    faults: list[tuple[str, Fault]] = []
    notes = [f"the same files serve {', '.join(served)}" for served in found.values() if len(served) > 1]
    numbers: dict[str, SplitNumbers] = {}
    thumbnails: list[tuple[str, np.ndarray]] = []
    same = SameContents()
    for split in config.splits or ("train", "val"):  # that training needs
        if split not in {name for served in found.values() for name in served}:
            faults.append((split, _not_found(data, split)))
    for split in found:
        try:
            examiner = data.examiner(split)
        except InputError as error:
            file, what = str(error).split(": ", 1)
            kind = "malformed" if what.startswith("categories") else "unreadable" if Path(file).exists() else "missing"
            faults.append((split, Fault(kind, file, what)))
            continue
        notes += examiner.notes
        faults += [(split, fault) for fault in examiner.faults]
        numbers[split] = SplitNumbers(examiner.labels)
        shown = evenly(len(examiner), -(-config.sheet // len(found)))
        examined = examine_split(examiner, shown, config.workers)
        for image in progress(examined, f"inspecting {split}, images", len(examiner)):
            numbers[split].add(image)
            doubled = same.fault(split, image)
            faults += [(split, fault) for fault in [*image.faults, *([doubled] if doubled else [])]]
            if image.thumbnail is not None:
                thumbnails.append((f"{split}: {Path(image.file).name}", image.thumbnail))
    spaces = [split_numbers.labels for split_numbers in numbers.values()]
    for split, labels in zip(numbers, spaces, strict=True):
        if not labels.has_categories_of(spaces[0]):
            said = f"expected the categories of {next(iter(numbers))}, {spaces[0].difference(labels)}"
            faults.append((split, Fault("category", str(config.data.get("root") or split), said)))

    counted = [(split, fault) for split, fault in faults if fault.kind not in config.ignore]
    _write_faults(folder / "faults.csv", faults)
    results = {split: split_numbers.result() for split, split_numbers in numbers.items()}
    kinds = Counter(fault.kind for _, fault in faults)
    about = {"fit": not counted, "faults": dict(kinds), "ignored": list(config.ignore), "notes": notes}
    write_json(folder / "report.json", about | {"splits": results})
    if numbers:
        write_histograms(folder / "histograms.png", numbers)
    if thumbnails:
        Image.fromarray(contact_sheet(thumbnails)).save(folder / "contact_sheet.png")
    _print(results, faults, notes)
    print(f"results: {folder}")
    if counted:
        raise InputError(
            f"{config.data.get('root') or 'the data set'}: expected a data set without faults, got {len(counted)} "
            f"({_counts(counted)}); {folder / 'faults.csv'} lists all"
        )
    print("fit for training: no faults" if not faults else "fit for training, but for the faults that were ignored")


def _not_found(data: DataModule, split: str) -> Fault:
    """That a split is not there, and what was looked for."""
    from panoptic.data.checks.faults import Fault

    try:
        data.source(split)
    except InputError as error:
        return Fault("missing", *str(error).split(": ", 1))
    return Fault("missing", split, "the split cannot be found")


def _name(data: DictConfig) -> str:
    """What the results are called after."""
    root = data.get("root")
    return Path(root).expanduser().resolve().name if root else data._target_.rsplit(".", 1)[-1].lower()


def _write_faults(path: Path, faults: Sequence[tuple[str, Fault]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["split", "kind", "file", "fault"])
        rows.writerows([split, fault.kind, fault.file, fault.what] for split, fault in faults)


def _print(
    results: Mapping[str, Mapping[str, Any]], faults: Sequence[tuple[str, Fault]], notes: Sequence[str], most: int = 20
) -> None:
    from panoptic.commands.console import print_rows
    from panoptic.data.coco.json import some

    by_category: list[list[str]] = []
    for split, result in results.items():
        rows = [
            ("images", f"{result['images']}, {result['with_truth']} with truth"),
            ("sizes", _sizes(result["sizes"])),
            ("void", f"{result['void_pixels']:.1%} of the pixels"),
        ]
        for name in ("object_density", "scale_variance", "thing_area"):
            spread = result[name]
            if spread:
                text = ", ".join(f"{key} {value:.4g}" for key, value in spread.items())
                rows.append((name.replace("_", " "), text))
        print_rows(split, ("", ""), rows)
    if results:
        columns, by_category = _categories(results)
        print_rows("categories", columns, by_category)
    found = {row[0] for row in by_category}
    unseen = [name for name in next(iter(results.values()), {}).get("per_class", {}) if name not in found]
    if unseen:
        print(f"note: {len(unseen)} categories without a segment: {some(unseen)}")
    for note in notes:
        print(f"note: {note}")
    for split, fault in faults[:most]:
        print(f"{split or 'all'}: {fault.kind}: {fault.file}: {fault.what}")
    if len(faults) > most:
        print(f"and {len(faults) - most} more faults")


def _categories(results: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns, and a row for each category that occurs: its segments, images and pixels in each split."""
    columns = ["category", ""]
    for split in results:
        columns += [f"{split}: segments", "crowd", "images", "pixels"]
    names = dict.fromkeys(
        name for result in results.values() for name, entry in result["per_class"].items() if entry["segments"]
    )
    rows = []
    for name in names:
        entries = [result["per_class"].get(name) for result in results.values()]
        row = [name, "thing" if any(entry and entry["thing"] for entry in entries) else "stuff"]
        for entry in entries:
            row += ["", "", "", ""] if entry is None else [str(entry[key]) for key in ("segments", "crowd", "images")]
            row += [] if entry is None else [f"{entry['pixels']:.2%}"]
        rows.append(row)
    return columns, rows


def _sizes(sizes: Mapping[str, int], most: int = 5) -> str:
    shown = ", ".join(f"{size} ({count})" for size, count in list(sizes.items())[:most])
    return shown + (f" and {len(sizes) - most} others" if len(sizes) > most else "")


def _counts(faults: Sequence[tuple[str, Fault]]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(fault.kind for _, fault in faults).items())
