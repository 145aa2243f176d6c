"""The page of a trace: one file that plays what happened, operation by operation, and opens each of them."""

from __future__ import annotations

import inspect
import json
import os
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tinygan.errors import PACKAGE
from tinygan.trace.drawing import Drawing, draw, named_norm, norm
from tinygan.trace.formulas import local_rules
from tinygan.trace.graph import Step, sent, steps
from tinygan.trace.maps import Pixels, described
from tinygan.trace.moments import Moment, moments
from tinygan.trace.record import Leaf, Operand, Row, Value
from tinygan.trace.svg import elements, text
from tinygan.trace.table import gradient_of, saved

if TYPE_CHECKING:
    from tinygan.trace.tracing import Trace

MOST = 1_300_000  # characters of maps on a page
SIDES = (48, 32, 16, 8, 0)  # cells of a map in each direction, the largest that fits
NO_CHECK = 'not checked: write the page with t.html(path, check=True)'


def as_page(trace: Trace, title: str) -> str:
    """Return the page of a trace as HTML."""
    found = steps(trace)
    drawings = [draw(step) for step in found]
    numbers = {leaf: number for number, leaf in enumerate(trace.leaves)}
    data, side = _within_limit(trace)
    data |= {
        "steps": [_step(drawing, numbers) for drawing in drawings],
        "moments": [_moment(moment, numbers) for moment in moments(trace, found)],
        "sources": {name: _source(kind) for name, kind in _kinds(trace).items()},
    }
    notes = []
    if side < SIDES[0] and trace.rows:
        smaller = f"maps have at most {side} × {side} cells" if side else "there are no maps of values"
        notes.append(f"This trace is large: {smaller}, so that the page stays small.")
    parts = {
        "title": text(title),
        "summary": text(_summary(trace, found)),
        "notes": "".join(f"<p>{text(note)}</p>" for note in notes),
        "steps": "\n".join(_panel(drawing) for drawing in drawings),
        "moved": _who_moved(trace, found),
        "table": _table(trace),
        "style": _file("page.css"),
        "script": _file("page.js"),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"\$\{(\w+)\}", lambda match: parts[match[1]], _file("page.html"))


def _file(name: str) -> str:
    return files("tinygan.trace").joinpath(name).read_text(encoding="utf-8")


def _summary(trace: Trace, found: list[Step]) -> str:
    counts = [(len(trace.rows), "operation"), (len(trace.passes), "backward pass"), (len(trace.updates), "update")]
    words = [f"{count} {name}{'' if count == 1 else 'es' if name.endswith('s') else 's'}" for count, name in counts]
    if not trace.rows and not trace.passes:
        return "The trace is empty: no operation ran inside the block."
    return f"{words[0]}, {words[1]} and {words[2]}, as they happened."


# ---------------------------------------------------------------------- values


def _within_limit(trace: Trace) -> tuple[dict[str, Any], int]:
    """Return rows and leaves with the largest maps that keep the page small, and the size of these maps."""
    pixels = Pixels(trace)
    for side in SIDES:
        data = {
            "rows": {row.number: _row(trace, row, pixels, side) for row in trace.rows},
            "leaves": {number: _leaf(trace, leaf, pixels, side) for number, leaf in enumerate(trace.leaves)},
        }
        if not side or len(json.dumps(data)) <= MOST:
            break
    return data, side


def _value(what: Row | Leaf, value: Value, pixels: Pixels, side: int) -> dict[str, Any]:
    return described(value, side, pixels.of(what, value.array) if side >= SIDES[2] else None)


def _row(trace: Trace, row: Row, pixels: Pixels, side: int) -> dict[str, Any]:
    shapes = [operand.shape for operand in row.operands]
    rules = local_rules(row.operation, row.shape, shapes, row.needs or (True,) * len(shapes))
    users = [other.number for other in trace.rows if any(operand.source is row for operand in other.operands)]
    return {
        "name": str(row.operation.name),
        "layer": row.layer,
        "variable": row.name,
        "kind": _kind(row),
        "state": "failed" if row.failed else "earlier" if row.earlier else "",
        "value": None if row.result is None else _value(row, row.result, pixels, side),
        "inputs": [_operand(trace, operand) for operand in row.operands],
        "users": users,
        "forward": rules.forward,
        "backward": list(rules.backward) if row.recorded else [],
        "gradients": {rule.backward_pass.number: _gradient(row, rule.gy, pixels, side) for rule in row.rules},
        "sent": {
            rule.backward_pass.number: [_sent(row, rule, i) for i in range(len(row.operands))] for rule in row.rules
        },
        "none": gradient_of(row, None),
        "place": "" if row.earlier else f"{row.place}, in {row.place.function}" if row.place.function else str(row.place),
        "line": row.place.source,
        "saved": saved(row),
        "made": _made(row),
        "check": NO_CHECK if trace.checked is None else trace.checked.verdict(row.number),
    }


