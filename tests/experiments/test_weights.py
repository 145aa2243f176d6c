"""Weights are saved and loaded bit for bit; other programs read them; damaged and dangerous files are refused."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygan as tg
from tinygan import nn
from tinygan.errors import CheckpointError, DtypeError
from tinygan.experiments.weights import FORMATS, load_weights, save_weights
from tinygan.runs.checkpoint import read_checkpoint, write_checkpoint
from tinygan.runs.safetensors_file import STORED_DTYPES

suffixes = pytest.mark.parametrize("suffix", sorted(FORMATS))


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


# --- what goes out comes in ------------------------------------------------------------------------------

names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8) | st.sampled_from(
    ["file", "args", "allow_pickle", "a.npy", "../up", "0.weight", "a/b", "/", "ü"]
)
dtypes = st.sampled_from(sorted(STORED_DTYPES)).flatmap(
    lambda name: st.sampled_from([np.dtype(name).newbyteorder(order) for order in "<>"])
)


@st.composite
def any_arrays(draw):
    array = draw(hnp.arrays(draw(dtypes), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    way = draw(st.sampled_from(["as it is", "transposed", "strided", "backwards", "read-only"]))
    if way == "strided" and array.ndim:
        return array[..., ::2]
    if way == "backwards" and array.ndim:
        return array[::-1]
    array.flags.writeable = way != "read-only"
    return array.T if way == "transposed" else array


def same(found, expected):
    assert list(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
        assert found[name].tobytes() == np.ascontiguousarray(array, array.dtype.newbyteorder("=")).tobytes()


@pytest.mark.slow
@suffixes
@given(weights=st.dictionaries(names, any_arrays(), max_size=4))
def test_every_array_is_loaded_bit_for_bit(folder, suffix, weights):
    path = folder / f"a{suffix}"
    save_weights(path, weights)
    found = load_weights(path)
    same(found, weights)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in found.values())
    first = path.read_bytes()
    save_weights(path, dict(reversed(weights.items())))
    assert path.read_bytes() == first  # the same content always gives the same bytes


@pytest.mark.slow
@given(weights=st.dictionaries(names, any_arrays(), max_size=4))
def test_other_programs_read_and_write_them(folder, weights):
    save_weights(folder / "a.safetensors", weights)
    same(dict(sorted(safetensors.numpy.load_file(folder / "a.safetensors").items())), weights)
    save_weights(folder / "a.npz", weights)
    with np.load(folder / "a.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == sorted(weights)
        same({name: archive[name] for name in sorted(archive.files)}, weights)
    plain = {name: array for name, array in weights.items() if name not in ("file", "args", "allow_pickle")}
    np.savez(folder / "b.npz", **plain)
    same(load_weights(folder / "b.npz"), plain)


def test_fortran_order_is_read(folder):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez(folder / "f.npz", w=array)
    assert np.array_equal(load_weights(folder / "f.npz")["w"], array)


@suffixes
def test_a_network_is_restored_and_another_one_refused(folder, suffix):
    net, twin, other = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, width)) for width in (2, 2, 1))
    save_weights(folder / f"net{suffix}", net.state_dict())
    twin.load_state_dict(load_weights(folder / f"net{suffix}"))
    for name, array in net.state_dict().items():
        assert np.array_equal(twin.state_dict()[name], array)
    with pytest.raises(CheckpointError, match=r"2\.weight has shape \(4, 2\), expected \(4, 1\)"):
        other.load_state_dict(load_weights(folder / f"net{suffix}"))


# --- layouts ---------------------------------------------------------------------------------------------


class Odd(nn.Module):
    """Matrices that are not weights of Linear, and a square one that is."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(np.arange(9, dtype=np.float32).reshape(3, 3))
        self.list = [nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Maxout(2, 3, 2))]
        self.matrices = {"list.0.weight", "list.1.0.weight", "list.1.2.weight"}


