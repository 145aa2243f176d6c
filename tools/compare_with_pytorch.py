"""Compare tinygan with PyTorch on random programs: values, gradients, and gradients of gradients.

Needs PyTorch, which tinygan does not: ``pip install torch``, in an environment of its own. Each program is a random
graph over leaves of random shapes in float64: every operation of ``pytorch_operations.py`` may take any earlier result,
so results are reused, broadcast, sliced and dropped. The program prints the largest relative error of each order and
the least used operations, and exits with 1 if an error exceeds the tolerance.

usage: python tools/compare_with_pytorch.py [--programs 1000] [--seed 0] [--tolerance 1e-9]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

import numpy as np
import torch
from pytorch_operations import OPERATIONS, Pair

import tinygan as tg
import tinygan.functional as F

LARGEST = 40  # elements of an intermediate result


def random_program(rng: np.random.Generator) -> tuple[list[Pair], Pair, list[str]]:
    """Return the leaves, the scalar result, and the names of the operations of one program."""
    leaves: list[Pair] = []
    for _ in range(rng.integers(1, 4)):
        shape = tuple(int(n) for n in rng.integers(1, 4, size=rng.integers(0, 4)))
        values = rng.normal(size=shape)
        leaves.append((tg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)))
    results, names = list(leaves), []
    for _ in range(rng.integers(3, 15)):
        name = str(rng.choice(list(OPERATIONS)))
        x, y = (results[int(i)] for i in rng.integers(len(results), size=2))
        result = OPERATIONS[name](rng, x, y)
        if result[0].size > LARGEST:
            result = result[0].mean(axis=0), result[1].mean(0)
        if np.abs(result[0].numpy()).max(initial=0) > 1e3:  # products of products: keep the numbers small
            result = F.tanh(result[0]), torch.tanh(result[1])
        results.append(result)
        names.append(name)
    last = results[-1]
    return leaves, ((last[0] * last[0]).mean() + last[0].sum(), (last[1] * last[1]).mean() + last[1].sum()), names


def relative_error(ours: Any, theirs: Any) -> float:
    """Return the largest |a - b| / max(1, largest |b|)."""
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    return float(np.abs(a - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0)))


def compare(rng: np.random.Generator) -> tuple[list[float], list[str]]:
    """Run one program both ways; return the errors of value, gradient and second-order gradient."""
    leaves, (ours, theirs), names = random_program(rng)
    errors = [relative_error(ours, theirs), 0.0, 0.0]
    if not theirs.requires_grad:
        return errors, names
    mine = tg.grad(ours, [a for a, _ in leaves], create_graph=True, allow_unused=True)
    other = torch.autograd.grad(theirs, [b for _, b in leaves], create_graph=True, allow_unused=True)
    our_sum, their_sum = tg.tensor(0.0, dtype="float64"), torch.tensor(0.0, dtype=torch.float64)
    for a, b in zip(mine, other, strict=True):
        assert (a is None) == (b is None), names
        if a is not None:
            errors[1] = max(errors[1], relative_error(a, b))
            direction = rng.normal(size=a.shape)
            our_sum = our_sum + (a * direction).sum()
            their_sum = their_sum + (b * torch.tensor(direction)).sum()
    if our_sum.requires_grad and their_sum.requires_grad:
        mine = tg.grad(our_sum, [a for a, _ in leaves], allow_unused=True)
        other = torch.autograd.grad(their_sum, [b for _, b in leaves], allow_unused=True)
        for a, b in zip(mine, other, strict=True):
            if a is not None or b is not None:  # one may return 0 where the other returns None
                a = tg.tensor(np.zeros(b.shape)) if a is None else a
                b = torch.zeros(a.shape) if b is None else b
                errors[2] = max(errors[2], relative_error(a, b))
    return errors, names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    arguments = parser.parse_args()
    worst, counts = np.zeros(3), Counter[str]()
    for number in range(arguments.programs):
        errors, names = compare(np.random.default_rng([arguments.seed, number]))
        counts.update(names)
        if max(errors) > arguments.tolerance:
            print(f"program {number}: errors {errors} in {names}")
        worst = np.maximum(worst, errors)
    print(f"{arguments.programs} programs, {sum(counts.values())} operations, PyTorch {torch.__version__}")
    print(f"least used: {counts.most_common()[-1]}; never used: {sorted(set(OPERATIONS) - set(counts)) or 'none'}")
    for order, error in zip(("values", "gradients", "gradients of gradients"), worst, strict=True):
        print(f"{order:24} worst relative error {error:.1e}")
    return int(worst.max() > arguments.tolerance)


if __name__ == "__main__":
    sys.exit(main())
