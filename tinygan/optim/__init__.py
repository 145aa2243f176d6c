"""Update rules and their schedules."""

from tinygan.optim.averaging import ExponentialMovingAverage
from tinygan.optim.optimizers import SGD, Adam, Optimizer
from tinygan.optim.schedules import ExponentialDecay, LinearMomentum, StepDecay

__all__ = ["SGD", "Adam", "ExponentialDecay", "ExponentialMovingAverage", "LinearMomentum", "Optimizer", "StepDecay"]
