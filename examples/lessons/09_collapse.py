# %% [markdown]
"""
Lesson 9: when it fails
=======================

**The question of lesson 8:** D stands still from now on, and G makes many steps. Where do all the samples go?

**The answer:** to the place where D is highest, all to the same one. G wins against this D, and has lost what the data
have: many different examples. The paper warns of this in section 6, and calls it the Helvetica scenario. This lesson
makes it happen on purpose, and shows which numbers see it, and which do not.
"""

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
from tinygan import evaluation, gan, nn, optim
from tinygan.backend import blas_threads
from tinygan.cli.figures import picture_path
from tinygan.data import toys

picture = picture_path("09_collapse")  # --out DIR names another folder
ring = toys.ring(std=0.06)  # eight small clouds on a circle


def network(inputs, outputs, activation):
    return nn.Sequential(nn.Linear(inputs, 64), activation, nn.Linear(64, 64), activation, nn.Linear(64, outputs))


def adam(player, rate):
    return optim.Adam(player.parameters(), rate, betas=(0.0, 0.999))


# %% [markdown]
# **A game that goes well.** The data are points in the plane. G turns four random numbers into a point. 600 steps of
# Algorithm 1 take a few seconds.
#
# Two numbers describe the samples. ``count_modes`` counts the clouds that have samples. ``nearest_neighbour_ratio``
# compares the distance from each sample to the next one with the same distance for data: it is about 1 if the samples
# are as far apart as the data.


# %%
def measure(game):
    """Return the clouds that are hit, the ratio of distances, and the loss of G."""
    samples = gan.sample(game.generator, 2000, game.noise, game.streams["measured"])
    data = ring.sample(2000, game.streams["measured data"])
    clouds = evaluation.count_modes(samples, ring.modes, ring.std).recovered
    ratio = evaluation.nearest_neighbour_ratio(samples, data)
    g_loss = gan.generator_loss(tg.tensor(gan.push(game.discriminator, samples))).item()
    print(f"clouds hit: {clouds} of 8   ratio of distances: {ratio:.2f}   loss of G: {g_loss:.3f}")
    return clouds, ratio, g_loss


def step_of_both(game):
    game.step(ring.sample(64, game.streams["data"]))


tg.manual_seed(2)
G, D = network(4, 2, nn.ReLU()), network(2, 1, nn.LeakyReLU(0.2))
game = gan.Algorithm1(
    *(G, D), noise=gan.Noise("gaussian", 4), generator_optimizer=adam(G, 0.005), discriminator_optimizer=adam(D, 0.004)
)
with blas_threads(1):  # these products are too small for several threads
    for _ in range(600):
        step_of_both(game)
before = measure(game)
assert before[0] >= 7

# %% [markdown]
# **Predict.** Now two copies of this game go on for 600 steps. In the first, only G makes steps. In the second, D and G
# make steps in turn, as before. For both copies, guess the three numbers. In which copy does the loss of G become
# smaller?


# %%
def step_of_g(game):
    """Make the second half of a step of Algorithm 1."""
    z = tg.tensor(game.noise.draw(64, game.streams["noise"]))
    loss = gan.generator_loss(game.discriminator(game.generator(z)))
    game.generator_optimizer.zero_grad()
    loss.backward()
    game.generator_optimizer.step()


frozen, updated = copy.deepcopy(game), copy.deepcopy(game)
with blas_threads(1):
    for _ in range(600):
        step_of_g(frozen)
        step_of_both(updated)
print("D frozen: ", end="")
alone = measure(frozen)
print("D updated: ", end="")
together = measure(updated)
assert alone[0] < before[0]
assert alone[1] < 0.7 * together[1]
assert alone[2] < before[2]

# %% [markdown]
# The loss of G is **best** where G has failed. It says how well G does against this D. It does not look at how
# different the samples are from each other. D cannot see it, either: it looks at one sample at a time. The two numbers
# that look at many samples together see it at once.
#
# In a real training D is not frozen, but it can be too slow. Then the samples gather at one place, D learns to reject
# that place, they all go to another one, and so on. If all your samples look alike, this is the reason. The paper's
# advice: do not train G too much without updating D. In tinygan, this is the option ``k``, the number of steps of D for
# each step of G. And ``gan.Packed`` shows D several samples at once.
#
# **Predict.** In a step of the frozen game, the gradient goes through D to G. Which weights does the step change? The
# trace has recorded it.

# %%
with tg.trace(D=frozen.discriminator, G=frozen.generator) as trace:
    step_of_g(frozen)
moved = [leaf.name for leaf in trace.updates[0].moved]
print("changed:", *moved)
assert all(name.startswith("G.") for name in moved)

# %% [markdown]
# **The picture.** Colours: what D answers. Dots: samples. The lines lead from where the same z was before to where it
# is now.

# %%
z = game.noise.draw(300, game.streams["followed"])
middles = np.linspace(-1.6, 1.6, 120, dtype=np.float32)
plane = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
start = gan.push(game.generator, z)
titles = "before: 600 steps of both", "600 more steps: D frozen", "600 more steps: D updated"
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
for axis, shown, (clouds, ratio, g_loss), title in zip(
    axes, (game, frozen, updated), (before, alone, together), titles, strict=True
):
    surface = 1 / (1 + np.exp(-gan.push(shown.discriminator, plane))).reshape(120, 120)
    colours = axis.imshow(surface, "PuOr", vmin=0, vmax=1, extent=(-1.6, 1.6, -1.6, 1.6), origin="lower", alpha=0.7)
    end = gan.push(shown.generator, z)
    axis.plot(*np.stack([start, end]).transpose(2, 0, 1), color="black", lw=0.5, alpha=0.25)
    axis.plot(*ring.modes.T, "x", color="black", ms=9)
    axis.plot(*end.T, ".", color="tab:green", ms=5)
    numbers = f"{clouds} of 8 clouds, ratio {ratio:.2f}, loss of G {g_loss:.2f}"
    axis.set(title=title, xlabel=numbers, xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
figure.colorbar(colours, ax=axes, label="D(x)", shrink=0.8)
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/evaluation/modes.py``, ``count_modes``: the clouds that are hit.
# - ``tinygan/evaluation/neighbours.py``, ``nearest_neighbour_ratio``: the distances.
# - ``tinygan/diagnosis/rules.py``, ``RULES``: what ``tinygan diagnose`` says about a run.
# - ``examples/helvetica.py``: the same with larger networks, and with curves of these numbers by step.
#
# **Question.** In the plane, you can look at the samples. An image of 8 x 8 pixels is a point with 64 coordinates.
# Which single number says honestly how far the samples are from the data?
