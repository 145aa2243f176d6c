"""The value of the game, the discriminator that maximises it, and the generator's criterion: equations 1 to 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygan.errors import DistributionError
from tinygan.theory.distributions import LOG_SMALLEST, apply, as_floats
from tinygan.theory.pairs import LINE, Answers, DensityPair, MassPair, read_pair

_CERTAIN = 37.0  # from this logit the sigmoid is rounded to 1; its negative gives less than 1e-16


def value(
    p_data: Any,
    p_g: Any,
    d: Any,
    *,
    logits: bool = False,
    support: tuple[float, float] = LINE,
    points: Sequence[float] = (),
) -> float:
    """Return V(D, G) = E_data log D(x) + E_g log(1 - D(x)): equation 1, as the integral over x of equation 3.

    The discriminator maximises V, the generator minimises it. 0 log 0 = 0: log D does not count where p_data is 0, and
    log(1 - D) does not count where p_g is 0. Where both are 0, D may be nan.

    Parameters
    ----------
    p_data, p_g : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
        Two distributions of one kind. Either masses of n points, which sum to 1 within 1e-6 and are divided by their
        sum. Or densities on the real line: a continuous distribution of scipy.stats with its parameters, or a
        function of one number x, which integrates to 1 within 1e-6. Tables and densities of several variables are not
        accepted. Where a density is rounded to 0, its logarithm is known if scipy.stats has a formula for it; the
        logarithm of a plain function is not. If an unknown logarithm matters, it is refused.
    d : number, array_like of shape (n,), Tensor or callable
        D(x), probabilities in [0, 1]: an array for masses, a function of x for densities, or one number for all x. A
        function is called with one x at a time.
    logits : bool
        Whether `d` is the logit of D, log D - log(1 - D), instead of D. A probability close to 1 has no digits for
        log(1 - D), and a sigmoid far out is rounded to 1 or 0. If that could matter, a probability is refused: give the
        logit.
    support : (float, float)
        Of densities given as plain functions: they are 0 outside of it and are not called there.
    points : sequence of float
        Points at which a density or D jumps, or changes so narrowly that quadrature could overlook it. An overlooked
        peak of a density is noticed, because the density then does not integrate to 1. An overlooked band of D is not:
        give the ends of a band that is narrower than a hundredth of the densities.

    Returns
    -------
    float
        In nats; at most 0. It is ``-inf`` if D is 0 where p_data has any mass, or 1 where p_g has any mass.

    Raises
    ------
    DistributionError
        An argument is not a distribution, `d` is not a discriminator over it, or the integral does not converge.

    Examples
    --------
    >>> round(value([0.5, 0.5], [0.25, 0.75], 0.5), 9)  # an undecided D: -log 4
    -1.386294361
    >>> value([0.5, 0.5], [0.25, 0.75], [1.0, 0.0])
    -inf
    >>> round(value([0.5, 0.5], [0.25, 0.75], [40.0, -40.0], logits=True), 9)  # here D is rounded to 1
    -30.0
    >>> import math
    >>> round(value(lambda x: math.exp(-x), lambda x: 2 * math.exp(-2 * x), 0.5, support=(0, math.inf)), 9)
    -1.386294361
    """
    pair = read_pair("value", ("p_data", p_data), ("p_g", p_g), support, points)
    if isinstance(pair, MassPair):
        return pair.total(_value_term, *_read_answers(pair, d, logits))
    return pair.total(_value_term, _read_function(d, logits))


def optimal_discriminator(
    p_data: Any, p_g: Any, *, support: tuple[float, float] = LINE, points: Sequence[float] = ()
) -> Any:
    """Return D*(x) = p_data(x) / (p_data(x) + p_g(x)): Proposition 1, equation 2.

    For a fixed generator no discriminator has a higher value. The proof takes one x at a time. Equation 3 has the term
    a log y + b log(1 - y) with a = p_data(x) and b = p_g(x). Its derivative a / y - b / (1 - y) is 0 only at
    y = a / (a + b), and its second derivative is negative. Outside of both supports every D is optimal: D* is nan.

    Parameters
    ----------
    p_data, p_g : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
    support, points
        See `value`.

    Returns
    -------
    numpy.ndarray of float64, shape (n,), or callable
        For masses, the values of D* at the points. For densities, the function D*, which maps an array of x to an array
        of the same shape. D* is exactly 0 only where p_data is 0 or rounded to 0, exactly 1 only where p_g is.

    Raises
    ------
    DistributionError
        An argument is not a distribution, or the two are of different kinds or lengths. The function raises it at an x
        where both densities are rounded to 0 inside a support that scipy.stats states.

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
    """Return C(G) = max over D of V(D, G): the criterion that the generator minimises (equation 4).

    With D* of equation 2, C(G) = E_data log(p_data / (p_data + p_g)) + E_g log(p_g / (p_data + p_g)). Theorem 1: its
    minimum is -log 4 = -1.386, and p_g = p_data is the only minimum. There D* = 1/2, which gives -log 4. Adding log 2
    inside each expectation gives equation 5, C(G) = -log 4 + KL(p_data || m) + KL(p_g || m) with
    m = (p_data + p_g) / 2, which is equation 6, C(G) = -log 4 + 2 JSD(p_data || p_g). A divergence is 0 only between
    equal distributions. If the supports are disjoint, D* makes no mistake and C(G) = 0.

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
        An argument is not a distribution, the two are of different kinds or lengths, or the integral does not converge.

    Examples
    --------
    >>> round(criterion([0.5, 0.5], [0.5, 0.5]), 9), criterion([1.0, 0.0], [0.0, 1.0])
    (-1.386294361, 0.0)
    >>> from scipy import stats
    >>> round(criterion(stats.norm(0, 1), stats.norm(1, 1)), 6)
    -1.163451
    """
    pair = read_pair("criterion", ("p_data", p_data), ("p_g", p_g), support, points)
    return pair.total(criterion_term)


