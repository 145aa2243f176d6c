"""How good are the samples? Measures that look at samples only, never at the losses of the game."""

from tinygan.evaluation.modes import PACGAN_SAMPLES, ModeCount, count_modes
from tinygan.evaluation.neighbours import nearest, nearest_neighbour_distances, nearest_neighbour_ratio

__all__ = [
    "PACGAN_SAMPLES",
    "ModeCount",
    "count_modes",
    "nearest",
    "nearest_neighbour_distances",
    "nearest_neighbour_ratio",
]
