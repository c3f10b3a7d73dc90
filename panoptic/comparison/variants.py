"""Grouping of runs into variants, and checks of whether variants can be compared.

A *variant* comprises the runs that have the same configuration except for the seed. Variants differ in *factors*: a
key, a group of the configuration whose target differs together with the keys below it, or keys of one group that change
together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic.comparison.images import same_truth
from panoptic.comparison.runs import Run
from panoptic.config.keys import WITHOUT_EFFECT, is_below, leaves
from panoptic.errors import InputError

ENOUGH_PAIRS = 5
"""Smallest number of pairs that is informative; below it, a warning is given whatever the interval."""

FUSION = "model.fusion"
NO_EFFECT = (*WITHOUT_EFFECT, "seed", "name", "hydra")
"""Keys or groups of keys that affect only the seed, names, and storage."""

ABSENT = "absent"
Flat = Mapping[str, str]
"""Configuration as a mapping from dotted keys to values as text."""


@dataclass(frozen=True)
class Factor:
    """Factor in which configurations differ.

    Attributes:
        name: Key, or key of the group.
        keys: All keys that differ.
        target: Key of the target, if the target of a group differs.
    """

    name: str
    keys: tuple[str, ...]
    target: str | None = None

    def value(self, config: Flat) -> tuple[str, ...]:
        """Return the values of the factor's keys in a configuration."""
        return tuple(config.get(key, ABSENT) for key in self.keys)

    def text(self, config: Flat, configs: Sequence[Flat]) -> str:
        """Return a short text for the factor's value, unique among the configurations."""
        if self.target is None:
            return f"{self.keys[0]}={config.get(self.keys[0], ABSENT)}"
        target = config.get(self.target, ABSENT)
        short = target.rsplit(".", 1)[-1]
        name = short.removesuffix("Fusion").lower() if self.name == FUSION else f"{self.name}={short}"
        same_target = [flat for flat in configs if flat.get(self.target, ABSENT) == target]
        differing = [key for key in self.keys if len({flat.get(key, ABSENT) for flat in same_target}) > 1]
        return " ".join([name, *(f"{key}={config.get(key, ABSENT)}" for key in differing)])


@dataclass(frozen=True)
class Variant:
    """Runs with the same configuration except for the seed.

    Attributes:
        name: Unique name.
        runs: Runs sorted by seed, one per seed.
        values: Values of the keys of each factor, by name of the factor.
    """

    name: str
    runs: tuple[Run, ...]
    values: Mapping[str, tuple[str, ...]]

    def by_seed(self) -> dict[int, Run]:
        """Return the runs by seed."""
        return {run.seed: run for run in self.runs}


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that can affect the result of a run, as text by dotted key."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in leaves(config)
        if not is_below(key, NO_EFFECT) and key.rpartition(".")[2] != "_partial_"
    }


def find_factors(configs: Sequence[Flat]) -> list[Factor]:
    """Find the factors in which configurations differ: the fusion first, then in the order of the keys."""
    keys = list(dict.fromkeys(key for config in configs for key in config))
    differing = [key for key in keys if len({config.get(key, ABSENT) for config in configs}) > 1]
    targets = {key.rpartition(".")[0]: key for key in differing if key.rpartition(".")[2] == "_target_"}
    grouped: dict[tuple[Any, ...], list[str]] = {}
    by_partition: dict[tuple[int, ...], list[str]] = {}
    for key in differing:
        parts = key.split(".")
        groups = (".".join(parts[:length]) for length in range(1, len(parts)))
        outermost = next((group for group in groups if group in targets), None)
        if outermost is not None:
            grouped.setdefault(("target", outermost), []).append(key)
            continue
        # Keys change together if they partition the configurations alike. Top-level keys have no group.
        values = [config.get(key, ABSENT) for config in configs]
        by_partition.setdefault(tuple(values.index(value) for value in values), []).append(key)
    for partition, changing in by_partition.items():
        parents = {key: ".".join(key.split(".")[:-1]) or key for key in changing}
        for key, parent in parents.items():
            outermost_parent = min((p for p in parents.values() if f"{parent}.".startswith(f"{p}.")), key=len)
            grouped.setdefault(("keys", outermost_parent, partition), []).append(key)
    uses = Counter(group[1] for group in grouped)
    factors = [
        Factor(group[1], tuple(members), targets[group[1]])
        if group[0] == "target"
        else Factor(group[1] if len(members) > 1 and uses[group[1]] == 1 else " and ".join(members), tuple(members))
        for group, members in grouped.items()
    ]
    return sorted(factors, key=lambda factor: (factor.name != FUSION, keys.index(factor.keys[0])))


