"""A gradient check of every operation: first and second order, also at kinks and ties.

To add an operation, add one line to `CASES`; a test fails if an operation of `tinygan.functional` has no case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan.checking.report import GradcheckReport


@dataclass(frozen=True)
class Case:
    """An operation, and the inputs at which it is checked.

    Attributes
    ----------
    name : str
        The name in `tinygan.functional`.
    inputs : tuple of array
    function : callable, optional
        A function of the tensors; by default the operation of that name.
    order : int
        2 also checks the gradient of the gradient.
    """

    name: str
    inputs: tuple[Any, ...]
    function: Callable[..., Any] | None = None
    order: int = 2

    @property
    def call(self) -> Callable[..., Any]:
        """The function of the tensors."""
        return self.function or getattr(F, self.name)

    def check(self) -> tuple[GradcheckReport, float]:
        """Check the case; return the report and the seconds it took."""
        began = time.perf_counter()
        tensors = [tg.tensor(array, dtype="float64", requires_grad=True) for array in self.inputs]
        report = tg.gradcheck(self.call, tensors, order=self.order, frozen=True, name=self.name, raise_exception=False)
        return report, time.perf_counter() - began


def _normal(*shape: int) -> Any:
    return np.random.default_rng([2014, *shape]).normal(size=shape)


_M, _N = _normal(3, 4), _normal(4, 3).T  # the second is not contiguous
_POSITIVE = np.exp(_M)
_KINKS = np.array([-2.0, -0.0, 0.0, 0.5, 3.0])  # for kinks at 0
_TIES = np.array([[1.0, 1.0, -2.0, 0.5], [0.0, 3.0, 3.0, 3.0]])
_ZEROS = np.array([[[0.0, 2.0], [3.0, -1.0]], [[0.5, 0.0], [0.0, 1.5]]])
_TARGETS = np.array([[0.0, 1.0, 0.3, 0.9]] * 3)
_MASK = np.array([[True, False, True, False]])
_LABELS = np.array([0, 3, 1])


def _weighted_binary_cross_entropy(logits: Any, weight: Any) -> Any:
    return F.binary_cross_entropy_with_logits(logits, _TARGETS, "sum", weight)


def _smoothed_cross_entropy(logits: Any, weight: Any) -> Any:
    labels = [2, 0, 1, 1]
    return F.softmax_cross_entropy(logits, labels, label_smoothing=0.1, weight=weight)


# At a kink the gradient itself jumps, so only the first order is checked there.
CASES: tuple[Case, ...] = (
    Case("add", (_M, _normal(4))),
    Case("subtract", (_M, _normal(3, 1))),
    Case("multiply", (_M, _N)),
    Case("divide", (_M, _POSITIVE)),
    Case("negative", (_M,)),
    Case("power", (_POSITIVE, _normal(4))),
    Case("power", (np.array([-1.5, 0.0, 2.0]),), lambda x: x**3),
    Case("matmul", (_normal(2, 1, 3, 4), _normal(5, 4, 2))),
    Case("matmul", (_normal(4), _normal(4))),
    Case("exp", (_M,)),
    Case("log", (_POSITIVE,)),
    Case("expm1", (_M,)),
    Case("log1p", (_POSITIVE,)),
    Case("logaddexp", (3 * _M, _normal(4))),
    Case("sin", (_M,)),
    Case("cos", (_M,)),
    Case("square", (_M,)),
    Case("remainder", (3 * _M, _POSITIVE)),
    Case("sqrt", (_POSITIVE,)),
    Case("abs", (_M,)),
    Case("abs", (_KINKS,), order=1),
    Case("maximum", (_M, _N)),
    Case("maximum", (_KINKS, np.zeros(5)), order=1),
    Case("minimum", (_M, _N)),
    Case("minimum", (_KINKS, np.zeros(5)), order=1),
    Case("where", (_M, _normal(4)), lambda a, b: F.where(_MASK, a, b)),
    Case("clip", (_M,), lambda x: F.clip(x, -1.0, 0.75)),
    Case("clip", (_KINKS,), lambda x: F.clip(x, -1.0, 0.5), order=1),
    Case("clip", (_M, _normal(4) - 0.5, _normal(3, 1) + 0.5)),
    Case("relu", (_M,)),
    Case("relu", (_KINKS,), order=1),
    Case("leaky_relu", (_M,), lambda x: F.leaky_relu(x, 0.2)),
    Case("leaky_relu", (_KINKS,), lambda x: F.leaky_relu(x, 0.2), order=1),
    Case("leaky_relu", (_M, _normal(4))),
    Case("sigmoid", (3 * _M,)),
    Case("tanh", (_M,)),
    Case("softplus", (3 * _M,)),
    Case("softplus", (_M,), lambda x: F.softplus(x, 3.0)),
    Case("silu", (3 * _M,)),
    Case("gelu", (3 * _M,)),
    Case("elu", (_M,), lambda x: F.elu(x, 0.7)),
    Case("elu", (_KINKS,), lambda x: F.elu(x, 0.7), order=1),
    Case("softmax", (_M,), lambda x: F.softmax(x, axis=0)),
    Case("log_softmax", (_M,)),
    Case("log_sigmoid", (3 * _M,)),
    Case("maxout", (_M,), lambda x: F.maxout(x, 2)),
    Case("maxout", (_M,), lambda x: F.maxout(x, 2, piece_major=True)),
    Case("maxout", (_TIES,), lambda x: F.maxout(x, 2), order=1),
    Case("dropout", (_M,), lambda x: F.dropout(x, 0.5)),
    Case("sum", (_M,), lambda x: F.sum(x, axis=-1)),
    Case("mean", (_M,), lambda x: F.mean(x, axis=0, keepdims=True)),
    Case("max", (_M,), lambda x: F.max(x, axis=1)),
    Case("max", (_TIES,), lambda x: F.max(x, axis=1), order=1),
    Case("min", (_M,), lambda x: F.min(x, axis=0)),
    Case("min", (np.array([2.0, 1.0, 1.0]),), order=1),
    Case("logsumexp", (_M,), lambda x: F.logsumexp(x, axis=1)),
    Case("prod", (_M,), lambda x: F.prod(x, axis=1)),
    Case("prod", (_ZEROS,), lambda x: F.prod(x, axis=(0, 2))),
    Case("cumsum", (_M,), lambda x: F.cumsum(x, axis=0)),
    Case("cumsum", (_N,)),
    Case("var", (_M,), lambda x: F.var(x, axis=0, correction=1)),
    Case("std", (_M,), lambda x: F.std(x, axis=1, keepdims=True)),
    Case("norm", (_M,), lambda x: F.norm(x, axis=1)),
    Case("einsum", (_M, _normal(2, 4, 5)), lambda a, b: F.einsum("...j,kjl->k...", a, b)),
    Case("einsum", (_normal(3, 3),), lambda a: F.einsum("ii->i", a)),
    Case("outer", (_normal(4), _M)),
    Case("reshape", (_N,), lambda x: F.reshape(x, 2, -1)),
    Case("transpose", (_normal(2, 3, 4),), lambda x: F.transpose(x, 2, 0, 1)),
    Case("broadcast_to", (_normal(3, 1),), lambda x: F.broadcast_to(x, (2, 3, 4))),
    Case("flatten", (_normal(2, 3, 4),), lambda x: F.flatten(x, start=1)),
    Case("squeeze", (_normal(3, 1),)),
    Case("expand_dims", (_M,), lambda x: F.expand_dims(x, (0, -1))),
    Case("swapaxes", (_normal(2, 3, 4),), lambda x: F.swapaxes(x, 0, -1)),
    Case("moveaxis", (_normal(2, 3, 4),), lambda x: F.moveaxis(x, -1, 0)),
    Case("getitem", (_M,), lambda x: x[1:, ::-2]),
    Case("embedding", (_M,), lambda w: F.embedding([[0, 2], [2, 2]], w)),
    Case("take_along_axis", (_M,), lambda x: F.take_along_axis(x, x.argsort(axis=1)[:, :2], axis=1)),
    Case("flip", (_M,), lambda x: F.flip(x, axis=1)),
    Case("repeat", (_M,), lambda x: F.repeat(x, 2, axis=1)),
    Case("repeat", (_M,), lambda x: F.repeat(x, [1, 0, 3], axis=0)),
    Case("split", (_M,), lambda x: F.split(x, [1, 3], axis=1)[1]),
    Case("getitem", (_M,), lambda x: x[np.array([0, 2, 0])]),
    Case("concatenate", (_M, _normal(3, 2)), lambda a, b: F.concatenate([a, b, a], axis=-1)),
    Case("stack", (_M, _N), lambda a, b: F.stack([a, b], axis=1)),
    Case("pad", (_M,), lambda x: F.pad(x, [(1, 0), (0, 2)], value=0.5)),
    Case("pad", (_M,), lambda x: F.pad(x, [(1, 0), (2, 1)], mode="reflect")),
    Case("pad", (_M,), lambda x: F.pad(x, [(0, 2), (1, 1)], mode="edge")),
    Case("astype", (_M,), lambda x: F.astype(x, "float64")),
    Case("to", (_M,), lambda x: F.to(x, "cpu")),
    Case("linear", (_M, _normal(4, 2), _normal(2))),
    Case(
        "conv2d",
        (_normal(2, 2, 4, 3), _normal(3, 2, 3, 2), _normal(3)),
        lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 0)),
    ),
    Case(
        "conv_transpose2d",
        (_normal(2, 2, 2, 3), _normal(2, 3, 3, 2), _normal(3)),
        lambda x, w, b: F.conv_transpose2d(x, w, b, (2, 1), (1, 0), (1, 0)),
    ),
    Case("max_pool2d", (_normal(2, 2, 5, 4),), lambda x: F.max_pool2d(x, (3, 2), (2, 1), 1, ceil_mode=True)),
    Case("max_pool2d", (_TIES.reshape(1, 1, 2, 4),), lambda x: F.max_pool2d(x, 2), order=1),
    Case("avg_pool2d", (_normal(2, 2, 5, 4),), lambda x: F.avg_pool2d(x, (3, 2), 2, 1, ceil_mode=True)),
    Case("upsample", (_normal(2, 1, 2, 3),), lambda x: F.upsample(x, (2, 3))),
    Case("batch_norm", (_M, _normal(4), _normal(1, 4)[0])),
    Case("batch_norm", (_normal(2, 2, 2, 2), _normal(2), _normal(1, 2)[0])),
    Case("layer_norm", (_M, _normal(4), _normal(1, 4)[0]), lambda x, w, b: F.layer_norm(x, 4, w, b)),
    Case("binary_cross_entropy_with_logits", (3 * _M,), lambda a: F.binary_cross_entropy_with_logits(a, _TARGETS)),
    Case("binary_cross_entropy_with_logits", (3 * _M,), lambda a: F.binary_cross_entropy_with_logits(a, 1)),
    Case("binary_cross_entropy_with_logits", (_M, _normal(3, 4)), _weighted_binary_cross_entropy),
    Case("softmax_cross_entropy", (3 * _M,), lambda a: F.softmax_cross_entropy(a, _LABELS)),
    Case("softmax_cross_entropy", (_normal(4, 3), _POSITIVE[0]), _smoothed_cross_entropy),
    Case("mse_loss", (_M, _N)),
    Case("mse_loss", (_M, _POSITIVE), lambda x, w: F.mse_loss(x, 0.5, "mean", w)),
    Case("l1_loss", (_M, _N), lambda a, b: F.l1_loss(a, b, reduction="none")),
    Case("l1_loss", (_KINKS,), lambda x: F.l1_loss(x, 0, reduction="sum"), order=1),
)


@dataclass(frozen=True)
class Row:
    """The results of all cases of one operation.

    Attributes
    ----------
    name : str
    order : int
        The highest order that was checked.
    kinks : int
        Number of derivatives checked at kinks and ties.
    compared : int
        Number of derivatives compared.
    worst : float
        The largest error |a - n| / max(1, |n|) of an analytical derivative a and its numerical value n.
    method : str
        Methods of the numerical derivatives.
    seconds : float
    failures : tuple of str
    notes : tuple of str
        Elements that were not compared, with the reason.
    """

    name: str
    order: int
    kinks: int
    compared: int
    worst: float
    method: str
    seconds: float
    failures: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_operations(names: Sequence[str] = ()) -> Iterator[Row]:
    """Check operations, by default all of them, and yield one row for each.

    Parameters
    ----------
    names : sequence of str
        Names from `operation_names`.

    Yields
    ------
    Row
    """
    for name in names or operation_names():
        cases = [case for case in CASES if case.name == name]
        results = [case.check() for case in cases]
        comparisons = [comparison for report, _ in results for comparison in report.comparisons]
        yield Row(
            name=name,
            order=max(case.order for case in cases),
            kinks=sum(comparison.kinks for comparison in comparisons),
            compared=sum(comparison.compared for comparison in comparisons),
            worst=max((c.absolute_error / max(1.0, abs(c.numerical)) for c in comparisons), default=0.0),
            method=", ".join(dict.fromkeys(comparison.method for comparison in comparisons)),
            seconds=sum(seconds for _, seconds in results),
            failures=tuple(failure.message for report, _ in results for failure in report.failures),
            notes=tuple(note for report, _ in results for note in report.notes),
        )


def operation_names() -> list[str]:
    """Return the names of all operations that can be checked."""
    return list(dict.fromkeys(case.name for case in CASES))
