"""What an exercise is: a file to fill in, questions, the right answers, and the mistakes that are known.

A file in ``files/`` is a solution that runs. Between the comments SOLUTION and END stands what the reader writes. The
reader gets ``raise NotImplementedError`` there, or, in a file with a planted bug, the lines after STARTER.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.engine import Tensor

FILES = Path(__file__).parent / "files"
Functions = Mapping[str, Callable[..., Any]]
Values = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """A mistake that readers make: the functions that make it, and the hint.

    Attributes
    ----------
    kind : str
        A few words.
    hint : str
    functions : mapping of str to callable
        They replace functions of the right answer. An array of a reader that equals theirs, and not the right one, has
        this mistake.
    """

    kind: str
    hint: str
    functions: Functions


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    name : str
        The name of its file, without ``.py``; it begins with the number.
    source : str
        Where the real thing stands.
    calls : sequence of (function, arguments, results)
        What is called, with which values of a case, and the names of the arrays that it returns.
    cases : callable
        Return new values for each case, by the name of the case.
    right : mapping of str to callable
        The functions of the right answer, computed by tinygan.
    mistakes : sequence of Mistake
        The more likely first.
    after : callable, optional
        Return more arrays, from the values of a case and from what was returned.
    tensors : bool
        Whether the functions may return tensors; otherwise they return arrays.
    tolerance : float
        The largest difference that is rounding, relative to the largest number of an array.
    relative : set of str
        Arrays of which each number must be right relative to itself.
    """

    name: str
    source: str
    calls: Sequence[tuple[str, str, str]]
    cases: Callable[[], Mapping[str, Values]]
    right: Functions
    mistakes: Sequence[Mistake]
    after: Callable[[Values, Values], Values] | None = None
    tensors: bool = False
    tolerance: float = 1e-9
    relative: frozenset[str] = frozenset()

    @property
    def number(self) -> int:
        """The number that the commands take."""
        return int(self.name[:2])

    @property
    def file_name(self) -> str:
        """The name of the file that the reader gets."""
        return f"{self.name}.py"

    @property
    def title(self) -> str:
        """The title, from the first line of the file."""
        return self._docstring.splitlines()[0].partition(": ")[2]

    @property
    def teaches(self) -> str:
        """What the exercise teaches, from the second paragraph of the file."""
        return " ".join(self._docstring.split("\n\n")[1].split()).removeprefix("Teaches: ")

    @property
    def starter(self) -> str:
        """The text of the file to fill in."""
        return _part(self._text, "STARTER")

    @property
    def solution(self) -> str:
        """The text of the file that is filled in."""
        return _part(self._text, "SOLUTION")

    @cached_property
    def _text(self) -> str:
        return (FILES / self.file_name).read_text(encoding="utf-8")

    @cached_property
    def _docstring(self) -> str:
        return ast.get_docstring(ast.parse(self._text)) or ""

    def is_starter(self, source: str) -> bool:
        """Return whether a program is the file to fill in, perhaps with other comments."""
        try:
            return ast.dump(ast.parse(source)) == ast.dump(ast.parse(self.starter))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False

    def answers(
        self, run: Callable[[str, Any, Sequence[Any], Sequence[str] | None], Values | None]
    ) -> dict[str, Values]:
        """Ask for the results of every case.

        Parameters
        ----------
        run : callable
            ``run(case, function, arguments, names)`` calls a function, and returns its results by name, or None if it
            fails. The function is a name of `calls`, or `after`, whose results have names already.
        """
        found: dict[str, Values] = {}
        for case, values in self.cases().items():
            returned = found[case] = {}
            failed = False
            for function, arguments, results in self.calls:
                new = run(case, function, [values[name] for name in arguments.split()], results.split())
                returned |= new or {}
                failed |= new is None
            if self.after is not None and not failed:
                returned |= run(case, self.after, [values, returned], None) or {}
        return found

    @cached_property
    def batches(self) -> dict[str, int]:
        """The number of examples of each case: the length of its first array, or of the first in a list."""
        found = {}
        for case, values in self.cases().items():
            several = [value[0] if isinstance(value, list) else value for value in values.values()]
            found[case] = next(len(value) for value in several if hasattr(value, "__len__"))
        return found

    @cached_property
    def expected(self) -> dict[str, dict[str, np.ndarray]]:
        """The right arrays of every case."""
        return self.arrays(self.right)

    @cached_property
    def variants(self) -> list[tuple[Mistake, dict[str, dict[str, np.ndarray]]]]:
        """The arrays of every mistake that is known."""
        return [(each, self.arrays({**self.right, **each.functions})) for each in self.mistakes]

    def arrays(self, functions: Functions) -> dict[str, dict[str, np.ndarray]]:
        """Return the arrays of functions that are known, for every case; None stands for no array."""

        def run(case: str, function: Any, arguments: Sequence[Any], names: Sequence[str] | None) -> Values | None:
            try:
                result = (function if names is None else functions[function])(*arguments)
            except ValueError:  # some mistakes fit the shapes of some cases only
                return None
            named = result if names is None else dict(zip(names, result if len(names) > 1 else [result], strict=False))
            return {name: value for name, value in named.items() if value is not None}

        with np.errstate(all="ignore"):
            return {case: {k: to_array(v) for k, v in values.items()} for case, values in self.answers(run).items()}


def to_array(value: Any) -> np.ndarray:
    """Return a tensor, an array or a number as an array."""
    return np.asarray(value.numpy() if isinstance(value, Tensor) else value)


def _part(text: str, wanted: str) -> str:
    """Return the text with only one of its two alternatives."""
    lines: list[str] = []
    part, starters = "", 0
    for line in text.splitlines():
        mark = line.strip().removeprefix("# ")
        if mark in ("SOLUTION", "STARTER", "END"):
            starters += mark == "STARTER"
            if mark == "END":
                if wanted == "STARTER" and not starters:
                    lines.append(re.sub(r"#.*", 'raise NotImplementedError("write this")', line))
                starters = 0
            part = "" if mark == "END" else mark
        elif part in ("", wanted):
            lines.append(line.replace("# ", "", 1) if part == "STARTER" else line)
    return "\n".join(lines) + "\n"
