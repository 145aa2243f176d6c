from __future__ import annotations

import importlib.util
import io
import sys
import tracemalloc
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tinygan.data import load_digits
from tinygan.errors import DataError

SCRIPT = Path(__file__).parents[2] / "tools" / "export_digits.py"


def test_three_splits_in_the_order_of_the_file() -> None:
    digits = load_digits()
    assert (digits.name, digits.image_shape) == ("digits", (8, 8))
    assert [len(part) for part in (digits.train, digits.validation, digits.test)] == [1397, 200, 200]
    with np.load(str(resources.files("tinygan.data") / "digits.npz"), allow_pickle=False) as file:
        parts = (digits.train, digits.validation, digits.test)
        np.testing.assert_array_equal(np.concatenate([p.images for p in parts]) * 16, file["images"])
        np.testing.assert_array_equal(np.concatenate([p.labels for p in parts]), file["labels"])


def test_known_facts_about_the_digits() -> None:
    digits = load_digits()
    parts = (digits.train, digits.validation, digits.test)
    images = np.concatenate([part.images for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert sorted(set(images.ravel().tolist())) == [count / 16 for count in range(17)]
    assert int(images.sum() * 16) == 561718
    for part in parts:
        assert part.images.dtype == np.float32
        assert part.images.flags.c_contiguous
        assert not part.images.flags.writeable
        assert set(part.labels.tolist()) == set(range(10))


def test_the_embedded_file_is_small_and_attributed() -> None:
    folder = resources.files("tinygan.data")
    assert len((folder / "digits.npz").read_bytes()) < 50_000
    credit = (folder / "DIGITS.md").read_text(encoding="utf-8")
    for words in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "tools/export_digits.py"):
        assert words in credit


def damaged(content: bytes) -> list[bytes]:
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    unpackable = content[:60] + b"\xff" * 40 + content[100:]  # inside the first compressed member
    incomplete = io.BytesIO()
    np.savez(incomplete, images=np.zeros((1797, 64), np.uint8))
    single, shapes = io.BytesIO(), io.BytesIO()
    np.save(single, np.zeros(3))
    np.savez(shapes, images=np.zeros((1797, 63), np.uint8), labels=np.zeros(1797, np.uint8))
    made = [file.getvalue() for file in (incomplete, single, shapes)]
    return [b"", b"PK", content[:middle], flipped, b"\x93NUMPY", b"x" * 100, unpackable, *made]


@pytest.mark.parametrize("case", range(10))
def test_a_damaged_installation_is_named(
    case: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (resources.files("tinygan.data") / "digits.npz").read_bytes()
    (tmp_path / "digits.npz").write_bytes(damaged(content)[case])
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match=r"digits\.npz.*install tinygan again"):
        load_digits()


def test_a_small_file_does_not_unpack_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "digits.npz", images=np.zeros((2**18, 64), np.uint8), labels=np.zeros(3, np.uint8))
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"unpacks to more than the digits.*install tinygan again"):
            load_digits()
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match=r"digits\.npz.*install tinygan again"):
        load_digits()


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("export_digits", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_embedded_file_bit_by_bit(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the digits are exported from scikit-learn, which is not installed")
    exporter = script()
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    exporter.export(first)
    exporter.export(second)
    assert first.read_bytes() == second.read_bytes()
    with np.load(first) as made, np.load(exporter.DESTINATION) as shipped:
        assert set(made) == set(shipped) == {"images", "labels"}
        for name in made:
            assert made[name].dtype == shipped[name].dtype == np.uint8
            np.testing.assert_array_equal(made[name], shipped[name])


def test_the_script_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemExit, match="pip install scikit-learn"):
        script().export(tmp_path / "never.npz")
