"""`Module`: a function with parameters, which may contain other modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygan.backend import get_backend
from tinygan.engine import Tensor, modes
from tinygan.errors import ArgumentError, CallError, CheckpointError, DtypeError, StateError
from tinygan.functional.signatures import misfit
from tinygan.nn.parameter import Buffer, Parameter, problem_of

if TYPE_CHECKING:
    from tinygan.nn.summary import Summary


class _Parameters(list[Parameter]):
    """A list that answers ``next(net.parameters())``."""

    def __next__(self) -> Parameter:
        raise CallError("net.parameters() is a list: write net.parameters()[0]")


class LoadedKeys(NamedTuple):
    """The names that `Module.load_state_dict` has found on one side only."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base class of layers and networks: write `forward`, and keep parameters and sub-modules as attributes.

    A `Parameter` or `Buffer` among the attributes, or in a list, tuple or dict there, belongs to the state. Any other
    tensor does not, such as an intermediate result that `forward` stores.

    Attributes
    ----------
    training : bool
        Whether dropout drops elements, and noise is added. Set by `train` and `eval`.

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

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        """Apply the module."""
        observer = modes.observer()
        try:
            if observer is modes.UNOBSERVED:
                return self.forward(*inputs, **named) if named else self.forward(*inputs)  # faster without names
            original = vars(self).get("_twin_of", lambda: self)()  # inside `functional_call`
            with observer.during_module(original, (*inputs, *named.values())):
                return self.forward(*inputs, **named)
        except TypeError as error:
            if error.__traceback__.tb_next is not None:  # type: ignore[union-attr]  # raised inside of forward
                raise
        raise misfit(inspect.signature(self.forward).parameters, "net", False, inputs, named)

    def __getitem__(self, key: Any) -> Any:
        """Refuse ``net["hidden"]``: only the lists of modules have positions."""
        raise CallError(f"{type(self).__name__} has no part {key!r}: write dict(net.named_children())  # by name")

    def __setitem__(self, key: Any, value: Any) -> None:
        self[key]

    def __delitem__(self, key: Any) -> None:
        self[key]

    # ------------------------------------------------------------------ parts

    def register_buffer(self, name: str, data: Any, persistent: bool = True) -> None:
        """Set the attribute `name` to a `Buffer` of an array or a tensor; None makes room for one.

        Examples
        --------
        >>> import tinygan as tg
        >>> module = Module()
        >>> module.register_buffer("mean", tg.tensor([0.5]))
        >>> list(module.state_dict())
        ['mean']
        """
        old = getattr(self, name, None) if isinstance(name, str) and name.isidentifier() else self
        if not (old is None or isinstance(old, Buffer)):
            raise ArgumentError(
                f"register_buffer: expected the name of a new attribute of {type(self).__name__}, got {name!r}"
            )
        setattr(self, name, None if data is None else Buffer(data, name, persistent))

    def children(self) -> Iterator[Module]:
        """Yield the modules directly inside this one, each once."""
        return iter({id(child): child for _, child in self.named_children()}.values())

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
        return (module for _, module in self.named_modules())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for this module and every module inside it, each once; its own name is `prefix`."""
        seen: dict[int, Module] = {}
        waiting: list[tuple[str, Module]] = [(prefix, self)]
        while waiting:
            name, module = waiting.pop()
            if id(module) not in seen:
                seen[id(module)] = module
                yield name, module
                inside = [(f"{name}.{key}" if name else key, child) for key, child in module.named_children()]
                waiting += reversed(inside)

    def apply(self, function: Callable[[Module], Any]) -> Module:
        """Call `function` with every module inside this one, and then with this one; return this module.

        Examples
        --------
        >>> import numpy as np
        >>> from tinygan import nn
        >>> def zero(module):
        ...     if isinstance(module, nn.Linear):
        ...         module.weight.data = np.zeros(module.weight.shape, np.float32)
        >>> bool(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).apply(zero)[0].weight.data.any())
        False
        """
        for module in reversed(list(self.modules())):
            function(module)
        return self

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
        return _Parameters([parameter for _, parameter in self.named_parameters()])

    # ------------------------------------------------------------------ modes

    def train(self, mode: bool = True) -> Module:
        """Switch this module and those inside it to training (or, with False, to evaluation)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch to evaluation: no dropout, no noise, and running statistics in place of those of the batch."""
        return self.train(False)

    def requires_grad_(self, mode: bool = True) -> Module:
        """Freeze all parameters (with False): they get no gradient; or train them again; return this module."""
        for parameter in self.parameters():
            parameter.requires_grad = mode
        return self

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
            if isinstance(tensor, Buffer) and not tensor.persistent:
                continue
            if found.setdefault(name, tensor) is not tensor:
                raise ArgumentError(f"{type(self).__name__}: two tensors have the name {name!r}; rename one of them")
        return found

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadedKeys:
        """Copy arrays into the tensors of the same names.

        Parameters
        ----------
        state : mapping of str to array
        strict : bool
            Refuse names that only this module has, and names that only `state` has. Otherwise they are skipped.

        Returns
        -------
        LoadedKeys
            ``missing_keys``: the names that are not in `state`; ``unexpected_keys``: those that only `state` has.

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
        keys = LoadedKeys([name for name in own if name not in state], [name for name in state if name not in own])
        own = {name: tensor for name, tensor in own.items() if name in state}
        problems = [f"{name} is missing" for name in keys.missing_keys] if strict else []
        problems += [f"{name} is unknown to this module" for name in keys.unexpected_keys] if strict else []
        unfit = ((name, problem_of(state[name], tensor)) for name, tensor in own.items())
        problems += [f"{name} {problem}" for name, problem in unfit if problem]
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
        return keys

    # ------------------------------------------------------------------ repr

    def extra_repr(self) -> str:
        """Return the text between the parentheses of `repr`."""
        return ""

    @recursive_repr("...")  # of a module that refers to its parent
    def __repr__(self) -> str:
        children = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n" + "\n".join(children) + "\n" if children else self.extra_repr()
        return f"{type(self).__name__}({inside})"

    def __str__(self) -> str:
        return f"{self!r}\n{sum(parameter.size for parameter in self.parameters()):,} parameters"

    def summary(self, *inputs: Any, **named: Any) -> Summary:
        """Return a table of the layers, their output shapes and their parameters: see `tinygan.nn.summary`.

        Parameters
        ----------
        *inputs, **named
            For each input of `forward` its shape, with the axis of the batch; or a tensor.

        Returns
        -------
        Summary
            A string, to be printed.

        Raises
        ------
        ShapeError
            A layer does not fit; the message names it.

        Examples
        --------
        >>> from tinygan import nn
        >>> nn.Sequential(nn.Linear(784, 240), nn.ReLU(), nn.Linear(240, 1)).summary((100, 784))
        name   layer           output      parameters
        0      Linear(784, 240)  (100, 240)     188,400
        1      ReLU()            (100, 240)           0
        2      Linear(240, 1)    (100, 1)           241
        total                                   188,641
        """
        from tinygan.nn.summary import summary

        return summary(self, inputs, named)


def _inside(name: str, value: Any) -> Iterator[tuple[str, Module | Tensor]]:
    """Yield the modules, parameters and buffers in an attribute: its value, or items of nested lists and dicts."""
    if isinstance(value, _PARTS):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inside(f"{name}.{key}", item)


_PARTS = (Parameter, Buffer, Module)  # the parts of a module
