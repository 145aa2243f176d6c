"""Positions for a directed graph that is read from left to right.

Three steps, after Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of hierarchical system
structures":

1. Each item gets a column, so that every edge goes to the right (the longest path from the left).
2. Within a column the items are ordered by the median of their neighbours, so that few edges cross. An edge that passes
   columns has a bend in each of them, which takes part in the ordering: it runs between the items and not over them.
3. Each item gets a height near the mean of its neighbours, in this order and without overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

SWEEPS = 8
MOST_BENDS = 4000  # beyond it, long edges are straight


class Size(NamedTuple):
    """What an item needs: its width, and its extent above and below the line on which its edges end."""

    width: float
    above: float
    below: float


class Point(NamedTuple):
    """A point of an edge, and the column that it is in."""

    x: float
    y: float
    column: int


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes
    ----------
    columns : dict
        From an item to its column, from 0.
    centres : dict
        From an item to the centre of its width and the height of its line.
    edges : list
        The points of each edge, from the right side of one item to the left side of the other.
    lefts, widths : list of float
        Of the columns.
    width, height : float
    """

    columns: dict[Hashable, int]
    centres: dict[Hashable, tuple[float, float]]
    edges: list[list[Point]]
    lefts: list[float]
    widths: list[float]
    width: float
    height: float


def place(
    sizes: Mapping[Hashable, Size],
    edges: Sequence[tuple[Hashable, Hashable]],
    gap: float = 20,
    between: float = 16,
    below: Collection[Hashable] = (),
) -> Layout:
    """Return positions for items and edges.

    Parameters
    ----------
    sizes : mapping
        From an item to its `Size`. The order is the order of time: an edge goes from an earlier item to a later one.
    edges : sequence of (item, item)
        From the left to the right.
    gap : float
        Between two columns.
    between : float
        Between two items of a column.
    below : collection of items, optional
        Items that are placed below all others.

    Returns
    -------
    Layout

    Examples
    --------
    >>> found = place({"a": Size(10, 5, 5), "b": Size(10, 5, 5)}, [("a", "b")])
    >>> found.columns, found.centres
    ({'a': 0, 'b': 1}, {'a': (5.0, 5.0), 'b': (35.0, 5.0)})
    """
    columns = columns_of(list(sizes), edges)
    count = max(columns.values(), default=-1) + 1
    lists: list[list[Hashable]] = [[] for _ in range(count)]
    for item in sizes:
        lists[columns[item]].append(item)
    chains = _with_bends(columns, edges, lists)
    low = set(below)
    low |= {bend for chain in chains if chain[0] in below or chain[-1] in below for bend in chain[1:-1]}
    neighbours = _neighbours(chains, count, columns)
    order = _ordered(lists, neighbours, low)
    lines = _lines(order, neighbours, sizes, between)
    floor = max((lines[item] + sizes[item].below for item in sizes if item not in below), default=-between)
    roof = min((lines[item] - sizes[item].above for item in below), default=0.0)
    lines.update({item: lines[item] + floor + between - roof for item in low})

    widths = [max((sizes[item].width for item in column if item in sizes), default=0.0) for column in order]
    lefts = [0.0] * count
    for column in range(1, count):
        lefts[column] = lefts[column - 1] + widths[column - 1] + gap
    centres = {item: (lefts[columns[item]] + widths[columns[item]] / 2, lines[item]) for item in sizes}
    paths = [_path(chain, sizes, columns, centres, lines, lefts, widths) for chain in chains]
    bottom = max((lines[item] + sizes[item].below for item in sizes), default=0.0)
    right = lefts[-1] + widths[-1] if count else 0.0
    return Layout(columns, centres, paths, lefts, widths, right, bottom)


def columns_of(items: Sequence[Hashable], edges: Sequence[tuple[Hashable, Hashable]]) -> dict[Hashable, int]:
    """Return the column of each item: the length of the longest path to it; items without a past move to the right.

    Examples
    --------
    >>> columns_of(["x", "y", "late", "z"], [("x", "y"), ("y", "z"), ("late", "z")])
    {'x': 0, 'y': 1, 'late': 1, 'z': 2}
    """
    before: dict[Hashable, list[Hashable]] = {item: [] for item in items}
    after: dict[Hashable, list[Hashable]] = {item: [] for item in items}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    columns: dict[Hashable, int] = {}
    for item in items:  # in the order of time
        columns[item] = 1 + max((columns[source] for source in before[item]), default=-1)
    for item in items:
        if not before[item] and after[item]:
            columns[item] = min(columns[target] for target in after[item]) - 1
    return columns


def crossings(left: Sequence[Hashable], right: Sequence[Hashable], pairs: Sequence[tuple[Hashable, Hashable]]) -> int:
    """Return how many edges between two columns cross.

    Examples
    --------
    >>> crossings(["a", "b"], ["c", "d"], [("a", "d"), ("b", "c")])
    1
    """
    at_left, at_right = ({item: i for i, item in enumerate(column)} for column in (left, right))
    ends = sorted((at_left[a], at_right[b]) for a, b in pairs)
    return sum(ends[j][1] < ends[i][1] for i in range(len(ends)) for j in range(i + 1, len(ends)))


_FLAT = Size(0, 4, 4)  # of a bend


class _Bend(NamedTuple):
    edge: int
    column: int


