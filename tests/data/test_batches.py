from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import data
from tinygan.backend import Stream
from tinygan.data import Split
from tinygan.errors import ArgumentError, DtypeError


def numbered(rows):
    """Return a split whose rows and labels are their own numbers."""
    return Split(np.arange(rows, dtype=np.float32)[:, None], np.arange(rows, dtype=np.uint8))


@given(st.data())
def test_an_epoch_has_each_row_at_most_once(draw):
    rows = draw.draw(st.integers(1, 200))
    size = draw.draw(st.integers(1, rows))
    found = list(data.batches(numbered(rows), size, Stream(draw.draw(st.integers(0, 9)), "order")))
    assert len(found) == rows // size
    assert all((x.shape, x.dtype, y.shape, y.dtype) == ((size, 1), np.float32, (size,), np.uint8) for x, y in found)
    images, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert len(set(labels.tolist())) == size * (rows // size)
    assert np.array_equal(images[:, 0], labels)


def test_each_call_draws_another_order_from_the_stream():
    split, stream, same = numbered(50), Stream(3, "order"), Stream(3, "order")
    first, second = ([y.tolist() for _, y in data.batches(split, 10, stream)] for _ in range(2))
    assert first != second
    assert first == [y.tolist() for _, y in data.batches(split, 10, same)]


def test_batches_are_copies():
    split = numbered(4)
    for images, labels in data.batches(split, 2, Stream(0, "order")):
        images[...] = labels[...] = 9
    assert split.images[:, 0].tolist() == split.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [0, -1, 5])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(ArgumentError, match=f"size is {size}; expected 1 to 4"):
        data.batches(numbered(4), size, Stream(0, "order"))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((np.zeros((4, 1)), 2, Stream(0, "order")), "split"),
        ((numbered(4), 2.0, Stream(0, "order")), "size"),
        ((numbered(4), True, Stream(0, "order")), "size"),
        ((numbered(4), 2, np.random.default_rng(0)), "stream"),
    ],
)
def test_other_types_are_refused(arguments, name):
    with pytest.raises(DtypeError, match=f"batches: {name} is "):
        data.batches(*arguments)
