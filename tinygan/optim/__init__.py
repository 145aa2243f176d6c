"""Update rules and their schedules."""

from tinygan.optim.optimizers import SGD, Adam, Optimizer
from tinygan.optim.schedules import ExponentialDecay, LinearMomentum

__all__ = ["SGD", "Adam", "ExponentialDecay", "LinearMomentum", "Optimizer"]
