"""Replaying a captured step, on the strict double of CuPy: the same run, with six launches in a step."""

from __future__ import annotations

import numpy as np
import pytest

from tests.doubles import cuda_on_cpu
from tests.doubles.cublas import Cublas
from tests.doubles.installed import strict_cupy
from tests.doubles.small import NAMES, small, stand_in
from tests.experiments.test_training_cuda import SMALL
from tinygan import optim
from tinygan.backend import graph
from tinygan.cli import main
from tinygan.config.experiment import load_experiment
from tinygan.data import load
from tinygan.errors import AnomalyError, CaptureError, CaptureWarning
from tinygan.experiments.running import run, start
from tinygan.experiments.training import Training
from tinygan.trace import detect_anomaly

needs_compiler = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="this machine has no C++ compiler to run the source of the kernels"
)
pytestmark = [pytest.mark.slow, needs_compiler]


@pytest.fixture
def cublas():
    return Cublas()


@pytest.fixture
def cupy(monkeypatch, cublas):
    monkeypatch.setattr(graph, "load_cublas", lambda: cublas)
    with strict_cupy() as module:
        yield module


def pair(name="digits", overrides=()):
    """Return a training that replays, and one that does not."""
    config = small(name, overrides)
    dataset = stand_in(config.data.set)
    replaying, plain = Training(config, dataset, "cuda"), Training(config, dataset, "cuda")
    plain.capture = False
    return replaying, plain


def assert_same(one, other, rtol=1e-3, atol=0.006, near=1e-12):
    (arrays, books), (arrays_there, books_there) = one.state(), other.state()
    totals = books.pop("monitor"), books_there.pop("monitor")
    assert books == books_there
    assert totals[0]["count"] == totals[1]["count"]
    assert totals[0]["total"] == pytest.approx(totals[1]["total"], rel=1e-3, abs=near)
    for key, array in arrays.items():
        np.testing.assert_allclose(array, arrays_there[key], rtol=rtol, atol=atol, err_msg=key)
        assert np.abs(array.astype(float) - arrays_there[key]).mean() < 1e-4


# dcgan-digits has the operations of the other two
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("dcgan-cifar10", "dcgan-mnist")])
def test_replayed_steps_agree_with_ordinary_steps(cupy, name):
    """Beyond the end of an epoch. The sums of products have another order, so the bits may differ."""
    replaying, plain = pair(name)
    for _ in range(8):
        for training in (replaying, plain):
            if training.epoch_is_over:
                training.next_epoch()
            training.step()
    assert replaying._captured._result is not None
    assert_same(replaying, plain)


NEW_LAYERS = (
    # The gradient of a bias before batch normalization is 0 up to rounding, and Adam would scale it up.
    'generator.optimizer={ kind = "sgd", lr = 0.1 }',
    'discriminator.optimizer={ kind = "sgd", lr = 0.1 }',
    """generator.layers=[
      { type = "linear", units = 8, spectral_norm = true },
      { type = "batch_norm" },
      { type = "softplus", beta = 2.0 },
      { type = "gaussian_noise", std = 0.1, always = true },
      { type = "linear", units = 64 },
      { type = "sigmoid" },
    ]""".replace("\n", ""),
    """discriminator.layers=[
      { type = "maxout", units = 8, pieces = 2, spectral_norm = true },
      { type = "layer_norm" },
      { type = "gaussian_noise", std = 0.2 },
      { type = "linear", units = 6 },
      { type = "batch_norm", momentum = 0.5 },
      { type = "linear", units = 1 },
    ]""".replace("\n", ""),
)


def test_layers_with_buffers_and_noise_are_replayed(cupy):
    replaying, plain = pair("digits", (*SMALL[:4], "training.batch=50", *NEW_LAYERS))
    plain.step()
    with cupy.gpu.step():
        plain.step()  # without a wait
    replaying.step()
    replaying.step()
    for _ in range(3):
        replaying.step()
        plain.step()
    assert replaying._captured._result is not None
    assert_same(replaying, plain)
    arrays, _ = replaying.state()
    assert arrays["generator.1.num_batches_tracked"] == 10  # twice a step, in the step of D and in that of G
    assert (arrays["generator.1.running_mean"] != 0).all()


@pytest.mark.parametrize(
    "options",
    [
        ["objective=lsgan"],
        ["objective=hinge", "penalty={kind='r1'}"],
        ["penalty=[{kind='r1', weight=1}, {kind='r2', weight=1}]", "separate_passes=true", "k=2", "batch=50"],
        ["objective=wasserstein", "penalty={kind='gradient'}"],
        ["objective=wasserstein", "penalty={kind='clipping', c=0.02}", "schedule=simultaneous"],
        ["penalty={kind='dragan'}", "label_smoothing=0.1"],
        ["instance_noise=0.3", "instance_noise_steps=6"],
        ["packing=4"],
    ],
    ids=lambda options: options[0],
)
def test_every_option_of_the_game_is_replayed(cupy, options):
    replaying, plain = pair("digits", (*SMALL, *(f"training.{option}" for option in options)))
    for training in (replaying, plain):
        for _ in range(4):
            training.step()
    assert replaying._captured._result is not None
    with cupy.gpu.step() as launches:  # no wait, no copy
        replaying.step()
    plain.step()
    assert launches["graph"] == 1
    assert_same(replaying, plain, near=0.05)  # rounding may change the class of an example or two


