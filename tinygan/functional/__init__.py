"""Every differentiable operation: its forward and its backward formula side by side, grouped by kind.

An operation is a small class (see `tinygan.engine.Operation`); the function of the same name in lower case is what
users call. Importing this package also gives `Tensor` its operators.
"""

from tinygan.engine import chain_rule
from tinygan.functional import operators as _operators  # noqa: F401  (attaches the operators to Tensor)
from tinygan.functional.activations import (
    dropout,
    leaky_relu,
    log_sigmoid,
    maxout,
    relu,
    sigmoid,
    softplus,
    tanh,
)
from tinygan.functional.arithmetic import add, divide, matmul, multiply, negative, power, subtract
from tinygan.functional.differentiable import differentiable as _differentiable
from tinygan.functional.elementwise import abs, clip, exp, log, maximum, minimum, sqrt, where
from tinygan.functional.linear import linear
from tinygan.functional.losses import binary_cross_entropy_with_logits, softmax_cross_entropy
from tinygan.functional.reductions import logsumexp, max, mean, min, sum
from tinygan.functional.shape import (
    astype,
    broadcast_to,
    concatenate,
    getitem,
    pad,
    reshape,
    stack,
    to,
    transpose,
)

chain_rule.differentiable = _differentiable

__all__ = [
    "abs",
    "add",
    "astype",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "divide",
    "dropout",
    "exp",
    "getitem",
    "leaky_relu",
    "linear",
    "log",
    "log_sigmoid",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "maxout",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "pad",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softmax_cross_entropy",
    "softplus",
    "sqrt",
    "stack",
    "subtract",
    "sum",
    "tanh",
    "to",
    "transpose",
    "where",
]
