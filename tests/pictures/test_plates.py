"""Every pixel of a plate has its position, and a frame is in the gap."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from PIL import Image

from tinygan.errors import RunError, ShapeError
from tinygan.pictures.plates import FRAME, FRAME_COLOUR, GAP, PAPER, SMALLEST_TILE, arrange, save_animation, save_plate


def tiles(rows, columns, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, height, width, 3), np.uint8)


def drawn(path):
    return np.rint(255 * imread(io.BytesIO(path.read_bytes()), format="png")[..., :3]).astype(int)


@given(*[st.integers(1, 4)] * 4, st.sets(st.integers(0, 3)))
def test_each_image_is_in_its_row_and_column(rows, columns, height, width, framed):
    images = tiles(rows, columns, height, width)
    picture = arrange(images, framed)
    scale = -(-SMALLEST_TILE // max(height, width))
    down, across = height * scale + GAP, width * scale + GAP
    assert picture.shape == (rows * down + GAP, columns * across + GAP, 3)
    for row, column in np.ndindex(rows, columns):
        top, left = row * down + GAP, column * across + GAP
        tile = picture[top : top + height * scale, left : left + width * scale]
        assert (tile == np.kron(images[row, column], np.ones((scale, scale, 1), int))).all()
        beside = picture[top, left - FRAME : left]
        assert (beside == (FRAME_COLOUR if column in framed else PAPER)).all()


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 1, 8, 8, 1), (0, 1, 8, 8, 3), (1, 1, 8, 0, 3)])
def test_arrange_refuses_other_shapes(shape):
    with pytest.raises(ShapeError, match="arrange: tiles has shape"):
        arrange(np.zeros(shape, np.uint8))


def test_a_plate_keeps_the_pixels_of_its_panels(tmp_path):
    panels = [(f"panel {i}: $a_1$", arrange(tiles(2, 3, 8, 8, seed=i))) for i in range(3)]
    save_plate(tmp_path / "a.png", panels)
    sheet = drawn(tmp_path / "a.png")
    height, width, _ = panels[0][1].shape
    second_row = (sheet.shape[0] // 2, 0)
    for (top, left), (_, picture) in zip([(0, 0), (0, width), second_row], panels, strict=True):
        assert (sheet[top : top + height, left : left + width] == picture).all()
        caption = sheet[top + height : sheet.shape[0] // 2 + top, left : left + width]
        assert caption.min() < 50  # something is written below it
    assert (sheet[second_row[0] :, width:] == 255).all()


def test_a_long_caption_takes_more_lines(tmp_path):
    picture = arrange(tiles(1, 2, 8, 8))
    for name, caption in (("short", "a caption"), ("long", "a caption " * 9)):
        save_plate(tmp_path / name, [(caption, picture)])
    assert drawn(tmp_path / "long").shape[0] > drawn(tmp_path / "short").shape[0]


def test_the_same_images_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_plate(tmp_path / f"{name}.png", [("x", arrange(tiles(1, 2, 8, 8)))])
        save_animation(tmp_path / f"{name}.gif", [tiles(1, 1, 8, 8)[0, 0]] * 2, 50)
    for kind in ("png", "gif"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("grey", [True, False])
def test_an_animation_has_its_frames(tmp_path, grey):
    levels = [np.arange(start, start + 64, dtype=np.uint8).reshape(8, 8, 1) for start in (0, 100, 190)]
    frames = [np.repeat(level, 3, axis=2) for level in levels]
    if not grey:
        frames = [frame * np.uint8([1, 0, 1]) for frame in frames]
    save_animation(tmp_path / "a.gif", frames, 50)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (3, 0, 50)
        for number, frame in enumerate(frames):
            gif.seek(number)
            found = np.asarray(gif.convert("RGB")).astype(int)
            assert abs(found - frame).max() <= (0 if grey else 4)


def test_no_panel_and_frames_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(ShapeError, match="save_plate: panels is empty"):
        save_plate(tmp_path / "a.png", [])
    for frames in ([], [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)]):
        with pytest.raises(ShapeError, match="save_animation: expected one frame or more"):
            save_animation(tmp_path / "a.gif", frames, 50)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(RunError, match=r"a\.png: cannot be written"):
        save_plate(tmp_path / "a.png", [("x", arrange(tiles(1, 1, 8, 8)))])
