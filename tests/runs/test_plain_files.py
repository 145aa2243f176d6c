"""What is no plain file is refused before a byte of it is read or written, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinygan.runs.plain_files import open_to_write, read_plain, why_not_in_place

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs, and links need a privilege there")


@pytest.fixture
def places(tmp_path):
    """Return what may lie where a file is expected, by name."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "named twice").write_bytes(b"content")
    os.link(tmp_path / "named twice", tmp_path / "second name")
    os.symlink(tmp_path / "file", tmp_path / "link")
    os.symlink(tmp_path / "nothing", tmp_path / "dangling")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    os.symlink("/dev/zero", tmp_path / "endless")
    return tmp_path


def test_a_plain_file_is_opened_without_being_cut(places):
    descriptor = open_to_write(places / "file")
    assert os.read(descriptor, 99) == b"content"
    os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        open_to_write(places / "new")
    os.close(open_to_write(places / "new", create=True))
    assert (places / "new").read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("endless", "symbolic link"),
        ("second name", "hard link"),
        ("fifo", "no plain file"),
        ("folder", "no plain file"),
    ],
)
def test_what_is_no_plain_file_is_not_written_into(places, name, reason):
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    for create in (False, True):
        with pytest.raises(OSError, match=reason) as error:
            open_to_write(places / name, create=create)
        assert reason in error.value.strerror
    assert reason in why_not_in_place(places / name, shared=False)
    assert (places / "file").read_bytes() == (places / "second name").read_bytes() == b"content"
    assert not (places / "nothing").exists()
    if descriptors is not None:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_file_is_read_to_its_size_and_through_a_link(places):
    for name in ("file", "link", "second name"):
        assert read_plain(places / name, 7) == b"content"
        with pytest.raises(OSError, match="it has 7 bytes; expected at most 6"):
            read_plain(places / name, 6)


@pytest.mark.parametrize("name", ["fifo", "folder", "endless", "/dev/zero", "/dev/tty"])
def test_what_has_no_size_is_not_read(places, name):
    with pytest.raises(OSError, match=r"no plain file|No such device"):
        read_plain(places / name)


def test_what_may_be_replaced_and_where_folders_may_be(places):
    for name in ("file", "second name", "missing"):
        assert why_not_in_place(places / name) is None
    assert why_not_in_place(places / "folder", folder=True) is None
    os.symlink(places / "folder", places / "elsewhere")
    assert "symbolic link" in why_not_in_place(places / "elsewhere", folder=True)
    assert "expected a folder" in why_not_in_place(places / "file", folder=True)


@pytest.mark.parametrize("name", ["link", "dangling"])
def test_a_link_is_refused_where_the_system_has_no_flag_for_it(places, monkeypatch, name):
    monkeypatch.setattr("tinygan.runs.plain_files._NO_FOLLOW", 0)  # as on Windows
    with pytest.raises(OSError, match="symbolic link"):
        open_to_write(places / name, create=True)
    assert (places / "file").read_bytes() == b"content"
    assert not (places / "nothing").exists()
