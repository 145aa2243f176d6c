"""All checks that need a real GPU, in one command::

    python tests/gpu_checks.py [--only NAME ...] [--json FILE]

It needs this checkout with its packages (but for pooch), CuPy and a GPU, but no data files, no network and no test
framework. Without tomli-w, the checks that save the state of a training fail. Every check runs, even if another fails.
The command prints a table and one JSON object, and exits with 1 if a check failed. The docstring of each check explains
its numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from tinygan.backend import Backend, Stream, get_backend
from tinygan.config.experiment import load_experiment, shipped_experiments
from tinygan.data import Dataset, Split, load
from tinygan.engine import Tensor
from tinygan.errors import AnomalyError, CaptureWarning, DeviceError
from tinygan.experiments.training import Training
from tinygan.parallel.training import ParallelTraining
from tinygan.parallel.world import World

PORTABLE = Backend(np, "cpu")
LONG = 30  # steps
ROWS = 20_000  # rows of a substitute data set: two hundred steps an epoch
EPS = float(np.finfo(np.float32).eps)
NAMES = [config.name for config in shipped_experiments()]
CHECKS: dict[str, Callable[[], dict[str, Any]]] = {}


def check(function: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Add a function to the checks; it returns its measurements, and raises if the check fails."""
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


def _close(name: str, got: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> float:
    """Compare an array on the GPU with a NumPy array; return the largest difference."""
    host, expected = get_backend("cuda").to_numpy(got), np.asarray(expected)
    assert (host.shape, host.dtype) == (expected.shape, expected.dtype), (
        f"{name}: {host.dtype}{list(host.shape)} where the portable method has {expected.dtype}{list(expected.shape)}"
    )
    np.testing.assert_allclose(host, expected, rtol=rtol, atol=atol, err_msg=name)
    if expected.dtype.kind != "f" or not expected.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(np.where(host == expected, 0, host - expected)), initial=0.0))


@cache
def _stand_in(name: str) -> Dataset:
    """Return the data of an experiment; random pixels if the data need files."""
    if name in ("digits", "gaussian"):
        return load(name)
    shape = {"mnist": (28, 28), "tfd": (48, 48), "cifar10": (32, 32, 3)}[name]
    split = Split(np.random.default_rng(0).random((ROWS, math.prod(shape)), np.float32), np.zeros(ROWS, np.uint8))
    return Dataset(name, shape, split, split, split)


class Counted(Training):
    """A training that also counts on the host, from the logits of each step, what its monitor counts on the device.

    Rounding may change the sign of a logit near 0, so the accuracies of two trainings cannot be compared with each
    other: each is compared with the training's own logits.
    """

    accuracies = 0.0  # their sum over the steps of this epoch

    def step(self) -> None:
        super().step()
        assert self._last is not None
        limit, logits = self.monitor.objective.threshold or 0.0, (self._last.real_logits, self._last.fake_logits)
        data, samples = (tensor.numpy() for tensor in logits)
        self.accuracies += float((data > limit).mean() + (samples <= limit).mean()) / 2

    def next_epoch(self) -> None:
        super().next_epoch()
        self.accuracies = 0.0

    def load_state(self, arrays: Any, plain: Any) -> None:
        super().load_state(arrays, plain)
        self.accuracies = plain["monitor"]["total"][-1]


def _training(name: str, device: str, capture: bool = False, kind: type[Training] = Training) -> Any:
    config = load_experiment(name)
    training = kind(config, _stand_in(config.data.set), device)
    training.capture = capture
    return training


def _steps(training: Training, count: int) -> None:
    for _ in range(count):
        if training.epoch_is_over:
            training.next_epoch()
        training.step()


def _wait() -> None:
    get_backend("cuda").xp.cuda.Device().synchronize()


# ---------------------------------------------------------------------- one kernel at a time


