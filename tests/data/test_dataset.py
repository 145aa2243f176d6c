from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygan.data import Dataset, Split
from tinygan.errors import DtypeError, ShapeError


def split(count: int = 3, pixels: int = 64) -> Split:
    return Split(np.zeros((count, pixels), np.float32), np.zeros(count, np.uint8))


def test_a_split_cannot_be_written_to_and_leaves_the_callers_arrays_alone() -> None:
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
def test_a_split_refuses_what_is_not_rows_and_labels(
    images: Any, labels: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Split(images, labels)


@pytest.mark.parametrize("wrong", ["train", "validation", "test"])
def test_rows_must_fold_into_pictures(wrong: str) -> None:
    parts = {part: split(pixels=63 if part == wrong else 64) for part in ("train", "validation", "test")}
    with pytest.raises(ShapeError, match=rf"{wrong} has 63 pixels a row.*\(8, 8\) needs 64"):
        Dataset("odd", (8, 8), **parts)


def test_reprs_are_short() -> None:
    made = Dataset("toy", (8, 8), split(5), split(2), split(1))
    assert repr(made) == "Dataset('toy', images of 8x8, train 5, validation 2, test 1)"
    assert repr(made.train) == "Split(5 images of 64 pixels)"
    assert len(made.train) == 5


@pytest.mark.parametrize(("shape", "words"), [((1,), "points of 1 number"), ((2,), "points of 2 numbers")])
def test_rows_that_are_no_pictures_say_so(shape: tuple[int], words: str) -> None:
    parts = [split(5, pixels=shape[0])] * 3
    assert repr(Dataset("toy", shape, *parts)) == f"Dataset('toy', {words}, train 5, validation 5, test 5)"
