"""Scores of segments: outcomes counted by hand, the map that is fitted, and the error that is left."""

from __future__ import annotations

import math

import pytest
import torch

from panoptic.errors import InputError
from panoptic.inference.calibration import ScoreCalibration
from panoptic.metrics.functional import (
    Platt,
    fit_platt,
    panoptic_counts,
    reliability,
    scored_segments,
    segment_outcomes,
)
from panoptic.segments import Segments


def segments(ids: list[list[int]], classes: list[int], crowd: list[bool] | None = None) -> Segments:
    table = torch.tensor(classes)
    return Segments(
        torch.tensor(ids, dtype=torch.int32),
        table,
        torch.tensor(crowd or [False] * len(classes)),
        torch.rand(len(classes)),
    )


def test_outcomes_are_those_that_panoptic_quality_counts():
    """Of four predictions: right; of another class; on void, which counts for nothing; and half of a true one."""
    target = segments([[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 3, 3, 3, 3]], [0, 0, 1])
    predicted = segments([[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 0, 0]], [0, 1, 0, 1])
    outcomes = segment_outcomes(predicted, target)
    assert outcomes.is_correct.tolist() == [[True, False, False, False]]
    assert outcomes.is_false.tolist() == [[False, True, False, True]]
    assert outcomes.is_found.tolist() == [[True, False, False]]
    assert outcomes.is_missed.tolist() == [[False, True, True]]
    counted = scored_segments(predicted, target, (True, False))
    assert torch.equal(counted.scores, predicted.scores[[0, 1, 3]])
    assert counted.is_correct.tolist() == [True, False, False]
    assert counted.is_thing.tolist() == [True, False, False]
    counts = panoptic_counts(predicted, target, 2).total()
    assert (int(counts.tp.sum()), int(counts.fp.sum()), int(counts.fn.sum())) == (1, 2, 2)


def test_a_map_that_made_the_outcomes_is_found():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(20_000, generator=generator)
    true = Platt(slope=0.5, offset=-1.0)
    correct = torch.rand(len(scores), generator=generator) < true.apply(scores)
    fitted = fit_platt(scores, correct)
    assert fitted.slope == pytest.approx(0.5, abs=0.03)
    assert fitted.offset == pytest.approx(-1.0, abs=0.05)
    before, after = (reliability(values, correct).ece for values in (scores, fitted.apply(scores)))
    assert before > 0.2
    assert after < 0.015


def test_few_segments_change_little_and_none_nothing():
    assert fit_platt(torch.zeros(0), torch.zeros(0, dtype=torch.bool)) == Platt(1.0, 0.0)
    slope, offset = fit_platt(torch.tensor([0.6]), torch.tensor([True]))
    assert slope == pytest.approx(1.0, abs=0.2)
    assert 0 < offset < 0.5
    always = fit_platt(torch.full((5000,), 0.4), torch.ones(5000, dtype=torch.bool))
    assert all(math.isfinite(number) for number in always)
    assert always.apply(torch.tensor([0.4])) > 0.99


def test_the_order_of_segments_stays_and_padding_is_0():
    backwards = fit_platt(torch.linspace(0.01, 0.99, 500), torch.arange(500) < 250)  # low ones are right
    assert backwards.slope > 0
    scores = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    mapped = backwards.apply(scores)
    assert mapped[0] == 0
    assert (mapped[1:].diff() > 0).all()
    torch.testing.assert_close(Platt().apply(scores), scores.clamp(max=0.9999))


def test_error_by_hand():
    """Two bins: 0.2 and 0.4 of which one of two is right, and 0.9 which is right."""
    found = reliability(torch.tensor([0.2, 0.4, 0.9]), torch.tensor([True, False, True]), bins=2)
    assert found.segments.tolist() == [2, 1]
    torch.testing.assert_close(found.confidence, torch.tensor([0.3, 0.9], dtype=torch.float64))
    assert found.accuracy.tolist() == [0.5, 1.0]
    assert found.ece == pytest.approx((2 * 0.2 + 1 * 0.1) / 3)
    assert reliability(torch.ones(3), torch.ones(3, dtype=torch.bool)).ece == 0  # 1 is in the last bin


def test_things_and_stuff_have_maps_of_their_own():
    record = {"things": {"slope": 0.5, "offset": 1.0}, "stuff": {"slope": 2.0, "offset": 0.0}}
    calibration = ScoreCalibration.from_record(record, "a.ckpt")
    assert calibration is not None
    predicted = segments([[1, 2]], [1, 0])
    predicted.scores[:] = torch.tensor([0.8, 0.8])
    mapped = calibration.apply(predicted, (True, False)).scores
    expected = torch.sigmoid(torch.tensor([2.0 * math.log(4), 0.5 * math.log(4) + 1]))
    torch.testing.assert_close(mapped, expected)
    assert ScoreCalibration.from_record(None, "a.ckpt") is None


@pytest.mark.parametrize(
    "record",
    [
        3,
        {},
        {"things": {"slope": 1.0, "offset": 0.0}},
        {"things": {"slope": -1.0, "offset": 0.0}, "stuff": {"slope": 1.0, "offset": 0.0}},
        {"things": {"slope": float("nan"), "offset": 0.0}, "stuff": {"slope": 1.0, "offset": 0.0}},
        {"things": {"slope": 1e9, "offset": 0.0}, "stuff": {"slope": 1.0, "offset": 0.0}},
        {"things": {"slope": "a", "offset": 0.0}, "stuff": {"slope": 1.0, "offset": 0.0}},
    ],
)
def test_a_stored_map_that_is_none_is_refused(record):
    with pytest.raises(InputError, match=r"a\.ckpt: expected a calibration of scores, got"):
        ScoreCalibration.from_record(record, "a.ckpt")
