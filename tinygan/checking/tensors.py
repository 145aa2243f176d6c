"""The subject of `gradcheck`: a function of tensors, whose gradients come from the tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygan.backend import backend_of
from tinygan.checking import report as kinds
from tinygan.checking.promises import OperationWatch
from tinygan.checking.report import GradcheckReport
from tinygan.checking.subject import Array, Subject, Variable, Watch, overlap, with_layout
from tinygan.engine.chain_rule import grad, topological_order
from tinygan.engine.modes import Recording
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor
from tinygan.errors import GradientError


class TensorSubject(Subject):
    """A function of tensors, and of parameters that it uses without receiving them as arguments.

    Inputs are passed as new tensors, so the user's tensors do not change. Parameters cannot be passed: while the
    subject is `active`, their ``data`` is exchanged.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        inputs: Sequence[Any],
        names: Sequence[str],
        parameters: Mapping[str, Tensor],
        report: GradcheckReport,
        before_call: Callable[[], None],
    ) -> None:
        self.fn = fn
        self.name, self.report = report.name, report
        self._plain_name = report.name
        self._before_call = before_call
        self._given = list(inputs)
        self._names = list(names)
        self._parameters = dict(parameters)
        self._dtype = np.dtype(report.dtype)
        self._chosen = chosen(self._given)
        sources = [(position, names[position], self._given[position]) for position in self._chosen]
        for k, (name, parameter) in enumerate(self._parameters.items(), start=len(self._given)):
            sources.append((k, name if name not in names else f"{name} (parameter)", parameter))
        self._templates = [tensor.numpy() for _, _, tensor in sources]
        self._backends = [tensor.backend for _, _, tensor in sources]
        self.inputs = [
            Variable(position, name, tensor.shape, tensor.numpy().astype(self._dtype).astype(np.float64))
            for position, name, tensor in sources
        ]

    @contextmanager
    def active(self) -> Iterator[None]:
        """When the block ends, restore the arrays of the parameters."""
        arrays = [parameter.data for parameter in self._parameters.values()]
        try:
            yield
        finally:
            for parameter, array in zip(self._parameters.values(), arrays, strict=True):
                exchange(parameter, array)

    # ------------------------------------------------------------------ calling

    def run(self) -> list[Array]:
        """As `Subject.run`."""
        points = [variable.point.astype(self._dtype) for variable in self.inputs]
        arrays = self._placed([with_layout(*pair) for pair in zip(points, self._templates, strict=True)])
        watch = Watch({str(v): array for v, array in zip(self.inputs, arrays, strict=True)})
        self._observer = OperationWatch(self.fail)
        with self._observer:
            self._leaves, named = self._call(arrays, self._dtype)
        self._observer.finish()
        for name in watch.changed():
            self.fail(kinds.INPUT_CHANGED, f"the forward pass changes {name}; it must leave its inputs alone")
        self._outputs = [output for _, output in named]
        self._name_operations(self._outputs)
        if not self._outputs:
            self.stop(kinds.NOT_ON_TAPE, "the function returned no floating-point tensor, so there is no gradient")
        if not self._reached(self._outputs):
            self.stop(
                kinds.NOT_ON_TAPE,
                "no output depends on any input. The function must compute with the tensors that it receives, not "
                "with outer ones, and must not leave the tape by .detach(), .numpy() or no_grad(); outer tensors are "
                "checked too if they are passed as parameters=",
            )
        self.outputs = [
            Variable(k, name, output.shape, output.numpy().astype(np.float64))
            for k, (name, output) in enumerate(named)
        ]
        return [output.point for output in self.outputs]

    def _reached(self, outputs: Iterable[Tensor]) -> bool:
        """Return whether the tape connects an output to an input."""
        edges = {output.edge for output in outputs}
        for root in [edge for edge in edges if isinstance(edge, Operation)]:
            edges.update(edge for operation in topological_order(root) for edge in operation.edges)
        return any(leaf in edges for leaf in self._leaves)

    def _name_operations(self, outputs: Iterable[Tensor]) -> None:
        """Add the operations of the function to its name."""
        roots = [output.edge for output in outputs if isinstance(output.edge, Operation)]
        names = list(dict.fromkeys(operation.name for root in roots for operation in topological_order(root)))
        if self.order > 1 or names == [self._plain_name]:
            return
        listed = ", ".join(names[:4] + ["..."] * (len(names) > 4))
        if names:
            self.name = listed if self._plain_name == "<lambda>" else f"{self._plain_name} ({listed})"
            self.report.name = self.name

    def _evaluate(self, points: list[Array]) -> list[Array]:
        dtype = np.result_type(np.float64, *points)
        with self.active(), Recording(dtype.kind == "f"):
            _, named = self._call(self._placed([np.array(point, dtype, order="C") for point in points]), dtype)
        outputs = [output for _, output in named]
        self._note_precision(outputs)
        return [output.numpy() for output in outputs]

    def _note_precision(self, outputs: Iterable[Tensor]) -> None:
        """Set the precision to that of the coarsest dtype on the tape: a function may always compute in float32."""
        roots = [output.edge for output in outputs if isinstance(output.edge, Operation)]
        dtypes = {operation.dtype for root in roots for operation in topological_order(root)}
        self.precision = max([float(np.finfo(dtype).eps) for dtype in dtypes], default=self.precision)

    def _placed(self, arrays: Sequence[Array]) -> list[Array]:
        """Move arrays to the devices of the user's tensors."""
        return [backend.from_numpy(array) for array, backend in zip(arrays, self._backends, strict=True)]

    def _call(self, arrays: list[Array], dtype: Any) -> tuple[list[Tensor], list[tuple[str, Tensor]]]:
        """Call the function; return the tensors made for `inputs`, and its floating-point outputs by name."""
        leaves = []
        arguments = [_cast(value, dtype) for value in self._given]
        for position, array in zip(self._chosen, arrays, strict=False):
            arguments[position] = Tensor(array, requires_grad=dtype.kind == "f", name=self._names[position])
            leaves.append(arguments[position])
        for parameter, array in zip(self._parameters.values(), arrays[len(leaves) :], strict=True):
            exchange(parameter, array)
            leaves.append(parameter)
        self._before_call()
        return leaves, [(name, output) for name, output in flatten(self.fn(*arguments)) if output.dtype.kind in "fc"]

    # ------------------------------------------------------------------ differentiating

    def pull(self, upstream: Sequence[Array | None], watch: bool = False) -> list[Array]:
        """As `Subject.pull`."""
        totals = [np.zeros(variable.shape) for variable in self.inputs]
        for output, seed in zip(self._outputs, upstream, strict=True):
            if seed is None or output.edge is None:
                continue
            gradients = self._pull_one(output, seed, watch)
            for total, gradient in zip(totals, gradients, strict=True):
                if gradient is not None:
                    total += gradient.numpy()
        return totals

    def _pull_one(self, output: Tensor, seed: Array, watch: bool) -> Sequence[Tensor | None]:
        upstream = Tensor(output.backend.from_numpy(np.array(seed, output.numpy().dtype)))
        if not watch:
            return grad(output, self._leaves, upstream, retain_graph=True, allow_unused=True)
        before = Watch({str(v): leaf.data for v, leaf in zip(self.inputs, self._leaves, strict=True)})
        before_upstream = Watch({"upstream": upstream.data})
        try:
            with self._observer:
                gradients = grad(output, self._leaves, upstream, retain_graph=True, allow_unused=True)
        except GradientError as error:
            self.stop(kinds.WRONG_SHAPE if "of shape" in str(error) else kinds.BROKEN_RULE, str(error))
        for name in before.changed():
            self.fail(kinds.INPUT_CHANGED, f"the backward pass changes {name}; it must leave its inputs alone")
        for _ in before_upstream.changed():
            self.fail(kinds.UPSTREAM_CHANGED, "the backward pass changes the upstream gradient that it is given")
        self._check_gradients(gradients, upstream)
        return gradients

    def _check_gradients(self, gradients: Sequence[Tensor | None], upstream: Tensor) -> None:
        facts = ((kinds.WRONG_SHAPE, "shape"), (kinds.WRONG_DTYPE, "dtype"), (kinds.WRONG_DEVICE, "device"))
        others = [(str(v), leaf.data) for v, leaf in zip(self.inputs, self._leaves, strict=True)]
        others.append(("the upstream gradient", upstream.data))
        for variable, leaf, gradient in zip(self.inputs, self._leaves, gradients, strict=True):
            if gradient is None:
                continue
            for kind, fact in facts:
                got, expected = getattr(gradient, fact), getattr(leaf, fact)
                if got != expected:
                    self.stop(kind, f"the gradient of {variable} has {fact} {got}, but the input {expected}")
            for name, other in others:
                if overlap(gradient.data, other):
                    self.fail(kinds.SHARED_MEMORY, f"the gradient of {variable} shares memory with {name}")
            others.append((f"the gradient of {variable}", gradient.data))

    # ------------------------------------------------------------------ the next order

    def gradient(self, upstream: Sequence[Array]) -> TensorSubject:
        """Return the function of the inputs and of the upstream gradient that computes the gradient."""
        count = len(self._given)

        def gradient_function(*arguments: Any) -> dict[str, Tensor]:
            wanted = [arguments[position] for position in self._chosen] + list(self._parameters.values())
            totals: list[Tensor | None] = [None] * len(wanted)
            outputs = [tensor for _, tensor in flatten(self.fn(*arguments[:count])) if tensor.dtype.kind == "f"]
            for output, seed in zip(outputs, arguments[count:], strict=True):
                if output.edge is None:
                    continue
                gradients = grad(output, wanted, seed, create_graph=True, allow_unused=True)
                for k, gradient in enumerate(gradients):
                    total = totals[k]
                    totals[k] = gradient if total is None else total if gradient is None else total + gradient
            return {f"gradient of {v.name}": t for v, t in zip(self.inputs, totals, strict=True) if t is not None}

        inputs = list(self._given)
        for position in self._chosen:
            inputs[position] = self._given[position].detach()
            inputs[position].requires_grad = True
        for seed, output in zip(upstream, self._outputs, strict=True):
            inputs.append(Tensor(output.backend.from_numpy(seed), requires_grad=True))
        names = self._names + [f"upstream of {output.name}" for output in self.outputs]
        subject = TensorSubject(gradient_function, inputs, names, self._parameters, self.report, self._before_call)
        subject.order = self.order + 1
        values = np.concatenate([np.abs(output.point).ravel() for output in self.outputs])
        subject.scale = max(self.scale, float(values.max(initial=0, where=np.isfinite(values))))
        return subject


