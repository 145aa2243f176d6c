"""Exercise 2: the sigmoid

Teaches: a formula can be right and still overflow; the backward pass can use the result of the forward pass.

    y = 1 / (1 + e^-x)

In float64, e^1000 is too large: NumPy makes it infinity, and warns. Write y so that NumPy never warns, and so that
nine digits of y are right for each x from -1000 to 1000, also where y is tiny, as at x = -50.

Backward, gy has the derivative of a loss L with respect to each number of y. Return that with respect to x. You get y,
and not x: y is enough.

Replace both lines with NotImplementedError. Then: tinygan learn check 2
"""

import numpy as np


def forward(x):
    """Return y.

    x: any shape
    y: the shape of x
    """
    # SOLUTION
    small = np.exp(-np.abs(x))  # at most 1: it cannot overflow
    return np.where(x >= 0, 1, small) / (1 + small)
    # END


def backward(gy, y):
    """Return gx.

    gy, y, gx: all of the same shape
    """
    # SOLUTION
    return gy * y * (1 - y)
    # END
