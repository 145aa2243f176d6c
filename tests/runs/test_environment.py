"""The environment records what changes bits, and no name of a user or folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tinygan.runs import environment
from tinygan.runs.environment import describe_environment, differences


def test_it_is_json_and_names_this_process():
    described = describe_environment()
    assert json.loads(json.dumps(described)) == described
    assert described["python"] == platform.python_version()
    assert described["numpy"] == np.__version__
    assert described["scipy"]
    assert described["cpus"] >= 1
    assert described["blas"]
    assert described["blas_threads"] >= 1
    assert set(described["thread_variables"]) == {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}


def test_it_tells_nothing_about_whose_machine_it_is():
    words = json.dumps(describe_environment()).split('"')
    assert not any(word.startswith("/") for word in words)
    secrets = [platform.node(), os.environ.get("USER"), str(Path.home()), os.getcwd()]
    for secret in filter(None, secrets):
        assert secret not in words
        assert len(secret) < 8 or not any(secret in word for word in words)


@pytest.mark.parametrize(
    ("blas", "variables", "expected"),
    [
        ("scipy-openblas", {}, 8),
        ("scipy-openblas", {"OMP_NUM_THREADS": "3"}, 3),
        ("scipy-openblas", {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "2"}, 2),
        ("scipy-openblas", {"MKL_NUM_THREADS": "2"}, 8),
        ("mkl-sdl", {"MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "4"}, 2),
        ("scipy-openblas", {"OMP_NUM_THREADS": "4,2"}, 4),
        ("scipy-openblas", {"OMP_NUM_THREADS": "100"}, 8),
        ("scipy-openblas", {"OMP_NUM_THREADS": "0"}, 8),
        ("scipy-openblas", {"OMP_NUM_THREADS": "many"}, 8),
        ("scipy-openblas", {"OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": "2"}, 2),
    ],
)
def test_threads_follow_the_variables(monkeypatch, blas, variables, expected):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(environment, "usable_cpus", lambda: 8)
    monkeypatch.setattr(environment, "_build_info", lambda _section: {"blas": {"name": blas}})
    described = describe_environment()
    assert described["blas_threads"] == expected
    assert {k: v for k, v in described["thread_variables"].items() if v is not None} == variables


@pytest.mark.parametrize(
    "failure",
    [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 5), subprocess.CalledProcessError(128, "git")],
)
def test_a_git_that_fails_leaves_no_commit(monkeypatch, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(subprocess, "run", fail)
    assert describe_environment()["commit"] is None


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that holds a package, and a function that asks for its commit."""

    def git(*arguments):
        done = subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    monkeypatch.delenv("GIT_DIR", raising=False)
    try:
        git("init", "-q")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    package = tmp_path / "tinygan" / "experiments"
    package.mkdir(parents=True)
    (package / "environment.py").write_text("one")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
    git("-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", "v1", "-m", "a tag is no commit")
    monkeypatch.setattr(environment, "__file__", str(package / "environment.py"))
    return package, git


def test_the_commit_is_the_checkouts(checkout, monkeypatch, tmp_path):
    package, git = checkout
    head = git("rev-parse", "HEAD")
    assert describe_environment()["commit"] == head
    (package / "new.py").touch()
    assert describe_environment()["commit"] == head
    (package / "environment.py").write_text("changed")
    assert describe_environment()["commit"] == head + "-dirty"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert describe_environment()["commit"] == head + "-dirty"


def test_a_package_outside_the_checkout_has_no_commit(checkout):
    """As after `pip install --target .` in the folder of some other project."""
    package, git = checkout
    git("rm", "-q", "-r", "--cached", "tinygan")
    (package / "environment.py").rename(package.parents[1] / "other.py")
    git("add", "other.py")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "two")
    assert describe_environment()["commit"] is None


def test_what_counts_as_changed(checkout):
    package, git = checkout
    head = git("rev-parse", "HEAD")
    file = package / "environment.py"
    file.write_text("changed")
    git("add", ".")
    assert describe_environment()["commit"] == head + "-dirty"  # staged
    file.write_text("one")
    git("add", ".")
    os.utime(file, (1, 1))  # another date, the same content
    (package.parents[1] / "notes.txt").write_text("beside the package")
    assert describe_environment()["commit"] == head
    file.unlink()
    assert describe_environment()["commit"] == head + "-dirty"


