"""The strict double refuses the calls that it documents, and has only names of CuPy."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.doubles import cuda_on_cpu
from tests.doubles.strict_cupy import StrictCupy, StrictError, ndarray


@pytest.fixture
def cupy() -> StrictCupy:
    return StrictCupy()


@pytest.fixture
def x(cupy: StrictCupy) -> ndarray:
    return cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "an operator": lambda cupy, x: x + np.ones(3, np.float32),
    "an operator, reflected": lambda cupy, x: np.ones(3, np.float32) + x,
    "an operator, in place": lambda cupy, x: x.__iadd__(np.ones(3, np.float32)),
    "a product": lambda cupy, x: x @ np.ones((3, 1), np.float32),
    "a product, reflected": lambda cupy, x: np.ones((1, 2), np.float32) @ x,
    "a function": lambda cupy, x: cupy.maximum(x, np.ones(3, np.float32)),
    "a function of NumPy": lambda cupy, x: np.exp(x),
    "a choice": lambda cupy, x: cupy.where(x > 1, np.ones(3, np.float32), 0),
    "an index": lambda cupy, x: x[np.array([0, 1])],
    "a list for an index": lambda cupy, x: x[[0, 1]],
    "an index in a tuple": lambda cupy, x: x[:, np.array([0, 1])],
    "an assignment": lambda cupy, x: x.__setitem__(0, np.ones(3, np.float32)),
    "a concatenation": lambda cupy, x: cupy.concatenate([x, np.ones((1, 3), np.float32)]),
    "a conversion": lambda cupy, x: np.asarray(x),
}
WAITS: dict[str, Callable[[Any], Any]] = {
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "bool": lambda x: bool(x[0, 0]),
    "repr": repr,
    "item": lambda x: x[0, 0].item(),
    "nonzero": lambda x: x.nonzero(),
    "a mask": lambda x: x[x > 1],
    "get": lambda x: x.get(),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_host_arrays_are_refused_at_all_times(cupy: StrictCupy, x: ndarray, mix: Any) -> None:
    with pytest.raises((StrictError, TypeError)):
        mix(cupy, x)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_waits_are_counted_and_refused_in_a_step(cupy: StrictCupy, x: ndarray, wait: Any) -> None:
    wait(x)
    assert cupy.gpu.waits
    with pytest.raises(StrictError, match="waits for the device"), cupy.gpu.step():
        wait(x)
    wait(x)  # allowed again


def test_copies_are_counted_and_refused_in_a_step(cupy: StrictCupy, x: ndarray) -> None:
    assert cupy.gpu.transfers == ["asarray"]
    for copy in (lambda: cupy.asarray(np.ones(2)), lambda: cupy.array([1.0])):
        with pytest.raises(StrictError, match="copies between host and device"), cupy.gpu.step():
            copy()
    with cupy.gpu.step():
        cupy.asarray(x)  # already on the device
        cupy.array(x)


def test_double_precision_is_refused_in_a_step(cupy: StrictCupy, x: ndarray) -> None:
    doubled = (lambda: cupy.zeros(2), lambda: x.astype(np.float64), lambda: x * np.float64(2), lambda: (x > 0).mean())
    for make in doubled:
        make()
        with pytest.raises(StrictError, match="float64 in a training step"), cupy.gpu.step():
            make()
    with cupy.gpu.step() as launches:
        assert (x * 2.0).dtype == np.float32  # a Python number never promotes
        assert x.sum().shape == ()
        assert x.T.reshape(6)[2:].shape == (4,)  # only the reshape of the transpose copies
    assert launches == {"mul": 1, "sum": 1, "copy": 1}


def test_views_share_memory_and_know_their_base(x: ndarray) -> None:
    view = x[0][1:]
    view.fill(9)
    assert view.base is x
    assert x.base is None
    assert x.get().tolist() == [[0, 9, 9], [3, 4, 5]]
    x[1, 1][...] = 7
    x[1, -1] = 8
    assert x.get()[1].tolist() == [3, 7, 8]


def test_a_captured_step_runs_only_when_it_is_replayed(cupy: StrictCupy, x: ndarray) -> None:
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc):
        y = x * 2 + 1
        x += 1
    graph = stream.end_capture()
    before = x.get()
    assert before.tolist() == [[0, 1, 2], [3, 4, 5]]
    for n in range(3):
        graph.launch()
        assert y.get().tolist() == ((before + n) * 2 + 1).tolist()
    assert x.get().tolist() == (before + 3).tolist()


def test_a_pool_gives_memory_again(cupy: StrictCupy, x: ndarray) -> None:
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with cupy.cuda.using_allocator(pool.malloc):
        first, second = x * 2, x * 3
        place = first.data.ptr
        assert second.data.ptr != place
        view = first[1:]
        del first
        third = x * 4
        assert third.data.ptr != place  # a view is left
        del view
        kept = x * 5
        assert kept.data.ptr == place  # also for a recorded step, which does not keep its arrays
        turned = x.T * 2
    graph = stream.end_capture()
    graph.launch()
    assert kept.get().tolist() == (x.get() * 5).tolist()
    assert turned.get().tolist() == (x.get().T * 2).tolist()
    assert turned.strides == (4, 12)
    assert pool.total_bytes() == 4 * 512
    del second, third
    pool.free_all_blocks()
    assert pool.total_bytes() == 2 * 512


def test_only_a_stream_of_its_own_can_be_captured(cupy: StrictCupy) -> None:
    with pytest.raises(StrictError, match="non-blocking"):
        cupy.cuda.Stream().begin_capture()


@pytest.mark.skipif(not cuda_on_cpu.COMPILER, reason="no C++ compiler on this machine")
def test_threads_that_wait_for_each_other() -> None:
    """A reversal through shared memory, in three blocks, which is right only if every thread waits at the barrier."""
    source = """
    typedef unsigned int u32;
    extern "C" __global__ void reverse(const float* x, float* y, u32 n) {
        __shared__ float shared[64];
        u32 i = blockIdx.x * blockDim.x + threadIdx.x;
        shared[threadIdx.x] = x[i];
        __syncthreads();
        for (int repeat = 0; repeat < 3; repeat++) {
            float other = shared[blockDim.x - 1 - threadIdx.x];
            __syncthreads();
            shared[threadIdx.x] = other;
            __syncthreads();
        }
        if (i < n) y[i] = shared[threadIdx.x];
    }
    """
    x, y = np.arange(192, dtype=np.float32), np.zeros(192, np.float32)
    cuda_on_cpu.launch(cuda_on_cpu.build(source), "reverse", (3,), 64, [x, y, np.uint32(192)])
    np.testing.assert_array_equal(y, x.reshape(3, 64)[:, ::-1].ravel())


# ---------------------------------------------------------------------- compared with CuPy

_SURVEY = """
import inspect, json, cupy
def parameters(function):
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # compiled code: use the first line of the docstring
        return (function.__doc__ or "").split("\\n")[0]
