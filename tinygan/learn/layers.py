"""The exercises 5 to 7: dropout, batch normalization, and the gradient of a convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan.engine import tensor
from tinygan.learn.exercise import Exercise, Functions, Mistake, Values
from tinygan.learn.passes import derivatives, in_backward, in_forward, normal

# ---------------------------------------------------------------------- 5


def _dropout_cases() -> dict[str, Values]:
    x, gy = normal((4, 3), (4, 3))
    u = np.random.default_rng(7).uniform(size=(4, 3))
    u[0, 0], u[1, 1] = 0.25, 0.9  # the first lies on the edge
    x[1, 1] = 0  # kept, and 0
    first = {"x": x, "gy": gy, "u": u, "p": 0.25, "training": True}
    return {
        "p = 0.25": first,
        "p = 0.6": {**first, "p": 0.6},
        "p = 0": {**first, "p": 0.0},
        "evaluation": {**first, "training": False},
    }


def _mask(factor: Callable[[Any, float], Any]) -> Functions:
    """Return functions with another mask."""
    return {
        "forward": lambda x, u, p, training: x * factor(u, p) if training else x,
        "backward": lambda gy, u, p: gy * factor(u, p),
    }


DROPOUT = Exercise(
    "05_dropout",
    "tinygan/functional/activations.py, class Dropout",
    (("forward", "x u p training", "y"), ("backward", "gy u p", "gx")),
    _dropout_cases,
    {
        "forward": lambda x, u, p, training: F.where(u >= p, tensor(x) / (1 - p), 0).numpy() if training else x,
        "backward": lambda gy, u, p: derivatives(lambda t: F.where(u >= p, t / (1 - p), 0), gy, gy),
    },
    (
        Mistake("scale missing", "Divide by 1 - p, or the mean of y is not that of x.", _mask(lambda u, p: u >= p)),
        Mistake(
            "wrong scale",
            "Divide by 1 - p, the share that is kept, and not by p.",
            _mask(lambda u, p: (u >= p) / np.float64(p)),
        ),
        Mistake("wrong scale", "Divide by 1 - p; here it is multiplied by it.", _mask(lambda u, p: (u >= p) * (1 - p))),
        Mistake(
            "wrong mask",
            "The mask is turned around: a number is kept where u >= p.",
            _mask(lambda u, p: (u < p) / (1 - p)),
        ),
        Mistake(
            "wrong mask",
            "A number is dropped with probability p, not 1 - p: keep it where u >= p.",
            _mask(lambda u, p: (u >= 1 - p) / (1 - p)),
        ),
        Mistake("edge", "Where u equals p, the number is kept: u >= p.", _mask(lambda u, p: (u > p) / (1 - p))),
        Mistake("mask missing", "Nothing is dropped here.", _mask(lambda u, p: np.ones_like(u))),
        Mistake(
            "mask missing",
            "Where the forward pass dropped x, the gradient is 0: use the mask.",
            _mask(lambda u, p: np.ones_like(u) / (1 - p)),
        ),
        in_forward(
            "evaluation",
            "In evaluation nothing is dropped and nothing is scaled: return x.",
            lambda x, u, p, training: x * (u >= p) / (1 - p),
        ),
        in_forward(
            "evaluation",
            "In evaluation nothing is scaled: the division by 1 - p in training has kept the mean.",
            lambda x, u, p, training: x * (u >= p) / (1 - p) if training else x * (1 - p),
        ),
        in_backward(
            "gradient of the output missing", "The mask must be multiplied by gy.", lambda gy, u, p: (u >= p) / (1 - p)
        ),
    ),
)


# ---------------------------------------------------------------------- 6


def _norm_cases() -> dict[str, Values]:
    def case(m: int, scale: float, shift: float) -> Values:
        x, g, b, gy = normal((m, 3), (3,), (3,), (m, 3))
        return {"x": scale * x + shift, "g": g, "b": b, "gy": gy, "eps": 1e-5}

    return {
        "a batch of 5": case(5, 1, 0),
        "a batch of 3, all square": case(3, 2, 1),
        "a small variance": case(4, 1e-2, 5),
    }


def _norm(mean: Any = None, s: Any = None) -> Functions:
    """Return batch normalization with other moments."""
    mean = mean or (lambda x: x.mean(axis=0))
    s = s or (lambda x, eps: np.sqrt(x.var(axis=0) + eps))

    def forward(x: Any, g: Any, b: Any, eps: float) -> Any:
        return g * (x - mean(x)) / s(x, eps) + b

    def backward(gy: Any, x: Any, g: Any, eps: float) -> Any:
        h, gh = (x - mean(x)) / s(x, eps), gy * g
        gx = (gh - gh.mean(axis=0) - h * (gh * h).mean(axis=0)) / s(x, eps)
        return gx, (gy * h).sum(axis=0), gy.sum(axis=0)

    return {"forward": forward, "backward": backward}


def _norm_gx(terms: Callable[..., Any]) -> Callable[..., Any]:
    """Return a backward pass with other terms in gx."""

    def backward(gy: Any, x: Any, g: Any, eps: float) -> Any:
        s = np.sqrt(x.var(axis=0) + eps)
        h = (x - x.mean(axis=0)) / s
        return terms(gy * g, h) / s, None, None

    return backward


def _columns(x: Any) -> Any:
    return x.mean(axis=1, keepdims=True)


BATCH_NORM = Exercise(
    "06_batch_norm",
    "tinygan/functional/normalization.py, class BatchNorm",
    (("forward", "x g b eps", "y"), ("backward", "gy x g eps", "gx gg gb")),
    _norm_cases,
    {
        "forward": lambda x, g, b, eps: F.batch_norm(tensor(x), tensor(g), tensor(b), eps).numpy(),
        "backward": lambda gy, x, g, eps: derivatives(
            lambda x, g, b: F.batch_norm(x, g, b, eps), gy, x, g, np.zeros_like(g)
        ),
    },
    (
        Mistake("eps missing", "Add eps to the variance, before the root.", _norm(s=lambda x, eps: x.std(axis=0))),
        Mistake(
            "eps outside the root",
            "eps is added to the variance, before the root.",
            _norm(s=lambda x, eps: x.std(axis=0) + eps),
        ),
        Mistake(
            "variance divided by m - 1",
            "Here the variance divides by m, not by m - 1.",
            _norm(s=lambda x, eps: np.sqrt(x.var(axis=0, ddof=1) + eps)),
        ),
        Mistake("root missing", "Divide by the root of var + eps.", _norm(s=lambda x, eps: x.var(axis=0) + eps)),
        Mistake(
            "wrong axis",
            "Mean and variance are over the examples, axis 0, and not over the channels.",
            _norm(_columns, lambda x, eps: np.sqrt(x.var(axis=1, keepdims=True) + eps)),
        ),
        Mistake("mean missing", "Subtract the mean.", _norm(lambda x: 0)),
        in_forward(
            "bias missing", "Add b.", lambda x, g, b, eps: g * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
        ),
        in_forward(
            "gain missing",
            "Multiply by g.",
            lambda x, g, b, eps: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + b,
        ),
        in_backward(
            "moments held constant",
            "The mean and the variance are held constant here. Both are functions of x: two more terms.",
            _norm_gx(lambda gh, h: gh),
        ),
        in_backward(
            "variance held constant",
            "The variance is held constant here. It is a function of x: one more term, with h.",
            _norm_gx(lambda gh, h: gh - gh.mean(axis=0)),
        ),
        in_backward(
            "mean held constant",
            "The mean is held constant here. It is a function of x: one more term.",
            _norm_gx(lambda gh, h: gh - h * (gh * h).mean(axis=0)),
        ),
        in_backward(
            "mean for a sum",
            "The terms of the mean and of the variance have the factor 1/m.",
            _norm_gx(lambda gh, h: gh - gh.sum(axis=0) - h * (gh * h).sum(axis=0)),
        ),
        in_backward(
            "gain missing",
            "y = g h + b: the gradient with respect to h is g gy.",
            lambda gy, x, g, eps: (_norm()["backward"](gy, x, np.ones_like(g), eps)[0], None, None),
        ),
        in_backward(
            "input for the normalized input",
            "g multiplies h, not x: gg is the sum of gy h.",
            lambda gy, x, g, eps: (None, (gy * x).sum(axis=0), None),
        ),
        in_backward(
            "gain too much",
            "gg and gb do not depend on g: y = g h + b.",
            lambda gy, x, g, eps: (None, g * _norm()["backward"](gy, x, g, eps)[1], g * gy.sum(axis=0)),
        ),
    ),
)


# ---------------------------------------------------------------------- 7


def _conv_cases() -> dict[str, Values]:
    def case(n: int, c: int, k: int, size: int, kernel: tuple[int, int], stride: int) -> Values:
        places = [(size - r) // stride + 1 for r in kernel]
        x, w, gy = normal((n, c, size, size), (k, c, *kernel), (n, k, *places))
        return {"x": x, "w": w, "gy": gy, "stride": stride}

    return {
        "one image, one channel, stride 1": case(1, 1, 1, 4, (2, 2), 1),
        "three images, stride 1": case(3, 2, 2, 5, (3, 3), 1),
        "a kernel of 2x3": case(2, 2, 3, 5, (2, 3), 1),
        "stride 2": case(3, 2, 3, 6, (2, 2), 2),
    }


def _weights(gy: Any, x: Any, w: Any, stride: int) -> Any:
    return derivatives(lambda w: F.conv2d(tensor(x), w, None, stride), gy, w)


def _patches(x: Any, w: Any, stride: int, places: Any) -> Any:
    """Return the patches below each place, shape (n, c, places, rows, columns)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return windows[:, :, ::stride, ::stride][:, :, : places[0], : places[1]]


