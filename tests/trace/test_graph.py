"""The graph of a trace: its steps, and the nodes, edges and boxes of each."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tests.trace.traces import EVERY, failed, game, readme, second_order, unrolled
from tinygan import nn, optim
from tinygan.trace.graph import sent, steps
from tinygan.trace.record import Leaf, Row


@pytest.mark.parametrize("name", EVERY)
def test_each_row_pass_and_update_is_in_one_step(name):
    t = EVERY[name]()
    found = steps(t)
    assert [row for step in found for row in step.rows] == t.rows
    assert [one for step in found for one in step.passes] == t.passes
    assert [update for step in found for update in step.updates] == t.updates


@pytest.mark.parametrize("name", EVERY)
def test_each_input_that_is_a_tensor_is_an_edge(name):
    for step in steps(EVERY[name]()):
        rows = [node.what for node in step.nodes if isinstance(node.what, Row) and node.what in step.rows]
        assert rows == step.rows
        inputs = [operand for row in step.rows for operand in row.operands if operand.is_tensor]
        assert len(step.edges) == len(inputs)
        keys = [node.key for node in step.nodes] + [box.key for box in step.boxes]
        assert len(keys) == len(set(keys))


def test_the_steps_of_both_players():
    first, second = steps(game())
    assert first.title() == "Step 1: discriminator moves"
    assert second.title() == "Step 2: generator moves"
    assert {leaf.name.split(".")[0] for leaf in first.still} == {"generator"}
    assert {leaf.name.split(".")[0] for leaf in second.still} == {"discriminator"}


def test_k_steps_of_d_are_k_steps():
    assert [step.title() for step in steps(game(k=2))] == [
        "Step 1: discriminator moves",
        "Step 2: discriminator moves",
        "Step 3: generator moves",
    ]


def test_both_players_at_once_are_one_step():
    (step,) = steps(game(schedule="simultaneous", shared_noise=True))
    assert step.title() == "Step 1: generator and discriminator move"
    assert len(step.passes) == 2


def test_passes_through_one_graph_stay_together():
    w, v = tg.tensor([2.0], requires_grad=True), tg.tensor([3.0], requires_grad=True)
    with tg.trace() as t:
        y = w * v
        y.sum().backward(retain_graph=True)
        optim.SGD([tg.tensor([1.0], requires_grad=True)], 0.1)
        v.data[...] = 1.0
        z = F.exp(tg.tensor([1.0], requires_grad=True))
        z.sum().backward()
    assert sum(len(step.rows) for step in steps(t)) == len(t.rows)


def test_an_earlier_result_is_drawn_again():
    w = tg.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([w], 0.1)
    with tg.trace() as t:
        y = w * 3
        y.sum().backward()
        optimizer.step()
        (y.detach() * w).sum().backward()
    first, second = steps(t)
    stub = next(node for node in second.nodes if node.what is t.rows[0])
    assert stub.key not in {node.key for node in first.nodes}


def test_parameters_stand_under_their_operation():
    (step,) = steps(failed())
    under = {node.what.name: node.beside.number for node in step.nodes if node.beside is not None}
    assert under == {"net.0.weight": 1, "net.0.bias": 1, "net.2.weight": 3, "net.2.bias": 3}


def test_a_tensor_with_few_users_is_one_node():
    (step,) = steps(readme())
    a = [node for node in step.nodes if isinstance(node.what, Leaf) and node.what.name == "a"]
    assert len(a) == 1
    assert [edge.target.key for edge in step.edges if edge.source is a[0]] == ["r1", "r2"]


def test_a_tensor_with_many_users_is_drawn_beside_each():
    (step,) = steps(unrolled(20))
    assert sum(isinstance(node.what, Leaf) and node.what.name == "w" for node in step.nodes) == 20


def test_modules_are_boxes_in_boxes():
    first, _ = steps(game())
    titles = {box.title: box.parent.title if box.parent else None for box in first.boxes}
    assert titles == {"generator": None, "discriminator": None, "discriminator.0": "discriminator"}


def test_two_calls_of_a_module_are_two_boxes():
    net = nn.Linear(2, 2)
    x, y = tg.tensor(np.ones((1, 2), np.float32)), tg.tensor(np.ones((1, 2), np.float32))
    with tg.trace(net=net) as t:
        net(x)
        net(y)
    (step,) = steps(t)
    assert [(box.title, len(box.rows)) for box in step.boxes] == [("net", 1), ("net", 1)]


def test_a_recorded_pass_has_a_box_of_its_own():
    (step,) = steps(second_order())
    (box,) = step.boxes
    assert box.of_pass
    assert {row.inside for row in box.rows} == {step.passes[0]}


def test_a_gradient_arrives_in_the_shape_of_the_input():
    x, b = tg.tensor(np.ones((3, 2)), requires_grad=True), tg.tensor(np.ones(2), requires_grad=True)
    with tg.trace() as t:
        (x + b).sum().backward()
    row = t.rows[0]
    found = sent(row, row.rules[0], 1)
    np.testing.assert_array_equal(found.array, [3.0, 3.0])