def _values(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    """Return numbers of all sizes, with extreme values; none so small that CuPy's kernels take it for 0 (-ftz=true)."""
    x = np.asarray(rng.normal(0, 3, shape)).astype(dtype)
    special = np.array([0.0, -0.0, 1e-30, 100, -100, 1000, -1000, np.inf, -np.inf, np.nan]).astype(dtype)
    return np.where(rng.random(shape) < 0.05, rng.choice(special, shape), x).astype(dtype)


@check
def methods() -> dict[str, Any]:
    """Compare every method of the backend with the portable one: random shapes, layouts, dtypes, nan and infinity."""
    B, rng, worst = get_backend("cuda"), np.random.default_rng(1), dict[str, float]()

    def compare(name: str, got: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
        pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
        for one, other in pairs:
            worst[name] = max(worst.get(name, 0.0), _close(name, one, other, rtol, atol))

    for round_ in range(60):
        dtype = np.dtype([np.float32, np.float32, np.float64][round_ % 3])
        # exp and log1p of GPU and CPU differ by a few units in the last place
        shape = tuple(int(n) for n in rng.integers(0 if round_ % 7 == 0 else 1, 40, rng.integers(0, 4)))
        x, gy = _values(rng, shape, dtype), _values(rng, shape, dtype)
        there, gy_there = B.from_numpy(x), B.from_numpy(gy)
        if round_ % 5 == 0 and len(shape) == 2:
            x, there = x.T[::2], there.T[::2]
            gy, gy_there = gy.T[::2], gy_there.T[::2]
        with np.errstate(all="ignore"):
            compare("relu", B.relu(there), PORTABLE.relu(x))
            compare("relu_backward", B.relu_backward(gy_there, there), PORTABLE.relu_backward(gy, x))
            compare("sigmoid", B.sigmoid(there), PORTABLE.sigmoid(x), 8 * EPS, 1e-37)
            y = np.asarray(PORTABLE.sigmoid(x))
            y = np.where(y < 2.0**-126, y.dtype.type(0), y)  # as CuPy's kernels take it
            compare(
                "sigmoid_backward", B.sigmoid_backward(gy_there, B.from_numpy(y)), PORTABLE.sigmoid_backward(gy, y),
                4 * EPS, 1e-37,
            )  # fmt: skip
            compare("softplus", B.softplus(there), PORTABLE.softplus(x), 8 * EPS, 1e-37)
            finite = np.nan_to_num(x, nan=1, posinf=2, neginf=3)
            if finite.size:
                for target in (0, 1):
                    name, on_gpu = "cross_entropy", B.from_numpy(finite)
                    loss = PORTABLE.cross_entropy(finite, target)
                    compare(name, B.cross_entropy(on_gpu, target), loss, 32 * EPS, 1e-37)
                    g = np.asarray(1.5, dtype)
                    compare(
                        f"{name}_backward", B.cross_entropy_backward(B.from_numpy(g), on_gpu, target),
                        PORTABLE.cross_entropy_backward(g, finite, target), 32 * EPS, 4 * EPS,
                    )  # fmt: skip
        for place in (None, -1) if x.size and shape else ():
            few = np.where(rng.random(x.shape) < 0.3, np.nan, x).astype(dtype)  # of several nan, the first
            assert np.array_equal(B.to_numpy(B.argmax(B.from_numpy(few), place)), PORTABLE.argmax(few, place)), "argmax"
        pieces = int(rng.integers(1, 6))
        groups = _values(rng, (*shape[:1], pieces, *shape[1:2]), dtype)
        axis = -1 - len(shape[1:2])
        y, won = PORTABLE.maxout(groups, axis)
        got = B.maxout(B.from_numpy(groups), axis)
        compare("maxout", got, (y, won))
        gy = _values(rng, y.shape, dtype)
        back = B.maxout_backward(B.from_numpy(gy), got[1], axis)
        compare("maxout_backward", back, PORTABLE.maxout_backward(gy, won, axis))
        m, n, u = (int(size) for size in rng.integers(1, 200, 3))
        a, w, b = (rng.normal(size=size).astype(dtype) for size in ((m, n), (n, u), (u,)))
        on_gpu = [B.from_numpy(array) for array in (a, w, b)]
        # single precision: n products of size 1; TF32 would lose ten bits of them
        compare("linear", B.linear(*on_gpu), PORTABLE.linear(a, w, b), 1e-4, 2e-6 * n)
        first, count = int(rng.integers(0, m)), int(rng.integers(0, m))
        order = rng.permutation(m)
        taken = B.rows(on_gpu[0], B.from_numpy(order), first, min(count, m - first))
        compare("rows", taken, PORTABLE.rows(a, order, first, min(count, m - first)))
        weight, gradient, velocity, square = (rng.normal(size=(n, u)).astype(dtype) for _ in range(4))
        square, decay = square**2, 0.1 * (round_ % 2)
        for optional in ([], [velocity]):
            host = [array.copy() for array in (weight, gradient, *optional)]
            gpu = [B.from_numpy(array) for array in host]
            rest = [] if optional else [None]
            PORTABLE.sgd_step(*host, *rest, 0.1, 0.7, decay)
            B.sgd_step(*gpu, *rest, 0.1, 0.7, decay)
            compare("sgd_step", tuple(gpu), tuple(host))  # the same bits
        host = [array.copy() for array in (weight, gradient, velocity, square)]
        gpu = [B.from_numpy(array) for array in host]
        PORTABLE.adam_step(*host, 0.002, (0.5, 0.999), 1e-8, round_ + 1, decay, 1 - decay)
        B.adam_step(*gpu, 0.002, (0.5, 0.999), 1e-8, round_ + 1, decay, 1 - decay)
        compare("adam_step", tuple(gpu), tuple(host))  # the same bits
        host[2:3], gpu[2:3] = [None], [None]  # without a mean, it is RMSprop
        PORTABLE.adam_step(*host, 0.002, (0.0, 0.99), 1e-8, math.inf, decay)
        B.adam_step(*gpu, 0.002, (0.0, 0.99), 1e-8, math.inf, decay)
        compare("adam_step", (gpu[0], gpu[3]), (host[0], host[3]))  # the same bits
        host, gpu = [weight.copy()], [B.from_numpy(weight)]
        PORTABLE.lerp(host[0], gradient, 0.01)
        B.lerp(gpu[0], B.from_numpy(gradient), 0.01)
        compare("lerp", tuple(gpu), tuple(host))  # the same bits
        host, gpu = [weight.copy()], [B.from_numpy(weight)]
        PORTABLE.limit_column_norm(host[0], 2.0)
        B.limit_column_norm(gpu[0], 2.0)
        compare("limit_column_norm", gpu[0], host[0], 1e-5)
        broken = _values(rng, shape, dtype)
        assert B.first_non_finite(B.from_numpy(broken)) == PORTABLE.first_non_finite(broken), "first_non_finite"
        numbers = [rng.normal(size=size).astype(dtype) for size in ((), (), (m, 1), (u, 1))]
        sums, sums_there = PORTABLE.new_sums(5), B.new_sums(5)
        for rules in ((0.0, True), (0.5, True), (0.0, False), (0.5, False)):
            PORTABLE.add_scores(sums, *numbers, *rules)
            B.add_scores(sums_there, *(B.from_numpy(number) for number in numbers), *rules)
        np.testing.assert_allclose(B.read_sums(sums_there), PORTABLE.read_sums(sums), rtol=1e-6, atol=1e-6)
    return {"largest difference": {name: float(f"{value:.2g}") for name, value in worst.items()}}


@check
def images() -> dict[str, Any]:
    """Compare convolution and pooling with the portable methods: random sizes, both precisions, nan and infinity."""
    from tinygan.backend.convolutions import places
    from tinygan.backend.pooling import Windows

    B, rng, worst = get_backend("cuda"), np.random.default_rng(2), dict[str, float]()

    def compare(name: str, arguments: list[Any], rtol: float = 0.0, atol: float = 0.0) -> Any:
        there = [B.from_numpy(value) if isinstance(value, np.ndarray) else value for value in arguments]
        with np.errstate(all="ignore"):
            got, expected = getattr(B, name)(*there), getattr(PORTABLE, name)(*arguments)
        pair = (got[0], expected[0]) if isinstance(expected, tuple) else (got, expected)
        worst[name] = max(worst.get(name, 0.0), _close(name, *pair, rtol, atol))
        return got, expected

    for round_ in range(60):
        dtype = np.dtype([np.float32, np.float32, np.float64][round_ % 3])
        n, channels, units, h, k, s, t = (int(size) for size in rng.integers(1, 6, 7))
        image = tuple(int(size) for size in rng.integers(h + k, 40, 2))
        stride, padding = (s, t), (int(rng.integers(h // 2 + 1)), int(rng.integers(k // 2 + 1)))
        size = places(image, (h, k), stride, padding)
        x, w, g = (
            rng.normal(size=shape).astype(dtype)
            for shape in ((n, channels, *image), (units, channels, h, k), (n, units, *size))
        )
        tolerance = 1e-4, 2e-6 * max(channels * h * k, units * h * k, g.size // units)  # as for `linear`
        compare("conv", [x, w, stride, padding], *tolerance)
        compare("conv_transpose", [g, w, image, stride, padding], *tolerance)
        compare("conv_weight", [g, x, (h, k), stride, padding], *tolerance)
        windows = Windows((h, k), stride, padding, image, size)
        compare("sum_pool", [x, windows], 1e-5, 1e-5)
        y = PORTABLE.sum_pool(x, windows)
        compare("sum_pool_backward", [y, windows], 1e-5, 1e-5)
        broken = _values(rng, x.shape, dtype)
        (_, place_there), (y, place) = compare("max_pool", [broken, windows])
        gy = rng.integers(-9, 9, y.shape).astype(dtype)  # so that sums in any order have the same bits
        back = PORTABLE.max_pool_backward(gy, place, windows)
        _close("max_pool_backward", B.max_pool_backward(B.from_numpy(gy), place_there, windows), back)
        _close("winners", B.winners(B.from_numpy(broken), place_there, windows), y)
    return {"largest difference": {name: float(f"{value:.2g}") for name, value in worst.items()}}


@check
def layers() -> dict[str, Any]:
    """Compare batch normalization, leaky ReLU and the slope of tanh with the portable methods: both precisions."""
    B, rng, worst = get_backend("cuda"), np.random.default_rng(3), dict[str, float]()

    def compare(name: str, arguments: list[Any], rtol: float = 0.0, atol: float = 0.0) -> Any:
        there = [B.from_numpy(value) if isinstance(value, np.ndarray) else value for value in arguments]
        got, expected = getattr(B, name)(*there), getattr(PORTABLE, name)(*arguments)
        for one, other in zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]:
            worst[name] = max(worst.get(name, 0.0), _close(name, one, other, rtol, atol))
        return expected

    for round_ in range(30):
        dtype = np.dtype([np.float32, np.float32, np.float64][round_ % 3])
        n, channels, *image = (int(size) for size in rng.integers(2, 40, 2 + 2 * (round_ % 2)))
        x, gy = (rng.normal(1, 3, (n, channels, *image)).astype(dtype) for _ in range(2))
        gain, bias = (None, None) if round_ % 5 == 0 else rng.normal(size=(2, channels)).astype(dtype)
        _, mean, variance = compare("batch_norm", [x, gain, bias, 0.1], 1e-5, 1e-5)
        # a sum of n terms of size 3
        compare("batch_norm_backward", [gy, x, gain, mean, variance, 0.1], 1e-4, 1e-6 * x.size / channels + 1e-5)
        host = [rng.random(channels).astype(dtype) for _ in range(2)]
        gpu = [B.from_numpy(array) for array in host]
        PORTABLE.follow_moments((host[0], host[1]), (mean, variance), n, 0.1)
        B.follow_moments((gpu[0], gpu[1]), (B.from_numpy(mean), B.from_numpy(variance)), n, 0.1)
        for one, other in zip(gpu, host, strict=True):
            _close("follow_moments", one, other)  # the same bits
        broken = _values(rng, x.shape, dtype)
        with np.errstate(all="ignore"):
            _, positive = compare("leaky", [broken, 0.2])
            compare("leaky_backward", [gy, positive, 0.2])
            compare("tanh_backward", [gy, np.tanh(broken)])
    return {"largest difference": {name: float(f"{value:.2g}") for name, value in worst.items()}}


@check
def draws() -> dict[str, Any]:
    """Uniform numbers and masks have the bits of NumPy's Philox; normal numbers differ by rounding only."""
    B, f4, worst = get_backend("cuda"), np.dtype(np.float32), 0.0
    for seed, shape in [(0, (100, 100)), (1, (1,)), (2, (7, 13)), (2**40, (1200, 1201)), (3, (3,))]:
        here, there = Stream(seed, "noise"), Stream(seed, "noise")
        for _ in range(3):
            low = -math.sqrt(3)
            _close("uniform", B.uniform(there, shape, low, -low, f4), PORTABLE.uniform(here, shape, low, -low, f4))
            x = np.ones(shape, f4)
            for keep in (0.5, 0.8):
                pairs = zip(B.dropout(B.from_numpy(x), there, keep), PORTABLE.dropout(x, here, keep), strict=True)
                for got, expected in pairs:
                    _close("dropout", got, expected)
            normal = B.normal(there, shape, f4), PORTABLE.normal(here, shape, f4)
            worst = max(worst, _close("normal", *normal, atol=1e-5))
        assert there.state_dict() == here.state_dict(), "the streams have not moved on alike"
    return {"bits of uniform and masks": "equal", "largest difference of normal": float(f"{worst:.2g}")}


@check
def operations() -> dict[str, Any]:
    """Compare every operation and its gradient with the CPU, in both precisions."""
    from tinygan.checking.operations import CASES

    ran, refused = set(), set()
    for case in CASES:
        if case.name in ("dropout", "to"):
            continue
        for dtype in ("float64", "float32"):
            results = []
            for device in ("cpu", "cuda"):
                inputs = [Tensor(get_backend(device).array(array, dtype), requires_grad=True) for array in case.inputs]
                try:
                    y = case.call(*inputs)
                except DeviceError:  # the case has a mask, labels or an index in host memory, which must be refused
                    assert device == "cuda"
                    refused.add(case.name)
                    break
                (y * y).sum().backward()
                results.append([y.numpy(), *(tensor.grad.numpy() for tensor in inputs if tensor.grad is not None)])
            else:
                for here, there in zip(*results, strict=True):
                    tolerance = 1e-11 if here.dtype == np.float64 else 2e-5
                    # terms that cancel leave the rounding error of numbers as large as the largest
                    largest = np.abs(np.where(np.isfinite(here), here, 0)).max(initial=1)
                    np.testing.assert_allclose(there, here, tolerance, tolerance * float(largest), err_msg=case.name)
                    assert here.dtype == there.dtype, case.name
                ran.add(case.name)
    return {"operations": len(ran), "only refused, for arrays in host memory": sorted(refused - ran)}


# ---------------------------------------------------------------------- training


def _compare_states(one: Counted, other: Counted, rtol: float, atol: float) -> float:
    """Compare weights and the optimisers' state; counters must be equal. Return the largest difference of a weight."""
    (arrays, state), (arrays_there, state_there) = one.state(), other.state()
    sums = state.pop("monitor"), state_there.pop("monitor")
    assert state == state_there, "streams, counters or positions differ"
    near = max(1e-3, rtol, atol)  # weights that far apart have scores that far apart
    np.testing.assert_allclose(sums[0]["total"][:-1], sums[1]["total"][:-1], rtol=near, atol=near * sums[0]["count"])
    for training, kept in zip((one, other), sums, strict=True):
        np.testing.assert_allclose(kept["total"][-1], training.accuracies, rtol=1e-5, atol=1e-5, err_msg="accuracy")
    worst = 0.0
    for name, array in arrays.items():
        np.testing.assert_allclose(arrays_there[name], array, rtol=rtol, atol=atol, err_msg=name)
        if array.dtype.kind == "f" and "optimizer" not in name:
            worst = max(worst, float(np.abs(array - arrays_there[name]).max()))
    return float(f"{worst:.2g}")


@check
def step_by_step() -> dict[str, Any]:
    """Compare CPU and GPU from one seed after every step; noise, order and masks have the same bits."""
    worst = {}
    for name in NAMES:
        here, there = (_training(name, device, kind=Counted) for device in ("cpu", "cuda"))
        # Adam may move a weight by lr in either direction if its gradient is only rounding
        atol = 0.02 if "Adam" in type(here.config.generator.optimizer).__name__ else 1e-4
        worst[name] = []
        # Batch normalization magnifies the difference that Adam makes: see tests/experiments/test_training_cuda.py.
        for _ in range(1 if "dcgan" in name else 5):
            _steps(here, 1)
            _steps(there, 1)
            worst[name].append(_compare_states(here, there, 1e-2, atol))
    return {"largest difference of a weight, by step": worst}


@check
def checkpoints() -> dict[str, Any]:
    """Move a state from CPU to GPU and back without changing a bit, and continue the run."""
    for route in (("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")):
        first, resumed = (_training("digits", device, True, Counted) for device in route)
        _steps(first, 5)
        _steps(resumed, 4)  # a capture of other memory, which must be discarded
        arrays, state = first.state()
        resumed.load_state(arrays, state)
        again, state_again = resumed.state()
        assert state == state_again, f"{route}: the states differ"
        assert all(np.array_equal(arrays[name], again[name]) for name in arrays), f"{route}: an array differs"
        for training in (first, resumed):
            _steps(training, 5)
        _compare_states(first, resumed, 1e-2, 0.05)
    return {"routes": "cpu-cuda, cuda-cpu, cuda-cuda"}


@check
def captured() -> dict[str, Any]:
    """Compare replayed steps with steps launched kernel by kernel."""
    worst = {}
    for name in NAMES:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CaptureWarning)  # a failed capture; CuPy's own warnings are none
            replayed, eager = (_training(name, "cuda", capture, Counted) for capture in (True, False))
            worst[name] = []
            for count in (3, 1, 1, 5, LONG):  # the third step is the first replayed one
                _steps(replayed, count)
                _steps(eager, count)
                worst[name].append(_compare_states(replayed, eager, 0.05, 0.1 if count == LONG else 0.02))
        assert replayed._captured._result is not None, f"{name}: nothing was captured"
    return {"largest difference of a weight after 3, 4, 5, 10 and more steps": worst}


class _OneRank(World):
    """A world of one rank, without MPI."""

    def __init__(self) -> None:
        self.rank = self.rank_here = 0
        self.size = self.ranks_here = 1

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def _all_reduce(self, array: Any) -> None:
        pass


@check
def ranks() -> dict[str, Any]:
    """Compare the training of the only rank with one without ranks; the sums go through NCCL, where CuPy has it."""
    world, worst = _OneRank(), {}
    try:
        from cupyx.distributed import init_process_group

        world.nccl = init_process_group(1, 0)
    except (ImportError, RuntimeError) as error:
        worst["NCCL"] = str(error)
    for name in ("digits", "dcgan-digits"):
        rank = _training(name, "cuda", kind=partial(ParallelTraining, world=world))  # type: ignore[arg-type]
        plain = _training(name, "cuda")
        _steps(rank, 3)
        _steps(plain, 3)
        (arrays, _), (expected, _) = rank.state(), plain.state()
        for key, array in expected.items():
            np.testing.assert_allclose(arrays[key], array, rtol=1e-2, atol=0.02, err_msg=f"{name}: {key}")
    return worst or {"NCCL": "used"}


@check
def repeated() -> dict[str, Any]:
    """Return whether two runs from one seed on one GPU give the same bits."""
    found = {}
    for capture in (False, True):
        one, other = (_training("digits", "cuda", capture, Counted) for _ in range(2))
        for training in (one, other):
            _steps(training, 10 + LONG)
        _compare_states(one, other, 0.05, 0.1)  # as `captured` after so many steps
        (arrays, _), (arrays_there, _) = one.state(), other.state()
        equal = all(np.array_equal(arrays[name], arrays_there[name]) for name in arrays)
        found["captured" if capture else "eager"] = "equal" if equal else "differ by rounding"
    return found


@check
def no_wait() -> dict[str, Any]:
    """Queue a step behind a long kernel, and check that the host does not wait for it."""
    cupy = get_backend("cuda").xp
    source = """
    __device__ long long now() {
        long long nanoseconds;
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(nanoseconds));
        return nanoseconds;
    }
    extern "C" __global__ void spin(long long nanoseconds) {
        long long start = now();
        while (now() - start < nanoseconds) {}
    }"""
    spin, busy_ms, found = cupy.RawKernel(source, "spin"), 400, {}
    spin((1,), (1,), (np.int64(0),))  # compiles it
    for name in ("digits", "mnist"):
        for capture in (False, True):
            training = _training(name, "cuda", capture)
            _steps(training, 5)
            _wait()
            began = time.perf_counter()
            spin((1,), (1,), (np.int64(busy_ms * 1_000_000),))
            training.step()
            queued = 1e3 * (time.perf_counter() - began)
            _wait()
            done = 1e3 * (time.perf_counter() - began)
            found[f"{name}, {'captured' if capture else 'eager'}"] = {
                "queued after ms": round(queued, 2),
                "done after ms": round(done, 1),
            }
            assert done > busy_ms / 2, f"the busy kernel took {done:.0f} ms only: nothing is shown"
            assert queued < done / 4, f"{name}: the host was held up for {queued:.0f} of {done:.0f} ms"
    return found


@check
def not_finite() -> dict[str, Any]:
    """Check that a step that is not finite is found later, with its exact number."""
    for capture in (False, True):
        training = _training("digits", "cuda", capture)
        _steps(training, 6)
        training.game.generator[0].weight.data[3, 2] = np.inf
        said = ""
        try:
            _steps(training, 200)
        except AnomalyError as error:
            said = str(error)
        assert "step 7, epoch 1" in said, said or "an infinite weight was not noticed in 200 steps"
        assert training.steps == 6
    return {"found": "step 7"}


@check
def command_line() -> dict[str, Any]:
    """Run `tinygan train digits --device cuda`, `resume` on the CPU, and `sample`."""
    from tinygan.cli import main

    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        small = ["--set", "training.epochs=2", "--set", "output.checkpoint_every=1", "--quiet"]
        assert main(["train", "digits", "--device", "cuda", "--steps", "30", "--out", run, *small]) == 0
        assert main(["resume", run, "--device", "cpu", "--quiet"]) == 0
        sheet = Path(folder) / "samples.npy"
        assert main(["sample", run, "--count", "10", "--out", str(sheet)]) == 0
        assert np.isfinite(np.load(sheet)).all()
    return {"train, resume, sample": "done"}


# ---------------------------------------------------------------------- numbers


@check
def speed() -> dict[str, Any]:
    """Measure an iteration in ms: by events on the GPU, and by the host's clock over many steps with one wait."""
    cupy, found = get_backend("cuda").xp, {}
    for name in ("digits", "mnist"):
        for label, device, capture in (("captured", "cuda", True), ("eager", "cuda", False), ("cpu", "cpu", False)):
            training = _training(name, device, capture)
            _steps(training, 10)
            count = 300 if device == "cuda" else 30
            _wait()
            began = time.perf_counter()
            _steps(training, count)
            _wait()
            row = {"throughput": round(1e3 * (time.perf_counter() - began) / count, 4)}
            if device == "cuda":
                times = []
                for _ in range(100):
                    if training.epoch_is_over:
                        training.next_epoch()
                    events = cupy.cuda.Event(), cupy.cuda.Event()
                    events[0].record()
                    training.step()
                    events[1].record()
                    events[1].synchronize()
                    times.append(cupy.cuda.get_elapsed_time(*events))
                row["median between events"] = round(float(np.median(times)), 4)
                row["tenth percentile"] = round(float(np.percentile(times, 10)), 4)
            found[f"{name}, {label}"] = row
    return found


@check
def memory() -> dict[str, Any]:
    """Measure the device memory in MB in use after training, and its growth over a hundred more steps."""
    cupy, found = get_backend("cuda").xp, {}
    pool = cupy.get_default_memory_pool()
    for capture in (False, True):
        training = _training("mnist", "cuda", capture)
        _steps(training, 20)
        _wait()
        before, free_before = pool.used_bytes(), cupy.cuda.runtime.memGetInfo()[0]
        _steps(training, 100)
        _wait()
        grown, taken = pool.used_bytes() - before, free_before - cupy.cuda.runtime.memGetInfo()[0]
        label = "captured" if capture else "eager"
        found[label] = {
            "in use": round(pool.used_bytes() / 1e6, 1),
            "held by the pool": round(pool.total_bytes() / 1e6, 1),
            "held by the capture": round(training._captured.memory / 1e6, 1),
            "grown by": round(grown / 1e6, 2),
            "taken from the device": round(taken / 1e6, 2),
        }
        assert grown < 5e6, f"{label}: {grown / 1e6:.1f} MB more in use after 100 steps"
        assert taken < 50e6, f"{label}: {taken / 1e6:.1f} MB more of the device taken after 100 steps"
        if (made := training._captured._capture) is not None:
            training.close_capture()
            found[label]["held by the capture after the run"] = round(made.memory / 1e6, 1)  # the last gradients
        del training, made
    return found


def _machine() -> dict[str, Any]:
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(0)
    return {
        "gpu": properties["name"].decode(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def run(names: list[str]) -> dict[str, dict[str, Any]]:
    """Run checks one after the other; a failure is also a result."""
    results = {}
    for name in names:
        began = time.perf_counter()
        try:
            measured = {"ok": True, **CHECKS[name]()}
        except Exception as error:
            measured = {"ok": False, "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        seconds = time.perf_counter() - began
        results[name] = {**measured, "seconds": round(seconds, 1)}
        print(f"{'ok    ' if measured['ok'] else 'FAILED'}  {name:<14} {seconds:6.1f} s", flush=True)
        for key, value in measured.items():
            if key not in ("ok", "trace"):
                print(f"        {key}: {value}", flush=True)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Run the selected checks, print the results and return the exit code."""
    parser = argparse.ArgumentParser(description="All checks that need a real GPU.")
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), default=list(CHECKS), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    options = parser.parse_args(arguments)
    try:
        get_backend("cuda")
        machine = _machine()
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(machine))
    results = run(options.only)
    whole = json.dumps({"machine": machine, "checks": results})
    print(whole)
    if options.json:
        options.json.write_text(whole + "\n", encoding="utf-8")
    return 0 if all(result["ok"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
