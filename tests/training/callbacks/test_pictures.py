"""Pictures: fusion weights as colors, panels in a row, complexity as points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from panoptic.data.batch import collate
from panoptic.data.sample import Sample
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments
from panoptic.training.callbacks.pictures import Pictures, input_picture
from panoptic.visualization.overlay import HATCH, LEVEL_COLORS, alpha_picture, overlay, side_by_side
from panoptic.visualization.plots import complexity_figure

FINE, MIDDLE, COARSE = LEVEL_COLORS.astype(int).tolist()


def columns_of(picture: np.ndarray) -> list:
    """The colors of the rows, if all columns are alike."""
    assert (picture == picture[:, :1]).all()
    return picture[:, 0].tolist()


class TestAlphaPicture:
    def test_weights_of_an_image_are_bands_of_their_heights(self):
        picture = alpha_picture(torch.tensor([0.5, 0.3, 0.2]), (10, 4))
        assert picture.shape == (10, 4, 3)
        assert picture.dtype == np.uint8
        assert columns_of(picture) == [FINE] * 5 + [MIDDLE] * 3 + [COARSE] * 2

    def test_bands_are_rounded_and_fill_the_picture(self):
        # Ends at 10/3, 20/3 and 10: rounded 3, 7 and 10.
        assert columns_of(alpha_picture(torch.full((3,), 1 / 3), (10, 2))) == [FINE] * 3 + [MIDDLE] * 4 + [COARSE] * 3
        short = torch.tensor([0.5, 0.25, 0.2499])  # what softmax leaves may sum to a little less
        assert columns_of(alpha_picture(short, (8, 2))) == [FINE] * 4 + [MIDDLE] * 2 + [COARSE] * 2

    @pytest.mark.parametrize(("level", "color"), [(0, FINE), (1, MIDDLE), (2, COARSE)])
    def test_all_weight_on_one_level_is_its_color(self, level, color):
        alpha = torch.eye(3)[level]
        assert columns_of(alpha_picture(alpha, (6, 5))) == [color] * 6
        places = alpha.view(3, 1, 1).expand(3, 2, 2)
        assert columns_of(alpha_picture(places, (6, 5))) == [color] * 6

    def test_weights_of_places_are_mixed(self):
        # (230 + 70) / 2 = 150, (80 + 170) / 2 = 125, (60 + 90) / 2 = 75
        alpha = torch.tensor([0.5, 0.5, 0.0]).view(3, 1, 1).expand(3, 4, 4)
        assert columns_of(alpha_picture(alpha, (4, 4))) == [[150, 125, 75]] * 4

    def test_places_are_where_they_are(self):
        alpha = torch.zeros(3, 2, 4)
        alpha[0, :, :2] = 1.0
        alpha[2, :, 2:] = 1.0
        picture = alpha_picture(alpha, (2, 4))
        assert picture.tolist() == [[FINE, FINE, COARSE, COARSE]] * 2

    def test_places_are_enlarged_bilinearly(self):
        # Two cells over four pixels: 0, 1/4, 3/4 and 1 of the way from red to blue.
        alpha = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]])
        expected = [np.round(np.array(FINE) * (1 - t) + np.array(COARSE) * t) for t in (0, 0.25, 0.75, 1)]
        assert alpha_picture(alpha, (1, 4))[0].tolist() == np.array(expected).tolist()


def test_panels_stand_in_a_row_with_white_lines_between():
    panels = [np.full((3, width, 3), value, np.uint8) for width, value in ((2, 10), (5, 20), (1, 30))]
    row = side_by_side(panels)
    assert row.shape == (3, 2 + 4 + 5 + 4 + 1, 3)
    assert row[0, :, 0].tolist() == [10] * 2 + [255] * 4 + [20] * 5 + [255] * 4 + [30]
    assert np.array_equal(side_by_side(panels[:1]), panels[0])


def test_complexity_is_predicted_against_true():
    predicted, true = np.array([[1.0, 0.5], [2.0, 0.0]]), np.array([[1.5, 0.25], [3.0, 0.0]])
    figure = complexity_figure(predicted, true)
    assert [axes.get_title() for axes in figure.axes] == ["object density", "scale variance"]
    for i, axes in enumerate(figure.axes):
        points = axes.collections[0].get_offsets()
        assert np.array_equal(points, np.stack([true[:, i], predicted[:, i]], axis=1))
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("true", "predicted")
    top = max(3.0, 2.0)
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[0, 0], [top, top]]


def test_complexity_of_nothing_still_has_a_diagonal():
    figure = complexity_figure(np.zeros((1, 2)), np.zeros((1, 2)))
    assert figure.axes[0].lines[0].get_xydata()[1, 0] > 0


def test_a_count_below_zero_is_named():
    with pytest.raises(InputError, match=r"callbacks.pictures: expected at least 0, got -1"):
        Pictures(-1)


def test_the_input_is_drawn_as_the_network_gets_it_with_its_segments_and_padding() -> None:
    labels = LabelSpace((Category("car", 1, True, (200, 10, 10)),))
    samples = []
    for i, size in enumerate(((10, 12), (8, 9), (10, 12))):
        image = np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8)
        ids = torch.zeros(size, dtype=torch.int32)
        ids[2:6, 2:7] = 1
        segments = Segments(ids, torch.tensor([0]), torch.tensor([False]))
        samples.append(Sample(image=image, segments=segments, name=str(i)))
    batch = collate(samples)
    picture = input_picture(batch, labels, 2)
    assert picture.shape == (10 + 4 + 10, 12 + 4 + 12, 3)
    for top, sample in ((0, samples[0]), (14, samples[1])):
        (height, width), shown = sample.image.shape[:2], picture[top : top + 10]
        assert (shown[:height, :width] == sample.image).all()
        assert (shown[:height, 16 : 16 + width] == overlay(sample.image, sample.segments, labels)).all()
    padding = [picture[22:, :12], picture[14:, 9:12], picture[22:, 16:], picture[14:, 25:]]
    for part in padding:
        assert {tuple(color) for color in part.reshape(-1, 3)} == {tuple(color) for color in HATCH}
    assert (batch.images[1, :, 8:] == 0).all(), "the batch itself stays as it is"
