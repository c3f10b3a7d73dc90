"""The commands in blocks of README.md and docs/, run as they stand there, with little to do appended.

Each block is followed in a folder in which its placeholders, such as ``DIR`` and ``RUN``, are names of folders.
Configurations alone of all commands are checked in tests/test_documented_commands.py.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.scenes import scenes
from tests.commands import made_maps
from tests.commands.small_runs import SMALL_BACKBONE, TINY
from tests.comparison.made_runs import evaluated, made
from tests.documented import ROOT, in_blocks, parts

TRAIN = "python -m panoptic.train"
SHORT = ("trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none")
OWN = (
    *(SMALL_BACKBONE, "model.backbone.weights=random", "data.crop=[32,64]", "data.batch_size=2", "data.epoch_size=4"),
    *("data.workers=0", "callbacks.pictures=0", "codec.max_things=20", *SHORT),
)

GPUS = "several GPUs, and processes that torchrun or SLURM start"
HOURS = "hours, of 40 and 32 runs; the sweep of experiment=study is run below"
SERVES = "serves until Ctrl-C; tests/commands/test_demo_page.py serves a page"
SEQUENCE = "run by tests/commands/test_documented_sequence.py"
COMPOSED_ONLY = {
    "torchrun --nproc-per-node=8 -m panoptic.train experiment=cityscapes data.root=DIR": GPUS,
    "torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 "
    "-m panoptic.train experiment=cityscapes data.root=DIR +trainer.num_nodes=2": GPUS,
    "srun --nodes=2 --ntasks-per-node=8 --gres=gpu:8 "
    "python -m panoptic.train experiment=cityscapes data.root=DIR trainer.devices=8 +trainer.num_nodes=2": GPUS,
    f"srun {TRAIN[:9]} panoptic.train experiment=full resume=auto": "a GPU, and SLURM",
    f"{TRAIN} experiment=fusion_study": HOURS,
    f"{TRAIN} experiment=component_study": HOURS,
    f"{TRAIN} experiment=fusion_study hydra/launcher=joblib hydra.launcher.n_jobs=2": "a plugin of Hydra, and hours",
    f"{TRAIN} experiment=fusion_study hydra/launcher=submitit_slurm hydra.launcher.partition=gpu "
    "hydra.launcher.gpus_per_node=1 hydra.launcher.cpus_per_task=8 hydra.launcher.timeout_min=60": "SLURM",
    "python -m panoptic.demo checkpoint=RUN/checkpoints/best.ckpt": SERVES,
    "python -m panoptic.demo checkpoint=runs/.../checkpoints/best.ckpt": SERVES,
    "python -m panoptic.demo checkpoint=A.ckpt compare_with=B.ckpt": SERVES,
    "python -m panoptic.export checkpoint=runs/.../checkpoints/best.ckpt output=panoptic.onnx": (
        "an export takes a process of its own; tests/commands/test_export.py has one"
    ),
    "python -m panoptic.export checkpoint=runs/nuclei/checkpoints/best.ckpt output=nuclei.onnx "
    "'images=nuclei/val/*.png'": f"{SEQUENCE}, for the soak",
    "python -m panoptic.predict checkpoint=best.ckpt 'input=s3://photos/2024/*.jpg' output=s3://results/2024": (
        "an object store; tests/commands/test_predict_remote.py has one in memory"
    ),
    "python -m panoptic.predict checkpoint=best.ckpt input=photos output=out engine=ray": (
        "the extra ray; tests/commands/test_predict_ray.py runs it where it is installed"
    ),
}
"""Commands that no test here runs, each with the reason."""

ELSEWHERE = {
    "python -m panoptic.convert format=instance_masks input=stage1_train background=background output=nuclei": SEQUENCE,
    "python -m panoptic.inspect data=own data.root=nuclei": SEQUENCE,
    f"{TRAIN} experiment=own data.root=nuclei data.any_orientation=true hydra.run.dir=runs/nuclei": SEQUENCE,
}
"""Commands that another test runs."""


def prepare_quick() -> None:
    Path("docs/images").mkdir(parents=True)
    with Image.open(ROOT / "docs" / "images" / "scene.jpg") as scene:
        scene.reduce(4).save("docs/images/scene.jpg")
        scene.reduce(4).save("orthophoto.tif")
    Path("runs/...").mkdir(parents=True)
    Path("RUN").symlink_to("runs/...")


def check_quick() -> None:
    assert json.loads(Path("RUN/summary.json").read_text())["steps"] == 2
    with Image.open("orthophoto.tif") as photo:
        width, height = photo.size
    written = [*Path("runs").rglob("panoptic.json"), *Path("tiles").rglob("panoptic.json")]
    images = [json.loads(path.read_text())["images"] for path in written]
    assert sorted(image["file_name"] for (image,) in images) == ["orthophoto.tif", "scene.jpg"]
    assert all((image["width"], image["height"]) == (width, height) for (image,) in images)
    assert width > 64, "it is predicted in tiles"


def prepare_own() -> None:
    """Synthetic scenes in the format of data of one's own."""
    sizes = ("height=64", "width=96", "train_size=4", "val_size=2", "test_size=0", "workers=1")
    command("scenes", scenes, ("output=DIR", "format=coco_panoptic", *sizes))


def check_own() -> None:
    assert json.loads(Path("RUN/summary.json").read_text())["steps"] == 2
    (scores,) = Path("RUN").rglob("scores.json")
    assert json.loads(scores.read_text())["images"] == 2
    assert json.loads(Path("elsewhere/summary.json").read_text())["config"]["data"]["val"]["image_dir"] == "DIR/val"


