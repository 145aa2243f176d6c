# %% [markdown]
"""
Lesson 6: steps and momentum
============================

**The question of lesson 5:** gradient descent makes steps of ``-rate * slope``, and the loss is a long valley,
``(25 * u**2 + v**2) / 2``. Which rates are too large? How many steps does ``v`` need?

**The answer:** a step replaces ``u`` by ``u - rate * 25 * u``, which is ``(1 - 25 * rate) * u``. If this factor is
below -1, ``u`` jumps across the valley and lands higher each time. So the rate must be below 2 / 25 = 0.08. But then
the factor of ``v`` is at least 1 - 0.08 = 0.92, and ``v`` needs 28 steps to become ten times smaller. The steep
direction limits the rate, and the flat direction pays for it. This lesson shows a cure from 1964 that the paper uses,
too: momentum.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
from tinygan import optim
from tinygan.cli.figures import picture_path

picture = picture_path("06_momentum")  # --out DIR names another folder
START, STEEP = np.array([1.0, 10.0]), np.array([25.0, 1.0])


def loss_of(w):
    return (w * w * STEEP).sum() / 2


def descend(rate, momentum=0.0, steps=60):
    """Return all points of a gradient descent, in NumPy."""
    w, velocity, path = START, np.zeros(2), [START]
    for _ in range(steps):
        velocity = momentum * velocity - rate * STEEP * w
        w = w + velocity
        path.append(w)
    return np.array(path)


too_large, plain = descend(0.1), descend(0.07)
print("u with rate 0.10:", too_large[:5, 0])
print("u with rate 0.07:", plain[:5, 0].round(3))
print("v with rate 0.07, after 60 steps:", plain[-1, 1].round(3))
assert abs(too_large[-1, 0]) > 1e9
assert np.isclose(plain[-1, 1], 10 * 0.93**60)

# %% [markdown]
# **Momentum.** A ball that rolls keeps a part of its speed. The velocity is a sum of all earlier slopes, and older ones
# count less: ``velocity = momentum * velocity - rate * slope``, then ``w = w + velocity``.
#
# **Predict.** The slope is 1 everywhere, the rate is 0.1, and the momentum is 0.9. How long are the first three steps?
# How long are the steps after a long time?

# %%
velocity, lengths = 0.0, []
for _ in range(100):
    velocity = 0.9 * velocity - 0.1 * 1
    lengths.append(-velocity)
print(np.round(lengths[:3], 4), "...", np.round(lengths[-1], 4))
assert np.allclose(lengths[:3], [0.1, 0.19, 0.271])
assert np.isclose(lengths[-1], 0.1 / (1 - 0.9), rtol=1e-4)

# %% [markdown]
# Where the slope stays the same, the steps become ten times longer: 1 / (1 - 0.9). Where the slope changes its sign
# each time, as across the valley, the terms of the sum cancel. That is what we want: fast along the valley, calm across
# it. The next cell takes a rate that is less than half as large, with momentum.

# %%
rolling = descend(0.03, momentum=0.8)
print(f"loss after 60 steps: plain {loss_of(plain[-1]):.2g}, with momentum {loss_of(rolling[-1]):.2g}")
assert loss_of(rolling[-1]) < loss_of(plain[-1]) / 100

# %% [markdown]
# **The same with tinygan.** ``optim.SGD`` has this rule. A training step has three lines: forget the old gradients,
# compute the new ones, make the step. Lesson 1 told you why the first line is needed.


# %%
def train(steps, forget=True):
    w = tg.tensor(START, requires_grad=True, name="w")
    optimizer = optim.SGD([w], lr=0.03, momentum=0.8)
    for _ in range(steps):
        if forget:
            optimizer.zero_grad()
        loss_of(w).backward()
        optimizer.step()
    return w


assert np.allclose(train(60).numpy(), rolling[-1])

# %% [markdown]
# **Predict.** What happens without ``zero_grad``? ``backward`` adds to ``w.grad``, so the second step uses the sum of
# two slopes, the third the sum of three.

# %%
forgotten = train(60, forget=False).numpy()
print("with zero_grad:   ", train(60).numpy())
print("without zero_grad:", forgotten)
assert np.linalg.norm(forgotten) > 10 * np.linalg.norm(rolling[-1])

# %% [markdown]
# There is no error message, and the weights grow without end. With a smaller rate they would swing to and fro for ever,
# which is harder to notice.
#
# **See it.** The last line of the trace says what the step has changed.

# %%
with tg.trace() as trace:
    train(1)
print(trace)
assert [leaf.name for leaf in trace.updates[0].moved] == ["w"]

# %% [markdown]
# **The picture.** Left: the valley from above. Both paths begin at the top. Right: the loss, on a logarithmic scale.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
u, v = np.meshgrid(np.linspace(-1.5, 1.5, 200), np.linspace(-6, 11, 200))
left.contour(u, v, (25 * u**2 + v**2) / 2, levels=[0.5, 2, 6, 15, 30, 50], colors="silver")
for name, path in (("plain, rate 0.07", plain), ("rate 0.03 with momentum 0.8", rolling)):
    left.plot(*path.T, "o-", ms=3, lw=1, label=name)
    right.semilogy([loss_of(w) for w in path], label=name)
right.semilogy([loss_of(w) for w in too_large[:15]], "--", label="plain, rate 0.1: too large")
left.set(xlabel="u, the steep direction", ylabel="v, the flat direction", title="each dot is a step")
right.set(xlabel="step", ylabel="loss")
right.legend()
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/optim/optimizers.py``, ``Optimizer``: what all rules have in common, with ``zero_grad``.
# - ``tinygan/optim/sgd.py``, ``SGD``: the rule above, and how PyTorch's rule differs.
# - ``tinygan/backend/base.py``, ``Backend.sgd_step``: its two lines of arithmetic.
# - ``tinygan/optim/adam.py``, ``Adam``: a rule that has a rate for each weight. The later lessons use it.
#
# **Question.** Here the landscape stood still. Now there are two players. The first chooses ``u`` and wants ``u * v``
# small; the second chooses ``v`` and wants ``u * v`` large. Both begin at 1, and make small steps in turn. Do they come
# to rest at 0?
