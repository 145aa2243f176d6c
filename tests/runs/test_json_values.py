"""What goes into JSON comes back the same, or is refused by name."""

from __future__ import annotations

import enum
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.errors import DtypeError
from tinygan.runs.json_values import json_value

finite = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(finite, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@pytest.mark.slow
@given(value=trees)
def test_plain_values_stay_what_they_are(value):
    assert json_value(value, "value") == value


@pytest.mark.slow
@given(value=trees)
def test_the_result_survives_json(value):
    assert json.loads(json.dumps(json_value(value, "value"))) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float16(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        ((1, (2, 3)), [1, [2, 3]]),
        (2**200, 2**200),
    ],
)
def test_numpy_scalars_and_tuples_become_plain(value, expected):
    result = json_value({"key": [value]}, "value")["key"][0]
    assert result == expected
    assert type(result) is type(expected)


def test_non_finite_numbers_become_null_only_on_request():
    values = [float("nan"), np.float32("inf"), -float("inf"), 1.0]
    assert json_value(values, "value", non_finite_as_null=True) == [None, None, None, 1.0]
    assert repr(json_value(values, "value")) == "[nan, inf, -inf, 1.0]"


def test_the_order_of_keys_is_kept():
    assert list(json_value({"z": 1, "a": 2}, "value")) == ["z", "a"]


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [{1, 2}]}, r"state\['a'\]\[0\] is a set; expected a dict"),
        ({"a": b"bytes"}, r"state\['a'\] is a bytes"),
        ({1: "one"}, r"state has the key 1; expected text"),
        ({"a": {None: 1}}, r"state\['a'\] has the key None"),
        ({"a": np.zeros((2, 3))}, r"state\['a'\] is an array of shape \(2, 3\).*\.tolist\(\)"),
        ({"a": 1j}, "is a complex"),
        ({"a": np.complex64(1)}, "is a complex"),
        ({"a": Colour.RED}, "is a Colour"),
        ({"a": np.datetime64("2014-06-10")}, "is a date"),
        ({"a": object}, "is a type"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(value, message):
    with pytest.raises(DtypeError, match=message):
        json_value(value, "state")


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is double here")
def test_more_digits_than_a_float_has_are_refused():
    with pytest.raises(DtypeError, match="is a longdouble"):
        json_value(np.longdouble(1), "value")


def test_a_cycle_ends_in_an_error():
    value: list[object] = []
    value.append(value)
    with pytest.raises(DtypeError, match="does it contain itself"):
        json_value(value, "state")
