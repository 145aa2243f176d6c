"""Which options of a game fit together: the same rules for `Algorithm1` and for an experiment file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygan.checks import number
from tinygan.errors import ArgumentError, DtypeError
from tinygan.gan.objectives import OBJECTIVES, Objective, smoothed
from tinygan.gan.penalties import Penalty, WeightClipping
from tinygan.nn import Module


def contradiction(
    objective: str, penalties: Sequence[Penalty], label_smoothing: float, layers: Sequence[str] = ()
) -> tuple[str, str] | None:
    """Return the first option that does not fit the others, and why; None if all fit.

    Parameters
    ----------
    objective : str
        A name in `OBJECTIVES`, or "custom".
    penalties : sequence of Penalty
    label_smoothing : float
    layers : sequence of str
        The names of the classes of all layers of the discriminator.

    Examples
    --------
    >>> contradiction("hinge", (), 0.1)
    ('label_smoothing', 'the objective hinge has no label to smooth: set it to 0')
    >>> contradiction("minimax", (), 0.1)
    """
    clipping = [isinstance(penalty, WeightClipping) for penalty in penalties]
    if label_smoothing and not (objective in OBJECTIVES and OBJECTIVES[objective].is_probability):
        return "label_smoothing", f"the objective {objective} has no label to smooth: set it to 0"
    if any(clipping) and len(clipping) > 1:
        return "penalty", "weight clipping bounds the slope of D, and so does every other penalty: choose one of them"
    if penalties and not all(clipping) and "BatchNorm" in layers:
        return "penalty", (
            "with batch normalization in D, the logit of a row depends on the other rows, so it has no slope of its "
            "own: use layer normalization, or no penalty on the slope"
        )
    if objective == "wasserstein" and not penalties and "SpectralNorm" not in layers:
        return "objective", (
            "wasserstein needs a D of bounded slope, or its loss has no minimum: add a penalty, such as the gradient "
            "penalty or weight clipping, or spectral normalization in D"
        )
    return None


def flag(value: Any, name: str) -> bool:
    """Return a boolean; refuse "no" and 0, which read like one."""
    if not isinstance(value, bool):
        raise DtypeError(f"Algorithm1: {name} must be True or False, got {value!r}")
    return value


def objective_of(
    given: Any, label_smoothing: float, penalties: Sequence[Penalty], discriminator: Module
) -> tuple[str, Objective]:
    """Return the name ("custom" for a pair of losses) and the losses of the objective of a game.

    Raises
    ------
    ArgumentError
        There is no such name, it is not a pair of functions, or another option does not fit it.
    """
    named = isinstance(given, str) and given in OBJECTIVES
    pair = isinstance(given, Objective) or (isinstance(given, tuple) and len(given) == 2)
    pair = pair and all(map(callable, given[:2]))
    if not named and not pair:
        raise ArgumentError(
            f"Algorithm1: objective must be one of {', '.join(OBJECTIVES)}, or a pair of functions (d_loss, g_loss) "
            f"with d_loss(real_logits, fake_logits) and g_loss(fake_logits); got {given!r}"
        )
    if not 0 <= number(label_smoothing, "Algorithm1: label_smoothing") < 1:
        raise ArgumentError(f"Algorithm1: label_smoothing must be at least 0 and below 1, got {label_smoothing}")
    name = given if named else "custom"
    layers = [kind.__name__ for module in discriminator.modules() for kind in type(module).__mro__]
    wrong = contradiction(name, penalties, label_smoothing, layers)
    if wrong is not None:
        raise ArgumentError(f"Algorithm1: {wrong[0]}: {wrong[1]}")
    return name, smoothed(name, label_smoothing) if named else Objective(*given)
