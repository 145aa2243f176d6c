"""The formulas of an operation, from the docstring of its class, with the shapes of one call put in.

A docstring such as ``Y = X W + b;  gX = gY W',  gW = X' gY`` has the forward formula before the semicolon, and the
backward formulas after it, one for each input in order. In words, a formula has no place for shapes.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, NamedTuple

Shape = tuple[int, ...]
_SYMBOL = re.compile(r"(?<![\w.])(g?)([A-Za-z])(?:_\w+)?('?)(?!\w)")
_GRADIENT = re.compile(r"^g([A-Za-z])(?:_\w+)? = ")


class Formulas(NamedTuple):
    """The formulas of an operation.

    Attributes
    ----------
    forward : str
    backward : tuple of str
        One for each gradient; or one text in words.
    """

    forward: str
    backward: tuple[str, ...]


def formulas(operation: Any) -> Formulas:
    """Return the formulas of an operation, or of its class.

    Examples
    --------
    >>> from tinygan.functional.activations import Sigmoid
    >>> formulas(Sigmoid)
    Formulas(forward='y = 1 / (1 + e^-x)', backward=('gx = gy y (1 - y)',))
    """
    kind = operation if isinstance(operation, type) else type(operation)
    first = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split("\n"))
    first = re.sub(r"\s*\([A-Z][^()]*, \d{4}\)", "", first).rstrip(".")  # without the source
    forward, _, backward = first.partition(";  ")
    return Formulas(forward, tuple(backward.split(",  ")) if backward else ())


def with_shapes(formula: str, shapes: dict[str, Shape]) -> str:
    """Return a formula, and the same formula with the shape of each symbol.

    Parameters
    ----------
    formula : str
    shapes : dict
        From a symbol to its shape. A gradient has the shape of its symbol.

    Examples
    --------
    >>> with_shapes("gW = X' gY", {"X": (100, 784), "Y": (100, 1200), "W": (784, 1200)})
    "gW = X' gY   (784, 1200) = (784, 100) (100, 1200)"
    """
    left, equals, right = formula.partition(" = ")
    found = [_shapes_in(side, shapes) for side in (left, right)]
    if not equals or not all(found) or not any(shape != "()" for side in found for shape in side):
        return formula
    return f"{formula}   {' '.join(found[0])} = {' '.join(found[1])}"


def _shapes_in(side: str, shapes: dict[str, Shape]) -> list[str]:
    found = []
    for _, symbol, transposed in _SYMBOL.findall(side):
        if symbol in shapes:
            shape = shapes[symbol]
            found.append(str(shape[::-1] if transposed else shape))
    return found


def symbols(found: Formulas, inputs: int) -> list[str]:
    """Return the symbol of the result and of each input that has one, in order.

    Examples
    --------
    >>> from tinygan.functional.linear import Linear
    >>> symbols(formulas(Linear), 3)
    ['Y', 'X', 'W', 'b']
    """
    result = found.forward.partition(" = ")[0]
    names = [match[1] for formula in found.backward if (match := _GRADIENT.match(formula))]
    return [result, *names[:inputs]] if names and len(result) == 1 else []


def local_rules(operation: Any, result: Shape, inputs: list[Shape], needs: tuple[bool, ...]) -> Formulas:
    """Return the formulas of one call with their shapes, without the gradients that are not needed."""
    found = formulas(operation)
    shapes = dict(zip(symbols(found, len(inputs)), [result, *inputs], strict=False))
    if not shapes:
        return found
    backward = found.backward
    if len(shapes) == len(inputs) + 1 == len(backward) + 1:  # a formula for each input
        backward = tuple([formula for formula, needed in zip(backward, needs, strict=True) if needed])
    return Formulas(with_shapes(found.forward, shapes), tuple([with_shapes(one, shapes) for one in backward]))
