"""The value of the game, the discriminator that maximises it, and what is left to the generator: equations 1 to 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygan.errors import DistributionError
from tinygan.theory.distributions import apply, as_floats
from tinygan.theory.pairs import LINE, DensityPair, MassPair, read_pair


def value(
    p_data: Any, p_g: Any, d: Any, *, support: tuple[float, float] = LINE, points: Sequence[float] = ()
) -> float:
    """Return V(D, G) = E_data log D(x) + E_g log(1 - D(x)): equation 1, as the integral over x of equation 3.

    The discriminator ascends it, the generator descends it. 0 log 0 = 0: where p_data has no mass log D does not
    count, where p_g has none log(1 - D) does not, and where neither has any D may be nan.

    Parameters
    ----------
    p_data, p_g : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
        Two distributions of one kind. Masses of n points, which sum to 1 within 1e-6 and are then divided by their
        sum. Or densities on the real line: a continuous distribution of scipy.stats with its parameters, or a
        function from x to the density, which integrates to 1 within 1e-6; tables and densities of several variables
        are not taken. A plain function is taken at its word where it is rounded to 0; scipy.stats is asked for the
        logarithm of its density, which is not rounded so.
    d : number, array_like of shape (n,), Tensor or callable
        D(x), probabilities in [0, 1]: an array for masses, a function of x for densities, or the same number
        everywhere.
    support : (float, float)
        Of densities given as plain functions: outside of it they are 0 and are not called.
    points : sequence of float
        Of densities given as plain functions: where they jump, or peak so narrowly that quadrature could overlook it.

    Returns
    -------
    float
        In nats; at most 0. ``-inf`` where D is certain and wrong: 0 where p_data has mass, or 1 where p_g has.

    Raises
    ------
    DistributionError
        An argument is no distribution or no discriminator over it, or the integral does not settle.

    Examples
    --------
    >>> round(value([0.5, 0.5], [0.25, 0.75], 0.5), 9)  # an undecided D: -log 4
    -1.386294361
    >>> value([0.5, 0.5], [0.25, 0.75], [1.0, 0.0])
    -inf
    >>> import math
    >>> round(value(lambda x: math.exp(-x), lambda x: 2 * math.exp(-2 * x), 0.5, support=(0, math.inf)), 9)
    -1.386294361
    """
    pair = read_pair("value", ("p_data", p_data), ("p_g", p_g), support, points)
    if isinstance(pair, MassPair):
        return pair.total(_value_term, _read_answers(pair, d))
    return pair.total(_value_term, _read_function(pair, d))


def optimal_discriminator(
    p_data: Any, p_g: Any, *, support: tuple[float, float] = LINE, points: Sequence[float] = ()
) -> Any:
    """Return D*(x) = p_data(x) / (p_data(x) + p_g(x)): Proposition 1, equation 2.

    For a fixed generator no discriminator has a higher value. The proof looks at one x at a time, at equation 3's
    a log y + b log(1 - y) with a = p_data(x) and b = p_g(x): its derivative a / y - b / (1 - y) is 0 at y = a / (a + b)
    only, and its second derivative is negative. Outside of both supports any D is as good: here it is nan.

    Parameters
    ----------
    p_data, p_g : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
    support, points
        See `value`.

    Returns
    -------
    numpy.ndarray of float64, shape (n,), or callable
        The values of D* at the points, for masses; for densities the function D*, from an array of x to an array of
        the same shape. Exactly 0 only where p_data is 0, exactly 1 only where p_g is.

    Raises
    ------
    DistributionError
        An argument is no distribution, or the two do not go together.

    Examples
    --------
    >>> optimal_discriminator([0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0])
    array([1. , 0.5, 0. , nan])
    >>> from scipy import stats
    >>> d = optimal_discriminator(stats.norm(0, 1), stats.norm(1, 1))
    >>> d([-1.0, 0.5]).round(4)  # the sigmoid of 1/2 - x
    array([0.8176, 0.5   ])
    """
    pair = read_pair("optimal_discriminator", ("p_data", p_data), ("p_g", p_g), support, points)
    if isinstance(pair, DensityPair):
        return partial(_optimal_answer, pair)
    with np.errstate(invalid="ignore"):  # 0 / 0, off both supports
        return _never_certain(pair.p / (pair.p + pair.q), (pair.p > 0) & (pair.q > 0))


def criterion(p_data: Any, p_g: Any, *, support: tuple[float, float] = LINE, points: Sequence[float] = ()) -> float:
    """Return C(G) = max over D of V(D, G): what the generator has to minimise (equation 4).

    With D* of equation 2 in V it is E_data log(p_data / (p_data + p_g)) + E_g log(p_g / (p_data + p_g)). Theorem 1:
    its minimum is -log 4 = -1.386, exactly where p_g = p_data. There D* = 1/2, hence -log 4; and adding log 2 inside of
    each expectation gives equation 5, C(G) = -log 4 + KL(p_data || m) + KL(p_g || m) with m = (p_data + p_g) / 2, which
    is equation 6, C(G) = -log 4 + 2 JSD(p_data || p_g). A divergence is 0 only between equals. Where the supports are
    disjoint, D* makes no mistake and C(G) = 0.

    Parameters
    ----------
    p_data, p_g : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
    support, points
        See `value`.

    Returns
    -------
    float
        In nats, in [-log 4, 0].

    Raises
    ------
    DistributionError
        An argument is no distribution, the two do not go together, or the integral does not settle.

    Examples
    --------
    >>> round(criterion([0.5, 0.5], [0.5, 0.5]), 9), criterion([1.0, 0.0], [0.0, 1.0])
    (-1.386294361, 0.0)
    >>> from scipy import stats
    >>> round(criterion(stats.norm(0, 1), stats.norm(1, 1)), 6)
    -1.163451
    """
    pair = read_pair("criterion", ("p_data", p_data), ("p_g", p_g), support, points)
    return pair.total(_criterion_term)


def _value_term(p: Any, log_p: Any, q: Any, log_q: Any, d: Any) -> Any:
    return np.where(p > 0, p * np.log(d), 0.0) + np.where(q > 0, q * np.log1p(-d), 0.0)


def _criterion_term(p: Any, log_p: Any, q: Any, log_q: Any) -> Any:
    log_sum = np.logaddexp(log_p, log_q)
    return np.where(p > 0, p * (log_p - log_sum), 0.0) + np.where(q > 0, q * (log_q - log_sum), 0.0)


def _optimal_answer(pair: DensityPair, x: Any) -> Any:
    """D* = sigmoid(log p_data - log p_g), which holds even where both densities are rounded to 0."""
    x = as_floats("x", x)
    log_p, log_q = pair.p.log(x), pair.q.log(x)
    with np.errstate(over="ignore", invalid="ignore"):  # -inf - -inf = nan, off both supports
        answer = 1 / (1 + np.exp(log_q - log_p))
    return _never_certain(answer, np.isfinite(log_p) & np.isfinite(log_q))[()]


def _never_certain(answer: Any, disputed: Any) -> Any:
    """Keep D* off 0 and 1 where both have mass, however little: rounded to one of them its value would be -inf."""
    return np.where(disputed, np.clip(answer, np.nextafter(0, 1), np.nextafter(1, 0)), answer)


# ---------------------------------------------------------------------- a discriminator that was given


def _read_answers(pair: MassPair, d: Any) -> Any:
    if callable(d):
        raise DistributionError("value: d is a function but p_data has masses; give the values of D, one for each mass")
    answers = as_floats("value: d", d)
    if answers.shape not in ((), pair.p.shape):
        raise DistributionError(
            f"value: d has shape {answers.shape}; expected {pair.p.shape}, the answer for each point of p_data, or one "
            "number"
        )
    answers = np.broadcast_to(answers, pair.p.shape)
    wrong = np.flatnonzero(~((answers >= 0) & (answers <= 1)) & (pair.p + pair.q > 0))
    if wrong.size:
        raise _no_probability(f"d[{wrong[0]}]", answers[wrong[0]])
    return answers


def _read_function(pair: DensityPair, d: Any) -> Callable[[float], float]:
    if not callable(d):
        constant = as_floats("value: d", d)
        if constant.shape != ():
            raise DistributionError(
                f"value: d has shape {constant.shape} but p_data is a density; expected a function of x, or one number"
            )
    else:
        constant = None

    def answer(x: float) -> float:
        y = float(apply("value: d", d, x) if constant is None else constant)
        if not 0 <= y <= 1:
            raise _no_probability(f"d({x:g})", y)
        return y

    return answer


def _no_probability(place: str, found: float) -> DistributionError:
    return DistributionError(
        f"value: {place} is {found:g}; expected a probability in [0, 1]; of a network's logit take the sigmoid"
    )
