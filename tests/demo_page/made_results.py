"""Results by hand, and a network that gives one, for the tests of the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from panoptic.demo_page.networks import Prediction
from panoptic.labels import Category, LabelSpace
from panoptic.results import Result
from panoptic.runtime.images import to_array

LABELS = LabelSpace(
    (
        Category("road", 7, False, (10, 20, 30)),
        Category("car", 300, True, (200, 0, 0)),
        Category("<b>", 5, True, (0, 90, 0)),
    )
)
# Two cars of which the second has the lower score, a thing of another category, road around them, and a column of void.
IDS = np.zeros((10, 20), dtype=np.int32)
IDS[:, :19] = 4
IDS[2:5, 2:6] = 1
IDS[2:5, 10:14] = 2
IDS[7:9, 4:7] = 3
CLASSES = np.array([1, 1, 2, 0, -1])
SCORES = np.array([0.9, 0.4, 0.6, 1.0, 0.0])


def result(ids: np.ndarray = IDS, classes: np.ndarray = CLASSES, image: np.ndarray | None = None) -> Result:
    classes = np.where(np.isin(np.arange(1, len(classes) + 1), ids), classes, -1)
    image = np.full((*ids.shape, 3), 100, dtype=np.uint8) if image is None else image
    complexity, alpha = np.array([1.5, 0.25], np.float32), np.array([0.2, 0.3, 0.5], np.float32)
    return Result.from_tables(ids, classes, SCORES, LABELS, complexity=complexity, alpha=alpha, image=image)


class Same:
    """Network that finds the same in every image of one size, and counts its predictions."""

    about = "the same"
    labels = LABELS

    def __init__(self, ids: np.ndarray = IDS, classes: np.ndarray = CLASSES, alpha: np.ndarray | None = None) -> None:
        self.ids, self.classes, self.alpha = ids, classes, alpha
        self.predicted = 0

    def read(self, path: Path) -> np.ndarray:
        return to_array(path)

    def predict(self, image: np.ndarray) -> Prediction:
        self.predicted += 1
        return Prediction(result(self.ids, self.classes, image), self.alpha, {"network": 0.25, "decoding": 0.5})
