"""``python -m benchmarks.demo NETWORK``: time from choosing a file to its overlay on the page of ``panoptic.demo``.

In a real browser, with synthetic scenes: median over files, after the first. With ``--screenshot``, the page is written
to a PNG file too. It needs the extra ``demo``, the package playwright and Chromium.
"""

from __future__ import annotations

import argparse
import io
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from panoptic.demo_page.answers import Answers
from panoptic.demo_page.examples import examples
from panoptic.demo_page.networks import load_network
from panoptic.demo_page.serving import build_app, listen, server_of
from panoptic.demo_page.uploads import Limits
from panoptic.scenes.source import SyntheticSource
from panoptic.utils.malloc import keep_freed_memory

CHROMIUM = "/usr/bin/chromium"


def main() -> None:
    """Measure, and print the median."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description="Time the page of panoptic.demo.")
    parser.add_argument("networks", nargs="+", help="checkpoint or exported file; a second one is compared with it")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), help="height and width of the scenes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--screenshot", type=Path)
    given = parser.parse_args()
    keep_freed_memory()
    height, width = given.size
    scenes = SyntheticSource(split="test", size=given.repeats + 1, height=height, width=width)
    files = [_png(scenes.read(number).image) for number in range(given.repeats + 1)]
    answers = Answers([load_network(source) for source in given.networks], Limits(20_000_000, 16_000_000))
    with serving(answers) as address:
        seconds = visit(address, files, given.screenshot)
    print(
        f"{width} x {height}, {answers.titles[0]}: {statistics.median(seconds[1:]):.2f} s, of {len(seconds) - 1} files"
    )


@contextmanager
def serving(answers: Answers) -> Iterator[str]:
    """Serve the page from a thread, and yield its address."""
    with listen("127.0.0.1", 0) as opened:
        server = server_of(build_app(answers, examples()))
        thread = threading.Thread(target=server.run, args=([opened],))
        thread.start()
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def visit(address: str, files: list[bytes], screenshot: Path | None) -> list[float]:
    """Choose each file, and return the seconds until its picture has been decoded."""
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        page.goto(address)
        page.wait_for_selector("#example-0")
        for number, content in enumerate(files):
            file = {"name": f"scene{number}.png", "mimeType": "image/png", "buffer": content}
            start = time.perf_counter()
            page.set_input_files("input[data-role=picture]", file)
            page.wait_for_selector(f"#message :text('scene{number}.png: ')", timeout=120_000)
            page.locator("#view img.picture").first.evaluate("picture => picture.decode()")
            seconds.append(time.perf_counter() - start)
        if screenshot is not None:
            page.hover("#view .frame", position={"x": 420, "y": 260})
            with Image.open(io.BytesIO(page.screenshot())) as taken:
                taken.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(screenshot, optimize=True)
        browser.close()
    return seconds


def _png(image) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


if __name__ == "__main__":
    main()
