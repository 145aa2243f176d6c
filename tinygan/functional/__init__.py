"""Every differentiable operation: its forward and its backward formula side by side, grouped by kind.

An operation is a small class (see `tinygan.engine.Operation`). Users call a function, which has the same name in lower
case; `__all__` of its file lists it. Importing this package also gives `Tensor` its operators.
"""

from inspect import isfunction as _isfunction

from tinygan.engine import chain_rule
from tinygan.functional import operators as _operators  # noqa: F401  (attaches the operators to Tensor)
from tinygan.functional.activations import *  # noqa: F403
from tinygan.functional.arithmetic import *  # noqa: F403
from tinygan.functional.differentiable import differentiable as _differentiable
from tinygan.functional.elementwise import *  # noqa: F403
from tinygan.functional.linear import *  # noqa: F403
from tinygan.functional.losses import *  # noqa: F403
from tinygan.functional.normalization import *  # noqa: F403
from tinygan.functional.reductions import *  # noqa: F403
from tinygan.functional.shape import *  # noqa: F403

chain_rule.differentiable = _differentiable

__all__ = sorted(name for name, value in vars().items() if _isfunction(value) and not name.startswith("_"))
