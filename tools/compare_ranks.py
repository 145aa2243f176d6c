"""Compare a training on several ranks with that of one process, in double precision.

Usage, in a copy of the repository: mpiexec -n N python -m tools.compare_ranks [EXPERIMENT ...] [--steps N]

Each shipped experiment is trained for 100 steps, with narrow layers, and on random numbers where it needs files: by one
process, by N ranks, and once more by one process, some of whose weights begin with another last bit. The table has the
largest difference of any weight from the first of the three, relative to the largest weight of its array. The last
column shows how far the game itself carries a rounding error. The exit status is 1 if the ranks differ by more than
1e-12, and by more than ten times the last column.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from tests.doubles.small import NAMES, small, stand_in
from tinygan.experiments.training import Training
from tinygan.parallel.training import ParallelTraining
from tinygan.parallel.world import World


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


def compared(name: str, steps: int, world: World) -> tuple[float, float] | None:
    """Return both differences for an experiment, on rank 0."""
    config = small(name)
    dataset = stand_in(config.data.set)
    ranks = weights(advance(in_double_precision(ParallelTraining(config, dataset, world=world)), steps))
    found = None
    if world.rank == 0:
        one, other = (in_double_precision(Training(config, dataset)) for _ in range(2))
        alone = weights(advance(one, steps))
        found = difference(ranks, alone), difference(weights(advance(disturbed(other), steps)), alone)
    done = world.comm.Ibarrier()
    while not done.Test():
        time.sleep(0.01)  # MPI itself would use a whole core to wait
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=NAMES, metavar="EXPERIMENT")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    from mpi4py import MPI  # imported here, so that tests may use the functions above without it

    world, failed = World(MPI.COMM_WORLD), False
    if world.rank == 0:
        print(f"{'experiment':20} {'ranks':>5} {'difference':>11} {'last bit':>9}", flush=True)
    for name in arguments.experiments:
        found = compared(name, arguments.steps, world)
        if found is not None:
            print(f"{name:20} {world.size:5} {found[0]:11.1e} {found[1]:9.1e}", flush=True)
            failed |= found[0] > max(1e-12, 10 * found[1])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
