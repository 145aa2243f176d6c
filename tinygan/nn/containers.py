"""Modules that hold other modules in a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tinygan.engine import Tensor
from tinygan.errors import DtypeError
from tinygan.nn.module import Module


class ModuleList(Module):
    """A list of modules, for a module that calls them in its own way. A plain list as an attribute does the same.

    Examples
    --------
    >>> from tinygan import nn
    >>> towers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3)])
    >>> len(towers.append(nn.Linear(2, 3))), [name for name, _ in towers.named_parameters()][:2]
    (3, ['0.weight', '0.bias'])
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        if isinstance(modules, Module) and not isinstance(modules, ModuleList):
            raise DtypeError(f"ModuleList: expected a list of modules, got one {type(modules).__name__}")
        self.layers: list[Module] = []
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; return this list."""
        self.layers.append(self._checked(module, len(self.layers)))
        return self

    def _checked(self, module: Any, position: Any) -> Module:
        if isinstance(module, Module):
            return module
        what = f"{type(self).__name__}: layer {position} is {type(module).__name__}, expected a Module"
        hint = " (give the layers as separate arguments, not as a list: write nn.Sequential(*layers{}))"
        hint = hint.format(".values()" if isinstance(module, dict) else "") if isinstance(self, Sequential) else ""
        raise DtypeError(what + hint)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end; return this list."""
        for module in modules:
            self.append(module)
        return self

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules with their positions as names, and other modules of a subclass with their own names."""
        return ((name.removeprefix("layers."), child) for name, child in super().named_children())

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, position: Any) -> Any:
        """Return one module, or, of a slice, a new list of the same modules."""
        if isinstance(position, str):
            return super().__getitem__(position)
        if not isinstance(position, slice):
            return self.layers[position]
        chosen = self.layers[position]
        return Sequential(*chosen) if isinstance(self, Sequential) else ModuleList(chosen)

    def __setitem__(self, position: Any, module: Any) -> None:
        """Replace a module; or, of a slice, several."""
        several = isinstance(position, slice)
        self.layers[position] = (
            [self._checked(one, position) for one in module] if several else self._checked(module, position)
        )

    def __delitem__(self, position: Any) -> None:
        del self.layers[position]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Sequential(ModuleList):
    """Modules applied one after the other.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> len(net), [name for name, _ in net.named_parameters()]
    (2, ['0.weight', '0.bias'])
    >>> features = net[:-1]  # the same layers, without the last
    >>> features[0] is net[0]
    True
    """

    def __init__(self, *layers: Module) -> None:
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers in order."""
        for layer in self.layers:
            x = layer(x)
        return x
