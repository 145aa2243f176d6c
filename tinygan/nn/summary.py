"""A table of a network: one row a layer, with the shape of its output and the number of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.backend import get_backend
from tinygan.engine import Tensor, no_grad
from tinygan.errors import ShapeError
from tinygan.nn.module import Module, Parameter


class Summary(str):
    """A text that an interactive session shows as it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def summary(network: Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Summary:
    """Apply a network in evaluation mode, without recording, and return what its layers did: see `Module.summary`.

    A layer is a module without modules inside, or with tensors of its own. The parameters of a layer that is applied
    twice count once. The network is unchanged afterwards.
    """
    if not inputs and not named:
        raise ShapeError("summary: give the shape of the input, with the axis of the batch, as in summary((100, 784))")
    parameters = network.parameters()
    backend = parameters[0].backend if parameters else get_backend("cpu")

    def example(value: Any) -> Any:
        if isinstance(value, Tensor | np.ndarray) or backend.is_array(value):
            return value
        try:
            return Tensor(backend.xp.zeros(value, "float32"))
        except (TypeError, ValueError) as error:
            raise ShapeError(f"summary: expected the shape of an input, or a tensor; got {value!r}") from error

    def shape_of(value: Any) -> str:
        return str(value.shape) if hasattr(value, "shape") else type(value).__name__

    calls: list[tuple[str, Module, str]] = []
    failed: list[str] = []

    def noting(name: str, module: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Return `forward` with a note of each call."""

        def noted(*inputs: Any, **named: Any) -> Any:
            place = len(calls)
            calls.append((name, module, ""))
            try:
                output = forward(*inputs, **named)
            except Exception as error:
                if failed:
                    raise
                failed.append(name)
                shapes = " and ".join(map(shape_of, [*inputs, *named.values()]))
                where = f"layer {name}, {_shown(module)}," if name else f"{_shown(module)}"
                raise ShapeError(f"summary: {where} does not fit an input of shape {shapes}: {error}") from error
            calls[place] = name, module, shape_of(output)
            return output

        return noted

    before = [(module, module.training, vars(module).get("forward")) for module in network.modules()]
    modules = dict(network.named_modules())
    try:
        network.eval()
        for name, module in modules.items():
            vars(module)["forward"] = noting(name, module, module.forward)
        with no_grad():
            network(*map(example, inputs), **{name: example(value) for name, value in named.items()})
    finally:
        for module, training, forward in before:
            module.training = training
            vars(module).pop("forward")
            if forward is not None:
                vars(module)["forward"] = forward

    calls += [(name, one, "not called") for name, one in modules.items() if all(one is not call[1] for call in calls)]
    rows, counted = [("name", "layer", "output", "parameters")], set[int]()
    for name, module, output in calls:
        parts = [part for _, part in module._members()]
        if any(isinstance(part, Tensor) for part in parts) or not any(isinstance(part, Module) for part in parts):
            own = [part for part in parts if isinstance(part, Parameter)]
            new = sum(part.size for part in own if id(part) not in counted)
            rows.append((name, _shown(module), output, f"{new:,}" if new or not own else "shared"))
            counted |= {id(part) for part in own}
    rows.append(("total", "", "", f"{sum(parameter.size for parameter in parameters):,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for *texts, number in rows:
        line = [text.ljust(width) for text, width in zip(texts, widths, strict=False)]
        lines.append("  ".join([*line, number.rjust(widths[-1])]))
    return Summary("\n".join(lines))


def _shown(module: Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"
