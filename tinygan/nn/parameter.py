"""The state of a module: `Parameter`, which an optimiser changes, and `Buffer`, which it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.engine import Tensor
from tinygan.errors import DtypeError


class Parameter(Tensor):
    """A leaf tensor that a module owns and an optimiser changes.

    Parameters
    ----------
    data : array or Tensor
        Not copied. Of a tensor, only the values: a parameter has no past.
    requires_grad : bool
        False freezes it: it belongs to the state, but gets no gradient.
    name : str, optional
        For error messages and traces.

    Examples
    --------
    >>> import tinygan as tg
    >>> Parameter(tg.tensor([1.0, 2.0])).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, name: str | None = None) -> None:
        if not isinstance(requires_grad, bool):
            raise DtypeError(
                f"Parameter: requires_grad is True or False, got {requires_grad!r}; a name is given as name=..."
            )
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad, name)
        if isinstance(data, Tensor):
            self._version = data._version  # they share the memory


class Buffer(Tensor):
    """A tensor that belongs to the state of a module but is not trained, such as a running mean.

    Parameters
    ----------
    data : array or Tensor
        Not copied.
    name : str, optional
        For error messages and traces.
    persistent : bool
        False: it moves with the module to another device, but is not in its `state_dict`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import nn
    >>> module = nn.Module()
    >>> module.mean = Buffer(np.zeros(2, np.float32))
    >>> list(module.state_dict()), module.parameters()
    (['mean'], [])
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any, name: str | None = None, persistent: bool = True) -> None:
        super().__init__(data.data if isinstance(data, Tensor) else data, name=name)
        if isinstance(data, Tensor):
            self._version = data._version  # they share the memory
        self.persistent = persistent


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
