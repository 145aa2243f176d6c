"""PacGAN's own setting (Lin et al., 2018): a grid of 25 Gaussians, and D that judges one sample or four at once.

Usage: python examples/pacgan.py [--packed M] [--seed S] [--iterations N] [--every N]

The networks, optimisers and sizes are those of the released code: both players move at once, by Adam with 1e-4 and
beta1 = .8, with 100 packs a minibatch; G has four layers of 400 units with batch normalization, D three of 200 maxout
units. 400 epochs of 100,000 packs are 400,000 iterations, which take hours. The paper reports, over ten runs, 17.3 +-
.8 modes for one sample a pack, and 24.8 +- .2 for four.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tinygan import evaluation, gan, nn, optim
from tinygan.backend import Stream, Streams, blas_threads
from tinygan.data import toys

PACKS, UNITS, WIDTH = 100, 400, 200


def start(m: int, seed: int) -> gan.Algorithm1:
    """Build the game."""
    streams = Streams(seed)
    with streams.active():
        hidden: list[nn.Module] = []
        for inputs in (2, UNITS, UNITS, UNITS):
            hidden += [nn.Linear(inputs, UNITS, bias=False), nn.BatchNorm(UNITS), nn.ReLU()]
        generator = nn.Sequential(*hidden, nn.Linear(UNITS, 2))
        maxout = [nn.Maxout(inputs, WIDTH, 5) for inputs in (2 * m, WIDTH, WIDTH)]
        discriminator = gan.Packed(nn.Sequential(*maxout, nn.Linear(WIDTH, 1)), m)
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        if parameter.ndim == 2:
            parameter.data = np.float32(0.02) * streams["weights"].normal(parameter.shape)
    adam = [optim.Adam(net.parameters(), 1e-4, betas=(0.8, 0.999)) for net in (generator, discriminator)]
    return gan.Algorithm1(
        generator,
        discriminator,
        noise=gan.Noise("gaussian", 2),
        schedule="simultaneous",
        shared_noise=True,
        generator_optimizer=adam[0],
        discriminator_optimizer=adam[1],
        streams=streams,
    )


def main(arguments: list[str] | None = None) -> None:
    """Play the game, and print the modes found now and then."""
    parser = argparse.ArgumentParser(description="PacGAN's grid of 25 Gaussians.")
    parser.add_argument("--packed", type=int, default=1, metavar="M")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=400_000)
    parser.add_argument("--every", type=int, default=2000)
    options = parser.parse_args(arguments)
    toy, game = toys.grid(), start(options.packed, options.seed)
    begin = time.perf_counter()
    with blas_threads(1):
        for i in range(1, options.iterations + 1):
            game.step(toy.sample(PACKS * options.packed, game.streams["data"]))
            if i % options.every == 0 or i == options.iterations:
                stream = Stream(options.seed, "measure")
                samples = gan.sample(game.generator, evaluation.PACGAN_SAMPLES, game.noise, stream)
                found = evaluation.count_modes(samples, toy.modes, toy.std)
                print(f"{i:7,} iterations: {found}, {1000 * (time.perf_counter() - begin) / i:.1f} ms each", flush=True)


if __name__ == "__main__":
    main()
