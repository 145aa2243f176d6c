"""Section 7, item 2: learned approximate inference. A net E, the encoder, predicts z from x.

Usage: python examples/inference.py [--method both|regression|bigan] [--penalty W] [--epochs N] [--seeds N]
                                    [--dataset mnist|digits] [--data DIR] [--json] ...

regression  As the paper says: Algorithm 1 trains G; then, with G finished and fixed,
                E minimises |E(G(z)) - z|^2.
            E sees samples only, never an image of the data.
BiGAN       G and E learn together (Donahue et al., "Adversarial feature learning", 2017). D judges pairs:
                D minimises -log D(x, E(x)) - log(1 - D(G(z), z)) + the penalty R1 at the pairs (x, E(x));
                G and E minimise -log D(G(z), z) - log(1 - D(x, E(x))).
            If D cannot tell the pairs apart, E is the inverse of G. Without R1 D wins: see --penalty 0.

A code E(x) is worth something if G makes x of it again: the reconstruction ratio is the mean of |x - G(E(x))|^2 over
the test images, divided by the same with the codes shuffled. It is 1 if codes say nothing about their images. The
distance ratio is that of |x - G(E(x))|: BiGAN's authors have 5.95 / 9.60 = .62 after 400 epochs of MNIST. The accuracy
of the nearest neighbour among codes of training images says less: an encoder with random weights has nearly the same.
Draws DIR/inference.png from seed 0; DIR is runs/examples by default.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import data, evaluation, gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.seeds import add_options, measure, show
from tinygan.pictures.plates import arrange, save_plate
from tinygan.pictures.sheets import colours_of

METHODS, SHOWN = ("regression", "bigan"), 14
BATCH, UNITS, QUERIES = 100, 256, 2000  # images in a minibatch, units in a layer, test images that look for neighbours
FORMATS = {"reconstruction_ratio": ".2f", "distance_ratio": ".2f", "nearest_neighbour_accuracy": ".1%"}
NOISE = gan.Noise("uniform", 50)
ADAM = partial(optim.Adam, lr=0.0005, betas=(0.0, 0.99))


def mlp(inputs: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    layers = [nn.Linear(inputs, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, UNITS), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(UNITS, outputs), *last)


def update(optimizer: optim.Optimizer, loss: tg.Tensor) -> None:
    for parameter, gradient in zip(optimizer.params, tg.grad(loss, optimizer.params), strict=True):
        parameter.grad = gradient
    optimizer.step()


def regression(options: Any, images: data.Split, G: nn.Module, E: nn.Module, streams: Streams) -> None:
    """Train G by Algorithm 1, then E on samples of the finished G."""
    D = mlp(images.images.shape[1], 1)
    game = gan.Algorithm1(
        G, D, noise=NOISE, penalty=gan.R1(options.penalty) if options.penalty else None, streams=streams,
        generator_optimizer=ADAM(G.parameters()), discriminator_optimizer=ADAM(D.parameters()),
    )  # fmt: skip
    for _ in range(options.epochs):
        for x, _ in data.batches(images, BATCH, streams["batches"]):
            game.step(x)
    updates = options.epochs * (len(images) // BATCH)
    adam = optim.Adam(E.parameters(), optim.LinearDecay(0.001, updates))
    for _ in range(updates):
        z = tg.tensor(NOISE.draw(BATCH, streams["noise"]))
        update(adam, F.mse_loss(E(G(z).detach()), z))


def bigan(options: Any, images: data.Split, G: nn.Module, E: nn.Module, streams: Streams) -> None:
    """Train G and E together against a D of pairs."""
    D = mlp(images.images.shape[1] + NOISE.size, 1)
    of_d, of_g_and_e = ADAM(D.parameters()), ADAM([*G.parameters(), *E.parameters()])

    def pairs(x: Any) -> tuple[tg.Tensor, tg.Tensor]:
        z = tg.tensor(NOISE.draw(BATCH, streams["noise"]))
        return F.concatenate([x, E(x)], axis=1), F.concatenate([G(z), z], axis=1)

    for _ in range(2 * options.epochs):  # regression also sees that many minibatches
        for rows, _ in data.batches(images, BATCH, streams["batches"]):
            x = tg.tensor(rows)
            with tg.no_grad():
                real, fake = pairs(x)
            loss = gan.discriminator_loss(D(real), D(fake))
            if options.penalty:
                loss = loss + gan.R1(options.penalty).loss(D, real, fake, streams["penalty"])  # type: ignore[operator]
            update(of_d, loss)
            real, fake = pairs(x)
            update(of_g_and_e, gan.discriminator_loss(D(fake), D(real)))  # the labels are exchanged


def play(options: Any, dataset: data.Dataset, row: str, seed: int) -> dict[str, float]:
    """Train a G and an E by each method, and measure both."""
    methods = METHODS if options.method == "both" else (options.method,)
    train, test, pixels = dataset.train, dataset.test, dataset.test.images.shape[1]
    shuffled = Stream(seed, "shuffled").permutation(len(test))
    found, pictures = {}, [test.images[:SHOWN]]
    for method in methods:
        streams = Streams(seed)
        with streams.active():
            G, E = mlp(NOISE.size, pixels, nn.Sigmoid()), mlp(pixels, NOISE.size)
            found["nearest_neighbour_accuracy_untrained"] = neighbour_accuracy(E, train, test)
            {"regression": regression, "bigan": bigan}[method](options, train, G, E, streams)
        found[f"nearest_neighbour_accuracy_{method}"] = neighbour_accuracy(E, train, test)
        again = gan.push(G, gan.push(E, test.images))
        distances, others = (np.linalg.norm(test.images - images, axis=1) for images in (again, again[shuffled]))
        found[f"reconstruction_ratio_{method}"] = (distances**2).mean() / (others**2).mean()
        found[f"distance_ratio_{method}"] = distances.mean() / others.mean()
        pictures.append(again[:SHOWN])
    if seed == 0:
        tiles = colours_of(np.concatenate(pictures), dataset.image_shape)
        picture = arrange(tiles.reshape(len(pictures), SHOWN, *dataset.image_shape, 3))
        caption = f"Above: test images x. Below: G(E(x)), by {', then by '.join(methods)}"
        save_plate(options.out / "inference.png", [(caption, picture)])
    worst = max(found[f"reconstruction_ratio_{method}"] for method in methods)
    least = min(found[f"nearest_neighbour_accuracy_{method}"] for method in methods)
    return {"reconstruction_ratio": worst, "nearest_neighbour_accuracy": least} | found


def neighbour_accuracy(E: nn.Module, train: data.Split, test: data.Split) -> float:
    nearest, _ = evaluation.nearest(gan.push(E, test.images[:QUERIES]), gan.push(E, train.images))
    return float((train.labels[nearest] == test.labels[:QUERIES]).mean())


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="inference", description="Predict z from x.")
    add_options(parser, ["mnist", "digits"], seeds=3)
    parser.add_argument("--method", choices=["both", *METHODS], default="both")
    parser.add_argument("--penalty", type=float, default=1.0, metavar="W", help="of R1; 0: none (default: 1)")
    parser.add_argument("--epochs", type=positive, default=6, metavar="N", help="passes of G, then of E (default: 6)")

    def run(options: Any) -> None:
        found = measure(options, partial(play, options, data.load(options.dataset, options.data)))
        if not options.json:  # a row for each method
            found = {
                row: [{key: game[f"{key}_{row}"] for key in FORMATS if f"{key}_{row}" in game} for game in found[""]]
                for row in (*METHODS, "untrained")
                if f"nearest_neighbour_accuracy_{row}" in found[""][0]
            }
        show(options, found, FORMATS)

    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
