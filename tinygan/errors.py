"""Every error that tinygan raises on purpose.

Each derives from the fitting built-in exception, so ``except ValueError`` works, and from `TinyganError`, so that a
program can distinguish the refusals of tinygan from other errors. A message names the operation or the file, the
argument, the expected value, the actual value, and what to do.
"""

from __future__ import annotations

import difflib
import linecache
import os
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class TinyganError(Exception):
    """The base class of every error that tinygan raises on purpose."""


class ShapeError(TinyganError, ValueError):
    """Shapes do not fit the operation."""


class NoAxisError(ShapeError, TypeError):
    """The length or the rows of a 0-d tensor were requested."""


class DtypeError(TinyganError, TypeError):
    """A dtype or a type does not fit the operation: gradients of integers, text in a tensor, a list of layers, ..."""


class CallError(TinyganError, TypeError):
    """A function was called with arguments that it does not take."""


class MissingNameError(TinyganError, AttributeError):
    """A name is not here; the message says what to write instead, if it is one of PyTorch or NumPy.

    Parameters
    ----------
    message : str
    name : str
        If not empty, the message ends with a similar name of `owner`; this is looked up if the message is read.
    owner : object
    """

    def __init__(self, message: str, name: str = "", owner: Any = None) -> None:
        super().__init__(message)
        self.obj, self._name = (
            owner,
            name,
        )  # without `AttributeError.name`, to which Python would add another suggestion

    def __str__(self) -> str:
        known = [name for name in dir(self.obj) if name[0] != "_"] if self._name and self.obj is not None else []
        return self.args[0] + (did_you_mean(self._name, known) if known else "")


class MissingImportError(TinyganError, ModuleNotFoundError):
    """A name that is not here was imported; see `MissingNameError`."""


class ArgumentError(TinyganError, ValueError):
    """An argument has a value that is not allowed: a learning rate of nan, a negative seed, ..."""


class StateError(TinyganError, RuntimeError):
    """A call comes at a moment when its result would be wrong."""


class DeviceError(TinyganError, RuntimeError):
    """A device is missing, or tensors of two devices met in one operation."""


class CaptureError(TinyganError, RuntimeError):
    """A training step cannot be captured as a CUDA graph."""


class CaptureWarning(TinyganError, UserWarning):  # noqa: N818
    """A step could not be captured as a CUDA graph, so its kernels are launched one by one."""


class GradientError(TinyganError, RuntimeError):
    """The backward pass is not possible, or a gradient rule returned a wrong kind of result."""

    @classmethod
    def no_graph(cls, caller: str) -> GradientError:
        """Return the error for an output that does not depend on any tensor with a gradient."""
        return cls(
            f"{caller}: the output does not depend on any tensor with requires_grad=True, so there is nothing to "
            "differentiate. Was it computed under no_grad(), or by an earlier pass without create_graph=True? "
            "If it is the gradient of a piecewise linear function, such as relu, it is constant: its own "
            "gradient is 0, and tg.grad(..., allow_unused=True) returns None"
        )

    @classmethod
    def many_numbers(cls, caller: str, shape: Any) -> GradientError:
        """Return the error for an output of many numbers without a gradient to start from."""
        return cls(
            f"{caller}: the output has shape {shape}, and only one number has a gradient. Reduce it first, "
            "as in .sum() or .mean(), or pass the gradient of a number with respect to it, of the same shape"
        )

    @classmethod
    def unused(cls, position: int) -> GradientError:
        """Return the error for an input of `grad` that the output does not depend on."""
        return cls(
            f"grad: the output does not depend on input {position}, so its gradient is 0 everywhere; "
            "pass allow_unused=True to get None for such an input"
        )

    @classmethod
    def graph_freed(cls, caller: str, operation: str) -> GradientError:
        """Return the error for an operation whose saved arrays have been freed."""
        return cls(
            f"{caller}: the graph of '{operation}' has been freed by an earlier backward pass; "
            "compute the forward pass again, or pass retain_graph=True to the first backward"
        )

    @classmethod
    def changed_in_place(cls, operation: str, what: str) -> GradientError:
        """Return the error for values that the backward pass needs and that have been changed."""
        return cls(
            f"{operation}: {what} has been changed in place since the forward pass, by an optimiser's step "
            "for example, and the gradient needs the values that were there; call backward before the "
            "step, or compute the forward pass again"
        )

    @classmethod
    def called_twice(cls, operation: str, class_name: str) -> GradientError:
        """Return the error for an operation object that has recorded a call already."""
        return cls(
            f"{operation}: this object has recorded a call already, and it holds the state of one call only; "
            f"make a new one for each, as in {class_name}(...)(x)"
        )

    @classmethod
    def no_leaf(cls, operation: str) -> GradientError:
        """Return the error for a result whose `requires_grad` would be set."""
        return cls(
            f"requires_grad can be set on leaf tensors only, and this is the result of '{operation}'; "
            "call .detach() first to cut it off the graph"
        )

    @classmethod
    def copied(cls, operation: str) -> GradientError:
        """Return the error for a result that would be copied or pickled."""
        return cls(
            f"a copy of the result of '{operation}' would take the whole graph along; "
            "copy it without its past, as in copy.deepcopy(tensor.detach()) or tg.tensor(tensor)"
        )

    @classmethod
    def assigned_into(cls) -> GradientError:
        """Return the error for ``tensor[index] = value``."""
        return cls(
            "a tensor cannot be assigned into: the tape may need the value that was there. Build a new tensor with "
            "F.where, F.concatenate or F.stack, or, outside of any graph, write into tensor.data"
        )

    @classmethod
    def leaves_tape(cls, what: str, how: str) -> GradientError:
        """Return the error for a tensor with a gradient that would become `what`; `how` is the remedy."""
        return cls(
            f"a tensor that requires a gradient would silently leave the tape by becoming {what}; "
            f"use a function of tinygan.functional, {how}"
        )


