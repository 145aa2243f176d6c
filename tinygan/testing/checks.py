"""The checks of `operation_test`: each tests one call of an operation and raises AssertionError."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygan as tg
from tinygan.testing.calls import Call
from tinygan.testing.strategies import EDGE_VALUES

Arrange = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Subject:
    """The operation under test, with its options: see `operation_test`."""

    operation: Callable[..., tg.Tensor]
    reference: Callable[..., Any]
    rtol: float = 1e-12
    view: bool = False
    gradcheck_options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the operation."""
        return getattr(self.operation, "__name__", type(self.operation).__name__)

    def call(self, inputs: list[Any], one: Call) -> tg.Tensor:
        """Call the operation, without warnings."""
        with np.errstate(all="ignore"):
            return self.operation(*inputs, **one.options)

    def expect(self, arrays: Any, one: Call, dtype: Any = np.float64) -> np.ndarray:
        """Call the reference, without warnings."""
        with np.errstate(all="ignore"):
            return np.asarray(self.reference(*arrays, **one.options), dtype=dtype)

    def differentiate(
        self, one: Call, dtype: Any, arrange: Arrange = np.copy
    ) -> tuple[list[tg.Tensor], tg.Tensor, tg.Tensor, list[np.ndarray]]:
        """Return inputs, result, upstream gradient and gradients; `arrange` sets the memory layout of what goes in."""
        inputs = tensors_of(one, dtype, arrange)
        result = self.call(inputs, one)
        upstream = upstream_of(result, arrange)
        with np.errstate(all="ignore"):
            result.backward(upstream)
        gradients = [np.zeros(x.shape, x.dtype) if x.grad is None else x.grad.data for x in inputs]
        return inputs, result, upstream, gradients

    def gradcheck(self, one: Call, order: int) -> None:
        """Compare gradients with numerical derivatives."""

        def with_options(*inputs: tg.Tensor) -> tg.Tensor:
            return self.operation(*inputs, **one.options)

        inputs = tensors_of(one, np.float64)
        tg.gradcheck(with_options, inputs, order=order, name=self.name, **self.gradcheck_options)


def tensors_of(one: Call, dtype: Any, arrange: Arrange = np.copy) -> list[Any]:
    """Return the arrays of a call as new tensors that require a gradient."""
    return [tg.Tensor(arrange(array.astype(dtype)), requires_grad=True) for array in one.arrays]


def upstream_of(result: tg.Tensor, arrange: Arrange = np.copy) -> tg.Tensor:
    """Return an upstream gradient of different numbers of both signs; a tensor, because an array would be copied."""
    numbers = np.cos(1 + 2 * np.arange(result.size)).reshape(result.shape)
    return tg.Tensor(arrange(numbers.astype(result.dtype)))


# ---------------------------------------------------------------------- values, shapes, dtypes


def check_values(subject: Subject, one: Call) -> None:
    """Compare value, shape and dtype with the reference."""
    result = subject.call(tensors_of(one, np.float64), one)
    assert isinstance(result, tg.Tensor), f"expected a tensor, got {type(result).__name__}"
    expected = subject.expect(one.arrays, one)
    assert result.shape == expected.shape, f"the result has shape {result.shape}, the reference {expected.shape}"
    assert result.dtype == np.float64, f"float64 in, {result.dtype} out"
    assert_close(result.data, expected, subject.rtol, subject.rtol)


def check_float32(subject: Subject, one: Call) -> None:
    """Check that float32 inputs give float32 results and gradients, with the values of float64."""
    inputs, result, _, gradients = subject.differentiate(one, np.float32)
    assert result.dtype == np.float32, f"float32 in, {result.dtype} out"
    rtol = max(subject.rtol, 1e-5)
    assert_close(result.data, subject.expect(one.arrays, one), rtol, rtol, 1e-7)
    exact = subject.differentiate(one, np.float64)[3]
    for position, (tensor, gradient, wide) in enumerate(zip(inputs, gradients, exact, strict=True)):
        assert gradient.dtype == np.float32, f"the gradient of input {position} is {gradient.dtype}, the input float32"
        assert gradient.shape == tensor.shape, f"the gradient of input {position} has shape {gradient.shape}"
        assert_close(gradient, wide, 1e-3, 1e-4, 1e-6)


def check_numbers(subject: Subject, one: Call) -> None:
    """Check that an operand that is a Python or NumPy number does not promote the others."""
    kinds: tuple[Callable[[float], Any], ...] = (float, np.float64, np.array)
    for position, kind in itertools.product(range(len(one.arrays)), kinds):
        number = float(one.arrays[position].reshape(-1)[:1].sum())
        inputs = tensors_of(one, np.float32)
        inputs[position] = kind(number)
        result = subject.call(inputs, one)
        expected = subject.expect([number if k == position else x for k, x in enumerate(one.arrays)], one)
        promoted = f"with {inputs[position]!r} as operand {position}, float32 became {result.dtype}"
        assert result.dtype == np.float32, promoted
        assert_close(result.data, expected, max(subject.rtol, 1e-5), 1e-6)


