from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tinygan.data import Dataset, Split
from tinygan.errors import DataError, DtypeError, ShapeError
from tinygan.pictures.line import axis_of, save_line_sheet
from tinygan.pictures.sheets import save_sheet


def split(count: int = 3, pixels: int = 64) -> Split:
    return Split(np.zeros((count, pixels), np.float32), np.zeros(count, np.uint8))


def test_a_split_is_read_only_and_leaves_the_arrays_writeable() -> None:
    images, labels = np.zeros((3, 64), np.float32), np.zeros(3, np.uint8)
    made = Split(images, labels)
    with pytest.raises(ValueError, match="read-only"):
        made.images[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        made.labels[0] = 1
    assert np.shares_memory(made.images, images)
    images[0, 0] = 1


def test_fields_are_frozen() -> None:
    with pytest.raises(AttributeError):
        split().images = np.zeros((1, 1), np.float32)  # type: ignore[misc]


def test_splits_and_datasets_compare_by_identity_and_hash() -> None:
    one, other = split(), split()
    assert one == one
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.zeros((3, 4)), np.zeros(3, np.uint8), DtypeError, "images must be float32, got float64"),
        (np.zeros((3, 4), np.float32), np.zeros(3, int), DtypeError, "labels must be uint8, got int64"),
        (np.zeros((3, 2, 2), np.float32), np.zeros(3, np.uint8), ShapeError, "rows of pixels"),
        (np.zeros((4, 3), np.float32).T, np.zeros(3, np.uint8), ShapeError, "contiguous"),
        (np.zeros((3, 4), np.float32), np.zeros(2, np.uint8), ShapeError, r"\(3,\).*got \(2,\)"),
        (np.zeros((3, 4), np.float32), np.zeros((3, 1), np.uint8), ShapeError, r"got \(3, 1\)"),
    ],
)
def test_a_split_refuses_other_arrays(
    images: Any, labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Split(images, labels)


@pytest.mark.parametrize("wrong", ["train", "validation", "test"])
def test_rows_must_have_the_size_of_the_picture(wrong: str) -> None:
    parts = {part: split(pixels=63 if part == wrong else 64) for part in ("train", "validation", "test")}
    with pytest.raises(ShapeError, match=rf"{wrong} has 63 pixels a row.*\(8, 8\) needs 64"):
        Dataset("odd", (8, 8), **parts)


def test_reprs_are_short() -> None:
    made = Dataset("toy", (8, 8), split(5), split(2), split(1))
    assert repr(made) == "Dataset('toy', images of 8x8, train 5, validation 2, test 1)"
    assert repr(made.train) == "Split(5 images of 64 pixels)"
    assert len(made.train) == 5


def test_the_repr_of_plain_numbers() -> None:
    parts = [split(5, pixels=1)] * 3
    assert repr(Dataset("toy", (1,), *parts)) == "Dataset('toy', points of 1 number, train 5, validation 5, test 5)"


# ---------------------------------------------------------------------- values


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_a_split_has_its_smallest_and_largest_pixel(images: Any) -> None:
    made = Split(images, np.zeros(len(images), np.uint8))
    assert (made.low, made.high) == (images.min(), images.max())


@given(st.integers(0, 4), st.integers(0, 5), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_pixel_that_is_not_finite_is_named(row: int, pixel: int, value: float) -> None:
    images = np.ones((5, 6), np.float32)
    images[row, pixel] = value
    with pytest.raises(DataError, match=rf"^Split: pixel {pixel} of image {row} is {value}; expected finite numbers"):
        Split(images, np.zeros(5, np.uint8))


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        ([[1.0]], np.zeros(1, np.uint8), DtypeError, "images must be float32, got list"),
        (np.zeros((1, 4), np.uint8), np.zeros(1, np.uint8), DtypeError, "got uint8; divide pixels by 255"),
        (np.ma.ones((1, 4), np.float32), np.zeros(1, np.uint8), DtypeError, "images must be float32, got MaskedArray"),
        (np.zeros((1, 4), np.float32), [0], DtypeError, "labels must be uint8, got list"),
        (np.zeros((0, 4), np.float32), np.zeros(0, np.uint8), ShapeError, r"at least one row .* got \(0, 4\)"),
        (np.zeros((4, 0), np.float32), np.zeros(4, np.uint8), ShapeError, r"at least one pixel, got \(4, 0\)"),
    ],
)
def test_a_split_refuses_arrays_without_images(images: Any, labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Split(images, labels)


def test_a_memory_mapped_array_becomes_a_plain_one(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((3, 4), np.float32))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert type(mapped) is np.memmap
    assert type(Split(mapped, np.zeros(3, np.uint8)).images) is np.ndarray


# ---------------------------------------------------------------------- one rule for data and pictures

sizes = st.integers(1, 5)
drawable = st.one_of(
    st.just((1,)), st.tuples(sizes, sizes), st.tuples(sizes, sizes, st.sampled_from([1, 3]))
)


@pytest.mark.slow
@given(drawable, st.booleans())
def test_a_sheet_can_draw_every_dataset(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], as_list: bool
) -> None:
    part = split(2, pixels=math.prod(shape))
    given_shape: Any = [np.int64(size) for size in shape] if as_list else shape
    made = Dataset("toy", given_shape, part, part, part)
    assert made.image_shape == shape
    assert all(type(size) is int for size in made.image_shape)
    path = tmp_path_factory.mktemp("sheet") / "sheet.png"
    if shape == (1,):
        save_line_sheet(path, part.images, axis_of(part.images))
    else:
        save_sheet(path, part.images, made.image_shape)
    assert path.stat().st_size


@pytest.mark.parametrize(
    "shape", [(), (2,), (784,), (3, 8, 8), (8, 8, 2), (8, 8, 4), (2, 2, 2, 2), (0, 8), (-8, -8), (8.0, 8), "88", 64]
)
def test_a_shape_that_no_sheet_can_draw_is_refused(tmp_path: Path, shape: Any) -> None:
    pixels = abs(math.prod(shape)) if isinstance(shape, tuple) else 64
    part = split(2, pixels=int(pixels) or 1)
    with pytest.raises(ShapeError, match=r"^Dataset toy: image_shape is .*; expected \(h, w\), "):
        Dataset("toy", shape, part, part, part)
    if isinstance(shape, tuple):
        with pytest.raises(ShapeError, match=r"^save_sheet: image_shape is "):
            save_sheet(tmp_path / "sheet.png", part.images, shape)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": ""}, DtypeError, "expected a name, got ''"),
        ({"name": None}, DtypeError, "expected a name, got None"),
        ({"fold": -1}, DataError, "expected a fold from 0, or None, got -1"),
        ({"fold": True}, DataError, "expected a fold from 0, or None, got True"),
        ({"fold": "first"}, DataError, "expected a fold from 0, or None, got 'first'"),
        ({"test": (1, 2)}, DtypeError, "test is tuple; expected a Split"),
        ({"shown": (1.0, 0.0)}, DataError, "expected the numbers for black and for white"),
        ({"shown": (0.0, math.inf)}, DataError, "expected the numbers for black and for white"),
        ({"shown": (0.0,)}, DataError, "expected the numbers for black and for white"),
    ],
)
def test_the_other_fields_are_checked(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    fields: dict[str, Any] = {"name": "toy", "train": split(), "validation": split(), "test": split()} | changes
    with pytest.raises(error, match=message):
        Dataset(image_shape=(8, 8), **fields)
