"""The kernels of batch normalization and activations compared with the portable methods."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.backend.test_cupy_kernels import B, cupy, launched, layouts, pytestmark, same, values  # noqa: F401
from tests.doubles.cublas import Cublas
from tests.doubles.strict_cupy import StrictCupy
from tinygan import nn
from tinygan.backend import Backend, graph, kernels
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.graph import Capture

PORTABLE = Backend(np, "cpu")
dtypes = st.sampled_from([np.float32, np.float32, np.float64])
shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5).filter(lambda s: s[0] * s[-1] > 1)
SLOPES = [0.2, 0.0, 1.0, -0.5, 2, np.inf, np.nan, np.float64(0.2)]


def normal(seed: int, *shapes_: Any, dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(1, 2, shape).astype(dtype) for shape in shapes_]


def all_same(got: Any, expected: Any, tolerance: float) -> None:
    for one, other in zip(got, expected, strict=True):
        same(one, other, tolerance, tolerance)


@given(
    shape=shapes, dtype=dtypes, seed=st.integers(0, 99), scaled=st.booleans(), transposed=st.booleans(),
    broken=st.sampled_from([None, None, np.nan, np.inf]), blocks=st.sampled_from([1, 2, 4096]),
)  # fmt: skip
def test_batch_norm_and_its_backward(
    B: CupyBackend, shape: Any, dtype: Any, seed: int, scaled: bool, transposed: bool, broken: Any, blocks: int  # noqa: F811
) -> None:
    x, gy = normal(seed, *[shape[::-1] if transposed else shape] * 2, dtype=dtype)
    if broken is not None:
        x[0, 0] = broken
    x_there, g_there = B.from_numpy(x), B.from_numpy(gy)
    if transposed:
        x, gy, x_there, g_there = x.T, gy.T, x_there.T, g_there.T
    gain, bias = normal(seed + 1, x.shape[1], x.shape[1], dtype=dtype) if scaled else (None, None)
    there = [None if array is None else B.from_numpy(array) for array in (gain, bias)]
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(kernels, "_MOST_BLOCKS", blocks)
        results = PORTABLE.batch_norm(x, gain, bias, 0.1)
        found = B.batch_norm(x_there, *there, 0.1)
        all_same(found, results, tolerance)
        back = PORTABLE.batch_norm_backward(gy, x, gain, *results[1:], 0.1)
        all_same(B.batch_norm_backward(g_there, x_there, there[0], *found[1:], 0.1), back, tolerance)


@pytest.mark.parametrize("shape", [(700, 3), (1, 2, 70, 70), (33, 5, 4, 4), (257, 2), (3, 2, 5, 17, 2)])
def test_batch_norm_of_more_elements_than_threads(B: CupyBackend, shape: Any) -> None:  # noqa: F811
    """A mean that is large beside the deviation; the sums differ from those in double precision by rounding."""
    x, gy = normal(5, shape, shape)
    x += 30
    exact = PORTABLE.batch_norm(x.astype("f8"), None, None, 1e-5)
    found = B.batch_norm(B.from_numpy(x), None, None, 1e-5)
    back = PORTABLE.batch_norm_backward(gy.astype("f8"), x.astype("f8"), None, *exact[1:], 1e-5)
    backs = B.batch_norm_backward(B.from_numpy(gy), B.from_numpy(x), None, *found[1:], 1e-5)
    for got, expected in zip((*found, *backs), (*exact, *back), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got.get(), expected, rtol=2e-5, atol=2e-5 * abs(expected).max())
    again = B.batch_norm(B.from_numpy(x), None, None, 1e-5)
    all_same(again, [array.get() for array in found], 0)  # the same bits


@given(dtype=dtypes, seed=st.integers(0, 99), channels=st.integers(1, 300), momentum=st.sampled_from([0.0, 0.1, 1.0]))
def test_running_moments_have_the_same_bits(
    B: CupyBackend, dtype: Any, seed: int, channels: int, momentum: float  # noqa: F811
) -> None:
    *running, mean, variance = normal(seed, *[channels] * 4, dtype=dtype)
    there = [B.from_numpy(array.copy()) for array in (*running, mean, variance)]
    PORTABLE.follow_moments((running[0], running[1]), (mean, variance), 7, momentum)
    B.follow_moments((there[0], there[1]), (there[2], there[3]), 7, momentum)
    all_same(there[:2], running, 0)


@given(data=st.data(), shape=hnp.array_shapes(min_dims=0, max_side=6), dtype=dtypes, layout=layouts)
def test_activations_with_a_slope(B: CupyBackend, data: st.DataObject, shape: Any, dtype: Any, layout: Any) -> None:  # noqa: F811
    (whole, gy), slope = [data.draw(values(shape, dtype)) for _ in range(2)], data.draw(st.sampled_from(SLOPES))
    x, there, gy, g_there = layout(whole), layout(B.from_numpy(whole)), layout(gy), layout(B.from_numpy(gy))
    with np.errstate(all="ignore"):
        y, positive = PORTABLE.leaky(x, slope)
        found, mask = B.leaky(there, slope)
        same(found, y)
        same(mask, positive)
        same(B.leaky_backward(g_there, mask, slope), PORTABLE.leaky_backward(gy, positive, slope))
        same(B.tanh_backward(g_there, there), PORTABLE.tanh_backward(gy, x))


def test_one_kernel_each(B: CupyBackend, cupy: StrictCupy) -> None:  # noqa: F811
    """With the arrays of a training step; otherwise the tests above might compare the portable methods."""
    x, c = B.from_numpy(np.ones((2, 3, 6, 6), "f4")), B.from_numpy(np.ones(3, "f4"))
    _, positive = B.leaky(x, 0.2)
    for name, arguments in {
        "batch_norm": (x, c, c, 1e-5),
        "batch_norm_backward": (x, x, c, c, c, 1e-5),
        "follow_moments": ((c, c), (c, c), 7, 0.1),
        "leaky": (x, 0.2),
        "leaky_backward": (x, positive, 0.2),
        "tanh_backward": (x, x),
    }.items():
        _, launches = launched(cupy, lambda name=name, arguments=arguments: getattr(B, name)(*arguments))
        assert launches == {name: 1}


def networks(device: str) -> tuple[Any, Any, Any]:
    x = tg.tensor(np.random.default_rng(0).normal(size=(4, 3)), dtype="float32", device=device)
    rng = tg.backend.Stream(0, "weights")
    net = nn.Sequential(
        nn.Linear(3, 8, rng=rng), nn.BatchNorm(8), nn.Reshape(2, 2, 2), nn.Conv2d(2, 3, 2, padding=1, rng=rng),
        nn.BatchNorm(3), nn.LeakyReLU(0.2), nn.Tanh(),
    )  # fmt: skip
    return x, net.to(device), net.parameters()


def test_a_step_is_captured(B: CupyBackend, cupy: StrictCupy, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Nothing waits; a replay has the gradients of its x, and moves the running statistics."""
    monkeypatch.setattr(graph, "load_cublas", Cublas)

    def of(x: Any, net: Any, weights: Any) -> Any:
        loss = F.binary_cross_entropy_with_logits(net(x).reshape(-1), 1)
        return [gradient.data for gradient in tg.grad(loss, weights)]

    here, there = networks("cpu"), networks("cuda")
    capture = Capture(B, {})
    capture.rehearse(lambda: of(*there))
    of(*here)
    results = capture.record(lambda: of(*there))
    for factor in (1, -2):
        here[0].data[...] *= factor
        there[0].data *= factor
        with cupy.gpu.step() as launches:
            capture.replay()
        assert launches == {"graph": 1}
        for got, gradient in zip(results, of(*here), strict=True):
            same(got, gradient, rtol=1e-4, atol=1e-5)
        states = there[1].state_dict(), here[1].state_dict()
        for name in ("1.running_mean", "4.running_var"):
            np.testing.assert_allclose(*[state[name] for state in states], rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_gradient(B: CupyBackend) -> None:  # noqa: F811
    found = []
    for device in ("cpu", "cuda"):
        x, net, weights = networks(device)
        x.requires_grad = True
        (slope,) = tg.grad((net(x) ** 2).sum(), [x], create_graph=True)
        found.append([g.numpy() for g in tg.grad((slope * slope).sum(), weights[:1])])
    for there, here in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4 * abs(here).max() + 1e-6)
    assert abs(found[0][0]).max() > 1e-3