class AnomalyError(TinyganError, FloatingPointError):
    """A nan or an infinity appeared inside `tinygan.detect_anomaly`."""


class GradcheckError(TinyganError, AssertionError):
    """A gradient does not agree with the function, or its rule breaks a requirement; `report` has the details.

    Attributes
    ----------
    report : GradcheckReport
    """

    def __init__(self, report: Any) -> None:
        super().__init__(str(report))
        self.report = report


class ConfigError(TinyganError, ValueError):
    """An experiment's configuration holds an unknown key or a value that does not fit."""


class DataError(TinyganError, ValueError):
    """A data file is missing, damaged or of another kind than its name indicates."""


class CheckpointError(TinyganError, ValueError):
    """A checkpoint is damaged, or does not belong to this model or run."""


class RunError(TinyganError, OSError):
    """A run folder is missing, taken, in use by another process, or cannot be written."""


class MissingPackageError(TinyganError, ImportError):
    """An optional package is not installed."""


class ParallelError(TinyganError, RuntimeError):
    """Several processes cannot train together: they were not started as ranks, or one failed or differs."""


class DistributionError(TinyganError, ValueError):
    """An argument is not a probability distribution, or not a discriminator on the same points."""


# ---------------------------------------------------------------------- parts of messages


def nearest(word: str, known: Iterable[str], least: float | None = None) -> str | None:
    """Return the known word that is most like `word` (of equals, the first), or None if none is near.

    Two words are near if the share of letters that they have in common is `least` or more: by default 0.6, or 0.5 for a
    word of up to three letters, so that one of two letters may be wrong.
    """

    def likeness(candidate: str) -> float:
        return difflib.SequenceMatcher(None, candidate, word.casefold()).ratio()

    best = max(known, key=likeness, default="")
    least = least or (0.6 if len(word) > 3 else 0.5)
    return best if likeness(best) >= least else None


def did_you_mean(word: str, known: Iterable[str], least: float | None = None) -> str:
    """Return ``; did you mean "..."?`` with the `nearest` known word, or "" if none is near."""
    found = nearest(word, known, least)
    return "" if found is None else f'; did you mean "{found}"?'


def calling_line(*machinery: str) -> str:
    """Return the innermost line of code outside of some folders of tinygan, for a message.

    Parameters
    ----------
    *machinery : str
        The folders to leave out, such as ``"engine"``.

    Returns
    -------
    str
        File, line number, function and source. If the line is one of tinygan's own, the line of the user's program that
        led there is added.
    """
    left_out = tuple([PACKAGE + folder + os.sep for folder in machinery])
    frame = first_frame_outside(sys._getframe(1), left_out)
    inner = f"called at {_line(frame)}"
    if frame is None or not frame.f_code.co_filename.startswith(PACKAGE):
        return inner
    outer = first_frame_outside(frame, (PACKAGE,))
    return inner if outer is None else f"{inner}\n  from {_line(outer)}"


def first_frame_outside(frame: FrameType | None, folders: tuple[str, ...]) -> FrameType | None:
    """Return the innermost frame, from `frame` outwards, whose file is in no folder of `folders`, or None."""
    while frame is not None and frame.f_code.co_filename.startswith(folders):
        frame = frame.f_back
    return frame


def _line(frame: FrameType | None) -> str:
    if frame is None:
        return "an unknown line"
    path, number = frame.f_code.co_filename, frame.f_lineno
    name = path.removeprefix(os.path.dirname(PACKAGE.rstrip(os.sep)) + os.sep)
    source = linecache.getline(path, number).strip()
    return f"{name}:{number}, in {frame.f_code.co_name}" + (f": {source}" if source else "")
