"""A file written by `atomic_write` is whole or not there, whichever system call fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.runs.atomic import atomic_write, remove_temporaries, sync_folder, write_all


@pytest.fixture(scope="module", autouse=True)
def disk_that_does_not_keep_us_waiting():
    """What has to be synced, and when, is tested by its order; the tests need no real syncing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@given(chunks=st.lists(st.binary(max_size=20), max_size=5))
def test_the_file_is_its_chunks_joined(tmp_path_factory, chunks):
    path = tmp_path_factory.mktemp("atomic") / "a"
    atomic_write(path, [memoryview(chunk) for chunk in chunks])
    assert path.read_bytes() == b"".join(chunks)
    assert os.listdir(path.parent) == ["a"]


def test_views_of_any_items_are_written_as_bytes(tmp_path):
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    atomic_write(tmp_path / "a", [array.data, memoryview(np.empty((0, 3)))])
    assert (tmp_path / "a").read_bytes() == array.tobytes()


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, view: write(descriptor, view[:3]))
    atomic_write(tmp_path / "a", [b"0123456789", b"abc"])
    assert (tmp_path / "a").read_bytes() == b"0123456789abc"


def test_an_old_file_is_replaced_not_changed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        atomic_write(path, [b"new and longer"])
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"


def test_the_umask_decides_the_mode_as_for_any_other_file(tmp_path):
    (tmp_path / "plain").touch()
    atomic_write(tmp_path / "atomic", [b""])
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


class FullDisk:
    """Stand in for ``os.write``: the disk is full from call `first` on, after taking half of that call."""

    def __init__(self, first):
        self.calls, self.first, self.write = 0, first, os.write

    def __call__(self, descriptor, view):
        self.calls += 1
        if self.calls < self.first:
            return self.write(descriptor, view)
        if self.calls == self.first and len(view) > 1:
            return self.write(descriptor, view[: len(view) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("old", [None, b"old content"])
def test_a_full_disk_at_any_write_leaves_what_was_there(tmp_path, monkeypatch, first, old):
    path = tmp_path / "a"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(first))
        with pytest.raises(OSError, match="No space left"):
            atomic_write(path, [b"one", b"two", b"three"])
    assert (path.read_bytes() if path.exists() else None) == old
    assert os.listdir(tmp_path) == ([] if old is None else ["a"])


@pytest.mark.parametrize("call", ["open", "fsync", "close", "replace"])
def test_a_failure_of_any_other_call_leaves_what_was_there(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    real = getattr(os, call)

    def fail(*arguments, **keywords):
        if call == "close":  # the file is closed all the same
            real(*arguments)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="Input/output error"):
            atomic_write(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_failing_source_of_chunks_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def chunks():
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", chunks())
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_bytes_then_the_name_reach_the_disk(tmp_path, monkeypatch):
    # No test can cut the power; the order of the calls is what a file system's promises rest on.
    calls = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    atomic_write(tmp_path / "a", [b"content"])
    assert calls == ["write", "fsync", "replace", "fsync"]


def test_a_folder_that_cannot_be_synced_is_an_error(tmp_path, monkeypatch):
    def fail_with(code):
        def fail(_descriptor):
            raise OSError(code, os.strerror(code))

        return fail

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_with(errno.EINVAL))
        sync_folder(tmp_path)
        patch.setattr(os, "fsync", fail_with(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)


def test_write_all_of_nothing_calls_nothing(monkeypatch):
    monkeypatch.setattr(os, "write", None)
    write_all(-1, b"")


def test_only_temporaries_are_removed(tmp_path):
    others = ["a.txt", ".hidden", ".a.txt.tmp", "a.txt.0123abcd.tmp", ".a.txt.0123ABCD.tmp"]
    for name in [*others, ".a.txt.0123abcd.tmp", ".b.01234567.tmp"]:
        (tmp_path / name).touch()
    assert remove_temporaries(tmp_path) == [".a.txt.0123abcd.tmp", ".b.01234567.tmp"]
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_what_a_killed_write_leaves_is_recognised(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: None)  # as if the process had ended before the rename
        atomic_write(tmp_path / "best.txt", [b"content"])
    left = os.listdir(tmp_path)
    assert left != ["best.txt"]
    assert remove_temporaries(tmp_path) == left


def test_a_missing_folder_holds_no_temporaries(tmp_path):
    assert remove_temporaries(Path(tmp_path, "missing")) == []
