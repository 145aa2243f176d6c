"""`gradcheck` and `gradcheck_function`: they compare gradients with numerical derivatives of the function."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from tinygan.checking import report as kinds
from tinygan.checking.arrays import ArraySubject
from tinygan.checking.directions import compare_directions
from tinygan.checking.jacobian import compare_jacobian
from tinygan.checking.numerical import Differentiator, Settings, random_weights
from tinygan.checking.promises import check_promises, check_recorded, differs, report_random
from tinygan.checking.report import GradcheckReport
from tinygan.checking.subject import Stopped, Subject
from tinygan.checking.surroundings import (
    RandomState,
    modules_kept,
    name_of,
    named_type,
    names_of_arguments,
    parameters_of,
    quiet,
)
from tinygan.checking.tensors import TensorSubject, chosen
from tinygan.engine.modes import UNOBSERVED, Recording
from tinygan.engine.tensor import Tensor
from tinygan.errors import ArgumentError, DtypeError, GradcheckError
from tinygan.nn import Module

RTOL = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-2}


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    parameters: Any = None,
    order: int = 1,
    dtype: Any = "float64",
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    complex_step: bool = True,
    full_limit: int = 4096,
    directions: int = 3,
    seed: int = 0,
    frozen: bool = False,
    name: str | None = None,
    raise_exception: bool = True,
) -> GradcheckReport:
    """Check the gradients of a function of tensors against numerical derivatives.

    If the Jacobian is small, all of it is compared; if it is large, sums u'Jv along random directions. The numerical
    derivative is always computed in float64: by the complex step if the function is analytic and computes with complex
    numbers, otherwise by central differences with Richardson extrapolation. At a kink, such as relu at 0 or a tie of a
    maximum, any gradient between the left and the right slope is right, provided that the shares of a maximum add up.
    (Where several kinks of one function meet, the gradient of backpropagation need not lie between the slopes: move
    such inputs a little.)

    If the differences of the function are too inexact, as at a jump or because of rounding, the derivative counts as
    not compared. The report lists the elements without any comparison, and a check that compared nothing fails.

    Besides the numbers, these promises are checked. Two calls agree. No call changes an input, the upstream gradient or
    an array saved for the backward pass. Gradients share no memory, and have the shape, dtype and device of their
    inputs. An upstream gradient of 0 gives 0. Afterwards the inputs, every ``.grad``, and the state of modules and of
    random streams are restored.

    Parameters
    ----------
    fn : callable or Module
        Called as ``fn(*inputs)``; returns a tensor, or tensors in tuples, lists and dictionaries.
    inputs : Tensor, or sequence of Tensor and other arguments
        The tensors that require a gradient are checked; if there are none, all floating-point tensors are. They are
        copied to `dtype`, with their memory layout.
    parameters : Module, or mapping or sequence of Tensor, optional
        Tensors that `fn` uses besides its inputs. If `fn` is a module or its method, its parameters are found.
    order : int
        2 also checks the gradient of the gradient, and so on.
    dtype : {"float64", "float32", "float16"}
        The dtype in which the gradients are computed.
    rtol, atol : float, optional
        An analytical value a and a numerical value n are equal if |a - n| <= rtol max(|a|, |n|) + atol + the estimated
        error of the numerical derivative. By default `rtol` is 1e-6, 1e-4 or 2e-2, depending on `dtype`, and `atol` is
        the rounding of sums as large as the largest derivative of the same output with respect to the same input.
    eps : float, optional
        First step of central differences, relative to the size of the element (to 1 if it is 0); by default about 1e-3
        in float64.
    complex_step : bool
        With False, the complex step is not used.
    full_limit : int
        The largest size of a Jacobian that is compared as a whole, in elements.
    directions : int
        The number of random directions for each input if the Jacobian is larger.
    seed : int
        Seed of the random upstream gradients and directions.
    frozen : bool
        Start every call of `fn` from the same state of the random streams, so that dropout keeps its mask.
    name : str, optional
        Name of the function, for the report.
    raise_exception : bool
        With False, return a failed report instead of raising an error.

    Returns
    -------
    GradcheckReport
        ``print(report)`` shows a table.

    Raises
    ------
    GradcheckError
        A check failed; its ``report`` and its message give the fault and the worst element.
    DtypeError
        There is no floating-point tensor to check, or `dtype` is not one of the three.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([-1.0, 0.0, 2.0])
    >>> report = tg.gradcheck(tg.functional.relu, [x])  # also at the kink
    >>> report.ok, report.comparisons[0].kinks
    (True, 1)
    """
    given = [inputs] if isinstance(inputs, Tensor) else inputs
    if not isinstance(given, (list, tuple)):
        raise DtypeError(
            f"gradcheck: inputs must be a tensor, or a list of arguments of the function, got {named_type(given)}"
        )
    given = list(given)
    _check_call("gradcheck", "fn", fn, names_of_arguments(fn, given))
    found = _parameters(fn, parameters)
    if not chosen(given) and not found:
        raise DtypeError(
            "gradcheck: none of the inputs is a floating-point tensor, so there is nothing to check (they are: "
            f"{', '.join(map(named_type, given)) or 'none'}); make them with tg.tensor([1.0, 2.0]), or use "
            "gradcheck_function for a function of plain arrays"
        )
    _check_number("order", order, 1, whole=True)
    settings = _settings(dtype, rtol, atol, eps, complex_step, full_limit, directions, seed)
    report = GradcheckReport(name or name_of(fn), str(np.dtype(dtype)), seed, settings.rtol, atol)

    def prepare(before_call: Callable[[], None]) -> TensorSubject:
        return TensorSubject(fn, given, names_of_arguments(fn, given), found, report, before_call)

    return _check(fn, prepare, settings, order, frozen, raise_exception)


def gradcheck_function(
    forward: Callable[..., Any],
    gradient: Callable[..., Any],
    inputs: Any,
    *,
    dtype: Any = "float64",
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    complex_step: bool = True,
    full_limit: int = 4096,
    directions: int = 3,
    seed: int = 0,
    frozen: bool = False,
    name: str | None = None,
    raise_exception: bool = True,
) -> GradcheckReport:
    """Check a gradient function for a function of NumPy arrays.

    Parameters
    ----------
    forward : callable
        Called as ``forward(*inputs)``; returns an array, or a tuple of arrays.
    gradient : callable
        Called as ``gradient(upstream, *inputs)``, where `upstream` is the gradient of a scalar with respect to the
        output (a tuple for several outputs). Returns the gradients of that scalar with respect to the inputs: a tuple,
        with None for an input without a gradient; or one array for one input.
    inputs : array or sequence of arrays
        The floating-point arrays are checked.
    dtype, rtol, atol, eps, complex_step, full_limit, directions, seed, frozen, name, raise_exception
        As in `gradcheck`.

    Returns
    -------
    GradcheckReport

    Raises
    ------
    GradcheckError, DtypeError
        As `gradcheck`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import gradcheck_function
    >>> report = gradcheck_function(np.sin, lambda upstream, x: upstream * np.cos(x), np.linspace(-1, 1, 5))
    >>> report.ok, report.comparisons[0].method
    (True, 'complex step')
    """
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    arguments = names_of_arguments(forward, given)
    _check_call("gradcheck_function", "forward", forward, arguments)
    _check_call("gradcheck_function", "gradient", gradient, ["upstream", *arguments])
    if any(isinstance(value, Tensor) for value in given):
        raise DtypeError("gradcheck_function: inputs must be plain arrays; for a function of tensors, use gradcheck")
    if not any(np.asarray(value).dtype.kind == "f" for value in given):
        raise DtypeError(
            "gradcheck_function: no input is a floating-point array, so there is nothing to check (they are: "
            f"{', '.join(map(named_type, given)) or 'none'})"
        )
    settings = _settings(dtype, rtol, atol, eps, complex_step, full_limit, directions, seed)
    report = GradcheckReport(name or name_of(forward), str(np.dtype(dtype)), seed, settings.rtol, atol)

    def prepare(before_call: Callable[[], None]) -> ArraySubject:
        return ArraySubject(forward, gradient, given, arguments, report, before_call)

    return _check(forward, prepare, settings, 1, frozen, raise_exception)


def _settings(
    dtype: Any,
    rtol: float | None,
    atol: float | None,
    eps: float | None,
    complex_step: bool,
    full_limit: int,
    directions: int,
    seed: int,
) -> Settings:
    try:
        name = str(np.dtype(dtype))
    except TypeError:
        name = repr(dtype)
    if name not in RTOL:
        raise DtypeError(f"gradcheck: dtype must be one of {', '.join(RTOL)}, not {name}")
    for what, number in (("rtol", rtol), ("atol", atol), ("eps", eps)):
        if number is not None:
            _check_number(what, number, 0)
    if eps == 0:
        raise ArgumentError("gradcheck: eps must be greater than 0, got 0")
    for what, number, least in (("full_limit", full_limit, 0), ("directions", directions, 1), ("seed", seed, 0)):
        _check_number(what, number, least, whole=True)
    unit = float(np.finfo(name).eps)
    return Settings(RTOL[name] if rtol is None else rtol, atol, unit, eps, complex_step, full_limit, directions, seed)


def _check_number(name: str, value: Any, least: int, whole: bool = False) -> None:
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if not isinstance(value, kinds) or isinstance(value, bool) or not np.isfinite(value) or value < least:
        what = "an integer" if whole else "a number"
        raise ArgumentError(f"gradcheck: {name} must be {what} and at least {least}, got {value!r}")


def _check_call(caller: str, role: str, fn: Any, arguments: Sequence[str]) -> None:
    """Raise `ArgumentError` if `fn` cannot be called with these arguments."""
    call = f"{role}({', '.join(arguments)})"
    if not callable(fn):
        raise ArgumentError(f"{caller}: {role} must be a function, called as {call}, got {named_type(fn)}")
    if isinstance(fn, np.ufunc):  # a further argument would be the array for the result
        if fn.nin != len(arguments):
            raise ArgumentError(f"{caller}: {role} is called as {call}, but the inputs of {fn.__name__} are {fn.nin}")
        return
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # a built-in function may have no signature
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise ArgumentError(f"{caller}: {role} is called as {call}, but it takes ({takes}): {error}") from None


def _check(
    fn: Callable[..., Any],
    prepare: Callable[[Callable[[], None]], Subject],
    settings: Settings,
    order: int,
    frozen: bool,
    raise_exception: bool,
) -> GradcheckReport:
    """Check a subject, and its gradients up to `order`; restore all state afterwards."""
    start = time.perf_counter()
    randomness = RandomState(fn)
    subject = prepare(randomness.restore if frozen else lambda: None)
    report = subject.report
    with ExitStack() as stack:
        for context in (quiet(), modules_kept(fn), randomness.kept(), Recording(True), UNOBSERVED):
            stack.enter_context(context)
        rng = np.random.default_rng(settings.seed)
        try:
            while True:
                stack.enter_context(subject.active())
                _examine(subject, settings, rng)
                if report.failures or subject.order == order:
                    break
                upstream = [random_weights(rng, output.shape) for output in subject.outputs]
                subject.run()
                inputs, plain = subject.inputs, subject.pull(upstream)
                subject = subject.gradient(upstream)
                check_recorded(subject, inputs, plain, settings)
        except Stopped:
            pass
    report.seconds = time.perf_counter() - start
    if raise_exception and not report.ok:
        raise GradcheckError(report)
    return report


def _examine(subject: Subject, settings: Settings, rng: np.random.Generator) -> None:
    """Check one order: the promises, then the numbers."""
    report = subject.report
    check_promises(subject, rng)
    if report.failures:
        return
    differentiator = Differentiator(subject, settings, rng)
    done = len(report.comparisons)
    if sum(variable.point.size for variable in subject.inputs) * subject.size <= settings.full_limit:
        report.modes.append("full Jacobian")
        compared = compare_jacobian(differentiator, settings, rng)
    else:
        report.modes.append("random directions")
        compared = compare_directions(differentiator, settings, rng)
    new = report.comparisons[done:]
    if not compared and any(c.undefined or c.noisy for c in new):
        why = "is not finite, or has no finite slope,"
        if any(c.noisy for c in new):
            why = "has values that are too inexact for differences"
        subject.fail(
            kinds.NOTHING_COMPARED,
            f"{subject.name}: nothing could be compared, because the function {why} at these inputs; use other inputs",
        )
    outputs = [output.point for output in subject.outputs]
    if report.failures and any(differs(outputs, subject.run()) for _ in range(8)):
        report.failures.clear()
        report_random(subject, "function")


def _parameters(fn: Any, others: Any) -> dict[str, Tensor]:
    """Return the parameters of `fn` and the `others`, each once, with different names."""
    found: dict[str, Tensor] = {}
    for name, tensor in [*parameters_of(fn).items(), *_named(others).items()]:
        if tensor.requires_grad and not any(tensor is known for known in found.values()):
            found[name if name not in found else f"{name} {len(found)}"] = tensor
    return found


def _named(parameters: Any) -> dict[str, Tensor]:
    if parameters is None:
        return {}
    if isinstance(parameters, Module):
        return dict(parameters.named_parameters())
    if isinstance(parameters, Mapping):
        found = dict(parameters)
    else:
        given = [parameters] if isinstance(parameters, Tensor) else parameters
        listed = list(given) if isinstance(given, Iterable) else [given]
        found = {getattr(tensor, "name", None) or f"parameter {k}": tensor for k, tensor in enumerate(listed)}
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise DtypeError(f"gradcheck: parameters must be tensors, but {name} is {named_type(tensor)}")
    return found
