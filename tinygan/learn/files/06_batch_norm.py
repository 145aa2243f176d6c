"""Exercise 6: batch normalization

Teaches: the mean and the variance are functions of x, too, and the gradient also flows through them.

The columns of x are channels. Each is normalized over the m examples, then scaled by its gain g, and moved by its
bias b:

    mean = 1/m sum of x,    var = 1/m sum of (x - mean)^2
    h = (x - mean) / sqrt(var + eps)
    y = g h + b

Backward, gy has the derivative of a loss L with respect to each number of y. Return those with respect to x, g and b.
Begin with g and b. For x: which numbers of y change if x[0, 0] changes?

Replace both lines with NotImplementedError. Then: tinygan learn check 6
"""

import numpy as np


def forward(x, g, b, eps):
    """Return y.

    x, y: shape (m, channels)
    g, b: shape (channels,)
    eps: a small number, such as 1e-5
    """
    # SOLUTION
    h = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    return g * h + b
    # END


def backward(gy, x, g, eps):
    """Return (gx, gg, gb).

    gy, x: shape (m, channels)
    g: shape (channels,)
    gx, gg, gb: of the shapes of x, g and b
    """
    # SOLUTION
    s = np.sqrt(x.var(axis=0) + eps)
    h = (x - x.mean(axis=0)) / s
    gh = gy * g
    gx = (gh - gh.mean(axis=0) - h * (gh * h).mean(axis=0)) / s  # through h, through the mean, through the variance
    gg = (gy * h).sum(axis=0)
    gb = gy.sum(axis=0)
    return gx, gg, gb
    # END
