from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest

from tinygan.data import load_mnist
from tinygan.data.mnist import CHECKSUMS, MIRRORS, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from tinygan.errors import DataError

SIZES = {"train": 60_000, "t10k": 10_000}


@pytest.fixture(scope="module")
def imitation(tmp_path_factory: pytest.TempPathFactory, idx_bytes: Any) -> Path:
    """A folder with files of MNIST's shapes: two pixels encode the number of an image, its label is that mod 10."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for part, count in SIZES.items():
        number = np.arange(count)
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 27, 27] = number % 256, number // 256
        labels = (number % 10).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx_bytes(array), compresslevel=1)
            (folder / "mnist" / f"{part}-{name}-ubyte.gz").write_bytes(content)
    return folder


@pytest.fixture
def spoiled(imitation: Path, tmp_path: Path) -> Path:
    """A copy of the imitation for a test to damage."""
    shutil.copytree(imitation / "mnist", tmp_path / "mnist")
    return tmp_path


def numbers(images: Any) -> Any:
    """Return the image numbers that the imitation wrote into the corners."""
    return np.rint(images[:, 0] * 255 + images[:, 783] * 255 * 256).astype(int)


@pytest.mark.slow
def test_splits_and_scale(imitation: Path) -> None:
    mnist = load_mnist(imitation)
    assert (mnist.name, mnist.image_shape) == ("mnist", (28, 28))
    for part, expected in (
        (mnist.train, np.arange(50_000)),
        (mnist.validation, np.arange(50_000, 60_000)),
        (mnist.test, np.arange(10_000)),
    ):
        assert part.images.shape == (len(expected), 784)
        assert part.images.dtype == np.float32
        assert part.images.flags.c_contiguous
        assert not part.images.flags.writeable
        np.testing.assert_array_equal(numbers(part.images), expected)
        np.testing.assert_array_equal(part.labels, expected % 10)
    np.testing.assert_array_equal(mnist.train.images[:256, 0], np.arange(256, dtype=np.float32) / 255)


def test_the_memory_stays_near_that_of_the_result(imitation: Path) -> None:
    tracemalloc.start()
    try:
        mnist = load_mnist(imitation)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(mnist.train) == 50_000
    floats, training_bytes = 4 * 70_000 * 784, 60_000 * 784
    assert held < floats + (1 << 20)
    assert peak < floats + training_bytes


def test_the_environment_names_the_folder(imitation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGAN_DATA", str(imitation))
    assert len(load_mnist(download=False).test) == 10_000


def test_unpacked_files_in_the_folder_itself_are_read(spoiled: Path) -> None:
    home = spoiled / "mnist"
    for name in CHECKSUMS:
        packed = home / name
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    mnist = load_mnist(home)
    np.testing.assert_array_equal(numbers(mnist.train.images), np.arange(50_000))
    np.testing.assert_array_equal(mnist.test.labels, np.arange(10_000) % 10)


def test_too_little_memory_is_a_message(imitation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 179. MiB")

    monkeypatch.setattr(np, "divide", refuse)
    with pytest.raises(DataError, match=r"^mnist: the data do not fit into the memory \(Unable to allocate 179"):
        load_mnist(imitation)


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    assert all(message.count(name) == 1 for name in CHECKSUMS)
    assert str(tmp_path / "mnist") in message
    assert "TINYGAN_DATA" in message


def test_nothing_is_downloaded_when_that_is_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    monkeypatch.setattr("tinygan.data.mnist.MIRRORS", ())
    with pytest.raises(DataError, match="allow the download, which was switched off"):
        load_mnist(download=False)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz could not be downloaded"):
        load_mnist()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_truncated_file_is_named(spoiled: Path, name: str) -> None:
    path = spoiled / "mnist" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{name}: expected a complete gzip stream"):
        load_mnist(spoiled)


def test_files_under_each_others_names_are_refused(spoiled: Path) -> None:
    home = spoiled / "mnist"
    shutil.copy(home / TEST_LABELS, home / TRAIN_LABELS)
    with pytest.raises(DataError, match=r"train-labels.*expected sizes 60000, found 10000"):
        load_mnist(spoiled)
    shutil.copy(home / TRAIN_IMAGES, home / TRAIN_LABELS)
    with pytest.raises(DataError, match=r"train-labels.*found 00 00 08 03 .3-dimensional unsigned bytes"):
        load_mnist(spoiled)


def test_labels_must_be_digits(spoiled: Path, idx_bytes: Any) -> None:
    labels = np.zeros(10_000, np.uint8)
    labels[123] = 10
    (spoiled / "mnist" / TEST_LABELS).write_bytes(gzip.compress(idx_bytes(labels)))
    with pytest.raises(DataError, match=r"t10k-labels.*expected labels 0 to 9, found 10 at position 123"):
        load_mnist(spoiled)


def test_four_checksums_and_two_mirrors_are_known() -> None:
    assert len(set(CHECKSUMS.values())) == 4
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in CHECKSUMS.values())
    assert len(MIRRORS) == 2
    assert all(url.startswith("https://") and url.endswith("/mnist/") for url in MIRRORS)


REAL = Path(os.environ.get("TINYGAN_DATA") or "nowhere")


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "mnist" / TRAIN_IMAGES).is_file(), reason="TINYGAN_DATA names no folder with the real MNIST"
)
def test_the_real_mnist() -> None:
    mnist = load_mnist()
    labels = np.concatenate([mnist.train.labels, mnist.validation.labels])
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(labels).tolist() == counts
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    # The floats represent every byte: converted back, they have the checksum of the unpacked training file.
    header = struct.pack(">HBB3I", 0, 8, 3, 60_000, 28, 28)
    digest = hashlib.md5(header, usedforsecurity=False)
    for part in (mnist.train, mnist.validation):
        digest.update(np.rint(part.images * 255).astype(np.uint8).tobytes())
    assert digest.hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert mnist.train.images.mean() == pytest.approx(0.1307, abs=1e-3)
