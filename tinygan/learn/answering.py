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
        faulthandler.cancel_dump_traceback_later()


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
            found = self._guarded(name, lambda: function(*arguments)) or {}
        else:
            name = function
            self._write(calling=name, case=case)
            called = self._function(name, arguments)
            copies = _copies(arguments)
            result = self._guarded(name, lambda: (called(*copies),)) if called else None
            if called is None or result is None:
                return None
            self._compare(name, copies, arguments)
            found = self._named(name, result[0], names)
            if not self.exercise.tensors:
                self._again(called, name, arguments, names, found)
            if len(found) < len(names):
                return None
        written = {key: value for key, value in found.items() if self._wrote(case, name, key, value)}
        return None if len(written) < len(found) and self.exercise.tensors else written

    def _function(self, name: str, arguments: Sequence[Any]) -> Callable[..., Any] | None:
        """Return the function of this name, if it takes these arguments."""
        function = self.names.get(name)
        if not callable(function):
            known = [key for key, value in self.names.items() if inspect.isfunction(value)]
            self._problem(
                name,
                "missing function",
                f"The file has no function {name}{did_you_mean(name, known)}. Keep the names that the file began with.",
            )
            return None
        words = next(words for function, words, _ in self.exercise.calls if function == name)
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError:
            wanted = f"{name}({', '.join(words.split())})"
            self._problem(
                name,
                "parameters",
                f"{name}{inspect.signature(function)} is called as {wanted}: keep the parameters of the first version.",
            )
            return None
        except ValueError:
            pass  # a function without a signature, such as one of NumPy
        return function

    def _guarded(self, function: str, work: Callable[[], Any]) -> Any:
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
                self._problem(function, kind, self._told(error, own))
            return None

    def _told(self, error: BaseException, own: list[traceback.FrameSummary]) -> str:
        """Return the reader's own lines of a traceback, and the message."""
        frames = "".join(traceback.StackSummary.from_list(own[-FRAMES:]).format())
        message = "".join(traceback.format_exception_only(error)).rstrip()
        more = f" ... ({len(message) - LETTERS:,} more letters)" if len(message) > LETTERS else ""
        return f"{frames}{message[:LETTERS]}{more}"

    def _compare(self, function: str, copies: Sequence[Any], arguments: Sequence[Any]) -> None:
        """Write which arguments a function has changed."""
        words = next(words for name, words, _ in self.exercise.calls if name == function)
        for name, copy, argument in zip(words.split(), copies, arguments, strict=True):
            if isinstance(argument, np.ndarray) and not np.array_equal(copy, argument):
                self._problem(
                    function,
                    "argument changed",
                    f"{function} changes its argument {name} in place, and the caller still needs it. Make a new one: "
                    f"{name} = {name} * 2, not {name} *= 2.",
                )

    def _again(
        self, called: Callable[..., Any], function: str, arguments: Sequence[Any], names: Any, found: Values
    ) -> None:
        """Write whether a second call returns other numbers."""
        with contextlib.redirect_stdout(io.StringIO()):
            result = self._guarded(function, lambda: (called(*_copies(arguments)),))
        second = {} if result is None else self._named(function, result[0], names)
        if any(repr(value) != repr(second.get(name)) for name, value in found.items()):
            self._problem(
                function,
                "new random numbers",
                f"{function} returns other numbers when it is called again with the same arguments: draw no numbers, "
                "and use those that it gets.",
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
            nothing = ": is the return missing?" if value is None else ""
            self._problem(
                function, "returned", f"{function} returned {_kind(value)} for {name}; expected {expected}{nothing}."
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
    return "None" if value is None else f"a {type(value).__name__}"


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
