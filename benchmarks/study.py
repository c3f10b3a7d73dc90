"""``python -m benchmarks.study FOLDER [FOLDER ...] --output FILE``: store the tables of a comparison as JSON.

``FOLDER`` is the output folder of ``python -m panoptic.compare``; further folders are comparisons of the same runs with
other baselines. Tables in the documentation are generated from the JSON file.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from benchmarks.measuring import read, table, write

UNKNOWN = "not measured yet"

COMPARISONS = (("adaptive", "uniform"), ("local", "uniform"), ("adaptive", "static"), ("adaptive", "features"))
"""Comparisons of ``docs/protocol.md``: variant and baseline."""

ADDED = (("local", "static"), ("local", "features"))
"""Comparisons that were added afterwards."""

CONFIRMED = ("PQ", "boundary F1")
"""Scores for which the confirmation of screens is reported; only the first leads to a conclusion."""

MATTERS = 0.5
"""Smallest difference that matters, in points; see ``docs/protocol.md``."""


def tables_of_report(text: str) -> dict[str, Any]:
    """Parse the list at the top of a report, and its tables by the heading of their section.

    Args:
        text: Content of ``report.md``.
    """
    sections = re.split(r"(?m)^## ", text)
    about = dict(re.findall(r"(?m)^- (\w+): (.*)$", sections[0]))
    tables: dict[str, list[dict[str, Any]]] = {}
    for section in sections[1:]:
        title, _, body = section.partition("\n")
        for block in re.findall(r"(?m)(?:^\|.*\n?)+", body):
            columns, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
            tables.setdefault(title, []).append({"columns": columns, "rows": rows})
    return {"about": about, "tables": tables}


def _rows(report: dict[str, Any], title: str, number: int = 0) -> list[dict[str, str]]:
    """Return the rows of a table by column.

    Args:
        report: Content of the JSON file.
        title: Title of the section, or its beginning.
        number: Index of the table in the section.
    """
    name = next((name for name in report.get("tables", {}) if name.startswith(title)), None)
    if name is None:
        return []
    content = report["tables"][name][number]
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def _differences(report: dict[str, Any], score: str) -> dict[str, dict[str, str]]:
    return {row["variant"]: row for row in _rows(report, "Differences to") if row["score"] == score}


def about(report: dict[str, Any]) -> str:
    """Format the runs, seeds, split, scenes and command of a study."""
    if "about" not in report:
        return f"Runs: {UNKNOWN}."
    facts = report["about"]
    command = re.sub(r" output=[^ `]+", "", facts["command"])
    return (
        f"{facts['runs']}, seeds {facts['seeds']}; scores {facts['scores']}; scenes of {facts['scenes']}; "
        f"compared by {command}."
    )


def fusion_summary(report: dict[str, Any]) -> str:
    """Format PQ of each fusion, and its difference to the baseline."""
    differences = _differences(report, "PQ")
    rows = []
    for row in _rows(report, "Scores"):
        change = differences.get(row["variant"])
        cells = ("", "", "") if change is None else (change["mean"], change["95% t"], change["95% bootstrap"])
        rows.append((row["variant"], row["PQ"], *cells))
    baseline = report.get("about", {}).get("baseline", "the baseline")
    columns = ("fusion", "PQ, points", f"minus {baseline}", "95% interval, paired t", "95% interval, bootstrap")
    order = ("uniform", "static", "features", "adaptive", "local")
    rows.sort(key=lambda row: order.index(row[0]) if row[0] in order else len(order))
    return table("Ways to fuse", columns, rows or [(UNKNOWN, *[""] * 4)]).strip()


def study_scores(report: dict[str, Any]) -> str:
    """Format the mean scores of each variant."""
    rows = [tuple(row.values()) for row in _rows(report, "Scores")]
    columns = tuple(next(iter(_rows(report, "Scores")), {"variant": ""}))
    return table("Points, mean ± standard deviation over runs", columns, rows or [(UNKNOWN,)]).strip()


def study_differences(report: dict[str, Any]) -> str:
    """Format the differences in each score to the baseline, paired by seed."""
    rows = [
        (row["variant"], row["score"], row["mean"], row["95% t"], row["95% bootstrap"], row["says"])
        for row in _rows(report, "Differences to")
    ]
    columns = ("variant", "score", "difference, points", "95% t", "95% bootstrap", "by both intervals")
    title = f"Minus {report.get('about', {}).get('baseline', 'the baseline')}, runs paired by seed"
    return table(title, columns, rows or [(UNKNOWN, *[""] * 5)]).strip()


def protocol_conclusions(report: dict[str, Any]) -> str:
    """Format the comparisons of ``docs/protocol.md`` with what it concludes from each interval."""
    rows = []
    for variant, baseline in (*COMPARISONS, *ADDED):
        of_baseline = report if _baseline(report) == baseline else report.get("others", {}).get(baseline, {})
        row = _differences(of_baseline, "PQ").get(variant)
        cells = (UNKNOWN, "", "") if row is None else (row["mean"], row["95% t"], conclusion(row["95% t"]))
        added = ", added afterwards" if (variant, baseline) in ADDED else ""
        rows.append((f"{variant} - {baseline}{added}", *cells))
    return table("PQ on test, points", ("comparison", "difference", "95% t", "conclusion"), rows).strip()


def conclusion(interval: str) -> str:
    """Return what ``docs/protocol.md`` concludes from an interval, written as ``[low, high]``."""
    low, high = (float(bound) for bound in interval.strip("[]").split(","))
    shown = "shown" if low > 0 else "shown, lower" if high < 0 else None
    absent = "absent" if low > -MATTERS and high < MATTERS else None
    return ", ".join(filter(None, (shown, absent))) or "undecided"


def _baseline(report: dict[str, Any]) -> str | None:
    return report.get("about", {}).get("baseline")


def real_scores(reports: dict[str, Any]) -> str:
    """Format the mean scores of each variant on each set of real images."""
    rows = [(data, *row.values()) for data, report in reports.items() for row in _rows(report, "Scores")]
    columns = ("data", *next((tuple(row) for r in reports.values() for row in _rows(r, "Scores")), ("variant",)))
    return table("Points on val, mean ± standard deviation over runs", columns, rows or [(UNKNOWN, "")]).strip()


def real_conclusions(reports: dict[str, Any]) -> str:
    """Format the difference of adaptive to uniform fusion on each set of real images, and how much α varies there."""
    rows = []
    for data, report in reports.items():
        difference, alive = _differences(report, "PQ")["adaptive"], report["liveness"][0]
        std = "{:.3f} to {:.3f}".format(*alive["std"]["P2"])
        interval = difference["95% t"]
        cells = (difference["pairs"], difference["mean"], interval, conclusion(interval))
        rows.append((data, *cells, std, f"{alive['active units']:.0%}"))
    columns = (
        "data",
        "pairs",
        "adaptive - uniform",
        "95% t",
        "conclusion",
        "std of α of P2 over images",
        "active units",
    )
    return table("PQ on val, points", columns, rows or [(UNKNOWN, *[""] * 6)]).strip()


def resolutions(reports: dict[str, Any]) -> str:
    """Format PQ against time for fixed resolutions and the adaptive one, on each split that was scored."""
    rows = [
        (data, row["resolution"], f"{row['pq']:.2f}", f"{row['time']:.2f}", f"{row['full']:.0%}")
        for data, report in reports.items()
        for row in report["rows"]
    ]
    columns = ("images", "resolution", "PQ", "time", "at full size")
    return table("Points of PQ, and time relative to full size", columns, rows or [(UNKNOWN, *[""] * 4)]).strip()


def screened_recipes(report: dict[str, Any]) -> str:
    """Format the scores of the recipes that were tried, by what differs from the first, with PQ on test if known."""
    runs = report.get("runs", [])
    on_test = any("test" in run for run in runs)
    scores = {"pq": "PQ", "pq_things": "PQ things", "pq_stuff": "PQ stuff", "mean_iou": "mean IoU"}
    if any("mean_iou_stuff" in run for run in runs):
        scores["mean_iou_stuff"] = "mean IoU, stuff"
    rows = [
        (
            run["settings"] or "none",
            str(run["seed"]),
            *(f"{100 * run[n]:.1f}" for n in scores),
            *([f"{100 * run['test']['pq']:.1f}" if "test" in run else ""] if on_test else []),
        )
        for run in runs
    ]
    columns = ("changed", "seed", *scores.values(), *(["PQ, test"] if on_test else []))
    return table("Points on val", columns, rows or [(UNKNOWN, *[""] * (len(columns) - 1))]).strip()


def own_runs(report: dict[str, Any]) -> str:
    """Format the scores of runs that chose their decoding, with what is configured and with what was chosen."""
    rows = [
        (
            run["data"],
            run["normalize"],
            f"{run['center']:g}",
            str(run["seed"]),
            str(run["steps"]),
            f"{run['seconds'] / 60:.0f}",
            *(f"{100 * scores[n]:.1f}" for scores in (run, run["chosen"]) for n in ("pq", "pq_things", "mean_iou")),
            " ".join(
                f"{run['decoding'][key]:g}" for key in ("peak_threshold", "peak_window", "thing_area", "stuff_area")
            ),
        )
        for run in report.get("runs", [])
    ]
    scores = ("PQ", "PQ things", "mean IoU")
    columns = ("data", "normalize", "loss.center", "seed", "steps", "minutes", *scores)
    columns += (*(f"{n}, chosen" for n in scores), "chosen")
    return table("Points on val", columns, rows or [(UNKNOWN, *[""] * 12)]).strip()


def screened_fusions(report: dict[str, Any]) -> str:
    """Format PQ of the fusions that were tried, by seed, and the mean difference to uniform fusion, the first."""
    return _screened(report, "uniform")


def screened_local_fusions(report: dict[str, Any]) -> str:
    """Format the same for variants of local fusion, with the mean difference to local fusion, the first."""
    return _screened(report, "local")


def _screened(report: dict[str, Any], baseline: str) -> str:
    scores: dict[str, dict[int, float]] = {}
    for run in report.get("runs", []):
        changed = dict(setting.split("=", 1) for setting in run["settings"].split())
        variant = changed.get("model.fusion", baseline).removesuffix("Fusion").lower()
        variant += ", one for each head" if "model.fusion_per_head" in changed else ""
        scores.setdefault(variant, {})[run["seed"]] = 100 * run["pq"]
    seeds = sorted({seed for of_seed in scores.values() for seed in of_seed})
    rows = []
    for variant, of_seed in scores.items():
        gains = [score - scores[baseline][seed] for seed, score in of_seed.items()]
        mean = "" if variant == baseline else f"{sum(gains) / len(gains):+.2f}"
        rows.append((variant, *(f"{of_seed[seed]:.1f}" for seed in seeds), mean))
    columns = ("variant", *(f"seed {seed}" for seed in seeds), f"minus {baseline}, mean")
    return table("PQ on val, points", columns, rows or [(UNKNOWN,)]).strip()


def confirmed_fusions(reports: dict[str, Any]) -> str:
    """Format the differences of what the screens found, with fresh seeds on test."""
    rows = []
    for screen, report in reports.items():
        for row in _rows(report, "Differences to"):
            if row["score"] in CONFIRMED:
                comparison = f"{row['variant']} - {_baseline(report)}"
                ends = conclusion(row["95% t"]) if row["score"] == "PQ" else ""
                rows.append((screen, comparison, row["score"], row["pairs"], row["mean"], row["95% t"], ends))
    columns = ("screen", "comparison", "score", "pairs", "difference", "95% t", "conclusion")
    return table("Points on test", columns, rows or [(UNKNOWN, *[""] * 6)]).strip()


def trained_peers(report: dict[str, Any]) -> str:
    """Format mean IoU of other networks that were trained in the same way, by ``benchmarks.camvid``."""
    rows = [
        (
            run["architecture"],
            run["recipe"],
            str(run["seed"]),
            f"{run['parameters'] / 1e6:.1f}",
            str(run["steps"]),
            f"{100 * run['scores']['mean_iou']:.1f}",
        )
        for run in report.values()
    ]
    columns = ("network", "recipe", "seed", "parameters, millions", "steps", "mean IoU")
    return table("Points on val", columns, rows or [(UNKNOWN, *[""] * 5)]).strip()


def headroom_choices(report: dict[str, Any]) -> str:
    """Format the gain of each way to choose fusion weights, on each split that was scored."""
    rows: dict[tuple[str, str], list[str]] = {}
    splits = list(report)
    for split in splits:
        for choice in report[split]["choices"]:
            gain = choice["gain"]
            text = f"{gain['value']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"
            rows.setdefault((choice["weights"], choice["chosen_on"]), []).append(text)
    columns = ("weights", "chosen on", *(f"{split}, {report[split]['images']} images" for split in splits))
    cells = [(*key, *gains) for key, gains in rows.items() if key != ("best fixed", "the other half")]
    title = "Gain in PQ over the best fixed weights chosen on other images, points"
    return table(title, columns, cells or [(UNKNOWN, "")]).strip()


def study_quartiles(report: dict[str, Any]) -> str:
    """Format the differences of adaptive and local fusion to the baseline, by quartile of complexity."""
    baseline = _baseline(report)
    names = [f"{variant} less {baseline}" for variant in ("adaptive", "local")]
    rows = [
        (measure, row["quartile"], row["range"], row["images"], *(row[name] for name in names))
        for number, measure in enumerate(("object density", "scale variance"))
        for row in _rows(report, "Complexity of the scene", number)
    ]
    columns = ("measure", "quartile", "range", "images", *names)
    return table("PQ by quartile of complexity, points", columns, rows or [(UNKNOWN, *[""] * 5)]).strip()


def liveness(folder: Path) -> list[dict[str, Any]]:
    """Collect how α varies over the images that each finished run with an MLP was scored on.

    Args:
        folder: Folder of a study.

    Returns:
        By variant: number of runs, devices and precisions, smallest and largest deviation of α over images by level,
        and the smallest share of active hidden units.
    """
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*/evaluate_*/scores.json")):
        summary, fusion = read(path.parents[1] / "summary.json"), read(path)["fusion"]
        if fusion["active_units"] is not None:
            target = summary["config"]["model"]["fusion"]["_target_"]
            found.setdefault(target.rpartition(".")[2].removesuffix("Fusion").lower(), []).append((summary, fusion))
    return [
        {
            "variant": variant,
            "runs": len(runs),
            "devices": sorted({f"{summary['device'].split(':')[0]}, {summary['precision']}" for summary, _ in runs}),
            "std": {
                level: [bound(fusion["alpha"][level]["std"] for _, fusion in runs) for bound in (min, max)]
                for level in runs[0][1]["alpha"]
            },
            "active units": min(fusion["active_units"] for _, fusion in runs),
        }
        for variant, runs in found.items()
    ]


def study_liveness(report: dict[str, Any]) -> str:
    """Format how α varies over images, for each variant with an MLP."""
    rows = [
        (
            row["variant"],
            str(row["runs"]),
            "; ".join(row["devices"]),
            *(f"{low:.3f} to {high:.3f}" for low, high in row["std"].values()),
            f"{row['active units']:.0%}",
        )
        for row in report.get("liveness", [])
    ]
    columns = ("variant", "runs", "device", "P2", "P3", "P4", "least share of active units")
    title = "Deviation of α over the test images, smallest and largest of the runs"
    return table(title, columns, rows or [(UNKNOWN, *[""] * 6)]).strip()


def study_alpha(report: dict[str, Any]) -> str:
    """Format fusion weights against complexity, and the change of PQ with the complexity of another image."""
    text = ""
    for number, title in ((0, "Fusion weights, and Spearman's ρ with true complexity"), (1, "Predicted complexity")):
        rows = _rows(report, "α", number)
        kept = [row for row in rows if row["variant"] not in ("static", "uniform")]
        columns = tuple(next(iter(rows), {"variant": ""}))
        text += table(title, columns, [tuple(row.values()) for row in kept] or [(UNKNOWN,)]) + "\n"
    return text.strip()


def main() -> None:
    """Write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of comparisons, with report.md")
    parser.add_argument("--runs", type=Path, help="folder of the study, for how fusion weights vary over images")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    reports = []
    for folder in arguments.folders:
        file = folder / "report.md"
        if not file.is_file():
            parser.error(f"{folder}: expected the folder of a comparison, with report.md, got none")
        reports.append(tables_of_report(file.read_text(encoding="utf-8")))
    first, *others = reports
    content = first | {"others": {str(_baseline(other)): other for other in others}}
    if arguments.runs is not None:
        content["liveness"] = liveness(arguments.runs)
    write(arguments.output, content)


if __name__ == "__main__":
    main()
