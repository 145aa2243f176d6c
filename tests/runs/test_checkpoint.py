"""A checkpoint comes back bit for bit or not at all; damage costs one of the last two at most."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save_file

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs import safetensors_file
from tinygan.runs.checkpoint import CheckpointFolder, read_checkpoint, write_checkpoint
from tinygan.runs.safetensors_file import STORED_DTYPES


@pytest.fixture(scope="module", autouse=True)
def disk_that_does_not_keep_us_waiting():
    """What has to be synced, and when, is tested by its order; the tests need no real syncing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


# --- what goes in comes out ------------------------------------------------------------------------------

names_of_arrays = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
dtypes = st.sampled_from(sorted(STORED_DTYPES)).flatmap(
    lambda name: st.sampled_from([np.dtype(name).newbyteorder(order) for order in "<>"])
)


@st.composite
def any_arrays(draw):
    """Arrays of every stored dtype, 0-d and empty ones, of both byte orders, contiguous or not."""
    array = draw(hnp.arrays(draw(dtypes), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    way = draw(st.sampled_from(["as it is", "transposed", "strided", "backwards", "Fortran", "read-only"]))
    if way == "transposed":
        return array.T
    if way == "strided" and array.ndim:
        return array[..., ::2]
    if way == "backwards" and array.ndim:
        return array[::-1]
    if way == "Fortran":
        return np.asfortranarray(array)
    array.flags.writeable = way != "read-only"
    return array


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(0, 2**256)
trees = st.recursive(values, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
states = st.dictionaries(st.text(), trees, max_size=3)


@pytest.mark.slow
@given(arrays=st.dictionaries(names_of_arrays, any_arrays(), max_size=3), state=states)
def test_arrays_and_state_come_back(tmp_path_factory, arrays, state):
    path = tmp_path_factory.mktemp("checkpoint") / "a.safetensors"
    write_checkpoint(path, arrays, state)
    found = read_checkpoint(path)

    assert found.path == path
    # repr tells -0.0 from 0.0 and 1 from True, and nan equals nan.
    assert repr(sorted_keys(found.state)) == repr(sorted_keys(state))
    assert list(found.arrays) == sorted(arrays)
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert found.arrays[name].dtype == native.dtype
        assert found.arrays[name].dtype.isnative
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == native.tobytes()  # nan payloads too
        assert found.arrays[name].flags.carray


def sorted_keys(value):
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


@pytest.mark.slow
@given(arrays=st.dictionaries(names_of_arrays, any_arrays(), max_size=3), state=states)
def test_the_same_content_gives_the_same_bytes(tmp_path_factory, arrays, state):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder / "a.safetensors", arrays, state)
    other_order = {name: np.array(arrays[name], order="K") for name in reversed(arrays)}
    write_checkpoint(folder / "b.safetensors", other_order, {key: state[key] for key in reversed(state)})
    assert (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()


def test_numpy_scalars_are_accepted(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", {"x": np.float32(2.5)}, {"step": np.int64(3), "loss": np.float32(0.5)})
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert found.arrays["x"].shape == ()
    assert found.arrays["x"] == np.float32(2.5)
    assert found.state == {"step": 3, "loss": 0.5}


def test_a_random_stream_goes_on_where_it_was(tmp_path):
    generator = np.random.Generator(np.random.PCG64(7))
    generator.standard_normal(5)
    state = generator.bit_generator.state  # with integers of 128 bits
    write_checkpoint(tmp_path / "a.safetensors", {}, {"noise": state})
    expected = generator.standard_normal(3)
    again = np.random.Generator(np.random.PCG64())
    again.bit_generator.state = read_checkpoint(tmp_path / "a.safetensors").state["noise"]
    np.testing.assert_array_equal(again.standard_normal(3), expected)


def test_the_file_is_what_the_documentation_says(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"w": np.array([[1, 2]], ">i2")}, {"t": (1, float("nan"))})
    content = path.read_bytes()
    with safe_open(path, framework="np") as file:
        assert file.get_tensor("w").tolist() == [[1, 2]]
        metadata = file.metadata()
    assert list(metadata) == ["tinygan"]
    said = json.loads(metadata["tinygan"])
    zeros = content.replace(said["sha256"].encode(), b"0" * 64)
    assert said.pop("sha256") == hashlib.sha256(zeros).hexdigest()
    assert repr(said) == repr({"layout": "tinygan", "state": {"t": [1, float("nan")]}, "transposed": []})


def test_memory_is_at_most_twice_the_arrays(tmp_path):
    array = np.zeros(1 << 22, np.uint8)
    tracemalloc.start()
    write_checkpoint(tmp_path / "a.safetensors", {"a": array, "b": array}, {})
    _, writing = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    found = read_checkpoint(tmp_path / "a.safetensors")
    _, reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert writing < 2 * 2 * array.nbytes + (1 << 18)
    assert reading < 2 * 2 * array.nbytes + (1 << 20)
    assert found.arrays["b"].nbytes == array.nbytes


def test_a_large_damaged_file_takes_no_memory(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", {"a": np.zeros(1 << 24, np.uint8)}, {})
    os.truncate(tmp_path / "a.safetensors", 1 << 24)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=f"a file of {1 << 24} bytes that is damaged or incomplete"):
        read_checkpoint(tmp_path / "a.safetensors")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize(
    ("arrays", "state", "message"),
    [
        ({"w": np.array([object()])}, {}, "checkpoint: w is of type object"),
        ({}, {"w": np.zeros(3)}, r"state\['w'\] is an array of shape \(3,\)"),
        ({}, {"w": {1}}, r"state\['w'\] is a set"),
        ({}, [1], "state is a list; expected a dict"),
        ({}, {"n": 10**5000}, "cannot be written as JSON: Exceeds the limit"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_writing(tmp_path, arrays, state, message):
    with pytest.raises(DtypeError, match=message):
        write_checkpoint(tmp_path / "a.safetensors", arrays, state)
    assert os.listdir(tmp_path) == []


# --- damage ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """A small checkpoint and its bytes."""
    path = tmp_path / "small.safetensors"
    write_checkpoint(path, {"w": np.arange(3, dtype=np.float32), "on": np.array(True)}, {"step": 7})
    return path, path.read_bytes()


def assert_damaged(path, content):
    # Overwritten in place: some file systems wait for the disk when a file is emptied and written anew.
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.truncate()
    with pytest.raises(CheckpointError, match=r"small\..*: expected .*, found .*; use the previous checkpoint"):
        read_checkpoint(path)


def test_every_truncation_is_detected(small):
    path, content = small
    for length in range(len(content)):
        assert_damaged(path, content[:length])


def test_every_flipped_bit_is_detected(small):
    path, content = small
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            assert_damaged(path, flipped)


def test_every_byte_lost_or_added_is_detected(small):
    path, content = small
    for position in range(len(content)):
        assert_damaged(path, content[:position] + content[position + 1 :])
        assert_damaged(path, content[:position] + b"\0" + content[position:])
    for extra in range(1, 130):
        assert_damaged(path, content + bytes(extra))


@given(damage=st.binary(max_size=400))
def test_bytes_of_another_origin_are_refused(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("damage") / "small.safetensors"
    assert_damaged(path, damage)
    assert_damaged(path, len(damage).to_bytes(8, "little") + damage)


def test_the_undamaged_file_still_reads(small):
    path, content = small
    path.write_bytes(content)
    assert read_checkpoint(path).state == {"step": 7}


def test_a_path_that_is_not_a_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.safetensors: expected a checkpoint, found no file of this name"):
        read_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="found the error it is no plain file"):
        read_checkpoint(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
        with pytest.raises(CheckpointError, match="found the error it is no plain file"):
            read_checkpoint(tmp_path / "pipe")


def test_a_read_error_is_named(small, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    expected = "expected a checkpoint, found the error Input/output"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(CheckpointError, match=expected) as caught:
            read_checkpoint(small[0])
    assert isinstance(caught.value.__cause__, OSError)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"w": np.zeros(100_000)}, {})
    real = json.loads
    monkeypatch.setattr(json, "loads", lambda text: (os.truncate(path, 400_128), real(text))[1])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        read_checkpoint(path)


@pytest.mark.parametrize("entry", [None, "1", "[]", "{}", '{"sha256": 1}', '{"sha256": ""}', '{"sha256": "0"}', "["])
def test_a_file_of_another_program_is_no_checkpoint(tmp_path, entry):
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(2)}, path, None if entry is None else {"tinygan": entry})
    with pytest.raises(CheckpointError, match="expected a checkpoint, found "):
        read_checkpoint(path)


# --- writing into trouble --------------------------------------------------------------------------------

ARRAYS = {"w": np.arange(40, dtype=np.float64), "v": np.ones((3, 3), np.float32)}


def count_calls(monkeypatch, name, action):
    real, calls = getattr(os, name), []
    with monkeypatch.context() as patch:
        patch.setattr(os, name, lambda *arguments, **_: (calls.append(1), real(*arguments))[1])
        action()
    return len(calls)


def test_a_full_disk_at_each_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, ARRAYS, {"step": 1})
    old = path.read_bytes()
    total = count_calls(monkeypatch, "write", lambda: write_checkpoint(path, ARRAYS, {"step": 1}))
    assert total == 3  # before the checksum, the checksum, after it
    real = os.write
    for failing in range(total):
        left = [failing]

        def full(descriptor, view, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, view)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(
                CheckpointError, match=f"cannot write the checkpoint of {len(old)} bytes: No space left"
            ) as caught:
                write_checkpoint(path, ARRAYS, {"step": 2})
        assert isinstance(caught.value.__cause__, OSError)
        caught.match("Free space or correct the folder's permissions, then resume")
        assert path.read_bytes() == old
        assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, ARRAYS, {"step": 1})

    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:  # the super-user may write into read-only folders, so pretend
        patch.setattr(os, "open", refuse)
        with pytest.raises(CheckpointError, match="Permission denied; an earlier file of this name is still whole"):
            write_checkpoint(path, ARRAYS, {"step": 2})
    assert read_checkpoint(path).state == {"step": 1}


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="No such file or directory"):
        write_checkpoint(tmp_path / "missing" / "a.safetensors", {}, {})


def test_a_state_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    """JSON of many small values takes thirty times its size."""
    path, state = tmp_path / "a.safetensors", {"x": [[]] * 1000}
    write_checkpoint(path, {}, state)
    assert safetensors_file.LARGEST_HEADER == 4 << 20
    monkeypatch.setattr(safetensors_file, "LARGEST_HEADER", 3000)
    parsed = []
    monkeypatch.setattr("tinygan.runs.safetensors_file.json.loads", lambda *_, **__: parsed.append(1))
    with pytest.raises(CheckpointError, match=r"its header would have 3\d{3} bytes"):
        read_checkpoint(path)
    assert not parsed
    with pytest.raises(DtypeError, match="bytes; expected at most 3000"):
        write_checkpoint(tmp_path / "b.safetensors", {}, state)
    assert not (tmp_path / "b.safetensors").exists()


def test_a_memory_that_is_full_is_a_refusal(tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "a.safetensors", {"w": np.zeros(3)}, {})

    def full(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("safetensors.numpy.load", full)
    with pytest.raises(CheckpointError, match="bytes, which do not fit into the memory"):
        read_checkpoint(tmp_path / "a.safetensors")


# --- the folder: the last two and the best ---------------------------------------------------------------


@pytest.fixture
def checkpoints(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints")


def save(checkpoints, *steps, best=()):
    for step in steps:
        checkpoints.save(step, {"w": np.full(4, step)}, {"step": step}, best=step in best)


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def names(checkpoints):
    return sorted(os.listdir(checkpoints.path))


@given(gaps=st.lists(st.integers(1, 10**6), min_size=1, max_size=6), best=st.integers(0, 5))
def test_exactly_the_last_two_and_the_best_are_kept(tmp_path_factory, gaps, best):
    checkpoints = CheckpointFolder(tmp_path_factory.mktemp("run") / "checkpoints")
    steps = [int(step) for step in np.cumsum(gaps)]
    for place, step in enumerate(steps):
        checkpoints.save(step, {}, {"step": step}, best=place == best)
    expected = [f"step-{step:09d}.safetensors" for step in steps[-2:]]
    assert names(checkpoints) == (["best.safetensors"] if best < len(steps) else []) + expected
    assert checkpoints.latest().state == {"step": steps[-1]}
    assert (checkpoints.best() is None) == (best >= len(steps))
    assert best >= len(steps) or checkpoints.best().state == {"step": steps[best]}


def test_names_sort_by_number_beyond_nine_digits(checkpoints):
    save(checkpoints, 999_999_999, 1_000_000_000, 1_000_000_001)
    assert names(checkpoints) == ["step-1000000000.safetensors", "step-1000000001.safetensors"]
    assert checkpoints.latest().state == {"step": 1_000_000_001}


def test_a_run_without_checkpoints_has_none(checkpoints):
    assert checkpoints.latest() is None
    assert checkpoints.best() is None
    checkpoints.path.mkdir()
    assert checkpoints.latest() is None


def test_other_files_are_neither_read_nor_removed(checkpoints):
    checkpoints.path.mkdir()
    newest = "step-000000009.safetensors"
    others = [f".{newest}.0123abcd.tmp", "notes.txt", "step-9.safetensors", f"{newest}.bak"]
    for name in others:
        (checkpoints.path / name).touch()
    save(checkpoints, 1, 2, 3)
    assert checkpoints.latest().state == {"step": 3}
    assert names(checkpoints) == sorted([*others, "step-000000002.safetensors", "step-000000003.safetensors"])


def test_a_damaged_newest_falls_back_with_a_warning(checkpoints):
    save(checkpoints, 1, 2)
    damage(checkpoints.path / "step-000000002.safetensors")
    expected = (
        r"went back to step-000000001\.safetensors, the newest checkpoint that is whole: .*step-000000002.*: expected"
    )
    with pytest.warns(UserWarning, match=expected):
        assert checkpoints.latest().state == {"step": 1}


def test_two_damaged_fall_back_to_the_best(checkpoints):
    save(checkpoints, 1, 2, 3, best=(1,))
    damage(checkpoints.path / "step-000000002.safetensors")
    (checkpoints.path / "step-000000003.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"went back to best\.safetensors.*000000003.*000000002"):
        assert checkpoints.latest().state == {"step": 1}


def test_all_damaged_is_an_error_that_names_them(checkpoints):
    save(checkpoints, 1, 2, best=(1,))
    for name in names(checkpoints):
        damage(checkpoints.path / name)
    with pytest.raises(CheckpointError, match=r"one whole checkpoint, found 3 damaged; put one back.*best\."):
        checkpoints.latest()
    with pytest.raises(CheckpointError, match=r"best\.safetensors: expected a checkpoint, found a file of"):
        checkpoints.best()


def test_a_save_after_going_back_forgets_the_abandoned_future(checkpoints):
    save(checkpoints, 10, 20)
    damage(checkpoints.path / "step-000000020.safetensors")
    save(checkpoints, 15)
    assert names(checkpoints) == ["step-000000010.safetensors", "step-000000015.safetensors"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoints.latest().state == {"step": 15}


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_nothing_is_removed_before_the_new_one_is_safe(checkpoints, monkeypatch, call):
    save(checkpoints, 1, 2, best=(1,))
    before = {path.name: path.read_bytes() for path in checkpoints.path.iterdir()}

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CheckpointError):
            save(checkpoints, 3, best=(3,))
    assert {path.name: path.read_bytes() for path in checkpoints.path.iterdir()} == before


def test_the_best_is_written_first_and_the_oldest_removed_last(checkpoints, monkeypatch):
    save(checkpoints, 1, 2)
    done = []
    replace, unlink = os.replace, os.unlink
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(f"new {b.name}"), replace(a, b))[1])
    monkeypatch.setattr(os, "unlink", lambda a, **k: (done.append(f"no {os.path.basename(a)}"), unlink(a, **k))[1])
    save(checkpoints, 3, best=(3,))
    assert done == ["new best.safetensors", "new step-000000003.safetensors", "no step-000000001.safetensors"]


def test_what_cannot_be_made_or_removed_is_named(checkpoints, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        with pytest.raises(CheckpointError, match=r"checkpoints: cannot be made: Permission denied; .* resume"):
            save(checkpoints, 1)
    save(checkpoints, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(CheckpointError, match=r"000000001\.safetensors: cannot be removed: Permission denied"):
            save(checkpoints, 3)
    assert checkpoints.latest().state == {"step": 3}
