"""Signatures are checked while testing: types in all of them, and shapes where there are any."""

from __future__ import annotations

import pytest
import torch

from panoptic.analysis.inspection import evenly
from panoptic.losses.functional import offset_loss
from tests.shape_checks import EVERY, FIRST, _sampled

roar = pytest.importorskip("beartype.roar")
jaxtyping = pytest.importorskip("jaxtyping")


def test_a_wrong_type_is_refused_in_a_signature_without_shapes():
    assert evenly(2, 3) == [0, 1]
    with pytest.raises(roar.BeartypeCallHintParamViolation):
        evenly("2", 3)


def test_a_wrong_shape_is_refused_and_one_that_is_not_that_of_another_argument():
    offset, weight = torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 4)
    assert offset_loss(offset, offset, weight) == 0
    for target in (torch.zeros(1, 3, 4), torch.zeros(1, 2, 3, 5)):
        with pytest.raises(jaxtyping.TypeCheckError):
            offset_loss.checked(offset, target, weight)


def test_of_many_calls_some_are_checked():
    checked = []
    called = _sampled(lambda number: number, lambda number: checked.append(number))
    for number in range(FIRST + 2 * EVERY + 1):
        called(number)
    assert checked == [*range(FIRST), FIRST, FIRST + EVERY, FIRST + 2 * EVERY]
