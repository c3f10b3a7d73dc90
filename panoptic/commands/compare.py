"""Command ``python -m panoptic.compare``: compare the variants among finished runs, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from panoptic.errors import InputError

if TYPE_CHECKING:
    from panoptic.comparison.differences import Comparison
    from panoptic.comparison.report import About, Table

FILES = (
    *("report.md", "variants.csv", "differences.csv", "categories.csv", "quartiles.csv", "runs.csv"),
    *("differences.png", "categories.png", "quartiles.png", "alpha.png", "alpha_maps.png"),
)
"""All files that a comparison can write."""


def compare(config: DictConfig) -> None:
    """Run the command.

    Raises:
        InputError: If an input is invalid; nothing is written in that case.
    """
    from panoptic.comparison.differences import compare_variants
    from panoptic.comparison.report import About, difference_table, score_table
    from panoptic.comparison.runs import SPLITS, read_runs, thing_categories
    from panoptic.comparison.variants import choose_baseline, find_variants, same_images, warnings_of

    if config.split not in (None, *SPLITS):
        raise InputError(f"split: expected {' or '.join(SPLITS)}, got {config.split!r}")
    folders = _folders(config.runs)
    output = _output(config, folders)
    runs, split, unfinished = read_runs(folders, config.split)
    variants, duplicates = find_variants(runs)
    baseline = choose_baseline(variants, config.baseline)
    kept = [run for variant in variants for run in variant.runs]
    by_image, images_warning = same_images(kept)
    warnings = [
        *duplicates,
        *warnings_of(variants, baseline, unfinished),
        *([images_warning] if images_warning else []),
    ]
    things = thing_categories(kept) if by_image else None
    comparison = compare_variants(variants, baseline, split, by_image, things)
    _write(output, comparison, About(_command(config, folders), tuple(folders), tuple(warnings)))
    for warning in warnings:
        print(f"warning: {warning}")
    _print(f"{split}: points, mean ± standard deviation over runs", score_table(comparison))
    if comparison.others:
        _print(f"points more than {baseline.name}, runs paired by seed", difference_table(comparison))
    print(f"report: {output / 'report.md'}")


def _print(title: str, table: Table) -> None:
    """Print a table, narrower than in a report: without spaces around ± and without repeated names."""
    from panoptic.commands.console import print_rows

    columns, rows = table
    previous = [None, *(row[0] for row in rows)]
    names = ["" if row[0] == last else row[0] for row, last in zip(rows, previous, strict=False)]
    cells = [[name, *(cell.replace(" ± ", "±") for cell in row[1:])] for name, row in zip(names, rows, strict=True)]
    print_rows(title, columns, cells)


def _folders(given: Any) -> list[Path]:
    """Return the folders in which to search for runs.

    Raises:
        InputError: If the value is not a folder or a list of folders.
    """
    names = list(given) if isinstance(given, ListConfig) else [given]
    if not names or not all(isinstance(name, (str, int, float)) and str(name) for name in names):
        raise InputError(f"runs: expected a folder, or folders as runs=[A,B], got {given!r}")
    return [Path(str(name)).expanduser() for name in names]


def _output(config: DictConfig, folders: Sequence[Path]) -> Path:
    """Return the output folder, by default named after the folders, split and baseline.

    Raises:
        InputError: If the path is a file.
    """
    from panoptic.config.resolvers import slug

    names = [folder.resolve().name for folder in folders]
    names += [f"{key}-{config[key]}" for key in ("split", "baseline") if config[key] is not None]
    output = (
        Path("runs") / "compare" / slug("_".join(names)) if config.output is None else Path(config.output).expanduser()
    )
    if output.exists() and not output.is_dir():
        raise InputError(f"output={output}: expected a folder, got a file")
    return output


def _command(config: DictConfig, folders: Sequence[Path]) -> str:
    """Return the command line that reproduces the comparison."""
    import shlex

    folder_list = f"[{','.join(map(str, folders))}]"
    keys = {"runs": str(folders[0]) if len(folders) == 1 else folder_list}
    keys |= {key: config[key] for key in ("split", "baseline", "output") if config[key] is not None}
    return " ".join(["python -m panoptic.compare", *(shlex.quote(f"{key}={value}") for key, value in keys.items())])


def _write(output: Path, comparison: Comparison, about: About) -> None:
    """Write all files to a temporary folder, then move them to the output folder, so that all or none appear."""
    import os
    import shutil
    import tempfile

    from panoptic.comparison.figures import write_plots
    from panoptic.comparison.report import alpha_maps, markdown
    from panoptic.comparison.tables import write_tables
    from panoptic.utils.files import output_folder

    with output_folder(output), tempfile.TemporaryDirectory(dir=output, prefix=".part") as name:
        part = Path(name)
        write_tables(part, comparison)
        figures = write_plots(part, comparison)
        maps = alpha_maps(comparison)
        if maps is not None:
            shutil.copyfile(maps[0], part / "alpha_maps.png")
            figures.append("alpha_maps.png")
        (part / "report.md").write_text(markdown(comparison, about, figures), encoding="utf-8")
        for file in FILES:
            if (part / file).exists():
                os.replace(part / file, output / file)
            else:
                (output / file).unlink(missing_ok=True)  # left by an earlier comparison
