"""Layers that own parameters, and modules that contain other modules.

`layers`, `convolution`, `pooling` and `normalization` list the layers.
"""

from tinygan import functional as _functional
from tinygan.functional.signatures import answer_calls as _answer_calls
from tinygan.functional.signatures import answer_methods as _answer_methods
from tinygan.missing_names import answer_attributes as _answer_attributes
from tinygan.missing_names import answer_names as _answer_names
from tinygan.nn import convolution, init, layers, normalization, pixels, pooling
from tinygan.nn.calls import functional_call
from tinygan.nn.containers import ModuleList, Sequential
from tinygan.nn.convolution import *  # noqa: F403
from tinygan.nn.layers import *  # noqa: F403
from tinygan.nn.module import Module
from tinygan.nn.normalization import *  # noqa: F403
from tinygan.nn.parameter import Buffer, Parameter
from tinygan.nn.pixels import *  # noqa: F403
from tinygan.nn.pooling import *  # noqa: F403
from tinygan.pytorch_names import INIT as _INIT
from tinygan.pytorch_names import MODULE as _MODULE
from tinygan.pytorch_names import NN as _NN

__all__ = [
    "Buffer",
    "Module",
    "ModuleList",
    "Parameter",
    "Sequential",
    "functional_call",
    "init",
    *convolution.__all__,
    *layers.__all__,
    *normalization.__all__,
    *pixels.__all__,
    *pooling.__all__,
]

_answer_calls(__name__, "nn")
for _name in __all__:
    if isinstance(vars()[_name], type):
        _answer_methods(vars()[_name], "net", f"nn.{_name}")
_answer_attributes(Module, _MODULE)
__getattr__ = _answer_names(__name__, _NN, F=_functional)
init.__getattr__ = _answer_names(init.__name__, _INIT)  # type: ignore[method-assign]
