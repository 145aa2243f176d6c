# %% [markdown]
"""
Lesson 10: a GAN on the digits
==============================

**The question of lesson 9:** an image of 8 x 8 pixels is a point with 64 coordinates. Which single number says honestly
how far the samples are from the data?

**The answer:** ask a new classifier. Give it samples and data that neither player has seen, and count how often it
tells them apart. 50 % is guessing, and the best that G can reach. 100 % means that each sample is recognised. The
losses cannot say this. D cannot say it, either: it has learnt from these data, and G has learnt against this D.

This lesson puts all parts together: layers, dropout, the loss on logits, a rule for the steps, and Algorithm 1.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygan as tg
from tinygan import evaluation, gan, nn, optim
from tinygan.backend import Stream, blas_threads
from tinygan.cli.figures import picture_path
from tinygan.data import load_digits

picture = picture_path("10_digits")  # --out DIR names another folder

digits = load_digits()
train = digits.train.images
unseen = np.concatenate([digits.validation.images, digits.test.images])
print(digits)
print(train.shape, train.min(), train.max())

# %% [markdown]
# **The players.** G ends with a sigmoid, because pixels are between 0 and 1. D consists of maxout layers with dropout,
# as in section 5 of the paper. It ends with a logit.
#
# **Predict.** How many weights has the first layer of G, with its biases? And the first maxout layer of D, with 64
# units of three pieces?

# %%
tg.manual_seed(0)
G = nn.Sequential(
    *(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()),
    *(nn.Linear(128, 64), nn.Sigmoid()),
)
D = nn.Sequential(
    *(nn.Dropout(0.2), nn.Maxout(64, 64, pieces=3), nn.Dropout(0.5), nn.Maxout(64, 64, pieces=3)),
    *(nn.Dropout(0.5), nn.Linear(64, 1)),
)
print(G.summary((64, 32)))
print(D.summary((64, 64)))
assert sum(p.size for p in G[0].parameters()) == 32 * 128 + 128
assert sum(p.size for p in D[1].parameters()) == 64 * 192 + 192

# %% [markdown]
# **The honest number.** ``two_sample_test`` divides samples and unseen data into halves. The classifier sees the first
# halves, and is asked about the second ones: 400 images. A count of 400 answers has an error: its standard error is
# ``sqrt(p * (1 - p) / 400)``. A number without its error says little.
#
# Real digits must be compared, too. Training digits against unseen digits: is this 50 %?
#
# **Predict.** G is not trained yet. How often are its samples recognised?


# %%
def told_apart(images):
    test = evaluation.two_sample_test(images, unseen)
    error = (test.accuracy * (1 - test.accuracy) / test.held_out) ** 0.5
    return test.accuracy, error


def look():
    return gan.sample(G, len(unseen), gan.Noise("uniform", 32), Stream(0, "look"))


untrained, (real, real_error) = told_apart(look()), told_apart(train[:400])
print(f"an untrained G: {untrained[0]:.1%}")
print(f"training digits: {real:.1%} ± {real_error:.1%}")
assert untrained[0] > 0.99
assert real < 0.65

# %% [markdown]
# Training digits are recognised a little more often than by guessing: other people wrote them. So about 57 % is what G
# can hope for here.
#
# **Train.** A minibatch has 64 digits. Every 500 steps, the next cell prints the mean losses, how often D was right,
# and the honest number.
#
# **Predict.** Which of these numbers will fall from the first line to the last: the loss of D, that of G, the honest
# number?

# %%
game = gan.Algorithm1(
    *(G, D),
    generator_optimizer=optim.Adam(G.parameters(), 0.002, betas=(0.5, 0.999)),
    discriminator_optimizer=optim.Adam(D.parameters(), 0.001, betas=(0.5, 0.999)),
)
rng, rows = np.random.default_rng(0), []
with blas_threads(1):  # these products are too small for several threads
    for number in range(1, 1501):
        step = game.step(train[rng.integers(0, len(train), 64)])
        right = (step.real_logits.numpy() > 0).mean() / 2 + (step.fake_logits.numpy() <= 0).mean() / 2
        rows.append((step.discriminator_loss.item(), step.generator_loss.item(), right))
        if number % 500 == 0:
            accuracy, error = told_apart(look())
            d_loss, g_loss, right = np.mean(rows[-500:], axis=0)
            print(
                f"{number}: loss of D {d_loss:.2f}, of G {g_loss:.2f}, D is right in {right:.0%}; "
                f"a new classifier in {accuracy:.1%} ± {error:.1%}"
            )
assert np.isfinite(rows).all()
assert accuracy < 0.98

# %% [markdown]
# Neither loss tells how far the training is. The loss of D stays near ``log 4 = 1.386``, for both reasons of lesson 5:
# its task is hard, and with dropout it sees only a part of each image. Now compare the last two numbers of a line. D is
# right in about two of three cases. You might conclude that the samples are nearly perfect. The new classifier
# recognises most of them. Its number is the one to watch, together with its error.
#
# **The picture.** Left: samples, not selected. Right: unseen data. Look for digits that are no digits.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 5.6), layout="constrained")
titles = f"samples: {accuracy:.1%} ± {error:.1%}", f"unseen data (training data: {real:.1%} ± {real_error:.1%})"
for axis, images, title in zip(axes, (look(), unseen), titles, strict=True):
    sheet = images[:100].reshape(10, 10, 8, 8)
    sheet = np.pad(sheet, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.4)
    axis.imshow(sheet.transpose(0, 2, 1, 3).reshape(100, 100), cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])
figure.suptitle("how often a new classifier tells them from unseen data; 50 % is guessing")
figure.savefig(picture)
print(f"Drawn in {picture}")

# %% [markdown]
# **Where the real thing stands.** Open these files in this order:
#
# - ``tinygan/experiments/digits.toml``: this game with larger players and 300 passes over the data, every line
#   commented.
# - ``tinygan/experiments/training.py``, ``Training``: the loop, with all that a long run needs.
# - ``tinygan/evaluation/two_sample.py``, ``two_sample_test``: the new classifier.
# - ``tinygan/cli/train.py``: the command ``tinygan train digits``.
#
# **Question.** The new classifier is right in 57 % of the training digits, but they are real. Could a G that copies its
# training digits pixel by pixel be better than one that draws new digits, by this number? What would you measure
# against that?
#
# **The answer,** since there is no next lesson: yes. Such a G would get 57 %, and nothing new would come out of it. So
# one honest number is not enough. Measure the distance from each sample to the nearest training image as well, and
# compare it with that of unseen data: ``training_distance`` in ``tinygan/evaluation/neighbours.py`` does it. Then run
# ``tinygan train digits``, and open the report of the run.
