"""The loops of `NumbaBackend`: each kernel as a textbook writes it, one pass over the elements.

The arrays are flat (n,), unless a loop unpacks their shape. A loop fills the arrays that it is given last, or changes
them in place. All are float32 or all float64, except masks and random bits. LLVM, the compiler in numba, computes 4 to
16 neighbours in one instruction where an iteration needs nothing from the one before it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend.compiled import compiled

Array = Any
# 1 / k! for k = 7, ..., 0: Taylor's polynomial of e^r, for |r| <= log(2) / 2 exact to 6e-9
_TAYLOR = tuple(np.float32(1 / math.factorial(k)) for k in range(7, -1, -1))
_LOG2_E = np.float32(1 / math.log(2))
# log 2 in two parts: the first has 9 bits, so its product with a whole number below 2^15 is exact
_LOG2_HIGH, _LOG2_LOW = np.float32(355 / 512), np.float32(math.log(2) - 355 / 512)

# ---------------------------------------------------------------------- layers


@compiled
def add_bias(y: Array, bias: Array) -> None:
    """Set y = y + bias, for y (m, units)."""
    rows, units = y.shape
    for n in range(rows):
        for u in range(units):
            y[n, u] += bias[u]


@compiled
def relu(x: Array, y: Array) -> None:
    """Set y = max(x, 0); a nan is not at most 0, and stays."""
    for i in range(x.size):
        y[i] = 0 if x[i] <= 0 else x[i]


@compiled
def relu_backward(gy: Array, y: Array, gx: Array) -> None:
    """Set gx = gy where y is not 0."""
    for i in range(gy.size):
        gx[i] = gy[i] if y[i] != 0 else 0


@compiled
def leaky(x: Array, slope: float, y: Array, positive: Array) -> None:
    """Set y = x where x > 0, else slope x."""
    slope = x.dtype.type(slope)
    for i in range(x.size):
        positive[i] = x[i] > 0
        y[i] = x[i] if x[i] > 0 else slope * x[i]


@compiled
def leaky_backward(gy: Array, positive: Array, slope: float, gx: Array) -> None:
    """Set gx = gy where x was positive, else slope gy."""
    slope = gy.dtype.type(slope)
    for i in range(gy.size):
        gx[i] = gy[i] if positive[i] else slope * gy[i]


@compiled
def maxout(x: Array, y: Array, won: Array) -> None:
    """Set y (m, units) to the largest piece of x (m, pieces, units), and `won` true there.

    At a tie the first piece wins, and so does the first nan. Neighbouring units are neighbours in memory, so the loop
    over them is the inner one.
    """
    rows, pieces, units = x.shape
    winner = np.empty(units, np.int32)
    for n in range(rows):
        for u in range(units):
            y[n, u] = x[n, 0, u]
            winner[u] = 0
        for p in range(1, pieces):
            for u in range(units):
                best, rival = y[n, u], x[n, p, u]
                beaten = best == best and not rival <= best  # a nan equals nothing
                y[n, u] = rival if beaten else best
                winner[u] = p if beaten else winner[u]
        for p in range(pieces):
            for u in range(units):
                won[n, p, u] = winner[u] == p


@compiled
def maxout_backward(gy: Array, won: Array, gx: Array) -> None:
    """Set gx (m, pieces, units) to gy (m, units) for the piece that won, else to 0."""
    rows, pieces, units = won.shape
    for n in range(rows):
        for p in range(pieces):
            for u in range(units):
                gx[n, p, u] = gy[n, u] if won[n, p, u] else 0


@compiled
def dropout(x: Array, bits: Array, threshold: int, scale: float, y: Array, mask: Array) -> None:
    """Set the mask to `scale` where 16 random bits are below the threshold, else to 0; and y = x mask."""
    scale, none = x.dtype.type(scale), x.dtype.type(0)
    for i in range(x.size):
        mask[i] = scale if bits[i] < threshold else none
        y[i] = x[i] * mask[i]


# ---------------------------------------------------------------------- the logistic sigmoid, and losses with it


@compiled
def exp_of_negative(x: Any) -> Any:
    """Return e^x for x <= 0 in float32, to 2e-7: with x = n log 2 + r, it is 2^n times a polynomial of r.

    A call of the C library would keep LLVM from computing neighbours together.
    """
    x = np.float32(-105) if x < -105 else x  # where the result is 0
    n = np.floor(x * _LOG2_E + np.float32(0.5))
    r = x - n * _LOG2_HIGH - n * _LOG2_LOW
    power = np.float32(0)
    for coefficient in _TAYLOR:
        power = power * r + coefficient
    half = np.int32(n) // 2  # 2^n itself may be below the smallest normal number
    return power * _power_of_two(half) * _power_of_two(np.int32(n) - half)


@compiled
def _power_of_two(n: Any) -> Any:
    """Return 2^n, whose bits in float32 are the exponent n + 127 and 23 zeros."""
    return np.int32((n + 127) << 23).view(np.float32)


@compiled
def sigmoid(x: Array, y: Array) -> None:
    """Set y = 1 / (1 + e^-x) in float32, from e^-|x|, which cannot overflow."""
    one = np.float32(1)
    for i in range(x.size):
        small = exp_of_negative(-abs(x[i]))
        y[i] = (one if x[i] >= 0 else small) / (one + small)


@compiled
def _chance(logit: float) -> float:
    """Return 1 / (1 + e^-logit) in double precision."""
    small = math.exp(-abs(logit))
    return (1.0 if logit >= 0 else small) / (1.0 + small)


@compiled
def cross_entropy(logits: Array, target: int) -> float:
    """Return the mean of log(1 + e^x), with x = -logit for target 1, and the logit for target 0."""
    total = 0.0
    for i in range(logits.size):
        x = -float(logits[i]) if target else float(logits[i])
        total += (x if x > 0 else 0.0) + math.log1p(math.exp(-abs(x)))
    return total / logits.size


@compiled
def cross_entropy_backward(gloss: float, logits: Array, target: int, gx: Array) -> None:
    """Set gx = (sigmoid(logit) - target) gloss / n."""
    for i in range(logits.size):
        gx[i] = (_chance(float(logits[i])) - target) * gloss / logits.size


@compiled
def _mean_score(outputs: Array, probability: bool) -> float:
    """Return the mean of the outputs, or of their sigmoid."""
    total = 0.0
    for i in range(outputs.size):
        total += _chance(float(outputs[i])) if probability else float(outputs[i])
    return total / outputs.size


@compiled
def add_scores(
    sums: Array, first: float, second: float, positive: Array, negative: Array, threshold: float, probability: bool
) -> None:
    """Add one step to the sums of `Backend.add_scores`."""
    right_1 = right_0 = 0
    for i in range(positive.size):
        right_1 += positive[i] > threshold
    for i in range(negative.size):
        right_0 += negative[i] <= threshold
    accuracy = (right_1 / positive.size + right_0 / negative.size) / 2
    terms = first, second, _mean_score(positive, probability), _mean_score(negative, probability), accuracy
    sums[-2] += 1
    for i in range(5):
        sums[i] += terms[i]
        if sums[-1] == 0 and not math.isfinite(terms[i]):
            sums[-1] = sums[-2]


# ---------------------------------------------------------------------- update rules


@compiled
def descend(w: Array, g: Array, lr: float, decay: float) -> None:
    """Set w = w - lr (g + decay w)."""
    lr, decay = w.dtype.type(lr), w.dtype.type(decay)
    for i in range(w.size):
        w[i] -= lr * (g[i] + decay * w[i] if decay else g[i])


@compiled
def descend_with_momentum(w: Array, g: Array, v: Array, lr: float, momentum: float, decay: float) -> None:
    """Set v = momentum v - lr (g + decay w), and w = w + v."""
    real = w.dtype.type
    lr, momentum, decay = real(lr), real(momentum), real(decay)
    for i in range(w.size):
        slope = g[i] + decay * w[i] if decay else g[i]
        v[i] = momentum * v[i] - lr * slope
        w[i] += v[i]


@compiled
def adam(w: Array, g: Array, m: Array, v: Array, numbers: tuple[float, ...]) -> None:
    """Set m and v to the running means of g and g^2, and w = shrink w - rate m / (sqrt(v) + eps)."""
    real = w.dtype.type
    rate, eps, decay, shrink = real(numbers[0]), real(numbers[1]), real(numbers[2]), real(numbers[3])
    keep1, add1, keep2, add2 = real(numbers[4]), real(numbers[5]), real(numbers[6]), real(numbers[7])
    for i in range(w.size):
        slope = g[i] + decay * w[i] if decay else g[i]
        m[i] = keep1 * m[i] + add1 * slope
        v[i] = keep2 * v[i] + add2 * slope * slope
        w[i] = shrink * w[i] - rate * m[i] / (np.sqrt(v[i]) + eps)


@compiled
def lerp(start: Array, end: Array, weight: float) -> None:
    """Set start = start + weight (end - start)."""
    weight = start.dtype.type(weight)
    for i in range(start.size):
        start[i] += weight * (end[i] - start[i])
