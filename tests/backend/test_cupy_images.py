"""The kernels of images compared with the portable methods; `test_cupy_kernels.py` says how."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.backend.test_cupy_kernels import B, cupy, launched, pytestmark, same, values  # noqa: F401
from tests.doubles.cublas import Cublas
from tests.doubles.strict_cupy import StrictCupy
from tinygan import nn
from tinygan.backend import Backend, Stream, cupy_images, graph
from tinygan.backend.convolutions import places
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.graph import Capture
from tinygan.backend.pooling import Windows
from tinygan.errors import ShapeError
from tinygan.functional.pooling import windows_of

PORTABLE = Backend(np, "cpu")
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
dtypes = st.sampled_from([np.float32, np.float32, np.float64])


@st.composite
def pooled(draw: st.DrawFn) -> tuple[tuple[int, ...], Windows]:
    """Draw the shape of images, and windows that fit."""
    sides = st.integers(1, 6)
    shape = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(sides), draw(sides)
    size, stride = draw(pairs), draw(pairs)
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    try:
        return shape, windows_of("test", shape[2:], size, stride, padding, draw(st.booleans()))
    except ShapeError:
        assume(False)
        raise


@given(data=st.data(), case=pooled(), dtype=dtypes, transposed=st.booleans())
def test_pooling(B: CupyBackend, data: st.DataObject, case: Any, dtype: Any, transposed: bool) -> None:  # noqa: F811
    shape, windows = case
    x = data.draw(values(shape[::-1] if transposed else shape, dtype))
    x, there = (x.T, B.from_numpy(x).T) if transposed else (x, B.from_numpy(x))
    y, place = PORTABLE.max_pool(x, windows)
    y_there, place_there = B.max_pool(there, windows)
    same(y_there, y)
    gy = data.draw(hnp.arrays(dtype, y.shape, elements=st.integers(-9, 9)))
    g_there = B.from_numpy(gy)
    same(B.max_pool_backward(g_there, place_there, windows), PORTABLE.max_pool_backward(gy, place, windows))
    same(B.winners(there, place_there, windows), PORTABLE.winners(x, place, windows))
    with np.errstate(all="ignore"):
        same(B.sum_pool(there, windows), PORTABLE.sum_pool(x, windows))
    same(B.sum_pool_backward(g_there, windows), PORTABLE.sum_pool_backward(gy, windows))


@given(
    data=st.data(),
    sizes=st.tuples(*[st.integers(0, 3)] * 3),
    image=pairs,
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dtype=dtypes,
)
def test_convolution(
    B: CupyBackend,  # noqa: F811
    data: st.DataObject,
    sizes: Any,
    image: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dtype: Any,
) -> None:
    n, channels, units = sizes
    size = places(image, kernel, stride, padding)
    assume(min(size) > 0)
    small = st.integers(-9, 9)  # so that sums in any order have the same bits
    shapes = (n, channels, *image), (units, channels, *kernel), (n, units, *size)
    x, w, g = (data.draw(hnp.arrays(dtype, shape, elements=small)) for shape in shapes)
    x_there, w_there, g_there = (B.from_numpy(array) for array in (x, w, g))
    same(B.conv(x_there, w_there, stride, padding), PORTABLE.conv(x, w, stride, padding))
    back = PORTABLE.conv_transpose(g, w, image, stride, padding)
    same(B.conv_transpose(g_there, w_there, image, stride, padding), back)
    weight = PORTABLE.conv_weight(g, x, kernel, stride, padding)
    same(B.conv_weight(g_there, x_there, kernel, stride, padding), weight)


def test_few_kernels_each(B: CupyBackend, cupy: StrictCupy) -> None:  # noqa: F811
    """With the arrays of a training step; otherwise the tests above might compare the portable methods."""
    x, w = B.from_numpy(np.ones((2, 3, 6, 6), "f4")), B.from_numpy(np.ones((4, 3, 4, 4), "f4"))
    g, windows = B.from_numpy(np.ones((2, 4, 3, 3), "f4")), windows_of("test", x.shape[2:], 2, 2, 0, False)
    steps = (2, 2), (1, 1)
    product = {"matmul": 1, "copy": 1}  # the copy exchanges the axes of images and channels
    assert launched(cupy, lambda: B.conv(x, w, *steps))[1] == {"im2col": 1, **product}
    assert launched(cupy, lambda: B.conv_transpose(g, w, (6, 6), *steps))[1] == {"col2im": 1, **product}
    assert launched(cupy, lambda: B.conv_weight(g, x, (4, 4), *steps))[1] == {"im2col": 1, **product}
    g = B.by_unit(g)
    assert launched(cupy, lambda: B.conv_transpose(g, w, (6, 6), *steps))[1] == {"col2im": 1, "matmul": 1}
    assert launched(cupy, lambda: B.conv_weight(g, x, (4, 4), *steps))[1] == {"im2col": 1, "matmul": 1}
    y, place = B.max_pool(x, windows)
    for name, arguments in {
        "max_pool": (x, windows),
        "max_pool_backward": (y, place, windows),
        "winners": (x, place, windows),
        "sum_pool": (x, windows),
        "sum_pool_backward": (y, windows),
    }.items():
        _, launches = launched(cupy, lambda name=name, arguments=arguments: getattr(B, name)(*arguments))
        assert launches == {name: 1}
    assert launched(cupy, lambda: B.max_pool(x.transpose(1, 0, 2, 3), windows))[1] == {"copy": 1, "max_pool": 1}


def test_what_no_kernel_takes(B: CupyBackend, cupy: StrictCupy, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Double precision, and more elements than 32 bits count, here 100."""
    x, wide = (B.from_numpy(np.ones((2, 2, 5, 5), dtype)) for dtype in ("f4", "f8"))
    windows = windows_of("test", x.shape[2:], 2, 2, 1, False)
    y, place = B.max_pool(x, windows)
    wide_gy = B.max_pool(wide, windows)[0]

    def kernels(gy: Any) -> set[str]:
        methods = (B.max_pool_backward, gy, place, windows), (B.sum_pool_backward, gy, windows)
        found = set[str]()
        for method, *arguments in methods:
            result, launches = launched(cupy, lambda method=method, arguments=arguments: method(*arguments))
            assert result.dtype == gy.dtype
            found |= set(launches)
        return found & {"max_pool_backward", "sum_pool_backward"}

    assert not kernels(wide_gy)
    for limit, found in ((101, {"max_pool_backward", "sum_pool_backward"}), (100, set())):
        monkeypatch.setattr(cupy_images, "LIMIT", limit)
        assert kernels(y) == found


