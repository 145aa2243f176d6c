"""`Tensor`: an array, whether its gradient is wanted, and the operation it came from.

The operators (``+``, ``@``, ``.sum()``, ...) are declared here and attached by `tinygan.functional`, where each has
its forward and backward formula side by side; so is what Python asks of an object (``len``, ``repr``, ``bool``, ...).
"""

from __future__ import annotations

import numbers
import weakref
from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tinygan.backend import PLAIN_ARRAYS, Array, Backend, Shape, backend_of, get_backend, plain_array
from tinygan.errors import DeviceError, DtypeError, GradientError, ShapeError

if TYPE_CHECKING:
    from tinygan.engine.tape import Operation

DEFAULT_DTYPE = "float32"  # of a tensor made from Python floats; arrays keep the dtype they have


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
        The values. After writing into them, call `mark_changed`: the tape cannot see it. Assigning to `data` does so.
    grad : Tensor or None
        The gradient, summed over backward passes until `zero_grad`; only on leaves, and where `retain_grad` asked.
        What is assigned must be a tensor of the same shape, dtype and device.
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
        self._array: Array = data if type(data) in PLAIN_ARRAYS and data.dtype.kind in "fiubc" else _values(data)
        self._grad: Tensor | None = None
        self._version = [0]  # in a list, so that a view can share it
        self.name = name
        self._operation: Operation | None = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------ values and gradient

    def _set_data(self, array: Array) -> None:
        array = _values(array)
        if self._requires_grad and array.dtype.kind != "f":
            raise DtypeError(f"data: a tensor that requires a gradient must stay floating point, got {array.dtype}")
        self._array = array
        self.mark_changed()

    # every operation reads it, and an attrgetter takes half the time of a function of Python
    data: Array = property(attrgetter("_array"), _set_data)

    @property
    def grad(self) -> Tensor | None:
        """The gradient, or None."""
        return self._grad

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if gradient is not None:
            check_gradient(self, gradient)
        self._grad = gradient

    @property
    def version(self) -> int:
        """How many times the values have been changed; tensors that share memory share the count."""
        return self._version[0]

    @version.setter
    def version(self, count: int) -> None:
        self._version[0] = count

    def mark_changed(self) -> None:
        """Tell the tape that the values have been changed in place.

        A backward pass that needs the old values then refuses to go on, also if it saved them from a view such as
        ``w.T``. Whatever writes into `data` calls this: optimisers, ``load_state_dict``, a running mean.

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

    # ------------------------------------------------------------------ what it is

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        return self._array.dtype

    @property
    def backend(self) -> Backend:
        """The backend that computes with this tensor's array."""
        backend = backend_of(self._array)
        assert backend is not None, "a tensor's data is an array"
        return backend

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self.backend.device

    @property
    def is_floating_point(self) -> bool:
        """Whether the elements are real floating-point numbers: only these have gradients."""
        return self.dtype.kind == "f"

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user rather than by a recorded operation."""
        return self._operation is None

    @property
    def operation(self) -> Operation | None:
        """The operation this tensor is the result of, if that was recorded."""
        return self._operation

    @property
    def edge(self) -> Operation | Tensor | None:
        """Where the gradient of this tensor goes: its operation, itself if it is a leaf, or nowhere."""
        if not self._requires_grad:
            return None
        return self if self._operation is None else self._operation

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient will flow to this tensor. Can be set on leaves."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._operation is not None:
            raise GradientError(
                f"requires_grad can be set on leaf tensors only, and this is the result of "
                f"'{self._operation.name}'; call .detach() first to cut it off the graph"
            )
        if value and not self.is_floating_point:
            raise DtypeError(
                f"requires_grad: a tensor of {self.dtype} has no gradient, since it cannot be changed by a little; "
                "make it floating point, as in tg.tensor(data, dtype='float32', requires_grad=True)"
            )
        self._requires_grad = bool(value)

    # ------------------------------------------------------------------ out of the tape

    def detach(self) -> Tensor:
        """Return a tensor with the same memory that the tape knows nothing of."""
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

    __hash__ = object.__hash__  # == compares elements, but a tensor is still found in a dict by identity

    # ------------------------------------------------------------------ gradients

    def backward(
        self,
        gradient: Tensor | Array | None = None,
        create_graph: bool = False,
        retain_graph: bool | None = None,
    ) -> None:
        """Compute the gradient of this tensor by every leaf it depends on, and add it to each leaf's `grad`.

        Parameters
        ----------
        gradient : Tensor or array, optional
            The gradient of some scalar by this tensor, of the same shape: the vector v of the product v'J. May be
            left out for a tensor of one element, where it is 1.
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

        backward(self, gradient, create_graph=create_graph, retain_graph=retain_graph)

    def retain_grad(self) -> Tensor:
        """Ask `backward` to leave the gradient in `grad` although this is no leaf; returns the tensor itself."""
        if not self._requires_grad:
            raise GradientError("retain_grad: this tensor requires no gradient, so backward will leave none")
        if self._operation is not None:
            self._operation._retained = weakref.ref(self)  # weak: results point to operations, never the other way
        return self

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    # ------------------------------------------------------------------ attached by tinygan.functional

    if TYPE_CHECKING:

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __float__(self) -> float: ...
        def __int__(self) -> int: ...
        def to(self, device: str) -> Tensor: ...


