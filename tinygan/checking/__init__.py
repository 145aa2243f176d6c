"""The gradient checker: is a gradient what the function's own values say it is?

Read `check` (what users call), then `promises`, `jacobian` and `directions` (the three parts of a check), with
`differences` (numerical derivatives) and `judging` (what counts as equal) beside them. What is checked is in `subject`,
`tensors` and `arrays`; what has to be put back afterwards, in `surroundings`; what was found, in `report`.
"""

from tinygan.checking.check import gradcheck, gradcheck_function
from tinygan.checking.report import Comparison, Failure, GradcheckReport

__all__ = ["Comparison", "Failure", "GradcheckReport", "gradcheck", "gradcheck_function"]
