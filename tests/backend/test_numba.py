"""The compiled loops compared with the portable kernels, over shapes, dtypes, orders of memory and edge values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn, optim
from tinygan.backend import Backend, NumpyBackend, Shape, Stream, get_backend, numba, select_backend
from tinygan.checking import gradcheck
from tinygan.config.experiment import load_experiment
from tinygan.data.digits import load_digits
from tinygan.experiments.running import Limits, at_start, reopen, run, start
from tinygan.experiments.training import Training

pytest.importorskip("numba")

FAST, PORTABLE = numba.NumbaBackend(), Backend(np, "cpu")
DTYPES = st.sampled_from(["f4", "f4", "f8", "f8", "f2", "g"])
_EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1000.0, -1000.0, 1e-30, 0.5, 88.0, -88.0, -95.0]
ELEMENTS = st.sampled_from(_EDGES) | st.floats(-2, 2, width=16)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
LAYOUTS = st.sampled_from(["C", "C", "C", "columns", "gaps", "reversed", "read-only", "broken address"])


def laid_out(x: Any, layout: str) -> Any:
    """Return the same elements elsewhere in memory."""
    if layout == "columns" and x.ndim:
        return np.asfortranarray(x)
    if layout == "gaps" and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if layout == "reversed" and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    x = x.copy()
    if layout == "broken address":
        room = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        room[...] = x
        return room
    x.flags.writeable = layout != "read-only"
    return x


@st.composite
def arrays(draw: st.DrawFn, count: int, shapes: st.SearchStrategy[Shape] = SHAPES, written: bool = False) -> list[Any]:
    """Some arrays of one shape; mostly of one dtype and in C order, for which there are loops."""
    dtype, shape = draw(DTYPES), draw(shapes)
    values = [draw(hnp.arrays("f8", shape, elements=ELEMENTS)) for _ in range(count)]
    with np.errstate(all="ignore"):
        found = [laid_out(value.astype(dtype), draw(LAYOUTS)) for value in values]
        return [np.array(array) if written and not array.flags.writeable else array for array in found]


def same(fast: Any, portable: Any, exact: bool = True) -> None:
    """Compare elements, shape and dtype; a scalar counts as a 0-d array."""
    fast, portable = np.asarray(fast), np.asarray(portable)
    assert fast.dtype == portable.dtype
    assert fast.shape == portable.shape
    if exact or fast.dtype == bool:
        np.testing.assert_array_equal(fast, portable)
    else:
        rounding = float(8 * np.finfo(portable.dtype).eps)
        np.testing.assert_allclose(fast, portable, rtol=rounding, atol=rounding / 8)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.fixture
def _numba() -> Iterator[None]:
    select_backend("numba")
    yield
    select_backend("numpy")


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse what NumPy would compute, so that only a loop can."""
    for name in set(vars(numba.NumbaBackend)) & {*dir(NumpyBackend)} - {"__init__", "__doc__", "__module__", "linear"}:
        if not name.startswith("__") and callable(getattr(NumpyBackend, name)):
            monkeypatch.setattr(NumpyBackend, name, None)


# ---------------------------------------------------------------------- layers


