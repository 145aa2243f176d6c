"""The engine: tensors, the tape, and the backward pass.

Read `tensor` (an array and the operation that computed it), then `tape` (an operation and the record of its call),
then `chain_rule` (the backward pass). The formulas themselves are in `tinygan.functional`.
"""

from tinygan.engine.chain_rule import grad, topological_order
from tinygan.engine.modes import enable_grad, is_grad_enabled, no_grad
from tinygan.engine.tape import Elementwise, Operation
from tinygan.engine.tensor import Tensor, tensor

__all__ = [
    "Elementwise",
    "Operation",
    "Tensor",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "tensor",
    "topological_order",
]
