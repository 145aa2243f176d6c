from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.data import DATA_SETS, Dataset, load, load_digits
from tinygan.data.registry import Source
from tinygan.errors import DataError


def test_digits_need_no_folder_and_no_network(tmp_path: Path) -> None:
    assert load("digits", folder=tmp_path / "nothing", download=False).name == "digits"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("minst", "mnist"), ("MNIST", "mnist"), ("digit", "digits"), ("DIGITS", "digits"), ("gausian", "gaussian")],
)
def test_a_misspelt_name_is_answered_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(DataError, match=f"'{wrong}'; did you mean \"{nearest}\".*{', '.join(DATA_SETS)}"):
        load(wrong)


@given(st.text(max_size=20).filter(lambda name: name not in DATA_SETS))
def test_any_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"unknown data set .*There are: {', '.join(DATA_SETS)}"):
        load(name)


def test_one_line_adds_a_data_set_and_it_gets_all_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load_toys(folder: object, download: bool, progress: bool) -> Dataset:
        calls.append((folder, download, progress))
        return load_digits()

    monkeypatch.setitem(DATA_SETS, "toys", Source(load_toys, files=True))
    load("toys", folder="here", download=False, progress=True)
    load("toys")
    assert calls == [("here", False, True), (None, True, False)]
    with pytest.raises(DataError, match='did you mean "toys"'):
        load("toy")


def test_a_fold_goes_to_data_sets_that_have_folds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load_faces(folder: object, download: bool, progress: bool, fold: int = 0) -> Dataset:
        calls.append((folder, fold))
        return load_digits()

    monkeypatch.setitem(DATA_SETS, "tfd", Source(load_faces, files=True, folds=5))
    load("tfd", "here")
    load("tfd", "here", fold=3)
    assert calls == [("here", 0), ("here", 3)]
    with pytest.raises(DataError, match=r"^digits has no folds, got fold 0: leave it out; tfd comes in folds$"):
        load("digits", fold=0)
