"""The reader of MATLAB files against SciPy's writer, and against damage."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tinygan.data.matlab import NUMBERS, read_matlab
from tinygan.errors import DataError

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
numeric = st.sampled_from(DTYPES).flatmap(lambda kind: arrays(kind, array_shapes(min_dims=2, max_dims=4, max_side=5)))
ASKED = {"images": ((3, 2), ("uint8",)), "folds": ((4,), NUMBERS)}


def contents() -> dict[str, Any]:
    images = np.arange(60, dtype=np.uint8).reshape(10, 3, 2)
    return {"images": images, "folds": np.arange(40.0).reshape(10, 4), "more": np.full((2, 2), "text", object)}


def save(folder: Path, variables: dict[str, Any], **options: Any) -> Path:
    path = folder / "some.mat"
    scipy.io.savemat(path, variables, **options)
    return path


def refusal(path: Path, asked: Any = ASKED) -> str:
    with pytest.raises(DataError) as caught:
        read_matlab(path, asked)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@pytest.mark.slow
@given(st.lists(numeric, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_files_written_by_scipy_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], compressed: bool, others: bool
) -> None:
    count = min(len(value) for value in values)
    variables = {f"a_name_{index}" * (1 + 5 * index): value[:count] for index, value in enumerate(values)}
    also = {"z": np.array("text"), "a": {"field": 1.0}, "c": np.array([[1j]])} if others else {}
    folder = tmp_path_factory.mktemp("matlab")
    path = save(folder, also | variables, do_compression=compressed, long_field_names=True)
    found = read_matlab(path, {name: (value.shape[1:], NUMBERS) for name, value in variables.items()})
    assert list(found) == list(variables)
    for name, value in variables.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def element(order: str, code: int, content: bytes) -> bytes:
    return struct.pack(f"{order}II", code, len(content)) + content + b"\0" * (-len(content) % 8)


def matrix(order: str, kind: int, shape: tuple[int, ...], code: int, numbers: bytes, flags: int = 0) -> bytes:
    """Return a variable x in the format of the specification, for forms that SciPy never writes."""
    return element(
        order,
        14,
        element(order, 6, struct.pack(f"{order}II", kind | flags, 0))
        + element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape))
        + element(order, 1, b"x")
        + element(order, code, numbers),
    )


def file_of(folder: Path, order: str, *variables: bytes) -> Path:
    path = folder / "made.mat"
    mark = struct.pack(f"{order}HH", 0x0100, 0x4D49)
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(variables))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["u1", "i2", "f8"])
def test_doubles_stored_in_smaller_types_are_read(tmp_path: Path, order: str, code: str) -> None:
    values = np.arange(10).reshape(5, 2)
    number = {"u1": 2, "i2": 3, "f8": 9}[code]
    numbers = values.astype(order + code).tobytes(order="F")
    path = file_of(tmp_path, order, matrix(order, 6, (5, 2), number, numbers))
    found = read_matlab(path, {"x": ((2,), ("double",))})["x"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(scipy.io.loadmat(path)["x"], values)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ((6, (2, 1), 170, b"\0" * 16), "x: expected numbers for double, found type code 170; replace it"),
        ((9, (2, 1), 9, b"\0" * 16), "x: expected numbers for uint8, found type code 9"),
        ((9, (2, 1), 2, b"\0" * 9), "x: expected 2 x 1 numbers of 1 bytes, found 9 bytes"),
        ((6, (2**31 - 1, 1), 9, b"\0" * 16), "x: expected 2147483647 x 1 numbers of 8 bytes, found 16 bytes"),
        ((6, (-2, 1), 9, b"\0" * 16), "expected two sizes or more, none below 0, found -2 x 1"),
        ((6, (2,), 9, b"\0" * 16), "expected two sizes or more, none below 0, found 2"),
        ((6, (2, 1), 9, b"\0" * 16, 0x800), "x: expected real numbers, found complex"),
        ((9, (2, 1), 2, b"\0" * 2, 0x200), "x: expected real numbers, found logical"),
        ((0, (2, 1), 9, b"\0" * 16), "expected a MATLAB class, found number 0"),
        ((77, (2, 1), 9, b"\0" * 16), "expected a MATLAB class, found number 77"),
    ],
)
def test_a_variable_that_contradicts_itself(tmp_path: Path, made: Any, message: str) -> None:
    assert refusal(file_of(tmp_path, "<", matrix("<", *made)), {"x": ((1,), NUMBERS)}).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "expected the variables images, folds, found folds, more: images missing; check that this"),
        ({"images": np.zeros((10, 3, 3), np.uint8)}, "images: expected N x 3 x 2, found 10 x 3 x 3; check that"),
        ({"images": np.zeros((10, 3, 2))}, "images: expected uint8, found double; check that this is the right file"),
        ({"folds": np.zeros((9, 4))}, "folds: expected 10 x 4, found 9 x 4"),
        ({"folds": np.full((10, 4), "a", object)}, "folds: expected real numbers, found cell"),
        ({"folds": {"a": 1}}, "folds: expected 10 x 4, found 1 x 1"),
    ],
)
def test_other_variables(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    variables = {name: value for name, value in (contents() | change).items() if value is not None}
    assert refusal(save(tmp_path, variables)).startswith(message)


def test_two_variables_of_one_name_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, contents())
    path.write_bytes(path.read_bytes() + path.read_bytes()[128:])
    assert refusal(path) == "expected one variable images, found 2; replace it by a fresh copy"


@pytest.mark.parametrize("content", [b"", b"\0" * 128, b"<html>not found</html>" * 20, b"\x1f\x8b" + b"x" * 400])
def test_files_of_other_kinds(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.mat"
    path.write_bytes(content)
    assert "expected a MATLAB file of version 5 to 7, found a file that begins differently" in refusal(path)


def test_matlab_7_3_is_recognised(tmp_path: Path) -> None:
    path = save(tmp_path, contents())
    whole = bytearray(path.read_bytes())
    whole[124:126] = b"\x00\x02"
    path.write_bytes(whole)
    assert refusal(path) == (
        "expected a MATLAB file of version 5 to 7, found version number 0x0200; 7.3 has 0x0200: save such a file in "
        "MATLAB with the option -v7"
    )


def test_nothing_and_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert "expected a file, found nothing of that name" in refusal(tmp_path / "some.mat")
    assert "expected a file, found a folder" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_and_a_device_are_refused_rather_than_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # a reader that opens it fails instead of blocking
    os.write(writer, b"no MATLAB file")
    (tmp_path / "device").symlink_to("/dev/zero")
    try:
        for name in ("pipe", "device"):
            assert "expected a file, found a device or pipe" in refusal(tmp_path / name)
    finally:
        os.close(writer)


@given(compressed=st.booleans(), share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(tmp_path_factory: pytest.TempPathFactory, compressed: bool, share: float) -> None:
    variables = {name: contents()[name] for name in ASKED}
    path = save(tmp_path_factory.mktemp("matlab"), variables, do_compression=compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert refusal(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_ends_within_another_variable_is_refused(tmp_path: Path, compressed: bool) -> None:
    path = save(tmp_path, contents(), do_compression=compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    assert refusal(path) == (
        f"expected {len(whole)} bytes or more, found {len(whole) - 8}: it is truncated; replace it by a fresh copy"
    )


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path_factory: Any, data: st.DataObject) -> None:
    path = save(tmp_path_factory.mktemp("matlab"), contents(), do_compression=data.draw(st.booleans()))
    damaged = bytearray(path.read_bytes())
    places = st.integers(124, len(damaged) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        damaged[place] = byte
    path.write_bytes(damaged)
    try:
        found = read_matlab(path, ASKED)
    except DataError:
        pass
    else:
        assert found["images"].shape == (len(found["folds"]), 3, 2)
        assert found["images"].dtype == np.uint8


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_every_damage_to_compressed_numbers_is_noticed(tmp_path_factory: Any, place: int, bit: int) -> None:
    path = save(tmp_path_factory.mktemp("matlab"), contents(), do_compression=True)
    damaged = bytearray(path.read_bytes())
    begin = 136  # of the first variable, after its tag
    (size,) = struct.unpack("<I", damaged[132:136])
    damaged[begin + place % size] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        found = read_matlab(path, ASKED)
    except DataError:
        return
    np.testing.assert_array_equal(found["images"], contents()["images"])  # two bits of the header have no meaning


def peak_of_refusal(path: Path, asked: Any, message: str) -> int:
    tracemalloc.start()
    try:
        assert message in refusal(path, asked)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def compressed(inner: bytes) -> bytes:
    packed = zlib.compress(inner)
    return struct.pack("<II", 15, len(packed)) + packed


@pytest.mark.slow
@pytest.mark.parametrize("there", [10**6, 2**26])
def test_a_small_file_cannot_demand_much_memory(tmp_path: Path, there: int) -> None:
    inner = matrix("<", 9, (2**26, 1), 2, b"")
    path = file_of(tmp_path, "<", compressed(inner[:-4] + struct.pack("<I", 2**26) + bytes(there)))
    message = "x: expected at most 16777216 bytes of numbers from the "
    assert peak_of_refusal(path, {"x": ((1,), NUMBERS)}, message) < 5e6


def test_a_truncated_file_needs_no_more_than_its_stated_size(tmp_path: Path) -> None:
    inner = matrix("<", 9, (2**23, 1), 2, b"")
    path = file_of(tmp_path, "<", compressed(inner[:-4] + struct.pack("<I", 2**23) + bytes(10**6)))
    assert peak_of_refusal(path, {"x": ((1,), NUMBERS)}, "it is truncated") < 12e6


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_valid_file_needs_memory_for_its_size_and_a_piece(tmp_path: Path, packed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2**23, 1)).astype(np.uint8)
    path = save(tmp_path, {"x": values}, do_compression=packed)
    tracemalloc.start()
    try:
        found = read_matlab(path, {"x": ((1,), ("uint8",))})["x"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, values)
    assert peak < 2**23 + 8e6


def test_numbers_wider_than_their_class_are_refused(tmp_path: Path) -> None:
    wide = matrix("<", 9, (2, 1), 4, np.array([300, 1], "<u2").tobytes())  # uint8, stored as uint16
    assert refusal(file_of(tmp_path, "<", wide), {"x": ((1,), NUMBERS)}).startswith("x: expected numbers for uint8")


def test_more_rows_than_the_caller_expects_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, contents())
    assert len(read_matlab(path, ASKED, most=10)["images"]) == 10
    with pytest.raises(DataError, match="expected at most 9 rows in a variable, found 10; check that this is"):
        read_matlab(path, ASKED, most=9)


def test_a_file_of_countless_variables_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, "<", matrix("<", 9, (1, 1), 2, b"a") * 1001)
    assert refusal(path) == "expected at most 1000 variables, found more; check that this is the right file"


def test_too_little_memory_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 1. TiB")

    path = save(tmp_path, contents())
    monkeypatch.setattr("tinygan.data.matlab._bytes", refuse)
    assert refusal(path).startswith("the data do not fit into the memory (Unable to allocate 1. TiB); ")
