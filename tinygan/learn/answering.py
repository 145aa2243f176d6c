"""The process in which a reader's file runs: it writes what the functions return, line by line.

It is made for programs with mistakes. Each call has its copies of the arrays. An exception becomes a problem, with the
lines of the traceback that are the reader's own. A watch ends the process when the time is over, and writes where it
was. What the process cannot report (it ends itself, or is killed) is seen in `process`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import inspect
import io
import json
import linecache
import os
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import numpy as np

from tinygan.engine import Tensor
from tinygan.errors import did_you_mean
from tinygan.learn.exercise import Exercise, Values
from tinygan.learn.exercises import exercise

LARGEST = 100_000  # numbers of an array that is written
MEMORY = 4 << 30  # bytes
FRAMES = 8  # lines of a traceback
LETTERS = 1000  # of a message


def main(job: dict[str, Any]) -> None:
    """Run a file, and write its answers.

    Parameters
    ----------
    job : dict
        ``file`` and ``source``: the name and the text of the program; ``number``: of the exercise; ``answers`` and
        ``watch``: the files to write; ``seconds``: the time limit.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with open(job["answers"], "w", encoding="utf-8") as answers, open(job["watch"], "w", encoding="utf-8") as watch:
        faulthandler.dump_traceback_later(job["seconds"], exit=True, file=watch)
        Answering(exercise(job["number"]), job["file"], job["source"], answers).run()
    os._exit(0)  # a thread of the reader may still run


