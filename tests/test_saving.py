"""`tg.save` and `tg.load`: what is loaded is what was saved, or a refusal says why."""

from __future__ import annotations

import collections
import io
import math
import os
import pickle
import signal
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygan as tg
from tests.doubles.installed import strict_cupy
from tinygan import nn, optim
from tinygan.backend import Streams
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, TinyganError
from tinygan.experiments.weights import load_weights, save_weights
from tinygan.runs.checkpoint import write_checkpoint
from tinygan.runs.safetensors_file import encode

pytestmark = pytest.mark.slow

DTYPES = ["?", "i1", "i8", "u2", "u8", "f2", "f4", "f8", "c8", "c16", ">f4", ">i2", ">c16"]
arrays = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
layouts = st.sampled_from([lambda a: a, lambda a: a.T, lambda a: np.repeat(a[..., None], 2, axis=-1)[..., 0]])
keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(2**64, 2**80)
scalars = st.sampled_from(DTYPES[:10]).flatmap(lambda dtype: st.just(np.ones(1, dtype)[0]))
trees = st.recursive(
    plain | st.builds(lambda array, layout: layout(array), arrays, layouts) | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=8,
)
names = st.text(min_size=1, max_size=6).filter(lambda name: name not in ("", "self"))


def assert_same(got, expected):
    """Compare two values with their types, at any depth."""
    assert type(got) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype.newbyteorder("="))
        assert got.flags.writeable
        assert got.tobytes() == expected.astype(got.dtype).tobytes()
    elif isinstance(expected, dict):
        assert [repr(key) for key in got] == [repr(key) for key in expected]
        for one, other in zip(got.values(), expected.values(), strict=True):
            assert_same(one, other)
    elif isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.generic):
        assert got.tobytes() == expected.tobytes()
    else:
        assert repr(got) == repr(expected)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("saved") / "state.safetensors"


@given(things=st.dictionaries(names, trees, min_size=1, max_size=3))
def test_what_is_loaded_is_what_was_saved(path, things):
    tg.save(path, **things)
    assert_same(tg.load(path), things)


def test_modules_and_optimisers_go_on_to_the_same_bits(path):
    def game():
        net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters()}]
        rule = optim.AdamW(groups, optim.CosineDecay(0.01, 50))
        return net, rule, optim.ExponentialMovingAverage(net.parameters(), 0.9), Streams(3)

    def advance(net, rule, average, streams):
        for _ in range(3):
            x = tg.tensor(streams["noise"].normal((4, 2)).astype(np.float32))
            rule.zero_grad()
            (net(x) * net(x)).mean().backward()
            rule.step()
            average.update()

    one, other = game(), game()
    advance(*one)
    one[1].param_groups[0]["lr"] = 0.05
    titles = ("net", "rule", "average", "streams")
    tg.save(path, **dict(zip(titles, one, strict=True)), both=[one[0], {"of": one[1]}], w=one[0][0].weight)
    saved = tg.load(path, **dict(zip(titles, other, strict=True)))
    assert_same(saved["net"], one[0].state_dict())
    assert_same(saved["rule"], one[1].state_dict())
    assert_same(saved["both"], [one[0].state_dict(), {"of": one[1].state_dict()}])
    assert_same(saved["w"], one[0][0].weight.data)
    for each in (one, other):
        advance(*each)
    assert_same(other[0].state_dict(), one[0].state_dict())
    assert_same(other[1].state_dict(), one[1].state_dict())
    assert_same(other[2].state_dict(), one[2].state_dict())
    other[0].load_state_dict(tg.load(path)["net"])
    other[1].load_state_dict(tg.load(path)["rule"])


def test_other_programs_find_the_arrays_by_their_paths(path):
    net = nn.Linear(2, 1)
    tg.save(path, net=net, more={"a": [np.ones(2)], "a/0": np.zeros(1), "\n": np.ones(1), 3: np.ones(1)})
    found = load_weights(path)
    assert sorted(found) == ["more/3", "more/?", "more/a/0", "more/a/0~3", "net/bias", "net/weight"]
    np.testing.assert_array_equal(found["net/weight"], net.weight.data)
    assert tg.load(path)["more"]["a/0"].tolist() == [0]


def test_an_array_that_occurs_twice_is_stored_twice(path):
    array = np.arange(3.0)
    tg.save(path, a=array, b=[array, array[::-1]])
    saved = tg.load(path)
    saved["a"][0] = 9
    assert saved["b"][0].tolist() == [0, 1, 2]
    assert saved["b"][1].tolist() == [2, 1, 0]