@suffixes
def test_the_pytorch_layout_transposes_linear_weights(folder, suffix):
    """The types of modules decide, not the shapes; other readers see the transpose, and `load_weights` undoes it."""
    net = Odd()
    weights, path = net.state_dict(), folder / f"odd{suffix}"
    save_weights(path, weights, "pytorch", net)
    if suffix == ".npz":
        with np.load(path) as archive:
            seen = dict(archive)
    else:
        seen = safetensors.numpy.load_file(path)
    assert seen.keys() == weights.keys()
    for name, array in weights.items():
        assert np.array_equal(seen[name], array.T if name in net.matrices else array)
    for options in ({}, {"layout": "pytorch"}, {"network": net}, {"layout": "pytorch", "network": net}):
        same(load_weights(path, **options), dict(sorted(weights.items())))
    with pytest.raises(CheckpointError, match="its layout is 'pytorch', as it says; load_weights was given 'tinygan'"):
        load_weights(path, "tinygan")
    save_weights(path, weights)
    same(load_weights(path), dict(sorted(weights.items())))
    with pytest.raises(CheckpointError, match="its layout is 'tinygan'"):
        load_weights(path, "pytorch", net)


@suffixes
def test_a_file_without_a_layout_is_read_with_the_given_one(folder, suffix):
    net, path = Odd(), folder / f"foreign{suffix}"
    weights = net.state_dict()
    theirs = {name: np.ascontiguousarray(array.T) if name in net.matrices else array for name, array in weights.items()}
    if suffix == ".npz":
        np.savez(path, **theirs)
    else:
        safetensors.numpy.save_file(theirs, path)
    same(load_weights(path), dict(sorted(theirs.items())))
    same(load_weights(path, "pytorch", net), dict(sorted(weights.items())))
    with pytest.raises(CheckpointError, match=r"load_weights: layout 'pytorch' .* network is None: give the module"):
        load_weights(path, "pytorch")


def test_a_pytorch_file_without_a_given_layout_is_refused(folder):
    net, path = nn.Linear(2, 2), folder / "pt.safetensors"
    weights = {"weight": np.arange(4, dtype=np.float32).reshape(2, 2), "bias": np.zeros(2, np.float32)}
    safetensors.numpy.save_file(weights, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="PyTorch has written it"):
        load_weights(path)
    assert np.array_equal(load_weights(path, "pytorch", net)["weight"], weights["weight"].T)
    assert np.array_equal(load_weights(path, "tinygan")["weight"], weights["weight"])


@pytest.mark.parametrize("call", [save_weights, lambda path, weights, *more: load_weights(path, *more)])
def test_unknown_layouts_are_refused(folder, call):
    np.savez(folder / "u.npz", a=np.zeros(2))
    for layout in ("torch", "", "PyTorch"):
        if layout or call is save_weights:
            with pytest.raises(CheckpointError, match=f"layout is '{layout}'; expected 'tinygan' or 'pytorch'"):
                call(folder / "u.npz", {"a": np.zeros(2)}, layout)


@pytest.mark.parametrize(
    "said",
    ["{}", "[]", "no JSON", '{"layout": "torch", "transposed": []}', '{"layout": "pytorch", "transposed": ["b"]}',
     '{"layout": "pytorch", "transposed": ["a", "a"]}', '{"layout": "tinygan", "transposed": ["a"]}',
     '{"layout": "pytorch", "transposed": "a"}', '{"layout": "pytorch", "transposed": [["a"]]}'],
)  # fmt: skip
def test_a_wrong_layout_record_is_refused(tmp_path, said):
    array = {"a": np.zeros((2, 2), np.float32)}
    safetensors.numpy.save_file(array, tmp_path / "a.safetensors", {"tinygan": said})
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(tmp_path / "a.safetensors")