class Answering:
    """One run of a reader's file."""

    def __init__(self, exercise: Exercise, file: str, source: str, answers: TextIO) -> None:
        self.exercise, self.file, self.source, self.answers = exercise, file, source, answers
        self.names: dict[str, Any] = {}
        self.said: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Define the functions of the file, call them, and write what they return."""
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self.file] = (len(self.source), None, lines, self.file)
        module = types.ModuleType("exercise")
        sys.modules["exercise"], module.__file__, self.names = module, self.file, vars(module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", RuntimeWarning)
            warnings.showwarning = self._warned
            if self._guarded("", self._define):
                self.exercise.answers(self._call)
        self._write(done=True)

    def _define(self) -> bool:
        exec(compile(self.source, self.file, "exec", dont_inherit=True), self.names)
        return True

    def _call(self, case: str, function: Any, arguments: Sequence[Any], names: Sequence[str] | None) -> Values | None:
        """Call a function of the reader; return and write its results, or write what is wrong and return None."""
        if names is None:  # a function of the exercise, on what the reader's has returned
            name = self.exercise.calls[-1][0]
            return self._written(case, name, self._guarded(name, lambda: function(*arguments)) or {})
        self._write(calling=function, case=case)
        called, copies = self._function(function, arguments), _copies(arguments)
        if called is None:
            return None
        result = self._guarded(function, lambda: (called(*copies),), self._shapes(function, arguments))
        if result is None:
            return None
        self._compare(function, copies, arguments)
        found = self._named(function, result[0], names)
        written = self._written(case, function, found)
        if len(written) < len(names):
            return None
        if not self.exercise.tensors:
            self._again(called, function, arguments, written)
        return written

    def _written(self, case: str, function: str, found: Values) -> Values:
        """Write the results that are arrays, and return them."""
        return {name: value for name, value in found.items() if self._wrote(case, function, name, value)}

    def _function(self, name: str, arguments: Sequence[Any]) -> Callable[..., Any] | None:
        """Return the function of this name, if it takes these arguments."""
        function = self.names.get(name)
        if not callable(function):
            known = [key for key, value in self.names.items() if inspect.isfunction(value)]
            self._problem(
                name,
                "missing function",
                f"The file has no function {name}; keep the names of the first version{did_you_mean(name, known)}",
            )
            return None
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError:
            wanted = f"{name}({', '.join(self._words(name))})"
            self._problem(
                name,
                "parameters",
                f"{name}{inspect.signature(function)} is called as {wanted}: keep the parameters of the first version.",
            )
            return None
        except ValueError:
            pass  # a function without a signature, such as one of NumPy
        return function

    def _words(self, function: str) -> list[str]:
        """Return the names of the arguments of a function."""
        return next(words for name, words, _ in self.exercise.calls if name == function).split()

    def _shapes(self, function: str, arguments: Sequence[Any]) -> str:
        """Return with which shapes a function is called."""
        shapes = [
            f"{name} of shape {argument.shape}"
            for name, argument in zip(self._words(function), arguments, strict=True)
            if isinstance(argument, np.ndarray | Tensor)
        ]
        return f"\n{function} was called with {', '.join(shapes)}."

    def _guarded(self, function: str, work: Callable[[], Any], remark: str = "") -> Any:
        """Return what the work returns; after an exception, write it and return None."""
        try:
            return work()
        except BaseException as error:
            own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.file]
            if isinstance(error, NotImplementedError) and own:
                self._problem(
                    function, "not written", f"{function or 'The file'} is not written yet: line {own[-1].lineno}."
                )
            else:
                kind = (
                    "syntax"
                    if isinstance(error, SyntaxError)
                    else "memory"
                    if isinstance(error, MemoryError)
                    else "exception"
                )
                self._problem(function, kind, self._told(error, own) + remark)
            return None

    def _told(self, error: BaseException, own: list[traceback.FrameSummary]) -> str:
        """Return the reader's own lines of a traceback, and the message."""
        frames = "".join(traceback.StackSummary.from_list(own[-FRAMES:]).format())
        message = "".join(traceback.format_exception_only(error)).rstrip()
        more = f" ... ({len(message) - LETTERS:,} more letters)" if len(message) > LETTERS else ""
        return f"{frames}{message[:LETTERS]}{more}"

    def _compare(self, function: str, copies: Sequence[Any], arguments: Sequence[Any]) -> None:
        """Write which arguments a function has changed."""
        for name, copy, argument in zip(self._words(function), copies, arguments, strict=True):
            if isinstance(argument, np.ndarray) and not np.array_equal(copy, argument):
                self._problem(
                    function,
                    "argument changed",
                    f"{function} changes its argument {name} in place, and the caller still needs it. Make a new one: "
                    f"{name} = {name} * 2, not {name} *= 2.",
                )

    def _again(self, called: Callable[..., Any], name: str, arguments: Sequence[Any], found: Values) -> None:
        """Write whether a second call returns other arrays."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                second = called(*_copies(arguments))
        except BaseException:
            return  # it is told when the next case is called
        seconds = second if isinstance(second, tuple | list) and len(found) > 1 else [second]
        if any(repr(first) != repr(other) for first, other in zip(found.values(), seconds, strict=False)):
            self._problem(
                name,
                "new random numbers",
                f"{name} returns other numbers when it is called again with the same arguments: draw no numbers, and "
                "use those that it gets.",
            )

    def _named(self, function: str, result: Any, names: Sequence[str]) -> Values:
        """Return the results by name."""
        if not names:
            return {}
        results = list(result) if isinstance(result, tuple | list) and len(names) > 1 else [result]
        if len(results) == len(names):
            return dict(zip(names, results, strict=True))
        count = f"{len(results)} values" if isinstance(result, tuple | list) else _kind(result)
        self._problem(
            function, "returned", f"{function} returned {count}; expected {len(names)} values: ({', '.join(names)})."
        )
        return {}

    def _wrote(self, case: str, function: str, name: str, value: Any) -> bool:
        """Write an array, if the value is one."""
        tensors = self.exercise.tensors
        if not ((isinstance(value, Tensor) and tensors) or isinstance(value, np.ndarray | np.generic | float | int)):
            expected = "a tensor" if tensors else "an array of NumPy"
            nothing = "; is the return missing?" if value is None else "."
            self._problem(
                function, "returned", f"{function} returned {_kind(value)} for {name}; expected {expected}{nothing}"
            )
            return False
        array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind not in "fiub":
            self._problem(
                function, "returned", f"{function} returned an array of {array.dtype} for {name}; expected floats."
            )
            return False
        numbers = array.tolist() if array.size <= LARGEST else None
        self._write(case=case, name=name, shape=array.shape, dtype=array.dtype.str, numbers=numbers)
        return True

    def _warned(self, message: Any, category: Any, *_: Any, **__: Any) -> None:
        """Write a warning of NumPy, and the reader's line that caused it."""
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.file:
            frame = frame.f_back  # type: ignore[assignment]
        if frame is not None:
            line = linecache.getline(self.file, frame.f_lineno).strip()
            self._problem(
                f"line {frame.f_lineno}",
                "warning",
                f"NumPy warns in line {frame.f_lineno}: {message}\n    {line}\n{_about(str(message))}",
            )

    def _problem(self, function: str, kind: str, text: str) -> None:
        """Write a problem, once."""
        if (function, kind) not in self.said:
            self.said.add((function, kind))
            self._write(problem=kind, function=function, text=text)

    def _write(self, **record: Any) -> None:
        print(json.dumps(record), file=self.answers, flush=True)


def _copies(arguments: Sequence[Any]) -> list[Any]:
    return [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _about(message: str) -> str:
    """Return what to do about a warning of NumPy."""
    if "overflow" in message:
        return (
            "In float64, e^x is infinite above x = 709: use exponents of at most 0. np.where computes both of its "
            "choices."
        )
    if "divide" in message:
        return "This is a division by 0, or a logarithm of 0. Was a small number rounded to 0 before?"
    return "The result is nan: infinity - infinity, 0 * infinity, 0 / 0, or the logarithm of a negative number."
