"""Command ``python -m panoptic.compare``: compare runs paired by seed, or any models' scores image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
"""All files that a comparison of runs can write."""

SCORE_FILES = ("report.md", "comparison.json")
"""All files that a comparison of per-image scores writes."""


def compare(config: DictConfig) -> None:
    """Compare runs, or the scores of any models, and write a report.

    Raises:
        InputError: If an input is invalid; nothing is written in that case.
    """
    if config.runs is not None and config.scores is not None:
        raise InputError("scores: expected either runs or scores, got both")
    if config.scores is not None:
        if config.split is not None:
            raise InputError(f"split: expected none with scores, which are of one split, got {config.split!r}")
        _compare_scores(config)
        return
    if config.runs is None:
        raise InputError("runs: expected a value (runs=...), got none; scores=[A,B] compares models image by image")
    if config.names is not None:
        raise InputError("names: expected none with runs, which are named by their configuration, got some")
    _compare_runs(config)


def _compare_runs(config: DictConfig) -> None:
    """Compare the variants among finished runs."""
    from panoptic.comparison.differences import compare_variants
    from panoptic.comparison.report import About, boundary_remark, difference_table, score_table
    from panoptic.comparison.runs import SPLITS, read_runs, thing_categories
    from panoptic.comparison.variants import choose_baseline, find_variants, same_images, warnings_of

    if config.split not in (None, *SPLITS):
        raise InputError(f"split: expected {' or '.join(SPLITS)}, got {config.split!r}")
    folders = [Path(name).expanduser() for name in _texts("runs", config.runs, "a folder, or folders as runs=[A,B]")]
    output = _output(config, [folder.resolve().name for folder in folders])
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
    about = About(_command(config, {"runs": folders}), tuple(folders), tuple(warnings))
    _write(output, lambda part: _write_runs(part, comparison, about))
    for warning in warnings:
        print(f"warning: {warning}")
    _print(f"{split}: points, mean ± standard deviation over runs", score_table(comparison))
    if remark := boundary_remark(comparison):
        print(remark)
    if comparison.others:
        _print(f"points more than {baseline.name}, runs paired by seed", difference_table(comparison))
    print(f"report: {output / 'report.md'}")


def _print(title: str, table: Table, keys: int = 1) -> None:
    """Print a table, narrower than in a report: without spaces around ± and without repeated names."""
    from panoptic.commands.console import print_rows

    columns, rows = table
    previous = [None, *(row[0] for row in rows)]
    names = ["" if row[0] == last else row[0] for row, last in zip(rows, previous, strict=False)]
    cells = [[name, *(cell.replace(" ± ", "±") for cell in row[1:])] for name, row in zip(names, rows, strict=True)]
    print_rows(title, columns, cells, keys=keys)


def _compare_scores(config: DictConfig) -> None:
    """Compare models by their per-image scores."""
    from panoptic.comparison import score_report
    from panoptic.comparison.images import TRUTH
    from panoptic.comparison.report import NAMES
    from panoptic.comparison.score_differences import compare_score_files
    from panoptic.comparison.score_files import read_score_files
    from panoptic.utils.files import write_json

    paths = [Path(name).expanduser() for name in _texts("scores", config.scores, "files as scores=[A,B]")]
    names = None if config.names is None else _texts("names", config.names, "names as names=[A,B]")
    files, warnings = read_score_files(paths, names)
    by_name = {file.name: file for file in files}
    if config.baseline is not None and config.baseline not in by_name:
        raise InputError(f"baseline: expected one of {', '.join(by_name)}, got {config.baseline!r}")
    baseline = files[-1] if config.baseline is None else by_name[config.baseline]
    output = _output(config, [Path(name).name for name in by_name])
    if own := {path.resolve() for path in paths} & {(output / file).resolve() for file in (*FILES, *SCORE_FILES)}:
        raise InputError(f"output={output}: expected another folder, got that of {own.pop().name}, which is to be read")
    comparison = compare_score_files(files, baseline)
    command = _command(config, {"scores": paths, "names": names})

    def write(part: Path) -> None:
        (part / "report.md").write_text(score_report.markdown(comparison, command, warnings), encoding="utf-8")
        write_json(part / "comparison.json", score_report.as_json(comparison, command, warnings))

    _write(output, write)
    for warning in warnings:
        print(f"warning: {warning}")
    _print(f"{len(baseline.images.ids)} images: points", score_report.score_table(comparison), keys=2)
    title = f"points more than {baseline.name}, with intervals over images (not training seeds)"
    _print(title, score_report.difference_table(comparison), keys=2)
    for measure in TRUTH:
        _print(f"PQ by quartile of {NAMES[measure]}", score_report.quartile_table(comparison, measure), keys=3)
    print(f"report: {output / 'report.md'}")


def _texts(key: str, given: Any, expected: str) -> list[str]:
    """Return the values of a key that takes one or a list.

    Raises:
        InputError: If it is neither.
    """
    values = list(given) if isinstance(given, ListConfig) else [given]
    if not values or not all(isinstance(value, (str, int, float)) and str(value) for value in values):
        raise InputError(f"{key}: expected {expected}, got {given!r}")
    return [str(value) for value in values]


def _output(config: DictConfig, names: Sequence[str]) -> Path:
    """Return the output folder, by default named after what is compared, split and baseline.

    Raises:
        InputError: If the path is a file.
    """
    from panoptic.config.resolvers import slug

    names = [*names, *(f"{key}-{config[key]}" for key in ("split", "baseline") if config[key] is not None)]
    output = (
        Path("runs") / "compare" / slug("_".join(names)) if config.output is None else Path(config.output).expanduser()
    )
    if output.exists() and not output.is_dir():
        raise InputError(f"output={output}: expected a folder, got a file")
    return output


def _command(config: DictConfig, inputs: Mapping[str, Sequence[object] | None]) -> str:
    """Return the command line that reproduces the comparison.

    Args:
        config: Configuration of the command.
        inputs: Values by key; a single one stands without brackets.
    """
    import shlex

    keys = {
        key: str(values[0]) if len(values) == 1 else f"[{','.join(map(str, values))}]"
        for key, values in inputs.items()
        if values is not None
    }
    keys |= {key: config[key] for key in ("split", "baseline", "output") if config[key] is not None}
    return " ".join(["python -m panoptic.compare", *(shlex.quote(f"{key}={value}") for key, value in keys.items())])


def _write_runs(part: Path, comparison: Comparison, about: About) -> None:
    """Write report, tables and figures of a comparison of runs to a folder."""
    import shutil

    from panoptic.comparison.figures import write_plots
    from panoptic.comparison.report import alpha_maps, markdown
    from panoptic.comparison.tables import write_tables

    write_tables(part, comparison)
    figures = write_plots(part, comparison)
    maps = alpha_maps(comparison)
    if maps is not None:
        shutil.copyfile(maps[0], part / "alpha_maps.png")
        figures.append("alpha_maps.png")
    (part / "report.md").write_text(markdown(comparison, about, figures), encoding="utf-8")


def _write(output: Path, write: Callable[[Path], None]) -> None:
    """Write all files to a temporary folder, then move them to the output folder, so that all or none appear.

    Args:
        output: Output folder. Files of an earlier comparison there are removed.
        write: Function that writes files to the folder that it gets.
    """
    import os
    import tempfile

    from panoptic.utils.files import output_folder

    with output_folder(output), tempfile.TemporaryDirectory(dir=output, prefix=".part") as name:
        part = Path(name)
        write(part)
        for file in {*FILES, *SCORE_FILES}:
            if (part / file).exists():
                os.replace(part / file, output / file)
            else:
                (output / file).unlink(missing_ok=True)  # left by an earlier comparison