def test_mappings_become_dicts_and_tensors_arrays(path):
    with strict_cupy() as cupy:
        there = tg.tensor([1.0, 2.0], device="cuda", requires_grad=True)
        ordered = collections.OrderedDict(b=1, a=2)
        tg.save(path, there=there, raw=cupy.asarray(np.ones(2)), ordered=ordered, path="a name as any other")
        saved = tg.load(path)
    assert_same(saved, {
        "there": np.array([1, 2], "f4"), "raw": np.ones(2), "ordered": {"b": 1, "a": 2}, "path": "a name as any other",
    })  # fmt: skip


# --- refusals --------------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")


class Number(int):
    pass


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ({1, 2}, "save: thing['a'] is a set; expected modules"),
        (b"x", "save: thing['a'] is a bytes; expected modules"),
        (1j, "save: thing['a'] is a complex; expected modules"),
        (Number(3), "save: thing['a'] is a Number; expected modules"),
        (Point(1, 2), "save: thing['a'] is a Point; expected modules"),
        (nn.Linear, "save: thing['a'] is a type; expected modules"),
        (lambda: 0, "save: thing['a'] is a function; expected modules"),
        ([0, {"b": object()}], "save: thing['a'][1]['b'] is a object; expected modules"),
        ({(1, 2): 3}, "save: thing['a'] has the key (1, 2) of type tuple; expected text or a number"),
        ({np.int64(3): 3}, "save: thing['a'] has the key np.int64(3) of type int64; expected text or a number"),
        (np.array(["x"]), "save: thing/a is of type <U1; expected a NumPy array of"),
        (np.array([None]), "save: thing/a is of type object; expected a NumPy array of"),
        (np.ones(1, np.longdouble), "save: thing/a is of type"),
        (np.datetime64("2014-06-10"), "save: thing/a is of type datetime64"),
        (np.ones(1, "i4,f4"), "save: thing/a is of type"),
        (np.ma.ones(2), "save: thing['a']"),
        ([10**5000], "save: the state cannot be written as JSON"),
        (list(range(10**6)), "save: the header takes "),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(path, thing, message):
    tg.save(path, step=1)
    with pytest.raises(DtypeError) as caught:
        tg.save(path, thing={"a": thing})
    assert str(caught.value).startswith(message)
    assert tg.load(path) == {"step": 1}


def test_a_value_that_contains_itself_is_refused(path):
    loop = []
    loop.append({"again": loop})
    with pytest.raises(DtypeError, match="is nested deeper than 100 levels; does it contain itself"):
        tg.save(path, loop=loop)


def test_things_need_names_and_a_path_comes_first(path):
    for call in (lambda: tg.save(path), lambda: tg.save(path, nn.Linear(1, 1)), lambda: tg.save("x", 1, a=2)):
        with pytest.raises(ArgumentError, match=r"each thing needs a name, as in tg\.save\(path, generator=generator"):
            call()
    with pytest.raises(DtypeError, match=r"save: expected a path first, got a dict; write tg\.save\("):
        tg.save({"a": 1}, path)
    with pytest.raises(DtypeError, match=r"load: expected a path first, got a BytesIO"):
        tg.load(io.BytesIO())
    for nothing in ("", ".", "/", "a\0b"):
        for call in (tg.load, lambda path: tg.save(path, a=1)):
            with pytest.raises(ArgumentError, match="names no file"):
                call(nothing)


def test_what_the_system_refuses(tmp_path):
    for where in (tmp_path / "no" / "folder", tmp_path):
        with pytest.raises(CheckpointError, match=r"cannot be written: .*an earlier file of this name is still whole"):
            tg.save(where, a=1)
        with pytest.raises(CheckpointError, match=r"cannot be read: .*; give a file of tg.save"):
            tg.load(where)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="cannot be read: it is no plain file"):
        tg.load(tmp_path / "pipe")


def test_things_that_do_not_fit_are_refused_when_loaded(path):
    tg.save(path, generator=nn.Linear(2, 3), step=3)
    with pytest.raises(CheckpointError, match=r"nothing was saved as 'genrator'; it has 'generator', 'step'; did you"):
        tg.load(path, genrator=nn.Linear(2, 3))
    with pytest.raises(DtypeError, match=r"load: step is a int, which has no load_state_dict; use tg\.load\(path\)"):
        tg.load(path, step=3)
    with pytest.raises(CheckpointError, match="do not belong to this Linear"):
        tg.load(path, generator=nn.Linear(3, 3))
    with pytest.raises(CheckpointError, match="SGD: the saved state lacks updates"):
        tg.load(path, generator=optim.SGD(nn.Linear(2, 3).parameters(), 0.1))


