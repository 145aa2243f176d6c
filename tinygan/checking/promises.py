"""What a function and its gradient promise before any number is compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygan.checking import report as kinds
from tinygan.checking.judging import ROUNDING, rounding
from tinygan.checking.numerical import Settings, random_weights
from tinygan.checking.subject import Array, Subject, Variable

_SAME = 64  # units in the last place: two runs on a GPU may add in another order


def check_promises(subject: Subject, rng: np.random.Generator) -> None:
    """Note in the report what is broken.

    Two calls give the same; no call changes or shares an array that is not its own; a gradient has the shape, dtype and
    device of what it belongs to; and it is 0 when the upstream gradient is 0.
    """
    first = subject.run()
    if differs(first, subject.run()):
        say_random(subject, "function")
        return
    upstream = [random_weights(rng, output.shape) for output in subject.outputs]
    gradients = subject.pull(upstream, watch=True)
    if differs(gradients, subject.pull(upstream, watch=True)):
        say_random(subject, "backward pass")
    nothing = subject.pull([np.zeros(output.shape) for output in subject.outputs])
    for variable, gradient, zero in zip(subject.inputs, gradients, nothing, strict=True):
        if np.any((zero != 0) & np.isfinite(gradient)):
            subject.fail(
                kinds.UPSTREAM_IGNORED,
                f"{subject.name}: when the gradient with respect to the output is 0, that of {variable} must be 0 too, "
                "but is not: the backward pass does not multiply by its upstream gradient everywhere",
            )


def check_recorded(gradient: Subject, inputs: Sequence[Variable], plain: Sequence[Array], settings: Settings) -> None:
    """Note if a pass with create_graph=True finds other gradients of `inputs` than the `plain` ones of a pass without.

    The rules are the same, but the kernels under them are not; and what is differentiated again is this pass.
    """
    gradient.run()
    recorded = {output.name: output.point for output in gradient.outputs}
    for variable, expected in zip(inputs, plain, strict=True):
        got = recorded.get(f"gradient of {variable.name}", np.zeros(variable.shape))
        comparable = np.isfinite(expected)
        sizes = np.where(np.isfinite(variable.point) & (variable.point != 0), np.abs(variable.point), 1.0).ravel()
        atol = rounding(expected.ravel(), sizes, settings.unit).reshape(variable.shape)
        slack = settings.rtol * np.abs(expected) + atol + ROUNDING * settings.unit * gradient.scale
        wrong = comparable & ~(np.abs(got - expected) <= slack)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            gradient.fail(
                kinds.RECORDED_DIFFERS,
                f"{gradient.name}: with create_graph=True the gradient of {variable} is {got[index]:.6g} at index "
                f"{index}, without it {expected[index]:.6g}",
            )


def differs(first: list[Array], second: list[Array]) -> bool:
    """Return whether two runs disagree by more than rounding."""
    return [a.shape for a in first] != [b.shape for b in second] or not all(map(_same, first, second))


def _same(a: Array, b: Array) -> bool:
    slack = _SAME * np.finfo(np.float64).eps
    largest = np.max(np.abs(a), initial=0, where=np.isfinite(a))
    return np.allclose(a, b, rtol=slack, atol=slack * largest, equal_nan=True)


def say_random(subject: Subject, what: str) -> None:
    """Explain what to do about a function that draws new random numbers at every call."""
    subject.fail(
        kinds.RANDOM,
        f"the {what} is random: two calls with the same inputs gave different results, so difference quotients mean "
        "nothing. Freeze the dropout mask: frozen=True starts every call from the same random state; or make the "
        "stream inside the function and pass it as rng=; or call .eval() on the module",
    )
