"""`Module`: a function with parameters, made of smaller ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygan.backend import get_backend
from tinygan.engine import Tensor
from tinygan.errors import CheckpointError


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


class Module:
    """Base class of layers and networks: write `forward`, and keep parameters and sub-modules as attributes.

    Attributes
    ----------
    training : bool
        Whether dropout drops. Set by `train` and `eval`.

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

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output."""
        raise NotImplementedError(f"{type(self).__name__}.forward is not written")

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the module."""
        return self.forward(*inputs)

    # ------------------------------------------------------------------ what it is made of

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules directly inside this one; those in a list or dict as ``name.key``."""
        for name, value in self._members():
            if isinstance(value, Module):
                yield name, value

    def _members(self) -> Iterator[tuple[str, Module | Tensor]]:
        """Yield (name, value) for the modules and tensors among the attributes, also those in lists in lists."""
        for name, value in vars(self).items():
            yield from _inside(name, value)

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module inside it."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter), each parameter once, under the names of `state_dict`."""
        seen: set[int] = set()
        for name, tensor in self._named_tensors(prefix):
            if isinstance(tensor, Parameter) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def _named_tensors(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        for name, value in self._members():
            if isinstance(value, Tensor):
                yield prefix + name, value
        for name, child in self.named_children():
            yield from child._named_tensors(f"{prefix}{name}.")

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
        """Switch to evaluation: dropout lets everything through."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    # ------------------------------------------------------------------ moving and keeping

    def to(self, device: str) -> Module:
        """Move every parameter and other tensor to ``"cpu"`` or ``"cuda"``, in place."""
        backend = get_backend(device)
        for _, tensor in self._named_tensors(""):
            if tensor.backend is not backend:
                tensor.data = backend.from_numpy(tensor.numpy())
                tensor.grad = None
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of every parameter and other tensor as NumPy arrays, by name."""
        return {name: tensor.numpy().copy() for name, tensor in self._named_tensors("")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the tensors of the same names.

        Raises
        ------
        CheckpointError
            A name is missing or unknown, a shape differs or a dtype does not fit; then nothing has been changed.
        """
        own = dict(self._named_tensors(""))
        problems = [f"{name} is missing" for name in own if name not in state]
        problems += [f"{name} is unknown to this module" for name in state if name not in own]
        problems += [
            f"{name} has shape {tuple(state[name].shape)}, expected {tensor.shape}"
            for name, tensor in own.items()
            if name in state and tuple(state[name].shape) != tensor.shape
        ]
        problems += [
            f"{name} has dtype {state[name].dtype}, expected {tensor.dtype}"
            for name, tensor in own.items()
            if name in state and not np.can_cast(state[name].dtype, tensor.dtype, "same_kind")
        ]
        if problems:
            raise CheckpointError(
                f"load_state_dict: the arrays do not belong to this {type(self).__name__}: {'; '.join(problems)}"
            )
        for name, tensor in own.items():
            tensor.data[...] = tensor.backend.from_numpy(state[name])
            tensor.mark_changed()

    # ------------------------------------------------------------------ looks

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n" + "\n".join(children) + "\n" if children else self.extra_repr()
        return f"{type(self).__name__}({inside})"


def _inside(name: str, value: Any) -> Iterator[tuple[str, Module | Tensor]]:
    """Yield the modules and tensors in an attribute: itself, or the items of a list, tuple or dict at any depth."""
    if isinstance(value, (Module, Tensor)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inside(f"{name}.{key}", item)


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
                raise TypeError(
                    f"Sequential: layer {position} is {type(layer).__name__}, expected a Module "
                    "(give the layers as separate arguments, not as a list)"
                )
        self.layers = list(layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the layers under their positions, and what a subclass has added under its name."""
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
