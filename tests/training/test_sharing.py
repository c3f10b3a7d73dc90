"""Trained networks as folders and repositories to share."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hydra import compose
from safetensors.torch import load_file

from panoptic.config.composing import with_hydra
from panoptic.errors import InputError
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.training.checkpoint import build_network, make_record, read_checkpoint
from panoptic.training.checkpoint_io import save
from panoptic.training.pretrained import load_pretrained, without_paths
from panoptic.training.runs import default_output
from panoptic.training.sharing import from_pretrained, model_card, save_pretrained

SMALL = (
    "experiment=quick",
    "data=coco_panoptic",
    *("model.backbone.name=test_resnet", "model.backbone.weights=random", "model.fpn.channels=8"),
    *("model.complexity.channels=8", "model.semantic_head.channels=8", "model.instance_head.channels=8"),
    *("data.root=/home/someone/photos", "data.val.image_dir=/home/someone/val", "data.workers=0"),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with with_hydra():
        config = compose("train", list(SMALL))
    weights = build_network(config, CITYSCAPES.num_classes).state_dict()
    record = make_record(config, CITYSCAPES, "/home/someone/backbone.pth", {"checkpoint": "/home/someone/x.ckpt"})
    record["resolution"] = {"first": 0.5, "threshold": 1.5, "drop": 0.3}
    path = tmp_path_factory.mktemp("run") / "checkpoints" / "best.ckpt"
    content = {
        "panoptic": record,
        "state_dict": {f"network.{name}": value for name, value in weights.items()},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 3}}}},
        "global_step": 12,
        "callbacks": {"Checkpoints": {"best_scores": {"val/pq": 0.4375, "val/mean_iou": 0.5, "val/loss": 1.0}}},
    }
    save(content, path)
    (path.parents[1] / "summary.json").write_text('{"seconds": 90, "device": "1 x cpu", "precision": "32-true"}')
    return path


@pytest.fixture(scope="module")
def folder(checkpoint: Path) -> Path:
    return save_pretrained(read_checkpoint(checkpoint), checkpoint.parents[1] / "shared")


def test_a_folder_has_all_that_the_checkpoint_has_for_prediction(checkpoint, folder):
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    original, shared = read_checkpoint(checkpoint), read_checkpoint(folder)
    assert all(torch.equal(value, shared.weights[name]) for name, value in original.weights.items())
    assert shared.weights.keys() == original.weights.keys() == load_file(folder / "model.safetensors").keys()
    assert (shared.epochs, shared.steps, shared.resolution) == (3, 12, {"first": 0.5, "threshold": 1.5, "drop": 0.3})
    assert shared.best_scores == original.best_scores
    assert shared.labels == original.labels
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    first, second = (Predictor.from_pretrained(path, device="cpu").segments(image) for path in (checkpoint, folder))
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.scores, second.scores)
    assert default_output(folder, "predict") == Path("predict")  # nothing is written into what is shared
    assert default_output(checkpoint, "predict") == checkpoint.parents[1] / "predict"


def test_overrides_apply_to_a_folder_too(folder):
    assert read_checkpoint(folder, ["codec.max_things=7"]).config.codec.max_things == 7
    assert read_checkpoint(folder, ["data.root=here"]).config.data.root == "here"


def test_no_path_of_the_machine_is_shared(folder):
    text = "".join(path.read_text() for path in (folder / "config.json", folder / "README.md"))
    assert "someone" not in text
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["data"]["root"] is None
    assert (record["backbone_weights"], record["started_from"]["checkpoint"]) == ("backbone.pth", "x.ckpt")
    plain = {"model": {"backbone": {"weights": "/a/b.pth"}}, "start_from": "/a/c.ckpt", "seed": 3}
    assert without_paths(plain) == {
        "model": {"backbone": {"weights": "random"}},
        "start_from": None,
        "seed": 3,
        "overrides": [],
    }


def test_the_card_says_what_it_is_and_how_good(checkpoint):
    card = model_card(read_checkpoint(checkpoint), "alice/streets")
    assert card.startswith("---\nlibrary_name: panoptic-adaptive-fusion\npipeline_tag: image-segmentation\n")
    assert 'Predictor.from_pretrained("alice/streets")' in card
    assert "| PQ | mean IoU |\n|---|---|\n| 0.4375 | 0.5000 |" in card
    assert "12 steps of 4 crops of 128x256" in card
    assert "2 minutes on 1 x cpu in 32-true" in card
    assert "Things: person, rider, car, truck, bus, train, motorcycle, bicycle." in card


def test_a_network_without_a_checkpoint_is_not_shared(checkpoint):
    predictor = Predictor.load(checkpoint, device="cpu")
    predictor.checkpoint = None
    with pytest.raises(InputError, match="predictor: expected one that was loaded from a checkpoint"):
        predictor.save_pretrained("anywhere")


def altered(folder: Path, copy: Path, **changes: Any) -> Path:
    """Copy a shared folder with other contents of files."""
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    for name, content in changes.items():
        path = copy / {"config": "config.json", "weights": "model.safetensors"}[name]
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    return copy


def test_what_is_no_shared_network_is_named(folder, tmp_path):
    record = json.loads((folder / "config.json").read_text())
    hostile = json.loads((folder / "config.json").read_text())
    hostile["config"]["model"]["fusion"]["_target_"] = "os.system"
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    cases = [
        ({"weights": None}, "expected a checkpoint, or a folder with config.json and model.safetensors, got a folder"),
        ({"weights": bytes(weights)}, "expected the weights that config.json belongs to, got others or damaged ones"),
        ({"config": b"{"}, "config.json: expected JSON, got a file that cannot be read"),
        ({"config": b'{"model_type": "bert"}'}, "config.json: expected the configuration of a network of panoptic"),
        (
            {"config": json.dumps(hostile).encode()},
            "fusion._target_: expected a class of panoptic, got 'os.system'",
        ),
        ({"config": json.dumps(record | {"format_version": 1}).encode()}, "expected a checkpoint of format 4, got 1"),
        ({"config": json.dumps(record | {"config": {}}).encode()}, "damaged one|expected"),
    ]
    for number, (changes, message) in enumerate(cases):
        with pytest.raises(InputError, match=message):
            read_checkpoint(altered(folder, tmp_path / str(number), **changes))
    junk = altered(folder, tmp_path / "junk", weights=b"\xff" * 100)
    digest = "9d2ec8c9a0a3d1a8e7e3d0b0d6b3c7f6c0a7a5c5c5d5e5f5a5b5c5d5e5f5a5b5"
    (junk / "config.json").write_text(json.dumps(record | {"sha256": digest}))
    with pytest.raises(InputError, match="got others or damaged ones"):
        load_pretrained(junk)


@pytest.mark.parametrize("name", ["nothing", "../there/nothing", "a/b/c", "~/nothing"])
def test_a_name_that_is_neither_path_nor_repository(name):
    with pytest.raises(InputError, match=r"expected a folder, a checkpoint or a repository of the model hub"):
        from_pretrained(name)


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's interface that uploading and downloading small files takes."""

    files: ClassVar[dict[str, bytes]] = {}

    def _answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    @property
    def address(self) -> str:
        """Address of the repository."""
        return f"http://{self.headers['Host']}/alice/streets"

    def _json(self, content: object) -> None:
        self._answer(json.dumps(content).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            assert self.headers["Authorization"] == "Bearer secret"
            self._json({"url": self.address, "name": "alice/streets", "id": "alice/streets"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = b64decode(line["value"]["content"])
            self._json({"success": True, "commitOid": "c0ffee", "commitUrl": f"{self.address}/commit/c0ffee"})
        else:
            self._json({})

    def do_GET(self) -> None:
        match = re.fullmatch(r"/alice/streets/resolve/main/(.+)", self.path)
        if match and match[1] in self.files:
            content = self.files[match[1]]
            self._answer(content, ETag=f'"{match[1]}-{len(content)}"', X_Repo_Commit="c0ffee" + "0" * 34)
        elif self.path.startswith("/api/models/alice/streets"):
            self._json({"id": "alice/streets", "sha": "c0ffee", "siblings": []})
        elif self.path == "/":
            self._answer(b"")
        else:
            self._answer(b"", 404, X_Error_Code="RepoNotFound" if "alice/streets" not in self.path else "EntryNotFound")

    do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


ROUND_TRIP = """
import sys
import torch
from panoptic import Predictor
from panoptic.errors import InputError
predictor = Predictor.load(sys.argv[1], device="cpu")
print(predictor.push_to_hub("alice/streets", token="secret"))
again = Predictor.from_pretrained("alice/streets", device="cpu")
weights = predictor.checkpoint.weights
print(all(torch.equal(value, again.checkpoint.weights[name]) for name, value in weights.items()))
print(Predictor.load("hf://alice/streets", device="cpu").checkpoint.steps)
try:
    Predictor.from_pretrained("bob/nothing")
except InputError as error:
    print(error)
"""


def test_a_repository_gives_back_what_was_pushed(hub, checkpoint, tmp_path):
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    environment |= {"NO_PROXY": "*", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(checkpoint)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    address, same, steps, missing = done.stdout.splitlines()
    assert (address, same, steps) == (f"{hub}/alice/streets/commit/c0ffee", "True", "12")
    assert missing.startswith("bob/nothing: expected a folder, a checkpoint or a repository of the model hub")
    assert sorted(Hub.files) == ["README.md", "config.json", "model.safetensors"]


def test_the_folder_of_a_run_is_none_of_a_network(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(InputError, match=r"got the folder of a run, whose best is .*checkpoints/best\.ckpt"):
        load_pretrained(tmp_path)
