"""The exercises 1 to 4: forward and backward passes with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan.engine import Tensor, grad, tensor
from tinygan.learn.exercise import Exercise, Mistake, Values


def derivatives(function: Callable[..., Tensor], gy: Any, *arrays: Any) -> Any:
    """Return the gradients of sum(gy y) with respect to each array, computed by tinygan."""
    inputs = [tensor(array, requires_grad=True) for array in arrays]
    found = [gradient.numpy() for gradient in grad((function(*inputs) * tensor(gy)).sum(), inputs)]
    return tuple(found) if len(found) > 1 else found[0]


def normal(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return arrays of these shapes with the same normal numbers each time."""
    rng = np.random.default_rng(2014)
    return [rng.normal(size=shape) for shape in shapes]


def _sigmoid(x: Any) -> Any:
    return F.sigmoid(tensor(x)).numpy()


def in_backward(kind: str, hint: str, backward: Callable[..., Any]) -> Mistake:
    """Return a mistake in the backward pass."""
    return Mistake(kind, hint, {"backward": backward})


def in_forward(kind: str, hint: str, forward: Callable[..., Any]) -> Mistake:
    """Return a mistake in the forward pass."""
    return Mistake(kind, hint, {"forward": forward})


# ---------------------------------------------------------------------- 1


def _linear_cases() -> dict[str, Values]:
    sizes = {"a batch of 4": (4, 3, 2), "a batch of 3, all arrays square": (3, 3, 3), "a batch of 1": (1, 3, 2)}
    return {
        name: dict(zip(("x", "W", "b", "gy"), normal((m, n), (n, units), (units,), (m, units)), strict=True))
        for name, (m, n, units) in sizes.items()
    }


LINEAR = Exercise(
    "01_linear",
    "tinygan/functional/linear.py, class Linear",
    (("forward", "x W b", "y"), ("backward", "gy x W", "gx gW gb")),
    _linear_cases,
    {
        "forward": lambda x, W, b: F.linear(tensor(x), tensor(W), tensor(b)).numpy(),
        "backward": lambda gy, x, W: derivatives(F.linear, gy, x, W, np.zeros(W.shape[1])),
    },
    (
        in_forward("bias missing", "Add b to each row of X W.", lambda x, W, b: x @ W),
        in_forward("bias on the wrong axis", "b[j] belongs to column j of Y.", lambda x, W, b: x @ W + b[:, None]),
        in_backward(
            "transposed",
            "In gX, a factor must be transposed: gX[i, k] is the sum over j of gy[i, j] W[k, j].",
            lambda gy, x, W: (gy @ W, x @ gy, None),
        ),
        in_backward(
            "sum over the wrong axis",
            "b[j] was added to each row: sum over the rows, which is axis 0.",
            lambda gy, x, W: (None, None, gy.sum(axis=1)),
        ),
        in_backward(
            "gradient of the output missing",
            "Use gy: each derivative is multiplied by the gradient of L with respect to Y (chain rule).",
            lambda gy, x, W: (np.ones_like(gy) @ W.T, x.T @ np.ones_like(gy), np.ones_like(gy).sum(axis=0)),
        ),
    ),
)


# ---------------------------------------------------------------------- 2


def _sigmoid_cases() -> dict[str, Values]:
    x, gy = normal((3, 4), (3, 4))
    large = np.array([-1000.0, -50, -1, 0, 1, 50, 1000])
    cases = {"numbers near 0": {"x": x, "gy": gy}, "large numbers": {"x": large, "gy": normal(large.shape)[0]}}
    return {name: {**values, "y": _sigmoid(values["x"])} for name, values in cases.items()}


