"""Report of an inspection as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from panoptic.analysis.inspection import FAULTY_PICTURES, Inspection
from panoptic.analysis.inspection_charts import bars, histogram, legend
from panoptic.analysis.inspection_findings import Scale, lone_categories, thing_sizes
from panoptic.analysis.inspection_page import (
    Section,
    bullets,
    figure,
    folded,
    grid,
    page,
    paragraph,
    table,
)
from panoptic.analysis.split_numbers import SplitNumbers
from panoptic.data.checks.faults import KINDS, Fault
from panoptic.data.checks.near_duplicates import BITS, NEAR

LISTED = 30
"""Maximum number of faults of a kind, and of categories in a chart, that are shown."""

SHEET = 32
"""Maximum number of images of the contact sheet that are shown."""

Faults = Sequence[tuple[str, Fault]]


def report(inspection: Inspection, name: str, counted: Faults, scale: Scale) -> str:
    """Return an inspection as an HTML page.

    Args:
        inspection: Results of the inspection.
        name: Name of the data set.
        counted: Faults that make the data set unfit, each with its split.
        scale: Strides and crop that things are compared with.
    """
    verdict, kind = _verdict(inspection.faults, counted)
    sections = [_summary(inspection)]
    if inspection.faults:
        sections.append(_faults(inspection))
    if inspection.numbers:
        sections += [
            _distributions(inspection.numbers),
            _lone_categories(inspection.numbers),
            _thing_sizes(inspection.numbers, scale),
            _near_duplicates(inspection),
        ]
    if inspection.thumbnails:
        sections.append(_contact_sheet(inspection.thumbnails))
    return page(f"Inspection of {name}", paragraph(verdict, f"verdict {kind}"), sections)


def _verdict(faults: Faults, counted: Faults) -> tuple[str, str]:
    """Return whether the data set is fit and why, and the class of the paragraph."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(fault.kind for _, fault in counted).items())
    if counted:
        return f"Not fit for training: {len(counted)} faults ({kinds}).", "bad"
    if faults:
        return f"Fit for training, but for {len(faults)} faults that were ignored.", "good"
    return "Fit for training: no faults.", "good"


def _summary(inspection: Inspection) -> Section:
    columns = ["split", "sizes", "images", "with truth", "segments", "things", "crowds", "void"]
    rows = []
    for split, numbers in inspection.numbers.items():
        things, crowds = sum(map(len, numbers.thing_areas)), int(numbers.crowd.sum())
        counts = [numbers.images, numbers.with_truth, int(numbers.segments.sum()), things, crowds]
        void = numbers.pixels[-1] / max(numbers.pixels.sum(), 1)
        rows.append([split, _sizes(numbers.sizes), *map(str, counts), f"{void:.1%}"])
    parts = [table(columns, rows, words=2)] if rows else [paragraph("No split could be read.")]
    if inspection.notes:
        parts += ["<h3>Notes</h3>", bullets(inspection.notes)]
    return Section("Summary", "\n".join(parts))


def _sizes(sizes: Mapping[tuple[int, int], int], most: int = 3) -> str:
    """Format the most frequent widths and heights."""
    frequent = sorted(sizes.items(), key=lambda size: -size[1])
    shown = ", ".join(f"{width}x{height} ({count})" for (height, width), count in frequent[:most])
    return shown + (f" and {len(sizes) - most} others" if len(sizes) > most else "")


def _faults(inspection: Inspection) -> Section:
    parts = [paragraph("faults.csv lists all of them.")]
    for kind, meaning in KINDS.items():
        faults = [(split, fault) for split, fault in inspection.faults if fault.kind == kind]
        if not faults:
            continue
        parts.append(f"<h3>{kind}: {len(faults)}</h3>")
        parts.append(paragraph(f"{meaning[0].upper()}{meaning[1:]}."))
        rows = [[split or "all", fault.file, fault.what] for split, fault in faults[:LISTED]]
        parts.append(table(["split", "file", "fault"], rows, words=3))
        if len(faults) > LISTED:
            parts.append(paragraph(f"And {len(faults) - LISTED} more."))
        images = dict.fromkeys(image for _, fault in faults if (image := inspection.faulty.get(fault)))
        pictured = [image for image in images if image in inspection.pictures][:FAULTY_PICTURES]
        parts.append(grid([figure([inspection.pictures[i]], _caption(inspection, *i)) for i in pictured], "small"))
    return Section("Faults", "\n".join(parts))


def _caption(inspection: Inspection, split: str, index: int) -> str:
    return f"{split}: {Path(inspection.files[split][index]).name}"


def _distributions(splits: Mapping[str, SplitNumbers]) -> Section:
    longer, shorter = (
        {split: np.repeat([side(size) for size in s.sizes], [*s.sizes.values()]) for split, s in splits.items()}
        for side in (max, min)
    )
    things = {split: np.array([len(areas) for areas in s.thing_areas]) for split, s in splits.items()}
    areas = {split: s.areas().clip(min=1) for split, s in splits.items()}
    names = list(dict.fromkeys(name for s in splits.values() for name in s.labels.names))
    pixels = {split: _by_name(names, s, s.pixels / max(s.pixels.sum(), 1)) for split, s in splits.items()}
    images = {split: _by_name(names, s, s.images_with) for split, s in splits.items()}
    shown = np.argsort(-sum(pixels.values()), kind="stable")[:LISTED]
    frequent = [names[i] for i in shown]
    charts = [
        histogram("Longer side of an image, pixels", longer),
        histogram("Shorter side of an image, pixels", shorter),
        histogram("Things in an image", things),
        histogram("Area of a thing, pixels (logarithmic)", areas, log=True),
        bars("Share of the pixels", frequent, {s: v[shown] for s, v in pixels.items()}, percent=True),
        bars("Images with the category", frequent, {s: v[shown] for s, v in images.items()}),
    ]
    parts = [paragraph("Histograms are shares of each split.")]
    if len(names) > LISTED:
        parts.append(
            paragraph(f"Charts show the {LISTED} categories with the most pixels, the table all {len(names)}.")
        )
    parts += [legend([*splits]), grid(charts), folded("All categories, in numbers", _category_table(names, splits))]
    return Section("Contents", "\n".join(parts))


