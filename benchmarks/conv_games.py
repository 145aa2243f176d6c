"""The convolution layers and the games of ``conv``, each stated once for every contestant.

A network is a function of the namespace that has its layers: `tinygan.nn`, or one with PyTorch's layers under the same
names. So both frameworks build it from one statement.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Networks = tuple[Any, Any]  # the generator and the discriminator, of one framework

_BATCHES = 3  # minibatches taken in turn, and iterations in which the contestants must agree
_SAMPLED = 500  # numbers of an array that two contestants compare


@dataclass(frozen=True)
class Game:
    """One configuration.

    Attributes
    ----------
    image : (channels, rows, columns)
    batch : int
    noise : {"uniform", "gaussian"}
        100 numbers for each sample.
    networks : callable
        From a namespace of layers to the two networks.
    ranges : (float, float)
        The weights of G and D start from U(-r, r); biases from 0, the gains of batch normalization from 1.
    optimizer : dict
        ``lr`` and ``momentum`` for SGD, or ``lr`` and ``betas`` for Adam.
    released : bool
        Whether both players are updated at once, from one noise batch (the released code of 2014), or D first, then G
        on fresh noise (Algorithm 1).
    """

    image: tuple[int, int, int]
    batch: int
    noise: str
    networks: Callable[[Any], Networks]
    ranges: tuple[float, float]
    optimizer: dict[str, Any] = field(default_factory=lambda: {"lr": 2e-4, "betas": (0.5, 0.999)})
    released: bool = False

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates of the iterations in which contestants must agree.

        Adam moves a weight with next to no gradient as far as any other, and up or down by rounding error. So no weight
        moves in the first iteration, in which gradients are compared. SGD has no such step.
        """
        lr = self.optimizer["lr"]
        return (lr if "momentum" in self.optimizer else 1e-30, lr, lr)


def cifar10_conv(nn: Any) -> Networks:
    """Build the convolutional CIFAR-10 game of 2014, but for G's last bias: one a channel, not one a pixel."""

    def maxout(inputs: int, units: int, kernel: int, padding: int, pool: int) -> list[Any]:
        return [nn.MaxoutConv2d(inputs, units, 2, kernel, padding=padding), nn.MaxPool2d(pool, 2, ceil_mode=True)]

    generator = nn.Sequential(
        nn.Linear(100, 8000), nn.ReLU(), nn.Linear(8000, 8000), nn.Sigmoid(),
        nn.Reshape(80, 10, 10), nn.ConvTranspose2d(80, 3, 5, stride=3),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Dropout(0.2), *maxout(3, 32, 8, 4, 4),
        nn.Dropout(0.5), *maxout(32, 32, 8, 3, 4),
        nn.Dropout(0.5), *maxout(32, 192, 5, 3, 2),
        nn.Flatten(), nn.Dropout(0.5), nn.Maxout(4800, 500, 5), nn.Dropout(0.5), nn.Linear(500, 1),
    )  # fmt: skip
    return generator, discriminator