def _gradient(what: Row | Leaf, value: Value, pixels: Pixels, side: int) -> dict[str, Any]:
    return {**_value(what, value, pixels, side), "short": named_norm(value)}


def _sent(row: Row, rule: Any, position: int) -> str:
    gradient = sent(row, rule, position)
    return "" if gradient is None else f"{norm(gradient)}"


def _made(row: Row) -> str:
    if row.inside is None:
        return ""
    by = f", by the formula of {row.rule_of}" if row.rule_of else ""
    return f"made by backward pass {row.inside.number}{by}"


def _operand(trace: Trace, operand: Operand) -> dict[str, Any]:
    source, reference = operand.source or operand.saved_by, ""
    if isinstance(source, Row):
        reference = f"r{source.number}"
    elif source is not None:
        reference = f"l{trace.leaves.index(source)}"
    return {"text": str(operand), "shape": str(operand.shape) if operand.value is not None else "", "to": reference}


def _leaf(trace: Trace, leaf: Leaf, pixels: Pixels, side: int) -> dict[str, Any]:
    kind = "parameter" if leaf.parameter else "tensor with a gradient" if leaf.requires_grad else "data or constant"
    return {
        "name": leaf.name,
        "kind": kind,
        "value": _value(leaf, leaf.value, pixels, side),
        "gradients": {number: _gradient(leaf, value, pixels, side) for number, value in leaf.gradients.items()},
        "none": "not computed" if leaf.requires_grad else "it requires no gradient",
        "users": [row.number for row in trace.rows if any(operand.source is leaf for operand in row.operands)],
        "pictures": "columns" if leaf in pixels.columns else "rows" if leaf in pixels.rows else "",
        "follow": leaf.requires_grad and bool(leaf.gradients),
    }


# ---------------------------------------------------------------------- source


def _kind(row: Row) -> str:
    kind = type(row.operation)
    return f"{kind.__module__}.{kind.__qualname__}"


def _kinds(trace: Trace) -> dict[str, type]:
    return {_kind(row): type(row.operation) for row in trace.rows}


def _source(kind: type) -> list[dict[str, Any]]:
    """Return the source of `forward` and `backward` of a class, each with its file and line."""
    found = []
    for name in ("forward", "backward"):
        try:
            function = inspect.unwrap(getattr(kind, name))
            lines, first = inspect.getsourcelines(function)
            file = inspect.getsourcefile(function) or ""
        except (OSError, TypeError, AttributeError):
            found.append({"name": name, "place": "its source is not available", "code": ""})
            continue
        short = file.removeprefix(os.path.dirname(PACKAGE.rstrip(os.sep)) + os.sep).removeprefix(os.getcwd() + os.sep)
        found.append({"name": name, "place": f"{short}:{first}", "code": inspect.cleandoc("\n" + "".join(lines))})
    return found


# ---------------------------------------------------------------------- steps and moments


