"""What a formula did to a gradient, measured: saturated, dead, dropped, lost in a maximum, divided, multiplied."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.engine import Elementwise
from tinygan.functional.activations import Dropout, LogSigmoid, Maxout, ReLU, Sigmoid, Softplus, Tanh
from tinygan.functional.arithmetic import Matmul, Multiply
from tinygan.functional.linear import Linear
from tinygan.functional.losses import BinaryCrossEntropyWithLogits
from tinygan.functional.reductions import Mean, Sum
from tinygan.trace.paths import Part
from tinygan.trace.record import Operand, Value

FALLS, RISES = 0.1, 10.0  # factors of the norm that are mentioned
SATURATED = 1e-3  # a derivative below this passes nearly nothing on
CANCELS = 0.1  # parts cancel if the norm of the sum is below this share of the sum of the norms


@dataclass(frozen=True)
class Finding:
    """One thing that was measured at a formula.

    Attributes
    ----------
    kind : str
        ``saturated``, ``dead``, ``dropout``, ``maxout``, ``certain``, ``vanishes``, ``explodes``, ``cut``,
        ``not finite``, ``joins`` or ``cancels``.
    number : float
        The share or the factor that was measured.
    text : str
    """

    kind: str
    number: float
    text: str

    def __str__(self) -> str:
        return self.text


def findings(part: Part) -> list[Finding]:
    """Return what can be said of one application of a formula; first the verdict on the norm, then its reasons."""
    found, verdict = _measured(part), _verdict(part)
    if verdict is None:
        return [one for one in found if one.kind != "plain"]
    kind, number, text = verdict
    reasons = words(part)
    return [Finding(kind, number, f"{text}: {reasons}" if reasons else text), *found]


def words(part: Part) -> str:
    """Return everything that was measured, as one text; "" if nothing explains the norm."""
    return "; ".join(one.text for one in _measured(part)) or ("" if part.sender.earlier else _of_other_input(part))


def _measured(part: Part) -> list[Finding]:
    if part.sender.earlier:
        return []  # the values of an earlier call are not known
    return _OF_OPERATION.get(type(part.sender.operation), _elementwise)(part)


def _verdict(part: Part) -> tuple[str, float, str] | None:
    """Return the kind, the number and the words for a norm that changes much."""
    gy, sent, factor = part.gy.norm, part.gradient.norm, part.factor
    if not math.isfinite(sent):
        after = "already" if not math.isfinite(gy) else "here, for the first time"
        return ("not finite", sent, f"the gradient holds nan or infinity {after}: tg.detect_anomaly() finds the place")
    if gy and not sent:
        return "cut", 0.0, "the gradient ends here, all that is sent on is 0"
    if gy and factor <= FALLS:
        return "vanishes", factor, f"the norm falls by a factor of {_times(1 / factor)}"
    if gy and factor >= RISES:
        return "explodes", factor, f"the norm grows by a factor of {_times(factor)}"
    return None


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if 10 <= factor < 1e6 else f"{factor:.2g}"


def _percent(share: float) -> str:
    """Return a share in per cent; only a whole is 100 %, and only nothing is 0 %."""
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{min(round(100 * share), 99) if share < 1 else 100} %"


# ---------------------------------------------------------------------- operations


def _elementwise(part: Part) -> list[Finding]:
    """Measure the derivative of an operation on single elements: what was sent over what came in."""
    found = _derivatives(part)
    if found is None:
        return []
    share = float((found < SATURATED).mean())
    size = f"the derivative is {found.mean():.2g} on average, {found.max():.2g} at most"
    if not share:
        return [Finding("plain", 0.0, size)]
    if isinstance(part.sender.operation, (Sigmoid, Tanh, Softplus, LogSigmoid)):
        return [Finding("saturated", share, f"{_percent(share)} of the units are saturated (derivative below 0.001)")]
    return [Finding("saturated", share, f"{_percent(share)} of the elements have a derivative below 0.001; {size}")]


def _derivatives(part: Part) -> Any:
    """Return the absolute derivative of each element that received a gradient; None: not an elementwise operation."""
    gy, sent = part.gy.array, part.gradient.array
    if not isinstance(part.sender.operation, Elementwise) or gy.shape != sent.shape:
        return None
    received = gy != 0
    with np.errstate(all="ignore"):
        found = np.abs(sent[received].astype(np.float64) / gy[received].astype(np.float64))
    return found if found.size and np.isfinite(found).all() else None


def _relu(part: Part) -> list[Finding]:
    y = _result(part)
    zeros = float((y == 0).mean()) if y.size else 0.0
    found = [Finding("plain", zeros, f"{_percent(zeros)} of the outputs are 0, and a 0 sends nothing on")]
    if y.ndim > 1 and y.shape[0] > 1:
        dead = (y == 0).all(axis=0)
        if dead.any():
            count = int(dead.sum())
            verb = "is dead: it is" if count == 1 else "are dead: they are"
            text = f"{count} of {dead.size} units {verb} 0 for every row, and no gradient passes"
            found.append(Finding("dead", count / dead.size, text))
    return found


def _dropout(part: Part) -> list[Finding]:
    x, y = _value(part.sender.operands[0]), _result(part)
    p = part.sender.operation.p
    dropped = float((y[x != 0] == 0).mean()) if x.any() else p
    return [Finding("dropout", dropped, f"{_percent(dropped)} of the elements were dropped (p = {p:g}) and get 0")]


def _maxout(part: Part) -> list[Finding]:
    operation, x = part.sender.operation, _value(part.sender.operands[0])
    axis, pieces = operation.axis % x.ndim, operation.pieces
    units = x.shape[axis] // pieces
    split = (pieces, units) if operation.piece_major else (units, pieces)
    grouped = x.reshape(x.shape[:axis] + split + x.shape[axis + 1 :])
    pieces_axis = axis if operation.piece_major else axis + 1
    won = np.argmax(grouped, axis=pieces_axis, keepdims=True) == np.arange(pieces).reshape(
        [pieces if i == pieces_axis else 1 for i in range(grouped.ndim)]
    )
    others = tuple(i for i in range(won.ndim) if i not in (axis, axis + 1))
    never = int((~won.any(axis=others)).sum())
    text = f"1 of {pieces} pieces wins, and the others send nothing on"
    rows = math.prod(won.shape[i] for i in others)
    if rows > 1 and never:
        text += f"; {never} of {pieces * units} pieces won for none of the {rows} rows"
    return [Finding("maxout", 1 - never / max(pieces * units, 1), text)]


def _cross_entropy(part: Part) -> list[Finding]:
    if part.position:
        return []
    logits, target = _value(part.sender.operands[0]).astype(np.float64), part.sender.operands[1]
    with np.errstate(over="ignore"):
        error = np.abs(1 / (1 + np.exp(-logits)) - (target.number if target.value is None else target.value.array))
    share = float((error < SATURATED).mean()) if error.size else 0.0
    text = f"|sigmoid(a) - t| is {error.mean() if error.size else 0.0:.2g} on average, divided by n = {logits.size}"
    if share:
        text += f"; for {_percent(share)} of the logits it is below 0.001, so they are certain"
    return [Finding("certain" if share else "plain", share, text)]


def _mean(part: Part) -> list[Finding]:
    count = part.gradient.array.size // max(part.gy.array.size, 1)
    return [Finding("plain", math.nan, f"each of {count:,} elements gets 1/{count} of the gradient of their mean")]


def _sum(part: Part) -> list[Finding]:
    count = part.gradient.array.size // max(part.gy.array.size, 1)
    return [Finding("plain", math.nan, f"each of {count:,} elements gets the whole gradient of their sum")]


def _of_other_input(part: Part) -> str:
    """Return the words for a product: the size of its other factor; else how many zeros are sent."""
    operands, position = part.sender.operands, part.position
    if isinstance(part.sender.operation, (Linear, Matmul, Multiply)) and position < 2:
        other = operands[1 - position]
        size = abs(other.number) if other.value is None else _root_mean_square(other.value)
        return f"it was multiplied with {other}, whose elements have the root mean square {size:.2g}"
    return f"{_percent(part.gradient.zeros)} of the gradient that is sent on is 0" if part.gradient.zeros else ""


def _root_mean_square(value: Value) -> float:
    return value.norm / math.sqrt(max(value.array.size, 1))


def _value(operand: Operand) -> Any:
    return np.asarray(operand.number) if operand.value is None else operand.value.array


def _result(part: Part) -> Any:
    assert part.sender.result is not None, "a formula was applied, so the call had a result"
    return part.sender.result.array


_OF_OPERATION: dict[type, Callable[[Part], list[Finding]]] = {
    ReLU: _relu,
    Dropout: _dropout,
    Maxout: _maxout,
    BinaryCrossEntropyWithLogits: _cross_entropy,
    Mean: _mean,
    Sum: _sum,
}
