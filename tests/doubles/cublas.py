"""A cuBLAS for the strict double: `cublasSgemm_v2` over host memory, in column-major order like the real one."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tests.doubles import strict_cupy


class Cublas:
    """The functions that `tinygan.backend.graph.Blas` calls; `status` makes calls of a name fail."""

    def __init__(self, **status: int) -> None:
        self.status = status
        self.calls: list[str] = []
        self.handles: set[int] = set()  # those that have been created, and not destroyed
        self.stream: Any = None
        self.has_workspace = False

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._call(name, arguments)

    def _call(self, name: str, arguments: tuple[Any, ...]) -> int:
        self.calls.append(name)
        if name in self.status:
            return self.status[name]
        if name == "cublasCreate_v2":
            arguments[0]._obj.value = self.calls.count(name)
            self.handles.add(arguments[0]._obj.value)
            return 0
        assert arguments[0].value in self.handles, f"{name}: this handle does not exist"
        if name == "cublasSetStream_v2":
            self.stream, self.has_workspace = arguments[1].value, False
        elif name == "cublasSetWorkspace_v2":
            self.has_workspace = bool(arguments[1].value) and arguments[2].value >= 1 << 22
        elif name == "cublasSgemm_v2":
            assert self.has_workspace, "in a capture, cuBLAS would allocate"
            strict_cupy._gpu.launch("sgemm", lambda: _sgemm(*arguments[1:]))
        else:
            assert name == "cublasDestroy_v2", f"cuBLAS has no {name} here"
            self.handles.remove(arguments[0].value)
        return 0


def _sgemm(
    op_a: int, op_b: int, m: int, n: int, k: int,
    alpha: Any, a: Any, lda: int, b: Any, ldb: int, beta: Any, c: Any, ldc: int,
) -> None:  # fmt: skip
    """C = alpha op(A) op(B) + beta C, all in column-major order."""
    left = _matrix(a, *((m, k) if not op_a else (k, m)), lda)
    right = _matrix(b, *((k, n) if not op_b else (n, k)), ldb)
    out = _matrix(c, m, n, ldc)
    with np.errstate(all="ignore"):
        out[...] = alpha._obj.value * (left.T if op_a else left) @ (right.T if op_b else right)
    assert beta._obj.value == 0


def _matrix(pointer: Any, rows: int, columns: int, leading: int) -> np.ndarray:
    assert leading >= max(rows, 1), "cuBLAS: a column is longer than the distance to the next"
    memory = (ctypes.c_float * (leading * (columns - 1) + rows)).from_address(pointer.value)
    return np.lib.stride_tricks.as_strided(np.frombuffer(memory, np.float32), (rows, columns), (4, 4 * leading))
