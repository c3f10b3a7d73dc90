"""Pairs of saved predictions and ground truth, both in COCO panoptic format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from panoptic.data.coco.json import ImageList, SegmentTable, annotated_images, load, read_labels, some
from panoptic.data.coco.layout import find_panoptic_dir
from panoptic.data.coco.reader import read_ids
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments


class Pair(NamedTuple):
    """Predicted and true segments of one image.

    Attributes:
        image_id: Image id of the ground truth.
        file_name: File name of the ground truth's PNG.
        prediction: Predicted segments.
        target: True segments.
    """

    image_id: int | str
    file_name: str
    prediction: Segments
    target: Segments


class PredictionPairs:
    """Images of a ground truth with their predictions.

    Both JSON files are read and compared on construction; PNG files are read one by one. The path of a PNG is the
    ``file_name`` of its annotation, relative to the given folder or to the path of the JSON file without its suffix.
    ``images`` may be missing from either file, ``categories`` from the predictions.

    As in the official evaluators, areas of segments are counted in the PNG, regardless of the JSON file. Pixels with
    id 0 are void in the ground truth, and in predictions unless a segment with id 0 is listed. Predictions for other
    images are ignored; :attr:`ignored` is their number.

    Args:
        ground_truth: JSON file of the ground truth.
        predictions: JSON file of the predictions.
        ground_truth_dir: Folder of the PNG files of the ground truth.
        predictions_dir: Folder of the PNG files of the predictions.
        count_as_empty: Whether to treat images without a prediction as having no predicted segments, instead of raising
            an error.

    Attributes:
        labels: Label space of the ground truth.
        image_ids: Image ids of the ground truth.
        ignored: Number of predictions for images that are not in the ground truth.
        missing: Number of images without a prediction.

    Raises:
        InputError: If a file or folder is missing, a file is invalid or inconsistent, the categories differ, or images
            have no prediction.
    """

    def __init__(
        self,
        ground_truth: str | os.PathLike,
        predictions: str | os.PathLike,
        *,
        ground_truth_dir: str | os.PathLike | None = None,
        predictions_dir: str | os.PathLike | None = None,
        count_as_empty: bool = False,
    ) -> None:
        self.truth_json, self.prediction_json = Path(ground_truth).expanduser(), Path(predictions).expanduser()
        truth, predicted = load(self.truth_json), load(self.prediction_json)
        self.labels = read_labels(truth, self.truth_json)
        check_categories(self.labels, predicted, self.prediction_json)

        self.image_ids = annotated_images(truth, self.truth_json)
        self.sizes: list[tuple[int | None, int | None]] = [(None, None)] * len(self.image_ids)
        if "images" in truth:
            images = ImageList.parse(truth, self.truth_json)
            self.image_ids, self.sizes = images.ids, images.sizes
        self.truth = SegmentTable.parse(truth, self.truth_json, self.labels, self.image_ids, stuff_crowd=True)

        given = annotated_images(predicted, self.prediction_json) if predicted.get("annotations") != [] else []
        true_ids, predicted_ids = set(self.image_ids), set(given)
        missing = [image_id for image_id in self.image_ids if image_id not in predicted_ids]
        if missing and (not count_as_empty or (given and not true_ids & predicted_ids)):
            raise InputError(
                f"{self.prediction_json}: expected a prediction for each image of {self.truth_json}, got none for "
                f"{some(missing)}{f' (but for {some(given[:1])} and others)' if given else ''}; "
                "missing=count_as_empty scores them as images in which nothing was found"
            )
        self.ignored = sum(image_id not in true_ids for image_id in given)
        self.missing = len(missing)
        scored = [image_id for image_id in self.image_ids if image_id in predicted_ids]
        annotations = [a for a in predicted.get("annotations", ()) if a["image_id"] in true_ids]
        self.predicted = SegmentTable.parse(
            {"annotations": annotations}, self.prediction_json, self.labels, scored, lowest_id=0
        )
        self.row = {image_id: row for row, image_id in enumerate(scored)}
        self.truth_dir = _folder(ground_truth_dir, self.truth_json, "ground_truth_dir")
        self.prediction_dir = _folder(predictions_dir, self.prediction_json, "predictions_dir")

    def __len__(self) -> int:
        """Return the number of images in the ground truth."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Pair:
        """Read the predicted and true segments of an image.

        Args:
            index: Index of the image in the ground truth.

        Raises:
            InputError: If a PNG cannot be read or is inconsistent with its JSON file, or the two PNG files differ in
                size.
        """
        if index >= len(self):
            raise IndexError(index)
        image_id, png = self.image_ids[index], self.truth_dir / self.truth.file_names[index]
        target = _read(png, self.truth, index, self.truth_json)
        if any(given not in (None, side) for given, side in zip(self.sizes[index], target.size, strict=True)):
            raise InputError(
                f"{png}: expected height and width {self.sizes[index]} as {self.truth_json} says, got {target.size}"
            )
        row = self.row.get(image_id)
        if row is None:
            empty = torch.zeros(0, dtype=torch.int64)
            prediction = Segments(torch.zeros_like(target.ids), empty, empty.bool())
        else:
            predicted_png = self.prediction_dir / self.predicted.file_names[row]
            prediction = _read(predicted_png, self.predicted, row, self.prediction_json)
            if prediction.size != target.size:
                raise InputError(
                    f"{predicted_png}: expected height and width {target.size} as {png} has them, got {prediction.size}"
                )
        return Pair(image_id, self.truth.file_names[index], prediction, target)


def check_categories(labels: LabelSpace, predicted: dict[str, Any], path: Path) -> None:
    """Check that the categories of predictions, if listed, agree with those of the ground truth.

    Args:
        labels: Label space of the ground truth.
        predicted: Content of the JSON file of the predictions.
        path: Path of that JSON file.

    Raises:
        InputError: If a category differs.
    """
    if "categories" not in predicted:
        return
    entries = predicted["categories"]
    if not isinstance(entries, list) or not all(isinstance(e, dict) and isinstance(e.get("id"), int) for e in entries):
        raise InputError(f"{path}: categories: expected a list of objects with a whole number 'id'")
    for entry in entries:
        c = labels.class_of_id.get(entry["id"])
        if c is None:
            raise InputError(f"{path}: categories: expected those of the ground truth, got another: id {entry['id']}")
        expected = {"name": labels.names[c], "isthing": int(labels.is_thing[c])}
        for key, value in expected.items():
            if key in entry and entry[key] != value:
                raise InputError(
                    f"{path}: categories: expected {key} {value!r} of id {entry['id']} as in the ground truth, "
                    f"got {entry[key]!r}"
                )


def _folder(given: str | os.PathLike | None, panoptic_json: Path, key: str) -> Path:
    return find_panoptic_dir(panoptic_json, None if given is None else Path(given).expanduser(), key)


def _read(png: Path, table: SegmentTable, index: int, panoptic_json: Path) -> Segments:
    ids, classes, crowd, _ = table.rows(index)
    return Segments(
        torch.from_numpy(read_ids(png, ids, panoptic_json)),
        torch.from_numpy(classes),
        torch.from_numpy(crowd),
    )
