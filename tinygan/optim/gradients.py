"""The gradients of many parameters at once: their norm, and one flat array of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygan.backend import Array, Backend, backend_of
from tinygan.engine import Tensor
from tinygan.errors import AnomalyError, DeviceError, DtypeError, ShapeError
from tinygan.optim.checks import leaves, positive


def clip_grad_norm(params: Iterable[Tensor], norm: float) -> float:
    """Scale all gradients by one factor, so that together they have at most this Euclidean norm.

    With n the norm of all gradients as one vector, each becomes ``g min(1, norm / n)`` (Pascanu, Mikolov and Bengio,
    2013, algorithm 1). PyTorch's ``clip_grad_norm_`` adds 1e-6 to n. A parameter without a gradient is left out. The
    norm is computed without overflow; on a GPU, this waits for the device.

    Parameters
    ----------
    params : iterable of Tensor
    norm : float
        Above 0. With infinity, the norm is only measured.

    Returns
    -------
    float
        n, the norm before.

    Raises
    ------
    AnomalyError
        A gradient is nan or infinite; the message names the parameter. No gradient has been changed.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import optim
    >>> w = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> optim.clip_grad_norm([w], 5.0), w.grad
    (10.0, tensor([3., 4.], dtype=float32))
    """
    who = "clip_grad_norm"
    found = leaves(who, params, "clip", "clipped")
    limit = math.inf if norm == math.inf else positive(f"{who}: norm", norm)
    norms = [0.0 if parameter.grad is None else array_norm(parameter.grad.data) for parameter in found]
    for position, (parameter, own) in enumerate(zip(found, norms, strict=True)):
        if not math.isfinite(own):
            name = "" if parameter.name is None else f" {parameter.name!r}"
            raise AnomalyError(
                f"{who}: the gradient of parameter {position}{name}, of shape {parameter.shape}, has a norm of {own}; "
                "tg.detect_anomaly() finds the operation"
            )
    total = math.hypot(*norms)
    if total > limit:
        for parameter in found:
            if parameter.grad is not None:  # a new array: two parameters may have one gradient in common
                parameter.grad = Tensor(_scaled(parameter.grad.data, limit / total))
    return total


def _scaled(array: Array, factor: float) -> Array:
    scaled = array.copy()
    if factor < np.finfo(array.dtype).tiny:  # it has no place in the dtype, but its root has
        factor = math.sqrt(factor)
        scaled *= factor
    scaled *= factor
    return scaled


def array_norm(array: Array) -> float:
    """Return the Euclidean norm of an array, also where squares overflow or underflow in its dtype.

    Examples
    --------
    >>> array_norm(np.full(4, 1e200))
    2e+200
    """
    flat = array.reshape(-1)
    with np.errstate(over="ignore"):
        square = float(flat @ flat)
    if 1e-30 < square < math.inf and flat.dtype != np.float16:
        return math.sqrt(square)
    largest = float(abs(flat).max()) if flat.size else 0.0
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = flat.astype(np.float64) / largest
    return largest * math.sqrt(float(scaled @ scaled))


def get_gradients(params: Iterable[Tensor]) -> Array:
    """Return the gradients of all parameters as one flat array; a parameter without a gradient has zeros.

    Parameters
    ----------
    params : iterable of Tensor

    Returns
    -------
    array
        A copy, of shape (number of elements of all parameters,), on their device.

    Raises
    ------
    DeviceError
        The parameters are on two devices.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import optim
    >>> w, b = tg.tensor([[1.0, 2.0]], requires_grad=True), tg.tensor([3.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> optim.get_gradients([w, b])
    array([2., 4., 0.], dtype=float32)
    """
    found = leaves("get_gradients", params, "read", "read")
    xp = _backend("get_gradients", found).xp
    return xp.concatenate([(xp.zeros_like(p.data) if p.grad is None else p.grad.data).reshape(-1) for p in found])


def set_gradients(params: Iterable[Tensor], flat: Any) -> None:
    """Set the gradients of all parameters from one flat array, in the order of `get_gradients`.

    Parameters
    ----------
    params : iterable of Tensor
    flat : array or Tensor
        Floats of shape (number of elements of all parameters,), on their device; they are copied, each with the dtype
        of its parameter.

    Raises
    ------
    ShapeError, DtypeError, DeviceError
        The array does not fit; then no gradient has been changed.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> from tinygan import optim
    >>> w = tg.tensor([[1.0, 2.0]], requires_grad=True)
    >>> optim.set_gradients([w], np.array([5.0, 6.0]))
    >>> w.grad
    tensor([[5., 6.]], dtype=float32)
    """
    who = "set_gradients"
    found = leaves(who, params, "set", "set")
    flat = flat.data if isinstance(flat, Tensor) else flat
    if backend_of(flat) is None or flat.dtype.kind != "f":
        found_type = getattr(flat, "dtype", type(flat).__name__)
        raise DtypeError(f"{who}: expected an array of floats, got {found_type}; write np.asarray(values, float)")
    sizes = [parameter.size for parameter in found]
    if flat.shape != (sum(sizes),):
        raise ShapeError(
            f"{who}: the parameters have {sum(sizes)} elements, so the array must have shape ({sum(sizes)},), got "
            f"{flat.shape}"
        )
    _backend(who, [*found, Tensor(flat)])
    end = 0
    for parameter, size in zip(found, sizes, strict=True):
        own, end = flat[end : end + size], end + size
        parameter.grad = Tensor(own.reshape(parameter.shape).astype(parameter.dtype))


def _backend(who: str, tensors: list[Tensor]) -> Backend:
    """Return the backend of all tensors."""
    backends = {tensor.device: tensor.backend for tensor in tensors}
    if len(backends) > 1:
        raise DeviceError(f"{who}: parameters and array are on {' and '.join(backends)}; move them to one device")
    return tensors[0].backend
