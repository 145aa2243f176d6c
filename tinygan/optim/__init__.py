"""Update rules, schedules of their options, and what is done with all gradients at once."""

from tinygan.functional.signatures import answer_calls as _answer_calls
from tinygan.functional.signatures import answer_methods as _answer_methods
from tinygan.missing_names import answer_attributes as _answer_attributes
from tinygan.missing_names import answer_names as _answer_names
from tinygan.optim.adam import Adam, AdamW, RMSprop
from tinygan.optim.averaging import ExponentialMovingAverage
from tinygan.optim.gradients import clip_grad_norm, get_gradients, set_gradients
from tinygan.optim.optimizers import Optimizer
from tinygan.optim.schedules import CosineDecay, ExponentialDecay, LinearDecay, LinearMomentum, StepDecay, WarmUp
from tinygan.optim.sgd import SGD
from tinygan.pytorch_names import OPTIM as _OPTIM
from tinygan.pytorch_names import OPTIMIZER as _OPTIMIZER
from tinygan.pytorch_names import SCHEDULES as _SCHEDULES

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

_answer_calls(__name__, "optim")
for _name in __all__:
    if isinstance(vars()[_name], type):
        _answer_methods(vars()[_name], "opt", f"optim.{_name}")
_answer_attributes(Optimizer, _OPTIMIZER)
for _schedule in (CosineDecay, ExponentialDecay, LinearDecay, LinearMomentum, StepDecay, WarmUp):
    _answer_attributes(_schedule, _SCHEDULES)
__getattr__ = _answer_names(__name__, _OPTIM)
