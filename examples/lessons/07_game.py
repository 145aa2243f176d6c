# %% [markdown]
"""
Lesson 7: the game on a line
============================

**The question of lesson 6:** the first player chooses ``u`` and wants ``u * v`` small; the second chooses ``v`` and
wants ``u * v`` large. Both begin at 1, and make small steps in turn. Do they come to rest at 0?

**The answer:** no. They walk around 0 in circles, as the next cell shows. Each step of one player changes the landscape
of the other. So a game is not a descent, and "the loss falls" is not a sign of success here. This lesson plays the game
of the paper with two players that are as small as possible.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
from tinygan import gan, nn, optim
from tinygan.cli.figures import picture_path

picture = picture_path("07_game")  # --out DIR names another folder

u, v, distances = 1.0, 1.0, []
for _ in range(1000):
    u = u - 0.05 * v  # the slope of u * v with respect to u is v
    v = v + 0.05 * u
    distances.append(np.hypot(u, v))
print(f"distance from 0: at the start 1.41, later between {min(distances):.2f} and {max(distances):.2f}")
assert min(distances) > 1.3

# %% [markdown]
# **The players.** The data are numbers around 2. The generator G turns noise z, numbers around 0, into samples:
# ``G(z) = z + b``. Its only weight is ``b``. It wins when ``b`` is 2, but it never sees the data. The discriminator D
# has two weights: its logit is ``w * x + c``. Where the logit is positive, D says "data".


# %%
class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Parameter(np.zeros(1, np.float32))

    def forward(self, z):
        return z + self.b


def new_players():
    return Shift(), nn.Linear(1, 1, weight_init=nn.init.constant(0.0))  # D answers 1/2 everywhere


G, D = new_players()
g_rule, d_rule = optim.SGD(G.parameters(), lr=0.3), optim.SGD(D.parameters(), lr=0.3)
noise, streams, data_rng = gan.Noise("gaussian", 1), tg.manual_seed(0), np.random.default_rng(0)


def draw_data():
    return tg.tensor(data_rng.normal(2, 1, (2000, 1)), dtype="float32")


def draw_samples():
    return G(tg.tensor(noise.draw(2000, streams["noise"])))


# %% [markdown]
# **Algorithm 1** has two steps that are repeated. First D moves: it makes its loss smaller on a minibatch of data and
# one of samples. ``detach`` cuts the samples off from G, because this step is not about G. Then G moves: it makes new
# samples, and changes ``b`` so that D takes them for data. The gradient comes through D.


# %%
def step_of_d():
    loss = gan.discriminator_loss(D(draw_data()), D(draw_samples().detach()))
    d_rule.zero_grad()
    loss.backward()
    d_rule.step()
    return loss.item()


def step_of_g():
    loss = gan.generator_loss(D(draw_samples()))
    g_rule.zero_grad()
    loss.backward()
    g_rule.step()
    return loss.item()


# %% [markdown]
# **Predict.** After the first step of D: is there a gradient in ``G.b``? What is the first loss? (Lesson 5 has the
# number.) And after the first step of G: which gradients are there, and which weights have moved?

# %%
with tg.trace(G=G, D=D) as trace:
    first_loss = step_of_d()
print(trace)
print("D's first loss:", first_loss, "  G.b.grad:", G.b.grad)
assert np.isclose(first_loss, np.log(4))
assert G.b.grad is None

with tg.trace(G=G, D=D) as trace:
    step_of_g()
print("changed by the step of G:", [leaf.name for leaf in trace.updates[0].moved])
print("gradients:", G.b.grad, D.weight.grad)
assert [leaf.name for leaf in trace.updates[0].moved] == ["G.b"]

# %% [markdown]
# In D's step, the trace says "not computed" in the row of G: no gradient came there. In G's step, D gets gradients too,
# because the path to ``b`` leads through D. But only the rule of G makes a step, so D did not move.
# ``d_rule.zero_grad()`` removes these gradients before D's next step. Without it, D would follow them, and help G.
#
# **Play.** Each line says what D has found out, and how far G is.
#
# **Predict.** The data are on the right of the samples. D finds this out, and G moves to the right. Does ``b`` stop
# when it arrives at 2?

# %%
history = [(G.b.item(), D.weight.item(), D.bias.item())]
for step in range(2, 401):
    d_loss, g_loss = step_of_d(), step_of_g()
    history.append((G.b.item(), D.weight.item(), D.bias.item()))
    if step in (2, 5, 20, 40, 60, 80, 100, 150, 200, 300, 400):
        w = D.weight.item()
        side = "nothing" if abs(w) < 0.05 else "data are on the right" if w > 0 else "data are on the left"
        print(f"{step:3}: b = {G.b.item():5.2f}   losses {d_loss:.3f}, {g_loss:.3f}   D says: {side}")
history = np.array(history)
assert abs(history[-1, 0] - 2) < 0.3
assert history[:, 0].max() > 2.2  # G went too far first

# %% [markdown]
# At the start D finds out that data are on the right, and G moves to the right. It goes too far, because D needs time
# to notice. Then D says "left", and G comes back. The circles of the first cell are here, but they become smaller.
#
# **Do the losses show it?** Compare the first and the last loss of D with ``log 4``.

# %%
print(f"first {first_loss:.3f}, last {d_loss:.3f}, log 4 = {np.log(4):.3f}")
assert abs(d_loss - first_loss) < 0.05

# %% [markdown]
# Both are 1.386, although ``b`` went from 0 to 2. In between, the loss was lower and higher. Neither loss shows
# progress.
#
# **The same with tinygan.** ``gan.Algorithm1`` has both steps in one call. Given the same seeds, it finds the same
# ``b``.

# %%
G, D = new_players()
streams, data_rng = tg.manual_seed(0), np.random.default_rng(0)
game = gan.Algorithm1(G, D, noise=noise, lr=0.3, momentum=0.0)
for _ in range(400):
    result = game.step(draw_data())
print(result)
assert np.isclose(G.b.item(), history[-1, 0], atol=1e-3)

# %% [markdown]
# **The picture.** Left: the path of both players. It begins at ``b = 0`` and turns around the point where G is right
# and D says nothing. Then three moments of the game: the data (dotted), the samples, and D. The arrow is the direction
# in which D sends G.

# %%
figure, (plane, *moments) = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
plane.plot(history[:, 0], history[:, 1], ".-", lw=0.5, ms=3)
plane.plot(2, 0, "*", color="tab:red", ms=12)
plane.set(xlabel="b, the weight of G", ylabel="w, the slope of D", title="400 steps")
x = np.linspace(-3, 6, 300)
for axis, step in zip(moments, (6, 55, 400), strict=True):
    b, w, c = history[step - 1]
    axis.plot(x, np.exp(-((x - 2) ** 2) / 2), ":", color="black", label="data")
    axis.plot(x, np.exp(-((x - b) ** 2) / 2), color="tab:green", label="samples")
    axis.plot(x, 1 / (1 + np.exp(-(w * x + c))), color="tab:blue", label="D(x)")
    axis.set(xlabel="x", ylim=(0, 1.1), title=f"after {step} steps")
    axis.plot(b, 0.03, "o" if abs(w) < 0.05 else ">" if w > 0 else "<", color="tab:green", ms=9)
moments[2].legend()
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/gan/algorithm1.py``, ``Algorithm1._update_discriminator``: our ``step_of_d``.
# - ``tinygan/gan/algorithm1.py``, ``Algorithm1._update_generator``: our ``step_of_g``.
# - ``tinygan/gan/algorithm1.py``, ``Algorithm1._set_gradients``: the gradients of one player only.
# - ``tinygan/gan/noise.py``, ``Noise``: what z can be.
# - ``tinygan/gan/step.py``, ``Step``: what a step returns, and how it is printed.
#
# **Question.** At some x there are three data for each sample of G. D sees x and has to answer with a probability. What
# is the best answer? Write it as a formula of the two densities, ``p_data(x)`` and ``p_g(x)``.