def _value_term(p: Any, log_p: Any, q: Any, log_q: Any, log_d: Any, log_not_d: Any) -> Any:
    return np.where(p > 0, p * log_d, 0.0) + np.where(q > 0, q * log_not_d, 0.0)


def criterion_term(p: Any, log_p: Any, q: Any, log_q: Any) -> Any:
    """Return the term of C(G) at x."""
    log_sum = np.logaddexp(log_p, log_q)
    return np.where(p > 0, p * (log_p - log_sum), 0.0) + np.where(q > 0, q * (log_q - log_sum), 0.0)


def _optimal_answer(pair: DensityPair, x: Any) -> Any:
    """D* = sigmoid(log p_data - log p_g), which holds even where both densities are rounded to 0."""
    x = as_floats("optimal_discriminator: x", x)
    log_p, log_q = pair.p.log(x), pair.q.log(x)
    with np.errstate(over="ignore", invalid="ignore"):  # -inf - -inf = nan, off both supports
        answer = 1 / (1 + np.exp(log_q - log_p))
    for density, lost, other in ((pair.p, log_p, log_q), (pair.q, log_q, log_p)):
        unknown = np.isneginf(lost) & density.has(x) & (other < LOG_SMALLEST + _CERTAIN)
        # scipy.stats states where a density is 0. A 0 of a plain function is believed, unless the other is not rounded.
        unknown &= density.stated & (x > density.support[0]) & (x < density.support[1]) | np.isfinite(other)
        if unknown.any():
            raise DistributionError(
                f"optimal_discriminator: {density.name.split(': ')[-1]} is rounded to 0 at x = {x[unknown].flat[0]:g}, "
                "where the other density is about as small; expected x where one of the densities is larger"
            )
    return _never_certain(answer, np.isfinite(log_p) & np.isfinite(log_q))[()]


def _never_certain(answer: Any, disputed: Any) -> Any:
    """Keep D* from 0 and 1 where both distributions have any mass: a D* rounded to 0 or 1 has the value -inf."""
    return np.where(disputed, np.clip(answer, np.nextafter(0, 1), np.nextafter(1, 0)), answer)


# ---------------------------------------------------------------------- a discriminator that was given


def _read_answers(pair: MassPair, d: Any, logits: bool) -> tuple[Any, Any]:
    if callable(d):
        raise DistributionError("value: d is a function but p_data has masses; give the values of D, one for each mass")
    answers = as_floats("value: d", d)
    if answers.shape not in ((), pair.p.shape):
        raise DistributionError(
            f"value: d has shape {answers.shape}; expected {pair.p.shape}, the answer for each point of p_data, or one "
            "number"
        )
    answers = np.broadcast_to(answers, pair.p.shape)
    _check_answers(lambda place: f"d[{place}]", answers, pair.p + pair.q > 0, logits)
    return _logs(answers, logits)


def _read_function(d: Any, logits: bool) -> Answers:
    if callable(d):
        optimal = isinstance(d, partial) and d.func is _optimal_answer  # this function accepts arrays
        function = d if optimal else partial(apply, "value: d", d)
    else:
        constant = as_floats("value: d", d)
        if constant.shape != ():
            raise DistributionError(
                f"value: d has shape {constant.shape} but p_data is a density; expected a function of x, or one number"
            )
        function = partial(np.full_like, fill_value=constant)

    def answer(x: Any) -> tuple[Any, Any]:
        x = np.asarray(x, np.float64)
        try:
            y = function(x)
        except OverflowError as error:
            raise DistributionError("value: d overflows far out; give its logit instead, with logits=True") from error
        _check_answers(lambda place: f"d({x.flat[place]:g})", np.atleast_1d(y), True, logits)
        return _logs(y, logits)

    return Answers(answer, rounded=not logits)


def _check_answers(place: Callable[[int], str], y: Any, counted: Any, logits: bool) -> None:
    right = ~np.isnan(y) if logits else (y >= 0) & (y <= 1)
    wrong = np.flatnonzero(~right & counted)
    if wrong.size:
        expected = (
            "a logit, log D - log(1 - D)"
            if logits
            else "a probability in [0, 1]; for a network's logit, take the sigmoid or pass logits=True"
        )
        raise DistributionError(f"value: {place(wrong[0])} is {y[wrong[0]]:g}; expected {expected}")


def _logs(y: Any, logits: bool) -> tuple[Any, Any]:
    """Return log D and log(1 - D)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (-np.logaddexp(0, -y), -np.logaddexp(0, y)) if logits else (np.log(y), np.log1p(-y))