def test_a_checkout_is_neither_written_nor_obeyed(checkout, tmp_path):
    """Its configuration may name programs, and its index is the user's."""
    package, git = checkout
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-here'}\ncat\n")
    spy.chmod(0o755)
    for key in ("core.fsmonitor", "filter.spy.clean", "filter.spy.smudge", "core.pager", "diff.external"):
        git("config", key, str(spy))
    (tmp_path / ".gitattributes").write_text("* filter=spy\n")
    hooks = tmp_path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-index-change").symlink_to(spy)
    os.utime(package / "environment.py", (1, 1))  # which `git status` would note in the index
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / ".git").rglob("*")}
    (tmp_path / ".git" / "index.lock").touch()  # the user's own git is at work
    commit = describe_environment()["commit"]
    (tmp_path / ".git" / "index.lock").unlink()
    assert commit == git("rev-parse", "HEAD")
    assert not (tmp_path / "was-here").exists()
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / ".git").rglob("*")}
    assert {path for path in after if after[path] != before.get(path)} <= {tmp_path / ".git"}  # of the lock above


def test_a_package_in_another_checkout_has_no_commit(checkout, monkeypatch):
    package, _ = checkout
    inside = package / "site-packages" / "tinygan" / "experiments"
    inside.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(inside / "environment.py"))
    assert describe_environment()["commit"] is None


def test_the_version_of_a_package_that_is_not_installed(monkeypatch):
    class Module:
        __version__ = "1.2.3"

    monkeypatch.setitem(environment.sys.modules, "no_such_package", Module)
    assert environment._version("no_such_package") == "1.2.3"
    assert environment._version("none_such_either") is None


def test_the_same_environment_differs_in_nothing():
    described = describe_environment()
    assert differences(described, described) == []
    assert differences(json.loads(json.dumps(described)), described) == []


@pytest.mark.parametrize(
    ("key", "recorded", "current", "sentence"),
    [
        ("numpy", "2.3.0", "2.4.0", "NumPy was 2.3.0 and is now 2.4.0"),
        ("scipy", "1.11", None, "SciPy was 1.11 and is now unknown"),
        ("python", "3.11.7", "3.12.0", "Python was 3.11.7 and is now 3.12.0"),
        ("implementation", "CPython", "PyPy", "the Python implementation was CPython and is now PyPy"),
        ("machine", "x86_64", "arm64", "the machine's architecture was x86_64 and is now arm64"),
        ("simd", ["A", "B"], [], "the processor's vector instructions was A B and is now none"),
        ("tinygan", "0.1.0", "0.2.0", "tinygan was 0.1.0 and is now 0.2.0"),
        ("commit", "ab", "cd", "tinygan's commit was ab and is now cd"),
        ("blas", "openblas", "mkl", "the BLAS library was openblas and is now mkl"),
        ("blas_version", "0.3.30", "0.3.31", "the version of BLAS was 0.3.30 and is now 0.3.31"),
        ("blas_threads", 2, 4, "the number of BLAS threads was 2 and is now 4"),
        ("backend", "numpy", "numba 0.68.1", "the backend was numpy and is now numba 0.68.1"),
        (
            "gpu",
            "NVIDIA H100, CuPy 14",
            "NVIDIA H200, CuPy 14",
            "the GPU was NVIDIA H100, CuPy 14 and is now NVIDIA H200, CuPy 14",
        ),
        ("ranks", 2, 4, "the number of ranks was 2 and is now 4"),
    ],
)
def test_each_decisive_difference_has_its_sentence(key, recorded, current, sentence):
    described = describe_environment()
    assert differences({**described, key: recorded}, {**described, key: current}) == [sentence]


def test_a_record_without_a_backend_is_of_numpy():
    assert differences({}, {"backend": "numpy"}) == differences({"backend": "numpy"}, {}) == []
    assert differences({}, {"backend": "numba 0.68.1"}) == ["the backend was numpy and is now numba 0.68.1"]


def test_a_run_without_a_gpu_continues_on_one():
    assert differences({}, {"gpu": "NVIDIA H200"}) == ["the GPU was none and is now NVIDIA H200"]
    assert differences({"gpu": "NVIDIA H200"}, {}) == ["the GPU was NVIDIA H200 and is now none"]


def test_other_differences_are_not_mentioned():
    described = describe_environment()
    other = {**described, "platform": "x", "processor": "y", "cpus": 77, "thread_variables": {}, "more": 1}
    assert differences(described, other) == []


def test_an_empty_description_differs_in_everything():
    assert len(differences({}, dict.fromkeys(environment._DECISIVE, "x"))) == len(environment._DECISIVE)
