from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinygan.data import from_arrays, from_file
from tinygan.errors import DataError, DtypeError, ShapeError

BYTES = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(10, 40), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3])),
    elements=st.integers(0, 255),
).filter(lambda images: images.max() != 1)


def pictures(count=20, shape=(6, 8, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def parts(dataset):
    return dataset.train, dataset.validation, dataset.test


def same(one, other):
    return one.image_shape == other.image_shape and all(
        np.array_equal(a.images, b.images) and np.array_equal(a.labels, b.labels)
        for a, b in zip(parts(one), parts(other), strict=True)
    )


# --- what is made of an array -----------------------------------------------------------------------------


@given(BYTES)
def test_each_image_is_in_one_split_with_its_label(images):
    count = len(images)
    found = from_arrays(images, np.arange(count))
    assert found.image_shape == (images.shape[1:3] if images.shape[3] == 1 else images.shape[1:])
    assert [len(part) for part in parts(found)] == [count - 2 * (count // 10), count // 10, count // 10]
    labels = np.concatenate([part.labels for part in parts(found)])
    assert sorted(labels.tolist()) == list(range(count))
    rows = np.concatenate([part.images for part in parts(found)])
    assert np.array_equal(rows, np.divide(images.reshape(count, -1), 255, dtype=np.float32)[labels])
    assert all((np.diff(part.labels.astype(int)) > 0).all() for part in parts(found))  # in the order of the array


@given(BYTES)
def test_the_order_of_memory_and_of_axes_changes_nothing(images):
    expected = from_arrays(images)
    assert same(from_arrays(np.asfortranarray(images)), expected)
    if images.shape[2] not in (1, 3):  # otherwise the colours are the last axis
        assert same(from_arrays(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), expected)
    if images.shape[3] == 1:
        assert same(from_arrays(images[..., 0]), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.longdouble])
def test_floats_keep_their_values(dtype):
    floats = (pictures() / 255).astype(dtype)
    found = from_arrays(floats, np.arange(20))
    assert found.train.images.dtype == np.float32
    assert np.array_equal(found.train.images, floats.reshape(20, -1).astype(np.float32)[found.train.labels])


def test_booleans_are_black_and_white():
    images = pictures(shape=(4, 4)) > 99
    found = from_arrays(images)
    assert (found.train.low, found.train.high) == (0, 1)
    assert same(found, from_arrays(images.astype(np.float32)))


def test_the_division_depends_on_the_number_of_images_only():
    first, second = (from_arrays(pictures(seed=seed), np.arange(20)) for seed in (1, 2))
    assert [part.labels.tolist() for part in parts(first)] == [part.labels.tolist() for part in parts(second)]
    assert first.test.labels.tolist() != [18, 19]  # it is random


def test_the_array_is_not_changed_and_not_shared():
    images = (pictures() / 255).astype(np.float32)
    before, found = images.copy(), from_arrays(images)
    assert np.array_equal(images, before)
    assert not any(np.shares_memory(images, part.images) for part in parts(found))


def test_notes_tell_how_the_array_was_read():
    about, labels = from_arrays(pictures(), [0, 1] * 10).notes
    assert about == "20 images of 6x8 pixels (height x width), in colour, from 0 to 1: 16 train, 2 validate, 2 test"
    assert labels == "labels: 0 (10), 1 (10)"
    assert "grey" in from_arrays(pictures(shape=(6, 8))).notes[0]
    told = from_arrays(pictures(shape=(3, 6, 8))).notes[1:]
    assert told == ("the shape (20, 3, 6, 8) was read as (n, channels, h, w)",)
    assert "it could also be (n, channels, h, w)" in from_arrays(pictures(shape=(3, 6, 3))).notes[1]
    assert from_arrays(pictures(), np.arange(20)).notes[1].endswith("9 (1) and 10 more")


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.tolist(), DtypeError, "list; expected a NumPy array"),
        (np.ma.array, DtypeError, "MaskedArray"),
        (lambda x: x.astype(int), DtypeError, r"int64.*images.astype\(numpy.uint8\)"),
        (lambda x: x.astype(np.uint16), DtypeError, "uint16"),
        (lambda x: x.astype(object), DtypeError, "object"),
        (lambda x: x + 0j, DtypeError, "complex128"),
        (lambda x: x.astype(str), DtypeError, "expected uint8"),
        (lambda x: x.astype(float), DataError, "go from 0 to 255; expected floats from 0 to 1: divide them by 255"),
        (lambda x: x / 127.5 - 1, DataError, r"go from -1 to 1; .*: take \(images \+ 1\) / 2"),
        (lambda x: x * 4.0, DataError, "bring black to 0 and white to 1"),
        (lambda x: (x > 9).astype(np.uint8), DataError, "255 is white: if 1 is white, multiply them by 255"),
        (lambda x: x.reshape(20, -1), ShapeError, r"shape \(20, 144\).*reshape"),
        (lambda x: x[0, 0, :, 0], ShapeError, "reshape"),
        (lambda x: x[None], ShapeError, "expected"),
        (lambda x: x[:, :0], ShapeError, "expected"),
        (lambda x: np.concatenate([x, x[..., :1]], 3), ShapeError, "remove the transparency"),
        (lambda x: x[..., :2], ShapeError, "1 channel"),
        (lambda x: x[:9], DataError, "at least 10 images, .* found 9"),
        (lambda x: x[:0], DataError, "found 0"),
    ],
)
def test_other_arrays_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        from_arrays(change(pictures()))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named(broken):
    images = pictures() / 255
    images[7, 2, 3, 1] = broken
    with pytest.raises(DataError, match="image 7 has pixels that are nan or infinite"):
        from_arrays(images)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0], ShapeError, r"shape \(1,\); expected \(20,\)"),
        (np.eye(20, dtype=int), ShapeError, "argmax"),
        ([[1], [1, 2]] * 10, ShapeError, "uneven"),
        (np.ones(20), DtypeError, "float64"),
        (["a"] * 20, DtypeError, "integers"),
        (np.arange(20) - 1, DataError, "go from -1 to 18; expected integers from 0 to 254"),
        (np.arange(20) + 236, DataError, "255; expected"),
    ],
)
def test_other_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        from_arrays(pictures(), labels)