def flatten(value: Any, name: str = "") -> list[tuple[str, Tensor]]:
    """Return the tensors in nested tuples, lists and dictionaries, each with a name."""
    if isinstance(value, Tensor):
        return [(name or "output", value)]
    if isinstance(value, Mapping):
        return [leaf for key, part in value.items() for leaf in flatten(part, f"{name} {key}".strip())]
    if isinstance(value, (tuple, list)):
        return [leaf for k, part in enumerate(value) for leaf in flatten(part, f"{name or 'output'} {k}")]
    return []


def chosen(inputs: Sequence[Any]) -> list[int]:
    """Return the positions of the tensors that require a gradient or, without any, of all floating-point tensors."""
    floating = [k for k, value in enumerate(inputs) if isinstance(value, Tensor) and value.dtype.kind == "f"]
    return [k for k in floating if inputs[k].requires_grad] or floating


def _cast(value: Any, dtype: Any) -> Any:
    """Return a copy of a constant in the dtype of the check; integers keep their dtype, other objects are returned."""
    if isinstance(value, Tensor):
        data = value.data.astype(dtype) if value.dtype.kind == "f" and dtype.kind == "f" else value.data.copy()
        return Tensor(data)
    if backend_of(value) is not None:
        return value.astype(dtype) if value.dtype.kind == "f" and dtype.kind == "f" else value.copy()
    return value


def exchange(tensor: Tensor, array: Array) -> None:
    """Give a tensor another array. Graphs that saved the old array stay valid, so the version does not change."""
    version = tensor.version
    tensor.data = array
    tensor.version = version
