# %% [markdown]
"""
Lesson 4: dropout
=================

**The question of lesson 3:** a layer sets random numbers to 0, half of them, and multiplies the others by 2. What is
its backward formula?

**The answer:** the same mask once more. The layer computes ``y = x * m``, where ``m`` is 0 or 2 for each element. So
the slope is ``m``, and ``gx = gy * m``. A number that was set to 0 had no influence, so it gets no gradient. ReLU has a
mask, too: there the input decides, here it is chance. It multiplies by 2 so that the mean stays, as you will see.

This layer is dropout. The discriminator of the paper uses it: a unit that may miss any of its inputs cannot rely on one
of them alone.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.cli.figures import picture_path

picture = picture_path("04_dropout")  # --out DIR names another folder


def draw_mask(shape, p, rng):
    """Draw 0 with probability p, else 1 / (1 - p)."""
    return (rng.random(shape) >= p) / (1 - p)


rng = np.random.default_rng(0)
x = np.full(10, 5.0)
print(x * draw_mask(10, 0.5, rng))

# %% [markdown]
# **Predict.** Here p is 0.2: one number in five becomes 0. What do the other numbers become? What is the mean of very
# many?

# %%
many = np.full(100_000, 5.0)
dropped = many * draw_mask(many.shape, 0.2, rng)
print(np.unique(dropped), dropped.mean())
assert set(np.unique(dropped)) == {0.0, 6.25}  # 5 / 0.8
standard_error = dropped.std() / len(dropped) ** 0.5
assert abs(dropped.mean() - 5) < 5 * standard_error

# %% [markdown]
# The mean stays 5, because 0.8 * 6.25 = 5. The next layer gets numbers of the same size on average, with dropout and
# without it.
#
# **Predict.** The loss is the sum of all elements after dropout. What is the gradient of an element that became 0? And
# of the others?

# %%
tg.manual_seed(4)
x = tg.tensor(np.full(10, 5.0), requires_grad=True)
y = F.dropout(x, p=0.5)
y.sum().backward()
print(y.numpy())
print(x.grad.numpy())
assert np.array_equal(x.grad.numpy(), y.numpy() / 5)

# %% [markdown]
# A mistake that is easy to make: to draw a new mask on the way back. Each mask alone looks right, but the gradient does
# not belong to the loss. A check against small changes finds this mistake. ``Dropout`` in tinygan saves its mask.
#
# **Predict.** The next cell calls a network twice, with the same input. Are the results equal?

# %%
network = nn.Sequential(nn.Linear(10, 4), nn.Dropout(0.5))
first, second = network(x.detach()), network(x.detach())
print(first.numpy().round(2), second.numpy().round(2), sep="\n")
assert not np.array_equal(first.numpy(), second.numpy())

# %% [markdown]
# No: each call draws a new mask. To train, this is what you want. To use a trained network, it is not. ``eval()``
# switches dropout off, and ``train()`` switches it on again. If a trained network gives other answers each time, look
# for a missing ``eval()``.

# %%
network.eval()
assert np.array_equal(network(x.detach()).numpy(), network(x.detach()).numpy())
network.train()

# %% [markdown]
# **See it.** Chance can be repeated, too: ``tg.manual_seed`` sets where the random numbers begin. With the same seed,
# the trace shows the same zeros. In the trace, the share of zeros stands beside the mean and the standard deviation.

# %%
masks = []
for _ in range(2):
    tg.manual_seed(7)
    with tg.trace() as trace:
        masks.append(F.dropout(tg.tensor(np.ones(1000), requires_grad=True), p=0.5).numpy())
print(trace)
assert np.array_equal(*masks)

# %% [markdown]
# **The mean stays, but the noise grows.** A unit adds 100 inputs, each 1. Without dropout it answers 100, always. One
# input after dropout has the mean 1 and the variance p / (1 - p).
#
# **Predict.** How far from 100 is the answer typically, if p is 0.5? The variances of 100 inputs add up.

# %%
answers = {p: draw_mask((20_000, 100), p, rng).sum(axis=1) for p in (0.2, 0.5, 0.8)}
for p, numbers in answers.items():
    deviation = (100 * p / (1 - p)) ** 0.5
    print(f"p = {p}: mean {numbers.mean():.2f}, standard deviation {numbers.std():.2f}, predicted {deviation:.2f}")
    assert abs(numbers.std() / deviation - 1) < 0.05

# %% [markdown]
# **The picture.** Left: three masks of one layer, for eight examples each. Black is 0; the others are brighter where
# fewer stay. Right: the answers of the unit.

# %%
figure, axes = plt.subplots(1, 4, figsize=(11, 3.5), width_ratios=[1, 1, 1, 3], layout="constrained")
for axis, p in zip(axes, answers, strict=False):
    axis.imshow(draw_mask((8, 8), p, rng), cmap="gray", vmin=0, vmax=5)
    axis.set(title=f"mask, p = {p}", xlabel="unit", xticks=[], yticks=[])
axes[0].set_ylabel("example")
for p, numbers in answers.items():
    axes[3].hist(numbers, bins=np.arange(20, 190, 5), alpha=0.6, density=True, label=f"p = {p}")
axes[3].axvline(100, color="black", lw=1, ls="--", label="without dropout")
axes[3].set(xlabel="answer of a unit that adds 100 inputs of 1", ylabel="density", title="the mean stays 100")
axes[3].legend()
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/functional/activations.py``, ``Dropout``: forward and backward with one mask.
# - ``tinygan/backend/base.py``, ``Backend.dropout_mask``: the mask.
# - ``tinygan/backend/random.py``, ``Stream``: where random numbers come from, so that a run can be repeated.
# - ``tinygan/nn/layers.py``, ``Dropout``: the layer. It looks at ``training``.
# - ``tinygan/nn/module.py``, ``Module.eval``: the switch.
#
# **Question.** The last layer of a discriminator gives a number ``a``, and ``D = 1 / (1 + exp(-a))`` is a probability.
# The loss for a sample of G is ``-log(1 - D)``. In float32, what is this loss for ``a = 20``? What should it be?
