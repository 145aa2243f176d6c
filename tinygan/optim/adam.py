"""Rules with a step for each weight, scaled by a running mean of its squared gradient: Adam, AdamW, RMSprop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tinygan.backend import adam_numbers
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError
from tinygan.optim.checks import at_least_0, decay, positive
from tinygan.optim.optimizers import Optimizer
from tinygan.optim.param_groups import Option
from tinygan.optim.schedules import Schedule

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]


def _pair(what: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ArgumentError(f"{what} must be two numbers, got {value!r}")
    return decay(f"{what}[0]", value[0]), decay(f"{what}[1]", value[1])


class _Scaled(Optimizer):
    """A rule that is computed by `Backend.adam_step`."""

    is_one_kernel = True
    eps = Option(positive)
    weight_decay = Option(at_least_0)

    def arguments(self, now: dict[str, Any], step: int) -> tuple[Any, ...]:
        """Return the arguments of `Backend.adam_step` from the learning rate on."""
        raise NotImplementedError(f"{type(self).__name__}.arguments is not written")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], now: dict[str, Any]) -> None:
        """Apply the rule to one parameter."""
        arguments = self.arguments(now, state["updates"] + 1)
        parameter.backend.adam_step(parameter.data, gradient, state.get("mean"), state["square"], *arguments)

    def numbers(self, now: dict[str, Any], step: int) -> tuple[float, ...]:
        """Return the numbers of the kernel."""
        return adam_numbers(*self.arguments(now, step))


class Adam(_Scaled):
    """Adam: a step for each weight, scaled by a running mean of its squared gradient.

    The source is algorithm 1 of Kingma and Ba, "Adam: a method for stochastic optimization" (2015).
    In update t = 1, 2, ... of a parameter w with gradient g::

        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) g^2
        w = w - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    Parameters
    ----------
    params, lr, max_col_norm
        As in `Optimizer`.
    betas : (float, float)
        b1 and b2, the decays of the running means of the gradient and of its square.
    eps : float
        Added to the root of the mean square.
    weight_decay : float
        d >= 0. The gradient g becomes ``g + d w``, before everything else. So the decay is scaled like the gradient:
        see `AdamW`.

    Examples
    --------
    >>> import tinygan as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> adam = Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> adam.step()  # the first step has length lr, whatever the gradient
    >>> round(w.item(), 6)
    0.9
    """

    slots = ("mean", "square")
    betas = Option(_pair)

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        max_col_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, max_col_norm, betas=betas, eps=eps, weight_decay=weight_decay)

    def arguments(self, now: dict[str, Any], step: int) -> tuple[Any, ...]:
        """Return the arguments of `Backend.adam_step` from the learning rate on."""
        return now["lr"], now["betas"], now["eps"], step, now["weight_decay"]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    Before the update of `Adam`, which does not see the decay, ``w = (1 - lr d) w``. As in PyTorch, the decay is
    multiplied by the learning rate of this update; in the paper, by a schedule of its own.

    Parameters
    ----------
    params, lr, betas, eps, max_col_norm
        As in `Adam`.
    weight_decay : float
        d >= 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> w.grad = tg.tensor([0.0])
    >>> AdamW([w], lr=0.1, weight_decay=0.5).step()
    >>> round(w.item(), 6)
    0.95
    """

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.01,
        max_col_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, max_col_norm=max_col_norm, weight_decay=weight_decay)

    def arguments(self, now: dict[str, Any], step: int) -> tuple[Any, ...]:
        """Return the arguments of `Backend.adam_step` from the learning rate on."""
        return now["lr"], now["betas"], now["eps"], step, 0.0, 1 - now["lr"] * now["weight_decay"]


class RMSprop(_Scaled):
    """RMSprop (Tieleman and Hinton, 2012, lecture 6.5): the gradient divided by its root mean square.

    In an update of a parameter w with gradient g::

        v = a v + (1 - a) g^2
        w = w - lr g / (sqrt(v) + eps)

    v begins at 0 and is not corrected for it, so the first steps are the longest.

    Parameters
    ----------
    params, lr, max_col_norm
        As in `Optimizer`.
    alpha : float
        a, the decay of the running mean of the squared gradient.
    eps : float
        Added to the root of the mean square, as in PyTorch.
    weight_decay : float
        d >= 0. The gradient g becomes ``g + d w``, before everything else.

    Examples
    --------
    >>> import tinygan as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> RMSprop([w], lr=0.1, alpha=0.75).step()  # v = g^2 / 4
    >>> round(w.item(), 6)
    0.8
    """

    slots = ("square",)
    alpha = Option(decay)

    def __init__(
        self,
        params: Params,
        lr: float | Schedule = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        max_col_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, max_col_norm, alpha=alpha, eps=eps, weight_decay=weight_decay)

    def arguments(self, now: dict[str, Any], step: int) -> tuple[Any, ...]:
        """Return the arguments of `Backend.adam_step` from the learning rate on."""
        return now["lr"], (0.0, now["alpha"]), now["eps"], math.inf, now["weight_decay"]
