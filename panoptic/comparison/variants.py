"""Which runs are the same but for their seed, in what others differ from them, and what is wrong with comparing them.

Runs of one configuration are a *variant*. Variants differ in *factors*: a key, a group of the configuration whose
target differs with all that is in it, or keys of one group that change together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic.comparison.runs import Run
from panoptic.config.keys import WITHOUT_EFFECT, is_below, leaves
from panoptic.errors import InputError

ENOUGH_PAIRS = 5
"""Fewer say little, whatever their interval."""

FUSION = "model.fusion"
NO_EFFECT = (*WITHOUT_EFFECT, "seed", "name", "hydra")
"""Keys, or groups of them, that change nothing but the seed, names, and where and how things are kept."""

ABSENT = "absent"
Flat = Mapping[str, str]
"""A configuration by dotted key, its values as text."""


@dataclass(frozen=True)
class Factor:
    """One thing in which configurations differ.

    Attributes:
        name: the key, or that of the group.
        keys: all that differ for it.
        target: the key of the target, where that is what differs.
    """

    name: str
    keys: tuple[str, ...]
    target: str | None = None

    def value(self, config: Flat) -> tuple[str, ...]:
        """What a configuration has."""
        return tuple(config.get(key, ABSENT) for key in self.keys)

    def text(self, config: Flat, configs: Sequence[Flat]) -> str:
        """The same for people: short, and not the same for another value among the configurations."""
        if self.target is None:
            return f"{self.keys[0]}={config.get(self.keys[0], ABSENT)}"
        target = config.get(self.target, ABSENT)
        short = target.rsplit(".", 1)[-1]
        name = short.removesuffix("Fusion").lower() if self.name == FUSION else f"{self.name}={short}"
        alike = [other for other in configs if other.get(self.target, ABSENT) == target]
        inner = [key for key in self.keys if len({other.get(key, ABSENT) for other in alike}) > 1]
        return " ".join([name, *(f"{key}={config.get(key, ABSENT)}" for key in inner)])


@dataclass(frozen=True)
class Variant:
    """Runs with the same configuration but for the seed.

    Attributes:
        name: distinct among the variants.
        runs: in the order of their seeds, each of which is there once.
        values: by factor.
    """

    name: str
    runs: tuple[Run, ...]
    values: Mapping[str, tuple[str, ...]]

    def by_seed(self) -> dict[int, Run]:
        """Its runs."""
        return {run.seed: run for run in self.runs}


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """What can change the result of a run, as text by dotted key."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in leaves(config)
        if not is_below(key, NO_EFFECT) and key.rpartition(".")[2] != "_partial_"
    }


def find_factors(configs: Sequence[Flat]) -> list[Factor]:
    """In what configurations differ; the fusion first, then in the order of the keys."""
    keys = list(dict.fromkeys(key for config in configs for key in config))
    differing = [key for key in keys if len({config.get(key, ABSENT) for config in configs}) > 1]
    targets = {key.rpartition(".")[0]: key for key in differing if key.rpartition(".")[2] == "_target_"}
    grouped: dict[tuple[Any, ...], list[str]] = {}
    together: dict[tuple[int, ...], list[str]] = {}
    for key in differing:
        parts = key.split(".")
        groups = (".".join(parts[:length]) for length in range(1, len(parts)))
        outermost = next((group for group in groups if group in targets), None)
        if outermost is not None:
            grouped.setdefault(("target", outermost), []).append(key)
            continue
        # Keys change together where they tell the same configurations apart. Those at the top have no group.
        values = [config.get(key, ABSENT) for config in configs]
        together.setdefault(tuple(values.index(value) for value in values), []).append(key)
    for partition, found in together.items():
        parents = {key: ".".join(key.split(".")[:-1]) or key for key in found}
        for key, parent in parents.items():
            around = min((p for p in parents.values() if f"{parent}.".startswith(f"{p}.")), key=len)
            grouped.setdefault(("keys", around, partition), []).append(key)
    several = Counter(group[1] for group in grouped)
    factors = [
        Factor(group[1], tuple(found), targets[group[1]])
        if group[0] == "target"
        else Factor(group[1] if len(found) > 1 and several[group[1]] == 1 else " and ".join(found), tuple(found))
        for group, found in grouped.items()
    ]
    return sorted(factors, key=lambda factor: (factor.name != FUSION, keys.index(factor.keys[0])))


def find_variants(runs: Sequence[Run]) -> tuple[list[Variant], list[str]]:
    """Sorts runs into variants.

    Returns:
        The variants by name, and warnings of runs that were left out because another has their configuration and seed.
    """
    together: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        together.setdefault(tuple(sorted(flatten(run.config).items())), []).append(run)
    flats = [flatten(same[0].config) for same in together.values()]
    groups = list(together.values())
    factors = find_factors(flats)
    names = _names(factors, flats, [len(same) for same in groups])
    variants, warnings = [], []
    for name, flat, same in zip(names, flats, groups, strict=True):
        kept: dict[int, Run] = {}
        for run in sorted(same, key=lambda run: (run.finished, str(run.folder))):
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
    """A short name for each configuration: its fusion if that differs, and what is not as in most runs."""
    usual: dict[str, tuple[str, ...]] = {}
    for factor in factors:
        counts: Counter[tuple[str, ...]] = Counter()
        for flat, size in zip(flats, sizes, strict=True):
            counts[factor.value(flat)] += size
        usual[factor.name] = min(counts, key=lambda value: (-counts[value], value))
    names = []
    for flat in flats:
        texts = {factor.name: factor.text(flat, flats) for factor in factors}
        shown = [f.name for f in factors if f.name == FUSION or f.value(flat) != usual[f.name]]
        fusion = flat.get(f"{FUSION}._target_", "all").rsplit(".", 1)[-1].removesuffix("Fusion").lower()
        names.append(", ".join(texts[name] for name in shown or texts) or fusion)
    if len(set(names)) < len(names):  # targets of one name in two places
        keys = [key for factor in factors for key in factor.keys]
        names = [", ".join(f"{key}={flat.get(key, ABSENT)}" for key in keys) for flat in flats]
    return names


