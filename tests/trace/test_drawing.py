"""A step with everything in its place."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.trace.traces import EVERY, game, readme
from tinygan.trace.drawing import LINE, draw, named_norm, short, text_width, wrapped
from tinygan.trace.graph import steps
from tinygan.trace.record import Value


def drawings(name):
    with np.errstate(all="ignore"):
        return [draw(step) for step in steps(EVERY[name]())]


@pytest.mark.parametrize("name", EVERY)
def test_nodes_do_not_overlap(name):
    for drawing in drawings(name):
        for a, b in combinations(drawing.nodes.values(), 2):
            assert not a.area.meets(b.area), (a.node.what, b.node.what)


@pytest.mark.parametrize("name", EVERY)
def test_labels_cover_no_node(name):
    for drawing in drawings(name):
        for edge, (x, y) in drawing.labels.items():
            for one in drawing.nodes.values():
                left, top, width, height = one.area
                covered = left < x < left + width and top < y - LINE / 2 < top + height
                assert not covered, (edge.source.what, one.node.what)


@pytest.mark.parametrize("name", EVERY)
def test_boxes_contain_their_nodes_and_no_other(name):
    for drawing in drawings(name):
        for box, (area, first, last) in drawing.boxes.items():
            for node, one in drawing.nodes.items():
                around = [node.box] if node.box else []
                while around and around[-1].parent:
                    around.append(around[-1].parent)
                assert area.meets(one.area) == (box in around), (box.title, node.what)
                assert box not in around or first <= one.column <= last


@pytest.mark.parametrize("name", EVERY)
def test_each_line_fits_into_its_node(name):
    for drawing in drawings(name):
        for one in drawing.nodes.values():
            assert LINE * len(one.lines) < one.area.height
            assert all(text_width(line) < one.area.width for _, line in one.lines)


def texts(drawing):
    return {node.key: [line for _, line in one.lines] for node, one in drawing.nodes.items()}


def test_a_node_has_its_value_and_its_gradient():
    (drawing,) = [draw(step) for step in steps(readme())]
    assert texts(drawing)["r1"] == ["#1 multiply", "6", "g 0.125"]


def test_a_gradient_of_another_step_is_not_shown():
    t = game()
    first, second = (draw(step) for step in steps(t))
    for drawing, player in ((first, "generator"), (second, "discriminator")):
        for node, one in drawing.nodes.items():
            if node.beside is not None and node.what.name.startswith(player):
                assert one.lines[-1] == ("grad none", "not computed")


def test_a_missing_gradient_is_never_zero():
    x = tg.tensor([1.0], requires_grad=True)
    with tg.trace() as t:
        x * 2
    (drawing,) = [draw(step) for step in steps(t)]
    assert [one.lines[-1][1] for one in drawing.nodes.values()] == ["not computed", "not computed"]


@given(st.text(max_size=60))
def test_wrapped_names_fit(name):
    lines = wrapped(name, 14, 3)
    assert 1 <= len(lines) <= 3
    assert all(len(line) <= 14 for line in lines)


def test_a_short_name_is_one_line():
    assert wrapped("#9 linear") == ["#9 linear"]


@pytest.mark.parametrize(
    ("array", "expected"),
    [(2.5, "2.5"), ([1.0, 3.0], "2 ± 1"), (np.zeros((0, 3)), "no elements"), ([np.nan, 1.0], "nan ± nan"), (True, "1")],
)
def test_short_values(array, expected):
    assert short(Value(np.array(array))) == expected


def test_a_gradient_of_one_number_has_its_sign():
    assert named_norm(Value(np.array([-3.0]))) == "g -3"
    assert named_norm(Value(np.array([-3.0, 4.0]))) == "‖g‖ 5"
