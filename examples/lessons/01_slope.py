# %% [markdown]
"""
Lesson 1: a number and its slope
================================

You know NumPy. That is enough to begin. This lesson takes one number, asks how a result changes with it, and builds the
program that answers this question for any number of steps: the backward pass. All training of networks rests on it.

The lessons are programs: ``python examples/lessons/01_slope.py`` runs this one. In an editor that knows cells you can
run them one after the other. Each cell with a question asks you to predict its result. Write your prediction down
before you run the cell.
"""

# %% [markdown]
# **A slope, by trying.** A loss is a number that should become small. This one depends on a single weight ``w``. What
# happens to the loss if ``w`` grows by very little?

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
from tinygan.cli.figures import picture_path

picture = picture_path("01_slope")  # --out DIR names another folder


def loss_of(w):
    return (w * 2.0 - 5.0) ** 2


for step in (0.1, 0.01, 0.001):
    rise = loss_of(3.0 + step) - loss_of(3.0)
    print(f"w grows by {step}: the loss grows by {rise:.6f}, which is {rise / step:.3f} times as much")

# %% [markdown]
# The last number approaches 4. It is the slope of the loss with respect to ``w``, at ``w = 3``. Other words for it are
# derivative and gradient. It is positive, so a smaller ``w`` makes this loss smaller.
#
# **The same slope, by hand.** The loss is made in three small steps. Each step has a slope that is easy to see:
#
# - ``p = w * 2`` is 6. If ``w`` grows by a little, ``p`` grows by 2 times as much.
# - ``d = p - 5`` is 1. If ``p`` grows by a little, ``d`` grows by 1 times as much.
# - ``loss = d ** 2`` is 1. If ``d`` grows by a little, the loss grows by ``2 * d = 2`` times as much.
#
# So the loss grows by 2 * 1 * 2 = 4 times as much as ``w``. The slope of a chain of steps is the product of their
# slopes. This is the chain rule.
#
# **Predict.** tinygan does the same. What is ``w.grad`` before ``backward``, and what is it after?

# %%
w = tg.tensor(3.0, requires_grad=True, name="w")
loss = loss_of(w)
print("before:", w.grad)
loss.backward()
print("after:", w.grad.item())
assert w.grad.item() == 4

# %% [markdown]
# Before ``backward`` it is None and not 0, because it was not computed yet. A slope of 0 would be an answer.
#
# **See it.** ``tg.trace()`` records each step inside its block. In the table, ``value`` is the result of a step, and
# ``gradient`` is the slope of the loss with respect to this result. Read ``gradient`` from the last row to the first:
# 1, 2, 2, and 4 for ``w``.

# %%
w.grad = None
with tg.trace() as trace:
    loss_of(w).backward()
print(trace)

# %% [markdown]
# **Predict.** Now ``w.grad`` is 4. The next cell computes the loss and its slope once more. What is ``w.grad`` after
# that?

# %%
loss_of(w).backward()
print(w.grad.item())
assert w.grad.item() == 8  # 4 + 4

# %% [markdown]
# ``backward`` adds to ``grad``. So a training sets ``grad`` to None before each step. If you forget it, each step uses
# the sum of all slopes so far.
#
# **Build it.** Each number remembers from which numbers it was computed, and with which slopes. That is all that the
# forward pass has to leave behind. The backward pass starts at the result, whose slope with respect to itself is 1, and
# walks back. A number that was used twice gets the sum of what both uses send. It must wait until both have sent. So
# ``in_order`` lists each number after its sources, and ``backward`` walks through this list from its end.


