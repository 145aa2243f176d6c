"""Update rules.

An optimiser holds the state that its rule needs for each parameter (velocity, moments), and counts its updates for the
schedule of the learning rate. One backend kernel changes each parameter in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tinygan.backend import adam_rates
from tinygan.backend.operands import fits, misfit
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, StateError, TinyganError
from tinygan.nn import Parameter
from tinygan.optim.checks import (
    at_least_0,
    decay,
    leaves,
    positive,
    restored,
    restored_count,
)
from tinygan.optim.schedules import Schedule


class Optimizer:
    """The base class of all update rules.

    Parameters
    ----------
    params : iterable of Tensor
        Leaves with ``requires_grad=True``, or parameters of a module, which may be frozen. An update does not change a
        parameter that has no gradient, or that has ``requires_grad=False`` at that moment.
    lr : float or callable
        The learning rate, or a schedule of it: a function of the number of updates made so far. A number that is
        assigned to `lr` later replaces it, and is part of the state. A schedule is code, which is not saved.
    max_col_norm : float, optional
        After each update, scale every column of every 2-d parameter (the incoming weights of one unit) back to this
        Euclidean norm if it is longer (the TFD experiment; Srivastava et al., 2014).

    Attributes
    ----------
    updates : int
        How many updates have been made.
    epoch : int
        The current epoch, counted from 1. The training loop sets it; schedules of the momentum read it.
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept for each parameter, all of its shape

    def __init__(
        self, params: Iterable[Tensor], lr: float | Schedule, max_col_norm: float | None = None
    ) -> None:
        name = type(self).__name__
        self.params = leaves(name, params, "optimise", "updated")
        for position, parameter in enumerate(self.params):
            if not parameter.requires_grad and not isinstance(parameter, Parameter):
                raise ArgumentError(f"{name}: parameter {position} is not a leaf tensor with requires_grad=True")
        self._given: dict[str, float | Schedule] = {"lr": self._setting("lr", lr)}  # numbers or schedules
        self._by_hand: dict[str, float | Schedule] = {}  # those that were assigned later
        self._max_col_norm = None if max_col_norm is None else positive(f"{name}: max_col_norm", max_col_norm)
        self.updates = 0
        self.epoch = 1
        self._state: list[dict[str, Any]] = [{} for _ in self.params]  # empty before a parameter's first update

    @property
    def lr(self) -> float:
        """The learning rate of the next update; assign a number or a schedule to change it."""
        return self._now("lr", self.updates)

    @lr.setter
    def lr(self, value: float | Schedule) -> None:
        self._by_hand["lr"] = self._setting("lr", value)

    @property
    def max_col_norm(self) -> float | None:
        """The largest norm that a column of weights may have."""
        return self._max_col_norm

    def _setting(self, name: str, value: float | Schedule) -> float | Schedule:
        """Return a learning rate or momentum after a check; the values of a schedule are checked later."""
        what, check, _ = _SETTINGS[name]
        return value if callable(value) else check(f"{type(self).__name__}: {what}", value)

    def _now(self, name: str, count: int) -> float:
        value = self._by_hand.get(name, self._given[name])
        if not callable(value):
            return value
        what, _, check = _SETTINGS[name]
        return check(f"{type(self).__name__}: {what} that the schedule gives for {count}", value(count))

    def zero_grad(self) -> None:
        """Set the gradients of the parameters to None."""
        for parameter in self.params:
            parameter.grad = None

    def step(self) -> None:
        """Make one update of every parameter that has a gradient and is not frozen.

        Raises
        ------
        ShapeError, DtypeError, DeviceError
            A gradient or a state does not fit its parameter, whose array has been replaced.
        StateError
            A parameter's array cannot be written to, as inside `ExponentialMovingAverage.applied`.
        ArgumentError, DtypeError
            A schedule returns a value that is not allowed.

        In all these cases no parameter has been changed.
        """
        lr = self.lr
        moving = [position for position, parameter in enumerate(self.params) if self._moves(parameter)]
        for position in moving:
            self._make_ready(position)
        for position in moving:
            parameter, state = self.params[position], self._state[position]
            assert parameter.grad is not None
            self.update(parameter, parameter.grad.data, state, lr)
            if self._max_col_norm is not None and parameter.ndim == 2:
                parameter.backend.limit_column_norm(parameter.data, self._max_col_norm)
            state["updates"] += 1
            parameter.mark_changed()
        self.updates += 1

    @staticmethod
    def _moves(parameter: Tensor) -> bool:
        return parameter.grad is not None and parameter.requires_grad

    def _make_ready(self, position: int) -> None:
        """Raise unless gradient and state fit the parameter; create the state before the first update."""
        parameter, state, who = self.params[position], self._state[position], type(self).__name__
        data, gradient = parameter.data, parameter.grad
        assert gradient is not None
        if not fits(gradient.data, data):
            raise misfit(f"{who}: parameter {position}: its gradient", gradient.data, data, "call backward again")
        if not parameter.backend.is_writable(data):
            raise StateError(
                f"{who}: parameter {position} lies in memory that cannot be written to. Inside "
                "ExponentialMovingAverage.applied(), make no update; else give it an array of its own: "
                "parameter.data = parameter.data.copy()"
            )
        for slot in self.slots:
            if slot not in state:
                state[slot] = parameter.backend.xp.zeros_like(data)
            elif not fits(state[slot], data):
                raise misfit(f"{who}: parameter {position}: its {slot}", state[slot], data, "make a new optimiser")
        state.setdefault("updates", 0)

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], lr: float) -> None:
        """Change one parameter in place.

        `state` holds its arrays by the names in `slots`, and the number of its updates by ``updates``.
        """
        raise NotImplementedError(f"{type(self).__name__}.update is not written")

    def coefficients(self) -> tuple[float, float]:
        """Return the two numbers that the formula of the rule takes in the next update, such as the learning rate."""
        raise NotImplementedError(f"{type(self).__name__}.coefficients is not written")

    @property
    def counters(self) -> tuple[int, list[int]]:
        """How many updates have been made, and how many of each parameter; assign both to change them."""
        return self.updates, [state.get("updates", 0) for state in self._state]

    @counters.setter
    def counters(self, value: tuple[int, list[int]]) -> None:
        self.updates, counts = value
        for state, count in zip(self._state, counts, strict=True):
            if state:
                state["updates"] = count

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the whole state: the counters, numbers set by hand, and NumPy arrays by ``slot.parameter``.

        Schedules are code, and are not saved. If a schedule was assigned to `lr` or `momentum` later, the state
        records this, and `load_state_dict` expects that a schedule has been assigned there too.
        """
        arrays = {
            f"{slot}.{position}": parameter.backend.to_numpy(state[slot]).copy()
            for position, (parameter, state) in enumerate(zip(self.params, self._state, strict=True))
            for slot in self.slots
            if slot in state
        }
        return {
            "updates": self.updates,
            "epoch": self.epoch,
            "parameter_updates": self.counters[1],
            "by_hand": {name: None if callable(value) else value for name, value in self._by_hand.items()},
            "arrays": arrays,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        A learning rate or momentum that was set by hand before the state was saved is set again. Otherwise this rule
        keeps the values of its constructor.

        Raises
        ------
        CheckpointError
            The state belongs to another rule or other parameters; then nothing has been changed.
        """
        name = type(self).__name__
        if not isinstance(saved, Mapping):
            raise CheckpointError(f"{name}: the saved state is {type(saved).__name__}, expected a dict")
        for key in ("updates", "epoch", "parameter_updates", "by_hand", "arrays"):
            if key not in saved:
                raise CheckpointError(f"{name}: the saved state lacks {key}")
        updates, epoch = (restored_count(f"{name}: saved {key}", saved[key]) for key in ("updates", "epoch"))
        by_hand = self._restored_by_hand(saved["by_hand"])
        states: list[dict[str, Any]] = [{} for _ in self.params]
        if not isinstance(saved["arrays"], Mapping):
            raise CheckpointError(f"{name}: saved arrays are {type(saved['arrays']).__name__}, expected a dict")
        for key, array in saved["arrays"].items():
            slot, _, number = str(key).partition(".")
            position = int(number) if number.isdecimal() and number.isascii() else len(self.params)
            if slot not in self.slots or position >= len(self.params) or slot in states[position]:
                raise CheckpointError(f"{name}: the saved array {key!r} does not belong to this rule")
            states[position][slot] = restored(f"{name}: saved {key}", array, self.params[position])
        counts = saved["parameter_updates"]
        if not isinstance(counts, list) or len(counts) != len(self.params):
            raise CheckpointError(f"{name}: expected saved parameter_updates to be a list of {len(self.params)} counts")
        for position, (state, count) in enumerate(zip(states, counts, strict=True)):
            if restored_count(f"{name}: saved parameter_updates", count) > updates:
                raise CheckpointError(f"{name}: parameter {position} had {count} updates, of {updates} in all")
            lacking = [f"{slot}.{position}" for slot in self.slots if slot not in state]
            if (state or count) and lacking:  # a parameter that never had a gradient has none of them
                raise CheckpointError(f"{name}: the saved state lacks {' and '.join(lacking)}")
            if count:
                state["updates"] = count
            elif state:
                raise CheckpointError(f"{name}: parameter {position} had no update, yet a state is saved for it")
        self._state, self._by_hand = states, by_hand
        self.updates, self.epoch = updates, epoch

    def _restored_by_hand(self, saved: Any) -> dict[str, float | Schedule]:
        """Return the settings by hand of a saved state."""
        name = type(self).__name__
        if not isinstance(saved, Mapping) or not set(saved) <= set(self._given):
            raise CheckpointError(f"{name}: the saved state tells of {saved!r} set by hand, which this rule has not")
        restored: dict[str, float | Schedule] = {}
        for key, value in saved.items():
            if value is not None:
                try:
                    restored[key] = self._setting(key, value)
                except TinyganError as error:
                    raise CheckpointError(f"saved {error}") from error
            elif callable(schedule := self._by_hand.get(key)):
                restored[key] = schedule
            else:
                raise CheckpointError(
                    f"{name}: a schedule had been assigned to {key}, and a schedule is code that is not saved; assign "
                    "it again, then load the state"
                )
        return restored


