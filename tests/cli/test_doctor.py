"""The doctor lists what works, and how to get the rest."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tinygan import backend
from tinygan.cli import doctor
from tinygan.data.mnist import CHECKSUMS
from tinygan.errors import DeviceError


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    """Set an empty cache of downloaded files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rows(answer):
    assert answer.status == 0
    assert answer.err == ""
    lines = [line for line in answer.out.splitlines() if line]
    return {line[: doctor.WIDTH].strip(): line[doctor.WIDTH + 1 :] for line in lines}


def test_what_works_is_listed(tinygan):
    report = rows(tinygan("doctor"))
    assert report["numpy"] == np.__version__
    assert report["device cpu"] == "works"
    assert report["backend numba"].startswith(("works: ", "missing: the numba backend needs numba"))
    assert report["data digits"].startswith("works: Dataset('digits', images of 8x8, train 1397")
    assert all(report.values())


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_without_cupy_the_message_says_how_to_get_it(tinygan):
    said = rows(tinygan("doctor"))["device cuda"]
    assert said.startswith("not available: CuPy is not installed; install it with pip install ")
    assert "cuda13" in said


def test_a_failing_device_is_listed_with_the_reason(tinygan, monkeypatch):
    def refuse(device):
        if device == "cuda":
            raise DeviceError("device 'cuda' is not available: the NVIDIA driver reports no GPU")
        return backend.get_backend(device)

    monkeypatch.setattr(doctor, "get_backend", refuse)
    report = rows(tinygan("doctor"))
    assert report["device cuda"] == "not available: the NVIDIA driver reports no GPU"
    assert report["device cpu"] == "works"


def test_missing_data_are_named_and_not_downloaded(tinygan, tmp_path):
    for words in (["doctor"], ["doctor", "--data", str(tmp_path)]):
        said = rows(tinygan(*words))["data mnist"]
        assert said.startswith("missing: mnist: ")
        assert all(name in said for name in CHECKSUMS)
    assert str(tmp_path / "mnist") in said
    assert list(tmp_path.rglob("*.gz")) == []


def test_lists_and_unknown_values_are_readable(tinygan, monkeypatch):
    facts = {"simd": ["AVX", "SSE"], "commit": None, "thread_variables": {"OMP": "1", "MKL": None}, "none": {"A": None}}
    monkeypatch.setattr(doctor, "describe_environment", lambda: facts)
    report = rows(tinygan("doctor"))
    assert report["simd"] == "AVX, SSE"
    assert report["commit"] == "unknown"
    assert report["thread variables"] == "OMP 1"
    assert report["none"] == "none set"
