"""A step of a trace with everything in its place: the lines of text of each node, the sizes, the labels, the boxes."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from tinygan.trace.graph import Box, Edge, Node, Step
from tinygan.trace.layout import Layout, Point, Size, place
from tinygan.trace.record import Leaf, Row, Value
from tinygan.trace.table import NOT_COMPUTED, gradient_of

LINE = 14  # the height of a line of text
GAP, WIDE_GAP = 18, 64  # between two columns, of a long step and of a short one
SHORT = 8  # operations of a short step
BETWEEN = 12  # between two items of a column
LABELS = 28  # above an operation, for the labels of its edges
TITLE = 18  # above them, for the title of a box
SMALL = 6  # between an operation and the parameters under it
WIDEST, MOST_LINES = 14, 3  # characters and lines of a name


class Area(NamedTuple):
    """A rectangle: the corner at the top left, and the size."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: Area) -> bool:
        """Return whether both have a point in common."""
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and self.y < other.y + other.height and other.y < self.y + self.height


@dataclass(eq=False)
class Drawn:
    """A node in its place.

    Attributes
    ----------
    node : Node
    lines : list of (class, text)
    area : Area
    column : int
    """

    node: Node
    lines: list[tuple[str, str]]
    area: Area
    column: int = 0


@dataclass(eq=False)
class Drawing:
    """A step in its place.

    Attributes
    ----------
    step : Step
    layout : Layout
    nodes : dict of Node to Drawn
    boxes : dict of Box to (Area, first column, last column)
    paths : dict of Edge to list of Point
        Without those of parameters, which touch their operation.
    labels : dict of Edge to (x, y)
        The middle of the lower label. The upper one is a line higher.
    width, height : float
    """

    step: Step
    layout: Layout
    nodes: dict[Node, Drawn]
    boxes: dict[Box, tuple[Area, int, int]]
    paths: dict[Edge, list[Point]]
    labels: dict[Edge, tuple[float, float]]

    @property
    def width(self) -> float:
        """From 0 to the right end."""
        return max([area.x + area.width for area, _, _ in self.boxes.values()] + [self.layout.width])

    @property
    def height(self) -> float:
        """From 0 to the lower end."""
        return max([area.y + area.height for area, _, _ in self.boxes.values()] + [self.layout.height])


def draw(step: Step) -> Drawing:
    """Give everything in a step its place."""
    texts = {node: lines_of(node, step) for node in step.nodes}
    under: dict[object, list[Node]] = {}
    for node in step.nodes:
        if node.beside is not None:
            under.setdefault(node.beside, []).append(node)
    sizes: dict[Hashable, Size] = {}
    for node in step.nodes:
        if node.beside is None:
            small = under.get(node.what, [])
            width = max(_room(texts[each]) for each in [node, *small])
            half, depth = _height(texts[node]) / 2, 1 + node.box.depth() if node.box else 0
            below = sum(SMALL + _height(texts[each]) for each in small)
            sizes[node] = Size(width, half + LABELS + TITLE * depth, half + below + 8 * depth)
    _as_high_as_their_box(sizes)
    links = [edge for edge in step.edges if edge.source.beside is None]
    of_pass = {node for node in sizes if isinstance(node, Node) and _of_pass(node, links)}
    gap = WIDE_GAP if len(step.rows) <= SHORT else GAP
    layout = place(sizes, [(edge.source, edge.target) for edge in links], gap, BETWEEN, of_pass)

    nodes: dict[Node, Drawn] = {}
    for node in step.nodes:
        if node.beside is None:
            (x, line), width, column = layout.centres[node], sizes[node].width, layout.columns[node]
            y = line - _height(texts[node]) / 2
            for each in [node, *under.get(node.what, [])]:
                nodes[each] = Drawn(each, texts[each], Area(x - width / 2, y, width, _height(texts[each])), column)
                y += _height(texts[each]) + SMALL
    nodes = {node: nodes[node] for node in step.nodes}  # in the order of time
    paths = dict(zip(links, layout.edges, strict=True))
    labels = _labels(paths, nodes, gap)
    return Drawing(step, layout, nodes, _boxes(step, nodes), paths, labels)


