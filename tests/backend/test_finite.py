"""The first number that is not finite, and its description."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygan.backend import finite


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (None, None),
        (3, None),
        (True, None),
        (-np.inf, ()),
        (np.float32("nan"), ()),
        (np.array(np.nan), ()),
        (np.array([1, 2]), None),
        (np.array([[1.0, 2.0], [np.inf, np.nan]]), (1, 0)),
        (np.zeros((0, 3)), None),
    ],
)
def test_first_non_finite(value: Any, index: Any) -> None:
    assert finite.first_non_finite(value) == index


def test_origin_names_the_broken_operand_or_the_values_there() -> None:
    result = np.array([0.0, np.nan])
    a, b = np.array([1.0, 2.0]), np.array([3.0, np.inf])
    assert finite.origin([a, b], (1,), result) == "; its input 1 held inf at index (1,) already"
    assert finite.origin([a, 5.0, a], (1,), result) == "; there input 0 is 2.0 and input 2 is 2.0"
    assert finite.origin([5.0, None], (1,), result) == ""
