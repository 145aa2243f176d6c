"""NVIDIA's runtime compiler through ctypes; it needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any


@cache
def library() -> Any:
    """Return the library from NVIDIA's wheels or the system; None if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    paths = [str(path) for folder in folders for path in sorted(Path(folder).rglob("libnvrtc.so.*"))]
    for path in [*paths, ctypes.util.find_library("nvrtc")]:
        if path:
            try:
                return ctypes.CDLL(path)
            except OSError:
                continue
    return None


def compile_source(source: str, options: tuple[str, ...]) -> tuple[str | None, str]:
    """Return the PTX (None if the source does not compile) and the compiler's messages."""
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    created = nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    assert created == 0, f"nvrtcCreateProgram returned {created}"
    try:
        flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = nvrtc.nvrtcCompileProgram(program, len(options), flags)
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        if failed:
            return None, log.value.decode()
        nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
        ptx = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetPTX(program, ptx)
        return ptx.value.decode(), log.value.decode()
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
