"""Section 7, item 4: semi-supervised learning. A hundred images have a label, all others have none.

Usage: python examples/semi_supervised.py [--seeds N] [--epochs N] [--dataset mnist|digits] [--data DIR] [--json] ...

The paper hopes that features of D help a classifier when few labels are known. A seed draws the labels, ten of each
class. Three ways to use them are compared by their error on the test images, all with the same hidden layers:

supervised     minimises -E log p(y | x), p = softmax of the K logits l, over the labelled images alone.
D's features   Algorithm 1 with R1 on all images; then a linear classifier of all hidden layers, fitted to the labels.
K + 1 classes  D is the classifier. Its logit for "data" is log Z = logsumexp(l); a sample is the class K + 1.
                   D minimises -E log p(y | x) - 1/2 E log D(x) - 1/2 E log(1 - D(G(z))),  D = sigmoid(log Z);
                   G minimises |E f(x) - E f(G(z))|^2, f = D's last hidden layer: feature matching.

The last is Salimans et al., "Improved techniques for training GANs", 2016, with a smaller D and 15 epochs, not 300. The
first two have a fifth of the epochs. Draws DIR/semi_supervised.png from seed 0; DIR is runs/examples by default.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import tinygan as tg
import tinygan.functional as F
from tinygan import data, gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.seeds import add_options, measure, show
from tinygan.errors import DataError
from tinygan.pictures.plates import arrange
from tinygan.pictures.sheets import colours_of

A_CLASS, BATCH = 10, 100  # labels of a class; images in a minibatch
NOISE = gan.Noise("uniform", 100)
ADAM = partial(optim.Adam, lr=0.003, betas=(0.5, 0.999))
WAYS = {"error_supervised": "supervised", "error_features": "D's features", "error": "K + 1 classes"}


def classifier(pixels: int, outputs: int, units: tuple[int, ...] = (500, 250, 250)) -> nn.Sequential:
    layers: list[nn.Module] = [nn.GaussianNoise(0.3)]
    for inputs, width in zip((pixels, *units), units, strict=False):
        layers += [nn.WeightNorm(nn.Linear(inputs, width)), nn.ReLU(), nn.GaussianNoise(0.5)]
    return nn.Sequential(*layers, nn.WeightNorm(nn.Linear(units[-1], outputs)))


def generator(pixels: int, units: int = 300) -> nn.Sequential:
    first, second = ([nn.Linear(n, units), nn.BatchNorm(units), nn.Softplus()] for n in (NOISE.size, units))
    return nn.Sequential(*first, *second, nn.Linear(units, pixels), nn.Sigmoid())


def update(optimizer: optim.Optimizer, loss: tg.Tensor) -> None:
    for parameter, gradient in zip(optimizer.params, tg.grad(loss, optimizer.params), strict=True):
        parameter.grad = gradient
    optimizer.step()


def draw_labels(dataset: data.Dataset, stream: Stream) -> Any:
    """Return the rows of ten training images of each class."""
    classes = [np.flatnonzero(dataset.train.labels == label) for label in range(dataset.train.labels.max() + 1)]
    if min(map(len, classes)) < A_CLASS:
        raise DataError(f"{dataset.name}: expected {A_CLASS} training images of each class, got {[*map(len, classes)]}")
    return np.concatenate([rows[stream.permutation(len(rows))[:A_CLASS]] for rows in classes])


def play(options: Any, dataset: data.Dataset, row: str, seed: int) -> dict[str, float]:
    """Draw the labels, learn from them in the three ways, and return the errors after the last epoch."""
    streams, test, pixels = Streams(seed), dataset.test, dataset.test.images.shape[1]
    labelled = draw_labels(dataset, streams["labels"])
    x_l, y = tg.tensor(dataset.train.images[labelled]), dataset.train.labels[labelled]
    classes, few = int(y.max()) + 1, max(1, options.epochs // 5)
    with streams.active():
        alone, features, D = (classifier(pixels, outputs) for outputs in (classes, 1, classes))
        player, G = generator(pixels), generator(pixels)
    of_alone, of_g, of_d = (ADAM(net.parameters()) for net in (alone, G, D))
    adams = [optim.Adam(net.parameters(), 0.0005, (0.5, 0.999)) for net in (player, features)]
    game = gan.Algorithm1(player, features, noise=NOISE, penalty=gan.R1(1), streams=streams,
                          generator_optimizer=adams[0], discriminator_optimizer=adams[1])  # fmt: skip

    def error(net: nn.Module, images: Any = test.images) -> float:
        return float((gan.push(net, images).argmax(axis=1) != test.labels).mean())

    def error_of_features(_: nn.Module) -> float:
        known, new = (np.hstack([gan.push(features[:i], x) for i in (3, 6, 9)]) for x in (x_l.numpy(), test.images))
        head = nn.Sequential(nn.BatchNorm(new.shape[1], momentum=1, affine=False), nn.Linear(new.shape[1], classes))
        adam = optim.Adam(head.parameters(), lr=0.01, weight_decay=0.001)
        for _ in range(300):
            update(adam, F.softmax_cross_entropy(head(tg.tensor(known)), y))
        return error(head.eval(), new)

    def step_k_plus_1(x: Any) -> None:
        z, again = (tg.tensor(NOISE.draw(BATCH, streams["noise"])) for _ in range(2))
        logits = D(F.concatenate([x_l, x, G(z).detach()]))
        log_z = F.logsumexp(logits[len(y) :], axis=1)
        of_unlabelled = gan.discriminator_loss(log_z[:BATCH], log_z[BATCH:]) / 2
        update(of_d, F.softmax_cross_entropy(logits[: len(y)], y) + of_unlabelled)
        f = D[:-2]  # without the noise on the last hidden layer
        update(of_g, ((f(tg.tensor(x)).mean(axis=0) - f(G(again)).mean(axis=0)) ** 2).mean())

    def learn(net: nn.Module, step: Any, epochs: int, error: Any = error) -> list[float]:
        """Make a step for each minibatch; return the error of the mean of the weights after each epoch."""
        mean, errors = optim.ExponentialMovingAverage(net.parameters(), 0.999), []
        for _ in range(epochs):
            for x, _ in data.batches(dataset.train, BATCH, streams["batches"]):
                step(x)
                mean.update()
            with mean.applied():
                errors.append(error(net.eval()))
            net.train()
        return errors

    with streams.active():
        curves = {
            "error_supervised": learn(alone, lambda x: update(of_alone, F.softmax_cross_entropy(alone(x_l), y)), few),
            "error_features": learn(features, game.step, few, error_of_features),
            "error": learn(D, step_k_plus_1, options.epochs),
        }
    if seed == 0:
        figure = Figure(figsize=(14, 4.6), layout="constrained")
        *plates, axes = figure.subplots(1, 3)
        shown = {"the labelled images": x_l.numpy(), "samples of G": gan.sample(G, 100, NOISE, Stream(0, "picture"))}
        for place, (title, rows) in zip(plates, shown.items(), strict=True):
            place.imshow(arrange(colours_of(rows, dataset.image_shape).reshape(-1, 10, *dataset.image_shape, 3)))
            place.set(title=title, xticks=[], yticks=[])
        for way, curve in curves.items():
            axes.plot(range(1, len(curve) + 1), [100 * value for value in curve], marker="o", label=WAYS[way])
        axes.set(xlabel="epochs", ylim=(0, None), title="% of the test images with a wrong label")
        axes.legend()
        figure.savefig(options.out / "semi_supervised.png", dpi=80, metadata={"Software": None})
    return {way: curve[-1] for way, curve in curves.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="semi_supervised", description="Learn to classify from ten labels a class.")
    add_options(parser, ["mnist", "digits"], seeds=5)
    parser.add_argument("--epochs", type=positive, default=15, metavar="N", help="passes over the images (default: 15)")

    def run(options: Any) -> None:
        found = measure(options, partial(play, options, data.load(options.dataset, options.data)))
        show(options, found, dict.fromkeys(WAYS, ".1%") | {"seconds": ".0f"})

    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
