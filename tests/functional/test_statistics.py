import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.testing import arrays, axes, operation_test, reductions, shapes

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def norm(x, axis=None, keepdims=False):
    return np.sqrt((x * x).sum(axis=axis, keepdims=keepdims))


TestVar = operation_test(F.var, np.var, reductions(empty=False))
TestStd = operation_test(lambda x, **options: F.std(x, **options), np.std, reductions(empty=False), second_order=False)
TestNorm = operation_test(F.norm, norm, reductions(low=0.5, high=10, empty=False))


@given(x=arrays(shapes(min_dims=1, min_side=1)), data=st.data(), correction=st.sampled_from([0, 1, 0.5, 3]))
def test_the_correction_is_that_of_numpy(x, data, correction):
    axis, keepdims = data.draw(axes(x.ndim)), data.draw(st.booleans())
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of NumPy, for fewer numbers than the correction
        for ours, theirs in ((F.var, np.var), (F.std, np.std)):
            y = ours(leaf(x), axis=axis, keepdims=keepdims, correction=correction)
            expected = theirs(x, axis=axis, keepdims=keepdims, ddof=correction)
            np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-14)
            through_numpy = theirs(leaf(x), axis=axis, keepdims=keepdims, ddof=correction)
            np.testing.assert_array_equal(through_numpy.data, y.data)


def test_the_default_is_that_of_numpy_and_not_of_pytorch():
    torch = pytest.importorskip("torch")
    x = [1.0, 2.0, 6.0]
    assert F.var(leaf(x)).item() == pytest.approx(np.var(x)) == pytest.approx(torch.tensor(x).var(correction=0).item())
    assert F.var(leaf(x), correction=1).item() == pytest.approx(torch.tensor(x).var().item())


@pytest.mark.parametrize("function", [F.std, F.norm])
def test_the_gradient_at_0_is_0(function):
    x = leaf([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]])
    function(x, axis=1).sum().backward()
    assert x.grad.data[0].tolist() == [0, 0, 0]
    assert np.isfinite(x.grad.data).all()
    slope = tg.grad(function(x, axis=1).sum(), x, create_graph=True)
    (slope * slope).sum().backward()
    assert np.isfinite(x.grad.data).all()


def test_second_and_third_order():
    x = leaf([[0.3, -1.0, 2.0], [0.5, 0.1, 1.0]])
    for function in (F.var, F.std, F.norm):
        assert gradcheck(lambda x, f=function: f(x, axis=1), x, order=3, full_limit=256, directions=1)


def test_half_precision_is_summed_in_single_precision():
    values = np.random.default_rng(0).normal(1000, 1, 4000).astype(np.float16)
    exact = values.astype(float)
    for function, expected in ((F.var, exact.var()), (F.std, exact.std()), (F.norm, np.linalg.norm(exact))):
        x = leaf(values, "float16")
        y = function(x)
        y.backward()
        assert (y.dtype, x.grad.dtype) == (np.float16, np.float16)
        assert y.item() == pytest.approx(min(expected, INF if expected > 65504 else expected), rel=2e-3)


def test_integers_are_float32():
    x = tg.tensor([1, 3])
    for function, expected in ((F.var, 1), (F.std, 1), (F.norm, np.sqrt(10))):
        y = function(x)
        assert y.dtype == np.float32
        assert y.item() == pytest.approx(expected, rel=1e-6)


def test_numbers_and_empty_arrays():
    assert F.var(leaf(2.0)).item() == F.std(leaf(2.0), axis=0).item() == 0
    assert F.norm(leaf(-2.0)).item() == 2
    assert F.norm(leaf(np.zeros((2, 0))), axis=1).data.tolist() == [0, 0]
    assert F.norm(leaf([1.0, INF])).item() == INF
    assert np.isnan(F.norm(leaf([1.0, NAN])).item())
    with pytest.warns(RuntimeWarning):
        assert np.isnan(F.var(leaf(np.zeros(0))).item())


@pytest.mark.parametrize("p", [1, 3, INF, "fro", None, 0])
def test_other_norms_are_refused(p):
    with pytest.raises(ArgumentError, match=r"^norm: p must be 2, .*abs\(x\)\.sum\(axis\) for the 1-norm"):
        leaf([1.0]).norm(p)


def test_options_that_do_not_fit():
    with pytest.raises(DtypeError, match="var: correction must be a number"):
        F.var(leaf([1.0]), correction="1")
    for function in (F.var, F.std, F.norm):
        with pytest.raises(ShapeError, match=f"^{function.__name__}: axis 2 does not exist in an input of shape"):
            function(leaf([1.0]), axis=2)