def check_edge_values(subject: Subject, one: Call) -> None:
    """Compare with the reference at 0, -0, 1, 1000, infinities and nan, in all combinations of the operands."""
    grids = np.meshgrid(*[np.array(EDGE_VALUES)] * len(one.arrays))
    at_edges = Call(tuple(grid.ravel() for grid in grids), one.options)
    for dtype in (np.float64, np.float32):
        result = subject.call(tensors_of(at_edges, dtype), at_edges)
        with np.errstate(all="ignore"):
            expected: Any = subject.expect(at_edges.arrays, at_edges).astype(dtype)
        np.testing.assert_allclose(result.data, expected, rtol=max(subject.rtol, 4 * float(np.finfo(dtype).eps)))


# ---------------------------------------------------------------------- gradients


def check_gradient(subject: Subject, one: Call) -> None:
    """Compare the gradient with numerical derivatives."""
    subject.gradcheck(one, order=1)


def check_constants(subject: Subject, one: Call) -> None:
    """Check that the gradients of the other operands do not change if one operand is a constant."""
    _, _, upstream, gradients = subject.differentiate(one, np.float64)
    for constant in range(len(one.arrays) if len(one.arrays) > 1 else 0):
        inputs = tensors_of(one, np.float64)
        inputs[constant] = inputs[constant].detach()
        result = subject.call(inputs, one)
        with np.errstate(all="ignore"):
            result.backward(upstream)
        reached = inputs[constant].grad is not None
        assert not reached, f"a gradient reached input {constant}, which is a constant"
        for position, gradient in enumerate(gradients):
            if position != constant:
                assert_close(inputs[position].grad.data, gradient, 1e-12, 1e-12)


def check_second_order(subject: Subject, one: Call) -> None:
    """Compare the gradient of the gradient with numerical derivatives."""
    subject.gradcheck(one, order=2)


# ---------------------------------------------------------------------- memory


def check_nothing_is_changed(subject: Subject, one: Call) -> None:
    """Check that no pass changes an input, and that the backward pass changes no result or upstream gradient."""
    inputs = tensors_of(one, np.float64)
    before = [tensor.data.tobytes() for tensor in inputs]
    result = subject.call(inputs, one)
    assert [tensor.data.tobytes() for tensor in inputs] == before, "the forward pass changed an input"
    upstream = upstream_of(result)
    values, seed = result.data.tobytes(), upstream.data.tobytes()
    with np.errstate(all="ignore"):
        result.backward(upstream)
    assert [tensor.data.tobytes() for tensor in inputs] == before, "the backward pass changed an input"
    assert result.data.tobytes() == values, "the backward pass changed the result"
    assert upstream.data.tobytes() == seed, "the backward pass changed the upstream gradient"


def check_memory(subject: Subject, one: Call) -> None:
    """Check that gradients share no memory, and that the result shares none with an input unless it may be a view."""
    inputs, result, upstream, gradients = subject.differentiate(one, np.float64)
    arrays = {"the upstream gradient": upstream.data, "the result": result.data}
    arrays |= {f"input {position}": tensor.data for position, tensor in enumerate(inputs)}
    for name, array in arrays.items():
        shared = name.startswith("input") and np.shares_memory(array, result.data)
        assert subject.view or not shared, f"the result is a view of {name}"
    for position, gradient in enumerate(gradients):
        for name, array in arrays.items():
            shared = np.shares_memory(gradient, array)
            assert not shared, f"the gradient of input {position} shares memory with {name}"
        arrays[f"the gradient of input {position}"] = gradient


def check_layout(subject: Subject, one: Call) -> None:
    """Check that Fortran order, strides and negative strides of inputs and upstream gradients do not matter."""
    _, result, _, gradients = subject.differentiate(one, np.float64)
    for arrange in (_fortran, _strided, _reversed):
        _, again, _, others = subject.differentiate(one, np.float64, arrange)
        assert_close(again.data, result.data, 1e-12, 1e-12)
        for gradient, other in zip(gradients, others, strict=True):
            assert_close(other, gradient, 1e-12, 1e-12)


def _fortran(array: np.ndarray) -> np.ndarray:
    return array.copy(order="F")


def _strided(array: np.ndarray) -> np.ndarray:
    """Return a view of every second element along every axis of a larger array full of nan."""
    larger = np.full([2 * size + 1 for size in array.shape], np.nan, array.dtype)
    every_second: Any = (..., *(slice(1, None, 2) for _ in array.shape))
    view = larger[every_second]
    view[...] = array
    return view


def _reversed(array: np.ndarray) -> np.ndarray:
    """Return a view with negative strides."""
    backwards: Any = (..., *(slice(None, None, -1) for _ in array.shape))
    return array[backwards].copy()[backwards]


def assert_close(got: Any, expected: np.ndarray, rtol: float, atol: float, floor: float = 0.0) -> None:
    """Compare arrays: `rtol` is relative to each element, `atol` to the largest element, `floor` is absolute."""
    largest = float(np.max(np.abs(expected), initial=0, where=np.isfinite(expected)))
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol * largest + floor)
