"""A chart has its values at the right heights and unique ids, and does not change matplotlib."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygan.report.charts import HEIGHT, MOST_READINGS, WIDTH, Chart, Line, Reference, draw_chart, readings, thinned


def chart_of(y, name="loss", references=(), **options):
    y = np.asarray(y, float)
    x = np.arange(1.0, len(y) + 1)
    return Chart(name, "Loss", "Lower is better.", x, [Line("D", "d", y)], references, **options)


def heights(svg, colour):
    """Return the y coordinates of the paths of one colour, solid lines only."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: var\(--{colour}\)[^>]*stroke-linecap: square', svg)
    return [float(y) for path in paths for y in re.findall(r"[ML] [\d.-]+ ([\d.-]+)", path)]


def test_the_svg_is_well_formed_and_loads_nothing():
    svg = draw_chart(chart_of([1, 2, 3]), 'a <"description"> & more')
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.attrib == {
        "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": 'a <"description"> & more',
    }  # fmt: skip
    assert "http" not in svg
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert all(target.startswith("#loss-") for target in re.findall(r'href="([^"]*)', svg))


def test_ids_begin_with_the_chart_name_and_links_resolve():
    svg = draw_chart(chart_of([1, 2], name="first"), "")
    other = draw_chart(chart_of([1, 2], name="second"), "")
    ids = set(re.findall(r'\bid="([^"]*)', svg))
    assert ids
    assert ids.isdisjoint(re.findall(r'\bid="([^"]*)', other))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', svg)) <= ids


def test_every_colour_is_a_variable_of_the_page():
    references = [Reference("half", "1/2", "ink", 0.5), Reference("two", "2", "value", 2.0)]
    svg = draw_chart(chart_of([1, 2, 3], references=references), "")
    assert re.findall("#[0-9a-f]{6}", svg) == []
    for name in ("ink", "grid", "d", "value"):
        assert f"var(--{name})" in svg


def test_a_line_rises_with_its_values():
    y = heights(draw_chart(chart_of([1, 3, 2]), ""), "d")
    assert len(y) == 3
    assert y[1] < y[2] < y[0]  # in SVG, y increases downwards
    assert (y[0] - y[1]) == pytest.approx(2 * (y[0] - y[2]), abs=1e-3)


def test_a_logarithmic_line_omits_values_without_a_logarithm():
    y = heights(draw_chart(chart_of([1, 10, 100, 0, -5], logarithmic=True), ""), "d")
    assert len(y) == 3
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=1e-3)


def test_a_reference_is_visible_far_from_the_line():
    svg = draw_chart(chart_of([9, 10], references=[Reference("log-4", "log 4", "g", 1.386)]), "")
    (group,) = re.findall(r'<g id="loss-reference-log-4">(.*?)</g>', svg, re.DOTALL)
    assert "stroke: var(--g)" in group
    assert "stroke-dasharray" in group
    level = {float(y) for y in re.findall(r"[ML] [\d.-]+ ([\d.-]+)", group)}
    assert len(level) == 1
    assert max(heights(svg, "d")) < level.pop() < HEIGHT


def test_the_axis_has_the_given_limits():
    svg = draw_chart(chart_of([0.4, 0.6], limits=(0, 1)), "")
    assert re.search(r">0</text>.*>1</text>", svg, re.DOTALL)
    top = draw_chart(chart_of([0.0998, 0.0997], limits=(0, None)), "")
    assert ">0</text>" in top
    assert ">0.1</text>" in top


@pytest.mark.slow
@pytest.mark.parametrize("y", [
    [np.nan], [np.nan, np.nan], [0.0], [1e-300], [1e300], [1.0, np.nan, 2.0], [5.0] * 30, [0.21, 0.28] * 20,
    [-1e38, 1e38], [0.0, 0.0],
])  # fmt: skip
@pytest.mark.parametrize("logarithmic", [False, True])
def test_odd_numbers_are_drawn_without_a_warning(y, logarithmic):
    ElementTree.fromstring(draw_chart(chart_of(y, logarithmic=logarithmic), ""))


