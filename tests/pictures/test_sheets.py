"""Every pixel of a sheet has its position and its level."""

from __future__ import annotations

import io
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.image import imread

from tinygan.errors import DtypeError, RunError, ShapeError
from tinygan.pictures.sheets import BROKEN_COLOUR, GAP, GAP_COLOUR, list_sheets, save_sheet, sheet_path
from tinygan.runs.run_folder import RunFolder


def drawn(path):
    """Return the colours of a PNG as whole numbers (h, w, 3)."""
    pixels = imread(io.BytesIO(path.read_bytes()), format="png")
    assert pixels.shape[2] == 3
    return np.rint(255 * pixels).astype(int)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sheet.png"


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", "", {})


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory):
    return tmp_path_factory.mktemp("sheets") / "sheet.png"


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_each_image_is_at_its_position(shared_path, data):
    count, height, width = (data.draw(st.integers(1, most)) for most in (7, 4, 4))
    shape = (height, width, *data.draw(st.sampled_from([(), (1,), (3,)])))
    images = data.draw(hnp.arrays(np.float32, (count, math.prod(shape)), elements=st.floats(-1, 2, width=32)))
    save_sheet(shared_path, images, shape)

    sheet = drawn(shared_path)
    columns, scale = math.ceil(math.sqrt(count)), math.ceil(32 / max(height, width))
    rows = math.ceil(count / columns)
    down, across = height * scale + GAP, width * scale + GAP
    assert sheet.shape == (rows * down + GAP, columns * across + GAP, 3)
    levels = np.rint(255 * np.clip(images, 0, 1)).reshape(count, height, width, -1)
    seen = np.zeros(sheet.shape[:2], bool)
    for i in range(count):
        top, left = i // columns * down + GAP, i % columns * across + GAP
        tile = sheet[top : top + height * scale, left : left + width * scale]
        assert np.array_equal(tile[::scale, ::scale], np.broadcast_to(levels[i], (height, width, 3)))
        assert np.array_equal(tile, tile[::scale, ::scale].repeat(scale, 0).repeat(scale, 1))
        seen[top : top + height * scale, left : left + width * scale] = True
    assert (sheet[~seen] == GAP_COLOUR).all()


@pytest.mark.parametrize("shown", [(0.0, 1.0), (-1.0, 1.0), (-2.98, 2.98)])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3)])
def test_another_range_is_shown_from_black_to_white(path, shape, shown):
    pixels = np.random.default_rng(0).integers(0, 256, (5, math.prod(shape))) / 255
    pixels[0, :2] = -9, 9  # darker than black, and brighter than white
    save_sheet(path, pixels, shape)
    expected = drawn(path)
    low, high = shown
    save_sheet(path, (low + (high - low) * pixels).astype(np.float32), shape, shown)
    assert np.array_equal(drawn(path), expected)
    save_sheet(path, np.full((1, math.prod(shape)), np.nan), shape, shown)
    assert (drawn(path)[GAP:-GAP, GAP:-GAP] == BROKEN_COLOUR).all()


@pytest.mark.parametrize(("count", "shape", "expected"), [
    (1, (8, 8), (36, 36)),
    (100, (8, 8), (10 * 34 + 2, 10 * 34 + 2)),
    (5, (8, 8), (2 * 34 + 2, 3 * 34 + 2)),
    (4, (28, 28), (2 * 58 + 2, 2 * 58 + 2)),
    (1, (48, 48), (52, 52)),
    (1, (4, 32, 3), (8, 36)),
])  # fmt: skip
def test_the_grid_is_nearly_square_and_the_tiles_are_visible(path, count, shape, expected):
    save_sheet(path, np.zeros((count, math.prod(shape))), shape)
    assert drawn(path).shape[:2] == expected


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 3)])
def test_non_finite_pixels_are_red(path, broken, shape):
    images = np.full((1, math.prod(shape)), 0.2)
    images[0, -1] = broken
    save_sheet(path, images, shape)
    assert drawn(path)[GAP, GAP].tolist() == [51, 51, 51]
    assert drawn(path)[GAP, GAP + 16].tolist() == list(BROKEN_COLOUR)


