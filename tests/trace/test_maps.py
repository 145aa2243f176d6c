"""Values as the page shows them."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.trace.traces import game, unrolled
from tinygan.trace.maps import BROKEN, MIDDLE, Pixels, described, heat_map
from tinygan.trace.record import Value

shapes = array_shapes(min_dims=1, max_dims=3, max_side=40)


def codes(found):
    return np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(found["h"], found["w"])


@given(arrays(np.float64, shapes, elements=st.floats(-1e3, 1e3)), st.sampled_from([4, 16]))
def test_a_map_has_no_more_cells_than_allowed(array, side):
    found = heat_map(array, side)
    assert found["h"] <= side
    assert found["w"] <= (side if array.ndim > 1 else side * side)
    assert codes(found).max() < BROKEN


@given(arrays(np.float64, (5, 7), elements=st.floats(-1e3, 1e3)))
def test_a_small_map_has_the_signs_of_the_numbers(array):
    found = codes(heat_map(array, 8)).astype(int) - MIDDLE
    assert np.all(found[array > 0] >= 0)
    assert np.all(found[array < 0] <= 0)
    assert np.all(found[array == 0] == 0)


def test_a_large_map_has_the_means_of_its_blocks():
    array = np.kron([[1.0, -1.0], [0.5, 0.0]], np.ones((10, 6)))
    found = heat_map(array, 2)
    assert codes(found).tolist() == [[254, 0], [190, 127]]
    assert found["blocks"] == "each cell is the mean of about 10 × 6 numbers"


def test_blocks_of_unequal_size_are_means_too():
    found = heat_map(np.ones((7, 5)), 3)
    assert np.all(codes(found) == 254)


def test_what_is_not_finite_has_a_code_of_its_own():
    array = np.array([[np.nan, 1.0], [np.inf, -1.0]])
    assert codes(heat_map(array, 4)).tolist() == [[BROKEN, 254], [BROKEN, 0]]
    facts = described(Value(array), 4)
    assert facts["broken"] == "1 nan, 1 infinite"
    assert (facts["min"], facts["max"]) == ("-1", "1")


@pytest.mark.parametrize("values", [2.0, np.zeros((0, 3)), [True, False], [1, 2, 3], [1j], np.zeros((2, 2, 2))])
def test_every_kind_of_array_is_described(values):
    array = np.array(values)
    facts = described(Value(array), 8)
    assert facts["shape"] == str(array.shape)


def test_few_numbers_are_listed():
    assert described(Value(np.array([[1.5, 2.0]])), 0)["cells"] == [["1.5", "2"]]
    assert "cells" not in described(Value(np.zeros((20, 20))), 0)


@given(arrays(np.float64, st.integers(2, 50), elements=st.floats(-1e3, 1e3)))
def test_the_histogram_counts_every_number(array):
    facts = described(Value(array), 0)
    assert sum(facts.get("bins", [array.size])) == array.size


def test_pictures_are_found_from_the_data():
    t = game()
    pixels = Pixels(t)
    names = {row.operation.name for row in t.rows if row in pixels.values}
    assert names == {"linear", "sigmoid", "concatenate"}
    assert {leaf.name for leaf in pixels.columns} == {"discriminator.0.weight"}
    assert {leaf.name for leaf in pixels.rows} == {"generator.2.weight"}
    weight = next(iter(pixels.columns))
    np.testing.assert_array_equal(pixels.of(weight, weight.value.array), weight.value.array.T)


def test_a_hidden_layer_of_64_units_is_no_picture():
    t = game()
    assert all(row.result.shape[1] == 64 for row in t.rows if row in Pixels(t).values)
    assert not Pixels(unrolled(2)).values


def test_maps_and_kernels_are_pictures():
    t = game()
    row = t.rows[0]
    maps = np.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    found = Pixels(t).of(row, maps)
    assert np.array_equal(found, maps.reshape(6, 16))
    facts = described(Value(maps), 16, found)["pictures"]
    assert (facts["n"], facts["of"], facts["side"], facts["maps"]) == (6, 6, 4, True)
    for shape in ((2, 3, 4, 5), (2, 3, 1, 1), (0, 3, 4, 4), (2, 4, 4)):
        assert Pixels(t).of(row, np.zeros(shape)) is None