@pytest.mark.slow
def test_no_flipped_bit_changes_the_layout_of_an_archive(tmp_path):
    net, path = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), tmp_path / "a.npz"
    save_weights(path, net.state_dict(), "pytorch", net)
    content = path.read_bytes()
    for position in range(content.rindex(b"PK\x05\x06"), len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = load_weights(path)
            except CheckpointError:
                continue
            same(found, dict(sorted(net.state_dict().items())))


@suffixes
def test_pytorch_loads_its_layout(folder, suffix):
    torch = pytest.importorskip("torch")
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    save_weights(folder / f"t{suffix}", net.state_dict(), "pytorch", net)
    if suffix == ".npz":
        loaded = {name: torch.from_numpy(array) for name, array in np.load(folder / "t.npz").items()}
    else:
        loaded = pytest.importorskip("safetensors.torch").load_file(folder / "t.safetensors")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    theirs.load_state_dict(loaded)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(theirs(torch.from_numpy(x)).detach().numpy(), net(tg.tensor(x)).numpy(), atol=1e-6)


# --- checkpoints are files of weights, and more ----------------------------------------------------------


def test_a_checkpoint_opens_as_a_file_of_weights(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", {"generator.0.bias": np.ones(2)}, {"step": 1})
    same(load_weights(tmp_path / "a.safetensors"), {"generator.0.bias": np.ones(2)})


def test_exported_weights_are_no_checkpoint(tmp_path):
    save_weights(tmp_path / "a.safetensors", {"w": np.zeros(2)})
    with pytest.raises(CheckpointError, match="expected a checkpoint, found a file of arrays without a state"):
        read_checkpoint(tmp_path / "a.safetensors")


# --- what is damaged -------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(FORMATS))
def whole(request, tmp_path):
    """Return a good file, its bytes and its weights."""
    path = tmp_path / f"w{request.param}"
    weights = {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.ones(3), "n": np.array(True)}
    save_weights(path, weights)
    return path, path.read_bytes(), weights


@pytest.mark.slow
def test_every_truncation_and_every_addition_is_refused(whole):
    path, content, _ = whole
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=rf"expected {path.suffix} weights, found a file of {length} bytes"):
            load_weights(path)
    if path.suffix == ".safetensors":
        path.write_bytes(content + b"\0")
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_weights(path)


@pytest.mark.slow
def test_a_flipped_bit_is_refused_or_changes_nothing(whole):
    path, content, weights = whole
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            found = load_weights(path)
        except CheckpointError:
            refused += 1
            continue
        assert sum(array.nbytes for array in found.values()) <= len(content)
        if list(found) == sorted(weights) and b"tinygan" in damaged:  # there, the checksum stands
            same(found, weights)
    assert refused > len(content) / 3


def tampered(**changes):
    """Return a safetensors file of one array of two float32, with changes to its header."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    header = json.dumps({"a": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="a header longer than any file"),
        pytest.param(struct.pack("<Q", 10**9) + b"{}", id="a header of a gigabyte"),
        pytest.param(struct.pack("<Q", 200_000) + b"[" * 200_000, id="a header nested without end"),
        pytest.param(tampered(shape=[2**62]), id="a shape of exabytes"),
        pytest.param(tampered(shape=[2**32, 2**32]), id="a shape whose size overflows"),
        pytest.param(tampered(shape=[-2]), id="a negative length"),
        pytest.param(tampered(data_offsets=[0, 2**40]), id="an end beyond the file"),
        pytest.param(tampered(data_offsets=[8, 0]), id="an end before the start"),
        pytest.param(tampered(data_offsets=[4, 12]), id="a gap"),
        pytest.param(tampered(dtype="F64"), id="another size"),
        pytest.param(tampered(dtype="O"), id="objects"),
        pytest.param(tampered(dtype="C64", shape=[1]), id="complex numbers"),
        pytest.param(tampered(dtype="BF16", shape=[4]), id="a dtype that NumPy does not have"),
        pytest.param(pickle.dumps({"a": 1}), id="a pickle"),
    ],
)
def test_wrong_headers_are_refused_cheaply(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    refused_cheaply(tmp_path / "a.safetensors")


def refused_cheaply(path, message="cannot be read"):
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=message) as error:
        load_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * path.stat().st_size + 2_000_000
    assert len(str(error.value)) < 500 + len(str(path))


def archive_of(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


def npy_of(header, data=bytes(8), version=(1, 0)):
    text = header if isinstance(header, bytes) else repr(header).encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def headed(**changes):
    return npy_of({"descr": "<f4", "fortran_order": False, "shape": (2,)} | changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("member", "message"),
    [
        pytest.param(headed(shape=(2**62,)), "but 8 bytes follow", id="a shape of exabytes"),
        pytest.param(headed(shape=(2**32, 2**32)), "but 8 bytes follow", id="a shape whose size overflows"),
        pytest.param(headed(shape=(-2, -1)), r"names shape \(-2, -1\)", id="negative lengths"),
        pytest.param(headed(shape=(1,)), "but 8 bytes follow", id="a smaller shape"),
        pytest.param(headed(descr="|O", shape=(1,)), "dtype object", id="objects"),
        pytest.param(headed(descr="<c8", shape=(1,)), "has dtype complex64", id="complex numbers"),
        pytest.param(headed(descr=[("a", "<f4")]), "has dtype", id="records"),
        pytest.param(headed(descr="<U1"), "has dtype", id="text"),
        pytest.param(npy_of(b"(" * 5000), "cannot be read", id="a header nested without end"),
        pytest.param(npy_of(b"__import__('os').abort()"), "cannot be read", id="a header of code"),
        pytest.param(npy_of({}), "cannot be read", id="a header without a shape"),
        pytest.param(npy_of({}, version=(9, 0)), "cannot be read", id="another version"),
        pytest.param(pickle.dumps(1), "cannot be read", id="a pickle"),
        pytest.param(b"", "cannot be read", id="nothing"),
    ],
)
def test_wrong_archives_are_refused_cheaply(tmp_path, member, message):
    (tmp_path / "a.npz").write_bytes(archive_of(good=headed(), bad=member))
    refused_cheaply(tmp_path / "a.npz", message)


def test_zip_bombs_are_refused_cheaply(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros(10_000_000, np.uint8))
    refused_cheaply(tmp_path / "a.npz", "it is compressed: write it with numpy.savez, not numpy.savez_compressed")
    content = archive_of(a=headed())
    central = content.index(b"PK\x01\x02")
    lying = bytearray(content)
    for size_field in (central + 20, central + 24):  # both sizes, in the directory that the zip reader uses
        lying[size_field : size_field + 4] = struct.pack("<I", 2**31)
    (tmp_path / "a.npz").write_bytes(lying)
    refused_cheaply(tmp_path / "a.npz", "its arrays are larger than the file")


def test_duplicate_members_and_other_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"its member 'readme\.txt' is not an array, or occurs twice"):
        load_weights(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", headed())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", headed())
    with pytest.raises(CheckpointError, match=r"its member 'a\.npy' is not an array, or occurs twice"):
        load_weights(tmp_path / "a.npz")


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("", np.zeros(1), "an array is named ''; expected printable text, not '__metadata__'"),
        ("__metadata__", np.zeros(1), "an array is named '__metadata__'; expected"),
        ("a\0b", np.zeros(1), r"an array is named 'a\\x00b'; expected"),
        (3, np.zeros(1), "an array is named 3; expected"),
        ("w", [1.0], "w is of type list; expected a NumPy array of bool, int8, .*float64: convert it"),
        ("w", np.zeros(1, complex), "w is of type complex128; expected"),
        ("w", np.array([None]), "w is of type object; expected"),
        ("w", np.array("text"), "w is of type <U4; expected"),
    ],
)
@suffixes
def test_unsupported_arrays_are_refused_and_the_old_file_kept(tmp_path, suffix, name, array, message):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(DtypeError, match=message):
        save_weights(path, {name: array})
    assert path.read_bytes() == b"old"


@suffixes
def test_files_that_cannot_be_written_or_read_are_named(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(CheckpointError, match=rf"a\{suffix}: cannot be read: No such file or directory; give the file"):
        load_weights(path)
    save_weights(path, {"a": np.zeros(2)})
    before = path.read_bytes()

    def full(descriptor, view):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(CheckpointError, match="cannot be written: No space left on device; free space, correct"):
            save_weights(path, {"a": np.ones(2)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("call", [load_weights, lambda path: save_weights(path, {})])
def test_other_formats_are_refused(tmp_path, call):
    expected = r"a\.pt: expected a name that ends in \.safetensors or \.npz, found 'a\.pt'$"
    with pytest.raises(CheckpointError, match=expected):
        call(tmp_path / "a.pt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("target", ["/dev/zero", "fifo", "folder"])
def test_endless_files_are_not_read(tmp_path, suffix, target):
    path = tmp_path / f"a{suffix}"
    if target == "fifo":
        os.mkfifo(path)
    elif target == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    with pytest.raises(CheckpointError, match="cannot be read: it is no plain file"):
        load_weights(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_sparse_file_is_refused_by_its_header(tmp_path, suffix):
    """It needs no space on the disk, and would fill the memory."""
    path = tmp_path / f"a{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"expected .* weights, found a file of 1099511627776 bytes"):
            load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
