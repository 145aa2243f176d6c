"""Every operation: its forward and its backward formula side by side, grouped by kind.

An operation is a small class (see `tinygan.engine.Operation`). Users call a function, which has the same name in lower
case; `__all__` of its file lists it. Importing this package also gives `Tensor` its operators.

To add an operation:

1. Write its class and its function in the file of its kind. The first paragraph of the class's docstring is
   ``forward formula;  gx = ...,  gy = ...``: traces show it. The rule in `backward` uses operators, methods of `B`
   and functions of ``B.xp``, so that it also runs on tensors: see `differentiable` for those that may be used there. An
   operation that others compose is a plain function and needs no class.
2. Add the name to `__all__` of the file.
3. Add one row to the table of `operators` if it is an operator or a method of tensors, or a function of NumPy.
4. Add a case to `tinygan.checking.operations`, a test by `tinygan.testing.operation_test`, and a line to
   ``tools/compare_with_pytorch.py``.
"""

from inspect import isfunction as _isfunction

from tinygan.engine import chain_rule
from tinygan.functional import operators as _operators  # noqa: F401  (attaches the operators to Tensor)
from tinygan.functional.activations import *  # noqa: F403
from tinygan.functional.arithmetic import *  # noqa: F403
from tinygan.functional.convolution import *  # noqa: F403
from tinygan.functional.differentiable import differentiable as _differentiable
from tinygan.functional.elementwise import *  # noqa: F403
from tinygan.functional.indexing import *  # noqa: F403
from tinygan.functional.joining import *  # noqa: F403
from tinygan.functional.linear import *  # noqa: F403
from tinygan.functional.losses import *  # noqa: F403
from tinygan.functional.normalization import *  # noqa: F403
from tinygan.functional.pooling import *  # noqa: F403
from tinygan.functional.probabilities import *  # noqa: F403
from tinygan.functional.products import *  # noqa: F403
from tinygan.functional.reductions import *  # noqa: F403
from tinygan.functional.shape import *  # noqa: F403
from tinygan.functional.signatures import answer_calls as _answer_calls
from tinygan.functional.statistics import *  # noqa: F403
from tinygan.functional.without_gradient import *  # noqa: F403
from tinygan.missing_names import answer_names as _answer_names
from tinygan.pytorch_names import FUNCTIONAL as _NAMES

chain_rule.differentiable = _differentiable

__all__ = sorted(name for name, value in vars().items() if _isfunction(value) and not name.startswith("_"))
_answer_calls(__name__, "F")
__getattr__ = _answer_names(__name__, _NAMES)
