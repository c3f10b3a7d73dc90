"""The page of ``python -m panoptic.demo`` with a tiny network, in a real browser, as visitors use it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from panoptic.demo_page.answers import Answers
from panoptic.demo_page.examples import examples
from panoptic.demo_page.networks import Network, load_network
from panoptic.demo_page.pictures import picture
from panoptic.demo_page.serving import build_app, listen, server_of
from panoptic.demo_page.uploads import Limits
from panoptic.results import Result
from panoptic.scenes.source import SyntheticSource
from tests.commands.small_runs import vary

pytest.importorskip("gradio")
httpx = pytest.importorskip("httpx")  # which Gradio brings
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
    # How long visitors wait, Gradio 6.31 computes with what pandas 3 no longer needs.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]

LIMITS = Limits(bytes=300_000, pixels=200_000)
SCENES = SyntheticSource(split="val", size=2, height=64, width=128)
PATIENCE = 60_000  # milliseconds, on a machine that does much else


class Recorder:
    """Network of which the page shows known segments, whatever a tiny network finds, and which keeps them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.about, self.labels, self.read = network.about, network.labels, network.read
        self.results: list[Result] = []

    def predict(self, image: np.ndarray) -> Any:
        prediction = self.network.predict(image)
        result = known(prediction.result)
        self.results.append(result)
        return prediction._replace(result=result)


