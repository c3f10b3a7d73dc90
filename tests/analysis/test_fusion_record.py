"""What is told of α: by hand from outputs whose α is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.analysis.fusion_record import PICTURES, FusionRecord
from panoptic.analysis.sinks import outputs_of_image
from panoptic.codec import Outputs
from panoptic.data.images import read_image
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

LABELS = LabelSpace((Category("road", 0, False, (9, 9, 9)),))
TRUTH = Segments(torch.ones(8, 12, dtype=torch.int32), torch.tensor([0]), torch.zeros(1, dtype=torch.bool))
IMAGE = torch.zeros(3, 8, 12, dtype=torch.uint8)


def outputs(alpha: torch.Tensor, complexity: list[float]) -> Outputs:
    maps = torch.zeros(1, 3, 2, 3)
    return Outputs(maps, maps[:, 0], maps[:, :2], torch.tensor([complexity]), maps[:, :2], maps, alpha[None])


def filled(alphas: list[list[float]], true: list[list[float]], predicted: list[list[float]]) -> FusionRecord:
    record = FusionRecord(LABELS)
    for alpha, t, p in zip(alphas, true, predicted, strict=True):
        record.add(outputs(torch.tensor(alpha), p), torch.tensor(t), IMAGE, TRUTH)
    return record


def test_correlations_and_errors_by_hand():
    alphas = [[0.2, 0.8], [0.4, 0.6], [0.3, 0.7], [0.9, 0.1]]
    true = [[0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [3.0, 1.0]]
    predicted = [[0.0, 1.0], [2.0, 2.0], [1.0, 1.0], [1.0, 1.0]]
    result = filled(alphas, true, predicted).result()
    fine = result["alpha"]["P2"]
    assert fine["mean"] == pytest.approx(0.45)
    assert fine["spearman"]["object_density"]["value"] == pytest.approx(1.0)
    assert result["alpha"]["P3"]["spearman"]["object_density"]["value"] == pytest.approx(-1.0)
    assert fine["spearman"]["scale_variance"] == {"value": None, "low": None, "high": None}  # it does not vary
    # Of the density, errors 0 0 0 2 against a spread of 5: R² = 1 - 4/5.
    assert result["complexity"]["object_density"] == pytest.approx({"r2": 0.2, "mean_absolute_error": 0.5})
    assert result["complexity"]["scale_variance"] == {"r2": None, "mean_absolute_error": 0.25}


def test_columns_hold_the_mean_over_places():
    alpha = torch.zeros(2, 2, 3)
    alpha[0, 0], alpha[1, 1] = 1.0, 1.0
    columns = FusionRecord(LABELS).add(outputs(alpha, [0.5, 2.0]), torch.tensor([1.0, 1.0]), IMAGE, TRUTH)
    assert columns == {
        "predicted_object_density": 0.5,
        "predicted_scale_variance": 2.0,
        "alpha_P2": 0.5,
        "alpha_P3": 0.5,
    }


def test_local_weights_of_the_padding_are_left_out():
    """Of two images in one batch, the second covers two of three columns and one of two rows."""
    alpha = torch.zeros(2, 2, 2, 3)
    alpha[:, 1] = 1.0
    alpha[1, :, :1, :2] = torch.tensor([1.0, 0.0])[:, None, None]
    maps = torch.zeros(2, 3, 2, 3)
    batch = Outputs(maps, maps[:, 0], maps[:, :2], torch.zeros(2, 2), maps[:, :2], maps, alpha)
    whole, smaller = (outputs_of_image(batch, i, size, (8, 12)) for i, size in enumerate([(8, 12), (4, 7)]))
    assert whole.alpha.equal(alpha[:1])
    assert smaller.alpha_of_image.tolist() == [[1.0, 0.0]]
    assert smaller.complexity.shape == (1, 2)
    for_image = batch._replace(alpha=torch.tensor([[0.2, 0.8], [0.5, 0.5]]))
    assert outputs_of_image(for_image, 1, (4, 7), (8, 12)).alpha.tolist() == [[0.5, 0.5]]


def test_a_sheet_is_drawn_of_local_weights_alone(tmp_path):
    record = filled([[0.2, 0.8]], [[0.0, 1.0]], [[0.0, 1.0]])
    record.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["alpha.png"]
    drawn = read_image(tmp_path / "alpha.png")  # as the dashboard is given it
    assert drawn.shape == (400, 900, 3)
    assert (drawn == 255).all(axis=2).mean() > 0.5  # paper is white
    local = FusionRecord(LABELS)
    for _ in range(PICTURES + 2):
        local.add(outputs(torch.full((2, 2, 3), 0.5), [0.0, 0.0]), torch.zeros(2), IMAGE, TRUTH)
    local.write(tmp_path)
    sheet = np.asarray(Image.open(tmp_path / "alpha_maps.png"))
    assert sheet.shape == (PICTURES * 12 - 4, 3 * 12 + 2 * 4, 3)


def test_one_image_has_nothing_to_correlate():
    result = filled([[0.5, 0.5]], [[1.0, 0.0]], [[1.0, 0.0]]).result()
    assert result["alpha"]["P2"]["spearman"]["object_density"]["value"] is None
    assert not any(isinstance(v, float) and math.isnan(v) for v in result["complexity"]["object_density"].values())


def test_a_network_that_has_diverged_says_nothing(tmp_path):
    record = filled([[math.nan, math.nan]] * 5, [[float(i), 1.0] for i in range(5)], [[math.nan, 0.0]] * 5)
    result = record.result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["complexity"]["object_density"] == {"r2": None, "mean_absolute_error": None}
    assert result["alpha"]["P2"]["mean"] is None
    record.write(tmp_path)
