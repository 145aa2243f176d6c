"""The graph of a trace as SVG. The page has the same drawing, and its script folds and colours what stands here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tinygan.trace.drawing import LINE, Area, Drawing, Drawn, draw, norm, text_width, wrapped
from tinygan.trace.graph import Box, Edge, steps
from tinygan.trace.record import Leaf, Row

if TYPE_CHECKING:
    from tinygan.trace.recorder import Recorder

MARGIN = 14
STYLE = """
.tgt{color:inherit;font-family:system-ui,sans-serif}
.tgt text{fill:currentColor;font-size:11px}
.tgt .name{font-weight:600;font-size:12px}
.tgt .title{font-size:12px;opacity:.75}
.tgt .head{font-weight:600;font-size:15px}
.tgt .soft{opacity:.7}
.tgt .grad,.tgt .norm{fill:#c2570c}
.tgt .none{fill:currentColor;font-style:italic;opacity:.7}
.tgt .edge path{fill:none;stroke:currentColor;stroke-opacity:.5;stroke-width:1.3}
.tgt .edge.saved path{stroke-dasharray:3 3}
.tgt .edge.flows path{stroke:#c2570c;stroke-opacity:.8}
.tgt .node rect{fill:none;stroke:currentColor;stroke-opacity:.8}
.tgt .leaf rect{stroke-opacity:.4}
.tgt .moved rect{stroke-opacity:1;stroke-width:2}
.tgt .failed rect{stroke:#c8102e;stroke-width:2}
.tgt .box rect{fill:currentColor;fill-opacity:.045;stroke:currentColor;stroke-opacity:.3}
.tgt .of-pass rect{stroke-dasharray:5 4}
"""

# Characters that XML does not allow, not even as references.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> str:
    r"""Return a value as text that is safe between tags and in quoted attributes of HTML and SVG.

    Examples
    --------
    >>> text("<b> & \x00")
    '&lt;b&gt; &amp; �'
    """
    escaped = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return _CONTROL.sub("\ufffd", escaped.replace("'", "&#x27;"))


def curve(points: Sequence[tuple[float, float]]) -> str:
    """Return the curve through the points of an edge, as data of an SVG path; it is horizontal at each point.

    Examples
    --------
    >>> curve([(0, 0), (10, 20)])
    'M0 0C5 0 5 20 10 20'
    """
    drawn = f"M{points[0][0]:.6g} {points[0][1]:.6g}"
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (x1 + x2) / 2
        drawn += f"C{middle:.6g} {y1:.6g} {middle:.6g} {y2:.6g} {x2:.6g} {y2:.6g}"
    return drawn


def elements(drawing: Drawing) -> str:
    """Return the boxes, edges and nodes of a step as SVG elements."""
    step = drawing.step
    parts = [_box(box, area) for box, (area, _, _) in drawing.boxes.items()]
    parts += [_edge(drawing, edge, f"s{step.number}e{i}") for i, edge in enumerate(step.edges)]
    parts += [_node(drawing, one) for one in drawing.nodes.values()]
    return "\n".join(parts)


def _box(box: Box, area: Area) -> str:
    title = wrapped(box.title, max(8, int((area.width - 12) / text_width("n", 12))), 1)[0]
    return (
        f'<g class="box{" of-pass" if box.of_pass else ""}" id="{box.key}"><title>{text(box.title)}</title>'
        f'<rect x="{area.x:.1f}" y="{area.y:.1f}" width="{area.width:.1f}" height="{area.height:.1f}" rx="7"/>'
        f'<text class="title" x="{area.x + 8:.1f}" y="{area.y + 14:.1f}">{text(title)}</text></g>'
    )


def _edge(drawing: Drawing, edge: Edge, key: str) -> str:
    if edge not in drawing.paths:
        return ""  # a parameter touches its operation
    passes = {one.number for one in drawing.step.passes}
    norms = [gradient for number, gradient in edge.norms().items() if number in passes]
    kind = "edge" + (" saved" if edge.saved else "") + (" flows" if norms else "")
    what = edge.source.what
    shape = what.value.shape if isinstance(what, Leaf) else what.shape
    x, y = drawing.labels[edge]
    lines = (("shape soft", str(shape), y - 12), ("norm", norm(norms[-1]) if norms else "", y))
    labels = "".join(f'<text class="{name}" {_middle(x, at)}>{line}</text>' for name, line, at in lines)
    path = curve([(point.x, point.y) for point in drawing.paths[edge]])
    return f'<g class="{kind}" id="{key}"><path d="{path}"/>{labels}</g>'


def _node(drawing: Drawing, one: Drawn) -> str:
    what, area = one.node.what, one.area
    kind = "node op" if isinstance(what, Row) else "node leaf"
    if isinstance(what, Row) and (what.failed or any(rule.gradients is None for rule in what.rules)):
        kind += " failed"
    kind += " moved" if what in drawing.step.moved else ""
    radius = 5 if isinstance(what, Row) else 11
    lines = "".join(
        f'<text class="{name}" {_middle(area.width / 2, LINE * (i + 1) + 2)}>{text(line)}</text>'
        for i, (name, line) in enumerate(one.lines)
    )
    return (
        f'<g class="{kind}" id="{one.node.key}" transform="translate({area.x:.1f} {area.y:.1f})">'
        f"<title>{text(what.name if isinstance(what, Leaf) else what)}</title>"
        f'<rect width="{area.width:.1f}" height="{area.height:.1f}" rx="{radius}"/>{lines}</g>'
    )


def _middle(x: float, y: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle"'


def as_svg(trace: Recorder) -> str:
    """Return the graph of a trace as one SVG picture, in the colour of the text around it."""
    with np.errstate(all="ignore"):  # nan and infinity are shown as such
        drawings = [draw(step) for step in steps(trace)]
        inners = [elements(drawing) for drawing in drawings]
    width = max([drawing.width for drawing in drawings] + [340]) + 2 * MARGIN
    y, parts = float(MARGIN), []
    for drawing, inner in zip(drawings, inners, strict=True):
        head = f'<text class="head" x="0" y="16">{text(drawing.step.title())}</text>'
        parts.append(f'<g transform="translate({MARGIN} {y:.1f})">{head}<g transform="translate(0 28)">{inner}</g></g>')
        y += drawing.height + 28 + MARGIN
    if not drawings:
        parts.append(f'<text x="{MARGIN}" y="{y + 14}">The trace is empty: no operation ran inside the block.</text>')
        y += 20 + MARGIN
    label = f"The graph of {len(trace.rows)} operations and {len(trace.passes)} backward passes"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tgt" role="img" aria-label="{label}" '
        f'viewBox="0 0 {width:.0f} {y:.0f}" width="{width:.0f}" height="{y:.0f}"><style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
