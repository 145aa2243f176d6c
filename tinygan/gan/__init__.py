"""The game: objectives, Algorithm 1, noise, monitors, sampling."""

from tinygan.gan.algorithm1 import SCHEDULES, Algorithm1, Step
from tinygan.gan.monitors import VALUE_AT_EQUILIBRIUM, Monitor, gradient_norm, gradient_norms, update_ratios
from tinygan.gan.noise import Noise
from tinygan.gan.objectives import OBJECTIVES, discriminator_loss, generator_loss
from tinygan.gan.sampling import push, sample

__all__ = [
    "OBJECTIVES",
    "SCHEDULES",
    "VALUE_AT_EQUILIBRIUM",
    "Algorithm1",
    "Monitor",
    "Noise",
    "Step",
    "discriminator_loss",
    "generator_loss",
    "gradient_norm",
    "gradient_norms",
    "push",
    "sample",
    "update_ratios",
]
