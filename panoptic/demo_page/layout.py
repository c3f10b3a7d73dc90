"""Layout of the page in Gradio, and which answer goes where."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic.demo_page import html
from panoptic.demo_page.answers import Answer, Answers, Scene, told
from panoptic.demo_page.examples import Example
from panoptic.demo_page.pictures import Filter, fitting_size
from panoptic.demo_page.uploads import Upload, parse_uploads
from panoptic.errors import InputError

MINUTES = 30
"""Time for which what a visitor looks at is kept."""

WAITING = 32
"""Number of visitors that may wait for a prediction."""

STRENGTH = 0.5

_THUMBNAIL = 160  # pixels


def import_gradio() -> Any:
    """Import Gradio, switched to ask nothing of any network and to record nothing.

    Raises:
        InputError: If it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["GRADIO_SSR_MODE"] = "False"
    try:
        import gradio
    except ImportError:
        raise InputError(
            "gradio: expected the package, got none; pip install 'panoptic-adaptive-fusion[demo]'"
        ) from None
    return gradio


class Events:
    """What Gradio calls, with values of its components, and gets values of components from.

    Args:
        answers: Answers to what a visitor does.
        examples: Images to try the page with.
        unchanged: What Gradio takes for a component that stays as it is.
    """

    def __init__(self, answers: Answers, examples: Sequence[Example], unchanged: Any) -> None:
        self.answers = answers
        self.examples = examples
        self.unchanged = unchanged

    def predict(self, files: str, *how: Any) -> tuple[Any, ...]:
        """Predict the image that was sent."""
        return self._parts(lambda: self.answers.to_upload(self._picture(files), *_how(*how)))

    def try_example(self, number: int, *how: Any) -> tuple[Any, ...]:
        """Predict an example."""
        name, image = self.examples[number]
        return self._parts(lambda: self.answers.to_image(name, image, *_how(*how)))

    def draw(self, scene: Scene | None, *how: Any) -> Any:
        """Draw again what is there, with another strength or filter."""
        if scene is None:
            return self.unchanged
        found, problem = told(lambda: self.answers.view(scene, *_how(*how)))
        return found if problem is None else html.message(problem, is_problem=True)

    def score(self, files: str, scene: Scene | None) -> str:
        """Score what is there against the truth that was sent."""
        found, problem = told(lambda: self.answers.scores(scene, parse_uploads(files, self.answers.limits)))
        return found if problem is None else html.message(problem, is_problem=True)

    def _picture(self, files: str) -> Upload:
        uploads = parse_uploads(files, self.answers.limits)
        if "picture" not in uploads:
            raise InputError("image: expected a file, got none")
        return uploads["picture"]

    def _parts(self, answer: Callable[[], Answer]) -> tuple[Any, ...]:
        found, problem = told(answer)
        if problem is None:
            return tuple(found)
        stays = self.unchanged
        return stays, html.message(problem, is_problem=True), stays, stays, stays


def _how(strength: float, categories: Sequence[str], lowest: float) -> tuple[float, Filter]:
    return strength, Filter(frozenset(categories), lowest)


def build_page(answers: Answers, examples: Sequence[Example]) -> Any:
    """Lay out the page, ``gradio.Blocks``.

    Args:
        answers: Answers to what a visitor does.
        examples: Images to try it with.
    """
    gr = import_gradio()
    events = Events(answers, examples, gr.skip())
    names = list(answers.labels.names)
    with gr.Blocks(title="panoptic", analytics_enabled=False) as page:
        gr.HTML("<h1>Panoptic segmentation</h1>")
        files = gr.Textbox(visible=False)
        scene = gr.State(time_to_live=60 * MINUTES)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                gr.HTML(html.drop_area("picture", "Drop an image here, or choose one", "image/*,.tif,.tiff"))
                button = gr.Button("Segment", elem_id="predict", elem_classes="offstage")  # pressed by the script
                with gr.Row():
                    tried = [
                        gr.Button(each.name, elem_id=f"example-{n}", elem_classes="example", min_width=80, size="sm")
                        for n, each in enumerate(examples)
                    ]
                strength = gr.Slider(0, 1, STRENGTH, step=0.05, label="Strength of the colors", elem_id="strength")
                with gr.Accordion("Filter", open=False, elem_id="filter"):
                    lowest = gr.Slider(0, 1, 0, step=0.05, label="Lowest score", elem_id="lowest")
                    categories = gr.CheckboxGroup(names, value=names, label="Categories", elem_id="categories")
            with gr.Column(scale=3, min_width=280):
                outputs = [scene, *(gr.HTML(elem_id=part) for part in ("message", "view", "downloads", "details"))]
                with gr.Accordion("Score against a truth", open=False, elem_id="truth"):
                    png = html.drop_area("truth", "PNG of ids in COCO panoptic format", "image/png")
                    table = html.drop_area("table", "JSON file with its segments_info", ".json,application/json")
                    gr.HTML(html.views([png, table]))
                    scoring = gr.Button("Score", elem_id="score")
                    scores = gr.HTML(elem_id="scores")

        how, view, largest = [strength, categories, lowest], outputs[2], answers.limits.bytes
        alone = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
        shown = {"show_progress_on": [view], **alone}
        button.click(events.predict, [files, *how], outputs, js=_sending(["picture"], largest), **shown)
        for number, each in enumerate(tried):
            each.click(partial(events.try_example, number), how, outputs, **shown)
        redrawn = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
        for control in how:
            control.change(events.draw, [scene, *how], view, **redrawn)
        scoring.click(events.score, [files, scene], scores, js=_sending(["truth", "table"], largest), **alone)
    return page.queue(max_size=WAITING, api_open=False)


def _sending(roles: list[str], largest: int) -> str:
    """Return the script by which an event sends files along."""
    return f"(...inputs) => window.panopticPage.send({roles}, inputs, {largest})"


def page_head() -> str:
    """Return the page's script, for its head."""
    return f"<script>{_text('page.js')}</script>"


def page_css(examples: Sequence[Example]) -> str:
    """Return the page's style, with the examples as pictures."""
    rules = (
        f"#example-{n} {{ background: center / cover url({html.jpeg(_thumbnail(each.image))}); aspect-ratio: 3 / 2; "
        "color: white; text-shadow: 0 0 4px black, 0 0 2px black; align-items: end; }"
        for n, each in enumerate(examples)
    )
    return "\n".join((_text("page.css"), *rules))


def _thumbnail(image: np.ndarray) -> np.ndarray:
    size = fitting_size((image.shape[0], image.shape[1]), _THUMBNAIL)
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