def dcgan(image: tuple[int, int, int], widths: Sequence[int]) -> Callable[[Any], Networks]:
    """Return a DCGAN of kernel 4 and stride 2, whose D has maps of these widths and whose G has them in reverse."""
    channels, rows, columns = image
    shrink = 2 ** len(widths)
    first = (widths[-1], rows // shrink, columns // shrink)
    units = first[0] * first[1] * first[2]

    def networks(nn: Any) -> Networks:
        up = [nn.Linear(100, units, bias=False), nn.Reshape(*first), nn.BatchNorm(widths[-1]), nn.ReLU()]
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm(narrow), nn.ReLU()]
        up += [nn.ConvTranspose2d(widths[0], channels, 4, 2, 1, bias=False), nn.Tanh()]
        down = [nn.Conv2d(channels, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for narrow, wide in pairwise(widths):
            down += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm(wide), nn.LeakyReLU(0.2)]
        return nn.Sequential(*up), nn.Sequential(*down, nn.Flatten(), nn.Linear(units, 1))

    return networks


def _dcgan(image: tuple[int, int, int], *widths: int) -> Game:
    return Game(image, 64, "uniform", dcgan(image, widths), (0.0346, 0.0346))  # of standard deviation 0.02


GAMES = {  # D of cifar10-conv started from ±0.005; with larger weights all its gradients count in the comparison
    "cifar10-conv": Game(
        (3, 32, 32), 128, "gaussian", cifar10_conv, (0.05, 0.05), {"lr": 0.004, "momentum": 0.5}, released=True
    ),
    "dcgan-mnist": _dcgan((1, 28, 28), 32, 64),
    "dcgan-32": _dcgan((3, 32, 32), 64, 128, 256),
    "dcgan-64": _dcgan((3, 64, 64), 64, 128, 256, 512),
}


@dataclass(frozen=True)
class Layer:
    """One convolution, or (`transposed`) the layer that goes from its output to its image.

    Attributes
    ----------
    batch : int
    image, output : (channels, rows)
        Of the convolution; images are square.
    kernel, stride, padding : int
    transposed : bool
    """

    batch: int
    image: tuple[int, int]
    output: tuple[int, int]
    kernel: int
    stride: int
    padding: int
    transposed: bool = False

    @property
    def flop(self) -> int:
        """Floating-point operations of each of the three products, those with padding included."""
        return 2 * self.batch * self.image[0] * self.output[0] * (self.output[1] * self.kernel) ** 2

    def shapes(self, batch: int) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the input, the weights and the output."""
        (c, n), (k, m) = self.image, self.output
        image, output = (batch, c, n, n), (batch, k, m, m)
        return (output if self.transposed else image, (k, c, self.kernel, self.kernel),
                image if self.transposed else output)  # fmt: skip


LAYERS = {
    "cifar10-conv D1": Layer(128, (3, 32), (64, 33), 8, 1, 4),
    "cifar10-conv D2": Layer(128, (32, 16), (64, 15), 8, 1, 3),
    "cifar10-conv D3": Layer(128, (32, 7), (384, 9), 5, 1, 3),
    "cifar10-conv G": Layer(128, (3, 32), (80, 10), 5, 3, 0, transposed=True),
    "dcgan-32 D1": Layer(64, (3, 32), (64, 16), 4, 2, 1),
    "dcgan-32 D2": Layer(64, (64, 16), (128, 8), 4, 2, 1),
    "dcgan-32 D3": Layer(64, (128, 8), (256, 4), 4, 2, 1),
    "dcgan-32 G1": Layer(64, (128, 8), (256, 4), 4, 2, 1, transposed=True),
    "dcgan-64 D2": Layer(64, (64, 32), (128, 16), 4, 2, 1),
    "dcgan-64 D4": Layer(64, (256, 8), (512, 4), 4, 2, 1),
    "mnist D1, kernel 5": Layer(64, (1, 28), (64, 14), 5, 2, 2),
    "mnist D2, kernel 5": Layer(64, (64, 14), (128, 7), 5, 2, 2),
}
WAYS = ("forward", "by input", "by weight")


@dataclass(frozen=True)
class ConvTask:
    """What a crew runs: a game, or (with a `way`) one product of a layer.

    Attributes
    ----------
    name : str
        In `GAMES` or, with a `way`, in `LAYERS`.
    threads : int
    batch : int
    way : str
        One of `WAYS`, or "".
    """

    name: str
    threads: int
    batch: int
    way: str = ""
    loose: ClassVar[bool] = True  # see `Task.loose`

    def order(self, folder: Path) -> dict[str, Any]:
        """Return what a worker needs to build a contestant."""
        return {"conv": asdict(self)}

    def noise(self) -> Any:
        """Draw the noise on which the contestants must agree: for D's update, then for G's."""
        updates = 0 if self.way else 2 - GAMES[self.name].released
        return _rng("noise").uniform(-1.7, 1.7, (_BATCHES, updates, self.batch, 100)).astype(np.float32)

    def batches(self) -> list[Any]:
        """Return the minibatches of a game, of shape (N, C, H, W): random images in [-1, 1]."""
        shape = (_BATCHES, self.batch, *GAMES[self.name].image)
        return list(_rng("images").uniform(-1, 1, shape).astype(np.float32))

    def arrays(self) -> list[Any]:
        """Return the input, the weights and the gradient with respect to the output of a layer."""
        shapes = LAYERS[self.name].shapes(self.batch)
        return [_rng(str(shape)).standard_normal(shape, np.float32) for shape in shapes]


def starting_values(game: Game, player: int, shapes: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the starting value of each parameter of a player: 0 is the generator, 1 the discriminator.

    Parameters
    ----------
    game : Game
    player : {0, 1}
    shapes : dict
        Of the parameters, by name and in tinygan's layout.
    """
    for name, shape in shapes.items():
        if name.endswith("bias"):
            yield name, np.zeros(shape, np.float32)
        elif len(shape) == 1:  # the gain of a batch normalization
            yield name, np.ones(shape, np.float32)
        else:
            r = game.ranges[player]
            values = _rng(f"{player} {name}").random(shape, np.float32)
            values *= 2 * r
            values -= r
            yield name, values


def sample(array: Any) -> list[float]:
    """Return some numbers of an array, spread over all of it."""
    flat = array.reshape(-1)
    return [float(x) for x in flat[:: max(1, len(flat) // _SAMPLED)]]


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))
