"""`operation_test`: it makes a class of all tests of an operation for pytest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, example, given, settings

import tinygan as tg
from tinygan.testing import checks
from tinygan.testing.calls import Call, Calls
from tinygan.testing.checks import Subject

Check = Callable[[Subject, Call], None]


def operation_test(
    operation: Callable[..., tg.Tensor],
    reference: Callable[..., Any],
    calls: Calls,
    *,
    rtol: float = 1e-12,
    view: bool = False,
    second_order: bool = True,
    edge_values: bool = True,
    gradcheck_options: dict[str, Any] | None = None,
) -> type:
    """Make a class of tests of an operation; assign it to a name that begins with ``Test``.

    The tests compare values with a reference, and gradients (also of second order and in float32) with numerical
    derivatives. They check that shapes and dtypes are right, that Python and NumPy numbers do not promote, that no
    array is changed and no memory shared, that the memory layout does not matter, and that 0, -0, 1000, infinities and
    nan give the results of the reference.

    Parameters
    ----------
    operation : callable
        A differentiable function, called as ``operation(*tensors, **options)``.
    reference : callable
        The same function of NumPy arrays.
    calls : Calls
        The calls to test: made by `elementwise`, `reductions` or `call`.
    rtol : float
        Relative tolerance of values in float64; in float32 it is at least 1e-5.
    view : bool
        The result may be a view of an input.
    second_order : bool
        Check the gradient of the gradient.
    edge_values : bool
        Compare an elementwise operation at `EDGE_VALUES`.
    gradcheck_options : dict, optional
        Options of `tinygan.gradcheck`.

    Returns
    -------
    type
        A class with the methods ``test_values``, ``test_float32``, ``test_gradient``, ``test_second_order``,
        ``test_nothing_is_changed``, ``test_memory``, ``test_layout`` and, for several operands, ``test_constants``;
        for an elementwise operation also ``test_edge_values`` and ``test_numbers``.

    Examples
    --------
    >>> import numpy as np, tinygan.functional as F
    >>> from tinygan.testing import elementwise
    >>> TestExp = operation_test(F.exp, np.exp, elementwise(1, low=-20, high=20))
    >>> TestExp().test_values()
    """
    subject = Subject(operation, reference, rtol, view, gradcheck_options or {})
    tests: dict[str, Any] = {
        "test_values": _drawn(checks.check_values, subject, calls),
        "test_float32": _drawn(checks.check_float32, subject, calls, share=2),
        "test_gradient": _drawn(checks.check_gradient, subject, calls, share=2),
        "test_nothing_is_changed": _drawn(checks.check_nothing_is_changed, subject, calls, share=2),
        "test_memory": _drawn(checks.check_memory, subject, calls, share=2),
        "test_layout": _drawn(checks.check_layout, subject, calls, share=2),
    }
    if not calls.examples or any(len(one.arrays) > 1 for one in calls.examples):
        tests["test_constants"] = _drawn(checks.check_constants, subject, calls, share=3)
    if second_order:
        tests["test_second_order"] = _drawn(checks.check_second_order, subject, calls, share=6)
    if calls.elementwise > 1:
        tests["test_numbers"] = _drawn(checks.check_numbers, subject, calls, share=2)
    if calls.elementwise and edge_values:
        tests["test_edge_values"] = lambda self: checks.check_edge_values(subject, calls.examples[0])
    return type(f"Test_{subject.name}", (), {"__doc__": f"Tests of {subject.name}.", **tests})


def _drawn(check: Check, subject: Subject, calls: Calls, share: int = 1) -> Callable[[Any], None]:
    """Make a method that runs a check on the examples, and on 1 / `share` of the default number of drawn calls."""

    def test(self: Any, one: Call) -> None:
        check(subject, one)

    test.__doc__ = check.__doc__
    run = given(one=calls.strategy)(test)
    for one in calls.examples:
        run = example(one=one)(run)
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    examples = max(settings().max_examples // share, 1)
    return settings(max_examples=examples, suppress_health_check=quiet, report_multiple_bugs=False)(run)
