"""Markdown tables of the speed on a CPU and of the metrics, from the JSON files of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from benchmarks.measuring import table

UNKNOWN = "not measured yet"
Report = dict[str, Any]
"""Content of a JSON file; empty if there is none."""


def on_machine(make: Callable[[Report], str]) -> Callable[[Report], str]:
    """Let a table begin with the machine and the versions that its figures are from."""

    @wraps(make)
    def made(report: Report) -> str:
        return f"*{machine(report)}*\n\n{make(report)}" if "machine" in report else make(report)

    return made


SHOWN = ("torch", "timm", "transformers", "onnxruntime", "openvino")
"""Packages whose versions are shown, where a report has them."""


def machine(report: Report) -> str:
    """Format the hardware and the versions of packages."""
    about = report["machine"]
    versions = about.get("versions", {})
    names = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    return f"{about['processor']}, {about['processors']} cores, Python {about['python']}, {names}."


@on_machine
def inference(report: Report) -> str:
    """Format inference time of an image, compared with the backbone and other networks, and by stage."""
    if not report.get("runs"):
        return UNKNOWN
    tables = []
    for run in report["runs"]:
        seconds = run["seconds"]
        base, whole = next(iter(seconds.values())), _ours(seconds)
        size = f"{run['size'][0]}x{run['size'][1]}"
        rows = [(name, 1000 * s, f"{s / base:.2f}", f"{s / whole:.2f}") for name, s in seconds.items()]
        title = f"Image to segments, {size}, batch {run['batch']}, {run['things']} things to decode"
        tables.append(table(title, ("network", "ms", "x backbone", "x ours"), rows))
        stages = {name: s for name, s in run["stages"].items() if name != "decode"}
        stages |= {f"decode, {n} thing{'s' * (str(n) != '1')}": s for n, s in run["decode by things"].items()}
        rows = [(name, 1000 * s, f"{s / whole:.1%}") for name, s in stages.items()]
        tables.append(table(f"Ours by stage, batch {run['batch']}", ("stage", "ms", "of the whole"), rows))
    sizes = report["peak memory, GB"]
    names = list(next(iter(sizes.values())))
    rows = [(name, *(values.get(name) for values in sizes.values())) for name in names]
    tables.append(table("Peak memory of a process that segments one image, GB", ("network", *sizes), rows))
    return "\n".join(tables).strip()


def _ours(seconds: dict[str, float]) -> float:
    return next(s for name, s in seconds.items() if name.startswith("panoptic"))


@on_machine
def training(report: Report) -> str:
    """Format time and memory of a training step."""
    if "seconds" not in report:
        return UNKNOWN
    seconds, batch, memory = report["seconds"], report["batch"], report["peak memory, GB"]
    base, step = next(iter(seconds.values())), seconds["training step"]
    rows = [(name, s, f"{s / base:.2f}", batch / s, memory.get(name)) for name, s in seconds.items()]
    columns = ("", "s", "x backbone", "images/s", "peak memory, GB")
    text = table(f"A step on {batch} images of 512x1024, {report['precision']}", columns, rows)
    text += "\n" + table("The step by stage", ("stage", "s"), report["stages"].items())
    floor = report["arithmetic alone, seconds"]
    return text.strip() + (
        f"\n\nIts multiplications alone would take {floor:.2f} s at the {1000 * report['arithmetic, TFLOP/s']:.0f} "
        f"GFLOP/s of a large product or convolution: a step takes {step / floor:.1f} times that."
    )


@on_machine
def depthwise(report: Report) -> str:
    """Format the time of training with our depthwise convolutions and with PyTorch's."""
    if "milliseconds" not in report:
        return UNKNOWN
    rows = [
        (what, row["PyTorch"], row["ours"], f"{row['ours'] / row['PyTorch']:.2f}")
        for what, row in report["milliseconds"].items()
    ]
    columns = ("", "PyTorch, ms", "ours, ms", "ratio")
    height, width = report["size"]
    return table(f"Four crops of {height}x{width}, bf16-mixed", columns, rows).strip()


