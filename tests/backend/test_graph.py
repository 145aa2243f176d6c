"""The capture of a step, on the strict double: what the graph reads, its memory, and its products."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.doubles import cuda_on_cpu
from tests.doubles.cublas import Cublas
from tests.doubles.installed import strict_cupy
from tests.doubles.strict_cupy import StrictCupy, StrictError
from tinygan.backend import Backend, Stream, adam_numbers, get_backend, graph
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.graph import Blas, Capture, load_cublas
from tinygan.errors import CaptureError
from tinygan.optim import ExponentialMovingAverage

pytestmark = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="this machine has no C++ compiler to run the source of the kernels"
)


@pytest.fixture(scope="module")
def cupy() -> Iterator[StrictCupy]:
    with strict_cupy() as module, pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "load_cublas", Cublas)
        yield module


@pytest.fixture(scope="module")
def B(cupy: StrictCupy) -> CupyBackend:
    backend = get_backend("cuda")
    assert isinstance(backend, CupyBackend)
    return backend


LAYOUTS = {
    "plain": lambda a: a,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "gaps": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
}


@given(
    m=st.integers(0, 5), k=st.integers(0, 5), n=st.integers(0, 5), data=st.data(),
    layouts=st.tuples(st.sampled_from(list(LAYOUTS)), st.sampled_from(list(LAYOUTS))),
)  # fmt: skip
def test_products(cupy: StrictCupy, m: int, k: int, n: int, data: st.DataObject, layouts: tuple[str, str]) -> None:
    blas, stream = Blas(cupy, Cublas()), cupy.cuda.Stream(non_blocking=True)
    there, operands = [], []
    for shape, layout in zip(((m, k), (k, n)), layouts, strict=True):
        matrix = LAYOUTS[layout](data.draw(hnp.arrays(np.float32, shape, elements=st.integers(-9, 9))))
        operands.append(matrix)
        whole = cupy.asarray(np.ascontiguousarray(matrix.T if layout == "transposed" else matrix))
        there.append(whole.T if layout == "transposed" else whole)
        if layout == "gaps":
            there[-1] = cupy.asarray(np.repeat(np.repeat(matrix, 2, 0), 3, 1))[::2, ::3]
    out = cupy.empty((m, n), np.float32)
    blas.product(*there, out, stream)
    np.testing.assert_array_equal(out.get(), operands[0] @ operands[1])


def test_the_workspace_is_set_after_the_stream_and_once(cupy: StrictCupy) -> None:
    library = Cublas()
    blas, streams = Blas(cupy, library), [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    x, out = cupy.asarray(np.ones((2, 2), np.float32)), cupy.empty((2, 2), np.float32)
    for stream in (streams[0], streams[0], streams[1]):
        blas.product(x, x, out, stream)
    switch, product = ["cublasSetStream_v2", "cublasSetWorkspace_v2"], ["cublasSgemm_v2"]
    assert library.calls == ["cublasCreate_v2", *switch, *product, *product, *switch, *product]
    assert library.stream == streams[1].ptr


def test_what_cublas_refuses_is_said(cupy: StrictCupy) -> None:
    with pytest.raises(CaptureError, match="cublasCreate_v2 returned status 1"):
        Blas(cupy, Cublas(cublasCreate_v2=1))


def test_a_cublas_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(CaptureError, match=re.escape("cuBLAS cannot be loaded (")):
        load_cublas()


def test_a_replay_draws_and_reads_on(B: CupyBackend, cupy: StrictCupy) -> None:
    stream, reference = Stream(0, "noise"), Stream(0, "noise")
    table = B.from_numpy(np.arange(40, dtype=np.float32).reshape(20, 2))
    order = B.from_numpy(np.random.default_rng(0).permutation(20))
    place = 0

    def step():
        noise = B.uniform(stream, (3,), 0.0, 1.0, np.dtype("f4"))
        again = B.normal(stream, (2,), np.dtype("f4"))
        return noise, again, B.rows(table, order, place, 4)

    capture = Capture(B, {})
    rehearsed = capture.rehearse(step)
    np.testing.assert_array_equal(rehearsed[0].get(), reference.uniform((3,)))
    reference.normal((2,))
    before = stream.position
    results = capture.record(step)
    assert np.isnan(results[0].get()).all()  # no replay has run
    [(drawn_from, drawn)] = capture.words()
    assert drawn_from is stream
    assert drawn == stream.position - before == 3
    stream.load_state_dict(reference.state_dict())  # the step was recorded, not run
    for place in (0, 8, 16, 4):
        capture.set_counters([(stream, stream.position), (order, place)])
        stream.take(drawn)
        with cupy.gpu.step() as launches:
            capture.replay()
        assert launches == {"graph": 1}
        np.testing.assert_array_equal(results[0].get(), reference.uniform((3,)))
        np.testing.assert_allclose(results[1].get(), reference.normal((2,)), atol=4e-6)
        np.testing.assert_array_equal(results[2].get(), table.get()[order.get()[place : place + 4]])
    assert stream.position == reference.position


class Rule:
    """An update rule whose rates change with every update."""

    def __init__(self, first: float) -> None:
        self.first, self.updates = first, 0

    def rates(self) -> list[tuple[float, ...]]:
        return [(self.first / (1 + self.updates), 0.5 + 0.1 * self.updates, 0.1 * self.updates)]

    def count_update(self) -> None:
        self.updates += 1


def test_a_replay_updates_with_the_rates_of_its_turn(B: CupyBackend) -> None:
    """Two rules, one of them twice in a step, two weights each; the first weight of each has a velocity."""
    players = {name: Rule(rate) for name, rate in (("D", 0.5), ("G", 2.0))}
    weights = {name: [np.zeros(2, np.float32) for _ in range(2)] for name in players}
    velocities = {name: [np.zeros(2, np.float32), None] for name in players}
    gradient = np.ones(2, np.float32)

    def step(backend, weights, velocities, gradient):
        for name in ("D", "D", "G"):
            for weight, velocity in zip(weights[name], velocities[name], strict=True):
                backend.sgd_step(weight, gradient, velocity, *players[name].rates()[0])
            players[name].count_update()

    weights_there = {name: [B.from_numpy(weight) for weight in weights[name]] for name in players}
    velocities_there = {name: [B.from_numpy(velocities[name][0]), None] for name in players}
    there = weights_there, velocities_there, B.from_numpy(gradient)
    capture = Capture(B, {id(weight): (players[name], 0) for name in players for weight in weights_there[name]})
    capture.record(lambda: step(B, *there))
    for n in range(4):
        for player, made in (("D", 2 * n), ("G", n)):
            players[player].updates = made
        capture.set_rates()
        assert (players["D"].updates, players["G"].updates) == (2 * n + 2, n + 1)
        capture.replay()
        for player, made in (("D", 2 * n), ("G", n)):
            players[player].updates = made
        step(Backend(np, "cpu"), weights, velocities, gradient)
        for name in players:
            for got, expected in zip(weights_there[name], weights[name], strict=True):
                np.testing.assert_array_equal(got.get(), expected)


def test_adam_in_a_replay_reads_its_rates(B: CupyBackend) -> None:
    here = [np.full(2, value, np.float32) for value in (1.0, 0.5, 0.0, 0.0)]
    there = [B.from_numpy(array) for array in here]

    class Adam(Rule):
        def rates(self) -> list[tuple[float, ...]]:
            return [(9.0,), adam_numbers(0.1, (0.5, 0.9), 0.01, self.updates + 1, 0.1, 0.75)]

    rule = Adam(0.1)
    capture = Capture(B, {id(there[0]): (rule, 1)})
    capture.record(lambda: B.adam_step(*there, 0.1, (0.5, 0.9), 0.01, 1))
    for n in range(4):
        capture.set_rates()
        capture.replay()
        Backend(np, "cpu").adam_step(*here, 0.1, (0.5, 0.9), 0.01, n + 1, 0.1, 0.75)
        for got, expected in zip(there, here, strict=True):
            np.testing.assert_array_equal(got.get(), expected)


def test_a_running_mean_in_a_replay_reads_its_weight(B: CupyBackend) -> None:
    ours, theirs = (tg.tensor(np.zeros(3, np.float32), device=device) for device in ("cpu", "cuda"))
    here, there = ExponentialMovingAverage([ours], 0.5), ExponentialMovingAverage([theirs], 0.5)
    expected = np.zeros(3, np.float32)

    class Average(Rule):
        def rates(self) -> list[tuple[float, ...]]:
            return [(there.weight,)]

        def count_update(self) -> None:
            there.updates += 1

    capture = Capture(B, {id(there.averages[0]): (Average(0), 0)})
    capture.record(there.update)
    there.updates = 0  # it was written down, not made
    for n in range(4):
        ours.data.fill(n * n)
        theirs.data.fill(n * n)
        capture.set_rates()
        capture.replay()
        # the bits of the portable formula: those of the CPU's own kernel depend on its BLAS
        Backend(np, "cpu").lerp(expected, ours.data, here.weight)
        here.updates += 1
        np.testing.assert_array_equal(there.arrays()[0], expected)
    assert there.updates == here.updates == 4


def test_products_in_a_capture_are_ours(B: CupyBackend, cupy: StrictCupy) -> None:
    x = B.from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
    capture = Capture(B, {})
    before = cupy.gpu.launches.copy()
    y = capture.record(lambda: B.product(x, x.T))
    capture.replay()
    np.testing.assert_array_equal(y.get(), x.get() @ x.get().T)
    assert cupy.gpu.launches - before == {"sgemm": 1, "graph": 1}


def test_no_kernel_of_the_step_writes_to_its_rates(B: CupyBackend, cupy: StrictCupy) -> None:
    """They are read late in a step, whose first arrays are gone by then, and were in blocks of the same size."""
    rule, weight, gradient = Rule(0.5), B.from_numpy(np.zeros(4, np.float32)), B.from_numpy(np.ones(4, np.float32))
    stream, drawn = Stream(0, "noise"), []

    def step() -> None:
        for _ in range(3):
            gradient * 7
        B.sgd_step(weight, gradient, None, 9.0, 0.0)
        drawn[:] = [B.uniform(stream, (4,), 0.0, 1.0, np.dtype("f4"))]

    capture = Capture(B, {id(weight): (rule, 0)})
    capture.rehearse(step)
    weight.fill(0)
    capture.record(step)
    capture.set_counters([(stream, Stream(0, "noise").position)])
    capture.set_rates()
    capture.replay()
    np.testing.assert_array_equal(weight.get(), -0.5)
    np.testing.assert_array_equal(drawn[0].get(), Stream(0, "noise").uniform((4,)))


def test_a_closed_capture_keeps_nothing(cupy: StrictCupy, B: CupyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    library, x = Cublas(), B.from_numpy(np.ones((300, 300), np.float32))
    monkeypatch.setattr(graph, "load_cublas", lambda: library)
    capture, dropped = Capture(B, {}), Capture(B, {})
    result = capture.record(lambda: B.product(x, x + 1))
    assert capture.memory >= 2 * x.nbytes
    assert len(library.handles) == 2
    del dropped
    assert len(library.handles) == 1
    capture.close()
    assert capture.memory < 2 * x.nbytes  # the result is still in use
    del result
    capture.close()
    assert capture.memory == 0
    assert not library.handles
    assert library.calls.count("cublasDestroy_v2") == 2


def test_no_other_capture_ends_while_one_is_recorded(B: CupyBackend) -> None:
    """Its handle of cuBLAS would wait for the device."""
    ended, collecting = [], []

    class Forgotten:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            ended.append(True)

    Forgotten()
    capture = Capture(B, {})
    capture.record(lambda: collecting.append((gc.isenabled(), len(ended))))
    assert collecting == [(False, 1)]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        capture.record(lambda: 1 / 0)
    assert gc.isenabled()


def test_the_reason_of_a_failed_capture_is_kept(B: CupyBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error, CUDA only says that there was one."""
    capture = Capture(B, {})
    monkeypatch.setattr(type(capture.stream), "end_capture", lambda self: 1 / 0)
    with pytest.raises(KeyError, match="the reason"):
        capture.record(lambda: {}["the reason"])
    monkeypatch.undo()
    capture.stream.end_capture()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda B, x: x @ x, "cuBLAS through CuPy is refused"),
        (lambda B, x: float(x.sum()), "float waits for the device"),
        (lambda B, x: B.from_numpy(np.ones(2)), "copies numbers from host memory"),
        (lambda B, x: B.sgd_step(x, x, None, 0.1, 0.0), "a weight that belongs to no optimiser"),
    ],
)
def test_a_failed_capture_is_refused_and_ended(B, cupy, step, message) -> None:
    capture = Capture(B, {})
    x = B.from_numpy(np.ones((2, 2), np.float32))
    with pytest.raises((StrictError, CaptureError), match=message):
        capture.record(lambda: step(B, x))
    assert not capture.stream.is_capturing()
    assert B.capture is None
    np.testing.assert_array_equal((x @ x).get(), 2)