def _with_bends(
    columns: dict[Hashable, int], edges: Sequence[tuple[Hashable, Hashable]], lists: list[list[Hashable]]
) -> list[list[Hashable]]:
    """Return each edge as a chain of items and bends; put the bends into their columns."""
    bends = sum(columns[target] - columns[source] - 1 for source, target in edges) <= MOST_BENDS
    chains: list[list[Hashable]] = []
    for number, (source, target) in enumerate(edges):
        chain: list[Hashable] = [source]
        for column in range(columns[source] + 1, columns[target]) if bends else ():
            bend = _Bend(number, column)
            columns[bend] = column
            lists[column].append(bend)
            chain.append(bend)
        chains.append([*chain, target])
    return chains


_Neighbours = list[list[tuple[Hashable, Hashable]]]  # for each column, its pairs with the next column


def _neighbours(chains: list[list[Hashable]], count: int, columns: dict[Hashable, int]) -> _Neighbours:
    pairs: _Neighbours = [[] for _ in range(count)]
    for chain in chains:
        for a, b in pairwise(chain):
            if columns[b] == columns[a] + 1:
                pairs[columns[a]].append((a, b))
    return pairs


def _ordered(lists: list[list[Hashable]], pairs: _Neighbours, below: Collection[Hashable]) -> list[list[Hashable]]:
    """Sweep to and fro; each column is sorted by the medians of its neighbours. Return the best order seen."""
    order = [sorted(column, key=lambda item: item in below) for column in lists]
    best, fewest = order, _all_crossings(order, pairs)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        order = [list(column) for column in order]
        to_right = sweep % 2 == 0
        for column in range(1, len(order)) if to_right else range(len(order) - 2, -1, -1):
            other = column - 1 if to_right else column + 1
            position = {item: i for i, item in enumerate(order[other])}
            seen: dict[Hashable, list[int]] = {item: [] for item in order[column]}
            for a, b in pairs[min(column, other)]:
                near, far = (b, a) if to_right else (a, b)
                seen[near].append(position[far])
            own = {item: i for i, item in enumerate(order[column])}
            median = {item: sorted(at)[(len(at) - 1) // 2] if at else own[item] for item, at in seen.items()}
            order[column].sort(key=lambda item: (item in below, median[item], own[item]))
        found = _all_crossings(order, pairs)
        if found < fewest:
            best, fewest = order, found
    return best


def _all_crossings(order: list[list[Hashable]], pairs: _Neighbours) -> int:
    return sum(crossings(order[i], order[i + 1], pairs[i]) for i in range(len(order) - 1))


def _lines(
    order: list[list[Hashable]], pairs: _Neighbours, sizes: Mapping[Hashable, Size], between: float
) -> dict[Hashable, float]:
    """Return the height of the line of each item and bend; the highest item begins at 0."""
    steps = []
    for column in order:
        step = [0.0]
        for upper, lower in pairwise(column):
            step.append(step[-1] + sizes.get(upper, _FLAT).below + between + sizes.get(lower, _FLAT).above)
        steps.append(step)
    lines = {item: at for column, step in zip(order, steps, strict=True) for item, at in zip(column, step, strict=True)}
    left: dict[Hashable, list[Hashable]] = {item: [] for item in lines}
    right: dict[Hashable, list[Hashable]] = {item: [] for item in lines}
    for pair in pairs:
        for a, b in pair:
            right[a].append(b)
            left[b].append(a)
    for sweep in range(SWEEPS + 1):  # the last one goes to the right, and makes chains straight
        to_right = sweep % 2 == 0
        near = left if to_right else right
        for i in range(len(order)) if to_right else range(len(order) - 1, -1, -1):
            wanted = []
            for item, offset in zip(order[i], steps[i], strict=True):
                beside = near[item]
                wanted.append((sum(lines[other] for other in beside) / len(beside) if beside else lines[item]) - offset)
            for item, offset, base in zip(order[i], steps[i], rising(wanted), strict=True):
                lines[item] = base + offset
    top = min((lines[item] - sizes.get(item, _FLAT).above for item in lines), default=0.0)
    return {item: line - top for item, line in lines.items()}


def rising(wanted: Sequence[float]) -> list[float]:
    """Return the sequence that never falls and is nearest to the wanted one, in the sum of squares.

    Neighbours that are in the wrong order are pooled at their mean (Ayer et al., 1955).

    Examples
    --------
    >>> rising([1, 3, 2, 4])
    [1.0, 2.5, 2.5, 4.0]
    """
    pools: list[tuple[float, int]] = []  # the mean and the count
    for value in wanted:
        mean, count = float(value), 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]


def _path(
    chain: list[Hashable],
    sizes: Mapping[Hashable, Size],
    columns: dict[Hashable, int],
    centres: dict[Hashable, tuple[float, float]],
    lines: dict[Hashable, float],
    lefts: list[float],
    widths: list[float],
) -> list[Point]:
    source, *bends, target = chain
    (x, y), column = centres[source], columns[source]
    points = [Point(x + sizes[source].width / 2, y, column)]
    for bend in bends:
        column = columns[bend]
        left, right = lefts[column], lefts[column] + widths[column]
        points += [Point(left, lines[bend], column), Point(right, lines[bend], column)]
    (x, y), column = centres[target], columns[target]
    return [*points, Point(x - sizes[target].width / 2, y, column)]
