"""The refusals of the benchmarks."""

from __future__ import annotations

from tinygan.errors import TinyganError


class BenchmarkError(TinyganError, RuntimeError):
    """A measurement cannot be made, or would not mean what its name says."""


class PeerMissingError(BenchmarkError):
    """A framework to compare with is not installed."""


class DisagreementError(BenchmarkError):
    """Two frameworks that were to play the same game had different losses."""