def content(things):
    buffer = io.BytesIO()
    np.savez(buffer, **things)
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "damaged, incomplete or of another kind"),
    "text": (b"hello, world. " * 9, "damaged, incomplete or of another kind"),
    "pickle": (pickle.dumps({"a": 1}), "perhaps a pickle, which can run code and is never read here"),
    "old pickle": (pickle.dumps({"a": np.ones(9)}, protocol=2), "perhaps a pickle"),
    "npz": (content({"a": np.ones(2)}), r"a zip archive, such as a \.pt file of PyTorch or an \.npz file"),
    "huge header": (struct.pack("<Q", 2**60) + b"{}", "damaged"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_other_programs_are_refused(tmp_path, kind):
    beginning, message = FOREIGN[kind]
    (tmp_path / "file").write_bytes(beginning)
    with pytest.raises(CheckpointError, match=f"expected a file of tg.save, found a file of .* {message}"):
        tg.load(tmp_path / "file")


def test_a_file_of_pytorch_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a zip archive, such as a \.pt file of PyTorch"):
        tg.load(tmp_path / "a.pt")


def test_weights_and_checkpoints_are_told_apart(tmp_path):
    save_weights(tmp_path / "weights.safetensors", {"a": np.ones(2)})
    write_checkpoint(tmp_path / "checkpoint.safetensors", {"a": np.ones(2)}, {"step": 3})
    for name in ("weights", "checkpoint"):
        with pytest.raises(CheckpointError, match=r"a safetensors file of arrays or a checkpoint of a run; read its"):
            tg.load(tmp_path / f"{name}.safetensors")


def test_a_damaged_file_is_refused(path):
    tg.save(path, a=np.arange(5), b={"c": [1, 2.5, "text"], 3: (np.float32(1), 2j * np.ones(2))})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CheckpointError):
            tg.load(path)
    for end in (0, 1, 7, 8, 9, 100, len(whole) - 1):
        for cut in (whole[:end], whole + whole[:end] + b"x"):
            path.write_bytes(cut)
            with pytest.raises(CheckpointError):
                tg.load(path)


def lying(saved, **arrays):
    """Return the bytes of a file with a right checksum and a structure that `tg.save` does not write."""
    return b"".join(encode("test", arrays, {"layout": "tinygan", "transposed": [], "saved": saved}))


@pytest.mark.parametrize(
    "saved",
    [
        None, 3, [], {}, {"list": []}, {"dict": 3}, {"dict": [[1]]}, {"dict": [[[], 1]]}, {"dict": [["a", {}]]},
        {"dict": [["a", {"array": "b"}]]}, {"dict": [["a", {"array": []}]]}, {"dict": [["a", {"pickle": "x"}]]},
        {"dict": [["a", {"complex": "x"}]]}, {"dict": [["a", {"scalar": {"array": "x"}}], ["x", {"array": "x"}]]},
        {"dict": [["a", {"array": "x"}], ["b", {"array": "x"}]]}, {"dict": [["a", {"array": "x", "tuple": []}]]},
        {"dict": [["a", 1]]}, {"tuple": [{"array": "x"}]}, {"dict": [[{"tuple": []}, {"array": "x"}]]},
    ],
)  # fmt: skip
def test_a_file_that_lies_about_its_structure_is_refused(path, saved):
    path.write_bytes(lying(saved, x=np.ones((2, 3), np.int8)))
    with pytest.raises(CheckpointError, match=r"expected a file of tg\.save"):
        tg.load(path)


def test_a_structure_too_deep_is_refused(path):
    text = lying({"dict": [["a", "here"]]})
    deep = "[" * 100_000 + "]" * 100_000
    inner = text[8:].decode().replace('\\"here\\"', deep).encode()
    path.write_bytes(struct.pack("<Q", len(inner)) + inner)
    with pytest.raises(CheckpointError):
        tg.load(path)


def test_no_file_takes_much_more_memory_than_it_has(path):
    path.write_bytes(lying({"dict": [["a", [[] for _ in range(500_000)]]]}))
    tracemalloc.start()
    try:
        tg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 60 * path.stat().st_size
    finally:
        tracemalloc.stop()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(10**7))
    with pytest.raises(CheckpointError, match="a zip archive"):
        tg.load(path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_killed_while_it_saves_leaves_the_old_file(tmp_path):
    path = tmp_path / "state.safetensors"
    tg.save(path, step=1)
    program = (
        "import os, signal, sys, numpy as np, tinygan as tg\n"
        "def fsync(descriptor): os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.fsync = fsync\n"
        "tg.save(sys.argv[1], step=2, a=np.zeros(10**6))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert tg.load(path) == {"step": 1}
    assert len(list(tmp_path.iterdir())) == 2  # and its own, which is never read


def test_numbers_that_json_does_not_know_are_kept(path):
    tg.save(path, numbers=[math.nan, math.inf, -math.inf, -0.0, 2**200, True, 5e-324])
    assert_same(tg.load(path)["numbers"], [math.nan, math.inf, -math.inf, -0.0, 2**200, True, 5e-324])


def test_every_refusal_is_an_error_of_tinygan(path):
    for thing in (object(), {1, 2}, [object()]):
        with pytest.raises(TinyganError):
            tg.save(path, thing=thing)
    assert Path(path).suffix == ".safetensors"
