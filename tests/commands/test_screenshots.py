"""Pages that people look at, opened in a real browser: the dashboard of a sweep, and the report of ``inspect``.

With ``SCREENSHOTS=docs/images`` in the environment, the pictures of the documentation are written anew.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from tests.commands.small_runs import TINY, shell
from tests.made_once import made_once

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
PATIENCE = 60_000  # milliseconds, on a machine that does much else
LARGEST = 200_000
"""Bytes of a screenshot."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


class Visitor:
    """A page of a browser, what it asked for, and what it found wrong."""

    def __init__(self, browser: Any, size: tuple[int, int]) -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def take(self, name: str, height: float | None = None) -> None:
        """Take a screenshot, which has something on it and is small, and keep it if that is asked for."""
        size = self.page.viewport_size
        clip = None if height is None else {"x": 0, "y": 0, "width": size["width"], "height": height}
        taken = self.page.screenshot(clip=clip, full_page=height is not None)
        with Image.open(io.BytesIO(taken)) as picture:
            small = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        stream = io.BytesIO()
        small.save(stream, "PNG", optimize=True)
        assert small.size[0] == size["width"]
        assert 10_000 < len(stream.getvalue()) < LARGEST
        if "SCREENSHOTS" in os.environ:
            (ROOT / os.environ["SCREENSHOTS"] / name).write_bytes(stream.getvalue())


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of two tiny runs, with and without adaptive fusion."""
    return made_once(tmp_path_factory, "sweep", sweep_two) / "sweep"


def sweep_two(folder: Path) -> None:
    settings = ("data.train_size=16", "data.val_size=4", "trainer.max_epochs=4", "callbacks.pictures=1")
    names = ("hydra.sweep.dir=sweep", "hydra.sweep.subdir=run${hydra:job.num}")
    done = shell("train", "-m", "experiment=quick", *TINY, *settings, "ablation=on,off", *names, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dashboard(sweep: Path) -> Iterator[str]:
    """Address of TensorBoard on the sweep, as the README starts it."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", sweep.name, "--port", "0", "--host", "127.0.0.1"]
    command += ["--load_fast", "false", "--reload_interval", "0"]
    with subprocess.Popen(
        command, cwd=sweep.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as served:
        assert served.stdout is not None
        try:
            said = ""
            while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
                line = served.stdout.readline()
                assert line, said
                said += line
            yield found[0]
        finally:
            served.terminate()


def test_the_dashboard_of_a_sweep(browser: Any, dashboard: str) -> None:
    visitor = Visitor(browser, (1300, 1240))
    page = visitor.page
    tags = quote("train/loss$|val/mean_iou$|alpha$|validation")
    page.goto(f"{dashboard}/?darkMode=false&tagFilter={tags}#timeseries")
    for number in range(2):
        page.wait_for_selector(f"runs-data-table :text('run{number}/tensorboard')")
        page.wait_for_selector(f"scalar-card-data-table :text('run{number}/tensorboard') >> nth=1")
    page.wait_for_function("document.querySelectorAll('image-card').length == 4")
    page.wait_for_function("[...document.querySelectorAll('image-card img')].every(image => image.naturalWidth > 100)")
    shown = [card.inner_text() for card in page.locator("scalar-card").all()]
    assert [text.split("\n/")[0] for text in shown] == ["train", "val"]
    page.click("metrics-main-view button:has-text('Settings')")
    page.wait_for_selector("metrics-dashboard-settings", state="detached")
    page.wait_for_timeout(1000)  # until cards have their new sizes
    visitor.take("dashboard.png")
    assert [url for url in visitor.asked if not url.startswith((dashboard, "data:", "blob:"))] == []
    assert visitor.wrong == []
    page.close()


def test_the_settings_of_a_sweep(browser: Any, dashboard: str) -> None:
    visitor = Visitor(browser, (1300, 700))
    visitor.page.goto(f"{dashboard}/?darkMode=false#hparams")
    for number in range(2):
        visitor.page.wait_for_selector(f"tf-hparams-main :text('run{number}/tensorboard') >> nth=0")
    asked = """async wanted => {
        const answer = await fetch("data/plugin/hparams/session_groups",
            {method: "POST", body: JSON.stringify(wanted)});
        return answer.json();
    }"""
    wanted = {"colParams": [], "startIndex": 0, "sliceSize": 9, "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN"]}
    groups = visitor.page.evaluate(asked, wanted)["sessionGroups"]
    fusions = {group["hparams"]["model.fusion"] for group in groups}
    assert fusions == {"AdaptiveFusion", "UniformFusion"}
    assert visitor.wrong == []
    visitor.page.close()


def test_the_report_of_inspect(browser: Any) -> None:
    shutil.copytree(ROOT / "examples" / "nuclei", "nuclei")
    whole = Path("nuclei/train/785555c0cbb4.png").read_bytes()
    Path("nuclei/train/785555c0cbb4.png").write_bytes(whole[: len(whole) // 2])
    for seen, unseen in zip(
        sorted(Path("nuclei/train").iterdir())[:3], sorted(Path("nuclei/val").iterdir())[:3], strict=True
    ):
        with Image.open(seen) as image:  # a leak
            brighter = image.point(lambda value: min(255, round(1.1 * value)))
        brighter.save(unseen)
    table = Path("nuclei/panoptic_train.json")
    content = json.loads(table.read_text())
    (entry,) = [image for image in content["images"] if image["file_name"] == "3582166ee207.png"]
    entry["width"] = 300
    table.write_text(json.dumps(content))
    told = shell("inspect", "data=coco_panoptic", "data.root=nuclei", "output=out", "workers=1", cwd=Path.cwd())
    assert told.returncode == 1

    visitor = Visitor(browser, (1000, 900))
    page = visitor.page
    page.goto(Path("out/report.html").resolve().as_uri())
    assert page.inner_text("h1") == "Inspection of nuclei"
    assert page.get_by_text("3 faults (1 unreadable, 2 size)").is_visible()
    assert page.evaluate("document.images.length") > 1
    page.evaluate("for (const image of document.images) image.loading = 'eager'")
    page.wait_for_function("[...document.images].every(image => image.naturalWidth > 30)")
    for link in page.locator("a[href^='#']").all():
        assert page.locator(f"[id='{link.get_attribute('href')[1:]}']").count() == 1
    end = page.get_by_role("heading", name="Sizes of things").bounding_box()
    visitor.take("inspect.png", end["y"])
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert [url for url in visitor.asked if not url.startswith("file:") and not url.startswith("data:")] == []
    assert visitor.wrong == []
    page.close()
