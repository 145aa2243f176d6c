"""Tools to test your own operations: hypothesis strategies, and a function that makes a class of tests.

`strategies` draws arrays, tensors, shapes that broadcast, axes and indices. `operation_test` makes a class of tests of
an operation for pytest::

    TestExp = operation_test(F.exp, np.exp, elementwise(1, low=-20, high=20))

The package needs hypothesis (``pip install hypothesis``).
"""

from tinygan.errors import MissingPackageError

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise MissingPackageError(
        "tinygan.testing draws its examples with hypothesis, which is not installed; "
        "install it with: pip install hypothesis"
    ) from error

from tinygan.testing.calls import Call, Calls, call, elementwise, reductions
from tinygan.testing.factory import operation_test
from tinygan.testing.strategies import (
    EDGE_VALUES,
    arrays,
    axes,
    broadcastable_arrays,
    broadcastable_shapes,
    edge_arrays,
    indices,
    shapes,
    single_axes,
    tensors,
)

__all__ = [
    "EDGE_VALUES",
    "Call",
    "Calls",
    "arrays",
    "axes",
    "broadcastable_arrays",
    "broadcastable_shapes",
    "call",
    "edge_arrays",
    "elementwise",
    "indices",
    "operation_test",
    "reductions",
    "shapes",
    "single_axes",
    "tensors",
]
