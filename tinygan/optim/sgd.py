"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tinygan.engine import Tensor
from tinygan.errors import StateError
from tinygan.optim.checks import at_least_0, decay
from tinygan.optim.optimizers import Optimizer
from tinygan.optim.param_groups import Option
from tinygan.optim.schedules import Schedule


class SGD(Optimizer):
    """Stochastic gradient descent, with the paper's momentum: ``v = m v - lr g``, ``w = w + v``.

    PyTorch's rule is ``v = m v + g``, ``w = w - lr v``. The two agree if the learning rate does not change.

    Parameters
    ----------
    params, lr, max_col_norm
        As in `Optimizer`.
    momentum : float or callable
        m in [0, 1), or a schedule of it: a function of the number of updates made so far.
    weight_decay : float
        d >= 0. The gradient g becomes ``g + d w``: that of the loss with the penalty ``d/2 |w|^2``.

    Examples
    --------
    >>> import tinygan as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> sgd = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> sgd.step()
    >>> w
    tensor([0.8], dtype=float32, requires_grad=True)
    """

    slots: tuple[str, ...] = ("velocity",)
    is_one_kernel = True
    momentum = Option(decay, scheduled=decay)
    weight_decay = Option(at_least_0)

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Mapping[str, Any]],
        lr: float | Schedule,
        momentum: float | Schedule = 0.0,
        *,
        weight_decay: float = 0.0,
        max_col_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, max_col_norm, momentum=momentum, weight_decay=weight_decay)
        if all(group.state()["momentum"] == 0 for group in self.param_groups):
            self.slots = ()

    def checked_option(self, name: str, value: Any) -> Any:
        """Return a value or a schedule for an option; a rule made without a momentum takes none later."""
        checked = super().checked_option(name, value)
        if name == "momentum" and not self.slots and checked != 0:
            raise StateError("SGD: made without a momentum, it keeps no velocity; make another with momentum=...")
        return checked

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], now: dict[str, Any]) -> None:
        """Apply the rule to one parameter."""
        velocity = state.get("velocity")
        parameter.backend.sgd_step(parameter.data, gradient, velocity, now["lr"], now["momentum"], now["weight_decay"])

    def numbers(self, now: dict[str, Any], step: int) -> tuple[float, ...]:
        """Return the learning rate, the momentum and the weight decay."""
        return now["lr"], now["momentum"], now["weight_decay"]
