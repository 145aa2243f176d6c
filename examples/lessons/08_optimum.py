# %% [markdown]
"""
Lesson 8: what D knows
======================

**The question of lesson 7:** at some x there are three data for each sample of G. What is the best answer of D?

**The answer:** 3/4. Of four numbers that D sees there, three are data. With densities, the best discriminator is
``D*(x) = p_data(x) / (p_data(x) + p_g(x))``. This is Proposition 1 of the paper. This lesson counts, trains a D, and
compares both with this formula. Then it asks what can be read from the loss of D.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn, optim, theory
from tinygan.cli.figures import picture_path

picture = picture_path("08_optimum")  # --out DIR names another folder
rng = np.random.default_rng(0)


def bell(x, mean, deviation):
    return np.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))


def p_data(x):
    return (bell(x, -1.5, 0.5) + bell(x, 1.0, 0.7)) / 2


def p_g(x):
    return bell(x, 0.0, 1.2)


def best(x):
    return p_data(x) / (p_data(x) + p_g(x))


def draw(n):
    """Draw n data, and n samples of a G that stands still."""
    left = rng.random(n) < 0.5
    data = np.where(left, rng.normal(-1.5, 0.5, n), rng.normal(1.0, 0.7, n))
    return data[:, None].astype("f"), rng.normal(0, 1.2, (n, 1)).astype("f")


# %% [markdown]
# **Count.** Take 20,000 data and as many samples. Divide the line into intervals, and compute the share of the data in
# each.
#
# **Predict.** Between the two hills of the data, at x = -0.4, there are few data. Is ``D*`` above or below 1/2 there?

# %%
data, samples = draw(20_000)
edges = np.linspace(-2.5, 2.5, 26)
middles = (edges[:-1] + edges[1:]) / 2
counts, fakes = [np.histogram(x, edges)[0] for x in (data, samples)]
share = counts / (counts + fakes)
print(f"at x = -0.4: counted {share[10]:.2f}, formula {best(middles[10]):.2f}")
assert abs(share - best(middles)).max() < 0.1
assert best(middles[10]) < 0.5


# %% [markdown]
# **Train.** A network with two hidden layers does not know the formula. It only sees data and samples, and D's loss of
# lesson 5. G stands still.


# %%
def train(data, samples, steps):
    tg.manual_seed(0)
    D = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    adam = optim.Adam(D.parameters(), lr=optim.ExponentialDecay(0.01, 50 ** (1 / steps)))
    for _ in range(steps):
        x, y = [tg.tensor(rows[rng.integers(0, len(rows), 400)]) for rows in (data, samples)]
        adam.zero_grad()
        gan.discriminator_loss(D(x), D(y)).backward()
        adam.step()
    return D


def answer(D, x):
    return F.sigmoid(D(tg.tensor(x.reshape(-1, 1), dtype="float32"))).detach().numpy()[:, 0]


D = train(data, samples, 500)
grid = np.linspace(-2.5, 2.5, 201)
distance = abs(answer(D, grid) - best(grid))
print(f"largest distance from D* on the grid: {distance.max():.3f}, on average {distance.mean():.3f}")
assert distance.max() < 0.2
assert distance.mean() < 0.03

# %% [markdown]
# **What does the loss of D say?** For ``D*``, the paper computes it: the loss is ``log 4 - 2 JSD``. JSD is the
# Jensen-Shannon divergence, a distance between the two densities. It is 0 if they are equal, and ``log 2 = 0.693`` if
# they do not overlap. So ``log 2 - loss / 2`` is the distance. If D is worse than ``D*``, its loss is higher, and this
# number is too small. That is why it is called a lower bound. But one condition is easy to miss: D must not have seen
# these data.
#
# **Predict.** A second D gets only 10 data and 10 samples, and learns them by heart. What does ``log 2 - loss / 2`` say
# on these 10? What does it say on new data?


# %%
def bound(D, data, samples):
    return np.log(2) - gan.discriminator_loss(D(tg.tensor(data)), D(tg.tensor(samples))).item() / 2


few = data[:10], samples[:10]
by_heart = train(*few, 700)
new = draw(20_000)
truth = theory.js_divergence(p_data, p_g)
seen, unseen, honest = bound(by_heart, *few), bound(by_heart, *new), bound(D, *new)
print(f"the distance is {truth:.3f}")
print(f"a D that has learnt 10 by heart says {seen:.3f} on these, and {unseen:.3f} on new data")
print(f"a D that has learnt 20,000 says {honest:.3f} on new data")
assert seen > 2 * truth
assert unseen < truth
assert abs(honest - truth) < 0.02

# %% [markdown]
# On its own 10 numbers, D looks very good. On new data, its loss is worse than that of a D that answers 1/2 always: the
# number is negative. In a training, D's loss is measured on the minibatch it learns from. This is one more reason not
# to read the quality of G from it.
#
# **When D is always right.** Move the samples far away.
#
# **Predict.** The data are around 0, the samples around 8. What does ``D*`` answer at a sample? With minimax, the slope
# that G gets is ``D`` (lesson 5). With non-saturating it is ``1 - D``.

# %%
far = 1 / (1 + bell(8.0, 8.0, 1.0) / bell(8.0, 0.0, 1.0))
print(f"D*(8) = {far:.1e}: the slope is {far:.1e} with minimax, and {1 - far:.3f} with non-saturating")
assert far < 1e-13

# %% [markdown]
# D is right in all cases, its loss is 0, and with minimax G learns nothing. D has won, and so the training has failed.
# A D that is wrong now and then is a better teacher.
#
# **The picture.** Above: both densities. Below: three ways to the same curve.

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
above.plot(grid, p_data(grid), ":", color="black", label="p_data")
above.plot(grid, p_g(grid), color="tab:green", label="p_g")
above.set(ylabel="density", ylim=(0, None))
below.plot(middles, share, "o", color="tab:orange", label="counted: data / (data + samples)")
below.plot(grid, best(grid), "--", color="black", label="D* = p_data / (p_data + p_g)")
below.plot(grid, answer(D, grid), color="tab:blue", label="D, trained on samples")
below.axhline(0.5, color="silver", lw=1)
below.set(xlabel="x", ylabel="probability of data", ylim=(0, 1))
above.legend()
below.legend()
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/theory/game.py``, ``optimal_discriminator``: Proposition 1.
# - ``tinygan/theory/divergences.py``, ``js_divergence``: the distance.
# - ``tinygan/gan/learned.py``, ``learn_discriminator``: our ``train``, for any data.
# - ``examples/learned_discriminator.py``: the same question in one and two dimensions, with fewer samples and smaller
#   networks.
#
# **Question.** G gets one thing from D: at each sample, the direction in which D grows. Suppose that D stands still
# from now on, and G makes many steps. Where do all the samples go?
