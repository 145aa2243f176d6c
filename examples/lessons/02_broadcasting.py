# %% [markdown]
"""
Lesson 2: broadcasting
======================

**The question of lesson 1:** ``b`` has shape (2,), and NumPy adds it to each of the four rows of ``x``. The loss is the
sum of all elements. What is the gradient with respect to ``b``?

**The answer:** 4 for each element. If ``b[0]`` grows by a little, four elements of the sum grow by as much. A number
that is used four times gets the sum of what its four uses send. That was the rule of lesson 1, and it holds when NumPy
repeats a number for you. This lesson makes a rule for arrays of it.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan.cli.figures import picture_path

picture = picture_path("02_broadcasting")  # --out DIR names another folder

x = tg.tensor(np.zeros((4, 2)))
b = tg.tensor([0.5, 0.25], dtype="float64", requires_grad=True)
(x + b).sum().backward()
print(b.grad)
assert (b.grad.numpy() == [4, 4]).all()

# %% [markdown]
# **Three ways to repeat.** Now three arrays are added: ``row`` has one number for each column, ``column`` has one
# number for each row, and ``single`` is one number. NumPy repeats each of them until it has the shape (4, 2).
#
# The loss is no longer a plain sum: each element has a price. So the gradient with respect to ``y`` is the table of
# prices.
#
# **Predict.** Which shape has each gradient? Which numbers? Compute the gradient of ``row`` by hand.

# %%
row = tg.tensor([0.0, 0.0], requires_grad=True, name="row")
column = tg.tensor(np.zeros((4, 1), np.float32), requires_grad=True, name="column")
single = tg.tensor(0.0, requires_grad=True, name="single")
prices = np.array([[1, 10], [2, 20], [3, 30], [4, 40]], np.float32)

with tg.trace() as trace:
    y = row + column + single
    loss = (y * prices).sum()
    loss.backward()
print("row:   ", row.grad.numpy())
print("column:", column.grad.numpy().tolist())
print("single:", single.grad.numpy())

# %% [markdown]
# Each gradient has the shape of its value. This must be so: it says for each number how the loss changes with it.
#
# - ``row[0]`` was used in the first column, so it gets the sum of that column: 1 + 2 + 3 + 4 = 10.
# - ``column[0]`` was used in the first row, so it gets the sum of that row: 1 + 10 = 11.
# - ``single`` was used everywhere, so it gets the sum of all: 110.
#
# The rule: **what NumPy repeats on the way forward is summed on the way back, along the same axes.**
#
# **See it.** The trace shows the shapes beside each formula. In row 1, the gradient ``gy`` of shape (4, 2) becomes
# ``ga`` of shape (2,) and ``gb`` of shape (4, 1). The formula of an addition is only ``ga = gy``. The engine makes the
# sums for all operations, in one place.

# %%
print(trace)


# %% [markdown]
# **Build it.** NumPy compares shapes from the right. If one has fewer axes, axes of size 1 are put before it. Then an
# axis of size 1 is repeated. So there are two kinds of axes to sum over: those that were added at the front, and those
# of size 1. For the second kind, ``keepdims=True`` keeps the axis.


# %%
def unbroadcast(gradient, shape):
    """Sum a gradient to the shape of the value that was repeated."""
    while gradient.ndim > len(shape):
        gradient = gradient.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient


for value in (row, column, single):
    ours = unbroadcast(prices, value.shape)
    print(f"{value.name}: {prices.shape} becomes {ours.shape}")
    assert ours.shape == value.shape
    assert (ours == value.grad.numpy()).all()

# %% [markdown]
# **Is it right?** Try it, as in lesson 1: change each number by a little, and look at the loss. ``tg.gradcheck`` does
# this for every number of every input, and raises an error if a gradient is wrong.

# %%
assert tg.gradcheck(lambda r, c, s: ((r + c + s) * prices).sum(), [row, column, single])

# %% [markdown]
# **A trap.** Broadcasting is silent. Here are four answers of a network, of shape (4, 1), and four targets, of shape
# (4,). All answers are right.
#
# **Predict.** What is the mean squared error? Then, what does NumPy say?

# %%
answers, targets = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([1.0, 2.0, 3.0, 4.0])
difference = answers - targets
print(difference.shape, (difference**2).mean())
assert difference.shape == (4, 4)

# %% [markdown]
# NumPy compared each answer with each target: 16 differences. A network trained on this loss would learn to answer 2.5
# always. The losses of tinygan refuse such shapes.

# %%
try:
    F.mse_loss(tg.tensor(answers), targets)
except tg.errors.ShapeError as error:
    print(error)
else:
    raise AssertionError("not refused")

# %% [markdown]
# **The picture.** It is a bill with its totals. The table has the gradient of each element of ``y``. Each value gets
# the total of the elements that it was used in.

# %%
figure, axes = plt.subplots(2, 2, figsize=(7, 6), width_ratios=[2, 1], height_ratios=[4, 1], layout="constrained")
totals = {
    "gradient of y (4, 2)": prices,
    "of column (4, 1):\nsum of each row": column.grad.numpy(),
    "of row (2,): sum of each column": row.grad.numpy()[None],
    "of single (): sum of all": single.grad.numpy().reshape(1, 1),
}
for axis, (title, numbers) in zip(axes.flat, totals.items(), strict=True):
    axis.imshow(numbers, cmap="Blues", vmin=0, vmax=150, aspect="auto")
    for (i, j), number in np.ndenumerate(numbers):
        axis.text(j, i, f"{number:g}", ha="center", va="center", size=16)
    axis.set_title(title)
    axis.set(xticks=[], yticks=[])
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/backend/base.py``, ``Backend.unbroadcast``: our function, with one sum over all axes at once.
# - ``tinygan/engine/chain_rule.py``, ``_Pass._add``: the one place that calls it.
# - ``tinygan/functional/reductions.py``, ``Sum``: the opposite. What is summed on the way forward is repeated on the
#   way back.
#
# **Question.** A layer computes ``Y = X @ W + b``. ``X`` has shape (m, n), ``W`` has shape (n, units), and ``b`` has
# shape (units,). The backward pass gives ``gY``, the gradient with respect to ``Y``, of shape (m, units). The gradient
# with respect to ``b`` is the sum of ``gY`` over the rows. Which product has the shape of ``W``, and could be its
# gradient?