def test_k_updates_of_the_discriminator_are_replayed(cupy):
    replaying, plain = pair("digits", (*SMALL, "training.batch=50", "training.k=3"))
    for training in (replaying, plain):
        for _ in range(6):
            training.step()
    assert len(replaying._captured._capture.updates) == 4
    assert_same(replaying, plain)


def test_a_replayed_step_is_six_launches_and_no_wait(cupy):
    training, _ = pair()
    for _ in range(3):
        training.step()
    with cupy.gpu.step() as launches:
        training.step()
    assert launches == {"graph": 1, "set_moved": 3, "set_rates": 2}


RULES = [
    "{ kind = 'sgd', lr = 0.01, momentum = 0.5, weight_decay = 0.1, lr_linear = 9 }",
    "{ kind = 'adam', lr = 0.001, weight_decay = 0.1, lr_warmup = 5 }",
    "{ kind = 'adamw', lr = 0.001, weight_decay = 0.5, lr_cosine = 20 }",
    "{ kind = 'rmsprop', lr = 0.001, weight_decay = 0.1, lr_milestone = 4, lr_gamma = 0.5 }",
]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_replayed(cupy, rule):
    overrides = (*SMALL, "training.batch=100", f"generator.optimizer={rule}", f"discriminator.optimizer={rule}")
    replaying, plain = pair("digits", overrides)
    for number in range(5):
        for training in (replaying, plain):
            if number == 4:  # after the capture
                training.game.generator_optimizer.weight_decay = 0.25
                training.game.discriminator_optimizer.param_groups[0]["lr"] = 0.0005
            training.step()
    assert replaying._captured._result is not None
    with cupy.gpu.step() as launches:
        replaying.step()
    plain.step()
    assert launches == {"graph": 1, "set_moved": 3, "set_rates": 2}
    assert_same(replaying, plain)


def test_every_group_has_its_rates_in_a_replay(cupy):
    trainings = pair("digits", (*SMALL, "training.batch=100"))
    for training in trainings:
        matrices = [p for p in training.game.generator.parameters() if p.ndim == 2]
        biases = [p for p in training.game.generator.parameters() if p.ndim == 1]
        groups = [{"params": matrices, "lr": 0.001}, {"params": biases, "weight_decay": 0.0, "betas": (0.5, 0.9)}]
        training.game.generator_optimizer = optim.AdamW(groups, lr=optim.LinearDecay(0.01, 20), weight_decay=0.5)
        for _ in range(4):
            training.step()
        first, second = training.game.generator_optimizer.param_groups
        first["betas"], second["lr"] = (0.8, 0.99), 0.02
        training.step()
    replaying, plain = trainings
    assert replaying._captured._result is not None
    assert_same(replaying, plain)
    with cupy.gpu.step() as launches:
        replaying.step()
    assert launches == {"graph": 1, "set_moved": 3, "set_rates": 3}


@pytest.mark.parametrize("average", [(), ("generator.average_decay=0.9",)])
def test_a_checkpoint_of_replayed_steps_is_resumed(cupy, average):
    replaying, plain = pair("digits", (*SMALL, *average))
    for training in (replaying, plain):
        for _ in range(5):
            training.step()
    resumed = Training(replaying.config, replaying.dataset, "cuda")
    for _ in range(4):
        resumed.step()  # its capture uses memory that `load_state` replaces
    resumed.load_state(*replaying.state())
    for training in (resumed, replaying, plain):
        training.step()
        training.next_epoch()
        for _ in range(4):
            training.step()
    assert_same(resumed, replaying)
    assert_same(replaying, plain)
    if average:
        assert {training.average.updates for training in (resumed, replaying, plain)} == {plain.steps}


def test_parameters_have_the_gradients_of_the_last_step(cupy):
    """Also after ordinary steps under an observer."""
    replaying, plain = pair("digits", SMALL)
    for number in range(6):
        for training in (replaying, plain):
            if number == 4:
                with detect_anomaly():
                    training.step()
            else:
                training.step()
    for name in ("generator", "discriminator"):
        networks = (getattr(training.game, name).parameters() for training in (replaying, plain))
        for here, there in zip(*networks, strict=True):
            np.testing.assert_allclose(here.grad.numpy(), there.grad.numpy(), rtol=1e-3, atol=1e-4)
    norms = [f"{name}_gradient_norm" for name in ("generator", "discriminator")]
    for name in norms:
        assert replaying.metrics()[name] == pytest.approx(plain.metrics()[name], rel=1e-3)


