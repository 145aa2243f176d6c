"""`functional_call`: a module as a function of its parameters."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import Any

from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError, did_you_mean
from tinygan.nn.module import Module


def functional_call(module: Module, tensors: Mapping[str, Tensor], *inputs: Any, **named: Any) -> Tensor:
    """Apply a module with other tensors in place of its own, for this call only.

    Gradients flow to the given tensors, through all that computed them. So one can differentiate through an update
    of D, as in an unrolled GAN (Metz et al., 2017).

    Parameters
    ----------
    module : Module
    tensors : mapping of str to Tensor
        By names of `Module.state_dict`, of the same shapes. A tensor that is not named stays the module's own.
    *inputs, **named
        The arguments of the module.

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        The module has no tensor of a name, or one shared tensor would get two values.
    DtypeError, ShapeError
        A value is not a tensor, or has another shape.

    Notes
    -----
    The call is made with a copy of the modules, which shares all else with them. The module itself keeps its tensors
    all the time, so other threads may use it meanwhile.

    Examples
    --------
    One step of gradient descent, and the gradient through it:

    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> net, x = nn.Linear(1, 1, bias=False, weight_init=nn.init.constant(3.0)), tg.tensor([[1.0]])
    >>> slope = tg.grad((net(x) ** 2).sum(), net.weight, create_graph=True)  # 2 w
    >>> after = functional_call(net, {"weight": net.weight - 0.25 * slope}, x)  # w - w / 2
    >>> tg.grad(after.sum(), net.weight).item(), net.weight.item()
    (0.5, 3.0)
    """
    own = dict(module._named_tensors(""))
    given: dict[int, Any] = {}
    for name, tensor in tensors.items():
        if name not in own:
            raise ArgumentError(
                f"functional_call: {type(module).__name__} has no parameter or buffer {name!r}{did_you_mean(name, own)}"
            )
        if not isinstance(tensor, Tensor):
            raise DtypeError(f"functional_call: {name}: expected a tensor, got {type(tensor).__name__}")
        if tensor.shape != own[name].shape:
            raise ShapeError(f"functional_call: {name} has the shape {own[name].shape}, got {tensor.shape}")
        if given.setdefault(id(own[name]), tensor) is not tensor:
            raise ArgumentError(f"functional_call: {name} is shared, and is given two values under its names")
    return call_with(given, module, *inputs, **named)


def call_with(given: dict[int, Any], module: Module, *inputs: Any, **named: Any) -> Tensor:
    """Apply a module with the values of `given` in place of the objects that have the keys as their ``id``."""
    twins: list[tuple[Module, Module, dict[str, Any]]] = []
    twin = _twin(module, given, twins)
    try:
        return twin(*inputs, **named)
    finally:  # what forward has stored on self belongs to the module
        for original, used, before in twins:
            for name, value in vars(used).items():
                if name != "_twin_of" and value is not before.get(name, twins):
                    vars(original)[name] = value


def _twin(value: Any, given: dict[int, Any], twins: list[tuple[Module, Module, dict[str, Any]]]) -> Any:
    """Return a value with modules, lists and dicts copied where they contain a tensor of `given`, by identity."""
    if id(value) in given:
        return given[id(value)]
    if isinstance(value, Module):
        twin = given[id(value)] = object.__new__(type(value))
        before = {name: _twin(part, given, twins) for name, part in vars(value).items()}
        vars(twin).update(before, _twin_of=weakref.ref(value))
        twins.append((value, twin, before))
        return twin
    if isinstance(value, (list, tuple, dict)):
        old = list(value.values() if isinstance(value, dict) else value)
        new = [_twin(part, given, twins) for part in old]
        if any(one is not other for one, other in zip(old, new, strict=True)):
            if isinstance(value, tuple):
                return type(value)(*new) if hasattr(value, "_fields") else type(value)(new)
            changed = copy.copy(value)
            for key, part in zip(value if isinstance(value, dict) else range(len(new)), new, strict=True):
                changed[key] = part
            return changed
    return value
