"""No solution with another operator, comparison, number, option or without one of its calls passes."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tinygan.learn.exercises import EXERCISES

pytestmark = pytest.mark.slow

OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div)
COMPARISONS = (ast.Gt, ast.Lt, ast.LtE, ast.GtE, ast.NotEq)
# These compute the same.
EQUIVALENT = {
    "x >= 0 -> x > 0",  # both choices are 1 at x = 0
    "zip(x, z_d, strict=True) -> zip(x, z_d)",
    "zip(x, z_d, z_g, strict=True) -> zip(x, z_d, z_g)",
    "d_optimizer.zero_grad() -> 0",  # in exercise 12, one of two calls
}


def changes_of(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yield the attribute of a node, and another value for it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, OPERATORS):
        yield from (("op", other()) for other in OPERATORS if not isinstance(node.op, other))
    elif isinstance(node, ast.Compare):
        yield from (("ops", [other()]) for other in COMPARISONS if not isinstance(node.ops[0], other))
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield from (("value", other) for other in (0, 1, 2) if other != node.value)
    elif isinstance(node, ast.Call) and node.keywords:
        yield "keywords", []
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "op", ast.UAdd()
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "value", ast.Constant(0)
    elif isinstance(node, ast.AugAssign):
        yield "op", ast.Sub()


def mutants(source: str, functions: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each change in these functions, and the changed program."""
    tree = ast.parse(source)
    inside = {node for part in tree.body if getattr(part, "name", "") in functions for node in ast.walk(part)}
    for place, node in enumerate(ast.walk(tree)):
        for name, value in changes_of(node) if node in inside else ():
            other = copy.deepcopy(tree)
            changed = list(ast.walk(other))[place]
            setattr(changed, name, value)
            yield f"{ast.unparse(node)} -> {ast.unparse(changed)}", ast.unparse(ast.fix_missing_locations(other))


@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
def test_no_changed_solution_passes(each, judged):
    functions = {function for function, *_ in each.calls}
    found = [(what, judged(each, source)[0]) for what, source in mutants(each.solution, functions)]
    assert len(found) >= 4
    assert {what for what, passed in found if passed} <= EQUIVALENT