SIGMOID = Exercise(
    "02_sigmoid",
    "tinygan/functional/activations.py, class Sigmoid",
    (("forward", "x", "y"), ("backward", "gy y", "gx")),
    _sigmoid_cases,
    {"forward": _sigmoid, "backward": lambda gy, y: gy * y * (1 - y)},
    (
        in_forward("sign", "Here e^x stands where e^-x should: y must grow with x.", lambda x: _sigmoid(-x)),
        in_forward(
            "overflow",
            "e^x overflows above x = 709, and infinity / infinity is nan. Use exponents of at most 0, as in e^-|x|.",
            lambda x: np.exp(x) / (1 + np.exp(x)),
        ),
        in_forward(
            "rounded",
            "A small y is lost beside a large number: 1 - (nearly 1) keeps few digits. For x < 0 write y as e^x / "
            "(1 + e^x).",
            lambda x: 1 - _sigmoid(-x),
        ),
        in_forward(
            "rounded", "1 + tanh loses a small y. For x < 0 write e^x / (1 + e^x).", lambda x: (1 + np.tanh(x / 2)) / 2
        ),
        in_backward(
            "factor 1 - y missing", "The derivative of y is y (1 - y): a factor is missing.", lambda gy, y: gy * y
        ),
        in_backward(
            "factor y missing", "The derivative of y is y (1 - y): a factor is missing.", lambda gy, y: gy * (1 - y)
        ),
        in_backward("gradient of the output missing", "Multiply by gy (chain rule).", lambda gy, y: y * (1 - y)),
        in_backward(
            "sigmoid twice",
            "y is sigmoid(x) already: do not apply the sigmoid to it.",
            lambda gy, y: gy * _sigmoid(y) * (1 - _sigmoid(y)),
        ),
        in_backward(
            "tanh's derivative", "1 - y^2 is the derivative of tanh, not of the sigmoid.", lambda gy, y: gy * (1 - y**2)
        ),
    ),
    relative=frozenset({"y"}),
)


# ---------------------------------------------------------------------- 3


def _entropy_cases() -> dict[str, Values]:
    a, soft = normal((5,), (4,))
    return {
        "targets 0 and 1": {"a": a, "t": np.array([1.0, 0, 1, 0, 0]), "gL": 0.5},
        "large logits": {"a": np.array([-1000.0, 1000, -1000, 1000]), "t": np.array([0.0, 1, 1, 0]), "gL": 3.0},
        "targets between 0 and 1": {"a": soft, "t": np.array([0.9, 0.1, 0.5, 0.0]), "gL": 1.0},
    }


def _from_p(shift: float) -> Callable[[Any, Any], Any]:
    def forward(a: Any, t: Any) -> Any:
        p = np.clip(_sigmoid(a), shift, 1 - shift)
        return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))

    return forward


_ROUNDED = (
    "For a = 1000, p is rounded to 1, and log(1 - p) is lost. log p = -log(1 + e^-a): compute it from the logit a."
)

CROSS_ENTROPY = Exercise(
    "03_cross_entropy",
    "tinygan/functional/losses.py, class BinaryCrossEntropyWithLogits",
    (("forward", "a t", "L"), ("backward", "gL a t", "ga")),
    _entropy_cases,
    {
        "forward": lambda a, t: F.binary_cross_entropy_with_logits(tensor(a), tensor(t)).numpy(),
        "backward": lambda gL, a, t: derivatives(lambda a: F.binary_cross_entropy_with_logits(a, tensor(t)), gL, a),
    },
    (
        *(in_forward("rounded probability", _ROUNDED, _from_p(shift)) for shift in (0, 1e-7, 1e-8, 1e-9, 1e-12, 1e-15)),
        in_forward(
            "term missing",
            "The term of 1 - t is missing: (1 - t) log(1 - p).",
            lambda a, t: np.mean(t * np.logaddexp(0, -a)),
        ),
        in_forward(
            "sign",
            "log p = -log(1 + e^-a) belongs to t, and log(1 - p) = -log(1 + e^a) to 1 - t: they are swapped.",
            lambda a, t: np.mean(t * np.logaddexp(0, a) + (1 - t) * np.logaddexp(0, -a)),
        ),
        in_backward(
            "derivative of the sigmoid too much",
            "p (1 - p) does not remain: it cancels against 1/p and 1/(1 - p) of the logarithms.",
            lambda gL, a, t: gL * (_sigmoid(a) - t) * _sigmoid(a) * (1 - _sigmoid(a)) / len(a),
        ),
        in_backward(
            "derivative with respect to p",
            "This is dL / dp. Multiply by dp / da = p (1 - p), and simplify by hand before you compute.",
            lambda gL, a, t: gL * ((1 - t) / (1 - _sigmoid(a)) - t / _sigmoid(a)) / len(a),
        ),
        in_backward(
            "gradient of the output missing",
            "Multiply by gL (chain rule).",
            lambda gL, a, t: (_sigmoid(a) - t) / len(a),
        ),
        in_backward(
            "sigmoid missing", "a is a logit: the difference is sigmoid(a) - t.", lambda gL, a, t: gL * (a - t) / len(a)
        ),
    ),
)


