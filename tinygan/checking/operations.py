"""A gradient check of every operation: first and second order, at kinks and ties too."""

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
    """An operation, and inputs worth checking it at.

    Attributes
    ----------
    name : str
        As in `tinygan.functional`.
    function : callable
        Takes the tensors.
    inputs : tuple of array
    order : int
        2 checks the gradient of the gradient as well.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    order: int = 2

    def check(self) -> tuple[GradcheckReport, float]:
        """Check the case; return the report and the seconds it took."""
        began = time.perf_counter()
        tensors = [tg.tensor(array, dtype="float64", requires_grad=True) for array in self.inputs]
        report = tg.gradcheck(
            self.function, tensors, order=self.order, frozen=True, name=self.name, raise_exception=False
        )
        return report, time.perf_counter() - began


def _normal(*shape: int) -> Any:
    return np.random.default_rng([2014, *shape]).normal(size=shape)


_M, _N = _normal(3, 4), _normal(4, 3).T  # the second is not contiguous
_POSITIVE = np.exp(_M)
_KINKS = np.array([-2.0, -0.0, 0.0, 0.5, 3.0])  # a bend at 0
_TIES = np.array([[1.0, 1.0, -2.0, 0.5], [0.0, 3.0, 3.0, 3.0]])
_TARGETS = np.array([[0.0, 1.0, 0.3, 0.9]] * 3)
_MASK = np.array([[True, False, True, False]])
_LABELS = np.array([0, 3, 1])

# At a kink the gradient itself jumps, so only the first order is checked there.
CASES: tuple[Case, ...] = (
    Case("add", F.add, (_M, _normal(4))),
    Case("subtract", F.subtract, (_M, _normal(3, 1))),
    Case("multiply", F.multiply, (_M, _N)),
    Case("divide", F.divide, (_M, _POSITIVE)),
    Case("negative", F.negative, (_M,)),
    Case("power", F.power, (_POSITIVE, _normal(4))),
    Case("power", lambda x: x**3, (np.array([-1.5, 0.0, 2.0]),)),
    Case("matmul", F.matmul, (_normal(2, 1, 3, 4), _normal(5, 4, 2))),
    Case("matmul", F.matmul, (_normal(4), _normal(4))),
    Case("exp", F.exp, (_M,)),
    Case("log", F.log, (_POSITIVE,)),
    Case("sqrt", F.sqrt, (_POSITIVE,)),
    Case("abs", F.abs, (_M,)),
    Case("abs", F.abs, (_KINKS,), order=1),
    Case("maximum", F.maximum, (_M, _N)),
    Case("maximum", F.maximum, (_KINKS, np.zeros(5)), order=1),
    Case("minimum", F.minimum, (_M, _N)),
    Case("minimum", F.minimum, (_KINKS, np.zeros(5)), order=1),
    Case("where", lambda a, b: F.where(_MASK, a, b), (_M, _normal(4))),
    Case("clip", lambda x: F.clip(x, -1.0, 0.75), (_M,)),
    Case("clip", lambda x: F.clip(x, -1.0, 0.5), (_KINKS,), order=1),
    Case("clip", F.clip, (_M, _normal(4) - 0.5, _normal(3, 1) + 0.5)),
    Case("relu", F.relu, (_M,)),
    Case("relu", F.relu, (_KINKS,), order=1),
    Case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), (_M,)),
    Case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), (_KINKS,), order=1),
    Case("leaky_relu", F.leaky_relu, (_M, _normal(4))),
    Case("sigmoid", F.sigmoid, (3 * _M,)),
    Case("tanh", F.tanh, (_M,)),
    Case("softplus", F.softplus, (3 * _M,)),
    Case("log_sigmoid", F.log_sigmoid, (3 * _M,)),
    Case("maxout", lambda x: F.maxout(x, 2), (_M,)),
    Case("maxout", lambda x: F.maxout(x, 2, piece_major=True), (_M,)),
    Case("maxout", lambda x: F.maxout(x, 2), (_TIES,), order=1),
    Case("dropout", lambda x: F.dropout(x, 0.5), (_M,)),
    Case("sum", lambda x: F.sum(x, axis=-1), (_M,)),
    Case("mean", lambda x: F.mean(x, axis=0, keepdims=True), (_M,)),
    Case("max", lambda x: F.max(x, axis=1), (_M,)),
    Case("max", lambda x: F.max(x, axis=1), (_TIES,), order=1),
    Case("min", lambda x: F.min(x, axis=0), (_M,)),
    Case("min", F.min, (np.array([2.0, 1.0, 1.0]),), order=1),
    Case("logsumexp", lambda x: F.logsumexp(x, axis=1), (_M,)),
    Case("reshape", lambda x: F.reshape(x, 2, -1), (_N,)),
    Case("transpose", lambda x: F.transpose(x, 2, 0, 1), (_normal(2, 3, 4),)),
    Case("broadcast_to", lambda x: F.broadcast_to(x, (2, 3, 4)), (_normal(3, 1),)),
    Case("getitem", lambda x: x[1:, ::-2], (_M,)),
    Case("getitem", lambda x: x[np.array([0, 2, 0])], (_M,)),
    Case("concatenate", lambda a, b: F.concatenate([a, b, a], axis=-1), (_M, _normal(3, 2))),
    Case("stack", lambda a, b: F.stack([a, b], axis=1), (_M, _N)),
    Case("pad", lambda x: F.pad(x, [(1, 0), (0, 2)], value=0.5), (_M,)),
    Case("astype", lambda x: F.astype(x, "float64"), (_M,)),
    Case("to", lambda x: F.to(x, "cpu"), (_M,)),
    Case("linear", F.linear, (_M, _normal(4, 2), _normal(2))),
    Case(
        "binary_cross_entropy_with_logits",
        lambda a: F.binary_cross_entropy_with_logits(a, _TARGETS),
        (3 * _M,),
    ),
    Case("binary_cross_entropy_with_logits", lambda a: F.binary_cross_entropy_with_logits(a, 1), (3 * _M,)),
    Case("softmax_cross_entropy", lambda a: F.softmax_cross_entropy(a, _LABELS), (3 * _M,)),
)


@dataclass(frozen=True)
class Row:
    """What the cases of one operation add up to.

    Attributes
    ----------
    name : str
    order : int
        The highest that was checked.
    kinks : int
        Derivatives checked at kinks and ties.
    compared : int
        Derivatives compared.
    worst : float
        The largest error |a - n| / max(1, |n|) of an analytical derivative a and its numerical value n.
    method : str
        Of the numerical derivatives.
    seconds : float
    failures : tuple of str
    notes : tuple of str
        What was not compared.
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
    """Check operations, all of them by default, one row an operation.

    Parameters
    ----------
    names : sequence of str
        Names in `operation_names`.

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
