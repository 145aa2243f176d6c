"""Pictures of characters: every pixel has its place and its colour."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygan.errors import ShapeError
from tinygan.pictures.terminal import BROKEN, RAMP, STYLES, draw_histogram, draw_images, style_of

CELL = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);(?:48;2;(\d+);(\d+);(\d+)|49)m")


def pixels_of(line):
    """Return the colours of the upper and the lower pixels of a line of half blocks."""
    upper, lower, colours = [], [], None
    for part in re.split(r"(\x1b\[[\d;]*m)", line):
        found = CELL.fullmatch(part)
        if found:
            numbers = [None if number is None else int(number) for number in found.groups()]
            colours = numbers[:3], numbers[3:]
        elif not part.startswith("\x1b"):
            for character in part:
                if character == "▀":
                    upper.append(colours[0])
                    lower.append(colours[1])
    return upper, lower


@given(st.data())
def test_every_pixel_has_its_colour(data):
    count, height, width = (data.draw(st.integers(1, most)) for most in (3, 5, 5))
    shape = (height, width, *data.draw(st.sampled_from([(), (1,), (3,)])))
    images = data.draw(hnp.arrays(np.float32, (count, math.prod(shape)), elements=st.floats(0, 1, width=32)))
    lines, columns, drawn = draw_images(images, shape, 100, "24-bit")
    assert (columns, drawn) == (count * (width + 1) - 1, count)
    levels = np.broadcast_to(
        np.rint(255 * images).astype(int).reshape(count, height, width, -1), (count, height, width, 3)
    )
    rows = []
    for line in lines:
        assert line.endswith("\x1b[0m")
        assert len(re.sub(r"\x1b\[[\d;]*m", "", line)) == columns
        rows += pixels_of(line)
    assert len(lines) == (height + 1) // 2
    for row in range(height):
        assert rows[row] == levels[:, row].reshape(-1, 3).tolist()
    assert rows[height:] == [[[None] * 3] * (count * width)] * (height % 2)  # no pixel below an odd height


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 9))
def test_a_picture_fits_its_columns(columns, width, count):
    images = np.zeros((count, 4 * width), np.float32)
    for style in ("plain", "256", "24-bit"):
        lines, used, drawn = draw_images(images, (4, width), columns, style)
        assert used <= columns
        assert 1 <= drawn <= count
        for line in lines:
            assert len(re.sub(r"\x1b\[[\d;]*m", "", line)) == used


def test_a_wide_image_becomes_its_means():
    image = np.array([[0.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0, 0.0]]).reshape(1, -1)
    lines, width, _ = draw_images(image, (2, 5), 3, "24-bit")
    upper, lower = pixels_of(lines[0])
    assert width == 3
    assert [grey for grey, _, _ in upper] == [128, 255, 0]  # the last block has one column
    assert lower == [[None] * 3] * 3


def test_plain_characters_go_from_black_to_white():
    ramp = np.linspace(0, 1, len(RAMP))
    lines, _, _ = draw_images(np.stack([ramp, ramp]).reshape(1, -1), (2, len(RAMP)), 80)
    assert lines == [RAMP]


@pytest.mark.parametrize("style", STYLES)
def test_another_range_is_shown_from_black_to_white(style):
    pixels = np.random.default_rng(0).random((2, 4 * 6 * 3))
    expected = draw_images(pixels, (4, 6, 3), 80, style)
    assert draw_images(2 * pixels - 1, (4, 6, 3), 80, style, (-1.0, 1.0)) == expected


def test_a_pixel_that_is_not_finite_is_marked():
    image = np.array([[np.nan, 1.0, np.inf, 0.0]])
    assert draw_images(image, (1, 4), 80)[0] == [f"{BROKEN}@{BROKEN} "]
    assert pixels_of(draw_images(image, (1, 4), 80, "24-bit")[0][0])[0][0] == [255, 0, 0]


@pytest.mark.parametrize(
    ("colour", "code"),
    [((0, 0, 0), 16), ((1, 1, 1), 231), ((0.5, 0.5, 0.5), 244), ((1, 0, 0), 196), ((0, 0, 1), 21)],
)
def test_256_colours(colour, code):
    [line], _, _ = draw_images(np.array([colour], float), (1, 1, 3), 80, "256")
    assert line == f"\x1b[38;5;{code};49m▀\x1b[0m"


def test_numbers_are_no_picture():
    with pytest.raises(ShapeError):
        draw_images(np.zeros((3, 1)), (1,), 80)


@given(
    hnp.arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.integers(1, 40),
    st.sampled_from(["plain", "24-bit"]),
)
def test_a_histogram_has_its_columns(values, columns, style):
    finite = values[np.isfinite(values)]
    low, high = (-1.0, 1.0) if not finite.size else (max(finite.min(), -1e300), min(finite.max(), 1e300))
    line = draw_histogram(values, float(low), float(high), columns, style)
    assert len(line) == columns


def test_a_histogram_counts():
    values = np.array([0.0] * 8 + [1.0] * 4 + [3.0] * 1 + [9.0])
    assert draw_histogram(values, 0, 4, 4, "24-bit") == "█▄ ▁"
    for value in (1.0, 0.0, -1e30):  # one value only
        assert draw_histogram(np.full(3, value), value, value, 3) == " @ "


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "style"),
    [
        ({"TERM": "xterm"}, "256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "24-bit"),
        ({"TERM": "xterm", "COLORTERM": "24bit", "NO_COLOR": ""}, "24-bit"),
        ({"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "plain"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "plain"),
        ({}, "plain"),
    ],
)
def test_the_style_of_a_terminal(environment, style):
    assert style_of(Terminal(), environment) == style


def test_no_terminal_is_plain():
    ascii_only = Terminal()
    ascii_only.encoding = "ascii"
    for stream in (None, io.StringIO(), ascii_only):
        assert style_of(stream, {"TERM": "xterm", "COLORTERM": "truecolor"}) == "plain"