def known(found: Result) -> Result:
    """Two cars on road under sky, and void at the right, in place of the segments of a result."""
    height, width = found.size
    ids = np.zeros(found.size, dtype=np.int32)
    ids[: height // 2, : width - 8], ids[height // 2 :, : width - 8] = 3, 4
    ids[height // 2 : height // 2 + 12, 10:40] = 1
    ids[height // 2 : height // 2 + 12, 44:60] = 2
    classes = np.array([found.labels.names.index(name) for name in ("car", "car", "sky", "road")])
    scores = np.array([0.9, 0.4, 0.8, 0.7])
    tables = {"complexity": found.complexity, "alpha": found.alpha, "image": found.image}
    return Result.from_tables(ids, classes, scores, found.labels, **tables)


class Tap:
    """ASGI application that keeps what goes out through another, but for Gradio's own files."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: list[bytes] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def kept(event: dict[str, Any]) -> None:
            if not re.match("/(assets|static)/", scope.get("path", "")):
                self.sent.append(event.get("body", b"") + repr(event.get("headers")).encode())
            await send(event)

        await self.app(scope, receive, kept)


class Site:
    """A page that is served, with what is behind it."""

    def __init__(self, network: Recorder, tap: Tap, address: str) -> None:
        self.network, self.tap, self.address = network, tap, address


@pytest.fixture(scope="module")
def site(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("demo")
    for seed in range(2):
        vary(trained / "checkpoints" / "last.ckpt", folder / f"network{seed}.ckpt", seed)
    network, other = (load_network(str(folder / f"network{seed}.ckpt")) for seed in range(2))
    recorder = Recorder(network)
    with serving(Answers([recorder, other], LIMITS)) as (tap, address):
        yield Site(recorder, tap, address)


@contextmanager
def serving(answers: Answers) -> Iterator[tuple[Tap, str]]:
    app = Tap(build_app(answers, examples()))
    with listen("127.0.0.1", 0) as opened:
        server = server_of(app)
        thread = threading.Thread(target=server.run, args=([opened],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield app, f"http://127.0.0.1:{opened.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(site: Site, browser: Any) -> Iterator[Any]:
    """Function that opens the page as a visitor of its own, and notes what a browser finds wrong."""
    contexts, wrong = [], []

    def visit(**options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked(request.url, site.address, wrong))
        page.on("response", lambda response: response.ok or wrong.append(f"{response.status} {response.url}"))
        page.goto(site.address)
        page.wait_for_selector("#example-0")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def asked(url: str, address: str, wrong: list[str]) -> None:
    if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(address):
        wrong.append(f"asked {url}")


def encoded(image: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, form)
    return stream.getvalue()


def drop(page: Any, name: str, content: bytes, role: str = "picture") -> None:
    page.set_input_files(f"input[data-role={role}]", {"name": name, "mimeType": "", "buffer": content})


def segmented(page: Any, name: str, content: bytes) -> None:
    drop(page, name, content)
    page.wait_for_selector(f"#message :text('{name}: ')")


def shown(page: Any, which: str = "img.picture") -> np.ndarray:
    """A picture of the page, as it came."""
    data = page.locator(f"#view {which}").first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2])))).astype(int)


def hover(page: Any, row: int, column: int, size: tuple[int, int]) -> str:
    """What the page says of a pixel of the first picture."""
    frame = page.locator("#view .frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.move(
        box["x"] + (column + 0.5) / size[1] * box["width"], box["y"] + (row + 0.5) / size[0] * box["height"]
    )
    return page.locator("#view .tip").first.inner_text()


def waited(condition: Any) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_image_is_dropped_looked_at_and_taken_home(site: Site, visit: Any) -> None:
    page = visit(accept_downloads=True)
    image = SCENES.read(0).image
    segmented(page, "scene.png", encoded(image))
    result = site.network.results[-1]
    assert np.array_equal(result.image, image)
    assert "class differs in" in page.inner_text("#message")
    assert page.locator("#view figure").count() == 2
    ids = shown(page, "img.ids")
    assert np.array_equal(ids[..., 0] + 256 * ids[..., 1] + 65536 * ids[..., 2], result.ids)
    for segment in result.segments:
        row, column = np.argwhere(result.ids == segment.id)[0].tolist()
        said = f"{segment.category} · score {segment.score:.2f} · {segment.area} pixels"
        waited(lambda place=(row, column), said=said: hover(page, *place, result.size) == said)
    assert "object density" in page.inner_text("#details")

    with page.expect_download() as png:
        page.click("#downloads a:text('PNG')")
    with page.expect_download() as table:
        page.click("#downloads a:text('JSON')")
    assert png.value.suggested_filename == "scene_checkpoint.png"
    picture, infos = result.to_coco()
    assert np.array_equal(np.asarray(Image.open(png.value.path())), np.asarray(picture))
    saved = json.loads(Path(table.value.path()).read_text())
    assert saved["annotations"][0]["segments_info"] == infos

    # The same segments as a truth: every category is right.
    page.click("#truth button:has-text('Score against a truth')")
    drop(page, "scene_checkpoint.png", Path(png.value.path()).read_bytes(), "truth")
    drop(page, "scene_checkpoint.json", Path(table.value.path()).read_bytes(), "table")
    page.click("#score")
    page.wait_for_selector("#scores td")
    assert page.inner_text("#scores tr:has-text('all')").split() == ["all", "100.0", "100.0", "100.0"]


def test_strength_and_filter_draw_again_without_predicting(site: Site, visit: Any) -> None:
    page = visit()
    image = SCENES.read(0).image
    segmented(page, "scene.png", encoded(image))
    result, predicted = site.network.results[-1], len(site.network.results)
    first = page.locator("#view img.picture").first

    def drawn_anew(act: Any) -> np.ndarray:
        before = first.get_attribute("src")
        act()
        waited(lambda: first.get_attribute("src") != before)
        return shown(page)

    assert shown(page).shape == image.shape
    weak = drawn_anew(lambda: set_slider(page, "strength", 0))
    # Where nothing is striped, since both networks agree, or between the stripes; JPEG is near, not equal.
    near = np.abs(weak - np.asarray(picture(result, 0.0))).sum(-1) < 60
    assert near.mean() > 0.3
    assert (np.abs(weak - [255, 0, 220]).sum(-1) < 60).mean() > 0.2  # striped, where they differ

    page.click("#filter button:has-text('Filter')")
    drawn_anew(lambda: set_slider(page, "lowest", 0.75))
    assert np.unique(shown(page, "img.ids")[..., 0]).tolist() == [0, 1, 3]
    drawn_anew(lambda: set_slider(page, "lowest", 0))
    drawn_anew(lambda: page.click("#categories label:has-text('sky')"))
    assert np.unique(shown(page, "img.ids")[..., 0]).tolist() == [0, 1, 2, 4]
    assert len(site.network.results) == predicted


def set_slider(page: Any, name: str, value: float) -> None:
    field = page.locator(f"#{name} input[type=number]")
    field.fill(str(value))
    field.press("Enter")
    field.blur()


def test_bad_files_get_a_sentence_and_what_was_there_stays(site: Site, visit: Any) -> None:
    page = visit()
    page.click("#example-1")
    page.wait_for_selector("#message :text('nuclei 1: ')")
    before = page.locator("#view img.picture").first.get_attribute("src")
    for name, content, said in (
        (
            "text.png",
            b"a picture",
            "text.png: expected an image (JPEG, PNG, TIFF, BMP, WEBP), got a file of another kind",
        ),
        ("large.png", bytes(400_000), "large.png: expected a file of at most 0.3 MB, got 0.4 MB"),
        (
            "many.png",
            encoded(np.zeros((400, 501, 3), np.uint8)),
            "many.png: expected at most 0.2 million pixels, got 501 x 400",
        ),
        ("empty.png", b"", "empty.png: expected an image, got an empty file"),
        ("<b>&.png", b"\x89PNG\r\n\x1a\n", "<b>&.png: expected an image"),
    ):
        drop(page, name, content)
        waited(
            lambda said=said: (
                page.inner_text("#message [role=alert]").startswith(said)
                if page.locator("#message [role=alert]").count()
                else False
            )
        )
    assert page.locator("#view img.picture").first.get_attribute("src") == before
    page.click("#truth button:has-text('Score against a truth')")
    page.click("#score")
    page.wait_for_selector("#scores :text('truth: expected a PNG of ids, got none')")


def test_two_visitors_see_their_own_images(site: Site, visit: Any) -> None:
    one, other = visit(), visit()
    images = [SCENES.read(number).image for number in range(2)]
    drop(one, "one.png", encoded(images[0]))
    drop(other, "other.png", encoded(images[1]))
    for page, name, image in ((one, "one", images[0]), (other, "other", images[1])):
        page.wait_for_selector(f"#message :text('{name}.png: ')")
        (result,) = [found for found in site.network.results[-2:] if np.array_equal(found.image, image)]
        before = page.locator("#view img.picture").first.get_attribute("src")
        set_slider(page, "strength", 0.2)  # drawn from what the server keeps
        waited(lambda page=page, before=before: page.locator("#view img.picture").first.get_attribute("src") != before)
        assert np.array_equal(shown(page, "img.ids")[..., 0], result.ids % 256)


def test_a_phone_shows_all_of_it(visit: Any) -> None:
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    segmented(page, f"{'a' * 60}.png", encoded(SCENES.read(0).image))
    page.click("#filter button:has-text('Filter')")
    page.click("#truth button:has-text('Score against a truth')")
    page.wait_for_selector("#truth .drop")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    box = page.locator("#view .frame").first.bounding_box()
    assert box["x"] >= 0
    assert 250 < box["width"] <= 360
    page.locator("#view .frame").first.tap()
    waited(lambda: "score" in page.locator("#view .tip").first.inner_text())


def test_nothing_of_the_machine_reaches_visitors_and_nothing_foreign_is_asked(
    site: Site, visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []
    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: connected.append(to) or connect(self, to))
    page = visit()
    segmented(page, "scene.png", encoded(SCENES.read(0).image))
    drop(page, "text.png", b"text")
    page.wait_for_selector("#message [role=alert]")
    assert [to for to in connected if to[0] not in ("127.0.0.1", "::1") and not str(to).startswith("/")] == []
    html = page.evaluate("fetch('/').then(answer => answer.text())")
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^\"' >]*", html) == []
    # Without pictures, whose text may be like any short path.
    sent = re.sub(rb"[A-Za-z0-9+/=]{200,}", b"", b"\n".join(site.tap.sent))
    assert b"scene.png" in sent
    assert b"font-src 'self'" in sent
    for path in (
        "/tmp",
        "/usr",
        os.getcwd(),
        str(Path.home()),
        str(Path(__file__).parents[2]),
        "site-packages",
        ".ckpt",
    ):
        assert path.encode() not in sent, path
    answered = {
        "/gradio_api/upload": (b"", 404),
        "/gradio_api/file=/etc/passwd": (None, 404),
        "/monitoring": (None, 404),
        "/openapi.json": (None, 404),
        "/docs": (None, 404),
        "/gradio_api/queue/join": (b"x" * (LIMITS.request + 1), 413),
        "/robots.txt": (None, 200),
    }
    for path, (body, status) in answered.items():
        answer = httpx.request("GET" if body is None else "POST", site.address + path, content=body, trust_env=False)
        assert answer.status_code == status, path
    chunks = httpx.post(site.address + "/gradio_api/queue/join", content=iter([b"x"]), trust_env=False)
    assert chunks.status_code == 411
