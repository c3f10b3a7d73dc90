"""Gather results of several runs or commands in one JSON file, from which tables in the documentation are generated.

python -m benchmarks.collecting runs FOLDER [FOLDER ...] --output FILE         last scores on val of finished runs
python -m benchmarks.collecting files NAME=FILE [NAME=FILE ...] --output FILE  JSON files of commands, by name
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import read, write
from benchmarks.recording import scores_of
from panoptic.config.keys import differences, is_below

SCORES = ("pq", "pq_things", "pq_stuff", "mean_iou")

OF_TRAINING = ("mean_iou_stuff",)
"""Further scores of the last validation, which ``evaluate`` does not write."""

WITHOUT_EFFECT = ("seed", "logger", "name", "data.root", "study", "evaluation")
"""Keys that runs may differ in without another recipe."""


def run_figures(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return settings and last scores on val of finished runs.

    Args:
        folders: Folders of the runs. Settings are what differs from the configuration of the first.
    """
    summaries = [read(folder / "summary.json") for folder in folders]
    return [
        {
            "settings": _settings(summaries[0]["config"], summary["config"]),
            "seed": summary["config"]["seed"],
            "steps": summary["steps"],
            **{name: summary["last"][f"val/{name}"] for name in SCORES},
            **{name: summary["last"][f"val/{name}"] for name in OF_TRAINING if f"val/{name}" in summary["last"]},
            **_with_chosen_decoding(folder, summary),
            **_on_test(folder),
        }
        for folder, summary in zip(folders, summaries, strict=True)
    ]


def _with_chosen_decoding(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a run chose for decoding, and its scores with that, if it did."""
    if "decoding" not in summary:
        return {}
    return {
        "data": Path(summary["config"]["data"]["root"]).name,
        "normalize": summary["config"]["data"].get("normalize", "range"),
        "center": summary["config"]["loss"]["center"],
        "seconds": summary["seconds"],
        "decoding": summary["decoding"],
        "chosen": {name: scores_of(folder / "evaluate_val" / "scores.json")[name] for name in SCORES},
    }


def _on_test(folder: Path) -> dict[str, Any]:
    scores = folder / "evaluate_test" / "scores.json"
    return {"test": {name: scores_of(scores)[name] for name in SCORES}} if scores.is_file() else {}


def _settings(baseline: dict[str, Any], config: dict[str, Any]) -> str:
    changed = {
        key: new
        for key, (_, new) in differences(baseline, config).items()
        if new is not None and not is_below(key, WITHOUT_EFFECT)
    }
    # What a part is says more than all of its settings.
    parts = [key.removesuffix("._target_") for key in changed if key.endswith("._target_")]
    named = {part: str(changed[f"{part}._target_"]).rpartition(".")[2] for part in parts}
    return " ".join(f"{key}={value}" for key, value in {**named, **_outside(changed, parts)}.items())


def _outside(changed: dict[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in changed.items() if not is_below(key, parts)}


def main() -> None:
    """Write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["runs", "files"])
    parser.add_argument("sources", nargs="+", help="folders of runs, or NAME=FILE")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.kind == "runs":
        write(arguments.output, {"runs": run_figures([Path(folder) for folder in arguments.sources])})
        return
    pairs = [source.partition("=") for source in arguments.sources]
    if not all(equals for _, equals, _ in pairs):
        parser.error("files: expected NAME=FILE for each")
    contents = {name: read(Path(file)) for name, _, file in pairs}
    write(arguments.output, {name: _without_path(content) for name, content in contents.items()})


def _without_path(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "checkpoint"}


if __name__ == "__main__":
    main()
