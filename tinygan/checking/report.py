"""The result of a gradient check: a report that prints as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

Index = tuple[int, ...]

# kinds of failure
WRONG_GRADIENT = "wrong gradient"
WRONG_SHARES = "wrong shares at a tie"
UPSTREAM_IGNORED = "upstream gradient ignored"
RECORDED_DIFFERS = "recorded gradient differs"
NOT_LINEAR = "not linear in the upstream gradient"
RANDOM = "random function"
INPUT_CHANGED = "input changed"
UPSTREAM_CHANGED = "upstream gradient changed"
SAVED_CHANGED = "saved array changed"
SHARED_MEMORY = "shared memory"
WRONG_SHAPE = "wrong shape"
WRONG_DTYPE = "wrong dtype"
WRONG_DEVICE = "wrong device"
INTEGER_GRADIENT = "gradient of integers"
BROKEN_RULE = "broken rule"
NOT_ON_TAPE = "not on the tape"
NOTHING_COMPARED = "nothing compared"


@dataclass(frozen=True)
class Comparison:
    """The derivatives of one output with respect to one input, and the worst of them.

    Attributes
    ----------
    order : int
        1 for the gradient, 2 for the gradient of the gradient, ...
    output, input : str
        Names.
    output_position, input_position : int
        Positions; parameters are counted after the inputs.
    output_shape, input_shape : tuple of int
    method : str
        The method of the numerical derivatives.
    compared, kinks, coarse : int
        The number of derivatives (or, along random directions, of sums of them) that were compared; those at kinks; and
        those so small that rounding hides some of their digits, and with them an error in these digits.
    undefined, noisy : int
        The number of derivatives that were not compared because the function is not finite or has no finite slope, or
        because its differences are too inexact.
    ok : bool
    output_index, input_index : tuple of int or None
        Index of the worst derivative; None if nothing was compared, or for an output if all were compared at once.
    numerical, analytical : float
        The worst derivative. At a kink `numerical` is the one-sided slope that is nearer to `analytical`.
    absolute_error, relative_error, tolerance : float
        `relative_error` is `absolute_error` over the larger of the two values; an error up to `tolerance` is accepted.
    """

    order: int
    output: str
    input: str
    output_position: int
    input_position: int
    output_shape: Index
    input_shape: Index
    method: str
    compared: int
    kinks: int
    undefined: int
    ok: bool
    output_index: Index | None = None
    input_index: Index | None = None
    numerical: float = 0.0
    analytical: float = 0.0
    absolute_error: float = 0.0
    relative_error: float = 0.0
    tolerance: float = 0.0
    noisy: int = 0
    coarse: int = 0

    def where(self) -> str:
        """Return the name of the worst derivative: ``output[0, 1] by x[2]``."""
        return f"{element(self.output, self.output_index)} by {element(self.input, self.input_index)}"


@dataclass(frozen=True)
class Failure:
    """One fault.

    Attributes
    ----------
    kind : str
        One of a few fixed texts: ``"wrong gradient"``, ``"input changed"``, ``"random function"``, ...
    message : str
        The description.
    order : int
    comparison : Comparison or None
        The numbers, if numbers disagree.
    """

    kind: str
    message: str
    order: int = 1
    comparison: Comparison | None = None


@dataclass
class GradcheckReport:
    """The result of `tinygan.gradcheck`. It is true if there is no failure, and prints as a table.

    Attributes
    ----------
    name : str
        Name of the function, or of its operations.
    mode : str
        ``"full Jacobian"``, or ``"random directions"`` for a large Jacobian; both if the orders differ.
    dtype : str
        The dtype of the analytical gradients; the numerical ones are float64.
    seed : int
        Seed of the upstream gradients and directions.
    rtol : float
    atol : float or None
        None stands for the rounding of sums as large as the largest derivative.
    comparisons : list of Comparison
    failures : list of Failure
    uncompared : dict
        The input elements that were never compared: a list of indices for each order and input name.
    notes : list of str
        Descriptions of elements that were not compared, with the reason.
    evaluations : int
        The number of calls of the function.
    seconds : float
    """

    name: str
    dtype: str
    seed: int
    rtol: float
    atol: float | None
    modes: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    uncompared: dict[tuple[int, str], list[Index]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    evaluations: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is no failure."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok

    @property
    def mode(self) -> str:
        """The kind of comparison of each order."""
        return ", then ".join(dict.fromkeys(self.modes))

    @property
    def worst(self) -> Comparison | None:
        """The comparison with the largest error relative to its tolerance; None if nothing was compared."""
        return max((c for c in self.comparisons if c.compared), key=_strain, default=None)

    def fail(self, kind: str, message: str, order: int = 1, comparison: Comparison | None = None) -> None:
        """Add a failure, unless it is there."""
        if not any(failure.message == message for failure in self.failures):
            self.failures.append(Failure(kind, message, order, comparison))

    def __str__(self) -> str:
        mode = self.mode or "no number compared"
        lines = [
            f"gradcheck of {self.name}: {'passed' if self.ok else 'FAILED'}",
            f"  {mode}, {self.dtype}, rtol {self.rtol:.0e}, seed {self.seed}, {self.evaluations} evaluations",
        ]
        lines += [f"  {failure.kind}: {failure.message}" for failure in self.failures]
        lines += [f"  not compared: {note}" for note in self.notes]
        if coarse := sum(c.coarse for c in self.comparisons):
            lines.append(f"  not compared to all digits: {coarse}, because rounding hides some digits (coarse)")
        return "\n".join(lines + _table(self.comparisons))


def _strain(comparison: Comparison) -> float:
    error, tolerance = comparison.absolute_error, comparison.tolerance
    return error / tolerance if tolerance else float("inf") if error else 0.0


def element(name: str, index: Index | None) -> str:
    """Return the name of an element: ``x[0, 1]``."""
    if index is None:
        return name
    return f"{name}[{', '.join(map(str, index))}]" if index else name


_COUNTS = ("compared", "kinks", "coarse", "undefined", "noisy")
_HEAD = ("order", "output", "by input", *_COUNTS, "relative error", "worst at", "method")


def _table(comparisons: list[Comparison]) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEAD]
    for c in comparisons:
        counts = [str(getattr(c, name)) for name in _COUNTS]
        output, input_ = f"{c.output} {c.output_shape}", f"{c.input} {c.input_shape}"
        worst = (f"{c.relative_error:.1e}", c.where()) if c.compared > c.coarse else ("-", "-")
        rows.append((str(c.order), output, input_, *counts, *worst, c.method))
    if len(rows) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
