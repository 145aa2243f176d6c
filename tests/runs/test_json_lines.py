"""Records survive kills and full disks line by line."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.errors import DtypeError, RunError
from tinygan.runs.json_lines import append_record, cut, length_until, length_up_to, read_records, sync_records

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
records = st.dictionaries(st.text(), values, max_size=4)


@given(written=st.lists(records, max_size=5))
def test_records_come_back_in_order(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("lines") / "m.jsonl"
    for record in written:
        append_record(path, record)
    assert read_records(path) == written
    assert [list(record) for record in read_records(path)] == [list(record) for record in written]


def test_a_line_is_json_with_all_digits_and_the_order_of_keys(tmp_path):
    path = tmp_path / "m.jsonl"
    append_record(path, {"z": 0.1, "a": np.float64(1 / 3), "n": np.int32(2), "bad": float("nan"), "inf": np.inf})
    assert path.read_bytes() == b'{"z": 0.1, "a": 0.3333333333333333, "n": 2, "bad": null, "inf": null}\n'


def test_every_torn_last_line_is_ignored_and_then_replaced(tmp_path):
    path = tmp_path / "m.jsonl"
    whole, last = b'{"epoch": 1}\n', b'{"epoch": 2}\n'
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert read_records(path) == [{"epoch": 1}]
        assert length_until(path, 1) == len(whole)
        append_record(path, {"epoch": 3})
        assert read_records(path) == [{"epoch": 1}, {"epoch": 3}]


@pytest.mark.parametrize("torn", [1, 4095, 4096, 4097, 10_000])
@pytest.mark.parametrize("whole", [b"", b'{"step": 1}\n'])
def test_a_torn_line_of_any_length_is_found(tmp_path, torn, whole):
    path = tmp_path / "m.jsonl"
    path.write_bytes(whole + b"x" * torn)
    append_record(path, {})
    assert path.read_bytes() == whole + b"{}\n"


@pytest.mark.parametrize("line", [b"{torn", b"", b"[1]", b"\x00\x00", b"\xff", b"[" * 100_000])
def test_any_other_damage_is_named_by_its_line(tmp_path, line):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(RunError, match=r"m\.jsonl, line 2: expected .* remove the line"):
        read_records(path)


def test_a_missing_file_has_no_records(tmp_path):
    assert read_records(tmp_path / "m.jsonl") == []
    assert length_until(tmp_path / "m.jsonl", 0) == 0
    sync_records(tmp_path / "m.jsonl")
    cut(tmp_path / "m.jsonl", 0)
    assert os.listdir(tmp_path) == []


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(RunError, match="cannot be read: it is no plain file but a folder"):
        read_records(tmp_path)


def test_a_value_that_json_does_not_know_leaves_the_file_alone(tmp_path):
    with pytest.raises(DtypeError, match=r"m\.jsonl\['x'\] is a set"):
        append_record(tmp_path / "m.jsonl", {"x": {1}})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("taken", [0, 5])
def test_a_full_disk_leaves_the_earlier_lines_and_no_torn_one(tmp_path, monkeypatch, taken):
    path = tmp_path / "m.jsonl"
    append_record(path, {"step": 1})
    write, calls = os.write, []

    def full(descriptor, view):
        calls.append(len(view))
        if taken and len(calls) == 1:
            return write(descriptor, view[:taken])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(RunError, match=r"No space left on device; its earlier lines are whole\. Free space"):
            append_record(path, {"step": 2})
    assert path.read_bytes() == b'{"step": 1}\n'
    append_record(path, {"step": 2})
    assert read_records(path) == [{"step": 1}, {"step": 2}]


def test_records_are_forced_to_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "m.jsonl"
    append_record(path, {"epoch": 1})
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync_records(path)
    assert synced == [path.stat().st_ino]


@given(lengths=st.lists(st.integers(0, 70_000), max_size=5), after=st.binary(max_size=30))
def test_the_first_epochs_are_measured_whatever_follows(tmp_path_factory, lengths, after):
    path = tmp_path_factory.mktemp("lines") / "m.jsonl"
    for epoch, length in enumerate(lengths, start=1):
        append_record(path, {"epoch": epoch, "text": "x" * length})
    content = path.read_bytes() if lengths else b""
    path.write_bytes(content + after)
    ends = [0]
    for line in content.splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    assert [length_until(path, epoch) for epoch in range(len(lengths) + 1)] == ends
    for epoch, end in reversed(list(enumerate(ends))):
        cut(path, end)
        assert len(read_records(path)) == epoch


@pytest.mark.parametrize(
    "content",
    [b"", b'{"epoch": 1}\n', b'{"epoch": 1}\n{"epoch": 2}', b'{"epoch": 2}\n{"epoch": 1}\n', b'{"epoch": 1}\n{}\n',
     b'{"epoch": 1}\n{"epoch": 1}\n', b'{"epoch": 1}\n{"epoch": 3}\n', b'{"epoch": 1}\n{"epoch": "2"}\n'],
)  # fmt: skip
def test_a_missing_epoch_is_named(tmp_path, content):
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"m\.jsonl: expected a record of each epoch from 1 to 2, found .* --out"):
        length_until(path, 2)


def test_a_damaged_record_is_named_only_before_the_epoch(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"epoch": 1}\n\0\0\n')
    assert length_until(path, 1) == 13
    with pytest.raises(RunError, match=r"m\.jsonl, line 2: expected JSON"):
        length_until(path, 2)


# --- records of some epochs ------------------------------------------------------------------------------


@given(epochs=st.sets(st.integers(1, 40), max_size=8), until=st.integers(0, 41), torn=st.integers(0, 12))
def test_records_up_to_an_epoch_are_measured(tmp_path_factory, epochs, until, torn):
    path = tmp_path_factory.mktemp("lines") / "d.jsonl"
    for epoch in sorted(epochs):
        append_record(path, {"epoch": epoch, "verdicts": ["x"] * epoch})
    content = path.read_bytes() if epochs else b""
    path.write_bytes(content + b'{"epoch": 99'[:torn])
    cut(path, length_up_to(path, until))
    assert [record["epoch"] for record in read_records(path)] == [epoch for epoch in sorted(epochs) if epoch <= until]


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"{torn\n", b"[1]\n", b"\n"])
def test_damage_is_dropped_at_the_end_and_named_before(tmp_path, damage):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"epoch": 3}\n' + 2 * damage)
    assert length_up_to(path, 3) == length_up_to(path, 9) == 13
    path.write_bytes(b'{"epoch": 3}\n' + damage + b'{"epoch": 5}\n')
    with pytest.raises(RunError, match=r"d\.jsonl, line 2: expected .* remove the line"):
        length_up_to(path, 9)


@pytest.mark.parametrize("content", [b"{}", b'{"epoch": "3"}', b'{"epoch": 0}', b'{"epoch": true}'])
def test_a_record_without_an_epoch_is_named(tmp_path, content):
    path = tmp_path / "d.jsonl"
    path.write_bytes(content + b"\n")
    with pytest.raises(RunError, match=r"d\.jsonl, line 1: expected a record of a later epoch than 0, found"):
        length_up_to(path, 9)


def test_records_out_of_order_are_named(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"epoch": 3}\n{"epoch": 3}\n')
    with pytest.raises(RunError, match="line 2: expected a record of a later epoch than 3, found 3"):
        length_up_to(path, 9)
    assert length_up_to(tmp_path / "missing.jsonl", 9) == 0
