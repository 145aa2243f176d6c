"""The protocol of Table 1 for a run: its choices, its numbers and its warnings."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from tinygan import evaluation, gan
from tinygan.backend import Stream
from tinygan.config.experiment import load_experiment
from tinygan.data.dataset import Dataset, Split
from tinygan.errors import CheckpointError
from tinygan.experiments import protocol
from tinygan.experiments.protocol import (
    BEST,
    LAST,
    TrainingScore,
    departures,
    generator_of,
    image_count,
    run_protocol,
    score_training_images,
)
from tinygan.experiments.running import Limits, run, save, start
from tinygan.runs.checkpoint import write_checkpoint


@pytest.fixture
def data(tiny_data):
    """Return the tiny images, with test images unlike the validation images."""
    dataset = tiny_data()
    test = Split(np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4), np.zeros(6, np.uint8))
    return Dataset(dataset.name, dataset.image_shape, dataset.train, dataset.validation, test)


@pytest.fixture
def folder(tiny_experiment, data, tmp_path):
    folder, training = start(tiny_experiment("training.epochs=2"), data, tmp_path / "run")
    run(folder, training)
    return folder


def test_sigma_comes_from_validation_and_the_number_from_test(folder, data):
    found = run_protocol(folder, data, samples=200, seed=3)
    checkpoint = folder.latest_checkpoint()
    config = load_experiment(folder.config_path)
    noise = gan.Noise(config.noise.kind, config.noise.size)
    samples = gan.sample(generator_of(checkpoint, config), 200, noise, Stream(3, "samples"))
    sigma = evaluation.select_sigma(samples, data.validation.images)
    test = evaluation.parzen_log_likelihood(samples, data.test.images, sigma)
    valid = evaluation.parzen_log_likelihood(samples, data.validation.images, sigma)
    assert found.sigma == sigma
    assert found.test_mean == test.mean()
    assert found.test_standard_error == test.std() / math.sqrt(6)
    assert found.valid_mean == valid.mean()
    assert (found.samples, found.seed, found.valid_images, found.test_images) == (200, 3, 2, 6)
    assert (found.checkpoint, found.epoch, found.steps) == (LAST, 2, checkpoint.state["steps"])
    assert json.loads(json.dumps(found.as_dict()))["test_mean"] == found.test_mean


def test_another_seed_draws_other_samples(folder, data):
    a, b, c = (run_protocol(folder, data, samples=50, seed=seed).test_mean for seed in (0, 0, 1))
    assert a == b
    assert a != c


def test_the_best_checkpoint_is_the_default(tiny_experiment, data, tmp_path):
    folder, training = start(tiny_experiment("training.epochs=3"), data, tmp_path / "run")
    run(folder, training, Limits(steps=training.steps_per_epoch))
    with folder.lock():
        save(folder, training, best=True)
    run(folder, training)
    best, last = run_protocol(folder, data, samples=20), run_protocol(folder, data, LAST, samples=20)
    assert (best.checkpoint, best.steps) == (BEST, training.steps_per_epoch)
    assert (last.checkpoint, last.epoch, last.steps) == (LAST, 3, 3 * training.steps_per_epoch)
    assert best.as_dict() == run_protocol(folder, data, BEST, samples=20).as_dict()
    assert not any("checkpoint" in warning for warning in best.warnings)
    assert "the checkpoint is the last one; no validation has chosen it" in last.warnings


def test_averaged_weights_are_warned_of_and_optional(tiny_experiment, data, tmp_path):
    folder, training = start(tiny_experiment("generator.average_decay=0.9"), data, tmp_path / "averaged")
    run(folder, training)
    message = "the samples were drawn with a running mean of the generator's weights; the paper's were not"
    with_mean = run_protocol(folder, data, samples=20)
    assert with_mean.averaged
    assert message in with_mean.warnings
    without = run_protocol(folder, data, samples=20, averaged=False)
    assert not without.averaged
    assert message not in without.warnings
    # the game is the same, so the number equals that of the experiment without a mean
    plain, training = start(tiny_experiment(), data, tmp_path / "plain")
    run(plain, training)
    found = run_protocol(plain, data, samples=20)
    assert not found.averaged
    assert (found.test_mean, found.sigma) == (without.test_mean, without.sigma)
    assert found.test_mean != with_mean.test_mean


def test_training_images_are_scored_as_samples(data):
    found = score_training_images(data, 10)
    images = data.train.images[:10]
    sigma = evaluation.select_sigma(images, data.validation.images)
    values = evaluation.parzen_log_likelihood(images, data.test.images, sigma)
    assert found == TrainingScore(10, sigma, values.mean(), evaluation.standard_error(values))
    assert score_training_images(data).images == len(data.train)


@pytest.mark.parametrize("above", [False, True])
def test_a_score_above_training_images_is_warned_of(folder, data, monkeypatch, above):
    number = run_protocol(folder, data, samples=20).test_mean
    score = TrainingScore(20, 0.2, number - 0.1 if above else number + 0.1, 0.5)
    monkeypatch.setattr(protocol, "score_training_images", lambda dataset, count: score)
    found = run_protocol(folder, data, samples=20, more=True)
    warned = [text for text in found.warnings if "training images in the place of samples" in text]
    assert len(warned) == above
    assert not above or warned[0].startswith(f"the number is above the {score.test_mean:.1f} of training images")


def test_progress_covers_all_images(folder, data):
    seen: list[int] = []
    run_protocol(folder, data, samples=10, progress=seen.append)
    assert sum(seen) == image_count(data) == 2 + 6


def test_a_missing_best_checkpoint_is_refused(folder, data):
    with pytest.raises(CheckpointError, match=r"chosen by validation; set output.validate_every .* last"):
        run_protocol(folder, data, BEST)


def test_a_run_without_a_checkpoint_is_refused(tiny_experiment, data, tmp_path):
    folder, _ = start(tiny_experiment(), data, tmp_path / "run")
    with pytest.raises(CheckpointError, match="there is no checkpoint yet; let the run reach one: tinygan resume"):
        run_protocol(folder, data)


def test_images_of_another_shape_are_refused(folder, tiny_data):
    with pytest.raises(CheckpointError, match=r"samples of shape \(1, 4\), but .* has images of shape \(2, 2\): give"):
        run_protocol(folder, tiny_data(image_shape=(2, 2)))


@pytest.mark.parametrize("classes", [1, 2])
def test_the_other_measures_are_those_of_the_package(folder, data, classes):
    train = Split(data.train.images, (np.arange(len(data.train)) % classes).astype(np.uint8))
    data = Dataset(data.name, data.image_shape, train, data.validation, data.test)
    assert run_protocol(folder, data, samples=30).measures is None
    found = run_protocol(folder, data, samples=30, more=True)
    config = load_experiment(folder.config_path)
    noise = gan.Noise(config.noise.kind, config.noise.size)
    samples = gan.sample(generator_of(folder.latest_checkpoint(), config), 30, noise, Stream(0, "samples"))
    regions = evaluation.precision_recall(samples[:6], data.test.images)
    discrepancy = evaluation.maximum_mean_discrepancy(samples[:6], data.test.images)
    density = evaluation.density_coverage(samples[:6], data.test.images)
    polynomial = evaluation.maximum_mean_discrepancy(samples[:6], data.test.images, kernel="polynomial")
    test = evaluation.two_sample_test(samples[:6], data.test.images)
    expected = {
        "precision": regions.precision,
        "recall": regions.recall,
        "density": density.density,
        "coverage": density.coverage,
        "mmd_squared": discrepancy.squared,
        "mmd_bandwidth": discrepancy.bandwidth,
        "polynomial_mmd_squared": polynomial.squared,
        "two_sample_accuracy": test.accuracy,
        "two_sample_p_value": test.p_value,
        "training_images": dataclasses.asdict(score_training_images(data, 30)),
    }
    if classes > 1:  # class coverage needs two classes
        coverage = evaluation.class_coverage(samples, train.images, train.labels)
        expected |= {
            "classes_covered": coverage.covered,
            "class_counts": coverage.counts.tolist(),
            "class_total_variation": coverage.total_variation,
        }
    assert found.as_dict()["measures"] == expected
    json.dumps(found.as_dict())


# ---------------------------------------------------------------------- departures


def table_1(low: float = 0.0, high: float = 1.0, validation: int = 1000) -> Dataset:
    images = np.full((validation, 2), low, np.float32)
    images[0] = high
    split = Split(images, np.zeros(len(images), np.uint8))
    return Dataset("made up", (1, 2), split, split, split)


SAMPLES = np.full((10_000, 2), 0.5, np.float32)


def test_the_protocol_of_table_1_has_no_departure():
    assert departures(evaluation.SIGMAS[4], BEST, SAMPLES, table_1()) == []


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ((evaluation.SIGMAS[0], BEST, SAMPLES, table_1()), "sigma = 0.1 is the end of the grid: the optimum may lie"),
        ((evaluation.SIGMAS[-1], BEST, SAMPLES, table_1()), "sigma = 1 is the end of the grid"),
        ((0.2, BEST, SAMPLES[:9999], table_1()), "9,999 samples, not 10,000: fewer samples give a lower number"),
        ((0.2, BEST, SAMPLES, table_1(validation=999)), "sigma was chosen on 999 validation images, not 1,000"),
        ((0.2, LAST, SAMPLES, table_1()), "the checkpoint is the last one; no validation has chosen it"),
        ((0.2, BEST, SAMPLES, table_1(low=-1)), r"the data lie in \[-1, 1\], not in \[0, 1\]: nats depend on"),
        ((0.2, BEST, 3 * SAMPLES, table_1()), r"the samples lie in \[1.5, 1.5\], not in \[0, 1\]"),
    ],
)
def test_each_departure_alone(arguments, warning):
    (found,) = departures(*arguments)
    assert re.match(warning, found), found


@pytest.mark.slow
@pytest.mark.parametrize("key", ["image_shape", "epoch", "steps"])
@pytest.mark.parametrize("wrong", [None, "x", [2, 2], -1, 0.5, "missing"])
def test_a_checkpoint_with_wrong_entries_is_refused(folder, data, key, wrong):
    checkpoint = folder.latest_checkpoint()
    state = {name: value for name, value in checkpoint.state.items() if name != key}
    state |= {} if wrong == "missing" else {key: wrong}
    write_checkpoint(checkpoint.path, checkpoint.arrays, state)
    with pytest.raises(CheckpointError, match=f"{key}|samples of shape"):
        run_protocol(folder, data, samples=20)
