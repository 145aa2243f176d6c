import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.checking.subject import Watch, overlap, with_layout

BASE = np.arange(24.0).reshape(4, 6)
LAYOUTS = {
    "contiguous": BASE,
    "transposed": BASE.T,
    "strided": BASE[::2, 1::3],
    "reversed": BASE[::-1, ::-2],
    "stride 0": np.broadcast_to(BASE[0], (3, 6)),
    "one number everywhere": np.broadcast_to(np.float64(2), (2, 3)),
    "windows": np.lib.stride_tricks.sliding_window_view(BASE[0], 3),
    "empty": BASE[:, 6:],
    "0-d": np.array(3.0),
    "a column": BASE[:, 2],
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_layout_is_kept_for_every_dtype(name, dtype):
    template = LAYOUTS[name]
    copy = with_layout(template.astype(dtype), template)
    assert copy.dtype == dtype
    assert np.array_equal(copy, template)
    assert not np.shares_memory(copy, template)
    steps = [stride * copy.itemsize // template.itemsize for stride in template.strides]
    assert not template.size or list(copy.strides) == steps


def test_a_sparse_view_is_copied_without_its_matrix():
    column = np.zeros((1000, 1000))[:, 0]
    assert with_layout(column, column).flags.c_contiguous


@given(element=st.integers(0, 23), value=st.floats(allow_nan=True))
def test_watch_finds_every_change_of_bits(element, value):
    array = BASE.copy()
    watch = Watch({"a": array, "b": BASE.copy()})
    before = array.tobytes()
    array.reshape(-1)[element] = value
    assert list(watch.changed()) == ([] if array.tobytes() == before else ["a"])


def test_overlap_means_elements_not_extents():
    assert overlap(BASE, BASE[1:2])
    assert not overlap(BASE[:, ::2], BASE[:, 1::2])
