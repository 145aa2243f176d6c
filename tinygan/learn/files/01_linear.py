"""Exercise 1: the affine map

Teaches: a gradient has the shape of its array, and what was repeated forward is summed backward.

Each row of x is one example. The bias b is added to each row:

    Y = X W + b

Backward, gy has the derivative of a loss L with respect to each number of Y: gy[i, j] = dL / dY[i, j].
Return the derivatives of L with respect to X, W and b.

Replace both lines with NotImplementedError. Then: tinygan learn check 1
"""

# import numpy as np, if you want to


def forward(x, W, b):
    """Return Y.

    x: shape (m, n), m examples of n numbers
    W: shape (n, units)
    b: shape (units,)
    Y: shape (m, units)
    """
    # SOLUTION
    return x @ W + b
    # END


def backward(gy, x, W):
    """Return (gx, gW, gb).

    gy: shape (m, units)
    x: shape (m, n)
    W: shape (n, units)
    gx, gW, gb: of the shapes of x, W and b
    """
    # SOLUTION
    gx = gy @ W.T
    gW = x.T @ gy
    gb = gy.sum(axis=0)  # b was added to each of the m rows
    return gx, gW, gb
    # END
