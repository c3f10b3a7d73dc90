"""Markdown report of a comparison, and its tables as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from panoptic.comparison.differences import Comparison, Difference, excludes_zero, points
from panoptic.comparison.images import TRUTH
from panoptic.comparison.runs import Run
from panoptic.comparison.spread import REPLICATES, Spread, spread
from panoptic.comparison.variants import Variant
from panoptic.utils.statistics import CONFIDENCE, Estimate

NAMES = {
    "pq": "PQ",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "boundary_f1": "boundary F1",
    "boundary_pq": "boundary PQ",
    "mean_iou": "mean IoU",
    "object_density": "object density",
    "scale_variance": "scale variance",
}
SHOWN = ("pq", "pq_things", "pq_stuff", "boundary_f1", "boundary_pq")
"""Scores shown in the table of scores."""

Table = tuple[list[str], list[list[str]]]
"""Column names, and rows of cells."""

PERCENT = f"{CONFIDENCE:.0%}"


@dataclass(frozen=True)
class About:
    """Provenance of a report.

    Attributes:
        command: Command line that creates the report.
        folders: Folders that were searched for runs.
        warnings: Reasons against the comparison.
    """

    command: str
    folders: tuple[Path, ...]
    warnings: tuple[str, ...]


def score_table(comparison: Comparison) -> Table:
    """Return scores in points and training minutes of each variant, averaged over its runs."""
    shown = [score for score in SHOWN if score != "boundary_pq" or boundary_remark(comparison) is None]
    rows = []
    for variant in comparison.variants:
        scores = [spread_text(spread(points(variant.runs, score))) for score in shown]
        rows.append([variant.name, str(len(variant.runs)), *scores, spread_text(minutes(variant), 1)])
    return ["variant", "runs", *(NAMES[score] for score in shown), "minutes"], rows


def boundary_remark(comparison: Comparison) -> str | None:
    """Return why Boundary PQ is left out, as it is if one run says so; ``None`` if it is not."""
    remarks = (run.boundary_remark for variant in comparison.variants for run in variant.runs)
    return next((remark for remark in remarks if remark is not None), None)


def difference_table(comparison: Comparison) -> Table:
    """Return the difference of each score of each variant to the baseline."""
    columns = ["variant", "score", "mean", "std", f"{PERCENT} t", f"{PERCENT} bootstrap", "pairs", "says"]
    rows = [
        [
            difference.variant,
            NAMES[difference.score],
            _signed(difference.interval.value),
            number_text(difference.points.std),
            interval_text(difference.interval),
            interval_text(difference.bootstrap),
            str(difference.points.count),
            verdict(difference),
        ]
        for difference in comparison.differences
    ]
    return columns, rows


def verdict(difference: Difference) -> str:
    """Describe in words whether a difference is shown."""
    if difference.shown is None:
        return "too few pairs"
    if not difference.shown:
        return "no difference shown"
    return "higher" if difference.interval.value > 0 else "lower"


def category_table(comparison: Comparison) -> Table:
    """Return PQ of the baseline by category, and the differences of the other variants."""
    columns = ["category", comparison.baseline.name, *(variant.name for variant in comparison.others)]
    rows = [
        [row.category, number_text(row.baseline), *(with_interval(row.differences[v.name]) for v in comparison.others)]
        for row in comparison.category_rows
    ]
    return columns, rows


def quartile_table(comparison: Comparison, measure: str) -> Table:
    """Return PQ of each variant by quartile of a complexity measure, and the differences to the baseline."""
    columns = ["quartile", "range", "images", *(variant.name for variant in comparison.variants)]
    columns += [f"{variant.name} less {comparison.baseline.name}" for variant in comparison.others]
    rows = []
    for row in comparison.quartile_rows:
        if row.measure == measure:
            cells = [str(row.quartile), f"{row.low:.3g} to {row.high:.3g}", str(row.images)]
            cells += [spread_text(row.scores[variant.name]) for variant in comparison.variants]
            rows.append([*cells, *(with_interval(row.differences[v.name]) for v in comparison.others)])
    return columns, rows


def alpha_table(comparison: Comparison) -> Table:
    """Return mean α by variant and level, and its rank correlation with complexity."""
    rows = []
    for row in comparison.alpha_rows:
        for level, mean in row.means.items():
            correlations = [row.correlations.get((level, measure)) for measure in TRUTH]
            texts = ["does not vary" if rho is None else with_interval(rho) for rho in correlations]
            rows.append([row.variant, level, spread_text(mean, 3), *texts])
    return ["variant", "level", "mean α", *(f"ρ with {NAMES[measure]}" for measure in TRUTH)], rows


def complexity_table(comparison: Comparison) -> Table:
    """Return R² of the predicted complexity, and the change of PQ if it is shuffled among images."""
    rows = []
    for name in (variant.name for variant in comparison.variants):
        explained, change = comparison.explained.get(name), comparison.shuffled.get(name)
        if explained is None and change is None:
            continue
        texts = ["–", "–"] if explained is None else [spread_text(part) for part in explained]
        conclusion = "–" if change is None or math.isnan(change.low) else _direction(change)
        rows.append([name, *texts, "–" if change is None else with_interval(change), conclusion])
    return ["variant", *(f"R² of {NAMES[m]}" for m in TRUTH), "PQ with another image's complexity", "says"], rows


def markdown(comparison: Comparison, about: About, figures: Iterable[str]) -> str:
    """Return the report in Markdown.

    Args:
        comparison: Results to report.
        about: Provenance of the report.
        figures: Names of the figure files next to the report.
    """
    return "\n".join(_lines(comparison, about, frozenset(figures)))


def _lines(comparison: Comparison, about: About, figures: frozenset[str]) -> Iterator[str]:
    runs = [run for variant in comparison.variants for run in variant.runs]
    names = ", ".join(folder.resolve().name for folder in about.folders)
    yield f"# Comparison of {names}\n"
    yield f"- folders: {', '.join(f'`{folder}`' for folder in about.folders)}"
    yield f"- command: `{about.command}`"
    yield f"- runs: {len(runs)}, of {len(comparison.variants)} variants"
    yield f"- seeds: {', '.join(map(str, sorted({run.seed for run in runs})))}"
    images = "" if comparison.images is None else f", {comparison.images} images"
    yield f"- scores: of the split {comparison.split}{images}{_scored_checkpoints(runs)}"
    painted = [run for run in runs if run.summary["config"]["data"]["_target_"] == "panoptic.data.SyntheticData"]
    generators = {(run.summary.get("versions") or {}).get("generator") for run in painted} - {None}
    if generators:
        yield f"- scenes: generator version {', '.join(map(str, sorted(generators, key=str)))}"
    yield f"- baseline: {comparison.baseline.name}"
    if about.warnings:
        yield "\n## Warnings\n"
        yield from (f"- {warning}" for warning in about.warnings)
    yield "\n## Scores\n"
    yield from table_lines(score_table(comparison))
    yield (
        "\nMean ± standard deviation over all runs of a variant, in points (100 x the score). The deviation is that of "
        "single runs, of the sample; minutes are those of training.\n"
    )
    if remark := boundary_remark(comparison):
        yield f"Note: {remark}.\n"
    if comparison.others:
        yield from _differences(comparison, figures)
    yield from _categories(comparison, figures)
    if comparison.quartile_rows:
        yield from _quartiles(comparison, figures)
    yield from _alpha(comparison, figures)


def _scored_checkpoints(runs: Sequence[Run]) -> str:
    """Describe the evaluated checkpoints and their test-time augmentation."""
    evaluations = [run.evaluation for run in runs if run.evaluation]
    names = sorted({Path(str(evaluation.get("checkpoint"))).name for evaluation in evaluations})
    modes = sorted({str(evaluation.get("tta", "none")) for evaluation in evaluations} - {"none"})
    tta = f", test-time augmentation {', '.join(modes)}" if modes else ""
    return f", {', '.join(names)}{tta}" if evaluations else ", as training ended"


def _differences(comparison: Comparison, figures: frozenset[str]) -> Iterator[str]:
    base = comparison.baseline.name
    yield f"## Differences to {base}\n"
    yield from table_lines(difference_table(comparison))
    yield (
        f"\nPoints of a variant less those of {base} with the same seed. The t interval is that of the paired t test, "
        "for other seeds on the same images. A difference counts as shown only if neither interval includes 0.\n"
    )
    resamples_images = {d.score: d.over_images for d in comparison.differences}
    over_images = [NAMES[score] for score, images in resamples_images.items() if images]
    over_seeds = [NAMES[score] for score, images in resamples_images.items() if not images]
    explanation = f"The bootstrap interval comes from {REPLICATES} replicates. "
    if over_images:
        explanation += f"Of {', '.join(over_images)} it draws seeds and images anew, the same images for all runs"
        explanation += f"; of {', '.join(over_seeds)} seeds alone." if over_seeds else "."
    else:
        explanation += "It draws seeds alone, since there are no counts of the same images for all runs."
    if over_images and not comparison.things_known:
        explanation += " Which categories are things is not known here, since scores.json has no categories."
    yield f"{explanation}\n"
    for difference in comparison.differences:
        if difference.score != "pq" or difference.shown is None:
            continue
        yield f"- {difference.variant}: {_sentence(difference, base)}"
    yield ""
    yield from _figure("differences.png", "differences in PQ with their intervals", figures)


def _sentence(difference: Difference, base: str) -> str:
    including_zero = [
        name
        for name, estimate in (("t interval", difference.interval), ("bootstrap interval", difference.bootstrap))
        if not excludes_zero(estimate)
    ]
    if including_zero:
        verb = "includes" if len(including_zero) == 1 else "include"
        return f"no difference shown in PQ to {base}: the {' and the '.join(including_zero)} {verb} 0."
    direction = "higher" if difference.interval.value > 0 else "lower"
    return (
        f"PQ is {direction} than that of {base} by {abs(difference.interval.value):.2f} points; "
        "neither interval includes 0."
    )


def _categories(comparison: Comparison, figures: frozenset[str]) -> Iterator[str]:
    if not comparison.category_rows:
        return
    yield "## Categories\n"
    yield from table_lines(category_table(comparison))
    if comparison.others:
        interval = (
            "bootstrap interval over seeds and images" if comparison.by_image else "interval of the paired t test"
        )
        yield (
            f"\nPQ of {comparison.baseline.name} in points, the mean over its runs; then the difference of each other "
            f"variant with the {PERCENT} {interval}. * marks an interval without 0. "
            f"{by_chance(len(comparison.category_rows) * len(comparison.others)).strip()}\n"
        )
        yield from _figure("categories.png", "differences in PQ by category", figures)


def by_chance(comparisons: int) -> str:
    """State how many of the intervals are expected to exclude 0 without any true difference."""
    expected = (1 - CONFIDENCE) * comparisons
    return f"Of {comparisons} intervals, about {expected:.1f} would be by chance alone. " if comparisons else ""


def _quartiles(comparison: Comparison, figures: frozenset[str]) -> Iterator[str]:
    yield "## Complexity of the scene\n"
    for measure in TRUTH:
        yield f"By quartile of {NAMES[measure]}:\n"
        yield from table_lines(quartile_table(comparison, measure))
        yield ""
    yield (
        "PQ of the images of each quartile together, from their summed counts: mean ± standard deviation over runs, "
        f"and the paired difference with its {PERCENT} bootstrap interval over seeds and images. * marks an interval "
        "without 0; elsewhere no difference is shown. "
        f"{by_chance(len(comparison.quartile_rows) * len(comparison.others))}"
        "Images are sorted by their truth; those at the value of an edge belong to the lower quartile, and a quartile "
        "that ties leave empty is left out. Different quartiles have different categories and objects: compare along a "
        "row.\n"
    )
    yield from _figure("quartiles.png", "PQ by quartile of complexity", figures)


def _alpha(comparison: Comparison, figures: frozenset[str]) -> Iterator[str]:
    columns, rows = complexity_table(comparison)
    maps = alpha_maps(comparison)
    if not comparison.alpha_rows and not rows and maps is None:
        return
    yield "## α\n"
    if comparison.alpha_rows:
        yield from table_lines(alpha_table(comparison))
        interval = "bootstrap interval over seeds and images" if comparison.by_image else "t interval over seeds"
        yield (
            "\nMean α of each level (mean ± standard deviation over runs), and Spearman's ρ over images between α and "
            f"the true complexity: its mean over the runs whose α varies, with the {PERCENT} {interval}, for one run "
            "the interval over its images. * marks an interval without 0; elsewhere no relation is shown.\n"
        )
        yield from _figure("alpha.png", "α against the complexity of the truth", figures)
    if maps is not None:
        yield from _figure("alpha_maps.png", maps[1], figures)
        yield f"*{maps[1]}*\n"
    if rows:
        yield from table_lines((columns, rows))
        yield (
            "\nR² is the share of the variance of the true complexity that the predicted one explains: 1 at best, 0 "
            "for the mean, below 0 for worse than that. The change of PQ is in points, when each image is fused with "
            "the complexity that was predicted for another; a loss means that the network makes use of it. The "
            "interval is Student's, for other seeds on the same images.\n"
        )


def alpha_maps(comparison: Comparison) -> tuple[Path, str] | None:
    """Return path and caption of the first figure of α maps written by an evaluation; ``None`` without one."""
    for variant in comparison.variants:
        for run in variant.runs:
            path = run.folder / f"evaluate_{comparison.split}" / "alpha_maps.png"
            if path.is_file():
                return path, f"α over images, {variant.name}, seed {run.seed}"
    return None


def _figure(name: str, caption: str, figures: frozenset[str]) -> Iterator[str]:
    if name in figures:
        yield f"![{caption}]({name})\n"


def table_lines(table: Table) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    columns, rows = table
    for i, row in enumerate([columns, *rows]):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
        if i == 0:
            yield "|" + "---|" * len(columns)


def spread_text(found: Spread, decimals: int = 2) -> str:
    """Format a spread as ``39.31 ± 0.52``, a single value as its mean, and no value as a dash."""
    if found.count == 0:
        return "–"
    mean = f"{found.mean:.{decimals}f}"
    return mean if found.count == 1 else f"{mean} ± {found.std:.{decimals}f}"


def interval_text(estimate: Estimate) -> str:
    """Format an interval as ``[+0.10, +0.52]``, or as a dash if it is not defined."""
    return "–" if math.isnan(estimate.low) else f"[{_signed(estimate.low)}, {_signed(estimate.high)}]"


def with_interval(estimate: Estimate) -> str:
    """Format an estimate as ``+0.31 [+0.10, +0.52] *``, with the mark if the interval excludes 0."""
    if math.isnan(estimate.value):
        return "–"
    if math.isnan(estimate.low):
        return _signed(estimate.value)
    return f"{_signed(estimate.value)} {interval_text(estimate)}{' *' if excludes_zero(estimate) else ''}"


def _direction(change: Estimate) -> str:
    if not excludes_zero(change):
        return "no difference shown"
    return "higher" if change.value > 0 else "lower"


def number_text(value: float) -> str:
    """Format a number, or NaN as a dash."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}"


def minutes(variant: Variant) -> Spread:
    """Return the training minutes over the runs of a variant."""
    return spread(run.minutes for run in variant.runs)
