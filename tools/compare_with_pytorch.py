"""Compare tinygan with PyTorch on random programs: values, gradients, and gradients of gradients.

Needs PyTorch, which tinygan does not: ``pip install torch``, in an environment of its own. Each program is a random
graph over leaves of random shapes in float64: every operation of `OPERATIONS` may take any earlier result, so results
are reused, broadcast, sliced and dropped. The program prints the largest relative error of each order and the least
used operations, and exits with 1 if an error exceeds the tolerance.

usage: python tools/compare_with_pytorch.py [--programs 1000] [--seed 0] [--tolerance 1e-9]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    leaky_relu,
    logsigmoid,
    pad,
    softplus,
)

import tinygan as tg
import tinygan.functional as F

Pair = tuple[tg.Tensor, torch.Tensor]
LARGEST = 40  # elements of an intermediate result


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
    "sqrt": unary(lambda x: F.sqrt(1 + x * x), lambda x: (1 + x * x).sqrt()),
    "abs": unary(F.abs, torch.abs),
    "tanh": unary(F.tanh, torch.tanh),
    "sigmoid": unary(F.sigmoid, torch.sigmoid),
    "log_sigmoid": unary(F.log_sigmoid, logsigmoid),
    "softplus": unary(F.softplus, lambda x: softplus(x, threshold=1e9)),
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
    "reshape": unary(lambda x: x.reshape(-1), lambda x: x.reshape(-1)),
    "transpose": unary(lambda x: x.T, lambda x: x.permute(tuple(reversed(range(x.ndim))))),
    "index": do_index,
    "concatenate": do_concatenate,
    "stack": do_stack,
    "pad": do_pad,
    "matmul": do_matmul,
    "linear": do_linear,
    "maxout": do_maxout,
    "maxout, piece-major": do_maxout_piece_major,
    "dropout": do_dropout,
    "binary_cross_entropy_with_logits": do_bce,
    "softmax_cross_entropy": do_softmax,
}


def random_program(rng: np.random.Generator) -> tuple[list[Pair], Pair, list[str]]:
    """Return the leaves, the scalar result, and the names of the operations of one program."""
    leaves: list[Pair] = []
    for _ in range(rng.integers(1, 4)):
        shape = tuple(int(n) for n in rng.integers(1, 4, size=rng.integers(0, 4)))
        values = rng.normal(size=shape)
        leaves.append((tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)))
    results, names = list(leaves), []
    for _ in range(rng.integers(3, 15)):
        name = str(rng.choice(list(OPERATIONS)))
        x, y = (results[int(i)] for i in rng.integers(len(results), size=2))
        result = OPERATIONS[name](rng, x, y)
        if result[0].size > LARGEST:
            result = result[0].mean(axis=0), result[1].mean(0)
        if np.abs(result[0].numpy()).max(initial=0) > 1e3:  # products of products: keep the numbers small
            result = F.tanh(result[0]), torch.tanh(result[1])
        results.append(result)
        names.append(name)
    last = results[-1]
    return leaves, ((last[0] * last[0]).mean() + last[0].sum(), (last[1] * last[1]).mean() + last[1].sum()), names


def relative_error(ours: Any, theirs: Any) -> float:
    """Return the largest |a - b| / max(1, largest |b|)."""
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    return float(np.abs(a - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0)))


def compare(rng: np.random.Generator) -> tuple[list[float], list[str]]:
    """Run one program both ways; return the errors of value, gradient and second-order gradient."""
    leaves, (ours, theirs), names = random_program(rng)
    errors = [relative_error(ours, theirs), 0.0, 0.0]
    if not theirs.requires_grad:
        return errors, names
    mine = tg.grad(ours, [a for a, _ in leaves], create_graph=True, allow_unused=True)
    other = torch.autograd.grad(theirs, [b for _, b in leaves], create_graph=True, allow_unused=True)
    our_sum, their_sum = tg.tensor(0.0, dtype="float64"), torch.tensor(0.0, dtype=torch.float64)
    for a, b in zip(mine, other, strict=True):
        assert (a is None) == (b is None), names
        if a is not None:
            errors[1] = max(errors[1], relative_error(a, b))
            direction = rng.normal(size=a.shape)
            our_sum = our_sum + (a * direction).sum()
            their_sum = their_sum + (b * torch.tensor(direction)).sum()
    if our_sum.requires_grad and their_sum.requires_grad:
        mine = tg.grad(our_sum, [a for a, _ in leaves], allow_unused=True)
        other = torch.autograd.grad(their_sum, [b for _, b in leaves], allow_unused=True)
        for a, b in zip(mine, other, strict=True):
            if a is not None or b is not None:  # one may return 0 where the other returns None
                a = tg.tensor(np.zeros(b.shape)) if a is None else a
                b = torch.zeros(a.shape) if b is None else b
                errors[2] = max(errors[2], relative_error(a, b))
    return errors, names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    arguments = parser.parse_args()
    worst, counts = np.zeros(3), Counter[str]()
    for number in range(arguments.programs):
        errors, names = compare(np.random.default_rng([arguments.seed, number]))
        counts.update(names)
        if max(errors) > arguments.tolerance:
            print(f"program {number}: errors {errors} in {names}")
        worst = np.maximum(worst, errors)
    print(f"{arguments.programs} programs, {sum(counts.values())} operations, PyTorch {torch.__version__}")
    print(f"least used: {counts.most_common()[-1]}; never used: {sorted(set(OPERATIONS) - set(counts)) or 'none'}")
    for order, error in zip(("values", "gradients", "gradients of gradients"), worst, strict=True):
        print(f"{order:24} worst relative error {error:.1e}")
    return int(worst.max() > arguments.tolerance)


if __name__ == "__main__":
    sys.exit(main())