def _by_name(names: Sequence[str], numbers: SplitNumbers, values: np.ndarray) -> np.ndarray:
    """Return values of the classes of a split in the order of names, 0 for categories that it does not know."""
    value_of = dict(zip(numbers.labels.names, values[: len(numbers.labels)], strict=True))
    return np.array([value_of.get(name, 0) for name in names])


def _category_table(names: Sequence[str], splits: Mapping[str, SplitNumbers]) -> str:
    things = {c.name for s in splits.values() for c in s.labels.categories if c.isthing}
    columns = ["category", ""]
    cells = [names, ["thing" if name in things else "stuff" for name in names]]
    for split, s in splits.items():
        columns += [f"{split}: segments", "crowds", "images", "pixels"]
        cells += [[str(n) for n in _by_name(names, s, v)] for v in (s.segments, s.crowd, s.images_with)]
        cells.append([f"{share:.2%}" for share in _by_name(names, s, s.pixels / max(s.pixels.sum(), 1))])
    return table(columns, [list(row) for row in zip(*cells, strict=True)], words=2)


def _lone_categories(splits: Mapping[str, SplitNumbers]) -> Section:
    found = lone_categories(splits)
    if not found:
        return Section("Categories by split", paragraph("Each category that occurs is in every split with a truth."))
    counts = list(found[0].segments)
    rows = [
        [c.name, "yes" if c.matters else "little", c.consequence, *(str(n) for n in c.segments.values())] for c in found
    ]
    said = paragraph(
        f"Categories in some splits and not in others: {len(found)}. What is scored and not in train costs scores; "
        "what is in train alone is learned, and nothing tells how well."
    )
    return Section("Categories by split", said + table(["category", "matters", "what follows", *counts], rows, words=3))


def _thing_sizes(splits: Mapping[str, SplitNumbers], scale: Scale) -> Section:
    found = thing_sizes(splits, scale)
    height, width = scale.crop
    outline, fine, coarse = scale.limits
    said = paragraph(
        "Compared at the scale of the images with the strides of the default network, which were assumed (heads "
        f"{scale.heads}, levels {scale.finest} to {scale.coarsest}), and with data.crop=[{height},{width}]; give "
        "data.crop to compare with another."
    )
    said += bullets(
        [
            f"Under {outline} pixels: less than 2x2 cells of the heads, which no network outlines.",
            f"Under {fine} pixels: less than one cell of the finest level, and seldom found.",
            f"Under {coarse} pixels: less than one cell of the coarsest level; only finer levels tell them apart.",
            f"Beyond the crop: higher than {height} or wider than {width} pixels; training never shows them whole.",
        ]
    )
    if not found:
        return Section("Sizes of things", paragraph("There are no things."))
    columns = ["category", "things", f"under {outline} px", f"under {fine} px", f"under {coarse} px", "beyond the crop"]
    rows = [[s.name, str(s.things), *(_share(n, s.things) for n in s[2:])] for s in found]
    if len(rows) > 1:
        totals = np.sum([s[1:] for s in found], axis=0).tolist()
        rows.append(["all", str(totals[0]), *(_share(n, totals[0]) for n in totals[1:])])
    return Section("Sizes of things", said + table(columns, rows))


def _share(count: int, whole: int) -> str:
    return f"{count} ({count / whole:.1%})" if count else "0"


def _near_duplicates(inspection: Inspection) -> Section:
    found = inspection.near_duplicates
    how = f"Two images are near-duplicates if their perceptual hashes (pHash) differ in at most {NEAR} of {BITS} bits."
    if not found.counts:
        return Section("Near-duplicates", paragraph(f"None. {how}"))
    leaks = [alike for alike in found.counts if alike.split != alike.like]
    parts = [
        paragraph(
            f"{alike.images} of {inspection.numbers[alike.split].images} images of {alike.split} look like images of "
            f"{alike.like}, a leak: what is learned there is asked for again, and its scores are too high.",
            "bad",
        )
        for alike in leaks
    ]
    if not leaks:
        parts.append(paragraph("None between splits; those within one repeat themselves in training, or in scores."))
    rows = [[a.split, "itself" if a.like == a.split else a.like, str(a.images), str(a.pairs)] for a in found.counts]
    parts += [paragraph(how), table(["split", "like", "images", "pairs"], rows, words=2)]
    figures = []
    for pair in found.closest:
        ends = [(pair.split, pair.index), (pair.like, pair.other)]
        names = " and ".join(_caption(inspection, *end) for end in ends)
        pictures = [inspection.pictures[end] for end in ends if end in inspection.pictures]
        if pictures:
            figures.append(figure(pictures, f"{names}: {pair.distance} bits differ"))
    shown = paragraph(f"The {len(figures)} closest, each image with the nearest:")
    return Section("Near-duplicates", "\n".join([*parts, shown, grid(figures)]))


def _contact_sheet(thumbnails: Sequence[tuple[str, np.ndarray]]) -> Section:
    figures = [figure([picture], caption) for caption, picture in thumbnails[:: -(-len(thumbnails) // SHEET)]]
    return Section("Contact sheet", paragraph("Images beside their segments.") + grid(figures))
