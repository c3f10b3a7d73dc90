"""``python -m panoptic.inspect``: check a data set for faults before training, and show its contents."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from panoptic.errors import InputError, expect_at_least

if TYPE_CHECKING:
    from panoptic.analysis.inspection import Inspection
    from panoptic.data.checks.faults import Fault
    from panoptic.data.datamodule import DataModule


def inspect(config: DictConfig) -> None:
    """Inspect as configured.

    Raises:
        InputError: If the data set is not fit for training, or an option cannot be used.
    """
    from panoptic.analysis.inspection import inspect_data
    from panoptic.commands.console import progress
    from panoptic.config.composing import build
    from panoptic.utils.files import writable_folder

    _check(config)
    _choose_normalization(config.data)
    data = build(config.data)
    splits = _splits(data, config.splits)
    folder = writable_folder(config.output or Path("runs") / "inspect" / _name(config.data), "output")
    inspection = inspect_data(data, splits, config.splits or ("train", "val"), config.sheet, config.workers, progress)
    counted = [(split, fault) for split, fault in inspection.faults if fault.kind not in config.ignore]
    results = _write(folder, inspection, _name(config.data), counted, list(config.ignore), data.crop)
    _print(results, inspection.faults, inspection.notes)
    print(f"results: {folder} (open report.html)")
    if counted:
        raise InputError(
            f"{config.data.get('root') or 'the data set'}: expected a data set without faults, got {len(counted)} "
            f"({_counts(counted)}); {folder / 'faults.csv'} lists all"
        )
    faultless = not inspection.faults
    print("fit for training: no faults" if faultless else "fit for training, but for the faults that were ignored")


def _check(config: DictConfig) -> None:
    """Raise for options that the schema does not refuse."""
    from panoptic.data.checks.faults import KINDS
    from panoptic.data.sample import SPLITS

    expect_at_least(0, sheet=config.sheet)
    if config.workers is not None:
        expect_at_least(1, workers=config.workers)
    unknown = [kind for kind in config.ignore if kind not in KINDS]
    if unknown:
        raise InputError(f"ignore: expected kinds of faults ({', '.join(KINDS)}), got {unknown[0]!r}")
    if config.data is None:
        raise InputError("data: expected a data set (data=coco_panoptic, cityscapes or synthetic), got none")
    unknown = [split for split in config.splits or [] if split not in SPLITS]
    if unknown:
        raise InputError(f"splits: expected some of {', '.join(SPLITS)}, got {unknown[0]!r}")


def _choose_normalization(data: DictConfig) -> None:
    """Read images as training would, where it leaves that to the data (data=own)."""
    from panoptic.config.composing import build
    from panoptic.training.recipe import normalization

    if "normalize" in data and data.normalize is None:
        with suppress(InputError):  # without a training split, or one that can be read, which is told later
            data.normalize, reason = normalization(build(data).statistics())
            print(f"data.normalize={data.normalize}: {reason}")


def _splits(data: DataModule, wanted: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the splits to read, each with all that its files serve.

    Raises:
        InputError: If there is none.
    """
    from panoptic.data.sample import SPLITS

    splits = data.splits()
    if wanted is not None:
        splits = {first: served for first, served in splits.items() if set(served) & set(wanted)}
    if not splits:
        data.source((wanted or SPLITS)[0])  # raises, and names the files that were looked for
        raise InputError("data: expected a split, got none")
    return splits


def _write(
    folder: Path,
    inspection: Inspection,
    name: str,
    counted: Sequence[tuple[str, Fault]],
    ignored: list[str],
    crop: tuple[int, int],
) -> dict[str, dict[str, Any]]:
    """Write reports, faults and pictures; return the numbers of each split."""
    from PIL import Image

    from panoptic.analysis.inspection_findings import Scale, findings_json
    from panoptic.analysis.inspection_pictures import contact_sheet, write_histograms
    from panoptic.analysis.inspection_report import report
    from panoptic.utils.files import replacing, write_json

    for picture in ("contact_sheet.png", "histograms.png"):  # of an earlier inspection
        (folder / picture).unlink(missing_ok=True)
    with (folder / "faults.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["split", "kind", "file", "fault"])
        rows.writerows([split, fault.kind, fault.file, fault.what] for split, fault in inspection.faults)
    results = {split: numbers.result() for split, numbers in inspection.numbers.items()}
    kinds = Counter(fault.kind for _, fault in inspection.faults)
    about = {"fit": not counted, "faults": dict(kinds), "ignored": ignored, "notes": inspection.notes}
    findings = findings_json(inspection.numbers, Scale(crop), inspection.near_duplicates, inspection.files)
    write_json(folder / "report.json", about | {"splits": results} | findings)
    with replacing(folder / "report.html") as part:  # names of files may hold bytes that are no text
        text = report(inspection, name, counted, Scale(crop))
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    if inspection.numbers:
        write_histograms(folder / "histograms.png", inspection.numbers)
    if inspection.thumbnails:
        Image.fromarray(contact_sheet(inspection.thumbnails)).save(folder / "contact_sheet.png")
    return results


def _name(data: DictConfig) -> str:
    """Return the name of the folder of results."""
    root = data.get("root")
    return Path(root).expanduser().resolve().name if root else data._target_.rsplit(".", 1)[-1].lower()


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
        ]
        if result["with_truth"]:
            rows.append(("void", f"{result['void_pixels']:.1%} of the pixels"))
        for name in ("object_density", "scale_variance", "thing_area"):
            spread = result[name]
            if spread:
                text = ", ".join(f"{key} {value:.4g}" for key, value in spread.items())
                rows.append((name.replace("_", " "), text))
        print_rows(split, ("", ""), rows)
    if results:
        columns, by_category = _categories(results)
        print_rows("categories", columns, by_category, keys=2, group=4)
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
    """Return columns, and a row for each category that occurs: segments, images and pixels in each split."""
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
