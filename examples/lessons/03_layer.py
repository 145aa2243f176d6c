# %% [markdown]
"""
Lesson 3: a layer, ReLU and maxout
==================================

**The question of lesson 2:** a layer computes ``Y = X @ W + b``. Which product of ``X``, of shape (m, n), and ``gY``,
of shape (m, units), has the shape of ``W``, (n, units)?

**The answer:** ``X.T @ gY``. The shapes leave no other choice. Here is why it is right. ``W[i, j]`` is multiplied by
``X[r, i]`` and added to ``Y[r, j]``, in each row ``r``. So its gradient is the sum of ``X[r, i] * gY[r, j]`` over the
rows. This sum is the product of matrices. As in lesson 2, each weight is used once for each row, and gets the sum.

This lesson writes the three parts of the networks of the paper by hand: the linear layer, ReLU and maxout.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.cli.figures import picture_path

picture = picture_path("03_layer")  # --out DIR names another folder

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # three examples of two numbers
W = np.array([[1.0, -1.0], [0.0, 1.0]])
b = np.array([0.5, -2.0])
Y = X @ W + b
gY = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # what the next layer sent back
gX, gW, gb = gY @ W.T, X.T @ gY, gY.sum(axis=0)
print(gW)

# %% [markdown]
# **Check one number by hand.** ``gW[0, 0]`` is the first column of ``X`` times the first column of ``gY``:
# 1 * 1 + 3 * 0 + 5 * 1 = 6. Then compare all three gradients with those of tinygan. ``backward(gY)`` starts with a
# given gradient instead of 1.

# %%
x, w, bias = [tg.tensor(array, requires_grad=True) for array in (X, W, b)]
y = F.linear(x, w, bias)
y.backward(gY)
for ours, tensor in ((gX, x), (gW, w), (gb, bias)):
    assert np.array_equal(ours, tensor.grad.numpy())
assert gW[0, 0] == 6

# %% [markdown]
# **ReLU** sets negative numbers to 0. Without something like it, two layers would be one: ``(X @ W1) @ W2`` is
# ``X @ (W1 @ W2)``.
#
# **Predict.** The gradient that arrives is 10 for each element. What does ReLU send back for the inputs -1, 0, 2?

# %%
numbers = tg.tensor([-1.0, 0.0, 2.0], requires_grad=True)
F.relu(numbers).backward(np.full(3, 10.0))
print(numbers.grad.numpy())
assert (numbers.grad.numpy() == np.where(numbers.numpy() > 0, 10, 0)).all()

# %% [markdown]
# A negative input has no influence on the result, so its gradient is 0. At 0 the slope is 0 from the left and 1 from
# the right. Every library chooses, and most choose 0. A unit that is negative for all examples gets no gradient at all:
# it does not learn.
#
# **Maxout** takes the largest of several pieces. A unit with three pieces computes three linear functions, and answers
# with the largest. Only the winner has an influence, so only the winner gets the gradient.
#
# **Predict.** Two units, three pieces each: (1, 5, 2) and (4, 4, 0). The gradients that arrive are 10 and 20. Who gets
# them? Be careful with the second unit.

# %%
pieces = np.array([[1.0, 5.0, 2.0], [4.0, 4.0, 0.0]])
won = pieces.argmax(axis=1)  # the first of equal ones
ours = np.zeros((2, 3))
ours[np.arange(2), won] = [10, 20]

tensor = tg.tensor(pieces.reshape(1, 6), requires_grad=True)
F.maxout(tensor, pieces=3).backward(np.array([[10.0, 20.0]]))
print(tensor.grad.numpy().reshape(2, 3))
assert np.array_equal(tensor.grad.numpy().reshape(2, 3), ours)

# %% [markdown]
# At a tie, one piece gets all. If both got 20, the sum of the gradients would be too large.
#
# **A network is a chain of layers.** Its backward pass is the chain of their backward formulas, in reverse order. Here
# are two linear layers with a ReLU between them, forward and backward, in NumPy. Then ``nn.Sequential`` gets the same
# weights.

# %%
W2, b2 = np.array([[2.0], [-1.0]]), np.array([1.0])
H = np.maximum(Y, 0)
out = H @ W2 + b2
g_out = np.ones((3, 1))  # the loss is the sum of the outputs
gW2 = H.T @ g_out
gH = g_out @ W2.T
g_first = X.T @ (gH * (H > 0))

tg.manual_seed(0)  # a layer starts with random weights: the seed makes them the same in each run
network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
print(network)
first, last = network[0], network[2]
first.weight.data, first.bias.data = W, b
last.weight.data, last.bias.data = W2, b2
with tg.trace() as trace:
    network(tg.tensor(X)).sum().backward()
print(trace)
assert np.array_equal(first.weight.grad.numpy(), g_first)
assert np.array_equal(last.weight.grad.numpy(), gW2)

# %% [markdown]
# Read the trace from the bottom to the top: these are our lines from ``g_out`` to ``g_first``. The column ``layer``
# says where in the network a row is.
#
# **The picture.** Above: what comes out, for one input. Below: the slope, which multiplies the gradient. ReLU has two
# straight parts. Maxout can learn any number of parts. Here five pieces touch a parabola (dotted): each is a straight
# line, drawn dashed, and the largest of them is close to the parabola.

# %%
line = tg.tensor(np.linspace(-2, 2, 401)[:, None], requires_grad=True)
touch = np.array([-1.6, -0.8, 0.0, 0.8, 1.6])  # the tangents of v² at these points
slopes, offsets = tg.tensor(2 * touch[None]), tg.tensor(-(touch**2))
functions = {"ReLU": F.relu, "maxout of five pieces": lambda v: F.maxout(F.linear(v, slopes, offsets), pieces=5)}
figure, axes = plt.subplots(2, 2, figsize=(9, 5.5), sharex=True, layout="constrained")
for column, (name, function) in enumerate(functions.items()):
    result = function(line)
    slope = tg.grad(result.sum(), line)
    axes[0, column].plot(line.data, result.detach().numpy(), lw=3)
    axes[1, column].plot(line.data, slope.numpy(), ".", color="tab:red", ms=3)
    axes[0, column].set(title=name, ylabel="output")
    axes[1, column].set(xlabel="input", ylabel="slope")
axes[0, 1].plot(line.data, F.linear(line, slopes, offsets).detach().numpy(), "--", color="gray", lw=1)
axes[0, 1].plot(line.data, line.data**2, ":", color="black")
axes[0, 1].set_ylim(-0.5, 4.5)
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/functional/linear.py``, ``Linear``: the three products, beside the forward formula.
# - ``tinygan/functional/activations.py``, ``ReLU``: the mask.
# - ``tinygan/functional/activations.py``, ``Maxout``: the winners.
# - ``tinygan/nn/layers.py``, ``Linear``: the layer, which holds the weights and their first values.
# - ``tinygan/nn/module.py``, ``Module``: how a network finds its weights.
# - ``tinygan/nn/containers.py``, ``Sequential``: the chain.
#
# **Question.** ReLU sets negative numbers to 0, and their gradients, too. Another layer sets random numbers to 0, half
# of them, and multiplies the others by 2. What is its backward formula? And why does it multiply by 2?
