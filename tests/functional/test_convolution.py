"""conv2d and conv_transpose2d: three orders of gradients, compared with loops and with PyTorch, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan.backend import get_backend
from tinygan.backend.convolutions import places
from tinygan.errors import ArgumentError, CallError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, operation_test

seeds = st.integers(0, 2**32 - 1)


def pairs(least, most):
    return st.tuples(*[st.integers(least, most)] * 2)


def conv2d_in_a_loop(x, w, b, stride=(1, 1), padding=(0, 0)):
    p, q = padding
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))
    y = np.empty((len(x), len(w), *places(x.shape[2:], w.shape[2:], stride, padding)))
    for n, k, i, j in np.ndindex(y.shape):
        a, c = i * stride[0], j * stride[1]
        y[n, k, i, j] = (padded[n, :, a : a + w.shape[2], c : c + w.shape[3]] * w[k]).sum() + b[k]
    return y


def conv_transpose2d_in_a_loop(x, w, b, stride=(1, 1), padding=(0, 0), output_padding=(0, 0)):
    rows, columns = (
        (n - 1) * s + k + e for n, s, k, e in zip(x.shape[2:], stride, w.shape[2:], output_padding, strict=True)
    )
    y = np.zeros((len(x), w.shape[1], rows, columns))
    for n, c, i, j in np.ndindex(x.shape):
        a, d = i * stride[0], j * stride[1]
        y[n, :, a : a + w.shape[2], d : d + w.shape[3]] += x[n, c, i, j] * w[c]
    (p, q), (height, width) = padding, y.shape[2:]
    return y[:, :, p : height - p, q : width - q] + b.reshape(-1, 1, 1)


@st.composite
def conv2d_calls(draw):
    kernel, stride, padding = draw(pairs(1, 3)), draw(pairs(1, 3)), draw(pairs(0, 2))
    size = tuple(draw(st.integers(max(k - 2 * p, 1), 5)) for k, p in zip(kernel, padding, strict=True))
    n, c, k = draw(st.tuples(*[st.integers(1, 2)] * 3))
    return arrays_of(draw(seeds), (n, c, *size), (k, c, *kernel), (k,)), {"stride": stride, "padding": padding}


@st.composite
def conv_transpose2d_calls(draw):
    kernel, stride = draw(pairs(1, 3)), draw(pairs(1, 3))
    extra = tuple(draw(st.integers(0, s - 1)) for s in stride)
    size = draw(pairs(1, 3))
    largest = [((n - 1) * s + k + e - 1) // 2 for n, s, k, e in zip(size, stride, kernel, extra, strict=True)]
    padding = tuple(draw(st.integers(0, min(p, 2))) for p in largest)
    n, c, k = draw(st.tuples(*[st.integers(1, 2)] * 3))
    options = {"stride": stride, "padding": padding, "output_padding": extra}
    return arrays_of(draw(seeds), (n, c, *size), (c, k, *kernel), (k,)), options


def arrays_of(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape).astype(np.float32).astype(np.float64) for shape in shapes)


def calls(strategy):
    return Calls(strategy.map(lambda drawn: Call(*drawn)))


TestConv2d = operation_test(F.conv2d, conv2d_in_a_loop, calls(conv2d_calls()), rtol=1e-11)
TestConvTranspose2d = operation_test(
    F.conv_transpose2d, conv_transpose2d_in_a_loop, calls(conv_transpose2d_calls()), rtol=1e-11
)


# ---------------------------------------------------------------------- gradients of gradients


def images(*shape, seed=0, dtype="float64"):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype, requires_grad=True)


@pytest.mark.slow
@pytest.mark.parametrize("transposed", [False, True])
def test_the_gradient_of_the_gradient_has_a_gradient(transposed):
    x, w, b = images(2, 2, 3, 4), images(2, 2, 2, 3, seed=1), images(2, seed=2)
    operation = F.conv_transpose2d if transposed else F.conv2d

    def penalty(x, w, b):
        y = operation(x, w, b, stride=(2, 1), padding=(0, 1))
        slope = tg.grad((y * y * y).sum(), x, create_graph=True)
        return tg.grad((slope * slope).sum(), w, create_graph=True)

    assert tg.gradcheck(penalty, [x, w, b], order=1).ok


def test_a_gradient_penalty_goes_through_two_convolutions():
    x, v, w = images(3, 2, 6, 5), images(3, 2, 3, 3, seed=1), images(2, 3, 2, 3, seed=2)

    def penalty(x, v, w):
        score = F.conv2d(F.tanh(F.conv2d(x, v, stride=2, padding=1)), w, padding=(1, 0))
        slope = tg.grad(score.sum(), x, create_graph=True)
        return ((F.norm(slope.reshape(3, -1), axis=1) - 1) ** 2).mean()

    assert tg.gradcheck(penalty, [x, v, w], order=1).ok


@pytest.mark.parametrize("operation", [F.conv2d, F.conv_transpose2d])
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_only_the_wanted_gradients_are_computed(operation, wanted, monkeypatch):
    arrays = [images(2, 2, 4, 4).data, images(2, 2, 3, 3, seed=1).data, images(2, seed=2).data]
    inputs = [tg.Tensor(array, requires_grad=k in wanted) for k, array in enumerate(arrays)]
    y = operation(*inputs)
    backend, counts = get_backend("cpu"), dict.fromkeys(("conv", "conv_transpose", "conv_weight"), 0)

    def counting(name, product):
        def counted(*operands):
            counts[name] += 1
            return product(*operands)

        return counted

    for name in counts:
        monkeypatch.setattr(backend, name, counting(name, getattr(backend, name)))
    y.backward(np.cos(np.arange(y.size).reshape(y.shape)))
    of_x = "conv_transpose" if operation is F.conv2d else "conv"
    assert counts == dict.fromkeys(counts, 0) | {of_x: int(0 in wanted), "conv_weight": int(1 in wanted)}
    assert [value.grad is not None for value in inputs] == [k in wanted for k in range(3)]


def test_each_gradient_of_the_weight_rule_is_right_alone():
    x, w = images(2, 2, 4, 4), images(2, 2, 3, 3, seed=1)
    for wanted in ("x", "g"):

        def of_weight(g, wanted=wanted):
            y = F.conv2d(x.detach() if wanted == "g" else g, w)
            return tg.grad((y * (g if wanted == "g" else 1.0)).sum(), w, create_graph=True)

        at = images(2, 2, 2, 2, seed=3) if wanted == "g" else x
        assert tg.gradcheck(of_weight, [at], order=1).ok


# ---------------------------------------------------------------------- shapes and dtypes


@pytest.mark.parametrize("operation", [F.conv2d, F.conv_transpose2d])
@pytest.mark.parametrize("n", [0, 1])
def test_an_empty_batch_and_one_image(operation, n):
    x, w, b = images(n, 2, 4, 4), images(2, 2, 3, 3, seed=1), images(2, seed=2)
    y = operation(x, w, b, stride=2, padding=1)
    assert y.shape == ((n, 2, 2, 2) if operation is F.conv2d else (n, 2, 7, 7))
    (y * y).sum().backward()
    for value in (x, w, b):
        assert value.grad.shape == value.shape
        assert value.grad.data.any() == (n > 0)


def test_one_number_stands_for_rows_and_columns():
    x, w = images(2, 2, 5, 5), images(2, 2, 3, 3, seed=1)
    assert np.array_equal(F.conv2d(x, w, None, 2, 1).data, F.conv2d(x, w, stride=(2, 2), padding=[1, 1]).data)
    again = F.conv_transpose2d(x, w, None, np.int64(2), 1, (1, 1))
    assert np.array_equal(F.conv_transpose2d(x, w, None, 2, 1, 1).data, again.data)


def test_output_padding_undoes_the_rounding_of_the_size():
    w = images(3, 2, 4, 5)
    for size in range(4, 12):
        x = images(1, 2, size, size + 1)
        y = F.conv2d(x, w, stride=3, padding=1)
        fits = [
            extra
            for extra in range(3)
            if F.conv_transpose2d(y, w, stride=3, padding=1, output_padding=(extra, 0)).shape[2] == size
        ]
        assert len(fits) == 1


@pytest.mark.parametrize("operation", [F.conv2d, F.conv_transpose2d])
def test_half_precision_is_computed_in_single_precision(operation):
    x = tg.tensor(np.full((1, 64, 2, 2), 1.0), dtype="float16", requires_grad=True)
    w = tg.tensor(np.full((64, 64, 2, 2), 1 / 3), dtype="float16", requires_grad=True)
    y = operation(x, w)
    assert y.dtype == np.float16
    exact = float(w.data[0, 0, 0, 0]) * 64 * (4 if operation is F.conv2d else 1)
    assert abs(float(y.data[0, 0, 0, 0]) - exact) <= 2.0**-11 * exact
    slopes = tg.grad(y.sum(), [x, w], create_graph=True)
    assert [slope.dtype for slope in slopes] == [np.float16] * 2
    assert tg.grad((slopes[0] * slopes[0]).mean(), w).dtype == np.float16


def test_float32_and_integers_keep_their_dtype():
    x, w = images(2, 2, 4, 4, dtype="float32"), images(2, 2, 3, 3, seed=1, dtype="float32")
    assert F.conv2d(x, w).dtype == np.float32
    assert F.conv2d(x, np.ones((1, 2, 3, 3))).dtype == np.float64
    whole = F.conv2d(np.arange(32).reshape(2, 1, 4, 4), np.ones((1, 1, 2, 2), np.int64))
    assert whole.dtype == np.int64
    assert whole.data[0, 0, 0, 0] == 0 + 1 + 4 + 5


def test_a_linear_layer_after_a_convolution_copies_no_image():
    y = F.conv2d(images(8, 2, 4, 4, dtype="float32"), images(3, 2, 3, 3, dtype="float32"))
    assert np.shares_memory(y.data, y.reshape(8, -1).data)


def test_a_step_on_the_double_of_cupy_waits_for_nothing():
    with strict_cupy() as cupy:
        backend = get_backend("cuda")
        arrays = arrays_of(0, (2, 2, 5, 5), (3, 2, 3, 3), (3,))
        inputs = [tg.Tensor(backend.from_numpy(array.astype("f4")), requires_grad=True) for array in arrays]
        with cupy.gpu.step():
            y = F.conv2d(*inputs, stride=2, padding=1)
            slope = tg.grad((y * y).sum(), inputs[0], create_graph=True)
            (slope * slope).sum().backward()
        y = conv2d_in_a_loop(*arrays, stride=(2, 2), padding=(1, 1))
        assert inputs[1].grad.shape == (3, 2, 3, 3)
        assert np.allclose(F.conv2d(*inputs, stride=2, padding=1).numpy(), y, atol=1e-5)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("call", "error", "facts"),
    [
        (lambda x, w: F.conv2d(x[0], w), ShapeError, ["conv2d", "(N, C, H, W)", "(2, 6, 5)", "expand_dims"]),
        (lambda x, w: F.conv2d(x, w[0]), ShapeError, ["conv2d", "weight", "(2, 3, 3)"]),
        (lambda x, w: F.conv2d(x, w[:, :1]), ShapeError, ["2 channels", "takes 1"]),
        (lambda x, w: F.conv_transpose2d(x, w), ShapeError, ["conv_transpose2d", "2 channels", "takes 3"]),
        (lambda x, w: F.conv2d(x[:, :, :2], w), ShapeError, ["3x3", "2x5", "padding"]),
        (lambda x, w: F.conv2d(x[:, :, :, :0], w, padding=(0, 1)), ShapeError, ["3x3", "6x0", "6x2"]),
        (lambda x, w: F.conv2d(x, w[:, :, :0]), ShapeError, ["(3, 2, 0, 3)", "empty"]),
        (lambda x, w: F.conv2d(x, w, np.ones(2)), ShapeError, ["bias", "3 channels", "(2,)"]),
        (lambda x, w: F.conv_transpose2d(x[:, :, :1], w.swapaxes(0, 1), padding=2), ShapeError, ["padding", "-1 rows"]),
        (lambda x, w: F.conv2d(x, w, stride=0), ArgumentError, ["stride", "at least 1", "0"]),
        (lambda x, w: F.conv2d(x, w, padding=(0, -1)), ArgumentError, ["padding", "at least 0", "-1"]),
        (lambda x, w: F.conv2d(x, w, stride=(1, 2, 3)), ArgumentError, ["stride", "pair", "3 numbers"]),
        (lambda x, w: F.conv2d(x, w, stride=1.5), ArgumentError, ["stride", "integer", "1.5"]),
        (lambda x, w: F.conv2d(x, w, padding="same"), ArgumentError, ["padding", "integer", "'same'"]),
        (
            lambda x, w: F.conv_transpose2d(x, w.swapaxes(0, 1), stride=2, output_padding=2),
            ArgumentError,
            ["output_padding=(2, 2)", "stride=(2, 2)"],
        ),
        (lambda x, w: F.conv2d(x, w, dilation=1), CallError, ["dilation=", "leave out"]),
        (lambda x, w: F.conv2d(x, w, groups=2), CallError, ["groups=", "all channels"]),
        (lambda x, w: F.conv2d([[1.0]], w), DtypeError, ["list", "tg.tensor"]),
        (lambda x, w: F.conv2d(3.0, w), ShapeError, ["conv2d", "()"]),
    ],
)
def test_what_does_not_fit_is_refused(call, error, facts):
    with pytest.raises(error) as raised:
        call(images(2, 2, 6, 5), images(3, 2, 3, 3, seed=1))
    for fact in facts:
        assert fact in str(raised.value)


# ---------------------------------------------------------------------- PyTorch


@settings(max_examples=40)
@given(st.booleans(), seeds, st.data())
def test_values_and_two_orders_are_those_of_pytorch(transposed, seed, data):
    torch = pytest.importorskip("torch")
    arrays, options = data.draw(conv_transpose2d_calls() if transposed else conv2d_calls())
    name = "conv_transpose2d" if transposed else "conv2d"
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-3)):
        mine = [tg.tensor(array, dtype=dtype, requires_grad=True) for array in arrays]
        other = [torch.tensor(array, dtype=getattr(torch, dtype), requires_grad=True) for array in arrays]
        y, z = getattr(F, name)(*mine, **options), getattr(torch.nn.functional, name)(*other, **options)
        found, expected = [y], [z]
        for _ in range(2):
            slopes = tg.grad((found[0] ** 3).sum(), mine, create_graph=True)
            found = [sum(((slope * slope).sum() for slope in slopes), tg.tensor(0.0, dtype=dtype)), *found, *slopes]
            slopes = torch.autograd.grad((expected[0] ** 3).sum(), other, create_graph=True)
            expected = [sum((slope * slope).sum() for slope in slopes), *expected, *slopes]
            found[0], expected[0] = found[0] / 1e3, expected[0] / 1e3
        for a, b in zip(found, expected, strict=True):
            exact = b.detach().numpy()
            assert np.abs(a.detach().numpy() - exact).max(initial=0) <= tolerance * max(1, np.abs(exact).max(initial=0))
