"""A trained generator: what a run and a training in memory give, and the numbers of its samples."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tinygan import data, gan
from tinygan.backend import Stream
from tinygan.config.experiment import load_experiment
from tinygan.errors import ArgumentError, CheckpointError
from tinygan.experiments.running import Limits, run, start
from tinygan.experiments.trained import COUNT, Trained, load_trained, share, train_in_memory
from tinygan.experiments.training import Training


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_experiment("digits", ["training.epochs=2"]), data.load("digits")


@pytest.fixture(scope="module")
def subject(digits: Any) -> Trained:
    return train_in_memory(*digits)


def make_run(tmp_path: Any, config: Any, dataset: Any, steps: int | None = None) -> Any:
    folder, training = start(config, dataset, tmp_path / "run")
    run(folder, training, Limits(steps))
    return folder


def draws(subject: Trained) -> Any:
    return subject.draw(5, Stream(0, "draws"))


@pytest.mark.parametrize("average", [[], ["generator.average_decay=0.9"]])
def test_a_run_and_a_training_in_memory_agree(tmp_path: Any, average: list[str]) -> None:
    config, dataset = load_experiment("digits", ["training.epochs=1", *average]), data.load("digits")
    folder = make_run(tmp_path, config, dataset)
    loaded, trained = load_trained(folder, config, dataset), train_in_memory(config, dataset)
    np.testing.assert_array_equal(draws(loaded), draws(trained))
    assert (loaded.steps, loaded.epochs, loaded.name) == (trained.steps, 1, "run")
    assert loaded.seconds is not None
    assert loaded.seconds > 0


def test_a_part_of_an_epoch_has_no_recorded_seconds(tmp_path: Any, digits: Any) -> None:
    loaded = load_trained(make_run(tmp_path, *digits, steps=5), *digits)
    assert (loaded.steps, loaded.epochs, loaded.seconds) == (5, 5 / 21, None)
    assert train_in_memory(*digits, steps=5).steps == 5


def test_the_untrained_generator_is_that_of_the_start(subject: Trained) -> None:
    training = Training(subject.config, subject.dataset)
    z = subject.noise.draw(3, Stream(0, "z"))
    np.testing.assert_array_equal(gan.push(subject.untrained(), z), gan.push(training.game.generator, z))
    assert not np.array_equal(gan.push(subject.generator, z), gan.push(subject.untrained(), z))


def test_a_line_of_images_is_g_along_a_line_of_z(subject: Trained) -> None:
    ends = subject.noise.draw(4, Stream(0, "ends")).reshape(2, 2, -1)
    images = subject.along(ends, 3)
    assert images.shape == (2, 4, 64)
    np.testing.assert_allclose(images[:, [0, -1]].reshape(4, 64), gan.push(subject.generator, ends.reshape(4, -1)))


def test_the_colours_are_in_the_range_of_the_data(subject: Trained) -> None:
    assert subject.colours(np.zeros((2, 64)))[0, 0, 0].tolist() == [0, 0, 0]
    assert subject.colours(np.ones((2, 64)))[0, 0, 0].tolist() == [255, 255, 255]


def with_samples(subject: Trained, samples: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the numbers of a generator that draws these samples."""
    monkeypatch.setattr(gan, "sample", lambda *_: samples[:COUNT])
    return dataclasses.replace(subject).measured


def test_copies_and_new_data_are_told_apart(subject: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = subject.dataset.train, subject.dataset.validation
    copies = with_samples(subject, train.images, monkeypatch)
    assert copies.nearest_ratio == 0
    assert (copies.classes, copies.classes_of_data) == (10, 10)
    assert copies.class_total_variation is not None
    assert copies.class_total_variation < 0.05
    new = with_samples(subject, validation.images, monkeypatch)
    assert 0.8 < new.nearest_ratio < 1.3
    assert abs(copies.mmd2_after - copies.mmd2_train) < 0.01
    sevens = with_samples(subject, train.images[train.labels == 7], monkeypatch)
    assert sevens.classes == 1
    ones = with_samples(subject, validation.images[validation.labels == 1], monkeypatch)
    assert ones.nearest_ratio < ones.nearest_ratio_within_classes - 0.05  # ones are alike
    assert 0.8 < ones.nearest_ratio_within_classes < 1.3
    assert sevens.mmd2_after > 5 * copies.mmd2_after
    assert "1 of 10 classes" in str(sevens)


def test_the_numbers_of_g_before_and_after(subject: Trained) -> None:
    found = subject.measured
    assert (found.samples, found.test_images, found.epochs, found.steps) == (1000, 200, 2, 42)
    assert found.mmd2_before != found.mmd2_after
    assert found.mmd2_train < found.mmd2_before
    assert found.classifier_accuracy is not None
    assert 0.9 < found.classifier_accuracy < 1


def test_data_of_one_class_have_no_classes(tiny_experiment: Any, tiny_data: Any) -> None:
    dataset = tiny_data()
    two = dataclasses.replace(dataset, test=dataset.validation)
    blurred = dataclasses.replace(two, test=data.Split(two.test.images + 0.01, two.test.labels))
    found = train_in_memory(tiny_experiment(), blurred).measured
    assert (found.classes, found.classifier_accuracy) == (None, None)
    assert "classes" not in str(found)


def test_numbers_without_a_picture_are_refused() -> None:
    with pytest.raises(ArgumentError, match="gaussian: its samples are single numbers, which have no picture"):
        train_in_memory(load_experiment("gaussian"), data.load("gaussian"))


def test_a_run_without_checkpoint_or_on_other_images_is_refused(tmp_path: Any, digits: Any) -> None:
    config, dataset = digits
    folder, _ = start(config, dataset, tmp_path / "new")
    with pytest.raises(CheckpointError, match="there is no checkpoint yet"):
        load_trained(folder, config, dataset)
    other = dataclasses.replace(dataset, train=dataset.test)
    with pytest.raises(CheckpointError, match="trained on other images"):
        load_trained(make_run(tmp_path, *digits, steps=1), config, other)


def test_the_error_of_a_share() -> None:
    found, error = share(np.arange(400) < 100)
    assert found == 0.25
    assert error == pytest.approx((0.25 * 0.75 / 400) ** 0.5, rel=0.01)
    assert share([False] * 10)[1] > 0.05