def choose_baseline(variants: Sequence[Variant], name: str | None) -> Variant:
    """The variant that others are compared with: the one of a name, else uniform fusion, else that with most runs.

    Raises:
        InputError: if there is none of that name.
    """
    by_name = {variant.name: variant for variant in variants}
    if name is not None:
        if name not in by_name:
            raise InputError(f"baseline: expected one of the variants ({'; '.join(by_name)}), got {name!r}")
        return by_name[name]
    return by_name.get("uniform") or min(variants, key=lambda variant: (-len(variant.runs), variant.name))


def paired(variant: Variant, baseline: Variant) -> list[tuple[Run, Run]]:
    """The runs of a variant and of the baseline that have a seed in common, in the order of the seeds."""
    own, others = variant.by_seed(), baseline.by_seed()
    return [(own[seed], others[seed]) for seed in sorted(own.keys() & others.keys())]


def warnings_of(variants: Sequence[Variant], baseline: Variant, unfinished: Sequence[Path]) -> Iterator[str]:
    """What speaks against comparing these variants, a sentence each."""
    if unfinished:
        named = ", ".join(map(str, unfinished))
        have = "1 run has" if len(unfinished) == 1 else f"{len(unfinished)} runs have"
        yield f"{have} not finished (a config.yaml without summary.json): {named}"
    yield from _mixed([run for variant in variants for run in variant.runs])
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
        own, others = variant.by_seed().keys(), baseline.by_seed().keys()
        for here, there, without in ((variant, own - others, baseline), (baseline, others - own, variant)):
            if there:
                seeds = ", ".join(map(str, sorted(there)))
                yield f"seeds of {here.name} that {without.name} lacks are left out of the pairs: {seeds}"
        pairs = len(own & others)
        if pairs < ENOUGH_PAIRS:
            more = {0: "nothing can be said", 1: "too few for an interval"}.get(pairs, "too few to say much")
            yield f"{variant.name} and {baseline.name} have {_pairs(pairs)} of runs with the same seed: {more}"


def _pairs(count: int) -> str:
    return f"{count} pair" if count == 1 else f"{count} pairs"


def _mixed(runs: Sequence[Run]) -> Iterator[str]:
    """Circumstances in which runs differ."""

    versions = dict.fromkeys(name for run in runs for name in run.summary.get("versions") or {})

    def circumstances(run: Run) -> dict[str, Any]:
        summary, evaluation = run.summary, run.evaluation
        found = {f"the version of {name}": (summary.get("versions") or {}).get(name) for name in versions}
        found |= {
            "device": summary.get("device"),
            "precision": summary.get("precision"),
            "backbone weights": summary.get("backbone_weights"),
            "starting from a checkpoint": "yes" if summary.get("started_from") else "no",
            "where their scores come from": "scores.json" if evaluation else "summary.json",
        }
        if "checkpoint" in evaluation:
            found["the checkpoint that was evaluated"] = Path(str(evaluation["checkpoint"])).name
        if "tta" in evaluation:
            found["test-time augmentation"] = evaluation["tta"]
        return found

    rows = [circumstances(run) for run in runs]
    for what in dict.fromkeys(name for row in rows for name in row):
        counts = Counter("unknown" if row[what] is None else str(row[what]) for row in rows if what in row)
        if len(counts) > 1:
            said = ", ".join(f"{value} ({n} {'run' if n == 1 else 'runs'})" for value, n in counts.most_common())
            yield f"runs differ in {what}: {said}"


def same_images(runs: Sequence[Run]) -> tuple[bool, str | None]:
    """Whether all runs were evaluated image by image on the same images, and a warning if only some were."""
    tables = [run.images for run in runs if run.images is not None]
    left = "what is computed image by image is left out"
    if len(tables) < len(runs):
        said = f"{len(runs) - len(tables)} of {len(runs)} runs have no per_image.csv: {left}"
        return False, said if tables else None
    first = tables[0]
    if any(table.ids != first.ids for table in tables):
        return False, f"runs were evaluated on different images (their ids differ): {left}"
    if any(table.categories != first.categories for table in tables):
        return False, f"runs were evaluated with different categories: {left}"
    for table in tables:
        segments = [images.counts[..., 1] + images.counts[..., 3] for images in (table, first)]
        if not np.array_equal(*segments) or not np.allclose(table.truth, first.truth, atol=1e-4):
            return False, f"runs were evaluated on images of the same ids but with another truth: {left}"
    return True, None