# %%
class Number:
    """A number that remembers how it was computed."""

    def __init__(self, value, sources=()):
        self.value, self.grad = value, None
        self.sources = sources  # pairs: another Number, and the slope of this one with respect to it

    def __add__(self, other):
        return Number(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Number(self.value * other.value, [(self, other.value), (other, self.value)])


def in_order(number, order):
    """List a number after everything that it was computed from."""
    if number not in order:
        for source, _ in number.sources:
            in_order(source, order)
        order.append(number)
    return order


def backward(result):
    result.grad = 1.0
    for number in reversed(in_order(result, [])):
        for source, slope in number.sources:
            source.grad = (source.grad or 0.0) + number.grad * slope


# %% [markdown]
# **Predict.** Here ``a`` is used three times: (2 * 3 + 2) * (2 + 3) = 8 * 5 = 40. Compute the slope with respect to
# ``b`` by hand. Do you find the slope with respect to ``a``, too?

# %%
a, b = Number(2.0), Number(3.0)
result = (a * b + a) * (a + b)
backward(result)
print("ours:   ", result.value, a.grad, b.grad)

a_, b_ = tg.tensor(2.0, requires_grad=True), tg.tensor(3.0, requires_grad=True)
result_ = (a_ * b_ + a_) * (a_ + b_)
result_.backward()
print("tinygan:", result_.item(), a_.grad.item(), b_.grad.item())
assert (a.grad, b.grad) == (a_.grad.item(), b_.grad.item()) == (28.0, 18.0)

# %% [markdown]
# With respect to ``b``: the left factor has slope ``a = 2``, times the right factor 5; the right factor has slope 1,
# times the left factor 8. So 2 * 5 + 1 * 8 = 18. With respect to ``a``: (3 + 1) * 5 + 1 * 8 = 28.
#
# **The picture.** Left: the loss and its slope at ``w = 3``. Right: the three steps. Values go to the right, slopes
# come back to the left.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.2), width_ratios=[1, 2], layout="constrained")
line = np.linspace(1, 4, 100)
left.plot(line, loss_of(line), label="loss = (2w - 5)²")
left.plot(line, 1 + 4 * (line - 3), "--", color="tab:red", label="slope 4 at w = 3")
left.plot(3, 1, "o", color="tab:red")
left.set(xlabel="w", ylabel="loss", ylim=(-1, 9))
left.legend()

names, values, slopes = ("w", "p = 2w", "d = p - 5", "loss = d²"), (3, 6, 1, 1), (4, 2, 2, 1)
for x, (name, value, slope) in enumerate(zip(names, values, slopes, strict=True)):
    right.text(x, 0.5, f"{name}\n\nvalue {value}\nslope {slope}", ha="center", va="center", bbox={"fc": "w"}, size=12)
for x, factor in enumerate(("times 2", "times 1", "times 2d")):
    right.annotate("", (x + 0.72, 0.62), (x + 0.28, 0.62), arrowprops={"arrowstyle": "->", "color": "tab:blue"})
    right.annotate("", (x + 0.28, 0.38), (x + 0.72, 0.38), arrowprops={"arrowstyle": "->", "color": "tab:red"})
    right.text(x + 0.5, 0.26, factor, ha="center", color="tab:red")
right.set(xlim=(-0.4, 3.4), ylim=(0.15, 0.85), title="forward (blue), and backward (red)")
right.axis("off")
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/engine/tensor.py``, ``Tensor``: the number, now an array.
# - ``tinygan/engine/tape.py``, ``Operation``: one step, with its forward and its backward formula.
# - ``tinygan/functional/arithmetic.py``, ``Multiply``: the two formulas of ``*``.
# - ``tinygan/engine/chain_rule.py``, ``topological_order``: our ``in_order``, without recursion.
# - ``tinygan/engine/chain_rule.py``, ``backward``: the real backward pass.
# - ``examples/bare_backward.py``: the backward pass once more, on the real operations, on one page.
#
# **Question.** ``x`` is an array of shape (4, 2), and ``b`` has shape (2,). NumPy adds ``b`` to each of the four rows
# of ``x``. The loss is the sum of ``x + b``. What is the gradient of the loss with respect to ``b``? Why is it not 1?
