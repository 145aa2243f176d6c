"""Layers that own parameters, and modules that contain other modules. `layers.__all__` lists the layers."""

from tinygan.nn import init, layers
from tinygan.nn.layers import *  # noqa: F403
from tinygan.nn.module import Buffer, Module, Parameter, Sequential

__all__ = ["Buffer", "Module", "Parameter", "Sequential", "init", *layers.__all__]
