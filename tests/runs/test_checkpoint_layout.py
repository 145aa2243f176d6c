"""Arrays have one layout, and a header that describes another is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs.checkpoint_layout import (
    ALIGNMENT,
    STORED_DTYPES,
    checked_entries,
    data_bytes,
    describe,
    lay_out,
)

PATH = Path("a.tgn")
some_arrays = st.dictionaries(
    st.text(max_size=5),
    hnp.arrays(st.sampled_from(sorted(STORED_DTYPES)), hnp.array_shapes(min_dims=0, min_side=0, max_side=9)),
    max_size=4,
)


@given(arrays=some_arrays)
def test_arrays_lie_side_by_side_and_aligned(arrays):
    entries = lay_out(arrays)
    assert [entry.name for entry in entries] == sorted(arrays)
    end = 0
    for entry in entries:
        assert entry.offset % ALIGNMENT == 0
        assert end <= entry.offset < end + ALIGNMENT
        end = entry.offset + arrays[entry.name].nbytes
    assert end <= data_bytes(entries) < end + ALIGNMENT


@given(arrays=some_arrays)
def test_a_description_is_read_back(arrays):
    entries = lay_out(arrays)
    assert checked_entries([describe(entry) for entry in entries], data_bytes(entries), PATH) == entries


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": [1.0, 2.0]}, "array 'w' is a list; expected a NumPy array"),
        ({1: np.zeros(1)}, "an array is named 1; expected text"),
        ({"w": np.zeros(1, complex)}, "array 'w' has dtype complex128; expected bool, int8"),
        ({"w": np.array([{}, "text"])}, "has dtype object"),
        ({"w": np.array(["text"])}, "has dtype <U4"),
        ({"w": np.zeros(1, "M8[s]")}, r"has dtype datetime64\[s\]"),
        ({"w": np.zeros(1, [("x", "f4")])}, "has dtype .*'x'"),
        ({"w": np.zeros(1, "V4")}, r"has dtype \|V4"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(arrays, message):
    with pytest.raises(DtypeError, match=message):
        lay_out(arrays)


TWO = [describe(entry) for entry in lay_out({"a": np.zeros(20, np.float32), "b": np.zeros((2, 3), np.int8)})]


def changed(index, **fields):
    described = [dict(item) for item in TWO]
    described[index].update(fields)
    return described


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("a", "expected a list of arrays, found 'a'"),
        (["a"], "expected an array described by name, dtype, shape, offset, bytes, found 'a'"),
        ([{}, TWO[1]], "described by .* found {}"),
        (changed(0, more=1), "described by"),
        ([{key: value for key, value in TWO[0].items() if key != "shape"}], "described by"),
        (changed(0, name=3), "described by"),
        (changed(0, shape="20"), "described by"),
        (changed(0, offset=0.0), "described by"),
        (changed(0, offset=False), "described by"),
        (changed(0, dtype="object"), "array 'a' of dtype bool, .* found 'object'"),
        (changed(0, dtype="<f4"), "found '<f4'"),
        (changed(0, dtype="complex64"), "found 'complex64'"),
        (changed(0, dtype="O" * 1000), r"found 'O{99}\.\.\.;"),
        (changed(0, shape=[-20]), r"array 'a' with lengths of 0 or more, found the shape \[-20\]"),
        (changed(0, shape=[-4, -5]), r"lengths of 0 or more, found the shape \[-4, -5\]"),
        (changed(0, shape=[20.0]), r"lengths of 0 or more, found the shape \[20.0\]"),
        (changed(0, shape=[20, True]), "lengths of 0 or more"),
        (changed(0, shape=[[20]]), "lengths of 0 or more"),
        (changed(0, shape=[21]), "array 'a' of 84 bytes, as its shape says, found 80"),
        (changed(0, shape=[2**62, 2**62]), f"array 'a' of {2**126} bytes"),
        (changed(0, bytes=-80), "of 80 bytes, as its shape says, found -80"),
        (changed(1, offset=0), "array 'b' at offset 128, found 0"),
        (changed(1, offset=192), "array 'b' at offset 128, found 192"),
        (changed(0, offset=-64), "array 'a' at offset 0, found -64"),
        (changed(0, offset=10**400), r"array 'a' at offset 0, found 1000+\.\.\.;"),
        (changed(1, name="a"), "arrays sorted by name, each once, found 'a' after 'a'"),
        (TWO[::-1], "at offset 0, found 128"),
        (changed(0, name="c"), "found 'b' after 'c'"),
        (TWO[:1], "expected 128 bytes of arrays, found 192"),
        ([], "expected 0 bytes of arrays, found 192"),
        (changed(1, shape=[2**40], bytes=2**40), f"expected {2**40 + 128} bytes of arrays, found 192"),
    ],
)
def test_every_lie_of_a_header_is_named(described, message):
    with pytest.raises(CheckpointError, match=r"a\.tgn: expected .* use the previous checkpoint") as caught:
        checked_entries(described, 192, PATH)
    caught.match(message)
