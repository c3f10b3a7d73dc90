"""Markdown tables of the figures of ``python -m benchmarks.gpu``; missing figures are marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.measuring import table

UNKNOWN = "not measured yet"


class Figures:
    """Figures of a report by part and name; ``None`` for missing figures.

    Args:
        report: Content of the JSON file; empty if there is none.
    """

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        self.parts = report.get("parts", {})

    def __call__(self, part: str, *names: str) -> Any:
        """Return a figure, given by nested names, or ``None``."""
        value = self.parts.get(part, {}).get("figures")
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    @property
    def device(self) -> str:
        """Line with date, device and versions."""
        about = self("checks", "device")
        if about is None:
            return f"*{UNKNOWN}*"
        versions, gpu = about["versions"], about.get("GPU", {})
        driver = f", driver {gpu['driver']}, CUDA {gpu['CUDA']}" if "driver" in gpu else ""
        name = gpu.get("name", f"{about['processor']}, a trial whose figures mean nothing")
        return (
            f"*{self.report['date']}, {name}{driver}, {about['processors']} processors, Python {about['python']}, "
            f"torch {versions['torch']}, lightning {versions['lightning']}, timm {versions['timm']}*"
        )


def gpu_checks(report: dict[str, Any]) -> str:
    """Format the device, and the outcome of the tests that need a GPU."""
    figures = Figures(report)
    tests = figures("checks", "tests")
    if tests is None:
        return f"{figures.device}\n\nTests marked `gpu`: {UNKNOWN}."
    failed = tests["failures"] + tests["errors"]
    return f"{figures.device}\n\nTests marked `gpu`: {tests['passed']} passed, {failed} failed."


def gpu_aims(report: dict[str, Any]) -> str:
    """Format the performance targets with the measured values by batch size."""
    figures = Figures(report)
    steps = {"batch 4": "step, 16-mixed", "16": "step, batch 16", "32": "step, batch 32"}
    predictions = {"batch 1": "batch 1", "8": "batch 8"}
    runs = {"batch 4": ("training", "run, scenes painted anew"), "16": ("full", "timed warm-up, scenes kept in memory")}

    def listed(values: dict[str, Any], form: str) -> str:
        return "; ".join(f"{name}: {UNKNOWN if v is None else format(v, form)}" for name, v in values.items())

    def decoding(name: str) -> float | None:
        seconds = figures("inference", name)
        return None if seconds is None else seconds["decode, seconds"] / seconds["seconds"]

    rows = [
        ("training, images/s", "225 or more", {k: figures("training", v, "images/s") for k, v in steps.items()}, ".0f"),
        (
            "training step, x backbone",
            "1.7",
            {k: figures("training", v, "x backbone") for k, v in steps.items()},
            ".2f",
        ),
        (
            "share of a run that steps wait",
            "5%",
            {k: figures(*v, "share_waiting_for_data") for k, v in runs.items()},
            ".1%",
        ),
        ("peak memory, GB", "8", {"batch 4": figures("training", "peak memory, GB", "step")}, ".1f"),
        (
            "inference, x backbone",
            "1.6",
            {k: figures("inference", v, "x backbone") for k, v in predictions.items()},
            ".2f",
        ),
        ("decoding, share of inference", "10%", {k: decoding(v) for k, v in predictions.items()}, ".0%"),
    ]
    rows = [(name, aim, listed(values, form)) for name, aim, values, form in rows]
    return table("Aims", ("", "aim", "measured"), rows).strip()


def gpu_training(report: dict[str, Any]) -> str:
    """Format training steps, their stages, and their bottlenecks."""
    figures = Figures(report)
    names = {
        "step, 16-mixed": "16-mixed, batch 4",
        "step, bf16-mixed": "bf16-mixed, batch 4",
        "step, 32-true": "fp32, batch 4",
        "step, 16-mixed, compiled": "16-mixed, batch 4, `compile=true`",
        "step, bf16-mixed, compiled": "bf16-mixed, batch 4, `compile=true`",
        "step, CUDA graph": "16-mixed, batch 4, network as a CUDA graph",
        "step, cuDNN's fastest": "16-mixed, batch 4, `trainer.benchmark=true`",
        "step, Muon": "16-mixed, batch 4, Muon",
        "step, batch 16": "16-mixed, batch 16",
        "step, batch 32": "16-mixed, batch 32",
    }
    rows = []
    for name, title in names.items():
        step = figures("training", name) or {}
        memory = step.get("peak memory, GB")
        if name == "step, 16-mixed":
            memory = figures("training", "peak memory, GB", "step")
        rows.append(
            (
                title,
                *cells(step, ("seconds", 1000), ("images/s", 1), ("x backbone", 1)),
                "" if memory is None else memory,
            )
        )
    columns = ("training step", "ms", "images/s", "x backbone", "peak memory, GB")
    text = table("Training, 512x1024, beside forward + backward of the backbone alone", columns, rows)
    stages = figures("training", "by stage")
    if stages is not None:
        text += "\n" + table(
            "A step by stage, 16-mixed, batch 4", ("stage", "ms"), [(n, 1000 * s) for n, s in stages.items()]
        )
    kernels = figures("training", "kernels")
    if kernels is not None:
        text += (
            f"\n\nA step runs {kernels['count']} kernels, which take {1000 * kernels['seconds']:.1f} ms of the "
            f"{1000 * kernels['seconds on the clock']:.1f} ms that it took then."
        )
    for name, part, figure in (
        ("at batch 4 with Muon that paints every scene anew", "training", "run, scenes painted anew"),
        ("at batch 16 with Muon and scenes kept in memory", "full", "timed warm-up, scenes kept in memory"),
    ):
        run = figures(part, figure)
        if run is not None:
            text += (
                f"\n\nA run {name}: {run['images_per_second']:.0f} images/s, of whose time its steps wait "
                f"{run['share_waiting_for_data']:.1%} for data."
            )
    return text.strip()


def gpu_inference(report: dict[str, Any]) -> str:
    """Format inference, by stage and by number of things."""
    figures, rows = Figures(report), []
    names = {
        "batch 1": "fp32, batch 1",
        "batch 1, CUDA graph": "fp32, batch 1, network as a CUDA graph",
        "batch 1, compiled": "fp32, batch 1, `compile=true`",
        "batch 1, half precision": "autocast to float16, batch 1",
        "batch 8": "fp32, batch 8",
        "batch 8, CUDA graph": "fp32, batch 8, network as a CUDA graph",
    }
    for name, title in names.items():
        inference = figures("inference", name) or {}
        rows.append((title, *cells(inference, ("seconds", 1000), ("images/s", 1), ("x backbone", 1))))
    columns = ("512x1024, image to segments, 100 things", "ms", "images/s", "x backbone")
    text = table("Inference, beside the backbone alone", columns, rows)
    stages = {batch: figures("inference", f"batch {batch}, stages") for batch in (1, 8)}
    things = {batch: figures("inference", f"batch {batch}, decode by things") for batch in (1, 8)}
    if all(stages.values()) and all(things.values()):
        rows = [(n, 1000 * s, 1000 * stages[8][n]) for n, s in stages[1].items()]
        rows += [(f"decode, {n} things", 1000 * s, 1000 * things[8][n]) for n, s in things[1].items()]
        text += "\n" + table("By stage, each waited for", ("stage", "batch 1, ms", "batch 8, ms"), rows)
    kernels = figures("inference", "kernels, batch 1")
    if kernels is not None:
        listed = [f"{name} {k['count']} in {1000 * k['seconds']:.2f} ms" for name, k in kernels.items()]
        text += f"\n\nKernels at batch 1: {', '.join(listed)}."
    memory = figures("inference", "peak memory, GB")
    if memory is not None:
        rows = list(memory.items())
        text += "\n" + table("Peak memory of one image, with the weights of two networks", ("size", "GB"), rows)
    return text.strip()


def gpu_floor(report: dict[str, Any]) -> str:
    """Format the peak rates of the device, and how close a step, a forward pass and decoding come."""
    figures = Figures(report)
    rates = ("product, TFLOP/s", "convolution in half precision, TFLOP/s", "convolution in single precision, TFLOP/s")
    rows = [(name, figures("floor", name) or UNKNOWN) for name in (*rates, "copy, GB/s")]
    text = table("What the device gives", ("rate", ""), rows)
    rows = []
    for name in ("step", "forward, batch 1", "decode, batch 1"):
        floor = figures("floor", name) or {}
        scaled = ("arithmetic, seconds", 1000), ("memory, seconds", 1000), ("seconds", 1000)
        rows.append((name, *cells(floor, ("GFLOP", 1), ("GB", 1), *scaled, ("x floor", 1))))
    columns = (
        "",
        "GFLOP",
        "GB read and written",
        "arithmetic alone, ms",
        "memory alone, ms",
        "measured, ms",
        "x floor",
    )
    return (text + "\n" + table("What is needed of it", columns, rows)).strip()


def gpu_full(report: dict[str, Any]) -> str:
    """Format the scores of the runs of ``full``."""
    figures, rows = Figures(report), []
    for variant in ("adaptive", "uniform"):
        run = figures("full", variant) or {}
        speed = run.get("training", {}).get("images_per_second")
        for split in ("val", "test"):
            scores = run.get(split) or {}
            listed = ("pq", "sq", "rq", "pq_things", "pq_stuff", "boundary_pq", "boundary_f1", "mean_iou")
            seconds = round(run["seconds"]) if "seconds" in run else None
            speeds = (run["steps"], seconds, None if speed is None else round(speed)) if scores else ("", "", "")
            numbers = [f"{scores[name]:.3f}" if name in scores else UNKNOWN for name in listed]
            rows.append((variant, split, *speeds, *numbers))
    columns = ("fusion", "split", "steps", "s", "images/s", "PQ", "SQ", "RQ", "PQ things", "PQ stuff", "Boundary PQ")
    return table("`full` in minutes", (*columns, "boundary F1", "mean IoU"), rows).strip()


def gpu_alpha(report: dict[str, Any]) -> str:
    """Format the variation of fusion weights over images, its correlations, and the effect of shuffled complexity."""
    fusion = Figures(report)("full", "adaptive", "fusion")
    if fusion is None:
        return f"Fusion weights: {UNKNOWN}."
    rows = []
    for level, alpha in fusion["alpha"].items():
        correlations = [alpha["spearman"][name] for name in ("object_density", "scale_variance")]
        intervals = [f"{rho['value']:+.2f} [{rho['low']:+.2f}, {rho['high']:+.2f}]" for rho in correlations]
        rows.append((level, f"{alpha['mean']:.3f}", f"{alpha['std']:.3f}", *intervals))
    columns = ("level", "mean of α", "deviation over images", "ρ with object density", "ρ with scale variance")
    text = table("Fusion weights of adaptive fusion on the test scenes", columns, rows).strip()
    quality = fusion["complexity"]
    text += (
        f"\n\nR² of predicted complexity: {quality['object_density']['r2']:.2f} for object density, "
        f"{quality['scale_variance']['r2']:.2f} for scale variance."
    )
    shuffled = fusion.get("shuffled")
    if shuffled is not None:
        change = 100 * (sum(shuffled["pq"]) / len(shuffled["pq"]) - shuffled["as_predicted"])
        text += f" With the complexity of the images shuffled among them, PQ changes by {change:+.2f} points"
        text += f" (rounds: {shuffled['rounds']})."
    return text


def cells(found: dict[str, Any], *wanted: tuple[str, float]) -> Sequence[Any]:
    """Return table cells of figures, each scaled by a factor; without figures, the first cell is :data:`UNKNOWN`."""
    if not found:
        return (UNKNOWN, *[""] * (len(wanted) - 1))
    return [factor * found[name] for name, factor in wanted]