def tensor(
    data: Any,
    dtype: Any = None,
    device: str = "cpu",
    requires_grad: bool = False,
    name: str | None = None,
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
        The data are no numbers or lists of unequal lengths, or a gradient is asked of integers.
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
    backend = get_backend(device)
    if isinstance(data, Tensor):
        data = data.data
    source = backend_of(data)
    if source is not None:
        data = plain_array(data, "tensor")
        data = data if source is backend else source.to_numpy(data)
    try:
        array = backend.array(data, dtype)
        if dtype is None and source is None and not hasattr(data, "dtype") and array.dtype.kind == "f":
            array = array.astype(DEFAULT_DTYPE)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"tensor: cannot make an array of {type(data).__name__}: {error}") from error
    return Tensor(array, requires_grad, name)


def as_operand(value: Any, backend: Backend, caller: str) -> Any:
    """Return what an operation's `forward` gets for one of its inputs: an array, a Python number or None.

    NumPy's scalars and 0-d arrays become Python numbers, which never promote: float32 stays float32 when it is
    multiplied by a ``np.float64``.
    """
    if isinstance(value, Tensor):
        return value._array
    if value is None or type(value) in (int, float, bool):
        return value
    owner = backend_of(value)
    if owner is not None and owner is not backend:
        raise DeviceError(
            f"{caller}: an array of device {owner.device!r} met tensors on {backend.device!r}; "
            f"move it with tg.tensor(array, device={backend.device!r})"
        )
    if owner is not None and value.ndim:
        return plain_array(value, caller)
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, (int, float, complex)):
        return number
    if isinstance(number, numbers.Number):  # a Fraction, a Decimal, NumPy's long double
        return float(number)  # type: ignore[arg-type]
    raise DtypeError(
        f"{caller}: expected a tensor, an array or a number, got {type(value).__name__}; use tg.tensor(...)"
    )


def check_gradient(tensor: Tensor, gradient: Any) -> None:
    """Raise unless `gradient` is a tensor that can be the gradient of `tensor`: of its shape, dtype and device.

    Raises
    ------
    DtypeError, ShapeError, DeviceError
    """
    what = "grad" if tensor.name is None else f"grad of {tensor.name}"
    if not isinstance(gradient, Tensor):
        raise DtypeError(f"{what}: expected a Tensor or None, got {type(gradient).__name__}; use tg.tensor(gradient)")
    if gradient.shape != tensor.shape:
        raise ShapeError(
            f"{what}: a gradient has the shape of its tensor, which is {tensor.shape}; got {gradient.shape}"
        )
    if gradient.backend is not tensor.backend:
        raise DeviceError(
            f"{what}: the tensor is on {tensor.device!r} and the gradient on {gradient.device!r}; "
            f"move it with .to({tensor.device!r})"
        )
    if gradient.dtype != tensor.dtype:
        raise DtypeError(
            f"{what}: a gradient has the dtype of its tensor, which is {tensor.dtype}; got {gradient.dtype}; "
            f"convert it with .astype({str(tensor.dtype)!r})"
        )


def _values(array: Any) -> Array:
    """Return what a tensor may hold: an array of numbers."""
    if backend_of(array) is None:
        raise DtypeError(f"Tensor: expected an array, got {type(array).__name__}; use tg.tensor(data)")
    if array.dtype.kind not in "fiubc":
        raise DtypeError(f"tensor: expected numbers, got an array of dtype {array.dtype}")
    return plain_array(array, "tensor")
