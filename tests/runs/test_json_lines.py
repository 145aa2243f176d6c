"""Records survive kills and full disks line by line."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.errors import DtypeError, RunError
from tinygan.runs.json_lines import (
    append_record,
    check_length,
    cut,
    length_of,
    read_records,
    synced_count,
    synced_length,
)

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
records = st.dictionaries(st.text(), values, max_size=4)


@given(written=st.lists(records, max_size=5))
def test_records_come_back_in_order(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("lines") / "m.jsonl"
    for record in written:
        append_record(path, record)
    assert read_records(path) == written
    assert [list(record) for record in read_records(path)] == [list(record) for record in written]


def test_a_line_is_json_with_the_order_of_keys_and_the_digits_of_floats(tmp_path):
    path = tmp_path / "m.jsonl"
    append_record(path, {"z": 0.1, "a": np.float64(1 / 3), "n": np.int32(2), "bad": float("nan"), "inf": np.inf})
    assert path.read_bytes() == b'{"z": 0.1, "a": 0.3333333333333333, "n": 2, "bad": null, "inf": null}\n'


def test_every_torn_last_line_is_ignored_and_then_replaced(tmp_path):
    path = tmp_path / "m.jsonl"
    whole, last = b'{"step": 1}\n', b'{"step": 2}\n'
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert read_records(path) == [{"step": 1}]
        assert synced_length(path) == len(whole)
        assert synced_count(path) == 1
        append_record(path, {"step": 3})
        assert read_records(path) == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize("torn", [1, 4095, 4096, 4097, 10_000])
@pytest.mark.parametrize("whole", [b"", b'{"step": 1}\n'])
def test_a_torn_line_of_any_length_is_found(tmp_path, torn, whole):
    path = tmp_path / "m.jsonl"
    path.write_bytes(whole + b"x" * torn)
    assert synced_length(path) == len(whole)
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
    assert synced_length(tmp_path / "m.jsonl") == synced_count(tmp_path / "m.jsonl") == 0
    assert length_of(tmp_path / "m.jsonl", 0) == 0
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


@given(st.lists(st.sampled_from([0, 1, 30, 65_534, 65_535, 65_536, 99_999]), max_size=5), st.integers(0, 3))
def test_lines_are_counted_whatever_their_lengths(tmp_path_factory, lengths, torn):
    path = tmp_path_factory.mktemp("lines") / "m.jsonl"
    path.write_bytes(b"".join(b"x" * length + b"\n" for length in lengths) + b"x" * torn)
    assert synced_count(path) == len(lengths)
    for count in range(len(lengths) + 1):
        assert length_of(path, count) == sum(lengths[:count]) + count
    with pytest.raises(RunError, match=f"at least the {len(lengths) + 1} records .* found {len(lengths)}; "):
        length_of(path, len(lengths) + 1)


@pytest.mark.parametrize("measure", [synced_length, synced_count])
def test_what_is_counted_is_forced_to_the_disk(tmp_path, monkeypatch, measure):
    path = tmp_path / "m.jsonl"
    append_record(path, {"step": 1})
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    assert measure(path) == {synced_length: path.stat().st_size, synced_count: 1}[measure]
    assert len(synced) == 1


def test_cutting_needs_a_file_that_is_long_enough_and_a_line_that_ends_there(tmp_path):
    path = tmp_path / "m.jsonl"
    for step in (1, 2):
        append_record(path, {"step": step})
    length = len(json.dumps({"step": 1})) + 1
    for good in (0, length, 2 * length):
        check_length(path, good)
    for bad in set(range(2 * length)) - {0, length}:
        with pytest.raises(RunError, match=f"expected the end of a line at byte {bad}.*edited"):
            check_length(path, bad)
    with pytest.raises(RunError, match=f"at least the {2 * length + 1} bytes .* found {2 * length}"):
        check_length(path, 2 * length + 1)
    with pytest.raises(RunError, match="found 0"):
        check_length(tmp_path / "missing.jsonl", 1)
    cut(path, length)
    assert read_records(path) == [{"step": 1}]
