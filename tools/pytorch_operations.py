"""The operations of ``compare_with_pytorch.py``: each is written twice, with tinygan and with PyTorch.

An operation takes a random generator and two pairs of operands, and returns a pair of results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_images import IMAGES, Pair
from torch.nn.functional import (
    batch_norm,
    binary_cross_entropy_with_logits,
    conv2d,
    conv_transpose2d,
    cross_entropy,
    elu,
    gelu,
    l1_loss,
    layer_norm,
    leaky_relu,
    logsigmoid,
    mse_loss,
    one_hot,
    pad,
    silu,
    softplus,
)
from torch.nn.functional import embedding as torch_embedding

import tinygan as tg
import tinygan.functional as F


def unary(ours: Callable[[Any], Any], theirs: Callable[[Any], Any]) -> Callable[..., Pair]:
    """Make an operation of one operand."""
    return lambda rng, x, y: (ours(x[0]), theirs(x[1]))


def binary(ours: Callable[[Any, Any], Any], theirs: Callable[[Any, Any], Any]) -> Callable[..., Pair]:
    """Make an operation of two operands that broadcast; if they do not, the second is summed to one number."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        try:
            np.broadcast_shapes(x[0].shape, y[0].shape)
        except ValueError:
            y = (y[0].sum(), y[1].sum())
        return ours(x[0], y[0]), theirs(x[1], y[1])

    return apply


def reduction(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Pair]:
    """Make a reduction over a random axis, kept or not."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        if x[0].ndim == 0:
            return x
        axis = int(rng.integers(-x[0].ndim, x[0].ndim))
        keep = bool(rng.integers(2))
        return ours(x[0], axis=axis, keepdims=keep), theirs(x[1], dim=axis, keepdim=keep)

    return apply


def as_matrix(x: Pair) -> Pair:
    """Return an operand as a matrix with one row for each element of its first axis."""
    rows = x[0].shape[0] if x[0].ndim else 1
    return x[0].reshape(rows, -1), x[1].reshape(rows, -1)


def do_matmul(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a, b = as_matrix(x), as_matrix(y)
    w = rng.normal(size=(a[0].shape[1], b[0].shape[0]))
    return a[0] @ w @ b[0], a[1] @ torch.tensor(w) @ b[1]


def do_linear(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a, b = as_matrix(x), as_matrix(y)
    w = rng.normal(size=(a[0].shape[1], b[0].shape[0]))
    weight = F.matmul(w, b[0]), torch.tensor(w) @ b[1]
    return F.linear(a[0], weight[0], weight[0].sum(axis=0)), a[1] @ weight[1] + weight[1].sum(0)


def do_batch_norm(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    a = F.concatenate([a[0], a[0] * a[0] + 1]), torch.cat([a[1], a[1] * a[1] + 1])
    sums = a[0].sum(axis=0), a[1].sum(0)
    return F.batch_norm(a[0], sums[0], sums[0] ** 2, eps=0.1), batch_norm(
        a[1], None, None, sums[1], sums[1] ** 2, training=True, eps=0.1
    )


def do_layer_norm(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    size, sums = a[0].shape[1], (a[0].sum(axis=0), a[1].sum(0))
    return F.layer_norm(a[0], size, sums[0], sums[0] ** 2, eps=0.1), layer_norm(
        a[1], (size,), sums[1], sums[1] ** 2, eps=0.1
    )


def convolution(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Pair]:
    """Make a convolution of an operand as one image, by kernels that are multiples of a piece of the other."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        a, b = as_matrix(x), as_matrix(y)
        options = {"stride": tuple(rng.integers(1, 4, 2).tolist()), "padding": 1}  # a kernel of 3x3 always fits
        several = rng.normal(size=(1, 2, 1, 1))
        image = a[0].reshape(1, 1, *a[0].shape), a[1].reshape(1, 1, *a[1].shape)
        kernel = [one[:3, :3].reshape(1, 1, *one[:3, :3].shape) for one in b]
        if ours is F.conv_transpose2d:
            options["output_padding"] = tuple(s - 1 for s in options["stride"])
            image = F.pad(image[0], [(0, 0)] * 2 + [(0, 2)] * 2), pad(image[1], (0, 2, 0, 2))
        else:
            several = several.reshape(2, 1, 1, 1)
        return ours(image[0], kernel[0] * several, **options), theirs(
            image[1], kernel[1] * torch.tensor(several), **options
        )

    return apply


