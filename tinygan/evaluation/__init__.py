"""How good are the samples? Measures that look at samples only, never at the losses of the game."""

from tinygan.evaluation.modes import PACGAN_SAMPLES, ModeCount, count_modes
from tinygan.evaluation.neighbours import nearest, nearest_neighbour_distances, nearest_neighbour_ratio
from tinygan.evaluation.parzen import (
    SIGMAS,
    parzen_log_likelihood,
    parzen_log_likelihoods,
    select_sigma,
    standard_error,
)

__all__ = [
    "PACGAN_SAMPLES",
    "SIGMAS",
    "ModeCount",
    "count_modes",
    "nearest",
    "nearest_neighbour_distances",
    "nearest_neighbour_ratio",
    "parzen_log_likelihood",
    "parzen_log_likelihoods",
    "select_sigma",
    "standard_error",
]
