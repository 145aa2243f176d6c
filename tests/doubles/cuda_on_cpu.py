"""CUDA C++ run on the CPU: the source of the kernels, compiled by the C++ compiler of this machine.

A few definitions before the source make it plain C++: `threadIdx` and similar names are global variables, and a launch
is a loop over blocks and threads. Threads that wait for each other (`__syncthreads`) are fibers, which run in turn from
one barrier to the next. This cannot show races, nor the arithmetic of a GPU's exp and log. The kernels of `tinygan` are
elementwise or use one block, so all of their logic is tested. On x86, a number below 2^-126 is 0, as in CuPy's kernels.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.backend.kernels import ARRAYS

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")

_BEFORE = r"""
#include <algorithm>
#include <cmath>
#if defined(__SSE__)
#include <xmmintrin.h>
struct FlushToZero {
    unsigned before = _mm_getcsr();
    FlushToZero() { _mm_setcsr(before | 0x8040); }
    ~FlushToZero() { _mm_setcsr(before); }
};
#else
struct FlushToZero {};
#endif
#include <csetjmp>
#include <ucontext.h>
#include <utility>
#include <vector>
#define __global__
#define __device__ static inline
#define __shared__ static
struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline float cospif(float x) { return (float)std::cos(3.14159265358979323846 * x); }
static inline float sinpif(float x) { return (float)std::sin(3.14159265358979323846 * x); }
using std::isfinite;
using std::max;

// A fiber is entered by swapcontext once, and after that by longjmp, which asks nothing of the kernel.
struct Place { jmp_buf buffer; };
static ucontext_t scheduler;
static std::vector<ucontext_t> fibers;
static std::vector<Place> places;
static jmp_buf back;
static unsigned running;
static void __syncthreads() {
    if (!_setjmp(places[running].buffer)) _longjmp(back, 1);
}
"""

_AFTER = r"""
template <class... A, size_t... I> void call(void (*kernel)(A...), void** a, std::index_sequence<I...>) {
    kernel(*(A*)a[I]...);
}
template <class... A> struct Fiber {
    static void (*kernel)(A...);
    static void** arguments;
    static std::vector<char> done;
    static void run() {
        call(kernel, arguments, std::index_sequence_for<A...>());
        done[running] = 1;
        _longjmp(back, 1);
    }
};
template <class... A> void (*Fiber<A...>::kernel)(A...);
template <class... A> void** Fiber<A...>::arguments;
template <class... A> std::vector<char> Fiber<A...>::done;

template <class... A>
void launch(void (*kernel)(A...), unsigned x, unsigned y, unsigned block, void** a, bool barriers) {
    FlushToZero as_cupy;
    gridDim = {x, y, 1};
    blockDim = {block, 1, 1};
    for (unsigned number = 0; number < x * y; number++) {
        blockIdx = {number % x, number / x, 0};
        if (!barriers) {
            for (threadIdx = {0, 0, 0}; threadIdx.x < block; threadIdx.x++)
                call(kernel, a, std::index_sequence_for<A...>());
            continue;
        }
        using F = Fiber<A...>;
        static std::vector<char> stacks;
        const size_t stack = 1 << 16;
        stacks.resize(block * stack);
        fibers.assign(block, ucontext_t{});
        F::done.assign(block, 0);
        places.resize(block);
        F::kernel = kernel;
        F::arguments = a;
        for (unsigned t = 0; t < block; t++) {
            getcontext(&fibers[t]);
            fibers[t].uc_stack.ss_sp = &stacks[t * stack];
            fibers[t].uc_stack.ss_size = stack;
            fibers[t].uc_link = &scheduler;
            makecontext(&fibers[t], (void (*)())F::run, 0);
        }
        static volatile unsigned left, t;  // what a longjmp must find as it was
        static volatile bool entered;
        entered = false;
        for (left = block; left > 0; entered = true) {
            left = 0;
            for (t = 0; t < block; t = t + 1) {
                if (F::done[t]) continue;
                running = t;
                threadIdx = {t, 0, 0};
                if (!_setjmp(back)) {
                    if (entered) _longjmp(places[t].buffer, 1);
                    swapcontext(&scheduler, &fibers[t]);
                }
                left = left + !F::done[t];
            }
        }
    }
}
"""

# The NumPy type of each type of an argument; for a pointer, of its target.
TYPES = {
    "float": np.float32,
    "double": np.float64,
    "bool": np.bool_,
    "int": np.int32,
    "u8": np.uint8,
    "u32": np.uint32,
    "long long": np.int64,
    "u64": np.uint64,
    "Arrays": ARRAYS,
}


def signatures(source: str) -> dict[str, list[tuple[np.dtype[Any], bool, bool]]]:
    """Return each kernel's arguments: (dtype, is it a pointer, is it constant)."""
    found = {}
    for name, arguments in re.findall(r'extern "C" __global__ void (\w+)\(([^)]*)\)', source):
        parsed = []
        for argument in arguments.split(","):
            constant, kind, pointer = re.fullmatch(
                r"\s*(const )?([A-Za-z0-9 ]+?)\s*(\*?)\s*\w+", argument.replace("* ", " *")
            ).groups()  # type: ignore[union-attr]
            parsed.append((np.dtype(TYPES[kind]), bool(pointer), bool(constant)))
        found[name] = parsed
    return found


@cache
def build(source: str, options: tuple[str, ...] = ()) -> Any:
    """Compile the source and return the library; each source is compiled once on a machine."""
    assert COMPILER is not None, "no C++ compiler"
    launches = []
    for name in signatures(source):
        body = source[source.index(f" {name}(") :].split("\n}", 1)[0]
        barriers = str("__syncthreads" in body or "block_sum(" in body).lower()
        launches.append(
            f'extern "C" void launch_{name}(unsigned x, unsigned y, unsigned block, void** a) '
            f"{{ launch({name}, x, y, block, a, {barriers}); }}"
        )
    whole = "\n".join([_BEFORE, source, _AFTER, *launches])
    fused = "off" if "--fmad=false" in options else "fast"
    flags = ["-std=c++17", "-O2", "-U_FORTIFY_SOURCE", f"-ffp-contract={fused}", "-shared", "-fPIC", "-w"]
    digest = hashlib.sha256("\0".join([whole, *flags]).encode()).hexdigest()[:20]
    folder = Path(tempfile.gettempdir()) / f"tinygan-kernels-{digest}"
    library = folder / "kernels.so"
    if not library.is_file():
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            (code := Path(scratch) / "kernels.cpp").write_text(whole)
            subprocess.run([COMPILER, *flags, str(code), "-o", f"{scratch}/kernels.so"], check=True)
            (Path(scratch) / "kernels.so").replace(library)  # atomic, because tests run in parallel
    return ctypes.CDLL(str(library))


def launch(library: Any, name: str, grid: tuple[int, ...], block: int, values: list[Any]) -> None:
    """Run a kernel on a grid of one or two axes. `values` are NumPy scalars, or arrays for pointers (None: null)."""
    cells = []
    for value in values:
        if value is None:
            cells.append(ctypes.c_void_p(None))
        elif isinstance(value, np.ndarray):
            cells.append(ctypes.c_void_p(value.ctypes.data))
        else:
            cells.append(ctypes.create_string_buffer(value.tobytes(), max(value.itemsize, 8)))
    pointers = (ctypes.c_void_p * len(cells))(*(ctypes.addressof(cell) for cell in cells))
    sizes = (*grid, 1)[:2]
    getattr(library, f"launch_{name}")(*map(ctypes.c_uint, (*sizes, block)), pointers)
