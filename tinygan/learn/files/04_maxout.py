"""Exercise 4: maxout, with ties

Teaches: the gradient goes to the input that won, and to no other; a tie needs a rule.

A maxout unit has several pieces, and its output is the largest of them:

    y[i, u] = max over p of x[i, u, p]

Backward, gy has the derivative of a loss L with respect to each number of y. Return that with respect to x. If several
pieces are equally large, the first of them gets all of the gradient.

Replace both lines with NotImplementedError. Then: tinygan learn check 4
"""

import numpy as np


def forward(x):
    """Return y.

    x: shape (m, units, pieces)
    y: shape (m, units)
    """
    # SOLUTION
    return x.max(axis=2)
    # END


def backward(gy, x):
    """Return gx.

    gy: shape (m, units)
    x, gx: shape (m, units, pieces)
    """
    # SOLUTION
    first = x.argmax(axis=2)  # argmax returns the first of equal numbers
    won = np.arange(x.shape[2]) == first[:, :, None]
    return gy[:, :, None] * won
    # END