def _as_high_as_their_box(sizes: dict[Hashable, Size]) -> None:
    """Give all items of an outermost box the same extents, so that nothing else is put between them."""
    inside: dict[Box, list[Node]] = {}
    for node in sizes:
        if isinstance(node, Node) and node.box is not None:
            inside.setdefault(node.box.outermost(), []).append(node)
    for nodes in inside.values():
        above, below = max(sizes[node].above for node in nodes), max(sizes[node].below for node in nodes)
        sizes.update({node: Size(sizes[node].width, above, below) for node in nodes})


def _of_pass(node: Node, links: list[Edge]) -> bool:
    """Return whether a node belongs to a recorded pass: an operation of the pass, or what only such operations use."""
    if isinstance(node.what, Row):
        return node.box is not None and node.box.of_pass
    users = [edge.target.box for edge in links if edge.source is node]
    return all(box is not None and box.of_pass for box in users)


# ---------------------------------------------------------------------- text


def lines_of(node: Node, step: Step) -> list[tuple[str, str]]:
    """Return the class and the text of each line of a node: name, value or shape, and gradient."""
    what = node.what
    if isinstance(what, Row):
        lines = [("name", line) for line in wrapped(f"#{what.number} {what.operation.name}")]
        if what not in step.rows:
            return [*lines, ("soft", "of an earlier step")]
        gradient = next((found for one in reversed(step.passes) if (found := what.gradient(one))), None)
        value = "failed" if what.failed else "before the trace" if what.result is None else short(what.result)
        return [*lines, ("value", value), _gradient_line(gradient, gradient_of(what, None))]
    name = what.name
    if node.beside is not None and node.box is not None and "." in name:
        name = name.partition(".")[2]
    lines = [("name", line) for line in wrapped(name)]
    lines.append(("soft", str(what.value.shape)))
    if what.requires_grad:
        numbers = [one.number for one in step.passes if one.finished and one.number in what.gradients]
        lines.append(_gradient_line(what.gradients[numbers[-1]] if numbers else None, NOT_COMPUTED))
    return lines


def _gradient_line(gradient: Value | None, otherwise: str) -> tuple[str, str]:
    return ("grad none", otherwise) if gradient is None else ("grad", named_norm(gradient))


def short(value: Value) -> str:
    """Return the number itself, or the mean and the spread, in few characters.

    Examples
    --------
    >>> import numpy as np
    >>> short(Value(np.array([1.0, 2.0]))), short(Value(np.array(2.0)))
    ('1.5 ± 0.5', '2')
    """
    if value.array.size < 2:
        return str(value)
    return f"{value.mean:.2g} ± {value.spread:.2g}"


def norm(value: Value) -> str:
    """Return the norm of a gradient, or the gradient itself if it is one number."""
    return f"{value.array.item() if value.array.size == 1 else value.norm:.3g}"


def named_norm(value: Value) -> str:
    """Return the norm of a gradient with its symbol.

    Examples
    --------
    >>> import numpy as np
    >>> named_norm(Value(np.array([3.0, 4.0]))), named_norm(Value(np.array(-2.0)))
    ('‖g‖ 5', 'g -2')
    """
    return f"{'g' if value.array.size == 1 else '‖g‖'} {norm(value)}"


def wrapped(name: str, widest: int = WIDEST, most: int = MOST_LINES) -> list[str]:
    """Return a name in lines, broken after an underscore, a point or a space; a rest that is too long gets an ellipsis.

    Examples
    --------
    >>> wrapped("#18 binary_cross_entropy_with_logits")
    ['#18 binary_', 'cross_entropy_', 'with_logits']
    """
    lines = [""]
    for part in re.findall(r"[^_. ]*[_. ]?", name):
        if lines[-1] and len(lines[-1] + part.rstrip()) > widest:
            lines.append("")
        lines[-1] += part
    lines = [line.strip() for line in lines]
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: widest - 1] + "…"]
    return [line if len(line) <= widest else line[: widest - 1] + "…" for line in lines]