@on_machine
def painting(report: Report) -> str:
    """Format the rendering time of a synthetic scene."""
    return _milliseconds(report, "painting, ms", "A synthetic scene, ms of one core", ("size",))


@on_machine
def augmenting(report: Report) -> str:
    """Format the time of augmenting a sample, and of single transforms."""
    title = "Augmentation at 512x1024, ms of one core"
    return _milliseconds(report, "augmenting, ms", title, ("", "chance"))


def _milliseconds(report: Report, key: str, title: str, columns: tuple[str, ...]) -> str:
    shown = (*columns[1:], "mean", "median", "worst of 100")
    rows = [(name, *(ms.get(column) for column in shown)) for name, ms in report.get(key, {}).items()]
    return table(title, (columns[0], *shown), rows or [(UNKNOWN, *[None] * len(shown))]).strip()


@on_machine
def loading(report: Report) -> str:
    """Format loading and training rates, and the time that training waits for data."""
    rows = [
        (
            name,
            *rates.values(),
            report["training"][name]["images_per_second"],
            f"{report['training'][name]['share_waiting_for_data']:.1%}",
        )
        for name, rates in report.get("loading, images/s", {}).items()
    ]
    columns = ("experiment", "0 processes", "1", "2", "4", "training", "its steps wait for data")
    return table("Images per second", columns, rows or [(UNKNOWN, *[None] * 6)]).strip()


@on_machine
def startup(report: Report) -> str:
    """Format the time until the help of a command, and until the first training step."""
    rows = [*report.get("help, s", {}).items()]
    rows += [(f"train experiment={name}, first step", s) for name, s in report.get("first step, s", {}).items()]
    return table("From the start of a command", ("to", "s"), rows or [(UNKNOWN, None)]).strip()


@on_machine
def latency(report: Report) -> str:
    """Format the time until one image is segmented, from the start of a process and with all loaded, and of imports."""
    if "cold, s" not in report:
        return UNKNOWN
    height, width = report["size"]
    weights = ", ".join(f"{name} {count:.1f}" for name, count in report["weights, millions"].items())
    found = ", ".join(f"{name} {count}" for name, count in report["segments found"].items())
    cold, warm = report["cold, s"], report["warm, s"]
    ours, loaded = next(iter(cold.values())), next(iter(warm.values()))
    title = f"One image of {height}x{width}, from the start of a process to files"
    text = table(title, ("with", "s", "x as long as the first"), [(n, s, f"{s / ours:.2f}") for n, s in cold.items()])
    rows = [(name, 1000 * s, f"{s / loaded:.2f}") for name, s in warm.items()]
    text += "\n" + table(
        "Each further image, from its path to segments", ("with", "ms", "x as long as the first"), rows
    )
    rows = [(name, f"{1000 * s:.0f}") for name, s in report["import, s"].items()]
    text += "\n" + table("In a fresh process", ("", "ms"), rows)
    return text.strip() + (
        f"\n\nMillions of weights: {weights}. Segments found: {found}. Medians of {report['repeats']} alternating runs."
    )


@on_machine
def scaling(report: Report) -> str:
    """Format the scaling of run time with images, pixels and things."""
    rows = [
        (
            quantity,
            f"{first} to {last}",
            what,
            1000 * points[first],
            1000 * points[last],
            f"{report['exponents'][quantity][what]:.2f}",
        )
        for quantity, lines in report.get("seconds", {}).items()
        for what, points in lines.items()
        for first, last in [(min(points, key=float), max(points, key=float))]
    ]
    columns = ("quantity", "range", "what", "ms at the first", "ms at the last", "exponent")
    return table("Growth of the small model", columns, rows or [(UNKNOWN, *[None] * 5)]).strip()


