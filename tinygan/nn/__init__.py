"""Layers that own parameters, and modules that contain other modules. `layers` and `normalization` list the layers."""

from tinygan.nn import init, layers, normalization
from tinygan.nn.calls import functional_call
from tinygan.nn.containers import ModuleList, Sequential
from tinygan.nn.layers import *  # noqa: F403
from tinygan.nn.module import Module
from tinygan.nn.normalization import *  # noqa: F403
from tinygan.nn.parameter import Buffer, Parameter

__all__ = [
    "Buffer",
    "Module",
    "ModuleList",
    "Parameter",
    "Sequential",
    "functional_call",
    "init",
    *layers.__all__,
    *normalization.__all__,
]
