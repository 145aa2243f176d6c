from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.colours import IN_A_FILE, archive_of, rows_of, write_small_cifar10
from tinygan.data import cifar10, load, load_cifar10
from tinygan.data.cifar10 import ARCHIVE, CHECKSUMS, CLASSES, FILES, FOLDER, MIRRORS, ROW, TEST
from tinygan.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data sets with a small CIFAR-10."""
    write_small_cifar10(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def home(folder: Path) -> Path:
    """The folder of its files."""
    return folder / "cifar10" / FOLDER


def contents() -> dict[str, bytes]:
    return {name: rows_of(number).tobytes() for number, name in enumerate(FILES)}


def test_splits_pixels_and_labels(folder: Path) -> None:
    data = load("cifar10", folder)
    assert (data.name, data.image_shape, data.shown) == ("cifar10", (32, 32, 3), (0.0, 1.0))
    train = [rows_of(number) for number in range(5)]
    for part, rows in (
        (data.train, np.concatenate(train[:4])), (data.validation, train[4]), (data.test, rows_of(5)),
    ):  # fmt: skip
        assert part.images.dtype == np.float32
        np.testing.assert_array_equal(part.labels, rows[:, 0])
        pictures = part.images.reshape(-1, 32, 32, 3)
        for colour in range(3):  # each colour is a plane of 1,024 bytes in the file
            plane = rows[:, 1 + 1024 * colour :][:, :1024].reshape(-1, 32, 32)
            np.testing.assert_array_equal(pictures[..., colour], plane.astype(np.float32) / 255)


def test_every_place_of_the_files(folder: Path, home: Path, tmp_path: Path) -> None:
    expected = load_cifar10(folder).train.sha256
    assert load_cifar10(home).train.sha256 == expected
    assert load_cifar10(home.parent).train.sha256 == expected
    below = tmp_path / "other" / "cifar10"
    shutil.copytree(home, below)
    assert load_cifar10(below.parent).train.sha256 == expected


def test_the_environment_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGAN_DATA", str(folder))
    assert len(load_cifar10(download=False).test) == IN_A_FILE


@pytest.mark.parametrize("place", ["cifar10", "."])
def test_the_archive_is_read_in_any_order(folder: Path, tmp_path: Path, place: str) -> None:
    where = tmp_path / "packed" / place
    where.mkdir(parents=True)
    files = {"batches.meta.txt": b"airplane\n", **dict(reversed(contents().items()))}
    (where / ARCHIVE).write_bytes(archive_of(files))
    packed, plain = load_cifar10(tmp_path / "packed"), load_cifar10(folder)
    for part in ("train", "validation", "test"):
        assert getattr(packed, part).sha256 == getattr(plain, part).sha256
        np.testing.assert_array_equal(getattr(packed, part).labels, getattr(plain, part).labels)


def test_a_download_is_read_from_the_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz could not be downloaded"):
        load_cifar10()
    with pytest.raises(DataError, match="allow the download, which was switched off"):
        load_cifar10(download=False)
    packed = archive_of(contents())
    (tmp_path / "tinygan" / "cifar10" / ARCHIVE).write_bytes(packed)
    monkeypatch.setattr(cifar10, "MIRRORS", ("http://127.0.0.1:1/",))
    monkeypatch.setattr(cifar10, "CHECKSUMS", {ARCHIVE: hashlib.sha256(packed).hexdigest()})
    assert load_cifar10().train.sha256 == load_cifar10(folder).train.sha256


# --- what is not CIFAR-10 ----------------------------------------------------------------------------------


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_cifar10(folder)
    return str(caught.value)


def test_no_file_is_a_message_that_says_where_they_belong(tmp_path: Path) -> None:
    said = refusal(tmp_path)
    assert all(word in said for word in (str(tmp_path / "cifar10"), ARCHIVE, "--data", "TINYGAN_DATA"))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(home: Path, name: str) -> None:
    (home / name).unlink()
    said = refusal(home)
    assert str(home) in said
    assert [other for other in FILES if other in said] == [name]


@pytest.mark.parametrize("name", FILES)
@given(change=st.integers(-IN_A_FILE * ROW, 2 * ROW).filter(bool))
def test_a_file_of_another_length_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, change: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        home = write_small_cifar10(tmp_path_factory.mktemp("data"), patch)
        content = (home / name).read_bytes() + bytes(2 * ROW)
        (home / name).write_bytes(content[: IN_A_FILE * ROW + change])
        said = refusal(home)
    assert f"{home / name}: expected {IN_A_FILE * ROW:,} bytes" in said
    assert ("found more" if change > 0 else f"found {IN_A_FILE * ROW + change:,}") in said


def test_a_gzip_file_is_to_be_unpacked(home: Path) -> None:
    path = home / FILES[0]
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert f"{path}: " in refusal(home)
    assert "unpack it" in refusal(home)


@pytest.mark.parametrize("name", FILES)
def test_a_label_above_9_is_named(home: Path, name: str) -> None:
    content = bytearray((home / name).read_bytes())
    content[7 * ROW] = 10
    (home / name).write_bytes(content)
    assert f"{home / name}: expected labels 0 to 9, found 10 at image 7" in refusal(home)


def test_a_folder_or_a_pipe_is_no_file(home: Path) -> None:
    path = home / TEST
    path.unlink()
    path.mkdir()
    assert f"{path}: expected a file, found a folder" in refusal(home)
    path.rmdir()
    os.mkfifo(path)
    assert f"{path}: expected a file, found a device or pipe" in refusal(home)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda packed: packed[: len(packed) // 2], "truncated"),
        (lambda packed: packed[:-100] + bytes(100), "truncated"),
        (lambda packed: b"", "truncated"),
        (lambda packed: gzip.decompress(packed), "of another kind"),
        (lambda packed: b"no archive" * 1000, "of another kind"),
        (lambda packed: gzip.compress(b"no archive" * 1000), "of another kind"),
        (lambda packed: archive_of({}), "has no data_batch_1.bin, data_batch_2.bin"),
        (lambda packed: archive_of({**contents(), TEST: b"short"}), "found 5"),
    ],
)
def test_a_damaged_archive_is_refused(folder: Path, tmp_path: Path, spoil: object, word: str) -> None:
    path = tmp_path / "packed" / ARCHIVE
    path.parent.mkdir()
    path.write_bytes(spoil(archive_of(contents())))  # type: ignore[operator]
    said = refusal(path.parent)
    assert said.startswith(str(path))
    assert word in said


def test_too_little_memory_is_a_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 586. MiB")

    monkeypatch.setattr(np, "empty", refuse)
    assert refusal(folder).startswith("cifar10: the data do not fit into the memory (Unable to allocate 586")


def test_the_published_archive_and_its_classes_are_known() -> None:
    assert (len(CLASSES), len(FILES), list(CHECKSUMS)) == (10, 6, [ARCHIVE])
    assert len(bytes.fromhex(CHECKSUMS[ARCHIVE])) == 32
    assert all(url.startswith("https://") and url.endswith("/") for url in MIRRORS)
    assert cifar10.IN_A_FILE * ROW == 30_730_000


REAL = Path(os.environ.get("TINYGAN_DATA") or "nowhere")


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "cifar10" / FOLDER / TEST).is_file(), reason="TINYGAN_DATA names no folder with the real CIFAR-10"
)
def test_the_real_cifar10() -> None:
    data = load_cifar10()
    labels = np.concatenate([data.train.labels, data.validation.labels])
    assert np.bincount(labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    assert (len(data.train), len(data.validation)) == (40_000, 10_000)
    means = np.concatenate([data.train.images, data.validation.images]).reshape(-1, 3).mean(axis=0, dtype=np.float64)
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)  # red, green, blue
