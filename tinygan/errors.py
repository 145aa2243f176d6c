"""Every error that tinygan raises on purpose.

Each derives from the built-in exception that fits, so ``except ValueError`` keeps working, and from
`TinyganError`, so that a program can tell our refusals from its own bugs. A message names the operation or
the file, the argument, what was expected and what came, and says what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TinyganError(Exception):
    """The common ancestor: catch this to catch every refusal of tinygan."""


class ShapeError(TinyganError, ValueError):
    """Shapes do not fit the operation."""


class NoAxisError(ShapeError, TypeError):
    """A tensor without axes, one number, was asked for its length or its rows."""


class DtypeError(TinyganError, TypeError):
    """A dtype or a type does not fit the operation: gradients of integers, text in a tensor, a list of layers, ..."""


class ArgumentError(TinyganError, ValueError):
    """A number or a name is given that cannot be right: a learning rate of nan, a negative seed, ..."""


class StateError(TinyganError, RuntimeError):
    """Something is asked for at a moment when its result would be wrong."""


class DeviceError(TinyganError, RuntimeError):
    """A device is missing, or tensors of two devices met in one operation."""


class CaptureError(TinyganError, RuntimeError):
    """A training step cannot be captured as a CUDA graph."""


class GradientError(TinyganError, RuntimeError):
    """The backward pass cannot do what was asked, or a rule broke its promise."""


class AnomalyError(TinyganError, FloatingPointError):
    """A nan or an infinity appeared where `tinygan.detect_anomaly` was looking."""


class GradcheckError(TinyganError, AssertionError):
    """A gradient is not what the function's own values say, or its rule broke a promise; `report` says which.

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
    """A data file is missing, damaged or not what its name promises."""


class CheckpointError(TinyganError, ValueError):
    """A checkpoint is damaged, or does not belong to this model or run."""


class RunError(TinyganError, OSError):
    """A run folder is missing, taken, in use by another process, or cannot be written."""


class MissingPackageError(TinyganError, ImportError):
    """An optional package is not installed."""


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