print(json.dumps({
    "module": {name: parameters(getattr(cupy, name)) for name in dir(cupy)},
    "ndarray": {name: parameters(getattr(cupy.ndarray, name)) for name in dir(cupy.ndarray)},
    "cuda": dir(cupy.cuda), "stream": dir(cupy.cuda.Stream), "graph": dir(cupy.cuda.Graph), "raw": dir(cupy.RawModule),
}))
"""


@pytest.mark.skipif(not importlib.util.find_spec("cupy"), reason="CuPy is not installed: pip install cupy-cuda12x")
def test_every_name_and_argument_of_the_double_is_cupys(cupy: StrictCupy) -> None:
    done = subprocess.run([sys.executable, "-c", _SURVEY], capture_output=True, text=True, check=True)
    real = json.loads(done.stdout.splitlines()[-1])
    ours = {"gpu", "_using_allocator"}
    for owner, mine in (("module", cupy), ("ndarray", ndarray)):
        for name in {*vars(type(mine) if owner == "module" else mine), *(vars(mine) if owner == "module" else ())}:
            if name in ours or (name.startswith("_") and owner == "module") or name in dir(object) or name[:2] == "_h":
                continue
            if name in ("_view", "_host", "__weakref__", "__dict__", "__index__", "__rmatmul__"):
                continue
            assert name in real[owner], f"CuPy has no {owner} {name}"
            value = getattr(mine, name)
            if inspect.isfunction(value) or inspect.ismethod(value):
                named = [p for p in inspect.signature(value).parameters if p not in ("self", "args", "kwargs")]
                theirs = real[owner][name]
                known = theirs if isinstance(theirs, list) else re.findall(r"\w+", theirs)
                if not name.startswith("__") and known:
                    lacking = {p for p in named if p not in known and p not in ("shape", "axes", "operands")}
                    assert not lacking, f"{owner} {name} takes no {lacking}: {theirs}"
    assert {"Stream", "MemoryPool", "using_allocator", "get_current_stream"} <= set(real["cuda"])
    assert {"begin_capture", "end_capture", "is_capturing", "synchronize"} <= set(real["stream"])
    assert "launch" in real["graph"]
    assert "get_function" in real["raw"]
