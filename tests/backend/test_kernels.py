"""The CUDA source compiles, and launches are checked; test_cupy_kernels.py tests the results."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.doubles import cuda_on_cpu, nvrtc
from tests.doubles.strict_cupy import StrictCupy, StrictError
from tinygan.backend import kernels
from tinygan.backend.kernels import NULL, OPTIONS, SOURCES, Kernels, source

TEXT = source()
NAMES = set(cuda_on_cpu.signatures(TEXT))

needs_nvrtc = pytest.mark.skipif(
    not nvrtc.library(), reason="this machine has no NVRTC: pip install nvidia-cuda-nvrtc-cu12"
)
needs_compiler = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="this machine has no C++ compiler to run the source of the kernels"
)


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize("architecture", ["compute_75", "compute_90"])
def test_every_kernel_compiles_without_a_word(architecture: str) -> None:
    """The options that CuPy adds are the standard of the language, the architecture, and no denormal numbers."""
    options = (*OPTIONS, "--std=c++17", f"--gpu-architecture={architecture}", "-ftz=true")
    ptx, log = nvrtc.compile_source(TEXT, options)
    assert log == ""
    assert ptx is not None
    assert set(re.findall(r"\.entry (\w+)", ptx)) == NAMES
    instructions = re.findall(r"^\s+(?:@%p\d+ )?([a-z][\w.]*)", ptx, re.MULTILINE)
    assert not [i for i in instructions if ".f64" in i], "double precision"
    assert not [i for i in instructions if i.startswith("fma.rn.f32")] or "--fmad=false" in OPTIONS
    assert ".local" not in ptx  # no thread copies the table of pointers


@needs_nvrtc
def test_a_mistake_in_a_kernel_would_show() -> None:
    ptx, log = nvrtc.compile_source(TEXT.replace("best = piece;", "best = peice;"), ("--std=c++17",))
    assert ptx is None
    assert 'identifier "peice" is undefined' in log


def test_every_kernel_is_launched_somewhere() -> None:
    callers = "".join(path.read_text(encoding="utf-8") for path in SOURCES[0].parent.glob("*.py"))
    assert {name for name in NAMES if f'"{name}"' not in callers} == set()
    assert len(NAMES) > 15


def test_kernels_add_up_over_the_block_that_is_launched() -> None:
    assert f"shared[{kernels._THREADS}]" in TEXT
    assert f"half = {kernels._THREADS // 2};" in TEXT


@needs_compiler
@pytest.mark.parametrize("n", [1, 255, 256, 257, 5000])
@pytest.mark.parametrize("blocks", [1, 3, 4096])
def test_any_grid_covers_every_element_once(n: int, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_MOST_BLOCKS", blocks)
    cupy = StrictCupy()
    y, bias = cupy.asarray(np.zeros(n, np.float32)), cupy.asarray(np.ones(1, np.float32))
    Kernels(cupy)("add_bias", n, y, bias, np.uint32(n), np.uint32(1))
    np.testing.assert_array_equal(cupy.asnumpy(y), 1)


@needs_compiler
def test_which_arrays_a_kernel_takes() -> None:
    cupy = StrictCupy()
    launch = Kernels(cupy)
    x = cupy.asarray(np.ones((4, 6), np.float32))
    assert launch.take(x, x[2], x[:2], None)
    for other in (x.T, x[:, 1:], x[::2], x[:0], x.astype(np.float64), np.ones(3, np.float32), 1.0):
        assert not launch.take(other)
    assert not launch.take(x, x.T)


@needs_compiler
def test_the_double_refuses_arguments_that_a_gpu_would_misread() -> None:
    cupy = StrictCupy()
    launch = Kernels(cupy)
    x, y, n = cupy.asarray(np.ones(4, np.float32)), cupy.empty(4, np.float32), np.uint32(4)
    launch("relu", 4, x, y, n)
    for wrong, message in [
        ((x, y), "takes 3 arguments, got 2"),
        ((x, y, 4), "argument 2 must be np.uint32, got int"),
        ((x, y, np.int32(4)), "argument 2 must be np.uint32, got int32"),
        ((x, n, n), "argument 1 must be an array of float32 or np.uint64(0), got uint32"),
        ((x, np.ones(4, np.float32), n), "argument 1 must be an array of float32"),
        ((cupy.asarray(np.ones(4)), y, n), "argument 0 is an array of float64, the kernel reads float32"),
        ((cupy.asarray(np.ones(8, np.float32))[::2], y, n), "argument 0 has gaps"),
    ]:
        with pytest.raises(StrictError, match=re.escape(message)):
            launch("relu", 4, *wrong)
    with pytest.raises(StrictError, match="no launch on a grid of"):
        launch("relu", 0, x, y, n)
    assert NULL.dtype == np.uint64
