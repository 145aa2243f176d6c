"""The subject of `gradcheck_function`: a function of plain arrays and its gradient function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygan.checking import report as kinds
from tinygan.checking.report import GradcheckReport
from tinygan.checking.subject import Array, Subject, Variable, Watch, overlap, with_layout


class ArraySubject(Subject):
    """A function of plain arrays, ``forward(*inputs)``, and its gradient, ``gradient(upstream, *inputs)``."""

    def __init__(
        self,
        forward: Callable[..., Any],
        gradient: Callable[..., Any],
        inputs: Sequence[Any],
        names: Sequence[str],
        report: GradcheckReport,
        before_call: Callable[[], None],
    ) -> None:
        self._forward, self._rule = forward, gradient
        self.name, self.report = report.name, report
        self._before_call = before_call
        self._given = [np.asarray(value) for value in inputs]
        self._dtype = np.dtype(report.dtype)
        self.inputs = [
            Variable(position, names[position], array.shape, array.astype(self._dtype).astype(np.float64))
            for position, array in enumerate(self._given)
            if array.dtype.kind == "f"
        ]

    def run(self) -> list[Array]:
        """As `Subject.run`."""
        arguments = self._arguments()
        watch = Watch(self._named(arguments))
        outputs = self._call(arguments)
        for name in watch.changed():
            self.fail(kinds.INPUT_CHANGED, f"the forward function changes {name}; it must leave its inputs alone")
        for k, output in enumerate(outputs):
            if output.dtype.kind != "f":
                self.stop(
                    kinds.BROKEN_RULE,
                    f"the forward function returned {output.dtype} as output {k}; it must return arrays of "
                    "floating-point numbers",
                )
        self._output_dtypes = [output.dtype for output in outputs]
        self.outputs = [
            Variable(k, f"output {k}" if len(outputs) > 1 else "output", output.shape, output.astype(np.float64))
            for k, output in enumerate(outputs)
        ]
        return [output.point for output in self.outputs]

    def pull(self, upstream: Sequence[Array | None], watch: bool = False) -> list[Array]:
        """As `Subject.pull`; it always looks for broken promises, since copies are made anyway."""
        arguments = self._arguments()
        seeds = [
            np.zeros(output.shape, dtype) if seed is None else seed.astype(dtype)
            for output, seed, dtype in zip(self.outputs, upstream, self._output_dtypes, strict=True)
        ]
        inputs_before = Watch(self._named(arguments))
        seeds_before = Watch({str(k): seed for k, seed in enumerate(seeds)})
        returned = self._rule(seeds[0] if len(seeds) == 1 else tuple(seeds), *arguments)
        if returned is None:
            self.stop(kinds.BROKEN_RULE, "the gradient function returned None; does it lack a return?")
        gradients = _as_tuple(returned)
        for name in inputs_before.changed():
            self.fail(kinds.INPUT_CHANGED, f"the gradient function changes {name}; it must leave its inputs alone")
        for _ in seeds_before.changed():
            self.fail(kinds.UPSTREAM_CHANGED, "the gradient function changes the upstream gradient that it is given")
        return self._checked(gradients, arguments, seeds)

    def _evaluate(self, points: list[Array]) -> list[Array]:
        dtype = np.result_type(np.float64, *points)
        outputs = self._call(self._arranged([np.array(point, dtype, order="C") for point in points]))
        self.precision = max([np.finfo(o.dtype).eps for o in outputs if o.dtype.kind in "fc"], default=self.precision)
        return outputs

    def _call(self, arguments: Sequence[Array]) -> list[Array]:
        self._before_call()
        return [np.asarray(output) for output in _as_tuple(self._forward(*arguments))]

    def _arguments(self) -> list[Array]:
        """Return copies of the inputs in the dtype of the check, with the memory layout of the user's arrays."""
        return self._arranged([with_layout(v.point.astype(self._dtype), self._given[v.position]) for v in self.inputs])

    def _arranged(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the arguments: `arrays` for the inputs that are checked, copies of the others."""
        arguments = [given.copy() for given in self._given]
        for variable, array in zip(self.inputs, arrays, strict=True):
            arguments[variable.position] = array
        return arguments

    def _named(self, arguments: Sequence[Array]) -> dict[str, Array]:
        names = {variable.position: str(variable) for variable in self.inputs}
        return {names.get(k, f"input {k}"): argument for k, argument in enumerate(arguments)}

    # ------------------------------------------------------------------ the results of the gradient function

    def _checked(self, gradients: tuple[Any, ...], arguments: list[Array], seeds: list[Array]) -> list[Array]:
        """Return the gradients of the floating-point inputs as float64, and report their faults."""
        if len(gradients) != len(arguments):
            self.stop(
                kinds.BROKEN_RULE,
                f"the gradient function returned {len(gradients)} gradient{'s' * (len(gradients) != 1)} for "
                f"{len(arguments)} input{'s' * (len(arguments) != 1)}; return a tuple with an array for each input "
                "(None for an input that has none)",
            )
        variables = {variable.position: variable for variable in self.inputs}
        for position, gradient in enumerate(gradients):
            if position not in variables and gradient is not None:
                self.fail(
                    kinds.INTEGER_GRADIENT,
                    f"a gradient came back for input {position}, which holds {arguments[position].dtype} and cannot "
                    "change continuously; return None for it",
                )
        self._check_memory(gradients, arguments, seeds)
        return [self._plain(gradients[position], variable) for position, variable in variables.items()]

    def _plain(self, gradient: Any, variable: Variable) -> Array:
        if gradient is None:
            return np.zeros(variable.shape)
        if not isinstance(gradient, (np.ndarray, np.generic, float, int)):
            self.stop(
                kinds.WRONG_DEVICE,
                f"the gradient of {variable} is a {type(gradient).__module__}.{type(gradient).__name__}, "
                "not a NumPy array like the input",
            )
        array = np.asarray(gradient)
        if array.shape != variable.shape:
            summed = "; sum it over the axes that were broadcast" if array.size > variable.point.size else ""
            self.stop(
                kinds.WRONG_SHAPE,
                f"the gradient of {variable} has shape {array.shape}, but the input {variable.shape}{summed}",
            )
        if array.dtype != self._dtype:
            self.fail(kinds.WRONG_DTYPE, f"the gradient of {variable} is {array.dtype}, but the input {self._dtype}")
        return array.astype(np.float64)

    def _check_memory(self, gradients: tuple[Any, ...], arguments: list[Array], seeds: list[Array]) -> None:
        others = [(f"input {position}", argument) for position, argument in enumerate(arguments)]
        others += [("the upstream gradient", seed) for seed in seeds]
        for position, gradient in enumerate(gradients):
            if not isinstance(gradient, np.ndarray):
                continue
            for name, other in others:
                if overlap(gradient, other):
                    self.fail(
                        kinds.SHARED_MEMORY,
                        f"the gradient of input {position} shares memory with {name}, so adding to one in place "
                        "changes the other; return a copy",
                    )
            others.append((f"the gradient of input {position}", gradient))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
