"""Section 7, idea 1: "a conditional generative model p(x | c) can be obtained by adding c as input to both G and D".

Usage: python examples/conditional.py [--dataset mnist|digits] [--setting adam|sgd|mirza|all] [--epochs N] [--json] ...

c is the class of an image, as a one-hot row y: V(D, G) = E log D(x, y) + E log(1 - D(G(z, y), y)).
The setting "adam" is ours, with the penalty R1 (Mescheder et al., 2018). "mirza" has the nets and optimisers of Mirza
and Osindero (2014): z and y have a layer each, then both a joint one; dropout; SGD with momentum. Initial weights and
schedule, which they do not print, are those of the paper's code. "sgd" has the nets of "adam", the rest of "mirza".

Of 1,000 samples a class: `label_accuracy`, the share that a classifier of ours gives the class asked for, and of real
test images `classifier_accuracy`; `parzen_test`, the log-likelihood of test images under a Parzen window, with sigma
from validation images, and its standard error over the images, `parzen_images_error`; `spread_ratio`, the standard
deviation within a class over that of the training images, 0 if G ignores z. Draws DIR/conditional_SETTING.png, seed 0.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan import data, evaluation, gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.seeds import add_options, measure, show
from tinygan.engine import Tensor
from tinygan.errors import DataError
from tinygan.pictures.plates import arrange, save_plate
from tinygan.pictures.sheets import colours_of

SETTINGS = ("adam", "sgd", "mirza")
SIZES = {"mnist": (12, 5, 100, 512), "digits": (100, 100, 32, 256)}  # epochs, those of the classifier, batch, units
CLASSES, EACH, NOISE, SHOWN = 10, 1000, 100, 10
COLUMNS = {"label_accuracy": ".1%", "classifier_accuracy": ".1%", "parzen_test": ".1f", "spread_ratio": ".2f"}
CAPTION = "Fair samples, a row for each class that G was asked for, 0 to 9. In the frame: training images."


class Joint(nn.Module):  # the form of Mirza and Osindero: a layer of x, a layer of y, and a net that reads both
    def __init__(self, of_x: nn.Module, of_y: nn.Module, joint: nn.Module) -> None:
        super().__init__()
        self.of_x, self.of_y, self.joint = of_x, of_y, joint

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.joint(F.concatenate([self.of_x(x), self.of_y(F.one_hot(y, CLASSES))], axis=1))


def dense(activation: type[nn.Module], *sizes: int) -> list[nn.Module]:
    return [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())][:-1]


def players(setting: str, pixels: int, units: int, streams: Streams) -> tuple[nn.Module, nn.Module]:
    """Return G(z, y) and D(x, y)."""
    if setting != "mirza":
        generator = nn.Sequential(*dense(nn.ReLU, NOISE + CLASSES, units, units, pixels), nn.Sigmoid())
        discriminator = nn.Sequential(*dense(nn.LeakyReLU, pixels + CLASSES, units, units, 1))
        return gan.Conditional(generator, CLASSES), gan.Conditional(discriminator, CLASSES)
    last = [nn.ReLU(), nn.Dropout(), nn.Linear(1200, 1200), nn.ReLU(), nn.Dropout(), nn.Linear(1200, pixels)]
    joint = [nn.Dropout(), nn.Maxout(290, 240, 4), nn.Dropout(), nn.Linear(240, 1)]
    g = Joint(nn.Linear(NOISE, 200), nn.Linear(CLASSES, 1000), nn.Sequential(*last, nn.Sigmoid()))
    d = Joint(nn.Maxout(pixels, 240, 5), nn.Maxout(CLASSES, 50, 5), nn.Sequential(*joint))
    for net, half in ((g, 0.05), (d, 0.005)):
        for weight in (parameter for parameter in net.parameters() if parameter.ndim > 1):
            weight.data = streams["weights"].uniform(weight.shape, -half, half)
    return g, d


def start(setting: str, train: data.Split, batch: int, units: int, streams: Streams) -> gan.Algorithm1:
    with streams.active():
        nets = players(setting, train.images.shape[1], units, streams)
    options: dict[str, Any] = {"noise": gan.Noise("uniform", NOISE), "streams": streams}
    if setting == "adam":
        adam = [optim.Adam(net.parameters(), 1e-3, betas=(0.0, 0.99)) for net in nets]
        options |= {"penalty": gan.R1(1.0), "generator_optimizer": adam[0], "discriminator_optimizer": adam[1]}
    else:
        momentum = optim.LinearMomentum(0.5, 0.7, updates_per_epoch=len(train) // batch)
        options |= {"lr": optim.ExponentialDecay(0.1, 1.00004, 1e-6), "momentum": momentum}
        options |= {"schedule": "simultaneous", "shared_noise": True, "discriminator_loss_scale": 0.5}
    return gan.Algorithm1(*nets, **options)


def classifier_of(train: data.Split, epochs: int, batch: int, streams: Streams) -> nn.Module:  # of one hidden layer
    with streams.active():
        net = nn.Sequential(*dense(nn.ReLU, train.images.shape[1], 256, CLASSES))
    adam = optim.Adam(net.parameters(), 1e-3)
    for x, y in (xy for _ in range(epochs) for xy in data.batches(train, batch, streams["order"])):
        adam.zero_grad()
        F.softmax_cross_entropy(net(x), y).backward()
        adam.step()
    return net


def spread(images: Any, labels: Any) -> float:
    """Return the standard deviation within a class, over all pixels; the mean over the classes."""
    return float(np.mean([np.sqrt(images[labels == c].var(axis=0).mean()) for c in range(CLASSES)]))


def play(options: argparse.Namespace, dataset: data.Dataset, setting: str, seed: int) -> dict[str, float]:
    """Train a classifier and play a game; return the measures."""
    epochs, classifier_epochs, batch, units = SIZES[options.dataset]
    train, test, streams = dataset.train, dataset.test, Streams(seed)
    game = start(setting, train, batch, units, streams)
    mean = optim.ExponentialMovingAverage(game.generator.parameters(), 0.998)
    for x, y in (xy for _ in range(options.epochs or epochs) for xy in data.batches(train, batch, streams["order"])):
        game.step(x, y)
        mean.update()
    asked = np.repeat(np.arange(CLASSES), EACH)
    with mean.applied():
        samples = gan.sample(game.generator, len(asked), game.noise, Stream(seed, "samples"), asked)
    if seed == 0:
        rows = [[*samples[asked == c][:SHOWN], train.images[train.labels == c][0]] for c in range(CLASSES)]
        tiles = colours_of(np.concatenate(rows), dataset.image_shape).reshape(CLASSES, -1, *dataset.image_shape, 3)
        save_plate(options.out / f"conditional_{setting}.png", [(CAPTION, arrange(tiles, framed=[SHOWN]))])
    sigma = evaluation.select_sigma(samples, dataset.validation.images[:1000])
    likelihood = evaluation.parzen_log_likelihood(samples, test.images, sigma)
    classifier = classifier_of(train, classifier_epochs, batch, Streams(1000 + seed))
    right = [gan.push(classifier, x).argmax(axis=1) == y for x, y in ((samples, asked), (test.images, test.labels))]
    return {
        "label_accuracy": right[0].mean(),
        "classifier_accuracy": right[1].mean(),
        "parzen_test": likelihood.mean(),
        "parzen_images_error": evaluation.standard_error(likelihood),
        "parzen_sigma": sigma,
        "spread_ratio": spread(samples, asked) / spread(train.images, train.labels),
        "test_images": len(test),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="conditional", description="p(x | c): G draws the class that it is asked for.")
    parser.add_argument("--setting", choices=(*SETTINGS, "all"), default="adam", help="of the game (default: adam)")
    parser.add_argument("--epochs", type=positive, metavar="N", help="passes over the images (mnist: 12; digits: 100)")
    add_options(parser, tuple(SIZES))

    def run(options: argparse.Namespace) -> None:
        dataset, rows = data.load(options.dataset, options.data), SETTINGS if options.setting == "all" else ("",)
        if set(dataset.train.labels) != set(range(CLASSES)):
            raise DataError(f"{dataset.name}: expected labels from 0 to 9, each at least once; give other files")
        found = measure(options, lambda row, seed: play(options, dataset, row or options.setting, seed), rows)
        show(options, found, COLUMNS)

    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
