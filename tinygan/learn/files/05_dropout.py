"""Exercise 5: dropout

Teaches: the backward pass uses the mask of the forward pass; the scale keeps the mean.

In training, each number of x is dropped with probability p, and the others are divided by 1 - p. The random numbers u,
uniform in [0, 1), are given, so that the result can be checked:

    y = x / (1 - p) where u >= p, else 0         in training
    y = x                                        in evaluation

Backward, gy has the derivative of a loss L with respect to each number of y. Return that with respect to x, in
training.

Replace both lines with NotImplementedError. Then: tinygan learn check 5
"""

# import numpy as np, if you want to


def forward(x, u, p, training):
    """Return y.

    x, u, y: all of the same shape
    p: a number in [0, 1)
    training: True or False
    """
    # SOLUTION
    return x * (u >= p) / (1 - p) if training else x
    # END


def backward(gy, u, p):
    """Return gx.

    gy, u, gx: all of the same shape
    p: a number in [0, 1)
    """
    # SOLUTION
    return gy * (u >= p) / (1 - p)
    # END
