"""Values that change between the forward and the backward pass are detected or copied if the tape needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn, optim
from tinygan.errors import GradientError

X = np.arange(1.0, 10.0, dtype=np.float32).reshape(3, 3)


def parameter() -> tg.Tensor:
    return nn.Parameter(X.copy(), name="w")


USES: dict[str, Callable[[tg.Tensor, tg.Tensor], tg.Tensor]] = {
    "x @ w": lambda x, w: x @ w,
    "x @ w.T": lambda x, w: x @ w.T,
    "w[0]": lambda x, w: x * w[0],
    "rows of w": lambda x, w: sum((row * row for row in w), tg.tensor(0.0)),
    "a slice of a slice": lambda x, w: x[:2] * w[:2][:, ::-1],
    "reshape": lambda x, w: (x.reshape(9) * w.reshape(9)).reshape(3, 3),
    "detach": lambda x, w: x * w.detach(),
    "detach of a view": lambda x, w: x * w.T.detach(),
    "a view of a detached tensor": lambda x, w: x * w.detach().T,
    "broadcast": lambda x, w: x * F.broadcast_to(w, (2, 3, 3)),
    "tied weights": lambda x, w: F.linear(F.linear(x, w), w.T),
    "linear of three axes": lambda x, w: F.linear(x.reshape(1, 3, 3), w),
    "a result": lambda x, w: F.exp(x) * w,
    "quotient by a view": lambda x, w: x / w.T,
    "where": lambda x, w: F.where(w > 100, x, x * w[1]),
    "astype to the same dtype": lambda x, w: x * w.astype("float32"),
    "a transpose of transposes": lambda x, w: x * w.T.T.T,
    "dropout that drops nothing": lambda x, w: x * F.dropout(w, 0.5, training=False),
}


def by_an_optimiser(w: tg.Tensor) -> None:
    w.grad = tg.tensor(np.ones((3, 3), np.float32))
    optim.SGD([w], lr=0.5).step()


def by_load_state_dict(w: tg.Tensor) -> None:
    module = nn.Module()
    module.weight = w  # type: ignore[attr-defined]
    module.load_state_dict({"weight": -X})


def by_a_running_mean(w: tg.Tensor) -> None:
    average = optim.ExponentialMovingAverage([w], 0.5)
    with average.applied():
        pass


def by_hand(w: tg.Tensor) -> None:
    w.data[...] = 0
    w.mark_changed()


def by_assignment(w: tg.Tensor) -> None:
    w.data = w.data * 2


def by_augmented_assignment_of_data(w: tg.Tensor) -> None:
    w.data *= 2


def under_no_grad(w: tg.Tensor) -> None:
    with tg.no_grad():
        w -= 1


CHANGES = (
    by_an_optimiser,
    by_load_state_dict,
    by_a_running_mean,
    by_hand,
    by_assignment,
    by_augmented_assignment_of_data,
    under_no_grad,
)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("frozen", [False, True])
def test_every_use_of_changed_values_is_refused(use: str, frozen: bool) -> None:
    x, w = tg.tensor(X, requires_grad=True), parameter()
    if frozen and use == "rows of w":
        return  # nothing then requires a gradient
    w.requires_grad = not frozen
    loss = USES[use](x, w).sum()
    w.requires_grad = True
    by_an_optimiser(w)
    with pytest.raises(GradientError, match=r"changed in place since the forward pass"):
        loss.backward()
    assert x.grad is None


@pytest.mark.parametrize("use", USES)
def test_no_use_is_refused_when_nothing_changed(use: str) -> None:
    x, w = tg.tensor(X, requires_grad=True), parameter()
    by_an_optimiser(w)
    other = parameter()
    loss = USES[use](x, w).sum()
    by_an_optimiser(other)
    loss.backward()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("use", ["x @ w", "x @ w.T", "w[0]", "detach"])
def test_every_way_to_change_values_is_noticed(use: str, change: Callable[[tg.Tensor], None]) -> None:
    x, w = tg.tensor(X, requires_grad=True), parameter()
    loss = USES[use](x, w).sum()
    change(w)
    with pytest.raises(GradientError, match=r"changed in place"):
        tg.grad(loss, x)


def test_what_no_gradient_needs_may_change() -> None:
    x, w = tg.tensor(X), parameter()
    loss = (x @ w + w.T).sum()  # the gradient of w needs x, not w
    by_hand(w)
    loss.backward()
    np.testing.assert_array_equal(w.grad.data, X.T @ np.ones((3, 3)) + 1)  # type: ignore[union-attr]


def test_the_message_names_the_input() -> None:
    x, w = tg.tensor(X, requires_grad=True), parameter()
    loss = (x @ w).sum()
    by_hand(w)
    with pytest.raises(GradientError, match=r"matmul: its input 1 \(w\), of shape \(3, 3\), has been changed"):
        loss.backward()


def test_versions_are_shared_by_views_only() -> None:
    w = parameter()
    views = [w.T, w[0], w.reshape(9), w.detach(), w.detach()[1], F.broadcast_to(w, (2, 3, 3))]
    others = [w + 0, w[[0, 1]], F.exp(w), w.astype("float64"), tg.tensor(w)]
    by_hand(w)
    assert [view.version for view in views] == [1] * len(views)
    assert [other.version for other in others] == [0] * len(others)
    views[0].mark_changed()
    assert w.version == 2


# ---------------------------------------------------------------------- arrays and lists of the user's


def overwritten(use: Callable[[tg.Tensor, Any], tg.Tensor], array: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of a use of an array, without and with a change of the array by the user."""
    gradients = []
    for overwrite in (False, True):
        x, mine = tg.tensor(X, requires_grad=True), array.copy() if hasattr(array, "copy") else array
        loss = (use(x, mine) * tg.tensor(X)).sum()
        if overwrite:
            mine[...] = 0 if not isinstance(mine, list) else None
        loss.backward()
        assert x.grad is not None
        gradients.append(x.grad.data)
    return gradients[0], gradients[1]


