"""`Tensor`: an array, whether its gradient is wanted, and the operation it came from.

The operators (``+``, ``@``, ``.sum()``, ...) are declared here and attached by `tinygan.functional`, where each has
its forward and backward formula side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tinygan.backend import Array, Backend, Shape, backend_of, get_backend
from tinygan.backend.operands import fits, misfit, new_array, numeric_array
from tinygan.engine import modes
from tinygan.errors import DtypeError, GradientError, NoAxisError, ShapeError

if TYPE_CHECKING:
    from tinygan.engine.tape import Operation


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    Users make one with `tinygan.tensor`, which copies and converts; this constructor wraps an array as it is.

    Parameters
    ----------
    data : array
        A NumPy or CuPy array; not copied.
    requires_grad : bool
        Make this a leaf whose gradient `backward` leaves in `grad`.
    name : str, optional
        For error messages, traces and `repr`.

    Attributes
    ----------
    data : array
        The values: an array of NumPy or CuPy, with the methods of those. After writing into it, as in
        ``w.data.clip(-1, 1, out=w.data)``, call `mark_changed`. An assignment to `data` calls it.
    grad : Tensor or None
        The gradient, summed over backward passes until it is set to None; only on leaves. A gradient that is assigned
        must be a tensor of the same shape, dtype and device.
    requires_grad : bool
        Whether a gradient will flow to this tensor. It can be set on leaves.
    operation : Operation or None
        The operation that computed this tensor, if it was recorded.
    version : int
        How many times the values have been changed. Tensors that share memory share it.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_array", "_grad", "_operation", "_requires_grad", "_version", "name")

    def __init__(self, data: Array, requires_grad: bool = False, name: str | None = None) -> None:
        self._array: Array = numeric_array(data)
        self._grad: Tensor | None = None
        self._version = [0]  # in a list, so that a view can share it
        self.name = name
        self._operation: Operation | None = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------ values and gradient

    def _set_data(self, array: Array) -> None:
        array = numeric_array(array)
        if self._requires_grad and array.dtype.kind != "f":
            raise DtypeError(f"data: a tensor that requires a gradient must stay floating point, got {array.dtype}")
        self._array = array
        self.mark_changed()

    def _set_grad(self, gradient: Tensor | None) -> None:
        if gradient is not None and not isinstance(gradient, Tensor):
            raise DtypeError(f"grad: expected a Tensor, got {type(gradient).__name__}; use tg.tensor(gradient)")
        if gradient is not None and not fits(gradient.data, self.data):
            raise misfit(f"grad of {self.name}" if self.name else "grad", gradient.data, self.data)
        self._grad = gradient

    def _set_requires_grad(self, value: bool) -> None:
        if self._operation is not None:
            raise GradientError.no_leaf(self._operation.name)
        if value and self.dtype.kind != "f":
            raise DtypeError(
                f"requires_grad: a tensor of {self.dtype} has no gradient, since it cannot be changed by a little; "
                "make it floating point, as in tg.tensor(data, dtype='float32', requires_grad=True)"
            )
        self._requires_grad = bool(value)

    # every operation reads these, and an attrgetter takes half the time of a function of Python
    data: Array = property(attrgetter("_array"), _set_data, doc="The values.")
    grad = property(attrgetter("_grad"), _set_grad)
    requires_grad = property(attrgetter("_requires_grad"), _set_requires_grad)
    operation: Operation | None = property(attrgetter("_operation"))  # type: ignore[assignment]
    shape: Shape = property(attrgetter("_array.shape"), doc="Sizes of the axes.")  # type: ignore[assignment]
    ndim: int = property(attrgetter("_array.ndim"), doc="Number of axes.")  # type: ignore[assignment]
    size: int = property(attrgetter("_array.size"), doc="Number of elements.")  # type: ignore[assignment]
    dtype: Any = property(attrgetter("_array.dtype"), doc="Type of the elements.")

    @property
    def version(self) -> int:
        """How many times the values have been changed; tensors that share memory share the count."""
        return self._version[0]

    @version.setter
    def version(self, count: int) -> None:
        self._version[0] = count

    def mark_changed(self) -> None:
        """Record that the values have been changed in place.

        A backward pass that needs the old values then raises an error, also if they were saved from a view such as
        ``w.T``. All code that writes into `data` calls this: optimisers, ``load_state_dict``, a running mean.

        Examples
        --------
        >>> import tinygan as tg
        >>> w = tg.tensor([3.0], requires_grad=True)
        >>> loss = (w * w).sum()
        >>> w.data[0] = 5.0
        >>> w.mark_changed()
        >>> loss.backward()
        Traceback (most recent call last):
        tinygan.errors.GradientError: multiply: its input 0, of shape (1,), has been changed in place ...
        """
        self._version[0] += 1

    # ------------------------------------------------------------------ properties

    @property
    def backend(self) -> Backend:
        """The backend that computes with this tensor's array."""
        return backend_of(self._array)  # type: ignore[return-value]

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self.backend.device

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user rather than by a recorded operation."""
        return self._operation is None

    @property
    def edge(self) -> Operation | Tensor | None:
        """The receiver of the gradient of this tensor: its operation; itself if it is a leaf; or None."""
        return (self._operation or self) if self._requires_grad else None

    # ------------------------------------------------------------------ values without a graph

    def detach(self) -> Tensor:
        """Return a tensor with the same memory, outside of the graph."""
        detached = Tensor(self._array[...])
        detached._version = self._version
        return detached

    def item(self) -> float | int | bool:
        """Return the only element as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item: expected a tensor of one element, got shape {self.shape}")
        return self.data.item()

    def numpy(self) -> Any:
        """Return the values as a NumPy array; on the CPU it shares the tensor's memory."""
        return self.backend.to_numpy(self.data)

    __hash__ = object.__hash__  # == compares elements, but a tensor is a dict key by identity

    # ------------------------------------------------------------------ gradients

    def backward(
        self, gradient: Tensor | Array | None = None, create_graph: bool = False, retain_graph: bool | None = None
    ) -> None:
        """Compute the gradient with respect to every leaf that this tensor depends on; add it to the leaf's `grad`.

        Parameters
        ----------
        gradient : Tensor or array, optional
            The gradient of some scalar with respect to this tensor, of the same shape: the vector v of the product
            v'J. May be left out for a tensor of one element, where it is 1.
        create_graph : bool
            Record the backward pass, so that the gradients can be differentiated again.
        retain_graph : bool, optional
            Keep what the graph saved for a second backward pass through it; by default `create_graph`.

        Raises
        ------
        GradientError
            This tensor depends on no leaf, holds many elements and `gradient` is missing, or its graph has been
            freed by an earlier backward pass.
        """
        from tinygan.engine.chain_rule import backward

        backward(self, gradient, create_graph, retain_graph)

    # ------------------------------------------------------------------ special methods of Python and NumPy

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self._requires_grad:
            raise GradientError.leaves_tape("a NumPy array", "or say so with .detach().numpy()")
        if self.device != "cpu":
            raise GradientError(f"this tensor is on {self.device!r}: copy it to host memory with .numpy()")
        array = self._array if dtype is None else self._array.astype(dtype)
        return array.copy() if copy else array

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def _number(self) -> Any:
        if self._requires_grad and modes.is_grad_enabled():
            raise GradientError.leaves_tape("a number", "such as F.exp for math.exp, or say so with .item()")
        return self.item()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"the truth value of a tensor of shape {self.shape} is ambiguous: is it that of all elements or of "
                "any? Reduce it to one element first, or choose elementwise with F.where"
            )
        return bool(self.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise NoAxisError("len: a 0-d tensor is one number and has no length or rows; use .item()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.__getitem__, range(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise GradientError.assigned_into()

    def __repr__(self) -> str:
        facts = [f"device={self.device!r}"] if self.device != "cpu" else []
        facts += [f"name={self.name!r}"] if self.name is not None else []
        facts += [f"operation={self._operation.name}"] if self._operation is not None else []
        facts += ["requires_grad=True"] if self._requires_grad and self._operation is None else []
        values = repr(self.numpy()).removeprefix("array").replace("\n", "\n ")[:-1]
        return f"tensor{', '.join([values, *facts])})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __getstate__(self) -> Any:  # for copy.copy, copy.deepcopy and pickle
        if self._operation is not None:
            raise GradientError.copied(self._operation.name)
        return object.__getstate__(self)

    if TYPE_CHECKING:  # attached by tinygan.functional

        def _attached(self, *operands: Any, axis: Any = None, keepdims: bool = False) -> Tensor: ...

        def __getattr__(self, name: str) -> Any: ...  # the methods in the table of tinygan.functional.operators

        __neg__ = __pos__ = __abs__ = __invert__ = __getitem__ = __lt__ = __le__ = __gt__ = __ge__ = _attached
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _attached
        __floordiv__ = __mod__ = __and__ = __or__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _attached
        __eq__ = __ne__ = _attached  # type: ignore[assignment]
        T: Tensor


def tensor(
    data: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Make a tensor by copying numbers, nested lists, an array or a tensor.

    Parameters
    ----------
    data : array_like
    dtype : dtype, optional
        By default that of an array or tensor, float32 for Python floats, int64 for Python integers.
    device : {"cpu", "cuda"}
    requires_grad : bool
        Make it a leaf whose gradient `Tensor.backward` leaves in ``.grad``.
    name : str, optional
        For error messages and traces.

    Returns
    -------
    Tensor

    Raises
    ------
    DtypeError
        The data are not numbers, lists have unequal lengths, or a gradient is requested for integers.
    DeviceError
        The device is unknown or not available.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    >>> tg.tensor(0.5, requires_grad=True)
    tensor(0.5, dtype=float32, requires_grad=True)
    """
    data = data.data if isinstance(data, Tensor) else data
    return Tensor(new_array(data, dtype, get_backend(device)), requires_grad, name)
