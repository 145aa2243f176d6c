"""Every kernel compared with the portable method, over shapes, layouts, dtypes and extreme values.

The kernels' own source runs here, on the CPU: see `tests.doubles`. `tests/gpu_checks.py` repeats this on a GPU.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.doubles import cuda_on_cpu
from tests.doubles.installed import strict_cupy
from tests.doubles.strict_cupy import StrictCupy
from tinygan.backend import Backend, Stream, get_backend, kernels
from tinygan.backend.cupy import CupyBackend
from tinygan.optim import SGD, Adam, ExponentialMovingAverage

pytestmark = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="this machine has no C++ compiler to run the source of the kernels"
)
PORTABLE = Backend(np, "cpu")
EPS = float(np.finfo(np.float32).eps)
TINY = 2.0**-126  # CuPy's kernels take a smaller number for 0
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-30, 88.0, -88.0, 1000.0, -1000.0, np.inf, -np.inf, np.nan]


@pytest.fixture(scope="module")
def cupy() -> Iterator[StrictCupy]:
    with strict_cupy() as module:
        yield module


@pytest.fixture(scope="module")
def B(cupy: StrictCupy) -> CupyBackend:
    backend = get_backend("cuda")
    assert isinstance(backend, CupyBackend)
    return backend


def values(shape: Any, dtype: Any = np.float32) -> st.SearchStrategy[np.ndarray]:
    elements = st.one_of(st.sampled_from(SPECIAL), st.integers(-3, 3), st.floats(-9, 9, width=16))
    return hnp.arrays(dtype, shape, elements=elements)


shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7)
dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from([lambda a: a, lambda a: a.T, lambda a: a[::2] if a.ndim else a])  # some are not contiguous


def same(got: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Compare an array of the double with a NumPy array: shape, dtype, values."""
    host = got.get()
    assert (host.shape, host.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_allclose(host, expected, rtol=rtol, atol=atol)


def launched(cupy: StrictCupy, work: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
    before = cupy.gpu.launches.copy()
    result = work()
    return result, dict(cupy.gpu.launches - before)


@given(data=st.data(), shape=shapes, dtype=dtypes, layout=layouts)
def test_activations(B: CupyBackend, data: st.DataObject, shape: Any, dtype: Any, layout: Any) -> None:
    whole, gy = data.draw(values(shape, dtype)), layout(data.draw(values(shape, dtype)))
    x, there, g_there = layout(whole), layout(B.from_numpy(whole)), B.from_numpy(gy)
    with np.errstate(all="ignore"):
        same(B.relu(there), PORTABLE.relu(x))
        same(B.relu_backward(g_there, there), PORTABLE.relu_backward(gy, x))
        same(B.sigmoid(there), PORTABLE.sigmoid(x), 8 * EPS, TINY)
        y = np.asarray(PORTABLE.sigmoid(x))
        same(B.sigmoid_backward(g_there, B.from_numpy(y)), PORTABLE.sigmoid_backward(gy, y), 2 * EPS, 1000 * TINY)
        same(B.softplus(there), PORTABLE.softplus(x), 8 * EPS, TINY)
    np.testing.assert_array_equal(there.get(), x)  # the input has not been changed


def test_activations_of_values_that_break_things(B: CupyBackend) -> None:
    x = np.array(SPECIAL, np.float32)
    there, gy = B.from_numpy(x), np.linspace(-1, 1, len(x), dtype=np.float32)
    with np.errstate(all="ignore"):
        same(B.relu(there), PORTABLE.relu(x))
        same(B.relu_backward(B.from_numpy(gy), there), PORTABLE.relu_backward(gy, x))
        same(B.relu_backward(there, B.from_numpy(gy)), PORTABLE.relu_backward(x, gy))
        same(B.sigmoid(there), PORTABLE.sigmoid(x), 8 * EPS, TINY)
        same(B.softplus(there), PORTABLE.softplus(x), 8 * EPS, TINY)


@given(
    data=st.data(),
    before=st.lists(st.integers(0, 4), max_size=2),
    pieces=st.integers(1, 5),
    after=st.lists(st.integers(0, 4), max_size=2),
    dtype=dtypes,
)
def test_maxout(
    B: CupyBackend, data: st.DataObject, before: list[int], pieces: int, after: list[int], dtype: Any
) -> None:
    x = data.draw(values((*before, pieces, *after), dtype))
    axis = -1 - len(after)
    y, won = PORTABLE.maxout(x, axis)
    y_there, won_there = B.maxout(B.from_numpy(x), axis)
    same(y_there, y)
    same(won_there, won)
    gy = data.draw(values(y.shape, dtype))
    same(B.maxout_backward(B.from_numpy(gy), won_there, axis), PORTABLE.maxout_backward(gy, won, axis))


@given(data=st.data(), m=st.integers(0, 5), n=st.integers(1, 5), u=st.integers(1, 5), dtype=dtypes, bias=st.booleans())
def test_linear(B: CupyBackend, data: st.DataObject, m: int, n: int, u: int, dtype: Any, bias: bool) -> None:
    small = st.integers(-9, 9)
    x, w = data.draw(hnp.arrays(dtype, (m, n), elements=small)), data.draw(hnp.arrays(dtype, (n, u), elements=small))
    b = data.draw(hnp.arrays(dtype, (u,), elements=small)) if bias else None
    there = [None if a is None else B.from_numpy(a) for a in (x, w, b)]
    same(B.linear(*there), PORTABLE.linear(x, w, b))
    same(B.product(*there[:2]), x @ w)


@given(data=st.data(), shape=shapes, target=st.sampled_from([0, 1]), dtype=dtypes)
def test_cross_entropy(B: CupyBackend, data: st.DataObject, shape: Any, target: int, dtype: Any) -> None:
    logits = data.draw(values(shape, dtype))
    if logits.size:
        with np.errstate(all="ignore"):
            same(B.cross_entropy(B.from_numpy(logits), target), PORTABLE.cross_entropy(logits, target), rtol=16 * EPS)
    gloss = np.asarray(data.draw(st.integers(-3, 3))).astype(dtype)
    expected = PORTABLE.cross_entropy_backward(gloss, logits, target)
    got = B.cross_entropy_backward(B.from_numpy(gloss), B.from_numpy(logits), target)
    same(got, expected, rtol=16 * EPS, atol=4 * EPS)


def test_cross_entropy_of_more_logits_than_threads(B: CupyBackend) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (1000, 3)).astype(np.float32)
    for target in (0, 1):
        same(B.cross_entropy(B.from_numpy(logits), target), PORTABLE.cross_entropy(logits, target), rtol=16 * EPS)


# ---------------------------------------------------------------------- running sums


@given(data=st.data(), steps=st.integers(0, 4), dtype=dtypes)
def test_add_scores(B: CupyBackend, data: st.DataObject, steps: int, dtype: Any) -> None:
    """An output at the threshold, as a logit of 0 with probability 1/2, counts as class 0."""
    rules = data.draw(st.tuples(st.sampled_from([0.0, 1.0]), st.booleans()))
    sums, there = PORTABLE.new_sums(5), B.new_sums(5)
    for _ in range(steps):
        rows = [data.draw(st.integers(1, 5)) for _ in range(2)]
        elements = st.one_of(st.integers(-2, 2), st.sampled_from([np.nan, np.inf, 50.0]))
        sizes = [(), (), *((n, 1) for n in rows)]
        numbers = [data.draw(hnp.arrays(dtype, size, elements=elements)) for size in sizes]
        PORTABLE.add_scores(sums, *numbers, *rules)
        B.add_scores(there, *map(B.from_numpy, numbers), *rules)
    np.testing.assert_allclose(B.read_sums(there)[-2:], PORTABLE.read_sums(sums)[-2:])  # the steps, the first bad one
    if not sums[-1]:  # a sum that is not finite is never read again
        np.testing.assert_allclose(B.read_sums(there), PORTABLE.read_sums(sums), rtol=1e-6, atol=1e-6)
        B.set_sums(there, PORTABLE.read_sums(sums))
        np.testing.assert_allclose(B.read_sums(there), PORTABLE.read_sums(sums), rtol=1e-12)


# ---------------------------------------------------------------------- the same draws on both devices


@given(
    seed=st.integers(0, 2**40),
    shape=hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=40),
    before=st.integers(0, 9),
    keep=st.sampled_from([0.0, 1e-5, 0.2, 0.5, 0.8, 0.99999, 1.0]),
    dtype=dtypes,
)
def test_draws(B: CupyBackend, seed: int, shape: Any, before: int, keep: float, dtype: Any) -> None:
    """The draws follow each other in one stream, so that each begins at the same position on both devices."""
    here, there = Stream(seed, "noise"), Stream(seed, "noise")
    here.uniform((before,))
    there.take((before + 1) // 2)
    dtype = np.dtype(dtype)
    low = -math.sqrt(3)
    for ends in ((low, -low), (1.0, 2.0), (0.7, 0.7 + 2**-23)):  # the last two are rounded out of the interval
        same(B.uniform(there, shape, *ends, dtype), PORTABLE.uniform(here, shape, *ends, dtype))
        x = np.linspace(-1, 1, math.prod(shape), dtype=dtype).reshape(shape)
        for got, expected in zip(B.dropout(B.from_numpy(x), there, keep), PORTABLE.dropout(x, here, keep), strict=True):
            same(got, expected)
        same(B.normal(there, shape, dtype), PORTABLE.normal(here, shape, dtype), atol=4e-6)
    assert there.state_dict() == here.state_dict()


def test_draws_of_a_training_step_stay_on_the_device(B: CupyBackend, cupy: StrictCupy) -> None:
    x, stream = B.from_numpy(np.ones((200, 784), np.float32)), Stream(0, "noise")
    with cupy.gpu.step() as launches:
        B.uniform(stream, (100, 100), -1, 1, np.dtype("f4"))
        B.normal(stream, (100, 100), np.dtype("f4"))
        B.dropout(x, stream, 0.8)
    assert launches == {"uniform": 1, "normal": 1, "dropout": 1}


# ---------------------------------------------------------------------- data, update rules


@given(data=st.data(), n=st.integers(1, 9), columns=st.integers(0, 5), dtype=dtypes)
def test_rows(B: CupyBackend, data: st.DataObject, n: int, columns: int, dtype: Any) -> None:
    table = data.draw(values((n, columns), dtype))
    order = np.array(data.draw(st.permutations(range(n))), np.int64)
    first = data.draw(st.integers(0, n))
    count = data.draw(st.integers(0, n - first))
    same(B.rows(B.from_numpy(table), B.from_numpy(order), first, count), PORTABLE.rows(table, order, first, count))


# Of half precision: no product of theirs is so small that CuPy's kernels take it for 0.
numbers = st.floats(-100, 100, width=16)
positive = st.floats(0, 100, width=16)


@given(
    data=st.data(),
    shape=shapes,
    dtype=dtypes,
    lr=st.floats(1e-6, 1),
    momentum=st.floats(0, 0.99),
    decay=st.sampled_from([0.0, 0.1]),
    v=st.booleans(),
)
def test_sgd_has_the_bits_of_numpy(
    B: CupyBackend, data: st.DataObject, shape: Any, dtype: Any, lr: float, momentum: float, decay: float, v: bool
) -> None:
    arrays = [data.draw(hnp.arrays(dtype, shape, elements=numbers)) for _ in range(3 if v else 2)]
    there = [B.from_numpy(a) for a in arrays]
    optional = [[None], []][v]
    PORTABLE.sgd_step(*arrays, *optional, lr, momentum, decay)
    B.sgd_step(*there, *optional, lr, momentum, decay)
    for got, expected in zip(there, arrays, strict=True):
        same(got, expected)


@given(
    data=st.data(),
    shape=shapes,
    dtype=dtypes,
    lr=st.floats(1e-6, 1),
    betas=st.sampled_from([(0.9, 0.999), (0.5, 0.999), (0.0, 0.5)]),
    eps=st.sampled_from([1e-8, 1e-2]),
    step=st.integers(1, 1000) | st.just(math.inf),
    decays=st.sampled_from([(), (0.1,), (0.0, 0.9)]),
    m=st.booleans(),
)
def test_adam_has_the_bits_of_numpy(
    B: CupyBackend,
    data: st.DataObject,
    shape: Any,
    dtype: Any,
    lr: float,
    betas: Any,
    eps: float,
    step: float,
    decays: Any,
    m: bool,
) -> None:
    """Also with weight decay, and without a mean."""
    arrays = [data.draw(hnp.arrays(dtype, shape, elements=kind)) for kind in (numbers, numbers, numbers, positive)]
    there = [B.from_numpy(a) for a in arrays]
    if not m:
        arrays[2] = there[2] = None
    PORTABLE.adam_step(*arrays, lr, betas, eps, step, *decays)
    B.adam_step(*there, lr, betas, eps, step, *decays)
    for got, expected in zip(there, arrays, strict=True):
        if expected is not None:
            same(got, expected)


@given(data=st.data(), shape=shapes, dtype=dtypes, weight=st.floats(1e-6, 1))
def test_lerp_has_the_bits_of_numpy(B: CupyBackend, data: st.DataObject, shape: Any, dtype: Any, weight: float) -> None:
    start, end = (data.draw(hnp.arrays(dtype, shape, elements=numbers)) for _ in range(2))
    there = B.from_numpy(start)
    PORTABLE.lerp(start, end, weight)
    B.lerp(there, B.from_numpy(end), weight)
    same(there, start)


def _update(backend: Any, rule: str, arrays: Any, lr: float) -> None:
    weight, gradient, *state = arrays
    if rule == "sgd":
        backend.sgd_step(weight, gradient, state[0], lr, 0.5, 0.1)
    elif rule == "adam":
        backend.adam_step(weight, gradient, state[0], state[1], lr, (0.5, 0.9), 1e-8, 3)
    else:
        backend.lerp(weight, gradient, lr)


@given(
    data=st.data(),
    made=st.lists(
        st.tuples(st.sampled_from(["sgd", "adam", "lerp"]), st.sampled_from([0.1, 0.2]), shapes, dtypes, st.booleans()),
        max_size=6,
    ),
    most=st.sampled_from([1, 2, 64]),
)
def test_updates_together_have_the_bits_of_numpy(
    B: CupyBackend, cupy: StrictCupy, data: st.DataObject, made: list[Any], most: int
) -> None:
    """Several rules, learning rates, shapes and dtypes in one block; the state of some arrays is missing."""
    drawn = []
    for _, _, shape, dtype, with_state in made:
        arrays = [data.draw(hnp.arrays(dtype, shape, elements=numbers)) for _ in range(4)]
        arrays[3] = np.asarray(abs(arrays[3]))
        drawn.append([*arrays[:2], arrays[2] if with_state else None, arrays[3]])
    there = [[None if a is None else B.from_numpy(a) for a in arrays] for arrays in drawn]
    for (rule, lr, *_), arrays in zip(made, drawn, strict=True):
        _update(PORTABLE, rule, arrays, lr)

    def together() -> None:
        with B.together():
            for (rule, lr, *_), arrays in zip(made, there, strict=True):
                _update(B, rule, arrays, lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_MOST_ARRAYS", most)
        _, launches = launched(cupy, together)
    for got, expected in zip(there, drawn, strict=True):
        for one, other in zip(got, expected, strict=True):
            if other is not None:
                same(one, other)
    single = Counter((rule, lr) for rule, lr, shape, dtype, _ in made if dtype == np.float32 and math.prod(shape))
    steps = sum(launches.get(name, 0) for name in ("sgd_step", "adam_step", "lerp"))
    assert steps == sum(-(-count // most) for count in single.values())


def test_an_optimiser_is_one_launch(B: CupyBackend, cupy: StrictCupy) -> None:
    """Of all weights with the same numbers, also of more than one launch takes; the mean of weights is another."""
    sizes = [(3, 4), (700,), (), (2, 5)] * 20
    weights = [tg.tensor(np.ones(size, np.float32), device="cuda", requires_grad=True) for size in sizes]
    for weight in weights:
        weight.grad = tg.tensor(np.full(weight.shape, 2, np.float32), device="cuda")
    groups = [{"params": weights[:78]}, {"params": weights[78:], "lr": 0.25}]
    average = ExponentialMovingAverage(weights, 0.5)
    for rule, name in ((SGD(groups, lr=0.5), "sgd_step"), (Adam(groups, lr=0.5), "adam_step")):
        _, launches = launched(cupy, rule.step)
        assert launches[name] == 3  # 64, 14 and 2 of them
        assert {key for key, count in launches.items() if count > 3} <= {"zeros"}
    assert launched(cupy, average.update)[1] == {"lerp": 2}
    with_limit = SGD(weights[:1], lr=0.5, max_col_norm=0.1)
    with_limit.step()
    np.testing.assert_allclose(np.linalg.norm(weights[0].numpy(), axis=0), 0.1, rtol=1e-5)  # after its update


def test_a_rule_of_ones_own_is_not_delayed(B: CupyBackend) -> None:
    """It may read what the kernel has written."""

    class Rounded(SGD):
        def update(self, parameter: Any, gradient: Any, state: Any, now: Any) -> None:
            super().update(parameter, gradient, state, now)
            parameter.data[...] = B.xp.floor(parameter.data)

    weight = tg.tensor(np.full(3, 2.0, np.float32), device="cuda", requires_grad=True)
    weight.grad = tg.tensor(np.ones(3, np.float32), device="cuda")
    Rounded([weight], lr=0.5).step()
    assert weight.numpy().tolist() == [1, 1, 1]


def test_updates_that_wait_are_made_after_an_error(B: CupyBackend) -> None:
    weight, gradient = B.from_numpy(np.ones(2, np.float32)), B.from_numpy(np.ones(2, np.float32))

    def update_and_fail() -> None:
        with B.together():
            B.sgd_step(weight, gradient, None, 0.5, 0.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        update_and_fail()
    assert weight.get().tolist() == [0.5, 0.5]
    B.sgd_step(weight, gradient, None, 0.5, 0.0)  # at once again
    assert weight.get().tolist() == [0, 0]


@given(data=st.data(), shape=st.tuples(st.integers(0, 6), st.integers(0, 6)), dtype=dtypes, limit=st.floats(0.1, 9))
def test_limit_column_norm(B: CupyBackend, data: st.DataObject, shape: Any, dtype: Any, limit: float) -> None:
    weight = data.draw(hnp.arrays(dtype, shape, elements=st.one_of(numbers, st.just(np.nan))))
    there = B.from_numpy(weight)
    with np.errstate(all="ignore"):
        PORTABLE.limit_column_norm(weight, limit)
    B.limit_column_norm(there, limit)
    same(there, weight, rtol=4 * EPS)


@given(
    exponents=hnp.arrays("i4", (5, 4), elements=st.integers(-120, 127)),
    limit=st.floats(-100, 100).map(lambda exponent: 2.0**exponent),
)
def test_column_norms_that_no_square_can_hold(B: CupyBackend, exponents: Any, limit: float) -> None:
    weight = np.ldexp(np.float32(1.5), exponents)
    exact = weight.astype("f8")
    norms = np.sqrt((exact**2).sum(axis=0))
    there = B.from_numpy(weight)
    B.limit_column_norm(there, limit)
    cpu = [(_limited(backend, weight, limit), 1e-44) for backend in (PORTABLE, get_backend("cpu"))]
    for limited, atol in ((there.get(), TINY), *cpu):
        expected = exact * np.minimum(1, limit / norms)
        np.testing.assert_allclose(limited, expected, rtol=1e-5, atol=1e-30 * limit + atol)


def _limited(backend: Backend, weight: Any, limit: float) -> Any:
    weight = weight.copy()
    backend.limit_column_norm(weight, limit)
    return weight


# ---------------------------------------------------------------------- the long tail, which has no kernel


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
def test_scatter_and_first_non_finite(B: CupyBackend, data: st.DataObject, shape: Any) -> None:
    x = data.draw(values(shape))
    assert B.first_non_finite(B.from_numpy(x)) == PORTABLE.first_non_finite(x)
    index = data.draw(hnp.basic_indices(shape))
    part = np.asarray(x[index])
    same(B.scatter(B.from_numpy(part.copy()), index, shape), PORTABLE.scatter(part, index, shape))
    rows = np.array(data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=5)))
    part = np.nan_to_num(x[rows], posinf=1, neginf=2)
    same(B.scatter(B.from_numpy(part), B.from_numpy(rows), shape), PORTABLE.scatter(part, rows, shape), rtol=EPS)


def test_hot_methods_are_one_kernel_each(B: CupyBackend, cupy: StrictCupy) -> None:
    """With the arrays of a training step; otherwise the tests above might compare the portable method with itself."""
    f4 = np.dtype("f4")
    x = B.from_numpy(np.ones((200, 5, 240), f4))
    flat, bias = B.from_numpy(np.ones((200, 240), f4)), B.from_numpy(np.ones(240, f4))
    square, loss = B.from_numpy(np.ones((240, 240), f4)), B.from_numpy(np.ones((), f4))
    order, stream = B.from_numpy(np.arange(50)), Stream(0, "dropout")
    won = B.maxout(x, -2)[1]
    for name, arguments in {
        "relu": (flat,),
        "relu_backward": (flat, flat),
        "sigmoid": (flat,),
        "sigmoid_backward": (flat, flat),
        "softplus": (flat,),
        "maxout": (x, -2),
        "maxout_backward": (flat, won, -2),
        "cross_entropy": (flat, 1),
        "cross_entropy_backward": (loss, flat, 1),
        "uniform": (stream, (100, 100), -1.0, 1.0, f4),
        "normal": (stream, (100, 100), f4),
        "dropout": (flat, stream, 0.5),
        "rows": (flat, order, 10, 20),
        "sgd_step": (square, square, square.copy(), 0.1, 0.5),
        "adam_step": (square, square, square.copy(), square.copy(), 0.1, (0.5, 0.9), 1e-8, 1),
        "lerp": (square.copy(), square, 0.1),
    }.items():
        _, launches = launched(cupy, lambda name=name, arguments=arguments: getattr(B, name)(*arguments))
        assert launches == {name: 1}
    assert launched(cupy, lambda: B.linear(flat, square, bias))[1] == {"matmul": 1, "add_bias": 1}
    four = {"mul": 1, "sum": 1, "column_norms": 1, "scale_columns": 1}
    assert launched(cupy, lambda: B.limit_column_norm(square, 1.0))[1] == four