def find_variants(runs: Sequence[Run]) -> tuple[list[Variant], list[str]]:
    """Group runs into variants.

    Returns:
        Variants sorted by name, and warnings about runs that are dropped because another run has the same configuration
        and seed.
    """
    by_config: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        by_config.setdefault(tuple(sorted(flatten(run.config).items())), []).append(run)
    groups = list(by_config.values())
    flats = [flatten(group[0].config) for group in groups]
    factors = find_factors(flats)
    names = _names(factors, flats, [len(group) for group in groups])
    variants, warnings = [], []
    for name, flat, group in zip(names, flats, groups, strict=True):
        kept: dict[int, Run] = {}
        for run in sorted(group, key=lambda run: (run.finished, str(run.folder))):
            earlier = kept.get(run.seed)
            if earlier is not None:
                warnings.append(
                    f"{earlier.folder} and {run.folder} have the same configuration and seed ({name}, {run.seed}): "
                    f"the one that finished last, {run.folder}, is kept"
                )
            kept[run.seed] = run
        values = {factor.name: factor.value(flat) for factor in factors}
        variants.append(Variant(name, tuple(kept[seed] for seed in sorted(kept)), values))
    return sorted(variants, key=lambda variant: variant.name), warnings


def _names(factors: Sequence[Factor], flats: Sequence[Flat], sizes: Sequence[int]) -> list[str]:
    """Name each configuration by its fusion, if that differs, and by the factors that differ from most runs.

    Among ablations of several factors, the configuration that is like most runs in each has the name of its fusion.

    Args:
        factors: Factors in which the configurations differ.
        flats: Configurations.
        sizes: Number of runs of each configuration.
    """
    most_common: dict[str, tuple[str, ...]] = {}
    for factor in factors:
        counts: Counter[tuple[str, ...]] = Counter()
        for flat, size in zip(flats, sizes, strict=True):
            counts[factor.value(flat)] += size
        most_common[factor.name] = min(counts, key=lambda value: (-counts[value], value))
    names = []
    for flat in flats:
        texts = {factor.name: factor.text(flat, flats) for factor in factors}
        shown = [f.name for f in factors if f.name == FUSION or f.value(flat) != most_common[f.name]]
        fusion = flat.get(f"{FUSION}._target_", "all").rsplit(".", 1)[-1].removesuffix("Fusion").lower()
        if not shown and len(factors) == 1:
            shown = list(texts)
        names.append(", ".join(texts[name] for name in shown) or fusion)
    if len(set(names)) < len(names):  # targets with the same name in different modules
        keys = [key for factor in factors for key in factor.keys]
        names = [", ".join(f"{key}={flat.get(key, ABSENT)}" for key in keys) for flat in flats]
    return names


def choose_baseline(variants: Sequence[Variant], name: str | None) -> Variant:
    """Return the named variant, by default the one with uniform fusion, else the one with most runs.

    Raises:
        InputError: If there is no variant of that name.
    """
    by_name = {variant.name: variant for variant in variants}
    if name is not None:
        if name not in by_name:
            raise InputError(f"baseline: expected one of the variants ({'; '.join(by_name)}), got {name!r}")
        return by_name[name]
    return by_name.get("uniform") or min(variants, key=lambda variant: (-len(variant.runs), variant.name))


def paired(variant: Variant, baseline: Variant) -> list[tuple[Run, Run]]:
    """Return the pairs of runs of a variant and the baseline with a common seed, sorted by seed."""
    runs, baseline_runs = variant.by_seed(), baseline.by_seed()
    return [(runs[seed], baseline_runs[seed]) for seed in sorted(runs.keys() & baseline_runs.keys())]


