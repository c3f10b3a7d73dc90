"""Answers of the page to what a visitor does, from values to HTML; what belongs to a visitor is passed in and out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from panoptic.data.failures import failure_sentence
from panoptic.demo_page import html
from panoptic.demo_page.networks import Network, Prediction
from panoptic.demo_page.pictures import (
    Difference,
    Filter,
    alpha_maps,
    difference,
    fitting,
    fitting_size,
    nearest,
    picture,
)
from panoptic.demo_page.truth import read_truth, score
from panoptic.demo_page.uploads import Limits, Upload, check_pixels, read_upload
from panoptic.errors import InputError
from panoptic.results import Result

MAP_SIDE = 240
"""Number of pixels of the longer side of a map of fusion weights."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a visitor looks at.

    Attributes:
        name: Name of the image.
        predictions: Prediction of each network.
        shown: Result of each network, no larger than a picture.
        difference: Pixels in which two networks differ.
        mark: The same, of the size of a picture.
    """

    name: str
    predictions: tuple[Prediction, ...]
    shown: tuple[Result, ...]
    difference: Difference | None
    mark: np.ndarray | None


class Answer(NamedTuple):
    """Parts of the page after a prediction, in HTML but for the first.

    Attributes:
        scene: What the visitor looks at now.
        message: Sentence to the visitor.
        view: Pictures of the segments.
        downloads: Links to the segments.
        details: Numbers beside them.
    """

    scene: Scene
    message: str
    view: str
    downloads: str
    details: str


class Answers:
    """Answers with one network, or with two that are compared.

    Args:
        networks: Networks, each of the same label space.
        limits: Largest uploads.

    Raises:
        InputError: If the label spaces differ.
    """

    def __init__(self, networks: Sequence[Network], limits: Limits) -> None:
        self.networks = tuple(networks)
        self.limits = limits
        self.labels = networks[0].labels
        for other in networks[1:]:
            if not self.labels.has_categories_of(other.labels):
                raise InputError(
                    f"compare_with: expected the categories of the checkpoint, {self.labels.difference(other.labels)}"
                )

    @property
    def titles(self) -> list[str]:
        """Title of each network."""
        names = ("checkpoint", "compare_with")
        return [f"{name}: {network.about}" for name, network in zip(names, self.networks, strict=False)]

    def to_upload(self, upload: Upload, strength: float, shown: Filter) -> Answer:
        """Predict an image of a visitor, which each network reads in its own way.

        Raises:
            InputError: If it is too large or cannot be read.
        """

        def read(path: Path) -> list[np.ndarray]:
            check_pixels(path, self.limits)
            return [network.read(path) for network in self.networks]

        images = read_upload(upload, read)
        height, width = images[0].shape[:2]
        if height * width > self.limits.pixels:  # of a kind that is bounded by its reader alone
            raise InputError(f"{upload.name}: expected fewer pixels, got {width} x {height}")
        return self.to_images(upload.name, images, strength, shown)

    def to_image(self, name: str, image: np.ndarray, strength: float, shown: Filter) -> Answer:
        """Predict an RGB image, uint8 ``[H W 3]``."""
        return self.to_images(name, [image] * len(self.networks), strength, shown)

    def to_images(self, name: str, images: Sequence[np.ndarray], strength: float, shown: Filter) -> Answer:
        """Predict an image as each network has read it."""
        predictions = [network.predict(image) for network, image in zip(self.networks, images, strict=True)]
        start = time.perf_counter()
        results = [prediction.result for prediction in predictions]
        found = difference(*results) if len(results) == 2 else None
        mark = None if found is None else nearest(found.either, fitting_size(results[0].size))
        scene = Scene(name, tuple(predictions), tuple(fitting(result) for result in results), found, mark)
        view = self.view(scene, strength, shown)
        links = [html.downloads(result, name, title) for result, title in zip(results, self.titles, strict=True)]
        drawing = time.perf_counter() - start
        parts = [self._details(p, drawing, t) for p, t in zip(predictions, self.titles, strict=True)]
        height, width = results[0].size
        told = f"{name}: {width} x {height}"
        if found is not None:
            told = f"{told}; {html.difference_text(found)}"
        return Answer(scene, html.message(told), view, html.views(links), html.views(parts))

    def view(self, scene: Scene, strength: float, shown: Filter) -> str:
        """Draw what a visitor looks at, without predicting again."""
        parts = []
        for result, title in zip(scene.shown, self.titles, strict=True):
            drawn = picture(result, strength, shown, scene.mark)
            parts.append(html.view(drawn, shown.apply(result), title))
        return html.views(parts)

    def _details(self, prediction: Prediction, drawing: float, title: str) -> str:
        result, alpha, seconds = prediction
        maps = None if alpha is None else alpha_maps(alpha, fitting_size(result.size, MAP_SIDE))
        return html.details(result, maps, {**seconds, "drawing": drawing}, title)

    def scores(self, scene: Scene | None, uploads: dict[str, Upload]) -> str:
        """Score what a visitor looks at against a truth.

        Raises:
            InputError: If there is no image or no truth, or it cannot be used.
        """
        if scene is None:
            raise InputError("truth: expected an image first, got none")
        for role, kind in (("truth", "a PNG of ids"), ("table", "a JSON file")):
            if role not in uploads:
                raise InputError(f"truth: expected {kind}, got none")
        truth = read_truth(uploads["truth"], uploads["table"], self.labels, self.limits)
        results = [prediction.result for prediction in scene.predictions]
        return html.qualities({t: score(r, truth) for t, r in zip(self.titles, results, strict=True)})


def told(answer: Callable[[], Any]) -> tuple[Any, str | None]:
    """Return an answer, or the sentence that says why there is none.

    What is not meant for people goes to the log, and no word of it to the visitor.

    Args:
        answer: Function that gives it.
    """
    try:
        return answer(), None
    except InputError as error:
        return None, str(error)
    except Exception as error:  # of any library: a visitor must not end the page, nor see its insides
        traceback.print_exc()
        if failure_sentence(error) is not None:
            return None, "image: expected one that fits into memory, got one that does not; a smaller one may"
        return None, "this did not work; the log of the server says why"