_WIDTHS = dict.fromkeys("ijlI|'", 0.3) | dict.fromkeys(" .,:;!frt()[]-/", 0.41) | dict.fromkeys("mwMW#%@±+=", 0.9)


def text_width(line: str, size: float = 11) -> float:
    """Return the width that a line of text needs at most, in a wide typeface without serifs."""
    return size * sum(_WIDTHS.get(c, 0.65 if c.islower() or c.isdigit() else 0.78 if c < "\u2e80" else 1) for c in line)


def _room(lines: list[tuple[str, str]]) -> float:
    widths = [text_width(line, 13.2 if kind == "name" else 11) for kind, line in lines]  # a name is bold
    if lines[-1][0].startswith("grad"):
        widths.append(text_width(NOT_COMPUTED))
    return 8 + max(widths)


def _height(lines: list[tuple[str, str]]) -> float:
    return 10 + LINE * len(lines)


# ---------------------------------------------------------------------- labels and boxes


def _labels(paths: dict[Edge, list[Point]], nodes: dict[Node, Drawn], gap: float) -> dict[Edge, tuple[float, float]]:
    """Put the labels of each edge where they cover no node and no other label."""
    gaps: dict[int, list[Area]] = {}
    for one in nodes.values():
        gaps.setdefault(one.column, []).append(one.area)
    labels: dict[Edge, tuple[float, float]] = {}
    for edge in paths:
        source, target = nodes[edge.source], nodes[edge.target]
        left, right = source.area.x + source.area.width + gap / 2, target.area.x - gap / 2
        what = edge.source.what
        shape = str(what.value.shape if isinstance(what, Leaf) else what.shape)
        width = max(text_width(shape), 44)
        start, end = paths[edge][0], paths[edge][-1]
        above = min(source.area.y, target.area.y) - 4
        choices = [(left, above, source.column)] if end.column == start.column + 1 else []
        choices += [(right, target.area.y - 4, target.column - 1), (left, source.area.y - 4, source.column)]
        choices += [(left, source.area.y + source.area.height + 24, source.column)]
        choices += [(right, target.area.y + target.area.height + 24, target.column - 1)]
        above_target = target.area.x - gap + width / 2
        choices += [(above_target, target.area.y - 4, target.column)]
        choices += [(above_target, target.area.y + target.area.height + 24, target.column)]
        choices += [(right, (paths[edge][-2].y + end.y) / 2, target.column - 1)]
        choices += [(right, end.y + 30 + 8 * i, target.column - 1) for i in range(1, 6)]
        for x, y, column in choices:
            area = Area(x - width / 2, y - 23, width, 24)
            near = gaps.get(column, []) + gaps.get(column + 1, [])
            if not any(area.meets(other) for other in near):
                break
        else:
            x, y, column = choices[0]
            area = Area(x - width / 2, y - 23, width, 24)
        gaps.setdefault(column, []).append(area)
        labels[edge] = x, y
    return labels


def _boxes(step: Step, nodes: dict[Node, Drawn]) -> dict[Box, tuple[Area, int, int]]:
    found: dict[Box, tuple[Area, int, int]] = {}
    for box in sorted(step.boxes, key=Box.depth, reverse=True):
        own = [one for node, one in nodes.items() if node.box is box]
        inside = [(one.area, one.column, one.column, one.node.beside is None) for one in own]
        inside += [(*area, False) for inner, area in found.items() if inner.parent is box]
        left, right = min(area.x for area, *_ in inside) - 6, max(area.x + area.width for area, *_ in inside) + 6
        top = min(area.y - (LABELS if labelled else 0) for area, _, _, labelled in inside) - TITLE
        bottom = max(area.y + area.height for area, *_ in inside) + 7
        first, last = min(one[1] for one in inside), max(one[2] for one in inside)
        found[box] = Area(left, top, right - left, bottom - top), first, last
    return dict(reversed(found.items()))