def game(device: str) -> tuple[nn.Module, nn.Module, tg.Tensor]:
    """Return G and D with all operations of images, and z."""
    rng = Stream(0, "weights")
    generator = nn.Sequential(
        nn.Linear(3, 32, rng=rng), nn.Reshape(2, 4, 4), nn.Upsample(2),
        nn.Conv2d(2, 4, 3, padding=1, rng=rng), nn.ReLU(),
        nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1, rng=rng), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.MaxoutConv2d(1, 3, 2, 5, padding=3, rng=rng), nn.MaxPool2d(4, 2, ceil_mode=True),
        nn.Conv2d(3, 4, 3, stride=2, bias=False, rng=rng), nn.LeakyReLU(0.2), nn.AvgPool2d(2, 1), nn.Flatten(),
        nn.Linear(16, 1, rng=rng),
    )  # fmt: skip
    z = tg.tensor(np.random.default_rng(0).normal(size=(5, 3)), dtype="float32", device=device)
    return generator.to(device), discriminator.to(device), z


def gradients(device: str) -> Any:
    """Return z, and a function that computes the gradients of G and of D without the host."""
    generator, discriminator, z = game(device)
    weights = [*generator.parameters(), *discriminator.parameters()]

    def step() -> Any:
        loss = F.binary_cross_entropy_with_logits(discriminator(generator(z)), 1)
        return [gradient.data for gradient in tg.grad(loss, weights)]

    return z, step


def test_a_step_is_captured(B: CupyBackend, cupy: StrictCupy, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Nothing waits, is copied to or from the host, or takes memory of others; a replay has the gradients of its z."""
    monkeypatch.setattr(graph, "load_cublas", Cublas)
    (here, expected), (there, step) = gradients("cpu"), gradients("cuda")
    with cupy.gpu.step() as launches:
        step()
    assert {name: launches[name] for name in ("im2col", "col2im", "max_pool", "max_pool_backward")} == {
        "im2col": 8, "col2im": 4, "max_pool": 1, "max_pool_backward": 1,
    }  # fmt: skip
    assert launches["matmul"] == 17  # 12 of the four convolutions, 5 of the two linear layers: z needs no gradient
    capture = Capture(B, {})
    capture.rehearse(step)
    results = capture.record(step)
    for factor in (1, -2):
        here.data[...] *= factor
        there.data *= factor
        with cupy.gpu.step() as launches:
            capture.replay()
        assert launches == {"graph": 1}
        for got, gradient in zip(results, expected(), strict=True):
            same(got, gradient, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_a_gradient_of_images(B: CupyBackend) -> None:  # noqa: F811
    """A penalty on the gradient of D with respect to an image goes through the operations twice."""
    found = []
    for device in ("cpu", "cuda"):
        _, discriminator, _ = game(device)
        x = tg.tensor(np.random.default_rng(1).normal(size=(2, 1, 16, 16)), dtype="float32", device=device)
        x.requires_grad = True
        (slope,) = tg.grad(discriminator(x).sum(), [x], create_graph=True)
        weights = discriminator.parameters()[:1]
        found.append(tg.grad((slope * slope).sum(), weights)[0].numpy())
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)
    assert np.abs(found[0]).max() > 1e-3