# ---------------------------------------------------------------------- 4


def _maxout_cases() -> dict[str, Values]:
    x, gy, square = normal((4, 3, 2), (4, 3), (2, 3, 3))
    ties = np.array([[[1.0, 3, 3], [2, 2, 2], [-1, -2, -1]], [[0, 0, -1], [-5, -4, -4], [7, 1, 7]]])
    negative = {"x": -1 - np.abs(square), "gy": gy[:2]}
    return {"no ties": {"x": x, "gy": gy}, "negative numbers": negative, "ties": {"x": ties, "gy": gy[:2]}}


def _maxout(mask: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda gy, x: gy[..., None] * mask(x, x == x.max(axis=2, keepdims=True))


def _only(first: Any, pieces: int) -> Any:
    return np.arange(pieces) == first[..., None]


MAXOUT = Exercise(
    "04_maxout",
    "tinygan/functional/activations.py, class Maxout",
    (("forward", "x", "y"), ("backward", "gy x", "gx")),
    _maxout_cases,
    {
        "forward": lambda x: F.maxout(tensor(x.reshape(len(x), -1)), x.shape[2]).numpy(),
        "backward": lambda gy, x: derivatives(lambda t: F.maxout(t.reshape((len(x), -1)), x.shape[2]), gy, x),
    },
    (
        in_forward("wrong axis", "The pieces are on axis 2: take the maximum over it.", lambda x: x.max(axis=1)),
        in_forward(
            "relu",
            "Nothing is cut off at 0: the largest of negative numbers is negative.",
            lambda x: np.maximum(x.max(axis=2), 0),
        ),
        in_forward(
            "mean for a maximum", "Take the largest piece, not the mean of the pieces.", lambda x: x.mean(axis=2)
        ),
        in_backward(
            "every winner of a tie",
            "At a tie, each of the largest pieces gets the whole gradient here. Only the first must get it: "
            "x.argmax(axis=2) returns the first.",
            _maxout(lambda x, won: won),
        ),
        in_backward(
            "tie divided",
            "At a tie, the gradient is divided among the largest pieces here. The first must get all of it.",
            _maxout(lambda x, won: won / won.sum(axis=2, keepdims=True)),
        ),
        in_backward(
            "last winner of a tie",
            "At a tie, the last of the largest pieces gets the gradient here. It must be the first.",
            _maxout(lambda x, won: _only(x.shape[2] - 1 - won[..., ::-1].argmax(axis=2), x.shape[2])),
        ),
        in_backward(
            "wrong mask",
            "The mask is that of relu, x > 0: which input won has nothing to do with its sign.",
            _maxout(lambda x, won: x > 0),
        ),
        in_backward(
            "wrong mask",
            "The mask is y > 0, as in relu: only which piece won counts.",
            _maxout(lambda x, won: _only(x.argmax(axis=2), x.shape[2]) & (x > 0)),
        ),
        in_backward(
            "mask missing",
            "Only the piece that won gets a gradient; here each piece gets it.",
            _maxout(lambda x, won: np.ones_like(x)),
        ),
        in_backward(
            "wrong winner",
            "The smallest piece gets the gradient here.",
            _maxout(lambda x, won: _only(x.argmin(axis=2), x.shape[2])),
        ),
        in_backward(
            "gradient of the output missing",
            "The mask must be multiplied by gy (chain rule).",
            lambda gy, x: 1.0 * _only(x.argmax(axis=2), x.shape[2]),
        ),
        in_backward(
            "the value for the gradient",
            "The piece that won gets gy, not gy times its value.",
            _maxout(lambda x, won: x * _only(x.argmax(axis=2), x.shape[2])),
        ),
    ),
)

PASSES = (LINEAR, SIGMOID, CROSS_ENTROPY, MAXOUT)
