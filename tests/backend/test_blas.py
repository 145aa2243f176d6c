"""The routine of NumPy's BLAS: its library, its name and its results."""

from __future__ import annotations

import ctypes
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from tinygan.backend import blas, blas_threads
from tinygan.errors import ShapeError

NUMBERS = st.floats(-8, 8, width=32)


@pytest.fixture(autouse=True)
def _search_again() -> Any:
    """Clear the cache before and after each test."""
    blas.axpby.cache_clear()
    yield
    blas.axpby.cache_clear()


def openblas_of_numpy() -> bool:
    return any(info["internal_api"] == "openblas" and "numpy" in info["filepath"] for info in threadpool_info())


@given(st.sampled_from(["f4", "f8"]), NUMBERS, NUMBERS, st.data())
def test_axpby(dtype: str, a: float, b: float, data: st.DataObject) -> None:
    f = blas.axpby(np.dtype(dtype))
    if f is None:
        pytest.skip("NumPy has another BLAS here")
    size = data.draw(st.integers(0, 40))
    x, y = (data.draw(hnp.arrays(dtype, size, elements=NUMBERS)) for _ in range(2))
    expected, before = a * x.astype("f8") + b * y.astype("f8"), x.copy()
    f(a, x, b, y)
    np.testing.assert_allclose(y, expected, rtol=0, atol=200 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(x, before)


def test_it_never_goes_past_the_end_of_an_array() -> None:
    f = blas.axpby(np.dtype("f4"))
    if f is None:
        pytest.skip("NumPy has another BLAS here")
    four, frozen = np.ones(4, "f4"), np.ones(4, "f4")
    frozen.flags.writeable = False
    for x, y in (
        (np.ones(5, "f4"), four),
        (four, np.ones(5, "f4")),
        (four, np.ones(4, "f2")),
        (np.ones(4, "f2"), four),
        (np.ones(8, "f4")[::2], four),
        (four, np.ones(8, "f4")[::2]),
        (four, frozen),
    ):
        with pytest.raises(ShapeError, match="axpby: expected two contiguous arrays of float32 of one size"):
            f(1.0, x, 1.0, y)
    assert four.tolist() == [1] * 4


def test_the_wheels_of_numpy_have_the_routine() -> None:
    if not openblas_of_numpy():
        pytest.skip("NumPy has another BLAS here")
    assert blas.axpby(np.dtype("f4")) is not None
    assert blas.axpby(np.dtype("f8")) is not None
    assert blas.axpby(np.dtype("f2")) is None
    assert blas.axpby(np.dtype("i4")) is None


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    f = blas.axpby(np.dtype("f4"))
    if f is None:
        pytest.skip("NumPy has another BLAS here")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 1_000_003)).astype("f4")
    results = []
    for threads in (1, 2):
        result = y.copy()
        with blas_threads(threads):
            f(-0.1, x, 0.7, result)
        results.append(result)
    np.testing.assert_array_equal(*results)


INFO = {"internal_api": "openblas", "filepath": "/lib/numpy.libs/libopenblas.so"}


@pytest.mark.parametrize(
    ("found", "path"),
    [
        ([], None),
        ([{"internal_api": "mkl", "filepath": "/lib/numpy/libmkl_rt.so"}], None),
        ([INFO], INFO["filepath"]),
        ([INFO, {**INFO, "filepath": "/lib/scipy.libs/libopenblas.so"}], INFO["filepath"]),
        ([{**INFO, "filepath": "/lib/libopenblas.so"}], "/lib/libopenblas.so"),
        ([{**INFO, "filepath": "/lib/a.so"}, {**INFO, "filepath": "/lib/b.so"}], None),
    ],
)
def test_the_library_is_the_one_that_numpy_calls(monkeypatch: pytest.MonkeyPatch, found: Any, path: Any) -> None:
    monkeypatch.setattr(blas, "threadpool_info", lambda: found)
    assert blas._library() == path


@pytest.mark.parametrize("name", ["scipy_cblas_saxpby64_", "cblas_saxpby64_", "cblas_saxpby"])
def test_builds_name_the_routine_differently(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    class Routine:
        pass

    class Library:
        pass

    setattr(Library, name, Routine())
    monkeypatch.setattr(blas, "_library", lambda: "somewhere")
    monkeypatch.setattr(ctypes, "CDLL", lambda path: Library)
    assert blas.axpby(np.dtype("f4")) is not None
    assert getattr(Library, name).argtypes[0] is (ctypes.c_int64 if "64" in name else ctypes.c_int)
    assert blas.axpby(np.dtype("f8")) is None


def test_a_library_without_the_routine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_library", lambda: None)
    assert blas.axpby(np.dtype("f4")) is None
