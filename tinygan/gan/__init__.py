"""The game: objectives, Algorithm 1, penalties, packing, noise, monitors, sampling."""

from tinygan.gan.algorithm1 import SCHEDULES, Algorithm1
from tinygan.gan.condition import Conditional
from tinygan.gan.instance_noise import InstanceNoise
from tinygan.gan.monitors import VALUE_AT_EQUILIBRIUM, Monitor, gradient_norm, gradient_norms, update_ratios
from tinygan.gan.noise import Noise
from tinygan.gan.objectives import OBJECTIVES, Objective, discriminator_loss, generator_loss
from tinygan.gan.packing import Packed
from tinygan.gan.penalties import DRAGAN, PENALTIES, R1, R2, GradientPenalty, Penalty, WeightClipping
from tinygan.gan.replayed import Replayed
from tinygan.gan.sampling import push, sample
from tinygan.gan.step import Step

__all__ = [
    "DRAGAN",
    "OBJECTIVES",
    "PENALTIES",
    "R1",
    "R2",
    "SCHEDULES",
    "VALUE_AT_EQUILIBRIUM",
    "Algorithm1",
    "Conditional",
    "GradientPenalty",
    "InstanceNoise",
    "Monitor",
    "Noise",
    "Objective",
    "Packed",
    "Penalty",
    "Replayed",
    "Step",
    "WeightClipping",
    "discriminator_loss",
    "generator_loss",
    "gradient_norm",
    "gradient_norms",
    "push",
    "sample",
    "update_ratios",
]
