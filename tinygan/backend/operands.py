"""The operands of an operation: which values are allowed, and the dtype in which the operation computes."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygan.backend.base import Array, Backend, Shape
from tinygan.backend.registry import backend_of, get_backend
from tinygan.errors import DeviceError, DtypeError, ShapeError, TinyganError

DEFAULT_DTYPE = "float32"  # the dtype for Python floats; arrays keep their own
PLAIN_ARRAYS = {np.ndarray}  # the array classes that need no conversion


def plain_array(array: Array, caller: str) -> Array:
    """Return an array as a plain array, whose operators are those of ``numpy.ndarray``.

    A subclass of ``numpy.ndarray`` may define ``*`` differently, or hold more than its numbers, such as a mask. The
    gradient would ignore both. So each subclass is refused except ``numpy.memmap``, which differs only in its memory.

    Raises
    ------
    DtypeError
        The array is a matrix, a masked array or of another such class.

    Examples
    --------
    >>> plain_array(np.ma.array([1.0, 2.0], mask=[False, True]), "multiply")
    Traceback (most recent call last):
    tinygan.errors.DtypeError: multiply: got a masked array, and a tensor has no mask; ...
    """
    if type(array) in PLAIN_ARRAYS or not isinstance(array, np.ndarray):
        return array
    if isinstance(array, np.memmap):
        return array.view(np.ndarray)
    if isinstance(array, np.ma.MaskedArray):
        raise DtypeError(
            f"{caller}: got a masked array, and a tensor has no mask; fill it first, as in array.filled(0), "
            "and choose by the mask with F.where"
        )
    raise DtypeError(
        f"{caller}: got a {type(array).__name__}, whose operators are not those of an array; "
        "use np.asarray(array) if its plain values are meant"
    )


def numeric_array(array: Any) -> Array:
    """Return an array that a tensor may hold: a plain array of numbers.

    Raises
    ------
    DtypeError
        It is not an array, it does not hold numbers, or `plain_array` refuses it.
    """
    if type(array) not in PLAIN_ARRAYS:
        if backend_of(array) is None:
            use = "its .data" if hasattr(array, "data") else "tg.tensor(data)"
            raise DtypeError(f"Tensor: expected an array, got {type(array).__name__}; use {use}")
        array = plain_array(array, "tensor")
    if array.dtype.kind not in "fiubc":
        raise DtypeError(f"tensor: expected numbers, got an array of dtype {array.dtype}")
    return array


def new_array(data: Any, dtype: Any, backend: Backend) -> Array:
    """Return a new array from numbers, nested lists or an array; Python's floats become float32.

    Raises
    ------
    DtypeError
        The data are not numbers, or lists of unequal lengths.
    """
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
    return array


def fits(array: Array, data: Array) -> bool:
    """Return whether `array` has the shape, dtype and device of `data`, the array of a tensor."""
    return array.shape == data.shape and array.dtype == data.dtype and type(array) is type(data)


def misfit(what: str, array: Array, data: Array, remedy: str | None = None) -> TinyganError:
    """Return the error for an array that does not fit the array `data` of its tensor; see `fits`."""
    if array.shape != data.shape:
        remedy = remedy or "reduce or reshape it"
        return ShapeError(f"{what} has shape {array.shape}, but its tensor has shape {data.shape}: {remedy}")
    if type(array) is not type(data):
        there, here = (getattr(backend_of(value), "device", "an unknown device") for value in (array, data))
        return DeviceError(f"{what} is on {there!r}, but its tensor is on {here!r}: {remedy or f'use .to({here!r})'}")
    remedy = remedy or f"use .astype({str(data.dtype)!r})"
    return DtypeError(f"{what} has dtype {array.dtype}, but its tensor has dtype {data.dtype}: {remedy}")


def operand(value: Any, backend: Backend, caller: str) -> Any:
    """Return an input that is not a tensor as `forward` of an operation gets it: an array, a number or None.

    NumPy's scalars and 0-d arrays become Python numbers, which never promote: float32 times ``np.float64`` is float32.
    """
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


def in_one_dtype(operands: Sequence[Any]) -> Sequence[Any]:
    """Return operands in the dtype in which PyTorch would compute.

    The floating-point arrays with axes decide; 0-d operands, integers and booleans do not promote them. If all
    floating-point arrays are 0-d, they decide. If there are only integers and Python's floats, the dtype is float32.
    """
    first, mixed, integers, real_number = None, False, False, False
    for value in operands:
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            real_number = real_number or type(value) is float
        elif first is None:
            first, integers = dtype, dtype.kind in "iub"
        elif dtype is not first:
            mixed = True
    if not mixed and not (integers and real_number):
        return operands
    floats = [value for value in operands if hasattr(value, "dtype") and value.dtype.kind == "f"]
    deciding = [array.dtype for array in floats if array.ndim] or [array.dtype for array in floats]
    if not deciding and real_number:
        deciding = [np.dtype(DEFAULT_DTYPE)]
    if not deciding:
        return operands  # integers and booleans, or complex numbers: as in NumPy
    dtype = np.result_type(*deciding)
    return [
        value.astype(dtype) if hasattr(value, "dtype") and value.dtype.kind in "fiub" else value
        for value in operands
    ]


def prepare(
    inputs: Sequence[Any], tensors: Sequence[Array | None], mixed: slice, caller: str
) -> tuple[Backend, list[Any]]:
    """Return the backend of the inputs of an operation, and the inputs as its `forward` gets them.

    Parameters
    ----------
    inputs : sequence
        Tensors, arrays, numbers and None.
    tensors : sequence of array or None
        The array of each input that is a tensor; None for the others.
    mixed : slice
        The inputs that are converted to a common dtype.
    caller : str
        The operation, for messages.

    Returns
    -------
    backend : Backend
        The backend of the tensors; without tensors, that of the CPU.
    operands : list
        Arrays, numbers and None. No array is in it twice: the tape identifies saved arrays by their identity.

    Raises
    ------
    DeviceError, DtypeError
    """
    backend = None
    for array in tensors:
        if array is not None:
            other = backend_of(array)
            if backend is not None and other is not backend:
                devices = " and ".join(sorted([backend.device, other.device if other is not None else "?"]))
                raise DeviceError(f"{caller}: inputs are on different devices ({devices}); move them with .to(device)")
            backend = other
    if backend is None:
        backend = get_backend("cpu")
        if not any(getattr(value, "ndim", 0) for value in inputs):  # only numbers
            return backend, [value if value is None else new_array(value, None, backend) for value in inputs]
    operands = [
        operand(inputs[position], backend, caller) if array is None else array
        for position, array in enumerate(tensors)
    ]
    if len(operands) > 1:
        operands[mixed] = in_one_dtype(operands[mixed])
        if len({*map(id, operands)}) < len(operands):
            operands = [value[...] if backend.is_array(value) else value for value in operands]
    return backend, operands


def result_array(result: Any, operands: Sequence[Any], backend: Backend) -> Array:
    """Return the result of `forward` as an array object that is not one of the operands."""
    array = result if backend_of(result) is not None else backend.asarray(result)  # NumPy's sums are scalars
    for other in operands:
        if other is array:
            return array[...]
    return array


def viewed(array: Array, operands: Sequence[Any]) -> int | None:
    """Return the position of the operand that shares memory with the view `array`, or None."""
    owner = getattr(array, "base", None)
    if owner is not None:
        for position, other in enumerate(operands):
            if other is owner or getattr(other, "base", None) is owner:
                return position
    return None


def describe(arrays: Sequence[Any]) -> str:
    """Return shapes and dtypes of operands, for an error message."""
    return ", ".join(
        f"{array.dtype}{list(array.shape)}" if hasattr(array, "shape") else repr(array) for array in arrays
    )


def check_broadcast(shapes: Sequence[Shape], caller: str) -> None:
    """Raise `ShapeError` unless arrays of these shapes broadcast, naming all of them."""
    if not shapes or shapes.count(shapes[0]) == len(shapes):
        return
    for axis in range(-max(map(len, shapes)), 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            raise ShapeError(
                f"{caller}: shapes {' and '.join(map(str, shapes))} do not broadcast: "
                f"axis {axis} has sizes {' and '.join(map(str, sorted(sizes)))} "
                "(sizes must be equal, or one of them 1)"
            )


def broadcasts_to(shape: Shape, larger: Shape) -> bool:
    """Return whether an array of `shape` broadcasts to the shape `larger`."""
    added = len(larger) - len(shape)
    return added >= 0 and all(size in (1, other) for size, other in zip(shape, larger[added:], strict=True))