def test_a_replayed_step_that_is_not_finite_is_found(cupy):
    training, _ = pair("digits", SMALL)
    for _ in range(4):
        training.step()
    training.game.generator[0].weight.data[3, 2] = np.inf
    training.step()
    with pytest.raises(AnomalyError, match="step 5, epoch 1: a loss is nan or infinite"):
        training.step()
    assert training.steps == 4


@pytest.mark.parametrize("broken", ["cublasCreate_v2", "cublasSetWorkspace_v2", "cublasSgemm_v2"])
def test_a_failed_capture_is_warned_of_once_and_loses_nothing(cupy, cublas, broken):
    replaying, plain = pair("digits", SMALL)
    cublas.status = {broken: 13}
    for training in (replaying, plain):
        training.step()
    with pytest.warns(CaptureWarning, match=f"cannot be captured as a CUDA graph \\(CaptureError: {broken} returned"):
        replaying.step()
    plain.step()
    for training in (replaying, plain):
        for _ in range(3):
            training.step()
    (arrays, books), (expected, expected_books) = replaying.state(), plain.state()
    assert all(np.array_equal(arrays[key], expected[key]) for key in expected)
    assert books == expected_books


def test_a_run_closes_its_captures(cupy, cublas, tmp_path):
    """At the end; and if another state is loaded, or if the capture fails."""
    folder, training = start(load_experiment("digits", SMALL), load("digits"), tmp_path / "run", "cuda")
    assert run(folder, training)
    assert cublas.calls.count("cublasCreate_v2") == 1
    assert not cublas.handles
    training.next_epoch()
    for _ in range(3):
        training.step()  # is captured again
    assert len(cublas.handles) == 1
    assert training._captured.memory > 0
    training.load_state(*training.state())
    assert not cublas.handles
    assert training._captured.memory == 0
    cublas.status = {"cublasSgemm_v2": 13}
    training.step()
    with pytest.warns(CaptureWarning):
        training.step()
    assert not cublas.handles


def test_a_training_that_is_dropped_closes_its_capture(cupy, cublas):
    training, _ = pair("digits", SMALL)
    for _ in range(3):
        training.step()
    assert len(cublas.handles) == 1
    del training
    assert not cublas.handles


def test_a_capture_that_fails_while_recording(cupy, monkeypatch):
    replaying, plain = pair("digits", SMALL)
    for training in (replaying, plain):
        training.step()
        training.step()

    def refuse(self, mode=None):
        raise CaptureError("not on this stream")

    monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", refuse)
    with pytest.warns(UserWarning, match="not on this stream"):
        replaying.step()
    for training in (replaying, plain):
        while training.steps < 5:
            training.step()
    assert_same(replaying, plain)


def test_an_error_after_an_update_is_not_hidden(cupy, monkeypatch):
    """The weights have changed, so the step cannot be made again."""
    training, _ = pair("digits", SMALL)
    training.step()
    monkeypatch.setattr(training.monitor, "add", lambda step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.step()


def test_a_run_from_start_to_end(cupy, tmp_path):
    config, dataset = load_experiment("digits", SMALL), load("digits")
    folder, training = start(config, dataset, tmp_path / "there", "cuda")
    assert run(folder, training)
    other, training = start(config, dataset, tmp_path / "here")
    assert run(other, training)
    for got, expected in zip(folder.metrics(), other.metrics(), strict=True):
        for name in ("gradient_norms", "update_ratios"):
            assert got.pop(name) == pytest.approx(expected.pop(name), rel=0.02, abs=0.02)
        assert {**got, "momentum": 0} == pytest.approx({**expected, "momentum": 0}, rel=0.02, abs=0.02)


@pytest.mark.parametrize("options", [(), ("--eager",)])
def test_the_option_eager(cupy, cublas, tmp_path, options, capsys):
    overrides = [part for override in SMALL for part in ("--set", override)]
    command = ["train", "digits", "--quiet", "--device", "cuda", "--out", str(tmp_path / "run"), *overrides, *options]
    assert main(command) == 0
    assert bool(cublas.calls) is not bool(options)
    assert cupy.gpu.launches["graph"] == (0 if options else 3 * 6 - 2)


def test_parameters_with_different_counts_are_not_captured(cupy):
    """One rate would be wrong for some of them, so the steps are ordinary."""
    adam = "{ kind = 'adam', lr = 0.001 }"
    replaying, plain = pair("digits", (*SMALL, f"generator.optimizer={adam}", f"discriminator.optimizer={adam}"))
    for training in (replaying, plain):
        training.step()
        training.step()
        training.game.generator_optimizer._state[0]["updates"] = 1  # as if it had been frozen at first
    with pytest.warns(UserWarning, match=r"cannot be captured .*StateError: Adam: the parameters have had 1 or 2"):
        replaying.step()
    plain.step()
    replaying.step()
    plain.step()
    assert_same(replaying, plain)