@on_machine
def profiling(report: Report) -> str:
    """Format the operations with the largest self time."""
    tables = []
    for name in ("one inference", "one training step"):
        operations = report.get(name, {})
        total = sum(row["ms"] for row in operations.values())
        rows = [
            (key.removeprefix("aten::"), f"{row['ms']:.0f}", f"{row['ms'] / total:.1%}", row["calls"])
            for key, row in operations.items()
        ]
        title = f"{name[0].upper()}{name[1:]} of full: {total:.0f} ms"
        tables.append(table(title, ("operation", "ms", "share", "calls"), rows or [(UNKNOWN, *[None] * 3)]))
    return "\n".join(tables).strip()


@on_machine
def allocation(report: Report) -> str:
    """Format the cost of returning freed memory to the system."""
    rows = [
        (what, keep, values["seconds"], f"{values['pages made anew']:.0f}", values["peak memory, GB"])
        for what, runs in report.items()
        if what != "machine"
        for keep, values in runs.items()
    ]
    columns = ("", "freed memory", "s", "page faults", "peak memory, GB")
    return table("Freed memory, given back or kept", columns, rows or [(UNKNOWN, *[None] * 4)]).strip()


def metrics(report: Report) -> str:
    """Format the comparison of the metrics with reference evaluators: equality, time, memory."""
    if "equality" not in report:
        return UNKNOWN
    equality, pair, f1, score = (report[key] for key in ("equality", "one pair", "boundary F1", "score"))
    names = ("cityscapesscripts", "hotcoco", "panopticapi")
    rows = [(f"PQ beside {name}", f"{equality[name]:.2g}") for name in names]
    rows.append(("Boundary PQ beside an erosion for each segment", f"{equality['Boundary PQ, a segment at a time']:g}"))
    rows.append(("boundary F1 beside dilation with scikit-image's disk", f"{f1[_DISK]:g}"))
    title = f"Largest difference of any count of a class in an image, {equality['pairs']} random pairs"
    text = table(title, ("", "difference"), rows)
    rows = [
        ("PQ of torchmetrics", pair["torchmetrics PanopticQuality, ms"] / 1000, None),
        ("PQ", pair["PanopticQuality, ms"] / 1000, f"{pair['torchmetrics / PanopticQuality']:.0f} x faster"),
        ("Boundary PQ", pair["BoundaryPanopticQuality, ms"] / 1000, None),
        ("boundary F1", pair["BoundaryF1, ms"] / 1000, None),
        ("boundary F1 by OpenCV's distance transform", f1["OpenCV distance transform by class, ms"] / 1000, None),
    ]
    text += "\n" + table("One pair of 1024x2048 with 60 segments", ("metric", "s", ""), rows)
    rows = [
        ("panopticapi", score["panopticapi, s"], f"{score['panopticapi / ours']:.1f} x ours"),
        ("hotcoco (compiled)", score["hotcoco, s"], f"ours takes {score['ours / hotcoco']:.1f} x as long"),
        ("ours", score["ours, s"], None),
        ("ours with Boundary PQ and boundary F1", score["ours with boundary scores, s"], None),
        ("hotcoco, from masks in memory", score["hotcoco from masks in memory, s"], None),
        ("ours, from memory, one process", score["ours from memory, one process, s"], None),
    ]
    title = f"Files of {score['pairs']} pairs of 1024x2048, {score['processes']} processes"
    text += "\n" + table(title, ("evaluator", "s", ""), rows)
    rows = [
        (
            f"{row['segments']:,}",
            row["ours, s"],
            f"{row['ours, MB']:.0f}",
            row["ours with boundary scores, s"],
            f"{row['ours with boundary scores, MB']:.0f}",
            row.get("panopticapi, s"),
        )
        for row in report.get("many segments", [])
    ]
    columns = ("segments", "ours, s", "MB", "with boundary scores, s", "MB", "panopticapi, s")
    text += "\n" + table("One pair of 1024x2048 in squares, from files, one process", columns, rows)
    peaks = [report["memory"][f"peak after {n} images, MB"] for n in (50, 500)]
    return (
        text.strip() + f"\n\nPeak memory of a process after 50 and after 500 images: {peaks[0]:.0f}, {peaks[1]:.0f} MB."
    )


