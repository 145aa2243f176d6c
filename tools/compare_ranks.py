"""Compare a training on several ranks with that of one process, in double precision.

Usage: mpiexec -n N python tools/compare_ranks.py [EXPERIMENT ...] [--steps N] [--ranks N]

Each shipped experiment is trained for 100 steps, with small layers and images of random numbers where it is large: by
one process, by N ranks, and once more by one process, whose weights begin with another last bit, at random. A number of
the table is the largest difference from the first of the three, of any weight, relative to the largest weight of its
array. The last column shows how far rounding alone is carried: there, no implementation can be nearer. The exit status
is 1 if the ranks differ by more than 1e-12 and by more than ten times the last column.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.config.experiment import ExperimentConfig, load_experiment, shipped_experiments
from tinygan.data.dataset import Dataset, Split
from tinygan.experiments.training import Training
from tinygan.parallel.training import ParallelTraining
from tinygan.parallel.world import World

SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3), "tfd": (48, 48)}
UNITS = {  # instead of thousands
    "mnist": ["generator.layers.0.units=200", "generator.layers.2.units=200"],
    "tfd": ["generator.layers.0.units=100", "generator.layers.2.units=100"],
    "cifar10-fc": ["generator.layers.0.units=100", "generator.layers.2.units=100"],
    "tfd-finetune": [f"generator.layers.{layer}.units=100" for layer in (0, 4, 6)],
    "cifar10-conv": [
        "training.batch=4",
        "generator.layers.0.units=20",
        *[f"discriminator.layers.{layer}.units={units}" for layer, units in ((2, 4), (5, 4), (8, 8), (12, 20))],
    ],
    "dcgan-mnist": ["training.batch=4"],
    "dcgan-cifar10": [
        "training.batch=4",
        "generator.layers.0.units=512",  # 4x4 maps of 32
        "generator.layers.4.channels=16",
        "generator.layers.7.channels=8",
        *[f"discriminator.layers.{layer}.channels={channels}" for layer, channels in ((1, 8), (3, 16), (6, 32))],
    ],
}
UNITS["mnist-averaged"] = UNITS["mnist-algorithm1"] = UNITS["mnist"]
for name in ("tfd", "tfd-finetune", "cifar10-fc"):
    UNITS[name] += ["discriminator.layers.1.units=50", "discriminator.layers.3.units=50"]


def in_double_precision(training: Training) -> Training:
    """Convert the weights of a training that has made no step; data and noise are converted in each step."""
    for network in training.players.values():
        for _, tensor in network._named_tensors(""):
            if tensor.dtype == np.float32:
                tensor.data = tensor.data.astype(np.float64)
    training.restart_average()
    return training


def disturbed(training: Training) -> Training:
    """Change the last bit of two weights of three."""
    random = np.random.default_rng(0)
    for network in training.players.values():
        for parameter in network.parameters():
            parameter.data *= 1 + np.finfo(np.float64).eps * random.integers(-1, 2, parameter.shape)
    return training


def advance(training: Training, steps: int) -> Training:
    """Train to a number of steps."""
    while training.steps < steps:
        if training.epoch_is_over:
            training.next_epoch()
        training.step()
    return training


def weights(training: Training) -> dict[str, Any]:
    """Return the parameters and buffers of both players, by name."""
    return {
        f"{player}.{name}": array
        for player, network in training.players.items()
        for name, array in network.state_dict().items()
    }


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference of two sets of arrays, relative to the largest number of each array."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[n] - other[n]).max() / max(np.abs(other[n]).max(), 1e-3)) for n in one)


def dataset_of(config: ExperimentConfig, images: int = 640) -> Dataset:
    """Return the data set of an experiment; random numbers in place of the images of a file."""
    if not config.data.needs_files:
        return config.data.load(None)
    shape, random, low = SHAPES[config.data.set], np.random.default_rng(0), -1 if config.data.range else 0
    labels = (np.arange(images) % 10).astype(np.uint8)
    split = Split(random.uniform(low, 1, (images, int(np.prod(shape)))).astype(np.float32), labels)
    return Dataset(config.data.set, shape, split, split, split)


def compared(name: str, steps: int, world: World) -> tuple[float, float] | None:
    """Return both differences for an experiment, on rank 0."""
    config = load_experiment(name, UNITS.get(name, []))
    dataset = dataset_of(config)
    make: list[Callable[[], Training]] = [lambda: ParallelTraining(config, dataset, world=world)]
    if world.rank == 0:
        make += [lambda: Training(config, dataset), lambda: disturbed(in_double_precision(Training(config, dataset)))]
    ranks, *alone = [weights(advance(in_double_precision(training()), steps)) for training in make]
    return (difference(ranks, alone[0]), difference(alone[1], alone[0])) if alone else None


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    names = arguments.experiments or [config.name for config in shipped_experiments()]
    from mpi4py import MPI  # imported here, so that tests may use the functions above without it

    world, failed = World(MPI.COMM_WORLD), False
    if world.rank == 0:
        print(f"{'experiment':20} {'ranks':>5} {'difference':>11} {'last bit':>9}", flush=True)
    for name in names:
        found = compared(name, arguments.steps, world)
        if found is not None:
            print(f"{name:20} {world.size:5} {found[0]:11.1e} {found[1]:9.1e}", flush=True)
            failed |= found[0] > max(1e-12, 10 * found[1])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
