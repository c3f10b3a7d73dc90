"""``python -m benchmarks.recording RUN --output FILE``: write scores, speed and losses of a finished run as JSON."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import read, table, write

SCORES = ("pq", "sq", "rq", "pq_things", "pq_stuff", "boundary_pq", "boundary_f1", "mean_iou")
POINTS = 60
"""Maximum number of points of a loss curve."""

KEPT = ("steps", "epochs", "seconds", "training", "precision", "device", "versions", "parameters", "backbone_weights")


def figures_of_run(folder: Path) -> dict[str, Any]:
    """Return speed and scores on val and test from the folder of a run, as far as available."""
    figures: dict[str, Any] = {}
    if (folder / "summary.json").is_file():
        summary = read(folder / "summary.json")
        figures |= {name: summary[name] for name in KEPT}
        figures["config"] = {key: value for key, value in summary["config"].items() if key != "logger"}  # a path
        figures["alpha"] = {n.removeprefix("val/"): v for n, v in summary["last"].items() if n.startswith("val/alpha_")}
        figures["val"] = {name: summary["last"][f"val/{name}"] for name in SCORES}
    scores = folder / "evaluate_test" / "scores.json"
    if scores.is_file():
        figures["test"] = scores_of(scores)
        figures["test images"], figures["fusion"] = (read(scores)[name] for name in ("images", "fusion"))
    return figures


def scores_of(file: Path) -> dict[str, float]:
    """Return the mean scores of an evaluation, under the names used in the logs of training."""
    evaluation = read(file)
    return {
        **{name: evaluation["all"][name] for name in ("pq", "sq", "rq")},
        **{f"pq_{group}": evaluation[group]["pq"] for group in ("things", "stuff")},
        "boundary_pq": evaluation["boundary_pq"]["all"]["pq"],
        **{name: evaluation[name] for name in ("boundary_f1", "mean_iou")},
    }


def loss_curve(folder: Path) -> list[tuple[int, float]]:
    """Return steps and training losses of a run, averaged over equal intervals; none of a run without a dashboard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not any(folder.rglob("events.out.tfevents.*")):
        return []
    (events,) = {file.parent for file in folder.rglob("events.out.tfevents.*")}
    accumulator = EventAccumulator(str(events), size_guidance={"scalars": 0})
    accumulator.Reload()
    points = accumulator.Scalars("train/loss")
    length = max(-(-len(points) // POINTS), 1)
    intervals = [points[i : i + length] for i in range(0, len(points), length)]
    return [(interval[-1].step, sum(point.value for point in interval) / len(interval)) for interval in intervals]


def run_table(report: dict[str, Any]) -> str:
    """Format scores and loss curve of a run as Markdown."""
    if not report:
        return "not measured yet"
    config = report["config"]
    rows = [(split, *(f"{report[split][name]:.3f}" for name in SCORES)) for split in ("val", "test") if split in report]
    columns = ("split", "PQ", "SQ", "RQ", "PQ things", "PQ stuff", "Boundary PQ", "boundary F1", "mean IoU")
    text = (
        f"*{report['date']}, {report['device']}, {report['precision']}, torch {report['versions']['torch']}: "
        f"{report['steps']} steps of {config['data']['batch_size']} images in {report['seconds'] / 60:.0f} min, "
        f"{report['training']['images_per_second']:.2f} images/s*\n" + table("Scores", columns, rows)
    )
    if "alpha_active_units" in (alpha := report.get("alpha", {})):
        deviations = ", ".join(f"{value:.3f} ({n[-2:]})" for n, value in alpha.items() if n.startswith("alpha_std_"))
        text += f"\n\nα deviates over the validation images by {deviations}; "
        text += f"{alpha['alpha_active_units']:.0%} of the hidden units behind it are active.\n"
    if curve := report["loss"]:
        shown = [curve[i] for i in sorted({round(k * (len(curve) - 1) / 9) for k in range(10)})]
        steps = ("step", *(str(step) for step, _ in shown))
        text += table("Training loss", steps, [("loss", *(v for _, v in shown))])
    return text


def main() -> None:
    """Write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    if not (arguments.run / "summary.json").is_file():
        parser.error(f"{arguments.run}: expected the folder of a finished run, with summary.json, got none")
    if not set(KEPT) <= set(read(arguments.run / "summary.json")):
        parser.error(f"{arguments.run / 'summary.json'}: expected the summary of a run of this version, got another")
    about = {"date": datetime.date.today().isoformat()}
    write(arguments.output, about | figures_of_run(arguments.run) | {"loss": loss_curve(arguments.run)})


if __name__ == "__main__":
    main()
