# %% [markdown]
"""
Lesson 5: the loss on logits
============================

**The question of lesson 4:** ``D = 1 / (1 + exp(-a))`` is a probability, and the loss for a sample of G is
``-log(1 - D)``. In float32, what is this loss for ``a = 20``?

**The answer:** infinite. It should be 20. D is 0.999999998, and float32 has no such number: the nearest one is 1. Then
``1 - D`` is 0, and its logarithm is minus infinity. This lesson shows the formula that is right, and then what the
value of the loss says, and what it does not say.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import gan
from tinygan.cli.figures import picture_path

picture = picture_path("05_logits")  # --out DIR names another folder


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def naive_loss(a):
    """Return -log(1 - D), with a D that was rounded first."""
    with np.errstate(divide="ignore"):
        return -np.log(1 - sigmoid(a))


logits = np.array([-5, 0, 5, 20], np.float32)
print(sigmoid(logits), naive_loss(logits), sep="\n")
assert np.isinf(naive_loss(logits)[-1])

# %% [markdown]
# **The gradient is worse.** The backward pass multiplies ``1 / (1 - D)``, which is infinite, by the slope of the
# sigmoid, ``D * (1 - D)``, which is 0. Infinity times 0 is nan, "not a number". One nan in a gradient makes all weights
# nan.

# %%
a = tg.tensor(logits, requires_grad=True)
with np.errstate(all="ignore"):
    (-F.log(1 - F.sigmoid(a))).sum().backward()
print(a.grad.numpy())
assert np.isnan(a.grad.numpy()[-1])

# %% [markdown]
# **Do not round in the middle.** The number ``a`` is called the logit. Write the loss as a function of the logit:
#
# - ``1 - D`` is ``1 / (1 + exp(a))``. So ``-log(1 - D)`` is ``log(1 + exp(a))``. This function is called softplus.
# - In the same way, ``-log D`` is ``softplus(-a)``.
#
# For a large ``a``, softplus is nearly ``a`` itself. Nothing is rounded to 0 or 1. So the discriminators in tinygan end
# with the logit and have no sigmoid at their end. The loss contains it.
#
# **Predict.** The slope of ``softplus(a)`` is ``exp(a) / (1 + exp(a))``. You know this function. What is the gradient
# for ``a = 20``?

# %%
a.grad = None
loss = F.binary_cross_entropy_with_logits(a, 0, reduction="none")  # target 0: "a sample of G"
loss.sum().backward()
print(loss.detach().numpy(), a.grad.numpy(), sep="\n")
assert np.allclose(loss.detach().numpy(), np.logaddexp(0, logits))
assert np.allclose(a.grad.numpy(), sigmoid(logits))  # D - 0; for the target 1 it is D - 1

# %% [markdown]
# The gradient is ``D - target``: how wrong the answer was. It is 1 where D is certain and wrong, and it is never nan.
#
# **A number to remember: 1.386.** The discriminator's loss is the sum for data and samples:
# ``-log D(x) - log(1 - D(G(z)))``.
#
# **Predict.** A discriminator knows nothing and answers 1/2 to everything. What is its logit? What is its loss?

# %%
undecided = tg.tensor(np.zeros(8))
d_loss = gan.discriminator_loss(undecided, undecided).item()
g_loss = gan.generator_loss(undecided).item()
print(f"D's loss {d_loss:.4f}, G's loss {g_loss:.4f}")
assert np.isclose(d_loss, np.log(4))
assert np.isclose(g_loss, np.log(2))

# %% [markdown]
# Many learners see their loss stop at 1.386 and ask whether that is bad. It is ``log 4``: ``log 2 = 0.693`` for the
# data, and as much for the samples. (Some programs show the mean of both parts: 0.693.) The value says only that D
# answers 1/2. There are two reasons for that. At the end of an ideal game, the samples are like the data, and no D can
# tell them apart. Before training, D does not know anything yet. The loss is the same. So the loss alone does not say
# how good the samples are.
#
# **Two losses for G.** G wants D to take its samples for data. The paper has two formulas for this wish. Minimax:
# minimise ``log(1 - D)``. Non-saturating: minimise ``-log D``. Both are better for G where D is larger. Their slopes
# are ``-D`` and ``-(1 - D)``.
#
# **Predict.** At the start, D rejects G's samples with confidence: D = 0.01. With which of the two does G learn faster?
# How many times?

# %%
rejected = tg.tensor([np.log(0.01 / 0.99)], requires_grad=True)
slopes = {kind: tg.grad(gan.generator_loss(rejected, kind), rejected).item() for kind in ("minimax", "non-saturating")}
print(slopes)
assert np.allclose(list(slopes.values()), [-0.01, -0.99])

# %% [markdown]
# 99 times. For this reason the paper recommends the second one, and ``gan.Algorithm1`` uses it by default. It also
# answers a question that many ask: D has a loss of 0 and is always right. Why is that a failure? Because then no sample
# passes for data. And with minimax, G does not even get a slope that could change this.
#
# **The picture.** Left: the rounded loss jumps in stairs, and ends near ``a = 17``; after that, it is infinite. Right:
# the slopes of both losses of G.

# %%
line = np.linspace(-8, 24, 3000, dtype=np.float32)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
left.plot(line, naive_loss(line), color="tab:red", label="-log(1 - D), D rounded to float32")
left.plot(line, np.logaddexp(0, line), "--", color="black", label="softplus(a)")
left.axvspan(16.64, 20, color="tab:red", alpha=0.15, label="infinite, and its gradient is nan")
left.set(xlim=(10, 20), ylim=(9, 21), xlabel="logit a of a sample", ylabel="D's loss for this sample")
left.legend()
right.plot(line, sigmoid(line), label="minimax: D")
right.plot(line, 1 - sigmoid(line), label="non-saturating: 1 - D")
right.axvline(rejected.item(), color="gray", ls=":", label="D = 0.01: .01 against .99")
right.set(xlim=(-8, 8), xlabel="logit a of a sample", ylabel="size of the slope that G gets")
right.legend()
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/functional/losses.py``, ``BinaryCrossEntropyWithLogits``: the loss on logits.
# - ``tinygan/gan/objectives.py``, ``discriminator_loss``: D's loss.
# - ``tinygan/gan/objectives.py``, ``generator_loss``: both losses of G.
# - ``tinygan/gan/players.py``, ``refuse_bounded_logits``: a D that ends in a sigmoid is refused.
#
# **Question.** A slope says in which direction to go, but not how far. Gradient descent makes steps of
# ``-rate * slope``. The loss is a long valley: ``(25 * u**2 + v**2) / 2``. Its slopes are ``25 * u`` and ``v``. Which
# rates are too large? And how many steps does ``v`` then need?
