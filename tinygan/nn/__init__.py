"""Layers that own parameters, and how to put them together."""

from tinygan.nn import init
from tinygan.nn.layers import Dropout, Flatten, LeakyReLU, Linear, Maxout, ReLU, Reshape, Sigmoid, Tanh
from tinygan.nn.module import Buffer, Module, Parameter, Sequential

__all__ = [
    "Buffer",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "Maxout",
    "Module",
    "Parameter",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "init",
]
