"""The chain from the loss to a gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn
from tinygan.checking.operations import CASES
from tinygan.errors import ArgumentError
from tinygan.trace.paths import gradient_of, parts


def leaf(*shape, seed=0, name=None):
    numbers = np.random.default_rng(seed).uniform(0.3, 1.5, shape).astype(np.float32)
    return tg.tensor(numbers, requires_grad=True, name=name)


def kinds(explanation):
    return [finding.kind for _, finding in explanation.findings]


def number(explanation, kind):
    [found] = [finding.number for _, finding in explanation.findings if finding.kind == kind]
    return found


def reasons(why_not):
    return [reason.kind for reason in why_not.reasons]


# ---------------------------------------------------------------------- random graphs

BINARY = {
    "add": (lambda a, b: a + b, lambda a, b: (1 + 0 * a, 1 + 0 * b)),
    "multiply": (lambda a, b: a * b, lambda a, b: (b, a)),
    "subtract": (lambda a, b: a - b, lambda a, b: (1 + 0 * a, -1 + 0 * b)),
}
UNARY = {
    "tanh": (F.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "sigmoid": (F.sigmoid, lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "exp": (lambda a: F.exp(a * 0.1), None),
}
SHAPES = [(3, 2), (1, 2), (3, 1), (2,), ()]


def summed_to(array, shape):
    """Sum an array over the axes along which `shape` was broadcast to it."""
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    return array.sum(axis=tuple(i for i, size in enumerate(shape) if size == 1 != array.shape[i]), keepdims=True)


@st.composite
def graphs(draw):
    """Leaves, and a trace of random operations on them; every value may be used several times."""
    leaves = [leaf(*draw(st.sampled_from(SHAPES)), seed=seed, name=f"w{seed}") for seed in range(3)]
    values = list(leaves)
    with tg.trace() as t:
        for _ in range(draw(st.integers(1, 8))):
            pick = st.integers(0, len(values) - 1).map(values.__getitem__)
            kind = draw(st.sampled_from([*BINARY, *UNARY]))
            values.append(BINARY[kind][0](draw(pick), draw(pick)) if kind in BINARY else UNARY[kind][0](draw(pick)))
        loss = sum((value.mean() for value in values[3:]), start=tg.tensor(0.0))
        loss.backward()
    return t, leaves


@given(graphs())
def test_norms_are_those_of_the_derivatives(graph):
    t, leaves = graph
    for w in (w for w in leaves if w.grad is not None):
        for part in t.why(w).parts:
            kind, inputs = part.sender.operation.name, [o.value for o in part.sender.operands]
            known = BINARY.get(kind) or UNARY.get(kind)
            if known is None or known[1] is None or None in inputs:
                continue
            slopes = known[1](*[value.array.astype(float) for value in inputs])
            slope = slopes[part.position] if isinstance(slopes, tuple) else slopes
            expected = summed_to(part.gy.array * slope, part.shape)
            assert part.gradient.norm == pytest.approx(np.linalg.norm(expected), rel=1e-4, abs=1e-6)
            assert part.gradient.norm == pytest.approx(part.factor * part.gy.norm) or not part.gy.norm


@given(graphs())
def test_the_parts_add_up_to_the_gradient(graph):
    t, leaves = graph
    for w in (w for w in leaves if w.grad is not None):
        why = t.why(w)
        assert np.array_equal(why.gradient.array, w.grad.numpy())
        for node in {part.receiver for part in why.parts}:
            arriving = [part.gradient.array for part in why.parts if part.receiver is node]
            gradient = gradient_of(node, why.backward_pass).array
            np.testing.assert_allclose(sum(arriving), gradient, rtol=1e-4, atol=1e-6)
            assert (node in [join.receiver for join in why.joins]) == (len(arriving) > 1)


@given(graphs())
def test_the_chain_is_what_lies_between(graph):
    t, leaves = graph
    one = t.passes[0]
    for w in (w for w in leaves if w.grad is not None):
        why = t.why(w)
        leading = {why.node}
        for part in reversed(list(parts(one))):
            leading |= {part.sender} if part.receiver in leading else set()
        assert {part.sender for part in why.parts} == leading - {why.node}
        order = [one.rows.index(part.sender) for part in why.parts]
        assert order == sorted(order)
        assert str(why).count("\n") >= len(why.parts)


# ---------------------------------------------------------------------- what a formula did


def test_saturated_units_are_counted():
    w = tg.tensor([[0.0, 20.0], [-20.0, 30.0]], requires_grad=True, name="w")
    for function in (F.sigmoid, F.tanh):
        with tg.trace() as t:
            function(w).sum().backward()
        assert number(t.why("w"), "saturated") == 0.75
        assert "75 % of the units are saturated" in str(t.why("w"))


def test_saturation_begins_at_a_thousandth():
    w = tg.tensor([6.5, 7.0], requires_grad=True, name="w")  # derivatives of 0.0015 and 0.0009
    with tg.trace() as t:
        F.sigmoid(w).sum().backward()
    assert number(t.why("w"), "saturated") == 0.5


def test_dead_units_are_counted():
    w = tg.tensor([[1.0, -1.0, 2.0, -3.0], [-1.0, -1.0, 2.0, -3.0]], requires_grad=True, name="w")
    with tg.trace() as t:
        F.relu(w).sum().backward()
    assert number(t.why("w"), "dead") == 0.5
    assert "2 of 4 units are dead" in str(t.why("w"))


def test_a_gradient_that_ends_is_cut():
    for function in (lambda x: F.relu(-x), lambda x: F.dropout(x, 1.0)):
        w = leaf(4, 3, name="w")
        with tg.trace() as t:
            (function(w) * 1.0).sum().backward()
        assert "cut" in kinds(t.why("w"))
        assert "the gradient ends here" in str(t.why("w"))


def test_the_dropped_share_is_measured():
    w = leaf(200, 10, name="w")
    with tg.trace() as t:
        y = F.dropout(w, 0.3)
        y.sum().backward()
    assert number(t.why("w"), "dropout") == pytest.approx((y.numpy() == 0).mean())


@pytest.mark.parametrize("piece_major", [False, True])
@given(data=st.data())
def test_pieces_that_never_won_are_counted(piece_major, data):
    pieces, units, rows = (data.draw(st.integers(low, 4)) for low in (2, 1, 2))
    w = leaf(rows, pieces * units, seed=data.draw(st.integers(0, 99)), name="w")
    with tg.trace() as t:
        F.maxout(w, pieces, piece_major=piece_major).sum().backward()
    won = (w.grad.numpy() != 0).any(axis=0).mean()
    assert number(t.why("w"), "maxout") == pytest.approx(won)


def test_certain_logits_are_counted():
    w = tg.tensor([[30.0], [0.0], [-30.0], [40.0]], requires_grad=True, name="w")
    with tg.trace() as t:
        F.binary_cross_entropy_with_logits(w, 1).backward()
    assert number(t.why("w"), "certain") == 0.5


def test_small_weights_are_named():
    x, small, large = leaf(5, 4, name="x"), leaf(4, 4, seed=1), leaf(4, 1, seed=2)
    with tg.trace() as t:
        ((x @ (small * 1e-4)) @ (large * 1e4)).sum().backward()
    assert {"vanishes", "explodes"} <= set(kinds(t.why("x")))
    assert "root mean square" in str(t.why("x"))


def test_nan_is_named_at_its_first_place():
    w = tg.tensor([0.0, 1.0], requires_grad=True, name="w")
    with np.errstate(all="ignore"), tg.trace() as t:
        (F.sqrt(w) * 2.0).sum().backward()
        why = t.why("w")
        assert "not finite" in kinds(why)
        assert "here, for the first time" in str(why)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_operation_is_explained(case):
    tensors = [tg.tensor(array, dtype="float64", requires_grad=True) for array in case.inputs]
    with tg.trace() as t:
        y = case.call(*tensors)
        (y * y).sum().backward()
    for x in tensors:
        why = t.why(x)
        assert x.grad is None or why.parts or why.node is why.backward_pass.output
        assert why.name in str(why)


# ---------------------------------------------------------------------- several passes, other starts


def test_both_halves_of_one_pass_are_parts():
    real, fake = leaf(3, 2), leaf(3, 2, seed=1)
    d = nn.Linear(2, 1)
    with tg.trace(discriminator=d) as t:
        logits = d(F.concatenate([real, fake]))
        (logits[:3].sum() - logits[3:].sum()).backward()
    [join] = t.why("discriminator.bias").joins
    assert [part.sender.operation.name for part in join.parts] == ["get_item", "get_item"]
    assert kinds(t.why("discriminator.bias")).count("joins") == 1
    assert "used 2 times" in str(t.why("discriminator.bias"))


def test_parts_that_cancel_are_told():
    w = leaf(3, name="w")
    with tg.trace() as t:
        (w * 2.0 - w * 1.99).sum().backward()
    why = t.why("w")
    assert number(why, "cancels") == pytest.approx(0.01 / 3.99, rel=1e-3)
    assert "opposite directions" in str(why)


def test_a_square_is_a_use_twice():
    w = leaf(3, name="w")
    with tg.trace() as t:
        (w * w).sum().backward()
    [join] = t.why("w").joins
    assert [part.position for part in join.parts] == [0, 1]
    assert [part.sender.number for part in join.parts] == [1, 1]


def test_shared_weights_are_used_twice():
    layer = nn.Linear(2, 2)
    with tg.trace(net=layer) as t:
        layer(layer(leaf(3, 2))).sum().backward()
    [join] = t.why(layer.weight).joins
    total = sum(part.gradient.array for part in join.parts)
    np.testing.assert_allclose(total, layer.weight.grad.numpy(), rtol=1e-5)


def test_the_newest_pass_that_reached_it():
    w, v = leaf(3, name="w"), leaf(3, seed=1, name="v")
    with tg.trace() as t:
        (w * 2.0).sum().backward()
        (w * 3.0).sum().backward()
        v.sum().backward()
    assert t.why("w").backward_pass.number == 2
    assert t.why("w", 1).gradient.array.tolist() == [2.0] * 3
    assert "sum of passes 1 and 2 now: norm 8.66" in str(t.why("w"))
    assert "norm 8.66" in str(t.why("w", 1))
    assert set(reasons(t.why("w", 3))) == {"leads nowhere"}
    with pytest.raises(ArgumentError, match="passes 1 to 3"):
        t.why("w", 4)


def test_a_gradient_that_was_reset_is_no_sum():
    w = leaf(3, name="w")
    with tg.trace() as t:
        (w * 2.0).sum().backward()
        w.grad = None
        (w * 3.0).sum().backward()
    assert "sum of passes" not in str(t.why("w"))


def test_a_second_order_pass_names_the_rows_of_the_first():
    x = tg.tensor(3.0, requires_grad=True, name="x")
    with tg.trace() as t:
        [slope] = tg.grad(x**3, [x], create_graph=True)
        slope.backward()
    why = t.why("x")
    assert why.gradient.array == 18.0
    assert {part.sender.inside.number for part in why.parts if part.sender.inside} == {1}
    assert "(made by pass 1)" in str(why)
    arriving = [part.gradient.array for part in why.parts if part.receiver is why.node]
    assert sum(arriving) == pytest.approx(18.0)


def test_a_loss_from_before_the_trace():
    w = leaf(3, name="w")
    early = (w * w).sum()
    y = w * 2.0
    with tg.trace() as t:
        early.backward()
        (y * y).sum().backward()
    for number, before in ((1, ["sum", "multiply", "multiply"]), (2, ["multiply"])):
        parts_before = [part for part in t.why(w, number).parts if part.sender.earlier]
        assert [part.sender.operation.name for part in parts_before] == before
    assert "multiply (before the trace)" in str(t.why(w))
    assert np.allclose(t.why(y).gradient.array, 2 * y.numpy())
    assert set(reasons(t.why_not(y, 1))) == {"leads nowhere"}


def test_a_result_of_an_operation():
    w = leaf(3, name="w")
    with tg.trace() as t:
        c = F.tanh(w)
        loss = (c * c).sum()
        loss.backward()
    for subject in (c, "c", "#1", "1", 1):
        why = t.why(subject)
        assert why.node is t.rows[0]
        assert np.allclose(why.gradient.array, 2 * c.numpy())
        assert len(why.parts) == 3
    assert "is what pass 1 differentiated" in str(t.why(loss))


def test_grad_of_a_result_records_its_gradient():
    w = leaf(3, name="w")
    with tg.trace() as t:
        c = F.tanh(w)
        found = tg.grad((c * c).sum(), c)
    assert np.array_equal(t.why("c").gradient.array, found.numpy())
    assert reasons(t.why_not("w")) == ["not asked"]


@pytest.mark.parametrize(
    "options", [{}, {"k": 2}, {"schedule": "simultaneous"}, {"schedule": "simultaneous", "shared_noise": True}]
)
def test_every_parameter_of_a_game_is_explained(options):
    tg.manual_seed(3)
    g = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3), nn.Sigmoid())
    d = nn.Sequential(nn.Dropout(0.5), nn.Maxout(3, 4, pieces=2), nn.Linear(4, 1))
    with tg.trace(G=g, D=d) as t:
        gan.Algorithm1(g, d, **options).step(np.full((8, 3), 0.5, np.float32))
    for leaf_ in (leaf_ for leaf_ in t.leaves if leaf_.parameter):
        for one in t.passes:
            why = t.why(leaf_.name, one.number)
            if (one.number == len(t.passes)) != leaf_.name.startswith("G"):
                assert "not asked" in reasons(why) or reasons(why) == ["leads nowhere"]
                continue
            arriving = [part.gradient.array for part in why.parts if part.receiver is leaf_]
            np.testing.assert_allclose(sum(arriving), why.gradient.array, rtol=1e-4, atol=1e-7)
            assert why.parts[0].sender is one.output
            assert why.step is not None
            assert str(why)


def test_an_explosion_is_told_at_the_end():
    w = leaf(3, name="w")
    with tg.trace() as t:
        (w * 100.0 * 100.0).sum().backward()
    assert "it grows most at multiply" in str(t.why("w"))


def test_the_update_that_followed():
    layer = nn.Linear(2, 1)
    with tg.trace(net=layer) as t:
        layer(leaf(3, 2)).sum().backward()
        tg.optim.SGD(layer.parameters(), lr=0.5).step()
    before, after = t.why("net.weight").step
    assert np.array_equal(after.array, layer.weight.numpy())
    step = np.linalg.norm(after.array - before.array)
    assert f"changed it by {step:.3g} (norm): {step / before.norm:.2g} times its norm" in str(t.why("net.weight"))
    assert "changed it by 1.5 (norm); before, it was 0" in str(t.why("net.bias"))


def test_one_path_has_a_product_of_factors():
    w = leaf(4, name="w")
    with tg.trace() as t:
        F.sigmoid(F.sigmoid(w) * 2.0).sum().backward()
    why = t.why("w")
    total = why.gradient.norm / why.parts[0].gy.norm
    assert math.prod(part.factor for part in why.parts) == pytest.approx(total)
    assert f"multiplied by {total:.2g}" in str(why)
    assert "(2 times)" in str(why)
