"""Update rules, schedules of their options, and what is done with all gradients at once."""

from tinygan.optim.adam import Adam, AdamW, RMSprop
from tinygan.optim.averaging import ExponentialMovingAverage
from tinygan.optim.gradients import clip_grad_norm, get_gradients, set_gradients
from tinygan.optim.optimizers import Optimizer
from tinygan.optim.schedules import CosineDecay, ExponentialDecay, LinearDecay, LinearMomentum, StepDecay, WarmUp
from tinygan.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineDecay",
    "ExponentialDecay",
    "ExponentialMovingAverage",
    "LinearDecay",
    "LinearMomentum",
    "Optimizer",
    "RMSprop",
    "StepDecay",
    "WarmUp",
    "clip_grad_norm",
    "get_gradients",
    "set_gradients",
]