def prepare_scores() -> None:
    for name, maps in (
        ("panoptic_val", made_maps.TRUTH),
        ("ours/panoptic", made_maps.TRUTH),
        ("eomt/panoptic", made_maps.GUESS),
    ):
        Path(name).parent.mkdir(exist_ok=True)
        made_maps.write(name, maps)


def check_scores() -> None:
    assert json.loads(Path("ours.json").read_text())["all"]["pq"] == 1.0
    (compared,) = Path("runs").rglob("comparison.json")
    assert {"ours", "EoMT"} <= set(compared.read_text().replace('"', " ").split())


def prepare_study() -> None:
    for seed in range(2):
        for fusion, pq in (("uniform", 0.40), ("static", 0.42), ("adaptive", 0.45)):
            run = made("runs/study/fusion_study", seed, pq + 0.01 * seed, fusion)
            evaluated(run, [0.6, 0.8], [0.9, 0.7 + 0.01 * seed])
        ablations = {"off": {}, "no_boundary": {"loss.boundary_weight": 1.0}, "other": {"loss.center": 1.0}}
        for name, change in ablations.items():
            run = made(f"runs/study/component_study/{name}", seed, 0.41, "adaptive", change)
            evaluated(run, [0.7, 0.8], [0.9, 0.6])


def check_study() -> None:
    assert len(list(Path("runs/compare").rglob("report.md"))) == 3
    mine = [
        json.loads(path.read_text())["config"]["model"]["fusion"]
        for path in Path("runs/study/mine").rglob("summary.json")
    ]
    assert {node["_target_"].rpartition(".")[2] for node in mine} == {"AdaptiveFusion", "UniformFusion"}


RUNS: dict[str, tuple[Callable[[], None], dict[str, tuple[str, ...]], Callable[[], None]]] = {
    "quick": (
        prepare_quick,
        {
            f"{TRAIN} experiment=quick": (*TINY, *SHORT, "hydra.run.dir=RUN"),
            "python -m panoptic.predict checkpoint=RUN/checkpoints/best.ckpt input=docs/images/scene.jpg": (),
            "python -m panoptic.predict checkpoint=runs/.../checkpoints/best.ckpt input=orthophoto.tif tile=1024 "
            "overlap=128": ("tile=64", "overlap=16", "output=tiles"),
        },
        check_quick,
    ),
    "own": (
        prepare_own,
        {
            "python -m panoptic.inspect data=own data.root=DIR": ("workers=1",),
            f"{TRAIN} experiment=own data.root=DIR": (*OWN, "hydra.run.dir=RUN"),
            "python -m panoptic.evaluate checkpoint=RUN/checkpoints/last.ckpt split=val visualize=true worst=5": (),
            "python -m panoptic.predict checkpoint=RUN/checkpoints/last.ckpt input=DIR/val": (),
            f"{TRAIN} data=coco_panoptic data.train.image_dir=DIR data.train.panoptic_json=FILE "
            "data.val.image_dir=DIR data.val.panoptic_json=FILE": (
                *(f"data.{split}.image_dir=DIR/{split}" for split in ("train", "val")),
                *(f"data.{split}.panoptic_json=DIR/panoptic_{split}.json" for split in ("train", "val")),
                *(*OWN, "model=small", "hydra.run.dir=elsewhere"),
            ),
        },
        check_own,
    ),
    "scores": (
        prepare_scores,
        {
            f"python -m panoptic.score ground_truth=panoptic_val.json predictions={model}/panoptic.json "
            f"output={model}.json": ("workers=1",)
            for model in ("ours", "eomt")
        }
        | {"python -m panoptic.compare 'scores=[ours_per_image.csv,eomt_per_image.csv]' 'names=[ours,EoMT]'": ()},
        check_scores,
    ),
    "study": (
        prepare_study,
        {
            "python -m panoptic.compare runs=runs/study/fusion_study": (),
            "python -m panoptic.compare runs=runs/study/fusion_study baseline=static": (),
            "python -m panoptic.compare runs=runs/study/component_study baseline=adaptive": (),
            f"{TRAIN} -m experiment=study ablation=on,off seed=8,9 study=mine": (
                *(*TINY, *SHORT, "data.train_size=4", "seed=8", "evaluation.shuffles=0"),
            ),
        },
        check_study,
    ),
}
"""For each sequence: what it starts from, the commands with what is appended to each, and what has to come of it."""


def run_one(text: str, *appended: str) -> None:
    """Run a documented command in this process."""
    words = in_blocks()[text]
    module, arguments = parts(words)
    name = module.removeprefix("panoptic.")
    task = getattr(importlib.import_module(f"panoptic.commands.{name}"), name)
    command(name, task, (*arguments, *appended))


@pytest.mark.parametrize("name", RUNS)
def test_commands_run(name: str) -> None:
    prepare, commands, check = RUNS[name]
    prepare()
    for text, appended in commands.items():
        run_one(text, *appended)
    check()


def test_every_command_in_a_block_has_a_rule() -> None:
    run = {text for _, commands, _ in RUNS.values() for text in commands}
    shown = {text for text, words in in_blocks().items() if parts(words)[0].startswith("panoptic.")}
    assert shown == run | ELSEWHERE.keys() | COMPOSED_ONLY.keys()
    assert len(run) + len(ELSEWHERE) + len(COMPOSED_ONLY) == len(shown), "one rule each"
