"""The page of a trace: one file that plays what happened, operation by operation, and opens each of them."""

from __future__ import annotations

import inspect
import json
import os
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygan.errors import PACKAGE
from tinygan.trace.drawing import Drawing, draw, named_norm, norm
from tinygan.trace.formulas import local_rules
from tinygan.trace.graph import Step, sent, steps
from tinygan.trace.maps import Pixels, described
from tinygan.trace.moments import Moment, listed, moments
from tinygan.trace.record import Leaf, Operand, Row, Rule, Value
from tinygan.trace.svg import elements, text
from tinygan.trace.table import gradient_of, saved

if TYPE_CHECKING:
    from tinygan.trace.differences import Differences
    from tinygan.trace.tracing import Trace

MOST = 1_900_000  # characters of a page
SIDES = (64, 48, 32, 16, 8, 0)  # cells of a map in each direction: the largest that fits
FINE = 16  # with smaller maps there are no pictures


def as_page(trace: Trace, title: str) -> str:
    """Return the page of a trace as HTML."""
    with np.errstate(all="ignore"):  # nan and infinity are shown as such
        return _page(trace, title)


def _page(trace: Trace, title: str) -> str:
    found = steps(trace)
    drawings = [draw(step) for step in found]
    numbers = {leaf: number for number, leaf in enumerate(trace.leaves)}
    data: dict[str, Any] = {
        "steps": [_step(drawing, numbers) for drawing in drawings],
        "moments": [_moment(moment, numbers) for moment in moments(trace, found)],
        "sources": {name: _source(kind) for name, kind in _kinds(trace).items()},
    }
    parts = {
        "title": text(title),
        "hidden": "" if found else " hidden",
        "summary": text(_summary(trace)),
        "steps": "\n".join(_panel(drawing) for drawing in drawings),
        "moved": _who_moved(trace, found),
        "table": _table(trace),
        "style": _file("page.css"),
        "script": "".join(map(_file, ("folding.js", "detail.js", "page.js"))),
    }
    left = MOST - sum(map(len, parts.values())) - len(_json(data))
    users = _users(trace)
    pixels = Pixels(trace)
    for side in SIDES:
        shown = _Shown(found, numbers, users, pixels, side, trace.checked)
        data["rows"] = {row.number: shown.row(row) for row in trace.rows}
        data["leaves"] = {number: shown.leaf(leaf) for leaf, number in numbers.items()}
        if not side or len(_json([data["rows"], data["leaves"]])) <= left:
            break
    smaller = f"the maps of values have at most {side} × {side} cells" if side else "there are no maps of values"
    note = f"<p>The trace is long: {smaller}, so that this file stays small.</p>"
    parts |= {"notes": note if side < SIDES[0] else "", "data": _json(data)}
    return re.sub(r"\$\{(\w+)\}", lambda match: parts[match[1]], _file("page.html"))


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _users(trace: Trace) -> dict[Any, list[int]]:
    users: dict[Any, list[int]] = {}
    for row in trace.rows:
        for source in dict.fromkeys(operand.source for operand in row.operands):
            users.setdefault(source, []).append(row.number)
    return users


def _file(name: str) -> str:
    return files("tinygan.trace").joinpath(name).read_text(encoding="utf-8")


def _summary(trace: Trace) -> str:
    counts = [(len(trace.rows), "operation"), (len(trace.passes), "backward pass"), (len(trace.updates), "update")]
    words = [f"{n} {name}{'' if n == 1 else 'es' if name.endswith('s') else 's'}" for n, name in counts if n]
    if not words:
        return "The trace is empty: no operation ran inside the block."
    return f"{listed(words)}, as they happened."


# ---------------------------------------------------------------------- values


