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
from tinygan.engine import Operation, Tensor, enable_grad, grad, is_grad_enabled, no_grad, tensor
from tinygan.errors import GradcheckError
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
