"""Pooling and upsampling compared with loops over windows, with PyTorch, and with numerical derivatives."""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, arrays, call, operation_test

NAN, INF = float("nan"), float("inf")


def starts(n, k, s, p, ceil_mode):
    """Where the windows begin along one axis. In ceil mode a further one takes what the others have not reached."""
    found = list(range(-p, n + p - k + 1, s))
    last = found[-1] if found else -p - s
    return [*found, last + s] if ceil_mode and last + k < n + p and last + s < n else found


def windows(x, size, stride=None, padding=0, ceil_mode=False):
    """Yield each window: its place in the result, its slice of the image, and its size with the padding."""
    size, stride, padding = (np.broadcast_to(size if v is None else v, 2).tolist() for v in (size, stride, padding))
    where = [starts(x.shape[2 + a], size[a], stride[a], padding[a], ceil_mode) for a in (0, 1)]
    for (i, top), (j, left) in itertools.product(*map(enumerate, where)):
        (h, w), (p, q) = x.shape[2:], padding
        below, right = top + size[0], left + size[1]
        inside = slice(max(top, 0), min(below, h)), slice(max(left, 0), min(right, w))
        yield (i, j), inside, (min(below, h + p) - top) * (min(right, w + q) - left)


def result(x, size, stride=None, padding=0, ceil_mode=False):
    places = [place for place, *_ in windows(x, size, stride, padding, ceil_mode)]
    return np.zeros((*x.shape[:2], *np.add(places[-1], 1)), x.dtype)


def largest(x, **options):
    y = result(x, **options)
    for (i, j), (rows, columns), _ in windows(x, **options):
        y[:, :, i, j] = x[:, :, rows, columns].max(axis=(2, 3))
    return y


def mean(x, **options):
    y = result(x, **options)
    for (i, j), (rows, columns), count in windows(x, **options):
        y[:, :, i, j] = x[:, :, rows, columns].sum(axis=(2, 3)) / count
    return y


def larger(x, factor):
    rows, columns = np.broadcast_to(factor, 2)
    return x.repeat(rows, axis=2).repeat(columns, axis=3)


@st.composite
def options(draw):
    """Draw sizes that are allowed, each as one number or as a pair."""
    size, stride = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    found = {"size": size, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    if draw(st.booleans()):
        found |= {"size": size[0], "stride": draw(st.sampled_from([None, stride[0]])), "padding": padding[0]}
    return found


@st.composite
def shapes(draw, found, least=0):
    """Draw the shape of images into which the windows fit."""
    size, padding = np.broadcast_to(found["size"], 2).tolist(), np.broadcast_to(found["padding"], 2).tolist()
    sides = [draw(st.integers(max(k - 2 * p, 1), k + 4)) for k, p in zip(size, padding, strict=True)]
    return (draw(st.integers(least, 2)), draw(st.integers(1, 2)), *sides)


def pooled(**kind):
    drawn = options().flatmap(
        lambda found: shapes(found).flatmap(
            lambda shape: arrays(shape, low=-3, high=3, **kind).map(lambda x: Call((x,), found))
        )
    )
    x = np.arange(12.0).reshape(1, 1, 4, 3) % 7 - 3
    examples = Call((x,), {"size": 3, "stride": 2, "padding": 1, "ceil_mode": True}), Call((x[:0],), {"size": 2})
    return Calls(drawn, examples)


TestMaxPool2d = operation_test(F.max_pool2d, largest, pooled(distinct=True))
TestAvgPool2d = operation_test(F.avg_pool2d, mean, pooled())
TestUpsample = operation_test(
    F.upsample, larger, call(arrays((2, 1, 2, 3)), factor=st.sampled_from([1, 2, (3, 1), [2, 3]]))
)


@given(data=st.data(), found=options())
def test_the_first_of_the_largest_gets_the_gradient(data, found):
    """Row by row, as in PyTorch; a nan is the largest, and -inf wins where there is nothing else."""
    shape = data.draw(shapes(found))
    elements = st.sampled_from([0.0, 0.0, 1.0, 2.0, -INF, NAN])
    x = tg.tensor(data.draw(hnp.arrays("float64", shape, elements=elements)), requires_grad=True)
    y = F.max_pool2d(x, **found)
    np.testing.assert_array_equal(y.data, largest(x.data, **found))
    gy = data.draw(hnp.arrays("float64", y.shape, elements=st.integers(-9, 9)))
    expected = np.zeros(shape)
    for (i, j), (rows, columns), _ in windows(x.data, **found):
        for n, c in np.ndindex(*shape[:2]):
            window = x.data[n, c, rows, columns]
            place = np.unravel_index(window.argmax(), window.shape)
            expected[n, c, rows, columns][place] += gy[n, c, i, j]
    (gx,) = tg.grad((y * gy).sum(), [x]) if np.isfinite(y.data).all() else tg.grad(y, [x], tg.tensor(gy))
    np.testing.assert_array_equal(gx.data, expected)


OPERATIONS = {
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 3, 4, 3)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1), (2, 3, 4, 3)),
    "upsample": (lambda x: F.upsample(x, 2), (2, 3, 14, 10)),
}
each_operation = pytest.mark.parametrize(("operation", "shape"), OPERATIONS.values(), ids=OPERATIONS)


