"""A small CIFAR-10: files of the same form with fewer images, and the reader made to expect so many."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tinygan.data import cifar10

IN_A_FILE = 20


def rows_of(number: int, count: int = IN_A_FILE) -> np.ndarray:
    """Return the bytes of file `number`, from 0, (count, 3073): random images with the labels 0 to 9 in turn."""
    rows = np.random.default_rng(number).integers(0, 256, (count, cifar10.ROW), np.uint8)
    rows[:, 0] = np.arange(count) % 10
    return rows


def write_small_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the six files below a folder of data sets; return the folder that they are in."""
    monkeypatch.setattr(cifar10, "IN_A_FILE", IN_A_FILE)
    home = folder / "cifar10" / cifar10.FOLDER
    home.mkdir(parents=True)
    for number, name in enumerate(cifar10.FILES):
        (home / name).write_bytes(rows_of(number).tobytes())
    return home


def archive_of(files: dict[str, bytes]) -> bytes:
    """Return a .tar.gz of these files, each below the folder of the published archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()