@pytest.mark.slow
@given(arrays(2))
def test_activations(pair: list[Any]) -> None:
    before = [array.copy() for array in pair]
    x, gy = pair
    same(FAST.relu(x), PORTABLE.relu(x))
    same(FAST.relu_backward(gy, x), PORTABLE.relu_backward(gy, x))
    same(FAST.sigmoid(x), PORTABLE.sigmoid(x), exact=False)
    for slope in (0.2, 0.0, -3.5, np.inf, 2):
        for fast, portable in zip(FAST.leaky(x, slope), PORTABLE.leaky(x, slope), strict=True):
            same(fast, portable)
        fast, portable = (each.leaky_backward(gy, x > 0, slope) for each in (FAST, PORTABLE))
        same(fast, portable)
        assert np.array_equal(np.signbit(fast)[fast == 0], np.signbit(portable)[fast == 0])
    for array, was in zip(pair, before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_sigmoid_is_exact_to_three_roundings() -> None:
    x = np.concatenate([np.linspace(-110, 30, 20_001), [-1e30, -0.0]]).astype("f4")
    exact = 1 / (1 + np.exp(-x.astype("f8")))
    error = abs(FAST.sigmoid(x) - exact)
    assert (error <= 3 * np.spacing(exact.astype("f4"))).all()


@pytest.mark.slow
@pytest.mark.parametrize("axis", [-1, -2, -3])
@given(arrays(1, hnp.array_shapes(min_dims=3, max_dims=4, min_side=0, max_side=5)), st.data())
def test_maxout(axis: int, only: list[Any], data: st.DataObject) -> None:
    x = only[0]
    if not x.shape[axis]:
        return
    y, won = FAST.maxout(x, axis)
    expected, winners = PORTABLE.maxout(x, axis)
    same(y, expected)
    same(won, winners)  # at a tie the first wins, and the first nan
    gy = laid_out(expected * 2, data.draw(LAYOUTS))
    won = laid_out(won, data.draw(LAYOUTS))
    same(FAST.maxout_backward(gy, won, axis), PORTABLE.maxout_backward(gy, won, axis))


@pytest.mark.slow
@given(arrays(1), st.sampled_from([0.0, 1e-9, 0.3, 0.5, 0.8, 1.0]))
def test_dropout_draws_the_same_mask(only: list[Any], keep: float) -> None:
    streams = Stream(0, "dropout"), Stream(0, "dropout")
    for _ in range(2):  # the second draw begins at the same word
        for fast, portable in zip(
            *(each.dropout(only[0], s, keep) for each, s in zip((FAST, PORTABLE), streams, strict=True)), strict=True
        ):
            same(fast, portable)
    assert streams[0].state_dict() == streams[1].state_dict()


def test_dropout_draws_the_same_mask_for_a_million_elements() -> None:
    x = np.ones(1_000_000, "f4")  # some of the random bits equal the threshold
    np.testing.assert_array_equal(*(each.dropout(x, Stream(0, "dropout"), 0.8)[1] for each in (FAST, PORTABLE)))


@given(
    st.sampled_from(["f2", "f4", "f8", "i8"]), st.sampled_from([None, "f4", "f8"]), st.data(),
    st.lists(st.integers(0, 4), min_size=3, max_size=4),
)  # fmt: skip
def test_linear(dtype: str, bias_type: str | None, data: st.DataObject, sizes: list[int]) -> None:
    *before, n, units = sizes
    x, weight, bias = (
        data.draw(hnp.arrays(dtype, shape, elements=st.integers(-4, 4)))
        for shape in ((*before, n), (n, units), (units,))
    )
    x, bias = laid_out(x, data.draw(LAYOUTS)), laid_out(bias, data.draw(LAYOUTS))
    bias = None if bias_type is None else bias.astype(bias_type) if data.draw(st.booleans()) else bias
    same(FAST.linear(x, weight, bias), PORTABLE.linear(x, weight, bias))


# ---------------------------------------------------------------------- losses and scores


@pytest.mark.slow
@given(arrays(1), st.sampled_from([0, 1]))
def test_cross_entropy(only: list[Any], target: int) -> None:
    logits = only[0]
    if not logits.size:
        with pytest.warns(RuntimeWarning, match="Mean of empty slice"):  # by NumPy
            assert np.isnan(FAST.cross_entropy(logits, target))
        return
    same(FAST.cross_entropy(logits, target), PORTABLE.cross_entropy(logits, target), exact=False)
    for gloss in (logits.dtype.type(2.5), np.asarray(0.5, logits.dtype), np.float32(1)):
        fast, portable = (each.cross_entropy_backward(gloss, logits, target) for each in (FAST, PORTABLE))
        same(fast, portable, exact=False)


@pytest.mark.slow
@given(arrays(2, hnp.array_shapes(max_dims=2, min_side=1, max_side=5)), st.booleans(), st.sampled_from([0.0, 0.5]))
def test_add_scores(pair: list[Any], probability: bool, threshold: float) -> None:
    sums, expected = FAST.new_sums(5), PORTABLE.new_sums(5)
    for first in (1.5, 2.0, np.nan, 3.0):
        for backend, total in ((FAST, sums), (PORTABLE, expected)):
            backend.add_scores(total, np.float32(first), np.asarray(np.float32(-1)), *pair, threshold, probability)
    np.testing.assert_array_equal(sums[-2:], expected[-2:])
    np.testing.assert_allclose(sums, expected, rtol=1e-2 if pair[0].dtype.itemsize == 2 else 1e-5, atol=1e-6)


# ---------------------------------------------------------------------- update rules


def _updates() -> dict[str, tuple[int, Callable[..., None]]]:
    def adam(*arrays: Any, backend: Backend, **options: float) -> None:
        w, g, m, v = arrays
        np.abs(v, out=v)
        backend.adam_step(w, g, m, v, 0.1, (0.5, 0.9), 0.01, 3, **options)

    def rmsprop(w: Any, g: Any, v: Any, backend: Backend) -> None:
        backend.adam_step(w, g, None, np.abs(v, out=v), 0.1, (0, 0.9), 0.01, np.inf)

    return {
        "sgd": (2, lambda w, g, backend: backend.sgd_step(w, g, None, 0.1, 0.0)),
        "sgd with momentum": (3, lambda w, g, v, backend: backend.sgd_step(w, g, v, 0.1, 0.9)),
        "sgd with decay": (3, lambda w, g, v, backend: backend.sgd_step(w, g, v, 0.1, 0, 0.5)),
        "adam": (4, adam),
        "adam with decay": (4, lambda *arrays, backend: adam(*arrays, backend=backend, decay=0.1, shrink=0.5)),
        "rmsprop": (3, rmsprop),
        "lerp": (2, lambda a, b, backend: backend.lerp(a, b, 0.25)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("rule", _updates())
@given(data=st.data())
def test_update_rules(rule: str, data: st.DataObject) -> None:
    count, update = _updates()[rule]
    ours = data.draw(arrays(count, written=True))
    if not ours[0].ndim:
        ours = [np.array(array) for array in ours]
    theirs = [array.copy() for array in ours]
    update(*ours, backend=FAST)
    update(*theirs, backend=PORTABLE)
    for fast, portable in zip(ours, theirs, strict=True):
        rounding = float(64 * np.finfo(portable.dtype).eps)
        np.testing.assert_allclose(fast, portable, rtol=rounding, atol=rounding)


def test_no_loop_reaches_past_arrays_of_unequal_sizes() -> None:
    long, short = np.ones(100, "f4"), np.ones(1, "f4")
    assert not numba.fits_loop(long, short)
    assert not numba.fits_loop(long.astype(">f4"))
    FAST.lerp(long, short, 0.5)  # NumPy repeats the short one
    for call in (lambda: FAST.lerp(short, long, 0.5), lambda: FAST.sgd_step(short, long, short, 0.1, 0.9)):
        with pytest.raises(ValueError, match="broadcast"):
            call()


@pytest.mark.usefixtures("without_numpy")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_plain_arrays_are_computed_by_loops(dtype: str) -> None:
    x, gy = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(dtype)
    pieces = np.ones((3, 2, 4), dtype)
    FAST.relu(x), FAST.relu_backward(gy, x), FAST.leaky(x, 0.2), FAST.leaky_backward(gy, x > 0, 0.2)
    FAST.maxout_backward(gy, FAST.maxout(pieces, -2)[1], -2)
    FAST.dropout(x, Stream(0, "dropout"), 0.5)
    FAST.cross_entropy_backward(FAST.cross_entropy(x, 1), x, 1)
    FAST.add_scores(FAST.new_sums(5), x.mean(), x.mean(), x, gy)
    FAST.sgd_step(x, gy, None, 0.1, 0.0), FAST.sgd_step(x, gy, x.copy(), 0.1, 0.9)
    FAST.adam_step(x, gy, x.copy(), abs(x), 0.1, (0.5, 0.9), 1e-8, 1)
    FAST.lerp(x, gy, 0.5)
    if dtype == "f4":
        FAST.sigmoid(x)


# ---------------------------------------------------------------------- through the framework


@pytest.mark.slow
@pytest.mark.usefixtures("_numba")
@pytest.mark.parametrize(
    "function",
    [
        F.relu, F.sigmoid, lambda x: F.leaky_relu(x, 0.2), lambda x: F.maxout(x, 2, piece_major=True),
        lambda x: F.binary_cross_entropy_with_logits(x, 1), lambda x: F.linear(x, x.T, x[:, 0]),
    ],
)  # fmt: skip
def test_gradients(function: Callable[..., Any]) -> None:
    x = tg.tensor(np.random.default_rng(0).normal(size=(4, 4)), requires_grad=True)
    assert isinstance(x.backend, numba.NumbaBackend)
    gradcheck(function, x, order=2)


def _trained(steps: int = 20) -> Training:
    training = at_start(load_experiment("digits"), load_digits())
    training.next_epoch()
    for _ in range(steps):
        training.step()
    return training


@pytest.mark.slow
@pytest.mark.usefixtures("_numba")
def test_a_training_is_near_numpys_with_the_same_draws() -> None:
    ours, again = _trained(), _trained()
    select_backend("numpy")
    theirs = _trained()
    (fast, state), (second, _), (portable, numpys) = (training.state() for training in (ours, again, theirs))
    assert isinstance(ours.backend, numba.NumbaBackend)
    assert not isinstance(theirs.backend, numba.NumbaBackend)
    assert state["streams"] == numpys["streams"]  # every draw took as many words
    for name, array in portable.items():
        np.testing.assert_array_equal(fast[name], second[name])
        np.testing.assert_allclose(fast[name], array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert ours.monitor.means() == pytest.approx(theirs.monitor.means(), rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("_numba")
def test_a_stopped_run_goes_on_with_the_same_bits(tiny_experiment: Any, tiny_data: Any, tmp_path: Path) -> None:
    config = tiny_experiment()
    whole, training = start(config, tiny_data(), tmp_path / "whole")
    run(whole, training)
    parted, training = start(config, tiny_data(), tmp_path / "parted")
    run(parted, training, Limits(7))
    parted, training = reopen(parted.path, lambda config: tiny_data())
    run(parted, training)
    assert whole.environment()["backend"] == FAST.library
    ends = [folder.latest_checkpoint().arrays for folder in (whole, parted)]  # type: ignore[union-attr]
    for name, array in ends[0].items():
        np.testing.assert_array_equal(array, ends[1][name])
    select_backend("numpy")
    with pytest.warns(UserWarning, match="the backend was numba .* and is now numpy"):
        reopen(parted.path, lambda config: tiny_data())


@pytest.mark.usefixtures("_numba")
def test_a_switch_works_for_tensors_made_before_and_after() -> None:
    layer, x = nn.Linear(3, 2), tg.tensor(np.ones((4, 3), "f4"))
    rule = optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    backends = []
    for name in ("numpy", "numba", "numpy"):
        assert select_backend(name) is get_backend("cpu") is x.backend is layer.weight.backend
        backends.append(x.backend)
        loss = F.mse_loss(layer(x), tg.tensor(np.zeros((4, 2), "f4")))
        loss.backward()
        rule.step()
    assert backends[0] is backends[2]
    assert layer.to("cpu").weight.backend is backends[0]
