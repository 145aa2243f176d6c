"""Training on the strict double of CuPy, which runs the source of the kernels without a GPU.

`tests/gpu_checks.py` repeats the important checks on a real GPU.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.doubles import cuda_on_cpu
from tests.doubles.installed import strict_cupy
from tests.doubles.small import NAMES, small, stand_in
from tinygan import gan
from tinygan.backend import Stream, get_backend
from tinygan.config.experiment import load_experiment
from tinygan.data import load
from tinygan.engine import Tensor
from tinygan.errors import AnomalyError
from tinygan.experiments import training as training_module
from tinygan.experiments.running import run, start
from tinygan.experiments.training import Training

needs_compiler = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="this machine has no C++ compiler to run the source of the kernels"
)
pytestmark = [pytest.mark.slow, needs_compiler]

# Launches in one iteration, as the test prints them when there are more: the matrix products (25 in the alternating
# schedule; 27 in the simultaneous one, which sends the gradient through D once for each player), one kernel for each
# layer, activation, mask, loss and parameter, four for each limit on the norm of columns, and little else. Without
# the kernels of tinygan, digits need 367, MNIST 268, dcgan-cifar10 629. A convolution is a product and up to two copies
# between memory orders; a batch normalization is one kernel, one more for the running statistics, and one to count.
BUDGET = {
    "cifar10-conv": 219,
    "cifar10-fc": 104,
    "dcgan-cifar10": 246,
    "dcgan-digits": 166,
    "dcgan-mnist": 166,
    "digits": 104,
    "digits-conditional": 145,  # with a penalty, whose gradient is differentiated again
    "gaussian": 91,
    "mnist": 106,
    "mnist-algorithm1": 110,
    "mnist-averaged": 112,
    "tfd": 130,
    "tfd-finetune": 156,
}

SMALL = (
    "training.epochs=3",
    "training.batch=200",
    "output.checkpoint_every=1",
    "output.samples=4",
    "generator.layers.0.units=16",
    "generator.layers.2.units=16",
    "discriminator.layers.1.units=8",
    "discriminator.layers.3.units=8",
)


@pytest.fixture
def cupy(monkeypatch):
    """Return the double, without captured steps, which test_captured.py has."""
    monkeypatch.setattr(Training, "capture", False)
    with strict_cupy() as module:
        yield module


def states(training):
    arrays, plain = training.state()
    return arrays, plain


@pytest.mark.parametrize("name", NAMES)
def test_a_step_does_not_wait_or_copy_and_has_few_launches(cupy, name):
    config = small(name)
    training = Training(config, stand_in(config.data.set), "cuda")
    training.step()
    with cupy.gpu.step() as launches:
        training.step()
    assert sum(launches.values()) <= BUDGET[name], dict(launches)
    assert not cupy.gpu.in_step


@pytest.mark.parametrize("name", NAMES)
def test_both_devices_give_the_same_training(cupy, name):
    """Noise, masks and order have the same bits; exp and sums are rounded differently."""
    config = small(name)
    dataset = stand_in(config.data.set)
    here, there = Training(config, dataset), Training(config, dataset, "cuda")
    # Adam makes a step of up to lr from a gradient that is nothing but rounding error, and batch normalization enlarges
    # the difference: there the gradients agree to 1e-6 in the first step, and to 1e-2 in the second.
    for _ in range(1 if "dcgan" in name else 3):
        here.step()
        there.step()
    (arrays, plain), (arrays_there, plain_there) = states(here), states(there)
    assert plain["streams"] == plain_there["streams"]
    monitors = plain.pop("monitor"), plain_there.pop("monitor")
    assert plain == plain_there
    assert monitors[0]["total"] == pytest.approx(monitors[1]["total"], rel=1e-5)
    assert list(arrays) == list(arrays_there)
    for key, array in arrays.items():
        # Adam divides by the size of the gradient: a gradient of rounding errors makes steps of up to lr
        atol = 3 * 0.002 if "adam" in str(config.generator.optimizer).lower() else 2e-6
        assert array.dtype == arrays_there[key].dtype
        np.testing.assert_allclose(arrays_there[key], array, rtol=1e-3, atol=atol, err_msg=key)
        if array.dtype == np.float32 and array.size > 100:
            assert np.abs(arrays_there[key] - array).mean() < 1e-5


@pytest.mark.parametrize("route", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")], ids="-".join)
def test_a_run_is_resumed_on_the_other_device(cupy, route):
    config, dataset = load_experiment("digits", SMALL), load("digits")
    first, straight = Training(config, dataset, route[0]), Training(config, dataset, route[1])
    for training in (first, straight):
        for _ in range(3):
            training.step()
    resumed = Training(config, dataset, route[1])
    resumed.load_state(*states(first))
    assert resumed.backend.device == route[1]
    saved, again = states(first), states(resumed)
    assert saved[1] == again[1]
    assert all(np.array_equal(saved[0][key], again[0][key]) for key in saved[0])
    for training in (resumed, straight):
        training.step()
    assert states(resumed)[1]["streams"] == states(straight)[1]["streams"]
    for key, array in states(straight)[0].items():
        np.testing.assert_allclose(states(resumed)[0][key], array, rtol=1e-2, atol=0.01, err_msg=key)
    if route[0] == route[1]:
        assert all(np.array_equal(states(resumed)[0][key], array) for key, array in states(straight)[0].items())


def test_a_run_on_the_device_from_start_to_end(cupy, tmp_path):
    config, dataset = load_experiment("digits", SMALL), load("digits")
    folder, training = start(config, dataset, tmp_path / "there", "cuda")
    assert run(folder, training)
    assert folder.environment()["gpu"] == "Double, CuPy 14.2.0, CUDA 13.2"
    other, training = start(config, dataset, tmp_path / "here")
    assert run(other, training)
    for got, expected in zip(folder.metrics(), other.metrics(), strict=True):
        for name in ("gradient_norms", "update_ratios"):
            assert got.pop(name) == pytest.approx(expected.pop(name), rel=0.02, abs=0.02)
        assert {**got, "momentum": 0} == pytest.approx({**expected, "momentum": 0}, rel=0.02, abs=0.02)


# ---------------------------------------------------------------------- looking back


@pytest.mark.parametrize("bad", [1, 2, 5, 6])
@pytest.mark.parametrize("every", [1, 4, 100])
def test_the_first_non_finite_step_is_found_later(cupy, monkeypatch, bad, every):
    monkeypatch.setattr(training_module, "LOOK_EVERY", every)
    config = load_experiment("digits", SMALL)
    training = Training(config, load("digits"), "cuda")
    assert training.steps_per_epoch == 6

    def steps():
        for step in range(1, 7):
            if step == bad:
                training.game.generator[0].weight.data[3, 2] = np.inf
            training.step()

    with pytest.raises(AnomalyError) as caught:
        steps()
    assert f"step {bad}, epoch 1: a loss is nan or infinite" in str(caught.value)
    assert training.steps == bad - 1


def test_a_non_finite_state_is_not_saved(cupy):
    """An infinite gradient in the last step before a checkpoint does not appear in a loss yet."""
    training = Training(load_experiment("digits", SMALL), load("digits"), "cuda")
    training.step()
    training.state()
    training.step()
    bias = training.game.generator[0].bias
    bias.grad = Tensor(bias.grad.data * np.float32(np.inf))
    with pytest.raises(AnomalyError, match=r"step 2, epoch 1: the gradient of the generator's 0\.bias is"):
        training.state()


def test_the_anomaly_is_named_as_on_the_cpu(cupy, tmp_path, monkeypatch):
    config, dataset = load_experiment("digits", SMALL), load("digits")
    folder, training = start(config, dataset, tmp_path / "run", "cuda")
    step = Training.step

    def sabotaged(self):
        if self.steps == 9:
            self.game.generator[0].weight.data[3, 2] = np.inf
        step(self)

    monkeypatch.setattr(Training, "step", sabotaged)
    with pytest.raises(AnomalyError) as caught:
        run(folder, training)
    assert "training stopped: step 10, epoch 2: a loss is nan or infinite" in str(caught.value)
    assert "its input 1 held inf at index (3, 2) already" in str(caught.value)
    assert folder.latest_checkpoint().state["steps"] == 6


# ---------------------------------------------------------------------- monitors


def test_a_monitor_is_exact_over_a_long_epoch(cupy):
    """Sums in single precision, each with its rounding error, are as exact as double precision."""
    rng = np.random.default_rng(0)
    here, there = gan.Monitor(get_backend("cpu")), gan.Monitor(get_backend("cuda"))
    for _ in range(200):
        numbers = [rng.normal(size=shape).astype(np.float32) for shape in ((), (), (5, 1), (7, 1))]
        here.add(gan.Step(*(Tensor(x) for x in numbers)))
        there.add(gan.Step(*(Tensor(get_backend("cuda").from_numpy(x)) for x in numbers)))
    assert here.first_non_finite() is there.first_non_finite() is None
    assert there.means() == pytest.approx(here.means(), rel=1e-6, abs=1e-7)
    for name in ("discriminator_loss", "generator_loss"):  # rounded in the same way, so only the sums could differ
        assert there.means()[name] == pytest.approx(here.means()[name], rel=3e-8)
    moved = gan.Monitor(get_backend("cpu"))
    moved.load_state_dict(there.state_dict())
    assert moved.means() == there.means()
    back = gan.Monitor(get_backend("cuda"))
    back.load_state_dict(here.state_dict())
    assert back.means() == pytest.approx(here.means(), rel=1e-12)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_monitor_notes_the_first_non_finite_step(cupy, device):
    backend = get_backend(device)
    monitor = gan.Monitor(backend)
    zero = Tensor(backend.from_numpy(np.zeros((2, 1), np.float32)))
    bad = Tensor(backend.from_numpy(np.array([[0], [np.nan]], np.float32)))
    loss = Tensor(backend.from_numpy(np.zeros((), np.float32)))
    for logits in (zero, zero, bad, zero, bad):
        monitor.add(gan.Step(loss, loss, logits, zero))
    assert monitor.first_non_finite() == 3
    monitor.reset()
    monitor.add(gan.Step(loss, loss, zero, zero))
    assert monitor.first_non_finite() is None


def test_spherical_noise_is_drawn_on_the_gpu(cupy):
    there = gan.Noise("spherical", 5).draw(7, Stream(0, "noise"), backend=get_backend("cuda"))
    np.testing.assert_allclose(there.get(), gan.Noise("spherical", 5).draw(7, Stream(0, "noise")), atol=2e-6)