def _step(drawing: Drawing, numbers: dict[Leaf, int]) -> dict[str, Any]:
    """Return what the script needs to fold: the nodes in their columns, the edges, and the boxes."""
    step, layout = drawing.step, drawing.layout
    keys = {box: box.key for box in step.boxes}
    return {
        "number": step.number,
        "title": step.title(),
        "lefts": [_r(x) for x in layout.lefts],
        "widths": [_r(x) for x in layout.widths],
        "passes": [one.number for one in step.passes],
        "outputs": {one.number: one.output.number for one in step.passes if isinstance(one.output, Row)},
        "moved": [numbers[leaf] for leaf in step.moved],
        "nodes": [
            {
                "key": one.node.key,
                "row": one.node.what.number if isinstance(one.node.what, Row) else 0,
                "leaf": -1 if isinstance(one.node.what, Row) else numbers[one.node.what],
                "under": one.node.beside.number if one.node.beside else 0,
                "box": keys[one.node.box] if one.node.box else "",
                "column": one.column,
                "area": [_r(x) for x in one.area],
            }
            for one in drawing.nodes.values()
        ],
        "edges": [
            {
                "key": f"s{step.number}e{number}",
                "from": edge.source.key,
                "to": edge.target.key,
                "input": edge.position,
                "points": [[_r(p.x), _r(p.y), p.column] for p in drawing.paths.get(edge, [])],
                "label": [_r(x) for x in drawing.labels[edge]] if edge in drawing.labels else [],
                "norms": {number: norm(value) for number, value in edge.norms().items()},
            }
            for number, edge in enumerate(step.edges)
        ],
        "boxes": [
            {
                "key": box.key,
                "title": box.title,
                "parent": keys[box.parent] if box.parent else "",
                "rows": [row.number for row in box.rows],
                "area": [_r(x) for x in area],
                "columns": [first, last],
                "folded": not box.recorded,
            }
            for box, (area, first, last) in drawing.boxes.items()
        ],
    }


def _r(x: float) -> float:
    return round(x, 1)


def _moment(moment: Moment, numbers: dict[Leaf, int]) -> dict[str, Any]:
    return {
        "kind": moment.kind,
        "text": moment.caption,
        "step": moment.step.number,
        "row": moment.row.number if moment.row else 0,
        "pass": moment.one.number if moment.one else 0,
        "complete": [numbers[leaf] for leaf in moment.complete],
    }


# ---------------------------------------------------------------------- markup


def _panel(drawing: Drawing) -> str:
    step, height, width = drawing.step, drawing.height, drawing.width
    moved, still = len(step.moved), len(step.still)
    said = f"{moved} parameters moved, {still} kept every bit." if step.updates else "No parameter moved."
    label = f"{step.title()}: {len(step.rows)} operations"
    return (
        f'<section class="step" id="step{step.number}"><h2>{text(step.title())}</h2><p class="soft">{said}</p>'
        f'<div class="graph"><svg class="tgt" role="group" aria-label="{text(label)}" '
        f'viewBox="-8 0 {width + 16:.0f} {height + 4:.0f}" width="{width + 16:.0f}" height="{height + 4:.0f}">'
        f"{elements(drawing)}</svg></div></section>"
    )


def _who_moved(trace: Trace, found: list[Step]) -> str:
    """Return the table of the parameters: their hashes before and after each step."""
    parameters = [leaf for leaf in trace.leaves if leaf.parameter or any(leaf in step.moved for step in found)]
    stepping = [step for step in found if step.updates]
    if not parameters or not stepping:
        return '<p class="soft">No update of parameters was recorded.</p>'
    head = "".join(f'<th scope="col">{text(step.title())}</th>' for step in stepping)
    lines = []
    for leaf in parameters:
        now = next((step.moved[leaf][0] for step in stepping if leaf in step.moved), leaf.value)
        cells = ""
        for step in stepping:
            if leaf in step.moved:
                before, now = step.moved[leaf]
                change = float(((now.array - before.array).astype(float) ** 2).sum() ** 0.5)
                cells += f'<td class="yes"><b>moved</b> by {change:.3g} <code>{before.sha256[:8]} → {now.sha256[:8]}</code></td>'
            elif leaf in step.still:
                cells += f"<td>kept <code>{now.sha256[:8]}</code></td>"
            else:
                cells += "<td>not seen yet</td>"
        lines.append(f'<tr><th scope="row">{text(leaf.name)}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table><thead><tr><th scope="col">parameter</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _table(trace: Trace) -> str:
    head = ("#", "operation", "layer", "inputs", "shape", "value", "gradient", "norm", "called at")
    lines = []
    for row in trace.rows:
        gradient = row.gradient()
        value = "failed" if row.failed else "before the trace" if row.result is None else str(row.result)
        cells = (
            row.operation.name,
            row.layer,
            ", ".join(map(str, row.operands)),
            "" if row.failed else row.shape,
            value,
            gradient_of(row, gradient),
            "" if gradient is None else f"{gradient.norm:.3g}",
            "" if row.earlier else row.place,
        )
        body = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{row.number}</th>{body}</tr>')
    titles = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