def do_maxout(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    w = rng.normal(size=(a[0].shape[1], 6))
    z = a[0] @ w, a[1] @ torch.tensor(w)
    return F.maxout(z[0], 3), z[1].reshape(-1, 2, 3).max(-1).values


def do_maxout_piece_major(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    w = rng.normal(size=(a[0].shape[1], 6))
    z = a[0] @ w, a[1] @ torch.tensor(w)
    return F.maxout(z[0], 3, piece_major=True), z[1].reshape(-1, 3, 2).max(1).values


def do_index(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    if x[0].ndim == 0:
        return x
    n = x[0].shape[0]
    choice = rng.integers(3)
    if choice == 0:
        index: Any = slice(int(rng.integers(n)), None)
    elif choice == 1:
        index = int(rng.integers(-n, n))
    else:
        index = rng.integers(0, n, size=3)  # may select an element more than once
    return x[0][index], x[1][index]


def do_concatenate(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a, b = (x[0].reshape(-1), x[1].reshape(-1)), (y[0].reshape(-1), y[1].reshape(-1))
    return F.concatenate([a[0], b[0], a[0]]), torch.cat([a[1], b[1], a[1]])


def do_stack(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    axis = int(rng.integers(x[0].ndim + 1))
    return F.stack([x[0], x[0] * 2], axis), torch.stack([x[1], x[1] * 2], axis)


def do_pad(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    return F.pad(a[0], [(0, 1), (1, 0)], 0.5), pad(a[1], (1, 0, 0, 1), value=0.5)


def do_where(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    mask = rng.integers(2, size=x[0].shape).astype(bool)
    return F.where(mask, x[0], x[0] ** 2), torch.where(torch.tensor(mask), x[1], x[1] ** 2)


def do_dropout(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    seed = int(rng.integers(1000))
    mask = F.dropout(np.ones(x[0].shape), 0.5, rng=tg.manual_seed(seed)["dropout"]).numpy()
    return F.dropout(x[0], 0.5, rng=tg.manual_seed(seed)["dropout"]), x[1] * torch.tensor(mask)


def do_bce(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    targets = rng.random(x[0].shape)
    return (
        F.binary_cross_entropy_with_logits(x[0], targets),
        binary_cross_entropy_with_logits(x[1], torch.tensor(targets)),
    )


def do_softmax(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    labels = rng.integers(0, a[0].shape[1], size=a[0].shape[0])
    return F.softmax_cross_entropy(a[0], labels), cross_entropy(a[1], torch.tensor(labels))


def along_axis(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Pair]:
    """Make an operation along a random axis of an operand."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        if x[0].ndim == 0:
            return x
        axis = int(rng.integers(-x[0].ndim, x[0].ndim))
        return ours(x[0], axis), theirs(x[1], axis)

    return apply


def statistic(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Pair]:
    """Make a variance or a deviation, of numbers that are not all equal."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        a = as_matrix(x)
        w = rng.normal(size=(a[0].shape[1], 4))
        bias = np.arange(4.0)
        axis, correction = 1, int(rng.integers(2))
        z = a[0] @ w + bias, a[1] @ torch.tensor(w) + torch.tensor(bias)
        keep = bool(rng.integers(2))
        return (
            ours(z[0], axis=axis, keepdims=keep, correction=correction),
            theirs(z[1], dim=axis, keepdim=keep, correction=correction),
        )

    return apply


def elementwise_loss(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Pair]:
    """Make a loss of an operand and random targets, with a random reduction."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        targets, reduction = rng.random(x[0].shape), str(rng.choice(["mean", "sum", "none"]))
        return ours(x[0], targets, reduction=reduction), theirs(x[1], torch.tensor(targets), reduction=reduction)

    return apply


def do_weighted_bce(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    targets, weight = rng.random((2, *x[0].shape))
    options = {"reduction": str(rng.choice(["mean", "sum", "none"]))}
    theirs = binary_cross_entropy_with_logits(x[1], torch.tensor(targets), weight=torch.tensor(weight), **options)
    return F.binary_cross_entropy_with_logits(x[0], targets, weight=weight, **options), theirs


def do_class_axis(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    z = F.stack([a[0], a[0] * a[0], -a[0]], 1), torch.stack([a[1], a[1] * a[1], -a[1]], 1)
    labels = rng.integers(0, 3, size=a[0].shape)
    options = {"reduction": str(rng.choice(["mean", "sum", "none"])), "label_smoothing": 0.2}
    return F.softmax_cross_entropy(z[0], labels, **options), cross_entropy(z[1], torch.tensor(labels), **options)


def do_embedding(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    indices = rng.integers(0, a[0].shape[0], size=(2, 2))
    return F.embedding(indices, a[0]), torch_embedding(torch.tensor(indices), a[1])


def do_one_hot(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    labels = rng.integers(0, a[0].shape[0], size=3)
    classes = a[0].shape[0]
    return F.one_hot(labels, classes, "float64") @ a[0], one_hot(torch.tensor(labels), classes).double() @ a[1]


def do_einsum(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a, b = as_matrix(x), as_matrix(y)
    subscripts = str(rng.choice(["ij,kl->jk", "ij,kl->il", "ij,kl->", "ij,kl->ki"]))
    return F.einsum(subscripts, a[0], b[0]), torch.einsum(subscripts, a[1], b[1])


def do_diagonal(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    return F.einsum("ii->i", a[0] @ a[0].T), torch.einsum("ii->i", a[1] @ a[1].T)


def do_squeeze(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    axis = int(rng.integers(x[0].ndim + 1))
    z = F.expand_dims(x[0], axis), x[1].unsqueeze(axis)
    return (F.squeeze(z[0], axis), z[1].squeeze(axis)) if rng.integers(2) else z


def do_move(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    if x[0].ndim == 0:
        return x
    i, j = (int(k) for k in rng.integers(-x[0].ndim, x[0].ndim, size=2))
    if rng.integers(2):
        return F.moveaxis(x[0], i, j), x[1].moveaxis(i, j)
    return F.swapaxes(x[0], i, j), x[1].swapaxes(i, j)


def do_split(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    if x[0].ndim == 0:
        return x
    axis = int(rng.integers(x[0].ndim))
    cut = int(rng.integers(x[0].shape[axis]))
    return F.split(x[0], [cut], axis)[1], torch.tensor_split(x[1], [cut], axis)[1]


def do_take(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    if x[0].ndim == 0:
        return x
    axis = int(rng.integers(x[0].ndim))
    indices = rng.integers(0, x[0].shape[axis], size=x[0].shape)
    return F.take_along_axis(x[0], indices, axis), torch.take_along_dim(x[1], torch.tensor(indices), axis)


def do_pad_mode(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    a = as_matrix(x)
    z = F.concatenate([a[0], a[0] * 2, a[0] * 3], 1), torch.cat([a[1], a[1] * 2, a[1] * 3], 1)
    mode, theirs = [("reflect", "reflect"), ("edge", "replicate")][int(rng.integers(2))]
    return F.pad(z[0], [(0, 0), (1, 2)], mode=mode), pad(z[1], (1, 2), mode=theirs)


OPERATIONS: dict[str, Callable[..., Pair]] = {
    "add": binary(lambda a, b: a + b, lambda a, b: a + b),
    "subtract": binary(lambda a, b: a - b, lambda a, b: a - b),
    "multiply": binary(lambda a, b: a * b, lambda a, b: a * b),
    "divide": binary(lambda a, b: a / (1 + b * b), lambda a, b: a / (1 + b * b)),
    "quotient of any two": binary(lambda a, b: a / F.exp(b), lambda a, b: a / b.exp()),
    "power": unary(lambda x: x**3, lambda x: x**3),
    "power of tensors": binary(lambda a, b: (1 + a * a) ** F.tanh(b), lambda a, b: (1 + a * a) ** b.tanh()),
    "negative": unary(lambda x: -x, lambda x: -x),
    "exp": unary(lambda x: F.exp(F.tanh(x)), lambda x: x.tanh().exp()),
    "log": unary(lambda x: F.log(1 + x * x), lambda x: (1 + x * x).log()),
    "square": unary(F.square, torch.square),
    "expm1": unary(lambda x: F.expm1(F.tanh(x)), lambda x: x.tanh().expm1()),
    "log1p": unary(lambda x: F.log1p(x * x), lambda x: (x * x).log1p()),
    "logaddexp": binary(F.logaddexp, torch.logaddexp),
    "sin": unary(F.sin, torch.sin),
    "cos": unary(F.cos, torch.cos),
    "remainder": binary(lambda a, b: a % (1 + b * b), lambda a, b: a % (1 + b * b)),
    "quotient without gradient": binary(
        lambda a, b: a // (1 + b * b) + a, lambda a, b: a.detach() // (1 + b * b).detach() + a
    ),
    "floor, round, sign": unary(
        lambda x: x * (F.floor(x) + F.round(2 * x) + F.sign(x)), lambda x: x * (x.floor() + (2 * x).round() + x.sign())
    ),
    "argmax": unary(lambda x: x * F.argmax(x), lambda x: x * x.argmax()),
    "argsort": unary(
        lambda x: x.reshape(-1)[F.argsort(x, None)], lambda x: x.reshape(-1)[x.reshape(-1).argsort(stable=True)]
    ),
    "invert, isnan, isfinite": unary(
        lambda x: F.where(~(x > 0) & F.isfinite(x) & ~F.isnan(x), x, x * 2),
        lambda x: torch.where(~(x > 0) & x.isfinite() & ~x.isnan(), x, x * 2),
    ),
    "silu": unary(F.silu, silu),
    "gelu": unary(F.gelu, gelu),
    "elu": unary(lambda x: F.elu(x, 0.7), lambda x: elu(x, 0.7)),
    "softplus with beta": unary(lambda x: F.softplus(x, 3), lambda x: softplus(x, 3, threshold=100)),
    "softmax": along_axis(F.softmax, torch.softmax),
    "log_softmax": along_axis(F.log_softmax, torch.log_softmax),
    "sqrt": unary(lambda x: F.sqrt(1 + x * x), lambda x: (1 + x * x).sqrt()),
    "abs": unary(F.abs, torch.abs),
    "tanh": unary(F.tanh, torch.tanh),
    "sigmoid": unary(F.sigmoid, torch.sigmoid),
    "log_sigmoid": unary(F.log_sigmoid, logsigmoid),
    "softplus": unary(F.softplus, lambda x: softplus(x, threshold=100)),
    "relu": unary(F.relu, torch.relu),
    "leaky_relu": unary(lambda x: F.leaky_relu(x, 0.2), lambda x: leaky_relu(x, 0.2)),
    "leaky_relu with a slope": binary(F.leaky_relu, lambda a, b: torch.where(a > 0, a, b * a)),
    "maximum": binary(F.maximum, torch.maximum),
    "minimum": binary(F.minimum, torch.minimum),
    "clip by tensors": binary(lambda a, b: F.clip(a, b - 0.3, b + 0.5), lambda a, b: a.clip(b - 0.3, b + 0.5)),
    "clip by tensors that cross": binary(lambda a, b: F.clip(a, b, -b), lambda a, b: a.clip(b, -b)),
    "clip": unary(lambda x: F.clip(x, -0.5, 0.7), lambda x: x.clip(-0.5, 0.7)),
    "where": do_where,
    "sum": reduction(F.sum, torch.sum),
    "mean": reduction(F.mean, torch.mean),
    "max": reduction(F.max, torch.amax),
    "min": reduction(F.min, torch.amin),
    "logsumexp": reduction(F.logsumexp, torch.logsumexp),
    "prod": reduction(F.prod, torch.prod),
    "cumsum": along_axis(F.cumsum, torch.cumsum),
    "norm": reduction(F.norm, torch.linalg.vector_norm),
    "var": statistic(F.var, torch.var),
    "std": statistic(F.std, torch.std),
    "einsum": do_einsum,
    "einsum of a diagonal": do_diagonal,
    "outer": unary(lambda x: F.outer(x, x), lambda x: torch.outer(x.reshape(-1), x.reshape(-1))),
    "flatten": unary(F.flatten, torch.flatten),
    "squeeze, expand_dims": do_squeeze,
    "moveaxis, swapaxes": do_move,
    "split": do_split,
    "flip": along_axis(F.flip, lambda x, axis: x.flip(axis)),
    "repeat": along_axis(lambda x, axis: F.repeat(x, 2, axis), lambda x, axis: x.repeat_interleave(2, axis)),
    "take_along_axis": do_take,
    **IMAGES,
    "embedding": do_embedding,
    "one_hot": do_one_hot,
    "pad, reflect and edge": do_pad_mode,
    "mse_loss": elementwise_loss(F.mse_loss, mse_loss),
    "l1_loss": elementwise_loss(F.l1_loss, l1_loss),
    "binary_cross_entropy_with_logits, reductions": elementwise_loss(
        F.binary_cross_entropy_with_logits, binary_cross_entropy_with_logits
    ),
    "binary_cross_entropy_with_logits, weighted": do_weighted_bce,
    "softmax_cross_entropy, class axis": do_class_axis,
    "reshape": unary(lambda x: x.reshape(-1), lambda x: x.reshape(-1)),
    "transpose": unary(lambda x: x.T, lambda x: x.permute(tuple(reversed(range(x.ndim))))),
    "index": do_index,
    "concatenate": do_concatenate,
    "stack": do_stack,
    "pad": do_pad,
    "matmul": do_matmul,
    "linear": do_linear,
    "conv2d": convolution(F.conv2d, conv2d),
    "conv_transpose2d": convolution(F.conv_transpose2d, conv_transpose2d),
    "batch_norm": do_batch_norm,
    "layer_norm": do_layer_norm,
    "maxout": do_maxout,
    "maxout, piece-major": do_maxout_piece_major,
    "dropout": do_dropout,
    "binary_cross_entropy_with_logits": do_bce,
    "softmax_cross_entropy": do_softmax,
}
