"""Update rules: what to do with a gradient.

An optimiser owns the state that its rule needs for each parameter (velocity, moments), and counts its updates for the
schedule of the learning rate. Parameters are changed in place, by one backend kernel each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tinygan.backend import adam_rates
from tinygan.engine import Tensor
from tinygan.errors import CheckpointError
from tinygan.optim.schedules import Schedule, as_schedule


class Optimizer:
    """What all update rules share.

    Parameters
    ----------
    params : iterable of Tensor
        Leaves with ``requires_grad=True``.
    lr : float or callable
        The learning rate, or a schedule of it: a function of the number of updates made so far.
    max_col_norm : float, optional
        After each update, scale every column of every 2-d parameter (the incoming weights of one unit) back to this
        Euclidean norm if it is longer (the TFD experiment; Srivastava et al., 2014).

    Attributes
    ----------
    updates : int
        How many updates have been made.
    epoch : int
        The current epoch, counted from 1; set by the training loop, read by schedules of the momentum.
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept for each parameter, all of its shape

    def __init__(
        self, params: Iterable[Tensor], lr: float | Schedule, max_col_norm: float | None = None
    ) -> None:
        name = type(self).__name__
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{name}: got no parameters to optimise")
        for position, parameter in enumerate(self.params):
            if not isinstance(parameter, Tensor) or not parameter.requires_grad or not parameter.is_leaf:
                raise ValueError(f"{name}: parameter {position} is not a leaf tensor with requires_grad=True")
        first: dict[Tensor, int] = {}
        for position, parameter in enumerate(self.params):
            if first.setdefault(parameter, position) != position:
                raise ValueError(
                    f"{name}: parameter {position} is parameter {first[parameter]} once more; it would be updated twice"
                )
        if not callable(lr) and not lr > 0:
            raise ValueError(f"{name}: the learning rate must be positive, got {lr}")
        if max_col_norm is not None and not max_col_norm > 0:
            raise ValueError(f"{name}: max_col_norm must be positive, got {max_col_norm}")
        self._lr = as_schedule(lr)
        self.max_col_norm = max_col_norm
        self.updates = 0
        self.epoch = 1
        self._state: list[dict[str, Any]] = [{} for _ in self.params]

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self._lr(self.updates)

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        self._lr = as_schedule(value)

    def zero_grad(self) -> None:
        """Forget the gradients of the parameters."""
        for parameter in self.params:
            parameter.grad = None

    def step(self) -> None:
        """Make one update of every parameter that has a gradient."""
        lr = self.lr
        for parameter, state in zip(self.params, self._state, strict=True):
            if parameter.grad is None:
                continue
            for slot in self.slots:
                if slot not in state:
                    state[slot] = parameter.backend.xp.zeros_like(parameter.data)
            self.update(parameter, parameter.grad.data, state, lr)
            if self.max_col_norm is not None and parameter.ndim == 2:
                parameter.backend.limit_column_norm(parameter.data, self.max_col_norm)
            parameter.mark_changed()
        self.updates += 1

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], lr: float) -> None:
        """Change one parameter in place."""
        raise NotImplementedError(f"{type(self).__name__}.update is not written")

    def rates(self) -> tuple[float, float]:
        """Return the two numbers in which the next update differs from others: what a captured step must be told."""
        raise NotImplementedError(f"{type(self).__name__}.rates is not written")

    def count_update(self) -> None:
        """Take note of an update that was made by replaying a captured step."""
        for parameter in self.params:
            parameter.mark_changed()
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the whole state: the counters, and NumPy arrays under ``slot.parameter``."""
        arrays = {
            f"{slot}.{position}": parameter.backend.to_numpy(state[slot]).copy()
            for position, (parameter, state) in enumerate(zip(self.params, self._state, strict=True))
            for slot in state
        }
        return {"updates": self.updates, "epoch": self.epoch, "arrays": arrays}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Raises
        ------
        CheckpointError
            The state belongs to another rule or other parameters; then nothing has been changed.
        """
        name = type(self).__name__
        for key in ("updates", "epoch", "arrays"):
            if key not in saved:
                raise CheckpointError(f"{name}: the saved state lacks {key}")
        states: list[dict[str, Any]] = [{} for _ in self.params]
        for key, array in saved["arrays"].items():
            slot, _, number = key.partition(".")
            position = int(number) if number.isdecimal() else len(self.params)
            if slot not in self.slots or position >= len(self.params):
                raise CheckpointError(f"{name}: the saved array {key!r} does not belong to this rule")
            parameter = self.params[position]
            if tuple(array.shape) != parameter.shape:
                raise CheckpointError(
                    f"{name}: saved {key} has shape {tuple(array.shape)}, expected {parameter.shape}"
                )
            states[position][slot] = parameter.backend.array(array, parameter.dtype)
        for position, state in enumerate(states):
            lacking = [f"{slot}.{position}" for slot in self.slots if slot not in state]
            if state and lacking:  # a parameter that never had a gradient has none of them
                raise CheckpointError(f"{name}: the saved state lacks {' and '.join(lacking)}")
        self._state = states
        self.updates = saved["updates"]
        self.epoch = saved["epoch"]


class SGD(Optimizer):
    """Stochastic gradient descent, with the paper's momentum: ``v = m v - lr g``, ``w = w + v``.

    PyTorch's rule is ``v = m v + g``, ``w = w - lr v``: the same as long as the learning rate does not change.

    Parameters
    ----------
    params, lr, max_col_norm
        As in `Optimizer`.
    momentum : float or callable
        m in [0, 1), or a schedule of it: a function of the epoch, counted from 1.

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

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule,
        momentum: float | Schedule = 0.0,
        max_col_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, max_col_norm)
        if not callable(momentum) and not 0 <= momentum < 1:
            raise ValueError(f"SGD: momentum must be in [0, 1), got {momentum}")
        self.slots = () if momentum == 0 else ("velocity",)
        self._momentum = as_schedule(momentum)

    @property
    def momentum(self) -> float:
        """The momentum of this epoch."""
        return self._momentum(self.epoch)

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], lr: float) -> None:
        """Apply the rule to one parameter."""
        parameter.backend.sgd_step(parameter.data, gradient, state.get("velocity"), lr, self.momentum)

    def rates(self) -> tuple[float, float]:
        """Return the learning rate and the momentum."""
        return self.lr, self.momentum


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2014): a step for each weight, scaled by a running mean of its squared gradient.

    Parameters
    ----------
    params, lr, max_col_norm
        As in `Optimizer`.
    betas : (float, float)
        Decay of the running means of the gradient and of its square.
    eps : float
        Added to the root of the mean square.

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

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Schedule = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        max_col_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, max_col_norm)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam: betas must be in [0, 1), got {betas}")
        if not eps > 0:
            raise ValueError(f"Adam: eps must be positive, got {eps}")
        self.betas = betas
        self.eps = eps

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], lr: float) -> None:
        """Apply the rule to one parameter."""
        parameter.backend.adam_step(
            parameter.data, gradient, state["mean"], state["square"], lr, self.betas, self.eps, self.updates + 1
        )

    def rates(self) -> tuple[float, float]:
        """Return the learning rate and eps, each with its correction for the moments that began at 0."""
        return adam_rates(self.lr, self.betas, self.eps, self.updates + 1)
