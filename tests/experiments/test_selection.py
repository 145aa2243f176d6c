"""Validation during training: its score, the best checkpoint, and no influence on the training."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tinygan import evaluation, gan, nn
from tinygan.backend import Streams
from tinygan.experiments.protocol import generator_of
from tinygan.experiments.running import Limits, reopen, run, start
from tinygan.experiments.selection import IMAGES, ValidationScore, score_generator, score_samples

pytestmark = pytest.mark.slow

EVERY = ("training.epochs=6", "output.validate_every=2", "output.validation_samples=50")


def test_the_score_is_of_the_first_1000_images():
    generator, noise = nn.Linear(2, 3), gan.Noise("gaussian", 2)
    images = np.random.default_rng(0).random((IMAGES + 50, 3))
    found = score_generator(generator, noise, images, seed=4, samples=300)
    samples = gan.sample(generator, 300, noise, Streams(4)["validation"])
    sigma = evaluation.select_sigma(samples, images[:IMAGES])
    values = evaluation.parzen_log_likelihood(samples, images[:IMAGES], sigma)
    assert found.sigma == sigma
    assert found.log_likelihood == pytest.approx(values.mean(), abs=1e-9)
    assert found.standard_error == pytest.approx(evaluation.standard_error(values), abs=1e-9)
    assert found == score_generator(generator, noise, images, seed=4, samples=300)
    assert found == score_samples(samples, images)
    assert found != score_generator(generator, noise, images, seed=5, samples=300)
    assert generator.training


def test_validation_happens_as_often_as_configured(tiny_experiment, tiny_data, tmp_path):
    folder, training = start(tiny_experiment(*EVERY), tiny_data(), tmp_path / "run")
    run(folder, training)
    records = folder.metrics()
    judged = [record["epoch"] for record in records if "validation_log_likelihood" in record]
    assert judged == [2, 4, 6]
    game, config = training.game, training.config
    last = score_generator(game.generator, game.noise, tiny_data().validation.images, config.seed, 50)
    assert {name: records[-1][name] for name in last.metrics()} == last.metrics()


def test_validation_uses_the_averaged_weights(tiny_experiment, tiny_data, tmp_path):
    folder, training = start(tiny_experiment(*EVERY, "generator.average_decay=0.9"), tiny_data(), tmp_path / "run")
    run(folder, training)
    generator = generator_of(folder.latest_checkpoint(), training.config)
    average = dict(zip(generator.state_dict(), training.average.arrays(), strict=True))
    assert all(np.array_equal(array, average[name]) for name, array in generator.state_dict().items())
    images, seed = tiny_data().validation.images, training.config.seed
    found = score_generator(generator, training.game.noise, images, seed, 50)
    assert folder.metrics()[-1]["validation_log_likelihood"] == found.log_likelihood
    assert found != score_generator(training.game.generator, training.game.noise, images, seed, 50)


def test_validation_does_not_change_the_training(tiny_experiment, tiny_data, tmp_path):
    plain, training = start(tiny_experiment("training.epochs=6"), tiny_data(), tmp_path / "plain")
    run(plain, training)
    judged, again = start(tiny_experiment(*EVERY), tiny_data(), tmp_path / "judged")
    run(judged, again)
    for name, array in training.state()[0].items():
        np.testing.assert_array_equal(array, again.state()[0][name])
    kept = [{k: v for k, v in record.items() if not k.startswith("validation")} for record in judged.metrics()]
    assert kept == plain.metrics()


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that sets the log-likelihoods of the next validations."""

    def script(*values: float) -> None:
        left = list(values)
        sigma = evaluation.SIGMAS[0]
        name = "tinygan.experiments.running.score_generator"
        monkeypatch.setattr(name, lambda *_: ValidationScore(left.pop(0), 0.5, sigma))

    return script


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "best"),
    [((1.0, 2.0, 3.0), 6), ((3.0, 2.0, 1.0), 2), ((1.0, 3.0, 2.0), 4), ((2.0, 2.0, 2.0), 2), ((-9.0, -8.0, -8.5), 4)],
)
def test_the_best_checkpoint_is_of_the_best_validation(tiny_experiment, tiny_data, tmp_path, scripted, values, best):
    scripted(*values)
    folder, training = start(tiny_experiment(*EVERY), tiny_data(), tmp_path / "run")
    run(folder, training)
    checkpoint = folder.best_checkpoint()
    assert checkpoint is not None
    assert checkpoint.state["epoch"] == best
    assert folder.latest_checkpoint().state["epoch"] == 6


def test_the_best_score_survives_a_stop(tiny_experiment, tiny_data, tmp_path, scripted):
    scripted(1.0, 3.0, 2.0)
    folder, training = start(tiny_experiment(*EVERY), tiny_data(), tmp_path / "run")
    run(folder, training, Limits(steps=5 * training.steps_per_epoch - 1))
    assert folder.best_checkpoint().state["epoch"] == 4
    folder, training = reopen(tmp_path / "run", lambda config: tiny_data())
    assert training.best_validation == 3.0
    run(folder, training)
    assert folder.best_checkpoint().state["epoch"] == 4
    assert [record.get("validation_log_likelihood") for record in folder.metrics()][1::2] == [1.0, 3.0, 2.0]


def test_a_best_epoch_between_checkpoints_is_saved(tiny_experiment, tiny_data, tmp_path, scripted):
    scripted(1.0, 3.0, 2.0)
    config = tiny_experiment(*EVERY, "output.checkpoint_every=100")
    folder, training = start(config, tiny_data(), tmp_path / "run")
    run(folder, training)
    assert folder.best_checkpoint().state["epoch"] == 4


def test_nan_is_never_the_best(tiny_experiment, tiny_data, tmp_path, scripted):
    scripted(float("nan"), 1.0, float("nan"))
    folder, training = start(tiny_experiment(*EVERY), tiny_data(), tmp_path / "run")
    run(folder, training)
    assert folder.best_checkpoint().state["epoch"] == 4


def test_a_run_without_validation_keeps_no_best(tiny_experiment, tiny_data, tmp_path):
    folder, training = start(tiny_experiment(), tiny_data(), tmp_path / "run")
    run(folder, training)
    assert folder.best_checkpoint() is None
    assert "validation" not in json.dumps(folder.metrics())
