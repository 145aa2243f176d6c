"""A trace as JSON: rows, passes, updates and leaves, with a summary of each value instead of its elements."""

from __future__ import annotations

import json
from typing import Any

from tinygan.runs.json_values import json_value
from tinygan.trace.formulas import local_rules
from tinygan.trace.record import Leaf, Operand, Pass, Row, Update, Value
from tinygan.trace.recorder import Recorder


def as_json(trace: Recorder) -> str:
    """Return a trace as the text of one JSON object; nan and infinity are null.

    Rows and passes refer to each other by number, and to leaves by name.
    """
    facts = {
        "rows": [_row(row) for row in trace.rows],
        "passes": [_pass(one) for one in trace.passes],
        "updates": [_update(update) for update in trace.updates],
        "leaves": [_leaf(leaf) for leaf in trace.leaves],
        "error": None if trace.error is None else f"{type(trace.error).__name__}: {trace.error}",
    }
    return json.dumps(json_value(facts, "trace", non_finite_as_null=True), ensure_ascii=False)


def _row(row: Row) -> dict[str, Any]:
    shapes = [operand.shape for operand in row.operands]
    return {
        "number": row.number,
        "operation": row.operation.name,
        "layer": row.layer,
        "name": row.name,
        "place": {**row.place._asdict()},
        "inputs": [_operand(operand) for operand in row.operands],
        "value": _summary(row.result),
        "earlier": row.earlier,
        "recorded": row.recorded,
        "formulas": [] if row.failed else local_rules(row.operation, row.shape, shapes, row.needs).backward,
        "gradients": [
            {
                "pass": rule.backward_pass.number,
                "of_result": rule.gy.summary(),
                "of_inputs": None if rule.gradients is None else [_summary(value) for value in rule.gradients],
            }
            for rule in row.rules
        ],
        "in_pass": row.inside and row.inside.number,
        "formula_of": row.rule_of and row.rule_of.number,
        "saved_bytes": row.saved_bytes,
        "freed": row.freed or None,
    }


def _operand(operand: Operand) -> dict[str, Any]:
    return {"name": str(operand), **(_summary(operand.value) or {"number": operand.number})}


def _pass(one: Pass) -> dict[str, Any]:
    return {
        "number": one.number,
        "caller": one.caller,
        "create_graph": one.create_graph,
        "output": one.output.number if isinstance(one.output, Row) else one.output and one.output.name,
        "place": {**one.place._asdict()},
        "rows": [row.number for row in one.rows],
        "complete": one.complete,
        "leaves": {leaf.name: leaf.gradients[one.number].summary() for leaf in one.leaves},
        "finished": one.finished,
    }


def _update(update: Update) -> dict[str, Any]:
    return {
        "after_row": update.after_row,
        "after_pass": update.after_pass,
        "changed": {leaf.name: [value.sha256 for value in values] for leaf, values in update.moved.items()},
        "unchanged": {leaf.name: leaf.value.sha256 for leaf in update.still},
    }


def _leaf(leaf: Leaf) -> dict[str, Any]:
    facts = {"name": leaf.name, "parameter": leaf.parameter, "requires_grad": leaf.requires_grad}
    return {**facts, "value": leaf.value.summary()}


def _summary(value: Value | None) -> dict[str, Any] | None:
    return None if value is None else value.summary()