OPERANDS: dict[str, tuple[Callable[[tg.Tensor, Any], tg.Tensor], np.ndarray]] = {
    "product": (lambda x, a: x * a, X + 1),
    "product from the left": (lambda x, a: a * x, X + 1),
    "matrix product": (lambda x, a: x @ a, X + 1),
    "a row": (lambda x, a: x * a, X[0] + 1),
    "divisor": (lambda x, a: x / a, X + 1),
    "exponent": (lambda x, a: x**a, X / 3),
    "maximum": (lambda x, a: F.maximum(x, a), X[::-1].copy()),
    "condition": (lambda x, a: F.where(a, x, 2 * x), X > 4),
    "linear": (lambda x, a: F.linear(x, a), X + 1),
    "index": (lambda x, a: x[a], np.array([2, 2, 1])),
    "index of two axes": (lambda x, a: x[a, [0, 1, 2]], np.array([2, 2, 1])),
    "mask": (lambda x, a: x[a].sum() * 1.0, X > 4),
    "index in a slice": (lambda x, a: x[:, a], np.array([2, 2, 1])),
    "labels": (lambda x, a: F.softmax_cross_entropy(x, a), np.array([2, 2, 1])),
    "targets": (lambda x, a: F.binary_cross_entropy_with_logits(x, a), X / 10),
}


@pytest.mark.parametrize("use", OPERANDS)
def test_arrays_may_be_overwritten_before_backward(use: str) -> None:
    untouched, after = overwritten(*OPERANDS[use])
    np.testing.assert_array_equal(after, untouched)


def test_lists_may_be_overwritten_before_backward() -> None:
    x, rows = tg.tensor(X, requires_grad=True), [0, 1]
    loss = x[rows].sum()
    rows[:] = [2, 2]
    loss.backward()
    assert x.grad is not None
    assert x.grad.data.sum(axis=1).tolist() == [3.0, 3.0, 0.0]


def test_index_tensors_may_be_overwritten_before_backward() -> None:
    x, rows = tg.tensor(X, requires_grad=True), tg.tensor([0, 1])
    loss = x[rows].sum()
    rows.data[...] = 2
    loss.backward()
    assert x.grad is not None
    assert x.grad.data.sum(axis=1).tolist() == [3.0, 3.0, 0.0]


@given(st.booleans(), st.booleans())
def test_arrays_are_copied_only_where_a_gradient_needs_them(needed: bool, recording: bool) -> None:
    x, array = tg.tensor(X, requires_grad=needed), X + 1
    with tg.enable_grad() if recording else tg.no_grad():
        y = x * array
    if needed and recording:
        assert y.operation is not None
        assert y.operation.saved is not None
        assert not any(np.may_share_memory(kept, array) for kept in y.operation.saved if kept is not None)
    else:
        assert y.operation is None
