"""The layout: edges go to the right, nothing overlaps, and few edges cross."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.trace.layout import Layout, Size, columns_of, crossings, place, rising


@st.composite
def graphs(draw):
    """Return items with their sizes, edges, and the items that belong below the others."""
    count = draw(st.integers(0, 9))
    pairs = list(combinations(range(count), 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=14)) if pairs else []
    side = st.floats(1, 50)
    sizes = {item: Size(draw(side), draw(side), draw(side)) for item in range(count)}
    low = draw(st.sets(st.integers(0, max(count - 1, 0)), max_size=3)) if count else set()
    return sizes, edges, low


def area(layout: Layout, sizes, item):
    x, y = layout.centres[item]
    size = sizes[item]
    return x - size.width / 2, y - size.above, x + size.width / 2, y + size.below


@given(graphs())
def test_every_edge_goes_to_the_right(graph):
    sizes, edges, low = graph
    layout = place(sizes, edges, below=low)
    for (source, target), points in zip(edges, layout.edges, strict=True):
        assert layout.columns[source] < layout.columns[target]
        assert [point.x for point in points] == sorted(point.x for point in points)
        assert points[0].y == layout.centres[source][1]
        assert points[-1].y == layout.centres[target][1]


@given(graphs())
def test_no_two_items_overlap(graph):
    sizes, edges, low = graph
    layout = place(sizes, edges, below=low)
    for a, b in combinations(sizes, 2):
        left, top, right, bottom = area(layout, sizes, a)
        left_b, top_b, right_b, bottom_b = area(layout, sizes, b)
        slack = 1e-6
        apart = left_b >= right - slack or left >= right_b - slack or top_b >= bottom - slack or top >= bottom_b - slack
        assert apart, (a, b)


@given(graphs())
def test_everything_is_inside_the_width_and_height(graph):
    sizes, edges, low = graph
    layout = place(sizes, edges, below=low)
    for item in sizes:
        left, top, right, bottom = area(layout, sizes, item)
        assert min(left, top) >= -1e-6
        assert right <= layout.width + 1e-6
        assert bottom <= layout.height + 1e-6


@given(graphs())
def test_low_items_are_below_all_others(graph):
    sizes, edges, low = graph
    layout = place(sizes, edges, below=low)
    others = [area(layout, sizes, item)[3] for item in sizes if item not in low]
    for item in low:
        assert area(layout, sizes, item)[1] >= max(others, default=0) - 1e-6


@given(st.integers(1, 30))
def test_a_chain_is_a_straight_line(count):
    sizes = {item: Size(10, 5 + item % 3, 20 - item % 7) for item in range(count)}
    layout = place(sizes, [(item, item + 1) for item in range(count - 1)])
    assert len({round(y, 6) for _, y in layout.centres.values()}) == 1


def test_a_long_edge_passes_beside_the_item_between():
    sizes = dict.fromkeys("abc", Size(10, 10, 10))
    layout = place(sizes, [("a", "b"), ("b", "c"), ("a", "c")])
    _, top, _, bottom = area(layout, sizes, "b")
    assert all(not top < point.y < bottom for point in layout.edges[2][1:-1])


def test_an_item_without_a_past_stands_beside_its_user():
    edges = [("x", "y"), ("y", "z"), ("late", "z")]
    assert columns_of(["x", "y", "late", "z"], edges)["late"] == 1


def test_medians_undo_crossings():
    sizes = dict.fromkeys(["a", "b", "c", "A", "B", "C"], Size(1, 1, 1))
    edges = [("a", "C"), ("b", "B"), ("c", "A")]
    layout = place(sizes, edges)
    order = [sorted(names, key=lambda name: layout.centres[name][1]) for names in ("abc", "ABC")]
    assert crossings(*order, edges) == 0


@given(st.lists(st.floats(-100, 100), max_size=12))
def test_rising_never_falls_and_keeps_the_mean(wanted):
    found = rising(wanted)
    assert found == sorted(found)
    assert sum(found) == pytest.approx(sum(wanted), abs=1e-6)


@given(st.lists(st.floats(-100, 100), max_size=12))
def test_rising_keeps_what_rises(wanted):
    assert rising(sorted(wanted)) == sorted(wanted)


def test_a_thousand_columns_are_quick():
    sizes = {item: Size(10, 5, 5) for item in range(1000)}
    layout = place(sizes, [(item, item + 1) for item in range(999)] + [(0, item) for item in range(2, 1000)])
    assert len(layout.edges) == 1997