def _conv(change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda gy, x, w, stride: change(_weights(gy, x, w, stride))


CONVOLUTION = Exercise(
    "07_convolution",
    "tinygan/functional/convolution.py, class Conv2d, and tinygan/backend/numpy_convolution.py, conv_weight",
    (("backward", "gy x w stride", "gw"),),
    _conv_cases,
    {"backward": _weights},
    (
        in_backward(
            "kernel turned around",
            "The gradient is turned around, as in a convolution of mathematics. Here w[r, s] meets x[i + r, j + s].",
            _conv(lambda gw: gw[..., ::-1, ::-1]),
        ),
        in_backward("transposed", "Rows and columns of the kernel are swapped.", _conv(lambda gw: gw.swapaxes(2, 3))),
        in_backward(
            "transposed",
            "The axes of the kernels k and of the channels c are swapped.",
            _conv(lambda gw: gw.swapaxes(0, 1)),
        ),
        in_backward(
            "stride missing",
            "The place (i, j) begins at the pixel (stride i, stride j).",
            lambda gy, x, w, stride: np.einsum("nkij,ncijrs->kcrs", gy, _patches(x, w, 1, gy.shape[2:])),
        ),
        in_backward(
            "sum over the batch missing",
            "The kernel is used in each image: sum over all images, not only the first.",
            lambda gy, x, w, stride: _weights(gy[:1], x[:1], w, stride),
        ),
        in_backward(
            "sum over the batch missing",
            "The kernel is used in each image: sum over all images. Here each overwrites the one before (= for +=).",
            lambda gy, x, w, stride: _weights(gy[-1:], x[-1:], w, stride),
        ),
        in_backward(
            "sum over the places missing",
            "The kernel is used at each place: sum over all places. Here each overwrites the one before (= for +=).",
            lambda gy, x, w, stride: np.einsum(
                "nk,ncrs->kcrs", gy[:, :, -1, -1], _patches(x, w, stride, gy.shape[2:])[:, :, -1, -1]
            ),
        ),
        in_backward(
            "mean for a sum",
            "Sum over the places; do not divide by their number.",
            lambda gy, x, w, stride: _weights(gy, x, w, stride) / (gy.shape[2] * gy.shape[3]),
        ),
        in_backward(
            "mean for a sum",
            "Sum over images and places; do not divide by their number.",
            lambda gy, x, w, stride: _weights(gy, x, w, stride) / (len(gy) * gy.shape[2] * gy.shape[3]),
        ),
        in_backward(
            "sum over the channels too much",
            "Each channel of the kernel meets only its own channel of the image.",
            lambda gy, x, w, stride: np.broadcast_to(_weights(gy, x, w, stride).sum(axis=1, keepdims=True), w.shape),
        ),
        in_backward(
            "gradient of the output missing",
            "Multiply each patch by gy at its place (chain rule).",
            lambda gy, x, w, stride: _weights(np.ones_like(gy), x, w, stride),
        ),
    ),
)

LAYERS = (DROPOUT, BATCH_NORM, CONVOLUTION)
