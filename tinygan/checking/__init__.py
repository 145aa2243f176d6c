"""The gradient checker: it compares gradients with numerical derivatives of the function.

Read `check` (what users call), then `promises`, `jacobian` and `directions` (the three parts of a check), with
`numerical` (numerical derivatives) and `judging` (what counts as equal). `subject`, `tensors` and `arrays` hold the
function under test; `surroundings` restores the state that it changes; `report` holds the result. `operations` lists
the checks of all operations.
"""

from tinygan.checking.check import gradcheck, gradcheck_function
from tinygan.checking.report import Comparison, Failure, GradcheckReport

__all__ = ["Comparison", "Failure", "GradcheckReport", "gradcheck", "gradcheck_function"]