# The name of a setting, the check of a number, and the check of the values of a schedule.
_SETTINGS: dict[str, tuple[str, Callable[[str, Any], float], Callable[[str, Any], float]]] = {
    "lr": ("the learning rate", positive, at_least_0),
    "momentum": ("momentum", decay, decay),
}


class SGD(Optimizer):
    """Stochastic gradient descent, with the paper's momentum: ``v = m v - lr g``, ``w = w + v``.

    PyTorch's rule is ``v = m v + g``, ``w = w - lr v``. The two agree if the learning rate does not change.

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
        self._given["momentum"] = self._setting("momentum", momentum)
        self.slots = () if self._given["momentum"] == 0 else ("velocity",)

    @property
    def momentum(self) -> float:
        """The momentum of this epoch; assign a number or a schedule to change it, unless the rule has no momentum."""
        return self._now("momentum", self.epoch)

    @momentum.setter
    def momentum(self, value: float | Schedule) -> None:
        if not self.slots:
            raise StateError("SGD: made without a momentum, it keeps no velocity; make another with momentum=...")
        self._by_hand["momentum"] = self._setting("momentum", value)

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], lr: float) -> None:
        """Apply the rule to one parameter."""
        parameter.backend.sgd_step(parameter.data, gradient, state.get("velocity"), lr, self.momentum)

    def coefficients(self) -> tuple[float, float]:
        """Return the learning rate and the momentum."""
        return self.lr, self.momentum


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2014): a step for each weight, scaled by a running mean of its squared gradient.

    Parameters
    ----------
    params, lr, max_col_norm
        As in `Optimizer`.
    betas : (float, float)
        The decays of the running means of the gradient and of its square.
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
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError(f"Adam: betas must be two numbers, got {betas!r}")
        self._betas = decay("Adam: betas[0]", betas[0]), decay("Adam: betas[1]", betas[1])
        self._eps = positive("Adam: eps", eps)

    @property
    def betas(self) -> tuple[float, float]:
        """The decays of the running means of the gradient and of its square."""
        return self._betas

    @property
    def eps(self) -> float:
        """The number that is added to the root of the mean square."""
        return self._eps

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], lr: float) -> None:
        """Apply the rule to one parameter."""
        step = state["updates"] + 1
        parameter.backend.adam_step(
            parameter.data, gradient, state["mean"], state["square"], lr, self._betas, self._eps, step
        )

    def coefficients(self) -> tuple[float, float]:
        """Return the learning rate and eps, each with the correction for moments that began at 0.

        Raises
        ------
        StateError
            The correction is not the same for all parameters: some have had fewer updates than others.
        """
        counts = {state["updates"] for state in self._state if state}
        if len(counts) > 1:
            raise StateError(
                f"Adam: the parameters have had {' or '.join(map(str, sorted(counts)))} updates: the next update has "
                "another step size for each of these numbers"
            )
        return adam_rates(self.lr, self._betas, self._eps, max(counts, default=0) + 1)
