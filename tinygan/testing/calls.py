"""Calls of an operation: the arrays with respect to which it is differentiated, and its other arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygan.testing.strategies import arrays, axes, broadcastable_arrays, shapes


@dataclass(frozen=True)
class Call:
    """A call ``operation(*arrays, **options)``; the arrays become tensors.

    Examples
    --------
    >>> Call((np.ones(2),), {"axis": 0}).options
    {'axis': 0}
    """

    arrays: tuple[np.ndarray, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Calls:
    """The calls to test.

    Attributes
    ----------
    strategy : strategy of Call
    examples : tuple of Call
        Always tested, before the calls that are drawn.
    elementwise : int
        For an elementwise operation, the number of its operands, each of which may also be a number; otherwise 0.
    """

    strategy: st.SearchStrategy[Call]
    examples: tuple[Call, ...] = ()
    elementwise: int = 0


def call(*inputs: Any, **options: Any) -> Calls:
    """Test calls with arrays and options; each is a strategy or a constant.

    Examples
    --------
    >>> pad = call(arrays((2, 3)), widths=[(1, 0), (0, 2)])
    >>> pad.examples
    ()
    """
    drawn = {name: _strategy(option) for name, option in options.items()}
    return Calls(st.builds(Call, st.tuples(*map(_strategy, inputs)), st.fixed_dictionaries(drawn)))


def _strategy(value: Any) -> st.SearchStrategy[Any]:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def elementwise(count: int = 1, low: float = -10.0, high: float = 10.0, **options: Any) -> Calls:
    """Test a function of `count` operands that broadcast, with elements between `low` and `high`.

    Scalars, empty arrays and arrays of one element are always tested.

    Examples
    --------
    >>> [example.arrays[0].shape for example in elementwise(2).examples]
    [(), (1,), (0, 3), (2, 3)]
    """

    def between(*shape: int) -> np.ndarray:
        steps = np.linspace(low, high, int(np.prod(shape)) + 2)[1:-1]
        return steps.astype(np.float32).astype(np.float64).reshape(shape)

    examples = [Call(tuple(between(*shape) for _ in range(count)), options) for shape in ((), (1,), (0, 3))]
    examples.append(Call(tuple(between(*((2, 3), (3,), (2, 1))[k]) for k in range(count)), options))
    drawn = broadcastable_arrays(count, low=low, high=high)
    return Calls(drawn.map(lambda operands: Call(operands, options)), tuple(examples), count)


def reductions(low: float = -10.0, high: float = 10.0, empty: bool = True, **options: Any) -> Calls:
    """Test a function that reduces one array along ``axis``, with and without ``keepdims``.

    Parameters
    ----------
    low, high : float
    empty : bool
        False for a reduction that is not defined for empty arrays, such as a maximum.
    options
        Options of `tinygan.testing.arrays`, such as ``distinct``.

    Examples
    --------
    >>> [example.arrays[0].shape for example in reductions().examples]
    [(), (2, 3), (2, 0)]
    """

    def with_axes(array: np.ndarray) -> st.SearchStrategy[Call]:
        chosen = st.fixed_dictionaries({"axis": axes(array.ndim), "keepdims": st.booleans()})
        return chosen.map(lambda drawn: Call((array,), drawn))

    drawn = arrays(shapes(min_side=0 if empty else 1), low=low, high=high, **options).flatmap(with_axes)
    examples = [Call((np.array(low),)), Call((np.full((2, 3), high),), {"axis": (-1, 0)})]  # the second: all tie
    if empty:
        examples.append(Call((np.zeros((2, 0)),), {"axis": 1, "keepdims": True}))
    return Calls(drawn, tuple(examples))
