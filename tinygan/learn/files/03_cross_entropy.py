"""Exercise 3: the cross-entropy on logits

Teaches: the loss of D without a logarithm of 0, and why its gradient is so simple.

D returns logits a. The probability is p = sigmoid(a) = 1 / (1 + e^-a). The target t is 1 for data, 0 for samples, or a
number between. The loss is the mean over the n examples:

    L = 1/n sum of -( t log p + (1 - t) log(1 - p) )

For a = 1000 the rounded p is 1, and log(1 - p) is -infinity. The loss is 1000 there, if t = 0. So do not compute p in
the forward pass: write log p and log(1 - p) as functions of a. NumPy has np.logaddexp(u, v) = log(e^u + e^v), which
never overflows.

Backward, gL is the derivative of what comes after with respect to L: one number. Return the derivative with respect to
a. There you need sigmoid(a); it is given.

Replace both lines with NotImplementedError. Then: tinygan learn check 3
"""

import numpy as np


def sigmoid(a):
    """Return 1 / (1 + e^-a), without overflow."""
    return np.exp(-np.logaddexp(0, -a))


def forward(a, t):
    """Return L, one number.

    a: shape (n,), the logits
    t: shape (n,), the targets
    """
    # SOLUTION
    minus_log_p = np.logaddexp(0, -a)  # log(1 + e^-a)
    minus_log_1_p = np.logaddexp(0, a)  # log(1 + e^a)
    return np.mean(t * minus_log_p + (1 - t) * minus_log_1_p)
    # END


def backward(gL, a, t):
    """Return ga.

    gL: one number
    a, t, ga: shape (n,)
    """
    # SOLUTION
    return gL * (sigmoid(a) - t) / len(a)
    # END
