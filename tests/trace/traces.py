"""Traces that several tests look at."""

from __future__ import annotations

import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn, optim
from tinygan.errors import ShapeError


def readme():
    """The example of the README: a is used twice."""
    a, b = tg.tensor(2.0, requires_grad=True), tg.tensor(3.0, requires_grad=True)
    with tg.trace() as t:
        c = a * b
        loss = F.log(c + a)
        loss.backward()
    return t


def game(**options):
    """One iteration of Algorithm 1 on rows of 64 numbers."""
    tg.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 64), nn.Sigmoid())
    discriminator = nn.Sequential(nn.Maxout(64, 4, pieces=3), nn.Dropout(0.5), nn.Linear(4, 1))
    one = gan.Algorithm1(generator, discriminator, **options)
    with tg.trace() as t:
        one.step(np.random.default_rng(0).uniform(size=(10, 64)).astype(np.float32))
    return t


def second_order():
    """The norm of a gradient is differentiated."""
    w = tg.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with tg.trace() as t:
        slope = tg.grad(F.tanh(x @ w).sum(), x, create_graph=True)
        (slope**2).sum().backward()
    return t


def penalty():
    """A network with a penalty on the gradient of its output, and an update."""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Maxout(5, 4, pieces=2), nn.Linear(4, 1))
    optimizer = optim.Adam(net.parameters(), 0.01)
    x = tg.tensor(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), requires_grad=True)
    with tg.trace() as t:
        out = net(x)
        slope = tg.grad(out.sum(), x, create_graph=True)
        loss = out.mean() + ((F.sqrt((slope**2).sum(axis=1)) - 1.0) ** 2).mean()
        loss.backward()
        optimizer.step()
    return t


def failed():
    """The third operation refuses its input."""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 1))
    t = tg.trace()
    try:
        with t:
            net(tg.tensor(np.ones((2, 3), np.float32)))
    except ShapeError:
        return t
    raise AssertionError("the net takes it")


def not_finite():
    """A value, and a gradient, with nan and infinity."""
    x = tg.tensor([1.0, 0.0, -1.0], requires_grad=True)
    with tg.trace() as t, np.errstate(all="ignore"):
        F.log(x).sum().backward()
    return t


def empty():
    """Nothing."""
    with tg.trace() as t:
        pass
    return t


def odd_names(name="</script><b>&\"' ünïcode \x00 \ud800 " + "long" * 40):
    """Names that are no plain words, and arrays without elements."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.zeros((0, 3), np.float32))

        def forward(self, x):
            return x @ self.w

    net, x = Net(), tg.tensor(np.zeros((2, 0), np.float32), requires_grad=True)
    with tg.trace(**{name: net}) as t:
        net(x).sum().backward()
    return t


def unrolled(count):
    """A weight that is used `count` times."""
    w = tg.tensor(np.eye(16, dtype=np.float32), requires_grad=True)
    h = tg.tensor(np.full((32, 16), 0.5, np.float32))
    with tg.trace() as t:
        for _ in range(count):
            h = F.tanh(h @ w)
        h.sum().backward()
    return t


EVERY = {
    "readme": readme,
    "alternating": game,
    "simultaneous": lambda: game(schedule="simultaneous", shared_noise=True),
    "two steps of D": lambda: game(k=2),
    "second order": second_order,
    "penalty": penalty,
    "failed": failed,
    "not finite": not_finite,
    "empty": empty,
    "odd names": odd_names,
    "unrolled": lambda: unrolled(20),
}
