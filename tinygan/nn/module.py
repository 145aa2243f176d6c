"""`Module`: a function with parameters, which may contain other modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from reprlib import recursive_repr
from typing import Any

import numpy as np

from tinygan.backend import get_backend
from tinygan.engine import Tensor, modes
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, StateError


class Parameter(Tensor):
    """A leaf tensor that a module owns and an optimiser changes.

    Examples
    --------
    >>> import numpy as np
    >>> Parameter(np.zeros(2, np.float32)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None) -> None:
        super().__init__(data, requires_grad=True, name=name)


class Buffer(Tensor):
    """A tensor that belongs to the state of a module but is not trained, such as a running mean.

    Parameters
    ----------
    data : array
        Not copied.
    name : str, optional
        For error messages and traces.

    Examples
    --------
    >>> import numpy as np
    >>> module = Module()
    >>> module.mean = Buffer(np.zeros(2, np.float32))
    >>> list(module.state_dict()), module.parameters()
    (['mean'], [])
    """

    __slots__ = ()

    def __init__(self, data: Any, name: str | None = None) -> None:
        super().__init__(data, name=name)


class Module:
    """Base class of layers and networks: write `forward`, and keep parameters and sub-modules as attributes.

    A `Parameter` or `Buffer` among the attributes, or in a list, tuple or dict there, belongs to the state. Any other
    tensor does not, such as an intermediate result that `forward` stores.

    Attributes
    ----------
    training : bool
        Whether dropout drops elements. Set by `train` and `eval`.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.inner = nn.Linear(3, 3)
    ...     def forward(self, x):
    ...         return self.inner(self.inner(x))
    >>> net = Twice()
    >>> [name for name, _ in net.named_parameters()]
    ['inner.weight', 'inner.bias']
    >>> net(tg.tensor([[1.0, 2.0, 3.0]])).shape
    (1, 3)
    """

    def __init__(self) -> None:
        self.training = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises
        ------
        DtypeError
            The value would replace a parameter, a buffer or a module, as in ``layer.weight -= step``.
        """
        old = vars(self).get(name)
        if isinstance(old, _PARTS) and value is not None and not isinstance(value, _PARTS):
            raise DtypeError(
                f"{type(self).__name__}.{name} is a {type(old).__name__}, and a {type(value).__name__} cannot take its "
                f"place. To change its values, write {name}.data[...] = values and {name}.mark_changed(); to replace "
                "it, assign a Parameter, Buffer or Module; to remove it, assign None or use del"
            )
        super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output."""
        raise NotImplementedError(f"{type(self).__name__}.forward is not written")

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the module."""
        observer = modes.observer()
        if observer is modes.UNOBSERVED:
            return self.forward(*inputs)
        with observer.during_module(self, inputs):
            return self.forward(*inputs)

    # ------------------------------------------------------------------ parts

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules directly inside this one; those in a list or dict as ``name.key``."""
        for name, value in self._members():
            if isinstance(value, Module):
                yield name, value

    def _members(self) -> Iterator[tuple[str, Module | Tensor]]:
        """Yield (name, value) for the modules, parameters and buffers in attributes, also in nested lists."""
        for name, value in vars(self).items():
            yield from _inside(name, value)

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module inside it, each once."""
        seen: dict[int, Module] = {}
        waiting: list[Module] = [self]
        while waiting:
            module = waiting.pop()
            if id(module) not in seen:
                seen[id(module)] = module
                yield module
                waiting += reversed([child for _, child in module.named_children()])

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter), each parameter once, under the names of `state_dict`."""
        seen: set[int] = set()
        for name, tensor in self._named_tensors(prefix):
            if isinstance(tensor, Parameter) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def _named_tensors(self, prefix: str, around: tuple[Module, ...] = ()) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor) for the state; a shared tensor under each of its names.

        `around` are the modules that contain this one. A child that is among them is a reference to a parent, and is
        skipped.
        """
        for name, value in self._members():
            if isinstance(value, Tensor):
                yield prefix + name, value
        around = (*around, self)
        for name, child in self.named_children():
            if not any(child is other for other in around):
                yield from child._named_tensors(f"{prefix}{name}.", around)

    def parameters(self) -> list[Parameter]:
        """Return every parameter, once."""
        return [parameter for _, parameter in self.named_parameters()]

    # ------------------------------------------------------------------ modes

    def train(self, mode: bool = True) -> Module:
        """Switch this module and those inside it to training (or, with False, to evaluation)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch to evaluation: dropout drops nothing."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for parameter in self.parameters():
            parameter.grad = None

    # ------------------------------------------------------------------ device and state

    def to(self, device: str) -> Module:
        """Move every parameter and buffer to ``"cpu"`` or ``"cuda"``, in place."""
        backend = get_backend(device)
        for _, tensor in self._named_tensors(""):
            if tensor.backend is not backend:
                tensor.data = backend.from_numpy(tensor.numpy())
                tensor.grad = None
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of every parameter and buffer as NumPy arrays, by name."""
        return {name: tensor.numpy().copy() for name, tensor in self._state().items()}

    def _state(self) -> dict[str, Tensor]:
        """Return the state by name. Two tensors of one name, as from the keys 1 and "1" of a dict, are refused."""
        found: dict[str, Tensor] = {}
        for name, tensor in self._named_tensors(""):
            if found.setdefault(name, tensor) is not tensor:
                raise ArgumentError(f"{type(self).__name__}: two tensors have the name {name!r}; rename one of them")
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the tensors of the same names.

        Raises
        ------
        CheckpointError
            A name is missing or unknown, or its value is not a NumPy array, or its shape or dtype does not fit. Then
            nothing has been changed.
        StateError
            A tensor cannot be written to, as inside ``ExponentialMovingAverage.applied()``.
        """
        if not isinstance(state, Mapping):
            raise CheckpointError(f"load_state_dict: expected a dict of arrays by name, got {type(state).__name__}")
        own = self._state()
        problems = [f"{name} is missing" for name in own if name not in state]
        problems += [f"{name} is unknown to this module" for name in state if name not in own]
        problems += [
            f"{name} {problem}"
            for name, tensor in own.items()
            if name in state and (problem := problem_of(state[name], tensor))
        ]
        if problems:
            raise CheckpointError(
                f"load_state_dict: the arrays do not belong to this {type(self).__name__}: {'; '.join(problems)}"
            )
        for name, tensor in own.items():
            if not tensor.backend.is_writable(tensor.data):
                raise StateError(
                    f"load_state_dict: the memory of {name} cannot be written to; inside applied() of a running mean, "
                    "load nothing"
                )
        fresh = {name: tensor.backend.array(state[name], tensor.dtype) for name, tensor in own.items()}
        for name, tensor in own.items():
            tensor.data[...] = fresh[name]
            tensor.mark_changed()

    # ------------------------------------------------------------------ repr

    def extra_repr(self) -> str:
        """Return the text between the parentheses of `repr`."""
        return ""

    @recursive_repr("...")  # of a module that refers to its parent
    def __repr__(self) -> str:
        children = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n" + "\n".join(children) + "\n" if children else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def _inside(name: str, value: Any) -> Iterator[tuple[str, Module | Tensor]]:
    """Yield the modules, parameters and buffers in an attribute: its value, or items of nested lists and dicts."""
    if isinstance(value, _PARTS):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inside(f"{name}.{key}", item)