@dataclass
class _Shown:
    """Describes rows and leaves for the script of the page."""

    steps: list[Step]
    numbers: dict[Leaf, int]
    users: dict[Any, list[int]]
    pixels: Pixels
    side: int
    checked: Differences | None

    def row(self, row: Row) -> dict[str, Any]:
        """Return the facts of a row."""
        shapes = [operand.shape for operand in row.operands]
        rules = local_rules(row.operation, row.shape, shapes, row.needs or (True,) * len(shapes))
        where = f", in {row.place.function}" if row.place.function else ""
        return {
            "name": row.operation.name,
            "layer": row.layer,
            "variable": row.name,
            "kind": _kind(row),
            "state": "failed" if row.failed else "earlier" if row.earlier else "",
            "value": None if row.result is None else self.value(row, row.result),
            "inputs": [self.operand(operand) for operand in row.operands],
            "users": self.users.get(row, []),
            "forward": rules.forward,
            "backward": list(rules.backward) if row.recorded else [],
            "gradients": {rule.backward_pass.number: self.gradient(row, rule.gy) for rule in row.rules},
            "sent": {rule.backward_pass.number: _sent(row, rule) for rule in row.rules},
            "none": gradient_of(row, None),
            "place": "" if row.earlier else f"{row.place}{where}",
            "line": row.place.source,
            "saved": saved(row),
            "made": _made(row),
            "check": self.verdict(row),
        }

    def verdict(self, row: Row) -> str:
        """Return what the comparison with differences found."""
        if self.checked is None:
            return "not done: write the page with t.html(path, check=True)"
        if row.number not in self.checked.reports:
            return "not done: the trace has no backward formula of this call"
        return self.checked.verdict(row.number).replace("error", "worst relative error")

    def leaf(self, leaf: Leaf) -> dict[str, Any]:
        """Return the facts of a leaf."""
        kind = "parameter" if leaf.parameter else "tensor with a gradient" if leaf.requires_grad else "data or constant"
        moves = [(step.number, *step.moved[leaf]) for step in self.steps if leaf in step.moved]
        return {
            "name": leaf.name,
            "kind": kind,
            "value": self.value(leaf, moves[0][1] if moves else leaf.value),
            "moves": [
                {
                    "step": step,
                    "before": before.sha256[:8],
                    "after": after.sha256[:8],
                    "change": self.value(leaf, Value(after.array - before.array)),
                }
                for step, before, after in moves
            ],
            "gradients": {number: self.gradient(leaf, value) for number, value in leaf.gradients.items()},
            "none": "not computed" if leaf.requires_grad else "it requires no gradient",
            "users": self.users.get(leaf, []),
            "pictures": "columns" if leaf in self.pixels.columns else "rows" if leaf in self.pixels.rows else "",
        }

    def operand(self, operand: Operand) -> dict[str, str]:
        """Return the facts of an input."""
        source, key = operand.source or operand.saved_by, ""
        if source is not None:
            key = f"r{source.number}" if isinstance(source, Row) else f"l{self.numbers[source]}"
        return {"text": str(operand), "shape": "" if operand.value is None else str(operand.shape), "to": key}

    def value(self, what: Row | Leaf, value: Value) -> dict[str, Any]:
        """Return the facts of a value, with a map."""
        return described(value, self.side, self.pixels.of(what, value.array) if self.side >= FINE else None)

    def gradient(self, what: Row | Leaf, value: Value) -> dict[str, Any]:
        """Return the facts of a gradient."""
        return {**self.value(what, value), "short": named_norm(value)}


def _sent(row: Row, rule: Rule) -> list[str]:
    found = [sent(row, rule, position) for position in range(len(row.operands))]
    return ["" if gradient is None else norm(gradient) for gradient in found]


def _made(row: Row) -> str:
    if row.inside is None:
        return ""
    return f"made by backward pass {row.inside.number}" + (f", by the formula of {row.rule_of}" if row.rule_of else "")


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
    said = f"{moved} parameter{'' if moved == 1 else 's'} moved" + (f", {still} kept every bit." if still else ".")
    said = said if step.updates else "The trace has no update here."
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
                hashes = f"{_hash(before)} → {_hash(now)}"
                cells += f"<td><b>moved</b> by {Value(now.array - before.array).norm:.3g} {hashes}</td>"
            elif leaf in step.still:
                cells += f"<td>kept {_hash(now)}</td>"
            else:
                cells += "<td>not seen yet</td>"
        lines.append(f'<tr><th scope="row">{text(leaf.name)}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table><thead><tr><th scope="col">parameter</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _hash(value: Value) -> str:
    return f'<code title="{value.sha256}">{value.sha256[:8]}</code>'


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
            "" if row.failed else str(row.shape).replace(" ", "\u00a0"),
            value,
            gradient_of(row, gradient),
            "" if gradient is None else f"{gradient.norm:.3g}",
            "" if row.earlier else row.place,
        )
        body = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{row.number}</th>{body}</tr>')
    titles = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
