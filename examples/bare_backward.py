"""The backward pass, and nothing else: the algorithm of `tinygan.engine.chain_rule` without its refinements.

Usage: python examples/bare_backward.py

A forward pass leaves a graph: each result points to its operation, and each operation to what its inputs came from
(``operation.edges``). `gradients` walks that graph from the result to the leaves. Each operation receives gy, the
gradient of the final number with respect to its own result. Its rule turns gy into the gradients with respect to its
inputs.

The algorithm has two ideas:

- The gradient with respect to a value that is used several times is the sum of what its uses send.
- A rule runs when this sum is complete. So the operations are listed such that each comes after its inputs, and the
  list is walked from its end.

The real pass adds refinements. It is not recursive, frees what was saved as it goes, writes into no array that others
hold, casts dtypes, and refuses values that have been changed. It can be recorded, which gives gradients of gradients.

The script prints the example of micrograd (Karpathy, 2020): the value, then its derivatives with respect to a and b.
"""

from __future__ import annotations

from typing import Any

import tinygan as tg
import tinygan.functional as F


def gradients(output: tg.Tensor) -> dict[Any, Any]:
    """Return the gradient of one number with respect to each leaf that it depends on, as arrays by leaf."""
    sums = {output.edge: output.backend.xp.ones_like(output.data)}
    for operation in reversed(in_order(output.edge)):
        gy = sums.pop(operation)
        sent = operation.backward(operation.backend, gy, *operation.saved)
        sent = sent if isinstance(sent, tuple) else (sent,)
        for edge, gradient in zip(operation.edges, sent, strict=True):
            if edge is None or gradient is None:  # a constant
                continue
            gradient = operation.backend.unbroadcast(gradient, edge.shape)  # y = x + b may have repeated b
            sums[edge] = sums[edge] + gradient if edge in sums else gradient
    return sums  # of the operations nothing is left


def in_order(root: Any) -> list[tg.Operation]:
    """Return the operations below `root`, each after its inputs."""
    order: list[tg.Operation] = []

    def visit(edge: Any) -> None:
        if isinstance(edge, tg.Operation) and edge not in order:
            for below in edge.edges:
                visit(below)
            order.append(edge)

    visit(root)
    return order


def micrograd() -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    """Return a, b and the number g that the README of micrograd computes from them."""
    a = tg.tensor(-4.0, requires_grad=True)
    b = tg.tensor(2.0, requires_grad=True)
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + F.relu(b + a)
    d = d + 3 * d + F.relu(b - a)
    e = c - d
    f = e**2
    return a, b, f / 2.0 + 10.0 / f


def main() -> None:
    """Print the value and the two derivatives."""
    a, b, g = micrograd()
    slopes = gradients(g)
    print(f"{g.item():.4f}, {slopes[a].item():.4f}, {slopes[b].item():.4f}")


if __name__ == "__main__":
    main()
