"""Measures of the quality of samples. They use samples and data only, not the losses of the game."""

from tinygan.evaluation.classes import ClassCoverage, class_coverage
from tinygan.evaluation.manifolds import DensityCoverage, PrecisionRecall, density_coverage, precision_recall
from tinygan.evaluation.mean_discrepancy import MeanDiscrepancy, maximum_mean_discrepancy
from tinygan.evaluation.modes import PACGAN_SAMPLES, ModeCount, count_modes
from tinygan.evaluation.neighbours import (
    TrainingDistance,
    nearest,
    nearest_neighbour_distances,
    nearest_neighbour_ratio,
    training_distance,
)
from tinygan.evaluation.parzen import (
    SIGMAS,
    parzen_log_likelihood,
    parzen_log_likelihoods,
    select_sigma,
    standard_error,
)
from tinygan.evaluation.two_sample import TwoSampleTest, two_sample_test

__all__ = [
    "PACGAN_SAMPLES",
    "SIGMAS",
    "ClassCoverage",
    "DensityCoverage",
    "MeanDiscrepancy",
    "ModeCount",
    "PrecisionRecall",
    "TrainingDistance",
    "TwoSampleTest",
    "class_coverage",
    "count_modes",
    "density_coverage",
    "maximum_mean_discrepancy",
    "nearest",
    "nearest_neighbour_distances",
    "nearest_neighbour_ratio",
    "parzen_log_likelihood",
    "parzen_log_likelihoods",
    "precision_recall",
    "select_sigma",
    "standard_error",
    "training_distance",
    "two_sample_test",
]
