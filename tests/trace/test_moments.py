"""The moments of a trace: each operation and each formula once, in the order in which they ran, in words."""

from __future__ import annotations

import pytest

import tinygan as tg
from tests.trace.traces import EVERY, failed, game, readme, second_order
from tinygan.engine import Operation
from tinygan.trace.graph import steps
from tinygan.trace.moments import listed, moments


def of(t):
    return moments(t, steps(t))


@pytest.mark.parametrize("name", EVERY)
def test_each_call_and_each_formula_is_one_moment(name):
    t = EVERY[name]()
    found = of(t)
    assert [one.row for one in found if one.kind == "forward"] == t.rows
    backward = [(one.one, one.row) for one in found if one.kind == "backward"]
    assert backward == [(one, row) for one in t.passes for row in one.rows]
    assert sum(one.kind == "update" for one in found) == len(t.updates)


@pytest.mark.parametrize("name", EVERY)
def test_each_gradient_of_a_leaf_is_complete_once(name):
    t = EVERY[name]()
    complete = [(one.one.number, t.leaves.index(leaf)) for one in of(t) for leaf in one.complete]
    expected = [(one.number, t.leaves.index(leaf)) for one in t.passes for leaf in one.leaves]
    assert sorted(complete) == sorted(expected)


def test_the_order_of_a_step_of_the_game():
    kinds = [(one.step.number, one.kind) for one in of(game())]
    order = list(dict.fromkeys(kinds))
    each = ["forward", "begin", "backward", "update"]
    assert order == [(step, kind) for step in (1, 2) for kind in each]


def test_the_sentences_of_the_readme():
    captions = [one.caption for one in of(readme())]
    assert captions[0] == "#1 multiply takes a and b: y = a b. The result is 6."
    assert captions[-1] == (
        "#1 multiply receives the gradient gy, 0.125. ga = gy b goes to a (0.375); gb = gy a goes to b (0.25). "
        "The gradients of a and b are complete."
    )


def test_the_sentence_of_an_update():
    captions = [one.caption for one in of(game()) if one.kind == "update"]
    assert captions[0] == "Update: 4 parameters of discriminator changed. 4 parameters of generator kept every bit."


def test_operations_of_a_recorded_pass_come_before_their_formula():
    found = of(second_order())
    begin = next(i for i, one in enumerate(found) if one.kind == "begin")
    for i, one in enumerate(found):
        if one.kind == "forward" and one.row.inside is not None:
            assert begin < i
            rule = next(j for j, other in enumerate(found) if other.kind == "backward" and other.row is one.row.rule_of)
            assert i < rule


def test_an_operation_that_failed_is_the_last_moment():
    t = failed()
    last = of(t)[-1]
    assert last.row is t.rows[-1]
    assert "fails" in last.caption
    assert "weight has 5 rows but the input has 4 columns" in last.caption


def test_a_formula_that_failed_says_so():
    class Bad(Operation):
        """y = x;  gx = gy."""

        def forward(self, B, x):
            return x.copy()

        def backward(self, B, gy):
            raise ValueError("no rule today")

    x = tg.tensor([1.0], requires_grad=True)
    t = tg.trace()
    with pytest.raises(ValueError, match="no rule today"), t:
        (Bad()(x * 2) + x).sum().backward()  # of the two terms of x, one has been computed
    captions = [one.caption for one in of(t)]
    assert not [leaf for one in of(t) for leaf in one.complete]
    assert "raises an error" in captions[-2]
    assert captions[-1] == "The block ended with ValueError: no rule today."


def test_earlier_operations_have_no_forward_moment():
    y = (tg.tensor([1.0, 2.0], requires_grad=True) * 2).sum()
    with tg.trace() as t:
        y.backward()
    assert [one.kind for one in of(t)] == ["begin", "backward", "backward"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [("", ""), ("a", "a"), ("ab", "a and b"), ("abcd", "a, b, c and d"), ("abcdef", "a, b, c and 3 more")],
)
def test_listed(names, expected):
    assert listed(names) == expected
