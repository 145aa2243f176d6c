"""The last two checkpoints and the best are kept, and damage costs one of them at most."""

from __future__ import annotations

import errno
import os
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.errors import CheckpointError
from tinygan.runs.checkpoint_folder import CheckpointFolder


@pytest.fixture(scope="module", autouse=True)
def disk_that_does_not_keep_us_waiting():
    """What has to be synced, and when, is tested by its order; the tests need no real syncing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


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
    expected = [f"step-{step:09d}.tgn" for step in steps[-2:]]
    assert names(checkpoints) == (["best.tgn"] if best < len(steps) else []) + expected
    assert checkpoints.latest().state == {"step": steps[-1]}
    assert (checkpoints.best() is None) == (best >= len(steps))
    assert best >= len(steps) or checkpoints.best().state == {"step": steps[best]}


def test_names_sort_by_number_beyond_nine_digits(checkpoints):
    save(checkpoints, 999_999_999, 1_000_000_000, 1_000_000_001)
    assert names(checkpoints) == ["step-1000000000.tgn", "step-1000000001.tgn"]
    assert checkpoints.latest().state == {"step": 1_000_000_001}


def test_a_run_without_checkpoints_has_none(checkpoints):
    assert checkpoints.latest() is None
    assert checkpoints.best() is None
    checkpoints.path.mkdir()
    assert checkpoints.latest() is None


def test_other_files_are_neither_read_nor_removed(checkpoints):
    checkpoints.path.mkdir()
    others = [".step-000000009.tgn.0123abcd.tmp", "notes.txt", "step-9.tgn", "step-000000009.tgn.bak"]
    for name in others:
        (checkpoints.path / name).touch()
    save(checkpoints, 1, 2, 3)
    assert checkpoints.latest().state == {"step": 3}
    assert names(checkpoints) == sorted([*others, "step-000000002.tgn", "step-000000003.tgn"])


def test_a_damaged_newest_falls_back_to_the_previous_and_says_so(checkpoints):
    save(checkpoints, 1, 2)
    damage(checkpoints.path / "step-000000002.tgn")
    expected = (
        r"went back to step-000000001\.tgn, the newest checkpoint that is whole: .*step-000000002\.tgn: expected"
    )
    with pytest.warns(UserWarning, match=expected):
        assert checkpoints.latest().state == {"step": 1}


def test_two_damaged_fall_back_to_the_best(checkpoints):
    save(checkpoints, 1, 2, 3, best=(1,))
    damage(checkpoints.path / "step-000000002.tgn")
    (checkpoints.path / "step-000000003.tgn").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"went back to best\.tgn.*000000003.*000000002"):
        assert checkpoints.latest().state == {"step": 1}


def test_all_damaged_is_an_error_that_names_them(checkpoints):
    save(checkpoints, 1, 2, best=(1,))
    for name in names(checkpoints):
        damage(checkpoints.path / name)
    with pytest.raises(CheckpointError, match=r"one whole checkpoint, found 3 damaged; put one back.*best\.tgn"):
        checkpoints.latest()
    with pytest.raises(CheckpointError, match=r"best\.tgn: expected content with the SHA-256"):
        checkpoints.best()


def test_a_save_after_going_back_forgets_the_abandoned_future(checkpoints):
    save(checkpoints, 10, 20)
    damage(checkpoints.path / "step-000000020.tgn")
    save(checkpoints, 15)
    assert names(checkpoints) == ["step-000000010.tgn", "step-000000015.tgn"]
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
    assert done == ["new best.tgn", "new step-000000003.tgn", "no step-000000001.tgn"]


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
        with pytest.raises(CheckpointError, match=r"000000001\.tgn: cannot be removed: Permission denied"):
            save(checkpoints, 3)
    assert checkpoints.latest().state == {"step": 3}