@each_operation
def test_the_order_in_memory_is_that_of_the_images(operation, shape):
    for order in itertools.permutations(range(4)):
        back = np.argsort(order)
        memory = np.random.default_rng(0).normal(size=np.take((2, 3, 7, 5), order))
        x = tg.Tensor(memory.transpose(back), requires_grad=True)
        y = operation(x)
        assert y.shape == shape
        assert y.data.transpose(order).flags.c_contiguous
        (gx,) = tg.grad((y * y).sum(), [x])
        assert gx.data.transpose(order).flags.c_contiguous
        plain = tg.tensor(memory.transpose(back).copy(), requires_grad=True)
        np.testing.assert_array_equal(y.data, operation(plain).data)


@each_operation
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_stays(operation, shape, dtype):
    x = tg.tensor(np.linspace(-1, 1, 210).reshape(2, 3, 7, 5), dtype=dtype, requires_grad=True)
    y = operation(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (dtype, dtype)


@each_operation
def test_a_penalty_on_the_gradient_has_two_gradients(operation, shape):
    """A function of the gradient, so its gradient is of second order and that of the gradient of third order."""

    def penalty(x):
        (slope,) = tg.grad((operation(x) ** 3).sum(), [x], create_graph=True)
        return (slope * slope).sum()

    x = tg.tensor(np.random.default_rng(0).permutation(12).reshape(1, 1, 4, 3) / 8, requires_grad=True)
    assert tg.gradcheck(penalty, x, order=2).ok


def test_integers():
    x = tg.tensor([[[[1, 3], [2, 2]]]])
    assert F.max_pool2d(x, 2).data.tolist() == [[[[3]]]]
    assert F.max_pool2d(x, 2).dtype == x.dtype
    assert F.avg_pool2d(x, 2).data.tolist() == [[[[2.0]]]]
    assert F.avg_pool2d(x, 2).dtype == "float32"
    assert F.upsample(x, (1, 2)).data.tolist() == [[[[1, 1, 3, 3], [2, 2, 2, 2]]]]


def test_half_precision_is_summed_in_single_precision():
    """The sum of 64 numbers of 2000 is above the largest number of float16."""
    x = tg.tensor(np.full((1, 1, 8, 8), 2000.0), dtype="float16", requires_grad=True)
    assert F.avg_pool2d(x, 8).item() == 2000
    gy = tg.tensor(np.full((1, 1, 64, 64), 0.25), dtype="float16")
    (gx,) = tg.grad(F.upsample(x, 8), [x], gy)
    assert (gx.data == 16).all()


def test_a_window_of_more_than_256_pixels():
    """Its place does not fit into one byte."""
    x = np.random.default_rng(0).normal(size=(1, 1, 20, 20))
    leaf = tg.tensor(x, requires_grad=True)
    F.max_pool2d(leaf, 20).sum().backward()
    assert leaf.grad.data.ravel().tolist() == (x == x.max()).ravel().tolist()


@pytest.mark.parametrize("operation", [F.max_pool2d, F.avg_pool2d])
def test_sizes_that_do_not_fit_are_refused(operation):
    x = tg.tensor(np.zeros((2, 3, 5, 4)))
    name = operation.__name__
    with pytest.raises(ShapeError, match=rf"^{name}: .*6 rows .*5 rows.*at most 5"):
        operation(x, 6)
    with pytest.raises(ShapeError, match=rf"^{name}: .*7 columns .*4 columns with padding=1.*at most 6"):
        operation(x, (1, 7), padding=(0, 1))
    assert operation(x, 6, padding=1).shape == (2, 3, 1, 1)
    assert operation(x, 6, stride=3, ceil_mode=True).shape == (2, 3, 1, 1)
    with pytest.raises(ArgumentError, match=rf"^{name}: padding=2 .*size=3.*at most 1"):
        operation(x, 3, padding=2)
    for shape in ((5, 4), (3, 5, 4), (), (1, 2, 3, 5, 4)):
        with pytest.raises(ShapeError, match=rf"^{name}: expected images of shape \(N, C, H, W\), got shape"):
            operation(tg.tensor(np.zeros(shape)), 2)
    with pytest.raises(ShapeError, match="the images are empty"):
        operation(tg.tensor(np.zeros((2, 3, 0, 4))), 2, padding=1)
    broken = (0, 1, 0, "size"), (2, 0, 0, "stride"), (2, 1, -1, "padding"), (1.5, 1, 0, "size")
    for size, stride, padding, wrong in broken:
        with pytest.raises(ArgumentError, match=rf"^{name}: {wrong} must be an integer"):
            operation(x, size, stride, padding)
    with pytest.raises(ArgumentError, match=rf"^{name}: size must be an integer, or a pair"):
        operation(x, (2, 2, 2))
    with pytest.raises(DtypeError, match=rf"^{name}: expected a tensor"):
        operation([[1.0]], 2)


def test_factors_that_make_no_image_are_refused():
    with pytest.raises(ArgumentError, match=r"^upsample: factor must be an integer of at least 1, got 0"):
        F.upsample(tg.tensor(np.zeros((1, 1, 2, 2))), (2, 0))
    with pytest.raises(ShapeError, match=r"^upsample: .*x\.expand_dims"):
        F.upsample(tg.tensor(np.zeros((1, 2, 2))), 2)


@pytest.mark.slow
def test_pooling_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional
    rng, compared = np.random.default_rng(1), 0
    for _ in range(300):
        size, stride = ([int(n) for n in rng.integers(1, 6, 2)] for _ in range(2))
        padding, ceil_mode = [int(rng.integers(k // 2 + 2)) for k in size], bool(rng.integers(2))
        values = rng.normal(size=(*rng.integers(1, 3, 2), *rng.integers(1, 10, 2)))
        for name in ("max_pool2d", "avg_pool2d"):
            x, y = tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
            try:
                expected = getattr(theirs, name)(y, size, stride, padding, ceil_mode=ceil_mode)
            except RuntimeError:
                with pytest.raises((ShapeError, ArgumentError)):
                    getattr(F, name)(x, size, stride, padding, ceil_mode)
                continue
            got = getattr(F, name)(x, size, stride, padding, ceil_mode)
            np.testing.assert_allclose(got.data, expected.detach(), rtol=1e-9, atol=1e-9)
            (got * got).sum().backward()
            (expected * expected).sum().backward()
            np.testing.assert_allclose(x.grad.data, y.grad, rtol=1e-9, atol=1e-9)
            compared += 1
    assert compared > 200
