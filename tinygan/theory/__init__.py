"""Section 4 of the paper in numbers: the best discriminator, the criterion C(G), and the game in function space.

Everything is computed in float64 from the distributions: sums over masses, quadrature over densities. No network and
no sample is involved. Equation numbers are those of Goodfellow et al. (2014).
"""

from tinygan.theory.divergences import js_divergence, kl_divergence
from tinygan.theory.function_space import Descent, descend
from tinygan.theory.game import criterion, optimal_discriminator, value

__all__ = [
    "Descent",
    "criterion",
    "descend",
    "js_divergence",
    "kl_divergence",
    "optimal_discriminator",
    "value",
]
