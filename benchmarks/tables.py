"""``python -m benchmarks.tables [--check]``: write the tables of results into the documentation.

Each table is generated from a JSON file in ``benchmarks/results/`` and replaces the text between the markers
``<!-- table NAME -->`` and ``<!-- end -->``. With ``--check``, nothing is written, and stale pages are an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import cpu_tables, study
from benchmarks.gpu import tables as gpu
from benchmarks.measuring import read
from benchmarks.recording import run_table
from benchmarks.soak.tables import soak

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = CHECKOUT / "benchmarks" / "results"
MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "gpu_checks": ("gpu.json", gpu.gpu_checks),
    "gpu_aims": ("gpu.json", gpu.gpu_aims),
    "gpu_training": ("gpu.json", gpu.gpu_training),
    "gpu_inference": ("gpu.json", gpu.gpu_inference),
    "gpu_floor": ("gpu.json", gpu.gpu_floor),
    "gpu_full": ("gpu.json", gpu.gpu_full),
    "gpu_alpha": ("gpu.json", gpu.gpu_alpha),
    "full_cpu": ("full_cpu.json", run_table),
    "quick": ("quick.json", run_table),
    "quick_seeds": ("quick_seeds.json", study.screened_recipes),
    "cpu_inference": ("inference.json", cpu_tables.inference),
    "cpu_training": ("training.json", cpu_tables.training),
    "cpu_depthwise": ("depthwise.json", cpu_tables.depthwise),
    "cpu_painting": ("loading.json", cpu_tables.painting),
    "cpu_augmenting": ("loading.json", cpu_tables.augmenting),
    "cpu_loading": ("loading.json", cpu_tables.loading),
    "cpu_startup": ("startup.json", cpu_tables.startup),
    "cpu_latency": ("latency.json", cpu_tables.latency),
    "cpu_scaling": ("scaling.json", cpu_tables.scaling),
    "cpu_profiling": ("profiling.json", cpu_tables.profiling),
    "cpu_allocation": ("allocation.json", cpu_tables.allocation),
    "cpu_export": ("export.json", cpu_tables.exported),
    "cpu_predicting": ("predicting.json", cpu_tables.predicting),
    "soak": ("soak.json", soak),
    "metrics": ("metrics.json", cpu_tables.metrics),
    "fusion_summary": ("fusion_study.json", study.fusion_summary),
    "fusion_about": ("fusion_study.json", study.about),
    "fusion_scores": ("fusion_study.json", study.study_scores),
    "fusion_differences": ("fusion_study.json", study.study_differences),
    "fusion_protocol": ("fusion_study.json", study.protocol_conclusions),
    "fusion_quartiles": ("fusion_study.json", study.study_quartiles),
    "fusion_liveness": ("fusion_study.json", study.study_liveness),
    "headroom": ("headroom.json", study.headroom_choices),
    "real_scores": ("real_study.json", study.real_scores),
    "real_conclusions": ("real_study.json", study.real_conclusions),
    "headroom_real": ("headroom_real.json", study.headroom_choices),
    "resolution": ("resolution.json", study.resolutions),
    "photo_screen": ("photo_screen.json", study.screened_recipes),
    "fusion_screen": ("fusion_screen.json", study.screened_fusions),
    "fusion_screen_heads": ("fusion_screen_heads.json", study.screened_local_fusions),
    "fusion_confirmation": ("fusion_confirmation.json", study.confirmed_fusions),
    "own_photos": ("own_photos.json", study.screened_recipes),
    "own_weights": ("own_weights.json", study.screened_recipes),
    "own_widths": ("own_widths.json", study.screened_recipes),
    "own_nuclei": ("own_nuclei.json", study.screened_recipes),
    "own_cpu": ("own_cpu.json", study.own_runs),
    "camvid_peers": ("camvid_peers.json", study.trained_peers),
    "camvid_peers_cpu": ("camvid_peers_cpu.json", study.trained_peers),
    "fusion_alpha": ("fusion_study.json", study.study_alpha),
    "component_about": ("component_study.json", study.about),
    "component_differences": ("component_study.json", study.study_differences),
}
"""JSON file and function that formats its content as Markdown, by name in the marker.

The function gets an empty dictionary if the file is missing.
"""


def filled(text: str, results: Path = RESULTS) -> str:
    """Return the text of a page with its tables regenerated.

    Args:
        text: Text of the page.
        results: Folder of the JSON files.

    Raises:
        KeyError: If a marker names an unknown table.
    """

    def fill(match: re.Match) -> str:
        file, make = TABLES[match[2]]
        path = results / file
        report = read(path) if path.is_file() else {}
        return f"{match[1]}{make(report)}\n{match[3]}"

    return MARKED.sub(fill, text)


def pages() -> list[Path]:
    """Return the pages that can contain tables."""
    return [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def main() -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    check = parser.parse_args().check
    stale = [page for page in pages() if filled(page.read_text()) != page.read_text()]
    for page in stale:
        if not check:
            page.write_text(filled(page.read_text()))
        outcome = "stale; python -m benchmarks.tables writes it anew" if check else "written"
        print(f"{page.relative_to(CHECKOUT)}: {outcome}")
    sys.exit(bool(check and stale))


if __name__ == "__main__":
    main()