_DISK = "largest difference to skimage's disk"


@on_machine
def exported(report: Report) -> str:
    """Format agreement and time of exported networks beside PyTorch."""
    if "seconds" not in report:
        return UNKNOWN
    height, width = report["size"]
    seconds = report["seconds"]
    base = seconds["PyTorch"]
    rows = [(name, 1000 * s, f"{base / s:.2f}") for name, s in seconds.items()]
    text = table(f"Image to segments, ResNet-50, {height}x{width}, CPU", ("with", "ms", "x as fast as PyTorch"), rows)
    rows = [
        (things, *(1000 * s for s in times.values()), f"{times['PyTorch'] / times['ONNX Runtime']:.2f}")
        for things, times in report["decoding by things"].items()
    ]
    columns = ("things", "PyTorch, ms", "ONNX Runtime, ms", "x as fast")
    text += "\n" + table(f"Decoding alone, {height}x{width}", columns, rows)
    rows = [
        (network, row["images"], row["count"], f"{row['things']:.1f}", f"{row['mean']:.3%}", f"{row['lowest']:.3%}")
        for network, found in report["agreement"].items()
        for row in found
    ]
    columns = ("network", "on", "images", "things an image", "pixels that agree", "of the image with the fewest")
    return (text + "\n" + table("ONNX and PyTorch: same class and same instance", columns, rows)).strip()


def predicting(report: Report) -> str:
    """Format the agreement, memory and speed of prediction in tiles and of many images."""
    parts = []
    for name, found in report.get("agreement", {}).items():
        columns = (
            "margin, pixels",
            "PQ",
            "pixels of the same class",
            "things across seams",
            "cut in two",
            "x the time",
        )
        rows = [
            (
                row["margin"],
                f"{row['pq']:.4f}",
                f"{row['same class']:.2%}",
                row["across seams"],
                row["cut"],
                f"{row['times']:.2f}",
            )
            for row in found["rows"]
        ]
        title = f"Tiles of {found['tile']} pixels against the whole image, {found['count']} of {name}"
        parts.append(table(title, columns, rows))
    if "large" in report:
        side, large = report["side"], report["large"]
        rows = [(f"{side}x{side} in tiles of 1024", f"{large['gigabytes']:.2f}", f"{large['seconds']:.0f}")]
        parts.append(table("One large image, ResNet-50", ("image", "peak memory, GB", "seconds"), rows))
    if "photo" in report:
        rows = [
            (name, f"in tiles of {tile}" if int(tile) else "whole", f"{of['gigabytes']:.2f}", f"{of['seconds']:.0f}")
            for name, by_tile in report["photo"].items()
            for tile, of in by_tile.items()
        ]
        columns = ("network of", "predicted", "peak memory, GB", "seconds")
        parts.append(table("A photo of 3000x4000", columns, rows))
    if "throughput" in report:
        many = report["throughput"]
        rows = [
            ("the network with its decoding", f"{many['network']:.3f}", "1.00"),
            ("a folder, with reading and writing", f"{many['folder']:.3f}", f"{many['folder'] / many['network']:.2f}"),
        ]
        title = f"{many['count']} images of 512x1024, ResNet-50"
        parts.append(table(title, ("what", "images/s", "of the network's"), rows))
    for name, found in report.get("precision", {}).items():
        single = found["rows"]["fp32"]["seconds"]
        rows = [
            (precision, f"{100 * row['pq']:.2f}", f"{row['seconds'] / single:.2f}")
            for precision, row in found["rows"].items()
        ]
        title = f"Half precision, {found['count']} of {name}"
        parts.append(table(title, ("precision", "PQ, points", "x the time of fp32"), rows))
    if "memory" in report:
        rows = [(count, f"{peak:.2f}") for count, peak in report["memory"].items()]
        parts.append(table("Folders of images of 256x512, ResNet-18", ("images", "peak memory, GB"), rows))
    return "\n".join(parts).strip() or UNKNOWN
