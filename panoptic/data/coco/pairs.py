"""Saved predictions beside their truth, both in COCO panoptic format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from panoptic.data.coco.json import (
    ImageList,
    SegmentTable,
    annotated_images,
    demand_folder,
    load,
    read_labels,
    some,
)
from panoptic.data.coco.reader import read_ids
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments


class Pair(NamedTuple):
    """One image: what was predicted, and what is true."""

    image_id: int | str
    file_name: str
    prediction: Segments
    target: Segments


class PredictionPairs:
    """The images of a ground truth with what was predicted for them.

    Both JSON files are read at construction and held against each other; PNG files are read one by one. A PNG is found
    by the ``file_name`` of its annotation, in the folder given or in that of the JSON file's name. ``images`` may be
    left out of either, ``categories`` out of the predictions. As in the official evaluators, segment areas are counted
    in the PNG, whatever the JSON says; pixels of 0 are void in the truth, and in predictions unless a segment with the
    id 0 is listed; predictions for other images are left out (:attr:`ignored` is their number).

    Args:
        ground_truth: JSON file.
        predictions: JSON file.
        ground_truth_dir: folder of the truth's PNG files.
        predictions_dir: folder of the predictions' PNG files.
        count_as_empty: whether an image without prediction counts as one in which nothing was found, rather than as
            an error.

    Raises:
        InputError: if a file or folder is missing, a file is invalid or contradicts itself, the categories differ, or
            images have no prediction.
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
        wanted, found = set(self.image_ids), set(given)
        missing = [image_id for image_id in self.image_ids if image_id not in found]
        if missing and (not count_as_empty or (given and not wanted & found)):
            raise InputError(
                f"{self.prediction_json}: expected a prediction for each image of {self.truth_json}, got none for "
                f"{some(missing)}{f' (but for {some(given[:1])} and others)' if given else ''}; "
                "missing=count_as_empty scores them as images in which nothing was found"
            )
        self.ignored = sum(image_id not in wanted for image_id in given)
        self.missing = len(missing)
        there = [image_id for image_id in self.image_ids if image_id in found]
        annotations = [a for a in predicted.get("annotations", ()) if a["image_id"] in wanted]
        self.predicted = SegmentTable.parse(
            {"annotations": annotations}, self.prediction_json, self.labels, there, lowest_id=0
        )
        self.row = {image_id: row for row, image_id in enumerate(there)}
        self.truth_dir = _folder(ground_truth_dir, self.truth_json, "ground_truth_dir")
        self.prediction_dir = _folder(predictions_dir, self.prediction_json, "predictions_dir")

    def __len__(self) -> int:
        """Number of images of the truth."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Pair:
        """Reads the image at ``index``.

        Raises:
            InputError: if a PNG cannot be read, contradicts its JSON file, or the two differ in size.
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
            none = torch.zeros(0, dtype=torch.int64)
            prediction = Segments(torch.zeros_like(target.ids), none, none.bool())
        else:
            other = self.prediction_dir / self.predicted.file_names[row]
            prediction = _read(other, self.predicted, row, self.prediction_json)
            if prediction.size != target.size:
                raise InputError(
                    f"{other}: expected height and width {target.size} as {png} has them, got {prediction.size}"
                )
        return Pair(image_id, self.truth.file_names[index], prediction, target)


def check_categories(labels: LabelSpace, predicted: dict[str, Any], path: Path) -> None:
    """Refuses predictions whose own list of categories says something else than the truth's.

    Raises:
        InputError: naming the first that differs.
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
        true = {"name": labels.names[c], "isthing": int(labels.is_thing[c])}
        for key, value in true.items():
            if key in entry and entry[key] != value:
                raise InputError(
                    f"{path}: categories: expected {key} {value!r} of id {entry['id']} as in the ground truth, "
                    f"got {entry[key]!r}"
                )


def _folder(given: str | os.PathLike | None, panoptic_json: Path, key: str) -> Path:
    folder = panoptic_json.with_suffix("") if given is None else Path(given).expanduser()
    demand_folder(folder, f"with the PNG files of {panoptic_json} ({key})")
    return folder


def _read(png: Path, table: SegmentTable, index: int, panoptic_json: Path) -> Segments:
    numbers, classes, crowd, _ = table.rows(index)
    return Segments(
        torch.from_numpy(read_ids(png, numbers, panoptic_json)),
        torch.from_numpy(classes),
        torch.from_numpy(crowd),
    )
