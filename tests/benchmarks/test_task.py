from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.task import Task, default_threads, make_task
from benchmarks.tinygan_step import TinyganStep


def test_a_task_survives_the_disk(tiny: str, tmp_path: Path) -> None:
    task = make_task(tiny, "simultaneous", threads=1)
    task.save(tmp_path)
    again = Task.load(tmp_path)
    assert again.config == task.config
    assert again.settings() == task.settings()
    np.testing.assert_array_equal(again.images, task.images)
    assert again.weights.keys() == task.weights.keys()
    for name, array in task.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)
        assert again.weights[name].dtype == np.float32


def test_the_game_starts_from_the_weights_of_the_task(tiny: str) -> None:
    task = make_task(tiny)
    for array in task.weights.values():
        array += 0.25
    game = task.build_game()
    built = {f"generator.{name}": array for name, array in game.generator.state_dict().items()}
    built |= {f"discriminator.{name}": array for name, array in game.discriminator.state_dict().items()}
    assert built.keys() == task.weights.keys()
    for name, array in built.items():
        np.testing.assert_array_equal(array, task.weights[name])


def test_without_pooch_images_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert make_task("mnist", overrides=["training.batch=2"]).data == "random images: no data set needed"


def test_the_option_decides_the_schedule() -> None:
    printed = make_task("mnist", use_data=False).build_game()
    assert (printed.schedule, printed.shared_noise, printed.discriminator_loss_scale) == ("alternating", False, 1.0)
    released = make_task("mnist", "simultaneous", use_data=False).build_game()
    assert (released.schedule, released.shared_noise, released.discriminator_loss_scale) == ("simultaneous", True, 0.5)


def test_without_data_the_images_are_random_and_it_says_so(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    task = make_task("mnist")
    assert task.data == "random images: no data set needed"
    assert task.images.shape == (20 * 100, 784)
    assert task.images.dtype == np.float32
    assert 0 <= task.images.min() < task.images.max() <= 1


def test_the_minibatches_are_all_the_images() -> None:
    task = make_task("mnist", overrides=["training.k=3", "training.batch=7"], use_data=False)
    assert {len(batch) for batch in task.batches()} == {21}
    np.testing.assert_array_equal(np.concatenate(task.batches()), task.images)
    large = make_task("mnist", overrides=["training.batch=10000"], use_data=False)
    assert [len(batch) for batch in large.batches()] == [10000]


def test_threads(monkeypatch: Any, tiny: str) -> None:
    monkeypatch.setattr("benchmarks.task.default_threads", lambda: 5)
    assert make_task(tiny).threads == 1  # the experiment says so
    assert make_task(tiny, threads=3).config.training.threads == 3
    assert make_task("mnist", use_data=False).threads == 5
    assert default_threads() >= 1


def test_given_noise_makes_a_game_that_repeats(tiny: str) -> None:
    task = make_task(tiny)
    noise = np.random.default_rng(0).random((3, 2, 6, 3), np.float32)
    contestant = TinyganStep(task)
    first = contestant.play(noise)
    assert first == TinyganStep(task).play(noise)
    assert first != TinyganStep(task).play(noise[::-1])
    assert len(first["losses"]) == 3
    assert contestant.game.discriminator.training  # afterwards it plays on, with dropout and noise of its own
    assert contestant.game.noise.size == 3
    contestant.iterate()


def test_given_noise_is_played_without_dropout(tiny: str) -> None:
    noise = np.random.default_rng(0).random((3, 2, 6, 3), np.float32)
    without = make_task(tiny, overrides=["discriminator.layers.0.p=0.0", "discriminator.layers.2.p=0.0"])
    assert TinyganStep(make_task(tiny)).play(noise) == TinyganStep(without).play(noise)


@pytest.mark.parametrize("k", [1, 3])
def test_every_update_gets_noise_of_its_own(tiny: str, k: int) -> None:
    """Zeros for one of the players change its own loss."""
    task = make_task(tiny, overrides=[f"training.k={k}"])
    noise = np.random.default_rng(0).random((1, k + 1, 6, 3), np.float32)
    [(d_loss, g_loss)] = TinyganStep(task).play(noise)["losses"]
    for update in range(k + 1):
        other = noise.copy()
        other[0, update] = 0
        [(other_d, other_g)] = TinyganStep(task).play(other)["losses"]
        assert (other_d == d_loss) == (update == k)
        assert other_g != g_loss


def test_a_conditional_task_has_the_labels_of_its_images(tmp_path: Path) -> None:
    for use_data in (True, False):
        task = make_task("digits-conditional", overrides=["training.batch=20"], use_data=use_data)
        rows = np.concatenate(task.conditions())
        assert rows.shape == (len(task.images), 10)
        np.testing.assert_array_equal(rows.argmax(axis=1), task.labels)
        task.save(tmp_path)
        np.testing.assert_array_equal(Task.load(tmp_path).labels, task.labels)
    assert make_task("digits").conditions() == [None] * 20


@pytest.mark.parametrize("experiment", ["digits", "gaussian", "digits-conditional", "dcgan-digits"])
def test_tinygan_plays_every_kind_of_game(experiment: str) -> None:
    task = make_task(experiment, overrides=["training.batch=12"])
    contestant = TinyganStep(task)
    rates = contestant.game.generator_optimizer.lr
    played = contestant.play(task.noise())
    assert all(norm > 0 for norm in played["moved"].values())
    assert played["gradients"].keys() == played["moved"].keys()
    assert played == TinyganStep(task).play(task.noise())
    if "gaussian" not in experiment:  # whose rate follows a schedule
        assert contestant.game.generator_optimizer.lr == rates