# --- files ------------------------------------------------------------------------------------------------


def test_a_file_is_read_as_its_array(tmp_path: Path):
    np.save(tmp_path / "images.npy", pictures())
    np.save(tmp_path / "labels.npy", np.arange(20))
    assert same(from_file(tmp_path / "images.npy"), from_arrays(pictures()))
    found = from_file(str(tmp_path / "images.npy"), tmp_path / "labels.npy")
    assert same(found, from_arrays(pictures(), np.arange(20)))


def test_damaged_files_are_refused(tmp_path: Path):
    path = tmp_path / "images.npy"
    np.save(path, pictures())
    whole = path.read_bytes()
    negative = whole.replace(b"(20, 6, 8, 3)", b"(-9, 6, 8, 3)")
    larger = whole.replace(b"(20, 6, 8, 3)", b"(90, 6, 8, 3)")
    for content in (b"", whole[:5], whole[:20], whole[:-1], b"text", negative, larger):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"expected a \.npy file of numbers"):
            from_file(path)


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_objects_and_archives_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    np.save("objects.npy", np.array([Trap()] * 20, object), allow_pickle=True)
    np.savez("archive.npz", images=pictures())
    for name in ("objects.npy", "archive.npz"):
        with pytest.raises(DataError, match="of another kind"):
            from_file(name)
    assert not os.path.exists("unpickled")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="if it has moved, name its new place: --array"):
        from_file(tmp_path / "none.npy")
    with pytest.raises(DataError, match="found a folder"):
        from_file(tmp_path)
    with pytest.raises(DtypeError, match=r"path of a \.npy file"):
        from_file(3)
