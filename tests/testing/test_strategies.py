import subprocess
import sys

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import tinygan as tg
from tinygan import testing
from tinygan.testing import (
    EDGE_VALUES,
    arrays,
    axes,
    broadcastable_arrays,
    broadcastable_shapes,
    edge_arrays,
    elementwise,
    indices,
    reductions,
    shapes,
    single_axes,
    tensors,
)


def is_found(strategy, condition):
    try:
        find(strategy, condition, settings=settings(max_examples=500, phases=[Phase.generate]))
    except NoSuchExample:
        return False
    return True


# ---------------------------------------------------------------------- arrays


@given(x=arrays(low=-2.5, high=0.1))
def test_numbers_are_within_limits_and_exact_in_float32(x):
    assert x.dtype == np.float64
    assert ((x >= -2.5) & (x <= 0.1)).all()
    assert np.array_equal(x.astype(np.float32), x)


@given(x=arrays((3,), low=0.1, high=0.3, dtype=np.float32))
def test_limits_that_are_not_exact_in_float32_are_kept(x):
    assert x.dtype == np.float32
    wide = x.astype(np.float64)
    assert ((wide >= 0.1) & (wide <= 0.3)).all()


@pytest.mark.slow
def test_the_drawn_arrays_cover_all_cases():
    for condition in (
        lambda x: x.ndim == 0,
        lambda x: x.size == 0,
        lambda x: x.size == 1 and x.ndim > 0,
        lambda x: x.ndim == 3,
        lambda x: x.size > 1 and len(np.unique(x)) < x.size,
        lambda x: x.size and x.min() < -9,
        lambda x: x.size and (np.abs(x) < 1e-3).any() and x.any(),
    ):
        assert is_found(arrays(), condition)
    assert is_found(arrays(2, None, None), lambda x: np.abs(x).max() > 1e20)
    assert not is_found(arrays(2, None, None), lambda x: ~np.isfinite(x).all())


@given(x=arrays(distinct=0.25))
def test_no_ties_when_asked(x):
    gaps = np.diff(np.sort(x.ravel()))
    assert (gaps >= 0.25).all()


@pytest.mark.slow
def test_arrays_without_ties_come_in_any_order():
    assert is_found(arrays(3, distinct=0.5), lambda x: x[0] > x[1] < x[2])
    assert find(arrays(2, low=3.0, distinct=0.5), lambda x: True).min() >= 3


@pytest.mark.parametrize("value", EDGE_VALUES)
def test_edge_arrays(value):
    def is_it(x):
        return np.array_equal(x[0], value, equal_nan=True) and np.signbit(x[0]) == np.signbit(value)

    assert is_found(edge_arrays(1), is_it)


@given(x=tensors(low=-1, dtype=np.float32))
def test_tensors_are_leaves(x):
    assert isinstance(x, tg.Tensor)
    assert x.requires_grad
    assert x.is_leaf
    assert x.dtype == np.float32


@given(x=tensors(1, requires_grad=False))
def test_tensors_that_need_no_gradient(x):
    assert not x.requires_grad


# ---------------------------------------------------------------------- shapes, axes, indices


@given(drawn=broadcastable_shapes(3), pair=broadcastable_arrays(2, low=0, high=1))
def test_shapes_broadcast(drawn, pair):
    assert len(np.broadcast_shapes(*drawn)) <= 3
    a, b = pair
    assert (a + b).max(initial=0) <= 2


@pytest.mark.slow
def test_the_drawn_shapes_cover_all_cases():
    drawn = broadcastable_shapes(2)
    for condition in (
        lambda pair: pair[0] == pair[1] != (),
        lambda pair: pair[0] == () != pair[1],
        lambda pair: 1 in pair[0] and pair[1] and max(pair[1]) > 1,
        lambda pair: 0 in pair[0],
        lambda pair: len(pair[0]) > len(pair[1]) > 0,
    ):
        assert is_found(drawn, condition)
    assert not is_found(shapes(min_side=1, min_dims=1), lambda shape: 0 in shape or not shape)


@given(data=st.data(), ndim=st.integers(0, 3))
def test_axes_are_valid(data, ndim):
    x = np.ones((2,) * ndim)
    x.sum(axis=data.draw(axes(ndim)))
    if ndim:
        x.sum(axis=data.draw(single_axes(ndim)))


def test_the_drawn_axes_cover_all_cases():
    for condition in (
        lambda axis: not isinstance(axis, (int, tuple)),
        lambda axis: axis == -1,
        lambda axis: axis == 1,
        lambda axis: axis == (),
        lambda axis: isinstance(axis, tuple) and len(axis) == 2 and min(axis) < 0,
    ):
        assert is_found(axes(2), condition)


@given(data=st.data(), x=arrays())
def test_indices_are_valid(data, x):
    x[data.draw(indices(x.shape))]


@pytest.mark.slow
def test_the_drawn_indices_cover_all_cases():
    def named_twice(index):
        return isinstance(index, np.ndarray) and index.dtype != bool and len(np.unique(index)) < index.size

    for condition in (
        lambda index: isinstance(index, slice) and (index.step or 1) < 0,
        lambda index: isinstance(index, int) and index < 0,
        lambda index: isinstance(index, np.ndarray) and index.dtype == bool and index.any(),
        lambda index: isinstance(index, tuple) and None in [part for part in index if not hasattr(part, "dtype")],
        named_twice,
    ):
        assert is_found(indices((3,)), condition)
    assert not is_found(indices((3,), advanced=False), lambda index: isinstance(index, np.ndarray))


# ---------------------------------------------------------------------- calls


def test_calls_of_elementwise_functions():
    calls = elementwise(2, low=1.0, high=2.0)
    assert calls.elementwise == 2
    assert {one.arrays[0].shape for one in calls.examples} >= {(), (1,), (0, 3)}
    for one in calls.examples:
        for array in one.arrays:
            assert ((array > 1) & (array < 2)).all()


@given(one=reductions(empty=False).strategy)
def test_calls_of_reductions(one):
    (x,) = one.arrays
    assert x.size
    assert x.sum(**one.options).ndim == (x.ndim if one.options["keepdims"] else x.sum(axis=one.options["axis"]).ndim)


# ---------------------------------------------------------------------- the package


def test_every_public_name_is_there():
    for name in testing.__all__:
        assert hasattr(testing, name), name


@pytest.mark.slow
def test_without_hypothesis_the_error_says_what_to_install():
    code = "import sys; sys.modules['hypothesis'] = None; import tinygan; import tinygan.testing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "tinygan.errors.MissingPackageError: "
        "tinygan.testing draws its examples with hypothesis, which is not installed; "
        "install it with: pip install hypothesis"
    )
