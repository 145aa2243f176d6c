"""Exercise 7: the gradient of a convolution with respect to its weights

Teaches: a weight that is used at many places receives the sum of what all of these places send.

A kernel is laid on each place of an image, and what meets is multiplied and summed. With n images, c channels, k
kernels, and places that are `stride` pixels apart:

    y[n, k, i, j] = sum over c, r, s of  x[n, c, stride i + r, stride j + s] w[k, c, r, s]

The forward pass is given. Backward, gy has the derivative of a loss L with respect to each number of y. Return that
with respect to w. Loops are welcome: find the right formula first.

Replace the line with NotImplementedError. Then: tinygan learn check 7
"""

import numpy as np


def forward(x, w, stride):
    """Return y; nothing is to do here.

    x: shape (n, c, height, width)
    w: shape (k, c, rows, columns)
    y: shape (n, k, down, across)
    """
    rows, columns = w.shape[2:]
    down = (x.shape[2] - rows) // stride + 1
    across = (x.shape[3] - columns) // stride + 1
    y = np.zeros((len(x), len(w), down, across))
    for i in range(down):
        for j in range(across):
            patch = x[:, :, stride * i : stride * i + rows, stride * j : stride * j + columns]
            y[:, :, i, j] = np.einsum("ncrs,kcrs->nk", patch, w)
    return y


def backward(gy, x, w, stride):
    """Return gw.

    gy: shape (n, k, down, across)
    x: shape (n, c, height, width)
    w, gw: shape (k, c, rows, columns)
    stride: a number, 1 or more
    """
    # SOLUTION
    rows, columns = w.shape[2:]
    gw = np.zeros(w.shape)
    for i in range(gy.shape[2]):
        for j in range(gy.shape[3]):
            patch = x[:, :, stride * i : stride * i + rows, stride * j : stride * j + columns]
            gw += np.einsum("nk,ncrs->kcrs", gy[:, :, i, j], patch)
    return gw
    # END
