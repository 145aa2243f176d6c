"""The graph as one SVG picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.traces import EVERY, failed, game, readme
from tinygan.trace.svg import curve, text

SVG = "{http://www.w3.org/2000/svg}"


def parsed(name):
    return ET.fromstring(EVERY[name]().svg())


def words(root):
    return [element.text for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", EVERY)
def test_the_picture_is_well_formed_and_alone(name):
    root = parsed(name)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert not list(root.iter(f"{SVG}script"))
    values = [value for element in root.iter() for value in element.attrib.values()]
    assert not [value for value in values if "url(" in value or "//" in value]


@pytest.mark.parametrize("name", EVERY)
def test_each_operation_and_its_number_is_drawn(name):
    t = EVERY[name]()
    titles = [element.text for element in ET.fromstring(t.svg()).iter(f"{SVG}title")]
    assert [str(row) for row in t.rows] == [title for title in titles if title.startswith("#")] or name == "odd names"


def test_edges_have_shapes_and_norms():
    found = words(parsed("alternating"))
    assert found.count("(10, 1)") >= 2
    assert "not recorded" in found
    assert "not computed" in found


def test_the_picture_follows_the_colour_of_the_text():
    picture = readme().svg()
    assert "fill:currentColor" in picture
    assert "background" not in picture


def test_parameters_that_moved_are_marked():
    root = ET.fromstring(game().svg())
    moved = [group for group in root.iter(f"{SVG}g") if "moved" in group.get("class", "").split()]
    assert len(moved) == 8


def test_an_operation_that_failed_is_marked():
    root = ET.fromstring(failed().svg())
    (group,) = [group for group in root.iter(f"{SVG}g") if "failed" in group.get("class", "").split()]
    assert group.get("id") == "r3"


def test_an_empty_trace_says_so():
    assert any("empty" in line for line in words(parsed("empty")))


def test_a_notebook_shows_the_picture():
    t = readme()
    assert t.svg() in t._repr_html_()


@given(st.text())
def test_any_text_is_safe(line):
    root = ET.fromstring(f'<a b="{text(line)}">{text(line)}</a>')
    assert len(root) == 0
    assert set(root.attrib) == {"b"}


def test_a_curve_begins_and_ends_at_its_points():
    assert curve([(0, 0), (10, 20), (30, 20)]).startswith("M0 0C")
    assert curve([(0, 0), (10, 20), (30, 20)]).endswith("30 20")
