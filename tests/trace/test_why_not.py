"""The reasons for a missing gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.errors import ArgumentError, ShapeError
from tinygan.trace.why import Why

HERE = "test_why_not.py"


def leaf(*shape, seed=0, name=None):
    numbers = np.random.default_rng(seed).uniform(0.3, 1.5, shape).astype(np.float32)
    return tg.tensor(numbers, requires_grad=True, name=name)


def reasons(why_not):
    return [reason.kind for reason in why_not.reasons]


CUTS = {
    "detach": lambda y: y.detach() * 2.0,
    "no_grad": lambda y: _without_record(y),
    "integer": lambda y: y.astype("int32"),
    "copy": lambda y: tg.tensor(y.numpy()) * 2.0,
}


def _without_record(y):
    with tg.no_grad():
        return y * 2.0


@given(st.integers(0, 4), st.integers(0, 4), st.sampled_from(sorted(CUTS)))
def test_a_planted_cut_is_found(before, after, kind):
    w, other = leaf(3, 2, name="w"), leaf(3, 2, seed=1)
    with tg.trace() as t:
        y = w
        for _ in range(before):
            y = F.tanh(y)
        y = CUTS[kind](y)
        at = len(t.rows)
        for _ in range(after):
            y = y * 1.5 + other
        (y * other).sum().backward()
    why_not = t.why_not(w)
    assert reasons(why_not) == [kind]
    assert why_not.reasons[0].row.number == at
    assert HERE in str(why_not)
    assert str(t.why(w)) == str(why_not)


@given(st.sampled_from(sorted(CUTS)), st.integers(1, 3))
def test_a_cut_beside_a_path_is_mentioned(kind, length):
    w = leaf(3, name="w")
    with tg.trace() as t:
        y = w
        for _ in range(length):
            y = F.tanh(y)
        (y + CUTS[kind](y)).sum().backward()
    assert ("another path carries no gradient" in str(t.why("w"))) == (kind != "copy")


# ---------------------------------------------------------------------- no gradient


def test_no_pass_and_an_error():
    w = leaf(3, 2, name="w")
    with tg.trace() as t:
        w * 2.0
    assert reasons(t.why_not("w")) == ["no pass"]
    with pytest.raises(ShapeError), tg.trace() as t:
        F.matmul(w * 2.0, w)
    [reason] = t.why_not("w").reasons
    assert reason.kind == "error"
    assert reason.row.operation.name == "matmul"


class Failing(tg.Operation):
    """y = x;  gx is not computed."""

    def __init__(self, answer):
        self.answer = answer

    def forward(self, B, x):
        return x * 1

    def backward(self, B, gy):
        return self.answer()


def _raise():
    raise ZeroDivisionError


def test_a_formula_that_fails_or_returns_nothing():
    w = leaf(3, name="w")
    with pytest.raises(ZeroDivisionError), tg.trace() as t:
        (Failing(_raise)(w * 2.0) * 3.0).sum().backward()
    [reason] = t.why_not("w").reasons
    assert (reason.kind, reason.row.number) == ("error", 2)
    with tg.trace() as t:
        (Failing(lambda: None)(w * 2.0) * 3.0).sum().backward()
    [reason] = t.why_not("w").reasons
    assert (reason.kind, reason.row.number) == ("no formula", 2)


def test_a_pass_that_was_asked_for_others():
    w, v = leaf(3, name="w"), leaf(3, seed=1, name="v")
    with tg.trace() as t:
        tg.grad((w * v).sum(), [v])
    [reason] = t.why_not("w").reasons
    assert reason.kind == "not asked"
    assert ": v" in reason.text
    assert HERE in reason.text


def test_a_parameter_that_is_not_used_or_leads_nowhere():
    a, b, outside = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    with tg.trace(a=a, b=b) as t:
        x = leaf(3, 2)
        b(x)
        a(x).sum().backward()
    assert reasons(t.why_not("a.weight")) == []
    [reason] = t.why_not("b.weight").reasons
    assert (reason.kind, reason.row.operation.name) == ("leads nowhere", "linear")
    assert reasons(t.why_not(outside.weight)) == ["unused"]
    with tg.trace(a=a, outside=outside) as t:
        a(leaf(3, 2)).sum().backward()
    assert reasons(t.why_not("outside.weight")) == ["unused"]


def test_a_frozen_parameter():
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad = False
    with tg.trace(net=layer) as t:
        layer(leaf(3, 2)).sum().backward()
    layer.weight.requires_grad = True
    [reason] = t.why_not("net.weight").reasons
    assert (reason.kind, reason.row.number) == ("requires_grad", 1)


def test_a_detached_parameter_and_a_new_leaf():
    w = leaf(3, name="w")
    with tg.trace() as t:
        (w.detach() * leaf(3, seed=1)).sum().backward()
    assert reasons(t.why_not(w)) == ["detach"]
    with tg.trace() as t:
        y = F.tanh(w)
        x = y.detach()
        x.requires_grad = True
        (x * x).sum().backward()
    assert np.allclose(t.why(x).gradient.array, 2 * y.numpy())
    assert set(reasons(t.why_not("w"))) <= {"copy", "detach"}
    assert t.why_not("w").reasons


def test_a_number_that_left_the_graph():
    w, v = leaf(3, name="w"), leaf(3, seed=1)
    with tg.trace() as t:
        size = F.tanh(w).mean()
        (v * size.item()).sum().backward()
    [reason] = t.why_not("w").reasons
    assert (reason.kind, reason.row.operation.name) == ("copy", "multiply")


def test_a_result_without_a_gradient():
    w = leaf(3, name="w")
    with tg.trace() as t:
        with tg.no_grad():
            a = w * 2.0
        b = tg.tensor([1.0, 2.0, 3.0]) * 2.0
        c = w > 1
        (w * a * b * c).sum().backward()
    assert reasons(t.why_not("a"))[0] == "no_grad"
    assert reasons(t.why_not("b"))[0] == "requires_grad"
    assert reasons(t.why_not("c"))[0] == "integer"


def test_unknown_names_are_refused():
    layer = nn.Linear(2, 2)
    with tg.trace(net=layer) as t:
        loss = layer(leaf(3, 2)).sum()
        loss = loss * 2.0
        loss.backward()
    with pytest.raises(ArgumentError, match=r'did you mean "net\.weight"'):
        t.why("net.wieght")
    with pytest.raises(ArgumentError, match=r"net\.weight, net\.bias"):
        t.why_not("xyz")
    with pytest.raises(ArgumentError, match="no row #9: the trace has 3 rows"):
        t.why("#9")
    with pytest.raises(ArgumentError, match="got float"):
        t.why(2.0)
    with tg.trace() as empty:
        pass
    with pytest.raises(ArgumentError, match="the trace is empty"):
        empty.why("w")


def test_a_name_of_several_values_is_refused():
    h = tg.tensor([0.5, 1.0], requires_grad=True)

    def twice(x):
        return x * 2.0

    with tg.trace() as t:
        loss = h * 3.0
        y = twice(loss)
        loss = y.sum()
        loss.backward()
        h = h * 1.0
    t.rows[1].name = "loss"
    for name, several in (("loss", "#2 multiply and #3 sum"), ("h", "a leaf and #4 multiply")):
        with pytest.raises(ArgumentError, match=several):
            t.why(name)
    assert isinstance(t.why("#2"), Why)


def test_a_leaf_is_its_own_output():
    x = tg.tensor(2.0, requires_grad=True, name="x")
    with tg.trace() as t:
        x.backward()
    assert t.why(x).gradient.array == 1.0
    assert "is what pass 1 differentiated" in str(t.why(x))


def test_repr_is_the_text():
    w = leaf(3, name="w")
    with tg.trace() as t:
        w.sum().backward()
    assert repr(t.why("w")) == str(t.why("w"))
    assert repr(t.why_not("w")) == str(t.why_not("w"))


@given(st.integers(0, 3))
def test_a_comparison_is_suspected(after):
    w, other = leaf(3, 2, name="w"), leaf(3, 2, seed=1)
    with tg.trace() as t:
        y = (F.tanh(w) > 0.5) * other
        for _ in range(after):
            y = y + other
        y.sum().backward()
    assert reasons(t.why_not("w"))[0] == "integer"
    assert t.why_not("w").reasons[0].row.number == 2
    with tg.trace() as t:
        ((w > 0.5) * other).sum().backward()
    assert reasons(t.why_not(w)) == ["integer", "unused"]
