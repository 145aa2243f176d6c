"""What all update rules share: parameters in groups, the update, and the state.

An optimiser holds the state that its rule needs for each parameter (velocity, moments), and counts its updates. This
count is the clock of all schedules. One backend kernel changes each parameter in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

from tinygan.backend.operands import fits, misfit
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, StateError
from tinygan.nn import Parameter
from tinygan.optim.checks import at_least_0, leaves, positive, restored, restored_count
from tinygan.optim.param_groups import Option, ParameterGroup, grouped
from tinygan.optim.schedules import Schedule

StepHook = Callable[["Optimizer", tuple[()], dict[str, Any]], None]


class RemovableHandle:
    """What registering a hook returns."""

    def __init__(self, hooks: dict[RemovableHandle, StepHook]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self, None)


class Optimizer:
    """The base class of all update rules.

    A rule names its options as class attributes (see `Option`) and the arrays that it keeps for each parameter as
    `slots`, and writes `update`.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Leaves with ``requires_grad=True``, or parameters of a module, which may be frozen. An update does not change a
        parameter that has no gradient, or that has ``requires_grad=False`` at that moment. For several groups, a list
        of dicts: ``"params"``, and the options in which the group differs from the others.
    lr : float or callable
        The learning rate, or a schedule of it: a function of the number of updates made so far.
    max_col_norm : float, optional
        After each update, scale every column of every 2-d parameter (the incoming weights of one unit) back to this
        Euclidean norm if it is longer (the TFD experiment; Srivastava et al., 2014).
    **options
        Of the rule: numbers or, for the momentum, a schedule.

    Raises
    ------
    ArgumentError, DtypeError
        A parameter, a group or an option is not one of these.

    Attributes
    ----------
    lr : float
        The learning rate of the next update; assign a number or a schedule to change it. The other options are such
        attributes, too.
    param_groups : tuple of ParameterGroup
        The options of each group, to read and to write.
    params : list of Tensor
        All parameters, in the order of the groups.
    updates : int
        How many updates have been made: the clock of all schedules.

    Examples
    --------
    A rule of your own, with one group of parameters that has another learning rate:

    >>> import numpy as np, tinygan as tg
    >>> class SignDescent(Optimizer):
    ...     def update(self, parameter, gradient, state, now):
    ...         parameter.data -= now["lr"] * np.sign(gradient)
    >>> a, b = (tg.tensor([1.0], requires_grad=True) for _ in range(2))
    >>> rule = SignDescent([{"params": [a]}, {"params": [b], "lr": 0.25}], lr=0.5)
    >>> (a * b).sum().backward()
    >>> rule.step()
    >>> a.item(), b.item()
    (0.5, 0.75)
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept for each parameter, all of its shape
    lr = Option(positive, scheduled=at_least_0, what="the learning rate")
    options: ClassVar[dict[str, Option]] = {"lr": lr}

    is_one_kernel = False  # whether `update` only calls one update rule of the backend, which may make it later

    def __init_subclass__(cls) -> None:
        cls.is_one_kernel = vars(cls).get("is_one_kernel", cls.is_one_kernel and "update" not in vars(cls))
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Option)}
        cls.options = {**cls.options, **own}

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Mapping[str, Any]],
        lr: float | Schedule,
        max_col_norm: float | None = None,
        **options: Any,
    ) -> None:
        name = type(self).__name__
        groups = grouped(self, params, {"lr": lr, **options})
        self.params = leaves(name, [leaf for own, _ in groups for leaf in own], "optimise", "updated")
        for position, parameter in enumerate(self.params):
            if not parameter.requires_grad and not isinstance(parameter, Parameter):
                raise ArgumentError(f"{name}: parameter {position} is not a leaf tensor with requires_grad=True")
        self.updates = 0
        self._max_col_norm = None if max_col_norm is None else positive(f"{name}: max_col_norm", max_col_norm)
        rest = iter(self.params)
        self.param_groups = tuple(ParameterGroup(self, [next(rest) for _ in own], values) for own, values in groups)
        self._rows = [row for row, group in enumerate(self.param_groups) for _ in group["params"]]
        self._state: list[dict[str, Any]] = [{} for _ in self.params]  # empty before a parameter's first update
        self._pre_hooks: dict[RemovableHandle, StepHook] = {}

    @property
    def max_col_norm(self) -> float | None:
        """The largest norm that a column of weights may have."""
        return self._max_col_norm

    def checked_option(self, name: str, value: Any) -> Any:
        """Return a value or a schedule for an option, after a check."""
        return self.options[name].given(type(self).__name__, value)

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
        for hook in list(self._pre_hooks.values()):
            hook(self, (), {})
        now = [group.now() for group in self.param_groups]
        moving = [position for position, parameter in enumerate(self.params) if self._moves(parameter)]
        for position in moving:
            self._make_ready(position)
        with self.params[0].backend.together() if self.is_one_kernel else nullcontext():
            for position in moving:
                parameter, state = self.params[position], self._state[position]
                assert parameter.grad is not None
                self.update(parameter, parameter.grad.data, state, now[self._rows[position]])
                state["updates"] += 1
                parameter.mark_changed()
        if self._max_col_norm is not None:
            for parameter in (self.params[position] for position in moving):
                if parameter.ndim == 2:
                    parameter.backend.limit_column_norm(parameter.data, self._max_col_norm)
        self.updates += 1

    def register_step_pre_hook(self, hook: StepHook) -> RemovableHandle:
        """Let `step` call a function before it reads the gradients, such as one that sums them over processes.

        Parameters
        ----------
        hook : callable
            It is called as ``hook(optimizer, args, kwargs)``, with ``()`` and ``{}``, the arguments of `step`. Hooks
            are called in the order in which they were registered; what one returns is not used.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook away.

        Examples
        --------
        >>> import tinygan as tg
        >>> from tinygan import optim
        >>> w = tg.tensor([1.0], requires_grad=True)
        >>> rule = optim.SGD([w], lr=0.5)
        >>> handle = rule.register_step_pre_hook(lambda rule, args, kwargs: print(rule.params[0].grad.item()))
        >>> (3 * w).sum().backward()
        >>> rule.step()
        3.0
        >>> handle.remove()
        """
        if not callable(hook):
            raise ArgumentError(
                f"{type(self).__name__}.register_step_pre_hook: hook is {type(hook).__name__}; expected a function of "
                "(optimizer, args, kwargs)"
            )
        handle = RemovableHandle(self._pre_hooks)
        self._pre_hooks[handle] = hook
        return handle

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

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], now: dict[str, Any]) -> None:
        """Change one parameter in place.

        `state` holds its arrays by the names in `slots`, and the number of its updates by ``updates``. `now` holds the
        options of its group by name; those with a schedule have the value for this update.
        """
        raise NotImplementedError(f"{type(self).__name__}.update is not written")

    # ------------------------------------------------------------------ captured steps

    def numbers(self, now: dict[str, Any], step: int) -> tuple[float, ...]:
        """Return the numbers that the kernel of the rule takes, in its order; `step` counts from 1.

        A step that is captured on a GPU reads them from the device.
        """
        raise NotImplementedError(f"{type(self).__name__}.numbers is not written")

    def coefficients(self) -> list[tuple[float, ...]]:
        """Return the `numbers` of the next update, for each group.

        Raises
        ------
        StateError
            They are not the same for all parameters of a group: some have had fewer updates than others.
        """
        found: list[tuple[float, ...]] = []
        for row, group in enumerate(self.param_groups):
            states = (state for own, state in zip(self._rows, self._state, strict=True) if own == row)
            counts = {state["updates"] for state in states if state} or {0}
            numbers = {self.numbers(group.now(), count + 1) for count in counts}
            if len(numbers) > 1:
                raise StateError(
                    f"{type(self).__name__}: the parameters have had {' or '.join(map(str, sorted(counts)))} updates: "
                    "the next update has another step size for each of these numbers"
                )
            found += numbers
        return found

    # ------------------------------------------------------------------ state

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
        """Return a copy of the whole state: the counters, the options, and NumPy arrays by ``slot.parameter``.

        A schedule is code, which is not saved: the state has None in its place.
        """
        arrays = {
            f"{slot}.{position}": parameter.backend.to_numpy(state[slot]).copy()
            for position, (parameter, state) in enumerate(zip(self.params, self._state, strict=True))
            for slot in self.slots
            if slot in state
        }
        return {
            "updates": self.updates,
            "parameter_updates": self.counters[1],
            "groups": [group.state() for group in self.param_groups],
            "arrays": arrays,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        The saved numbers replace those of this rule: the learning rate is part of the state. Where the saved rule had a
        schedule, this one keeps its own, and must have one.

        Raises
        ------
        CheckpointError
            The state belongs to another rule or other parameters; then nothing has been changed.
        """
        self.updates, self._state, options = self.checked_state(saved)
        for group, values in zip(self.param_groups, options, strict=True):
            group.load(values)

    def checked_state(self, saved: Any) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
        """Return what `load_state_dict` would load: the updates, the states of the parameters, the options of groups.

        Raises
        ------
        CheckpointError
            As `load_state_dict`.
        """
        name = type(self).__name__
        if not isinstance(saved, Mapping):
            raise CheckpointError(f"{name}: the saved state is {type(saved).__name__}, expected a dict")
        for key in ("updates", "parameter_updates", "groups", "arrays"):
            if key not in saved:
                raise CheckpointError(f"{name}: the saved state lacks {key}")
        updates = restored_count(f"{name}: saved updates", saved["updates"])
        groups = saved["groups"]
        if not isinstance(groups, (list, tuple)) or len(groups) != len(self.param_groups):
            raise CheckpointError(f"{name}: expected saved groups to be a list of {len(self.param_groups)} groups")
        options = [
            group.checked_state(f"{name}: group {row}", own)
            for row, (group, own) in enumerate(zip(self.param_groups, groups, strict=True))
        ]
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
        return updates, states, options