def test_the_bytes_depend_on_the_images_only(tmp_path):
    import matplotlib

    images = np.random.default_rng(1).random((9, 64), np.float32)
    save_sheet(tmp_path / "a.png", images, (8, 8))
    with matplotlib.rc_context({"savefig.dpi": 300, "image.origin": "lower", "image.cmap": "jet"}):
        save_sheet(tmp_path / "b.png", images, [8, 8])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: save_sheet(tmp_path / f"t{i}.png", images, (8, 8)), range(8)))
    contents = {file.read_bytes() for file in tmp_path.iterdir()}
    assert len(contents) == 1
    assert b"atplotlib" not in contents.pop()


def test_the_images_are_not_changed(path):
    images = np.array([[np.nan, 2.0, -1.0, 0.5]], np.float32)
    before = images.copy()
    images.flags.writeable = False
    save_sheet(path, images, (2, 2))
    assert np.array_equal(images, before, equal_nan=True)


@pytest.mark.parametrize(("images", "shape", "error", "message"), [
    (np.zeros((2, 63)), (8, 8), ShapeError, r"images has shape \(2, 63\); expected \(N, 64\), one flat image of 8 x 8"),
    (np.zeros((2, 8, 8)), (8, 8), ShapeError, r"images has shape \(2, 8, 8\); expected \(N, 64\)"),
    (np.zeros(64), (8, 8), ShapeError, r"images has shape \(64,\)"),
    (np.zeros((0, 64)), (8, 8), ShapeError, "images is empty; expected at least one image"),
    (np.zeros((1, 64)), (64,), ShapeError, r"image_shape is \(64,\); expected \(h, w\)"),
    (np.zeros((1, 48)), (3, 4, 4), ShapeError, r"image_shape is \(3, 4, 4\); .* \(h, w, 3\)"),
    (np.zeros((1, 1)), (1,), ShapeError, r"image_shape is \(1,\), one number; .* see save_line_sheet"),
    (np.zeros((1, 0)), (0, 8), ShapeError, r"image_shape is \(0, 8\)"),
    (np.zeros((1, 64), np.uint8), (8, 8), DtypeError, "images holds uint8; .* divide whole grey levels by 255"),
    (np.zeros((1, 64), complex), (8, 8), DtypeError, "images holds complex128"),
    ([[0.0] * 64], (8, 8), DtypeError, "images is a list; expected a NumPy array"),
])  # fmt: skip
def test_images_that_do_not_fit_are_refused(path, images, shape, error, message):
    with pytest.raises(error, match=message):
        save_sheet(path, images, shape)
    assert not path.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunError, match=r"nowhere/sheet.png: cannot be written: No such file"):
        save_sheet(tmp_path / "nowhere" / "sheet.png", np.zeros((1, 64)), (8, 8))


def test_a_failed_write_leaves_the_old_sheet(path, monkeypatch):
    save_sheet(path, np.zeros((1, 64)), (8, 8))
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(RunError, match=r"sheet.png: cannot be written: No space left on device; free space"):
        save_sheet(path, np.ones((1, 64)), (8, 8))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


# --- names -------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**12))
def test_a_sheet_is_found_under_its_epoch(tmp_path_factory, epoch):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.samples_path.mkdir()
    sheet_path(run, epoch).touch()
    assert list_sheets(run) == [(epoch, sheet_path(run, epoch))]


def test_the_names_of_sheets(tmp_path):
    assert sheet_path(RunFolder(tmp_path), 0) == tmp_path / "samples" / "epoch-000000.png"
    assert sheet_path(RunFolder(tmp_path), 1234567).name == "epoch-1234567.png"
    with pytest.raises(RunError, match="no sample sheet belongs to epoch -1; expected 0 or more"):
        sheet_path(RunFolder(tmp_path), -1)


def test_sheets_are_sorted_and_other_files_ignored(run):
    others = ["epoch-10.png", "epoch-0000007.png", "epoch-000003.jpg", ".epoch-000003.png.0123abcd.tmp",
              "epoch-000003.png.bak", "epoch-٠٠٠٠٠٣.png", "notes.txt"]  # fmt: skip
    for name in others:
        (run.samples_path / name).touch()
    for epoch in (1000000, 999999, 20, 3, 0):
        sheet_path(run, epoch).touch()
    assert [epoch for epoch, _ in list_sheets(run)] == [0, 3, 20, 999999, 1000000]


def test_a_missing_or_wrong_samples_folder(run):
    run.samples_path.rmdir()
    assert list_sheets(run) == []
    run.samples_path.touch()
    with pytest.raises(RunError, match="samples: cannot be read: Not a directory"):
        list_sheets(run)
