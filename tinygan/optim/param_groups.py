"""Options of an update rule, and parameter groups: each group of parameters has its own values of the options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, StateError, TinyganError, did_you_mean
from tinygan.optim.checks import listed

if TYPE_CHECKING:
    from tinygan.optim.optimizers import Optimizer

Check = Callable[[str, Any], Any]


class Option:
    """An option of an update rule, such as the learning rate: an attribute of the rule and a key of its groups.

    Assigned to the rule, a value is set in all groups. Read from the rule, it is the value of all groups.

    Parameters
    ----------
    check : callable
        Returns a value that was given, after a check; its first argument names the value in an error.
    scheduled : callable, optional
        The check of a value that a schedule returns. Without it, the option takes no schedule.
    what : str, optional
        The name in errors, by default that of the attribute.
    """

    def __init__(self, check: Check, scheduled: Check | None = None, what: str = "") -> None:
        self._check, self._scheduled, self._what = check, scheduled, what

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self._what = name, self._what or name

    def __get__(self, rule: Optimizer | None, owner: type) -> Any:
        if rule is None:
            return self
        first, *others = [group[self.name] for group in rule.param_groups]
        if any(other != first for other in others):
            raise StateError(
                f"{owner.__name__}: the groups have different values of {self.name}: read "
                f"param_groups[i][{self.name!r}]"
            )
        return first

    def __set__(self, rule: Optimizer, value: Any) -> None:
        checked = rule.checked_option(self.name, value)
        for group in rule.param_groups:
            group[self.name] = checked

    def given(self, who: str, value: Any) -> Any:
        """Return a value or a schedule after a check; the values of a schedule are checked later."""
        return value if callable(value) and self._scheduled else self._check(f"{who}: {self._what}", value)

    def now(self, who: str, value: Any, updates: int) -> Any:
        """Return the value that a schedule gives after so many updates."""
        assert self._scheduled is not None
        return self._scheduled(f"{who}: {self._what} that the schedule gives for {updates}", value(updates))


class ParameterGroup(MutableMapping[str, Any]):
    """A table of the options of some parameters: an item of `Optimizer.param_groups`.

    Reading an option returns the number for the next update, also if it follows a schedule. A number or a schedule that
    is assigned is checked, and replaces what was there. The key ``"params"`` has the parameters; it cannot be changed.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import optim
    >>> w, b = (tg.tensor([1.0], requires_grad=True) for _ in range(2))
    >>> sgd = optim.SGD([{"params": [w], "weight_decay": 0.01}, {"params": [b]}], lr=0.1)
    >>> sgd.param_groups[1]["lr"] *= 2
    >>> sgd.param_groups[1]
    {1 parameter, lr: 0.2, momentum: 0.0, weight_decay: 0.0}
    """

    def __init__(self, rule: Optimizer, params: Iterable[Tensor], values: Mapping[str, Any]) -> None:
        self._rule, self._params = rule, tuple(params)
        self._values = {name: rule.checked_option(name, values[name]) for name in rule.options}
        self._given = dict(self._values)  # those of the constructor

    def now(self, updates: int | None = None) -> dict[str, Any]:
        """Return the options for the next update, or for the one after so many `updates`."""
        rule = self._rule
        who, options, updates = type(rule).__name__, rule.options, rule.updates if updates is None else updates
        return {
            name: options[name].now(who, value, updates) if callable(value) else value
            for name, value in self._values.items()
        }

    def __getitem__(self, name: str) -> Any:
        return self._params if name == "params" else self.now()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._values:
            raise _unknown(self._rule, name)
        self._values[name] = self._rule.checked_option(name, value)

    def __delitem__(self, name: str) -> None:
        raise StateError(f"{type(self._rule).__name__}: {name!r} of a group cannot be removed; assign another value")

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self._values))

    def __len__(self) -> int:
        return 1 + len(self._values)

    def __repr__(self) -> str:
        count = len(self._params)
        options = [f"{name}: {value}" for name, value in self.now().items()]
        return f"{{{', '.join([f'{count} parameter' + 's' * (count != 1), *options])}}}"

    def state(self) -> dict[str, Any]:
        """Return the number of parameters and the options as plain values; None for a schedule, which is code."""
        plain = {name: None if callable(value) else value for name, value in self._values.items()}
        return {"params": len(self._params), **plain}

    def checked_state(self, who: str, saved: Any) -> dict[str, Any]:
        """Return the options of a saved state after a check. For None, it is the schedule that stands here.

        Raises
        ------
        CheckpointError
            The state belongs to other parameters or another rule, or a schedule is missing here.
        """
        expected = {"params", *self._values}
        if not isinstance(saved, Mapping) or saved.keys() != expected or saved["params"] != len(self._params):
            raise CheckpointError(
                f"{who}: saved as {saved!r:.200}; expected {len(self._params)} for params and the options "
                f"{', '.join(self._values)}"
            )
        found = {}
        for name in self._values:
            value = saved[name]
            if value is None:
                value = next((own[name] for own in (self._values, self._given) if callable(own[name])), None)
                if value is None:
                    raise CheckpointError(
                        f"{who}: {name} had a schedule, and a schedule is code that is not saved; assign it again, "
                        "then load the state"
                    )
            try:
                found[name] = self._rule.checked_option(name, value)
            except TinyganError as error:
                raise CheckpointError(f"saved {error}") from error
        return found

    def load(self, values: dict[str, Any]) -> None:
        """Take options that `checked_state` returned."""
        self._values = values


def grouped(rule: Optimizer, params: Any, values: Mapping[str, Any]) -> list[tuple[list[Any], dict[str, Any]]]:
    """Return the parameters and the options of each group; parameters that are not in dicts form one group.

    Raises
    ------
    ArgumentError
        Only some items are dicts, or one lacks its parameters or has an unknown key.
    """
    who = type(rule).__name__
    items = listed(who, params)
    if not any(isinstance(item, Mapping) for item in items):
        return [(items, dict(values))]
    found = []
    for position, item in enumerate(items):
        if not isinstance(item, Mapping) or "params" not in item:
            what = "a dict without 'params'" if isinstance(item, Mapping) else f"a {type(item).__name__}"
            raise ArgumentError(
                f"{who}: group {position} is {what}; expected only dicts with the key 'params', or only parameters"
            )
        own = {name: value for name, value in item.items() if name != "params"}
        for name in own.keys() - values.keys():
            raise _unknown(rule, name)
        found.append((listed(f"{who}: group {position}", item["params"]), {**values, **own}))
    return found


def _unknown(rule: Optimizer, name: Any) -> ArgumentError:
    known = list(rule.options)
    return ArgumentError(
        f"{type(rule).__name__}: a group has no option {name!r}; expected {', '.join(known)}"
        f"{did_you_mean(str(name), known)}"
    )