def problem_of(array: Any, tensor: Tensor) -> str | None:
    """Return why a saved array cannot be the values of a tensor, or None."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        return f"is {type(array).__name__}, expected a NumPy array"
    if array.shape != tensor.shape:
        return f"has shape {array.shape}, expected {tensor.shape}"
    if array.dtype.kind not in "fiubc" or not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
        return f"has dtype {array.dtype}, expected {tensor.dtype}"
    try:
        with np.errstate(over="raise"):
            array.astype(tensor.dtype)
    except FloatingPointError:
        return f"holds numbers beyond the largest of {tensor.dtype}"
    return None


_PARTS = (Parameter, Buffer, Module)  # the parts of a module


class Sequential(Module):
    """Modules applied one after the other.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> len(net), [name for name, _ in net.named_parameters()]
    (2, ['0.weight', '0.bias'])
    """

    def __init__(self, *layers: Module) -> None:
        super().__init__()
        for position, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise DtypeError(
                    f"Sequential: layer {position} is {type(layer).__name__}, expected a Module "
                    "(give the layers as separate arguments, not as a list)"
                )
        self.layers = list(layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the layers with their positions as names, and other modules of a subclass with their own names."""
        return ((name.removeprefix("layers."), child) for name, child in super().named_children())

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers in order."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, position: int) -> Module:
        return self.layers[position]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)
