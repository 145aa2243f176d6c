"""Gradients of gradients: passes that are recorded, and differentiated again."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.errors import GradientError


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(values, dtype="float64", requires_grad=True)


def test_derivatives_of_a_power_to_the_fourth_order() -> None:
    x = leaf(2.0)
    y = x * x * x * x
    for expected in (32.0, 48.0, 48.0, 24.0):
        y = tg.grad(y, x, create_graph=True)
        assert y.item() == expected


def test_create_graph_leaves_a_differentiable_grad() -> None:
    x = leaf(1.0, 2.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad is not None
    assert x.grad.requires_grad
    penalty = (x.grad * x.grad).sum()  # 9 x^4
    x.grad = None
    penalty.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, [36.0, 288.0])
    assert not x.grad.requires_grad


def test_create_graph_through_reuse_and_broadcasting() -> None:
    """f = (sum_i x_i)^2 sum_j w_j x_j; the Hessian by autodiff compared with the Hessian by hand."""
    rng = np.random.default_rng(0)
    x0, w0 = rng.normal(size=4), rng.normal(size=4)
    x, w = leaf(*x0), leaf(*w0)
    total = x.sum()
    f = (total * total * (w * x)).sum()
    slope = tg.grad(f, x, create_graph=True)
    s, d = x0.sum(), w0 @ x0
    np.testing.assert_allclose(slope.data, 2 * s * d + s * s * w0)
    hessian = np.stack([tg.grad(slope[i], x, retain_graph=True).data for i in range(4)])
    np.testing.assert_allclose(hessian, 2 * d + 2 * s * (w0[:, None] + w0))
    np.testing.assert_allclose(tg.grad(slope.sum(), w).data, 8 * s * x0 + s * s)


def test_second_order_by_an_input_of_grad_output() -> None:
    """The product J v by two backward passes: the pass is linear in v, and its derivative with respect to v is J."""
    x = leaf(1.0, 2.0, 3.0)
    v = leaf(1.0, 0.5, 0.25)
    pulled = tg.grad(F.exp(x) * 2, x, grad_output=v, create_graph=True)
    pushed = tg.grad(pulled, v, grad_output=tg.tensor([1.0, 1.0, 2.0], dtype="float64"))
    np.testing.assert_allclose(pushed.data, 2 * np.exp([1, 2, 3]) * [1, 1, 2])


def test_without_create_graph_the_gradient_is_a_constant() -> None:
    x = leaf(2.0)
    slope = tg.grad(x * x * x, x)
    with pytest.raises(GradientError, match="nothing to differentiate"):
        tg.grad(slope, x)


def test_create_graph_retains_unless_told_otherwise() -> None:
    x = leaf(2.0)
    y = x * x * x
    slope = tg.grad(y, x, create_graph=True)
    assert tg.grad(y, x, retain_graph=True).item() == 12.0
    assert tg.grad(slope, x, retain_graph=True).item() == 12.0
    tg.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(GradientError, match="freed"):
        tg.grad(y, x)