@pytest.mark.slow
@pytest.mark.parametrize(("bottom", "top"), [(0.21, 0.28), (0.1, 1), (0.03, 3), (1e-4, 10), (1e-30, 1e30)])
def test_a_logarithmic_axis_has_a_few_ticks(bottom, top):
    svg = draw_chart(chart_of([bottom, top] * 15, logarithmic=True), "")
    ticks = svg[svg.index("matplotlib.axis_2") :]
    assert 2 <= ticks.count("<text") <= 9


@pytest.mark.parametrize("y", [[1.0], [np.nan, 2.0, np.nan, 1.0, 1.0], [1.0] + [np.nan] * 5000])
def test_a_point_between_two_gaps_is_a_dot(y):
    svg = draw_chart(chart_of(y), "")
    (marker,) = set(re.findall(r'<path id="(loss-m[^"]*)" d="[^"]*C', svg))  # round, not a tick
    assert svg.count(f'href="#{marker}"') == 1


def test_an_unbroken_line_has_no_dots():
    assert not re.search(r'<path id="[^"]*" d="[^"]*C', draw_chart(chart_of([1.0, 2.0, 3.0]), ""))


@pytest.mark.slow
def test_equal_charts_give_equal_text():
    chart = chart_of([1, 2, 3])
    before = dict(matplotlib.rcParams)
    expected = draw_chart(chart, "")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.linewidth": 9, "svg.fonttype": "path"}):
        assert draw_chart(chart, "") == expected
        assert matplotlib.rcParams["font.size"] == 30
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: draw_chart(chart, ""), range(8))) == {expected}
    assert dict(matplotlib.rcParams) == before


def test_lines_of_one_chart_may_have_other_epochs():
    first, second = Line("A", "a", np.array([1.0, 2.0])), Line("B", "b", np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    chart = Chart("two", "", "", np.array([1.0, 2.0]), [first, second])
    assert chart.end == 4
    svg = draw_chart(chart, "")
    ends = {}
    for colour in "ab":
        (path,) = re.findall(rf'<path d="([^"]*)"[^>]*stroke: var\(--{colour}\)', svg)
        ends[colour] = [float(x) for x in re.findall(r"[ML] ([\d.-]+)", path)]
    assert ends["a"][1] == pytest.approx(ends["b"][0])
    assert ends["b"][1] == pytest.approx(0.95 * WIDTH)  # where the script of the page expects the last epoch


# --- readings ----------------------------------------------------------------------------------------------


@given(hnp.arrays(float, st.integers(1, 1500), elements=st.floats(-10, 10) | st.just(np.nan)))
def test_readings_are_values_of_the_line(y):
    x = np.arange(1.0, len(y) + 1)
    epochs, values = readings(x, y)
    assert epochs == sorted(set(epochs))
    assert (epochs[0], epochs[-1]) == (1, len(y))
    assert len(epochs) == min(len(y), MOST_READINGS)
    expected = y[np.array(epochs) - 1]
    assert np.allclose(np.array(values, float), expected, rtol=1e-3, atol=0, equal_nan=True)


# --- thinning ----------------------------------------------------------------------------------------------


@given(hnp.arrays(float, st.integers(1, 400), elements=st.floats(-10, 10) | st.just(np.nan)), st.integers(2, 60))
def test_thinning_keeps_ends_extremes_and_gaps(y, most):
    x = np.arange(float(len(y)))
    kept_x, kept_y = thinned(x, y, most)
    assert np.array_equal(kept_y, y[kept_x.astype(int)], equal_nan=True)
    assert (np.diff(kept_x) > 0).all()
    assert kept_x[0] == 0
    assert kept_x[-1] == len(y) - 1
    assert np.isnan(kept_y).any() == np.isnan(y).any()
    finite, kept = y[np.isfinite(y)], kept_y[np.isfinite(kept_y)]
    if len(finite):
        assert (kept.min(), kept.max()) == (finite.min(), finite.max())
    assert len(kept_x) <= max(most, 3 * (most // 2) + 2)


def test_a_short_line_is_not_thinned():
    x = np.arange(10.0)
    assert thinned(x, x, 10)[0] is x


def test_a_long_line_is_small():
    noise = np.random.default_rng(0).normal(size=100_000)
    assert len(draw_chart(chart_of(noise), "")) < 60_000
