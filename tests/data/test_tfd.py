"""TFD is not public: every test reads files of the same form, made here."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doubles.faces import contents, write
from tinygan.data import load, load_tfd
from tinygan.data.tfd import FILE, MOST, NO_LABEL
from tinygan.errors import DataError

COUNT = 40


def numbers(images: Any) -> Any:
    return np.rint(images[:, 0] * 255).astype(int)


@pytest.mark.parametrize("fold", range(5))
@pytest.mark.parametrize("compressed", [False, True])
def test_the_splits_of_a_fold(tmp_path: Path, fold: int, compressed: bool) -> None:
    variables = contents()
    write(tmp_path, variables, do_compression=compressed)
    tfd = load_tfd(tmp_path, fold)
    assert (tfd.name, tfd.image_shape, tfd.fold) == ("tfd", (48, 48), fold)
    assert f"fold {fold}, train 20, validation 2, test 4" in repr(tfd)
    for split, code in ((tfd.train, 0), (tfd.validation, 2), (tfd.test, 3)):
        (rows,) = np.nonzero(variables["folds"][:, fold] == code)
        assert numbers(split.images).tolist() == rows.tolist()
        expected = variables["images"][rows].reshape(len(rows), -1)
        np.testing.assert_array_equal(split.images, expected.astype(np.float32) / np.float32(255))
        expressions = variables["labs_ex"][rows, 0]
        assert split.labels.tolist() == [NO_LABEL if number == -1 else number - 1 for number in expressions]
    assert load("tfd", tmp_path, fold=fold).test.images.tolist() == tfd.test.images.tolist()


def test_by_default_the_first_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, contents())
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    assert numbers(load_tfd().test.images).tolist() == numbers(load("tfd").test.images).tolist() == [36, 37, 38, 39]


def test_training_uses_no_image_with_a_label_in_any_fold(tmp_path: Path) -> None:
    folds = contents()["folds"]
    folds[3, 2] = 3  # without a label in four folds, a test image in fold 2
    write(tmp_path, contents(folds=folds, labs_ex=np.full((COUNT, 1), 2)))
    assert 3 not in numbers(load_tfd(tmp_path, 0).train.images)
    assert 3 in numbers(load_tfd(tmp_path, 2).test.images)


@given(seed=st.integers(0, 99), kind=st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]), fold=st.integers(0, 4))
@settings(max_examples=15)
def test_matlab_may_have_saved_the_small_arrays_in_any_class(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str, fold: int
) -> None:
    folder, variables = tmp_path_factory.mktemp("data"), contents(seed=seed)
    labels = variables["labs_ex"].copy()
    if kind == "u1":
        labels[labels == -1] = 255  # the value for images without a label does not matter
    write(folder, variables | {"folds": variables["folds"].astype(kind), "labs_ex": labels.astype(kind)})
    tfd = load_tfd(folder, fold)
    assert tfd.test.labels.tolist() == (variables["labs_ex"][variables["folds"][:, fold] == 3, 0] - 1).tolist()
    assert set(tfd.train.labels) == {NO_LABEL}


# ---------------------------------------------------------------------- refusals


def refusal(folder: Any, fold: Any = 0) -> str:
    with pytest.raises(DataError) as caught:
        load_tfd(folder, fold)
    return str(caught.value)


def test_a_missing_file_says_whom_to_ask_and_where_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (
        "The Toronto Face Database is not public: ask its owners for it (J. Susskind, A. Anderson and G. Hinton, "
        "technical report UTML TR 2010-001, University of Toronto). Put TFD_48x48.mat into {home}, and name {data} "
        "with --data (in Python: folder=) or in the environment variable TINYGAN_DATA"
    )
    home = tmp_path / "tfd"
    there = expected.format(home=home, data=tmp_path)
    assert refusal(tmp_path) == f"tfd: {home} has no file of the data set (there is no such folder). {there}"
    home.mkdir()
    assert refusal(tmp_path) == f"tfd: {home} has no file of the data set. {there}"
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    place = expected.format(home=Path("FOLDER", "tfd"), data="FOLDER")
    assert refusal(None) == f"tfd: no folder of data sets is named. {place}"


@pytest.mark.parametrize("fold", [-1, 5, 1.0, True, "0", None])
def test_there_are_five_folds(tmp_path: Path, fold: Any) -> None:
    assert refusal(tmp_path, fold) == f"tfd: expected a fold from 0 to 4, got {fold!r}"


def changed(name: str, place: tuple[int, ...], value: float) -> dict[str, Any]:
    array = contents()[name].astype(float if value != int(value) or value < 0 else np.int64)
    array[place] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": None}, "expected the variables images, folds, labs_ex, found images, labs_ex, labs_id: folds mis"),
        ({"images": None, "labs_ex": None}, "found folds, labs_id: images, labs_ex missing; check that this"),
        ({"images": np.zeros((40, 96, 96), np.uint8)}, "images: expected N x 48 x 48, found 40 x 96 x 96; check that"),
        ({"images": np.zeros((48, 48, 40), np.uint8)}, "images: expected N x 48 x 48, found 48 x 48 x 40"),
        ({"images": np.zeros((40, 2304), np.uint8)}, "images: expected N x 48 x 48, found 40 x 2304"),
        ({"images": np.zeros((40, 48, 48))}, "images: expected uint8, found double; check that this is"),
        ({"images": np.zeros((40, 48, 48), np.int8)}, "images: expected uint8, found int8"),
        ({"images": np.zeros((40, 48, 48), bool)}, "images: expected uint8, found logical"),
        ({"folds": np.zeros((40, 4))}, "folds: expected 40 x 5, found 40 x 4"),
        ({"folds": np.zeros((39, 5))}, "folds: expected 40 x 5, found 39 x 5"),
        ({"folds": np.full(40, "abcde")}, "folds: expected real numbers, found char"),
        ({"folds": np.full((40, 5), "a", object)}, "folds: expected real numbers, found cell"),
        ({"folds": np.zeros((40, 5), complex)}, "folds: expected real numbers, found complex; check that this is"),
        ({"labs_ex": np.zeros((1, 40))}, "labs_ex: expected 40 x 1, found 1 x 40"),
        ({"labs_ex": {"a": 1}}, "labs_ex: expected 40 x 1, found 1 x 1"),
        (changed("folds", (7, 3), 4), "folds: expected whole numbers from 0 to 3, found 4 at (7, 3)"),
        (changed("folds", (7, 3), -1), "folds: expected whole numbers from 0 to 3, found -1 at (7, 3)"),
        (changed("folds", (7, 3), 1.5), "folds: expected whole numbers from 0 to 3, found 1.5 at (7, 3)"),
        (changed("labs_ex", (30, 0), 8), "labs_ex: expected whole numbers from 1 to 7, found 8 at 30"),
        (changed("labs_ex", (30, 0), 0), "labs_ex: expected whole numbers from 1 to 7, found 0 at 30"),
        (changed("labs_ex", (30, 0), 2.5), "labs_ex: expected whole numbers from 1 to 7, found 2.5 at 30"),
        ({"folds": np.full((40, 5), 3)}, "expected train images in fold 0, found none; check that this is the whole"),
        ({"folds": contents()["folds"] % 3}, "expected test images in fold 0, found none"),
    ],
)
def test_other_contents_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, contents(**changes))
    said = refusal(tmp_path)
    assert said.startswith(f"{path}: ")
    assert message in said


def test_nan_in_folds_is_refused(tmp_path: Path) -> None:
    folds = contents()["folds"].astype(float)
    folds[0, 0] = np.nan
    write(tmp_path, contents(folds=folds))
    assert "folds: expected whole numbers from 0 to 3, found nan at (0, 0)" in refusal(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("most", "message"), [(19_999, "at most 19999 rows"), (MOST, "images: expected at most ")])
def test_a_small_file_does_not_take_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, message: str
) -> None:
    """Images of zeros, which deflate compresses to a thousandth; photographs compress to a half."""
    count = 20_000
    monkeypatch.setattr("tinygan.data.tfd.MOST", most)
    folds = np.zeros((count, 5), np.uint8)
    folds[:40] = contents()["folds"]
    made = {"images": np.zeros((count, 48, 48), np.uint8), "folds": folds, "labs_ex": np.ones((count, 1), np.uint8)}
    path = write(tmp_path, made, do_compression=True)
    del made, folds
    assert path.stat().st_size < 1e6
    tracemalloc.start()
    try:
        assert message in refusal(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_fold_may_be_numpy_s_and_the_folder_direct(tmp_path: Path) -> None:
    path = write(tmp_path, contents())
    fold: Any = np.int64(3)
    tfd = load_tfd(path.parent, fold)
    assert (type(tfd.fold), tfd.fold) == (int, 3)


REAL = Path(os.environ.get("TINYGAN_DATA") or "nowhere")


@pytest.mark.skipif(not (REAL / "tfd" / FILE).is_file(), reason="TINYGAN_DATA names no folder with the real TFD")
def test_the_real_tfd() -> None:
    for fold in range(5):
        tfd = load_tfd(fold=fold)
        assert len(tfd.train) > 90_000
        assert 0.3 < tfd.train.images.mean() < 0.7
        assert set(tfd.test.labels) == set(range(7))
