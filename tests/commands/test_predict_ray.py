"""``python -m panoptic.predict engine=ray``: what the plain command writes, with workers of which one is killed."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.errors import InputError
from panoptic.inference.ray_engine import QUIET, check_answers, check_shared
from panoptic.inference.result_folder import ResultFolder
from panoptic.inference.result_writer import Record, ResultWriter
from tests.commands.small_runs import CONF, run, some_photos, vary
from tests.commands.test_predict_many import contents

MISSING = [name for name in ("ray", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]
with_ray = pytest.mark.skipif(bool(MISSING), reason=f"needs the extra ray, lacks {', '.join(MISSING)}")
# Ray Data sets deprecated settings of its own when it makes its context.
pytestmark = pytest.mark.filterwarnings("ignore:`use_[a-z0-9_]+` is deprecated:DeprecationWarning")
COUNTED = "expected 24 images that can be read, got 1 that cannot"


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    """Ray in processes of its own, with two processors, and nothing that listens elsewhere."""
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUIET, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join((str(CONF.parent), os.environ.get("PYTHONPATH", ""))))
        options = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
        ray.init(address="local", logging_level=logging.ERROR, log_to_driver=False, **options)
        try:
            yield
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, handler)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As many threads as a worker has: sums of floating-point numbers depend on it, in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network(trained: Path, tmp_path: Path) -> str:
    """A checkpoint whose predictions have things to compare."""
    vary(trained / "checkpoints" / "best.ckpt", tmp_path / "network.ckpt")
    return "checkpoint=network.ckpt"


@with_ray
@pytest.mark.slow
@pytest.mark.usefixtures("two_workers")
def test_a_killed_worker_loses_and_repeats_nothing(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 24)
    Image.fromarray(np.full((35, 77, 3), 90, np.uint8)).save("photos/3.png")
    (tmp_path / "photos" / "13.png").write_text("no picture")
    with pytest.raises(SystemExit, match="1"):
        run("predict", network, "input=photos", "output=plain")
    told = capsys.readouterr()

    class Killed(ResultWriter):  # sent by value, since it has no name of its own
        def __call__(self, predicted: Any, numbers: Any = None) -> Record:
            record = super().__call__(predicted, numbers)
            marker = Path(self.folder).parent / f"killed_{os.getpid()}"
            if predicted.file.name == "17" and not list(marker.parent.glob("killed_*")):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return record

    def killed(folder: ResultFolder) -> ResultWriter:
        writer = plain.__get__(folder)
        return Killed(writer.folder, writer.labels, writer.overlays, writer.digest)

    plain = ResultFolder.writer
    with monkeypatch.context() as patch:
        patch.setattr(ResultFolder, "writer", property(killed))
        with pytest.raises(SystemExit, match="1"):
            run("predict", network, "input=photos", "output=out", "engine=ray", "workers=2")
    assert len(list(tmp_path.glob("killed_*"))) == 1
    assert contents(Path("out")) == contents(Path("plain"))
    records = [json.loads(line)["name"] for line in Path("out/progress.jsonl").read_text().splitlines()[1:]]
    assert sorted(records) == sorted(str(n) for n in range(24) if n != 13)
    again = capsys.readouterr()
    assert "13.png: expected an image" in again.out
    assert again.err == told.err == f"panoptic: input: {COUNTED}; they are listed above\n"
    assert again.out.replace(f"{tmp_path}/", "").endswith(told.out[told.out.index("left out") :])

    Path("out/overlays/5.png").unlink()
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save("photos/13.png")
    run("predict", network, "input=photos", "output=out", "engine=ray")
    assert "predicted before, with the same settings: 22 of 24 images" in capsys.readouterr().out
    run("predict", network, "input=photos", "output=plain")
    assert contents(Path("out")) == contents(Path("plain"))


@with_ray
@pytest.mark.slow
@pytest.mark.usefixtures("two_workers")
def test_workers_that_are_killed_again_and_again_end_the_command(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 3)

    class Deadly(ResultWriter):
        def __call__(self, predicted: Any, numbers: Any = None) -> Record:
            if predicted.file.name == "1":
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(predicted, numbers)

    plain = ResultFolder.writer

    def deadly(folder: ResultFolder) -> ResultWriter:
        writer = plain.__get__(folder)
        return Deadly(writer.folder, writer.labels, writer.overlays, writer.digest)

    monkeypatch.setattr(ResultFolder, "writer", property(deadly))
    with pytest.raises(SystemExit, match="1"):
        run("predict", network, "input=photos", "output=out", "engine=ray", "workers=1")
    told = capsys.readouterr().err
    path = tmp_path / "photos" / "1.png"
    assert f"panoptic: engine=ray: expected workers that live, got 4 or more killed while they predict {path}; " in told
    images = json.loads(Path("out/panoptic.json").read_text())["images"]
    assert {image["file_name"] for image in images} <= {"0.png", "2.png"}


@with_ray
@pytest.mark.slow
@pytest.mark.usefixtures("two_workers")
def test_files_by_url_and_the_limits_of_the_cluster(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 2)
    with pytest.raises(SystemExit, match="1"):
        run("predict", network, "input=photos", "output=out", "engine=ray", "workers=3")
    assert "workers: expected at most 2, the processors that Ray has, got 3" in capsys.readouterr().err
    assert not Path("out").exists()
    options = ("tile=64", "codec.max_things=3")
    run("predict", network, f"input=file://{tmp_path}/photos", f"output=file://{tmp_path}/out", "engine=ray", *options)
    told = capsys.readouterr().out
    run("predict", network, "input=photos", "output=plain", *options)
    assert contents(Path("out")) == contents(Path("plain"))
    note = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("note: "))
    assert "2" in note
    assert note in told.splitlines()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("engine=spark",), "engine: expected plain or ray, got 'spark'"),
        (("workers=2",), "workers=2: expected engine=ray with it, got engine=plain"),
        (("engine=ray", "workers=0"), "workers: expected at least 1, got 0"),
        (("engine=ray", "input=memory://photos"), "expected files that Ray's workers reach, got memory://photos"),
        (("engine=ray", "output=memory://out"), "expected files that Ray's workers reach, got memory://out"),
        (("engine=ray", "input=film.mp4"), "engine=ray: expected images, got a video, whose frames follow each other"),
    ],
)
def test_what_does_not_go_together_is_told(
    given: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("panoptic.inference.ray_engine.check_ray", lambda: None)
    Path("film.mp4").write_bytes(b"a film")
    with pytest.raises(SystemExit, match="1"):
        run("predict", "checkpoint=none.ckpt", *([] if "input" in str(given) else ["input=photos"]), *given)
    assert told in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_cluster_that_does_not_answer_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            told = re.escape(f"RAY_ADDRESS={address}: expected a cluster that answers, got: [Errno ")
            with pytest.raises(InputError, match=told):
                check_answers(address)
    check_answers("auto")


def test_results_that_are_not_seen_here_are_told(tmp_path: Path) -> None:
    (tmp_path / "panoptic").mkdir()
    (tmp_path / "panoptic" / "a.png").touch()
    check_shared(tmp_path, ["a"])
    with pytest.raises(InputError, match="or a URL, got one in which 2 of 3 results are not seen on this machine"):
        check_shared(tmp_path, ["a", "b", "c"])


def test_the_extra_is_named_where_ray_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="1"):
        run("predict", "checkpoint=none.ckpt", "input=photos", "engine=ray")
    told = "engine=ray: expected Ray Data, got no package ray; pip install 'panoptic-adaptive-fusion[ray]' installs it"
    assert capsys.readouterr().err == f"panoptic: {told}\n"