def warnings_of(variants: Sequence[Variant], baseline: Variant, unfinished: Sequence[Path]) -> Iterator[str]:
    """List the reasons against comparing these variants, one sentence each."""
    marks = ("nonfinite.json", "summary.json")  # a summary, if its losses are not finite
    diverged = [folder for folder in unfinished if any((folder / mark).is_file() for mark in marks)]
    unfinished = [folder for folder in unfinished if folder not in diverged]
    if diverged:
        folders = ", ".join(map(str, diverged))
        subject = "1 run was" if len(diverged) == 1 else f"{len(diverged)} runs were"
        yield f"{subject} ended by numbers that are not finite and left out: {folders}"
    if unfinished:
        folders = ", ".join(map(str, unfinished))
        subject = "1 run has" if len(unfinished) == 1 else f"{len(unfinished)} runs have"
        yield f"{subject} not finished (a config.yaml without summary.json): {folders}"
    yield from _inconsistencies([run for variant in variants for run in variant.runs])
    if len(variants) == 1:
        yield f"there is one variant only ({baseline.name}): nothing to compare it with"
    for variant in variants:
        if variant is baseline:
            continue
        changed = [name for name, value in variant.values.items() if value != baseline.values[name]]
        if len(changed) > 1:
            yield (
                f"{variant.name} differs from {baseline.name} in {len(changed)} things, {', '.join(changed)}: "
                "a difference cannot be put down to one of them"
            )
        seeds, baseline_seeds = variant.by_seed().keys(), baseline.by_seed().keys()
        for having, unpaired, lacking in (
            (variant, seeds - baseline_seeds, baseline),
            (baseline, baseline_seeds - seeds, variant),
        ):
            if unpaired:
                listed = ", ".join(map(str, sorted(unpaired)))
                yield f"seeds of {having.name} that {lacking.name} lacks are left out of the pairs: {listed}"
        pairs = len(seeds & baseline_seeds)
        if pairs < ENOUGH_PAIRS:
            effect = {0: "nothing can be said", 1: "too few for an interval"}.get(pairs, "too few to say much")
            yield f"{variant.name} and {baseline.name} have {_count_pairs(pairs)} of runs with the same seed: {effect}"


def _count_pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"


def _inconsistencies(runs: Sequence[Run]) -> Iterator[str]:
    """List the conditions of training and evaluation in which runs differ."""
    versions = dict.fromkeys(name for run in runs for name in run.summary.get("versions") or {})

    def conditions(run: Run) -> dict[str, Any]:
        summary, evaluation = run.summary, run.evaluation
        result = {f"the version of {name}": (summary.get("versions") or {}).get(name) for name in versions}
        result |= {
            "device": summary.get("device"),
            "precision": summary.get("precision"),
            "backbone weights": summary.get("backbone_weights"),
            "starting from a checkpoint": "yes" if summary.get("started_from") else "no",
            "where their scores come from": "scores.json" if evaluation else "summary.json",
        }
        if "checkpoint" in evaluation:
            result["the checkpoint that was evaluated"] = Path(str(evaluation["checkpoint"])).name
        if "tta" in evaluation:
            result["test-time augmentation"] = evaluation["tta"]
        return result

    rows = [conditions(run) for run in runs]
    for condition in dict.fromkeys(name for row in rows for name in row):
        counts = Counter(
            "unknown" if row[condition] is None else str(row[condition]) for row in rows if condition in row
        )
        if len(counts) > 1:
            values = ", ".join(f"{value} ({n} {'run' if n == 1 else 'runs'})" for value, n in counts.most_common())
            yield f"runs differ in {condition}: {values}"


def same_images(runs: Sequence[Run]) -> tuple[bool, str | None]:
    """Return whether all runs have per-image results on the same images, and a warning if only some do."""
    tables = [run.images for run in runs if run.images is not None]
    effect = "what is computed image by image is left out"
    if len(tables) < len(runs):
        warning = f"{len(runs) - len(tables)} of {len(runs)} runs have no per_image.csv: {effect}"
        return False, warning if tables else None
    first = tables[0]
    if any(table.ids != first.ids for table in tables):
        return False, f"runs were evaluated on different images (their ids differ): {effect}"
    if any(table.categories != first.categories for table in tables):
        return False, f"runs were evaluated with different categories: {effect}"
    for table in tables:
        if not same_truth(table, first):
            return False, f"runs were evaluated on images of the same ids but with another truth: {effect}"
    return True, None
