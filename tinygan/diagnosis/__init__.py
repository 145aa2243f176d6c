"""Verdicts on a game: what is measured, what it means, and what to try."""

from tinygan.diagnosis.headline import headline

__all__ = ["headline"]
