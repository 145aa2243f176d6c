"""A training on several ranks is that of one process: the same weights, records and states."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doubles import cuda_on_cpu
from tests.doubles.installed import strict_cupy
from tests.doubles.small import NAMES, small, stand_in
from tests.parallel.helpers import on_ranks
from tinygan.engine import Operation
from tinygan.errors import AnomalyError, ConfigError, ParallelError
from tinygan.experiments.training import Training
from tinygan.parallel.training import ParallelTraining
from tools.compare_ranks import advance, difference, in_double_precision, weights

ROOT = Path(__file__).parents[2]
BATCH_NORM = [
    'generator.layers.1={ type = "batch_norm" }',
    'discriminator.layers.1={ type = "batch_norm" }',
    "training.separate_passes=true",
]
# Adam would turn the rounding of a gradient that is 0, as the critic's bias has, into a step of its own.
SGD = "discriminator.optimizer={ kind = 'sgd', lr = 0.02, momentum = 0.5 }"
GAMES = {
    "as printed": [],
    "simultaneous": ['training.schedule="simultaneous"', "training.shared_noise=true", "training.k=2"],
    "two updates of D": ["training.k=2", 'training.objective="minimax"', "training.label_smoothing=0"],
    "least squares with R1": ['training.objective="lsgan"', 'training.penalty={ kind = "r1", weight = 2.0 }'],
    "WGAN-GP": ['training.objective="wasserstein"', 'training.penalty={ kind = "gradient", weight = 2.0 }', SGD],
    "WGAN": ['training.objective="wasserstein"', 'training.penalty={ kind = "clipping", c = 0.05 }', SGD],
    "instance noise": ["training.instance_noise=0.3", "training.instance_noise_steps=30"],
    "an average": ["generator.average_decay=0.9", 'noise.kind="gaussian"'],
    "labels": ["training.classes=2"],
    "batch normalization": BATCH_NORM,
    "batch normalization in G and R2": [BATCH_NORM[0], 'training.penalty={ kind = "r2", weight = 0.5 }'],
}
STEPS = 13  # two epochs and more


class NanSlope(Operation):
    """y = x, with a gradient that is nan."""

    def forward(self, B, x):
        return x.copy()

    def backward(self, B, gy):
        return gy * np.float32(np.nan)


def of_rank(world, config, dataset, steps=STEPS):
    return advance(in_double_precision(ParallelTraining(config, dataset, world=world)), steps)


def state_of(training):
    arrays, plain = training.state()
    return arrays, {name: value for name, value in plain.items() if name != "monitor"}


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_reach_the_weights_of_one_process(ranks, game, tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(*game), tiny_data(26, classes=2)
    one = advance(in_double_precision(Training(config, dataset)), STEPS)
    trainings = on_ranks(ranks, lambda world: of_rank(world, config, dataset))
    arrays, plain = state_of(one)
    for training in trainings:
        assert difference(weights(training), weights(one)) < 1e-12
        found, other = state_of(training)
        assert other == plain
        assert found.keys() == arrays.keys()
        assert all(np.allclose(found[name], arrays[name], rtol=1e-10, atol=1e-12) for name in arrays)
        bits = weights(trainings[0])
        assert all(np.array_equal(array, bits[name]) for name, array in weights(training).items())
        records = training.metrics(), one.metrics()
        for name, value in records[1].items():
            assert records[0][name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(4, 9), st.integers(1, 3), st.integers(0, 2**32))
def test_any_batch_and_number_of_ranks(tiny_experiment, tiny_data, ranks, batch, k, seed):
    config = tiny_experiment(f"training.batch={batch}", f"training.k={k}", f"seed={seed}")
    dataset = tiny_data(40)
    one = advance(in_double_precision(Training(config, dataset)), 5)
    for training in on_ranks(ranks, lambda world: of_rank(world, config, dataset, 5)):
        assert difference(weights(training), weights(one)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_experiment(name):
    config = small(name, ["training.batch=8"])
    dataset = stand_in(config.data.set)
    one = advance(in_double_precision(Training(config, dataset)), 5)
    for training in on_ranks(2, lambda world: of_rank(world, config, dataset, 5)):
        assert difference(weights(training), weights(one)) < 1e-12


def test_every_row_is_used_once(tiny_experiment, tiny_data):
    config, dataset = tiny_experiment("training.k=2"), tiny_data(26)
    whole = Training(config, dataset).order[:24].reshape(3, 2, 4)  # three steps of two minibatches of four
    parts = on_ranks(2, lambda world: ParallelTraining(config, dataset, world=world)._order_there.reshape(3, 2, 2))
    assert np.array_equal(np.concatenate(parts, axis=2), whole)


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_state_goes_on_with_another_number_of_ranks(ranks, tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(*BATCH_NORM), tiny_data(26)
    one = advance(in_double_precision(Training(config, dataset)), STEPS)
    states = on_ranks(2, lambda world: of_rank(world, config, dataset, 8).state())

    def part(world):
        training = in_double_precision(ParallelTraining(config, dataset, world=world))
        if world.rank == 0:
            training.load_state(*states[0])
        training.synchronize()
        return advance(training, STEPS)

    for training in on_ranks(ranks, part):
        assert difference(weights(training), weights(one)) < 1e-12
        assert training.metrics()["value"] == pytest.approx(one.metrics()["value"], rel=1e-10)


@pytest.mark.parametrize("stop", [1, 6, 8])
def test_a_resumed_run_has_the_same_bits(stop, tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(), tiny_data(26)

    def straight(world):
        return advance(ParallelTraining(config, dataset, world=world), STEPS)

    def stopped(world):
        state = advance(ParallelTraining(config, dataset, world=world), stop).state()
        again = ParallelTraining(config, dataset, world=world)
        if world.rank == 0:
            again.load_state(*state)
        again.synchronize()
        return advance(again, STEPS)

    for one, other in zip(on_ranks(2, straight), on_ranks(2, stopped), strict=True):
        (arrays, plain), (found, others) = one.state(), other.state()
        assert others == plain
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
        assert other.metrics() == one.metrics()


def test_a_rank_that_sees_nan_is_named_on_all_ranks(tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(), tiny_data(26)

    def part(world):
        training = advance(ParallelTraining(config, dataset, world=world), 2)
        if world.rank == 1:
            forward = type(training.game.discriminator).forward
            training.game.discriminator.forward = lambda x: forward(training.game.discriminator, x) * np.float32(np.nan)
        with pytest.raises(AnomalyError, match=r"^rank 1: step 3, epoch 1: the discriminator's loss is nan"):
            training.step()
        return True

    assert on_ranks(3, part) == [True] * 3


def test_a_rank_whose_gradient_is_nan_is_named(tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(), tiny_data(26)

    def part(world):
        training = advance(ParallelTraining(config, dataset, world=world), 2)
        if world.rank == 0:
            losses = training.game.losses
            training.game.losses = losses._replace(generator=lambda fake: losses.generator(NanSlope()(fake)))
        with pytest.raises(AnomalyError, match=r"^rank 0: step 3, epoch 1: the gradient"):
            training.step()
        return True

    assert on_ranks(2, part) == [True] * 2


def test_all_ranks_stop_after_the_step_in_which_one_is_asked(tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(), tiny_data(26)

    def part(world):
        training = ParallelTraining(config, dataset, world=world)
        training.asked = lambda: world.rank == 1 and training.steps == 3
        while not training.stopping:
            advance(training, training.steps + 1)
        return training.steps

    assert on_ranks(3, part) == [4, 4, 4]


def test_weights_that_differ_are_refused_at_the_end_of_the_epoch(tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(), tiny_data(26)

    def part(world):
        training = advance(ParallelTraining(config, dataset, world=world), 2)
        if world.rank == 1:
            training.game.generator.parameters()[1].data[0] += 1
        advance(training, 5)
        with pytest.raises(ParallelError, match=r"step 6, epoch 1: the generator's .* rank 0 and on rank 1"):
            training.step()
        return True

    assert on_ranks(2, part) == [True] * 2


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], r"training\.batch = 4 .* 5 ranks"),
        (["training.packing=2"], r"training\.packing"),
        (['training.penalty={ kind = "dragan" }'], "dragan"),
    ],
)
def test_what_ranks_cannot_share_is_refused(overrides, words, tiny_experiment, tiny_data):
    ranks = 2 if overrides else 5
    with pytest.raises(ConfigError, match=words):
        on_ranks(ranks, lambda world: ParallelTraining(tiny_experiment(*overrides), tiny_data(26), world=world))


def test_nothing_is_captured_or_replayed(tiny_experiment, tiny_data):
    [training] = on_ranks(1, lambda world: ParallelTraining(tiny_experiment(), tiny_data(26), world=world))
    training.capture = training.replay = True
    assert not training.capture
    assert not training.replay


@pytest.mark.slow
@pytest.mark.skipif(not cuda_on_cpu.COMPILER, reason="needs a C++ compiler to run the source of the kernels")
@pytest.mark.parametrize("game", [[], BATCH_NORM], ids=["plain", "batch normalization"])
def test_ranks_that_share_a_gpu(game, tiny_experiment, tiny_data):
    config, dataset = tiny_experiment(*game), tiny_data(26)
    one = advance(Training(config, dataset), 7)
    with strict_cupy():
        trainings = on_ranks(2, lambda world: advance(ParallelTraining(config, dataset, "cuda", world=world), 7))
        for training in trainings:
            assert difference(weights(training), weights(one)) < 2e-3
            assert training.metrics()["value"] == pytest.approx(one.metrics()["value"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_processes_under_mpi_reach_the_weights_of_one(ranks):
    pytest.importorskip("mpi4py")
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = str(mpiexec) if mpiexec.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("needs mpiexec")
    names = ["digits-conditional", "gaussian"]
    done = subprocess.run(
        [launcher, "-n", str(ranks), sys.executable, "-m", "tools.compare_ranks", "--steps=20", *names],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[:2] for row in rows] == [[name, str(ranks)] for name in names]
    assert all(float(row[2]) < 1e-12 for row in rows)
