"""tinygan: generative adversarial nets from scratch, on NumPy and CuPy.

>>> import tinygan as tg
>>> x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> loss = (x * x).sum()
>>> loss.backward()
>>> x.grad
tensor([2., 4., 6.], dtype=float32)
"""

from tinygan import evaluation, functional, gan, nn, optim, theory
from tinygan.backend import manual_seed
from tinygan.checking import GradcheckReport, gradcheck, gradcheck_function
from tinygan.engine import Operation, Tensor, grad, is_grad_enabled, tensor
from tinygan.engine import enable_grad as _enable_grad
from tinygan.engine import no_grad as _no_grad
from tinygan.errors import GradcheckError
from tinygan.functional.signatures import Block as _Block
from tinygan.functional.signatures import answer_calls as _answer_calls
from tinygan.missing_names import answer_names as _answer_names
from tinygan.pytorch_names import TINYGAN as _NAMES
from tinygan.saving import load, save
from tinygan.trace import detect_anomaly, trace

__version__ = "0.1.0"

__all__ = [
    "GradcheckError",
    "GradcheckReport",
    "Operation",
    "Tensor",
    "__version__",
    "detect_anomaly",
    "enable_grad",
    "evaluation",
    "functional",
    "gan",
    "grad",
    "gradcheck",
    "gradcheck_function",
    "is_grad_enabled",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "save",
    "tensor",
    "theory",
    "trace",
]

no_grad, enable_grad = _Block(_no_grad), _Block(_enable_grad)
_answer_calls(__name__, "tg")
__getattr__ = _answer_names(__name__, _NAMES, F=functional, nn=nn, optim=optim)
