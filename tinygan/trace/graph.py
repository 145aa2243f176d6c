"""What the graph of a trace shows: its steps, and in each step the nodes, the edges and the boxes of modules.

A step ends where parameters were updated: a step of D, then a step of G. `tinygan.trace.drawing` gives everything a
place, and `tinygan.trace.svg` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinygan.backend import get_backend
from tinygan.trace.record import Leaf, Pass, Row, Rule, Update, Value

if TYPE_CHECKING:
    from tinygan.trace.recorder import Recorder

MOST_USERS = 4  # a tensor with more users is drawn again beside each of them


@dataclass(eq=False)
class Box:
    """A module, or the operations of a recorded backward pass.

    Attributes
    ----------
    key : str
        Unique in the trace.
    title : str
    parent : Box or None
    rows : list of Row
    of_pass : bool
    """

    key: str
    title: str
    parent: Box | None
    rows: list[Row]
    of_pass: bool = False

    @property
    def recorded(self) -> bool:
        """Whether a gradient can pass one of its operations."""
        return any(row.recorded or row.failed for row in self.rows)

    def outermost(self) -> Box:
        """Return the box around it that is in no other."""
        return self.parent.outermost() if self.parent else self

    def depth(self) -> int:
        """Return how many boxes it is in."""
        return 1 + self.parent.depth() if self.parent else 0


@dataclass(eq=False)
class Node:
    """An operation, or a tensor that no recorded operation computed.

    Attributes
    ----------
    key : str
        Unique in the trace.
    what : Row or Leaf
    beside : Row or None
        Of a small node: the operation under which it is drawn.
    box : Box or None
        The innermost box.
    """

    key: str
    what: Row | Leaf
    beside: Row | None = None
    box: Box | None = None


@dataclass(eq=False)
class Edge:
    """A value that enters an operation.

    Attributes
    ----------
    source, target : Node
    position : int
        Of the input.
    saved : bool
        Whether a rule read it from memory, as a constant.
    """

    source: Node
    target: Node
    position: int
    saved: bool = False

    def norms(self) -> dict[int, Value]:
        """Return the gradient that came back along this edge, by the number of the pass."""
        assert isinstance(self.target.what, Row)
        found = {}
        for rule in self.target.what.rules:
            gradient = sent(self.target.what, rule, self.position)
            if gradient is not None:
                found[rule.backward_pass.number] = gradient
        return found


@dataclass(eq=False)
class Step:
    """The rows, passes and updates up to an update.

    Attributes
    ----------
    number : int
        From 1.
    rows, passes, updates : list
    nodes, edges, boxes : list
    """

    number: int
    rows: list[Row]
    passes: list[Pass]
    updates: list[Update]
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    @property
    def moved(self) -> dict[Leaf, tuple[Value, Value]]:
        """From each parameter that changed to its value before and after."""
        found: dict[Leaf, tuple[Value, Value]] = {}
        for update in self.updates:
            for leaf, (before, after) in update.moved.items():
                found[leaf] = found[leaf][0] if leaf in found else before, after
        return found

    @property
    def still(self) -> list[Leaf]:
        """The parameters that kept every bit."""
        every = {leaf: None for update in self.updates for leaf in update.still}
        return [leaf for leaf in every if leaf not in self.moved]

    def title(self) -> str:
        """Return which modules the update moved."""
        movers = _roots(self.moved)
        if not movers:
            return f"Part {self.number}: no parameter changes" if self.number > 1 else "Forward and backward"
        return f"Step {self.number}: {' and '.join(movers)} {'moves' if len(movers) == 1 else 'move'}"


def sent(row: Row, rule: Rule, position: int) -> Value | None:
    """Return the gradient that a rule sent to an input, in the shape of the input; None if it was not needed."""
    gradient = rule.gradients[position] if rule.gradients and row.needs[position] else None
    if gradient is None or gradient.shape == row.operands[position].shape:
        return gradient
    return Value(get_backend("cpu").unbroadcast(gradient.array, row.operands[position].shape))


def steps(trace: Recorder) -> list[Step]:
    """Return the steps of a trace, each with its graph."""
    found: list[Step] = []
    row, one = 0, 0
    for update in [*trace.updates, None]:
        last_row, last_pass = (update.after_row, update.after_pass) if update else (len(trace.rows), len(trace.passes))
        rows, passes = trace.rows[row:last_row], trace.passes[one:last_pass]
        row, one = last_row, last_pass
        known = set(rows)
        if found and (not (rows or passes) or any(set(each.rows) - known for each in passes)):
            found[-1].rows += rows  # of one step, such as two passes through one graph
            found[-1].passes += passes
            found[-1].updates += [update] if update else []
        elif rows or passes or update:
            found.append(Step(len(found) + 1, rows, passes, [update] if update else []))
    for step in found:
        _draw(step)
    return found


def _roots(leaves: Iterable[Leaf]) -> list[str]:
    return list({leaf.name.split(".")[0]: None for leaf in leaves})


def _draw(step: Step) -> None:
    innermost = _boxes(step)
    nodes: dict[object, Node] = {}
    users = _users(step.rows)
    for row in step.rows:
        node = Node(f"r{row.number}", row, None, innermost.get(row))
        for position, operand in enumerate(row.operands):
            source = operand.source or operand.saved_by
            if source is None:
                continue
            under = isinstance(source, Leaf) and (source.parameter or len(users[source]) > MOST_USERS)
            key = (source, row) if under else source
            if key not in nodes:
                beside = row if under else None
                inside = node.box if under else None
                nodes[key] = Node(f"s{step.number}n{len(nodes)}", source, beside, inside)
                step.nodes.append(nodes[key])
            step.edges.append(Edge(nodes[key], node, position, operand.saved_by is not None))
        nodes[row] = node
        step.nodes.append(node)


def _users(rows: list[Row]) -> dict[object, list[Row]]:
    users: dict[object, list[Row]] = {}
    for row in rows:
        for source in {operand.source: None for operand in row.operands}:
            users.setdefault(source, []).append(row)
    return users


def _boxes(step: Step) -> dict[Row, Box]:
    """Make the boxes of a step; return the innermost box of each row."""
    found: dict[tuple[str, ...], Box] = {}
    for row, path in _paths(step.rows).items():
        for depth in range(1, len(path)):
            found.setdefault(path[: depth + 1], Box("", path[depth], None, [])).rows.append(row)
    innermost: dict[Row, Box] = {}
    for path, box in found.items():
        around = [found[path[:end]] for end in range(len(path) - 1, 1, -1)]
        parent = next((outer for outer in around if outer.key), None)
        if parent is not None and (len(box.rows) == 1 or len(box.rows) == len(parent.rows)):
            continue  # it would be a box around one operation, or around a box
        box.key, box.parent = f"s{step.number}b{len(step.boxes)}", parent
        box.of_pass = box.rows[0].inside is not None
        step.boxes.append(box)
        innermost.update(dict.fromkeys(box.rows, box))
    return innermost


def _paths(rows: list[Row]) -> dict[Row, tuple[str, ...]]:
    """Return the modules around each row, from the outermost to the innermost, after the number of the call."""
    paths: dict[Row, tuple[str, ...]] = {}
    runs: list[list[Row]] = []
    for row in rows:
        if row.inside is not None:
            paths[row] = (f"pass {row.inside.number}", f"recorded backward pass {row.inside.number}")
        elif row.layer:
            last = runs[-1][-1] if runs else None
            if last is None or last.number != row.number - 1 or _root(last) != _root(row):
                runs.append([])
            runs[-1].append(row)
    for number, run in enumerate(runs):
        for row, first in _connected(run).items():
            names = row.layer.split(".")
            paths[row] = (f"{number}-{first.number}", *[".".join(names[: end + 1]) for end in range(len(names))])
    return paths


def _root(row: Row) -> str:
    return row.layer.split(".")[0]


def _connected(run: list[Row]) -> dict[Row, Row]:
    """Return for each row the first row of its part: two calls of a module have no row in common."""
    first = {row: row for row in run}

    def root(row: Row) -> Row:
        while first[row] is not row:
            first[row] = row = first[first[row]]
        return row

    for row in run:
        for source in [operand.source for operand in row.operands]:
            if isinstance(source, Row) and source in first:
                old, new = sorted((root(row), root(source)), key=lambda each: -each.number)
                first[old] = new
    return {row: root(row) for row in run}
