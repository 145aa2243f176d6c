"""What is passed is remembered, whatever has happened to the file."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.learn.progress import NAME, passed, remember


@given(damage=st.binary(max_size=60), numbers=st.lists(st.integers(1, 13)))
def test_damage_loses_nothing_else(damage, numbers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    (folder / NAME).write_bytes(damage)
    for number in numbers:
        remember(folder, number)
    assert passed(folder) == set(numbers)
    content = (folder / NAME).read_bytes()
    assert content.startswith(damage)
    assert content.count(b"\n") <= damage.count(b"\n") + len(set(numbers)) + 1  # a line for each, once


def test_a_line_that_was_cut_off_is_repaired(tmp_path):
    remember(tmp_path, 1)
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:8] + b"")
    assert passed(tmp_path) == set()
    remember(tmp_path, 2)
    assert passed(tmp_path) == {2}
    remember(tmp_path, 1)
    assert passed(tmp_path) == {1, 2}


def test_no_file_a_folder_and_a_link(tmp_path):
    assert passed(tmp_path) == set()
    (tmp_path / NAME).mkdir()
    with pytest.raises(OSError, match=r"plain file|directory"):
        passed(tmp_path)
    (tmp_path / NAME).rmdir()
    (tmp_path / "other").write_text("mine")
    os.symlink(tmp_path / "other", tmp_path / NAME)
    with pytest.raises(OSError, match="link"):
        remember(tmp_path, 1)
    assert (tmp_path / "other").read_text() == "mine"
