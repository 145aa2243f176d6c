"""Copying the generator of an earlier run; both stages of TFD on a file of its format."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from tests.doubles import faces
from tests.doubles.small import shrunk
from tinygan import data
from tinygan.config.experiment import load_experiment
from tinygan.errors import AnomalyError, ConfigError
from tinygan.experiments.pretrained import load_pretrained
from tinygan.experiments.protocol import load_generator, run_protocol
from tinygan.experiments.running import Limits, reopen, run, start
from tinygan.experiments.training import Training
from tinygan.runs.checkpoint import write_checkpoint
from tinygan.runs.run_folder import RunFolder

# The generator of the tiny experiment: 2 inputs, linear 5, ReLU, linear 4, sigmoid.
STACK = (
    "generator.layers=[{type='linear',units=3},{type='relu'},{type='linear',units=2,bias=-2},{type='sigmoid'},"
    "{type='linear',units=5},{type='relu'},{type='linear',units=4},{type='sigmoid'}]"
)


@pytest.fixture
def first(tiny_experiment, tiny_data, tmp_path):
    """Return the folder of a first stage of one epoch."""
    folder, training = start(tiny_experiment("training.epochs=1"), tiny_data(), tmp_path / "first")
    run(folder, training)
    return folder


@pytest.fixture
def second(tiny_experiment, first):
    """Return a function that reads the second stage, with overrides."""
    return lambda *overrides: tiny_experiment(STACK, f"generator.pretrained={first.path}", "seed=4", *overrides)


def learnt(folder):
    return [parameter.data for parameter in load_generator(folder)[0].parameters()]


def test_the_topmost_layers_are_the_earlier_generator(second, first, tiny_data, tmp_path):
    folder, training = start(second(), tiny_data(), tmp_path / "second")
    generator = training.game.generator
    for parameter, expected in zip(generator.parameters()[4:], learnt(first), strict=True):
        np.testing.assert_array_equal(parameter.data, expected)
    assert generator[0].weight.data.any()
    assert set(generator[2].bias.data) == {-2}
    before = [parameter.data.copy() for parameter in generator.parameters()]
    run(folder, training)
    after = generator.parameters()
    assert all((new.data != old).any() for new, old in zip(after, before, strict=True))  # all of it is trained
    for parameter, expected in zip(after, learnt(folder), strict=True):
        np.testing.assert_array_equal(parameter.data, expected)


@pytest.mark.slow
def test_the_record_has_the_absolute_path_of_the_earlier_run(second, first, tiny_data, tmp_path, monkeypatch):
    """The given path is relative to the working directory, or to the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for number, given in enumerate(("first", "./first", "~/first", str(first.path))):
        folder, training = start(second(f"generator.pretrained={given}"), tiny_data(), tmp_path / str(number))
        assert load_experiment(folder.config_path).generator.pretrained == str(first.path)
        assert training.config == load_experiment(folder.config_path)
    monkeypatch.chdir("/")
    folder, _ = start(load_experiment(folder.config_path), tiny_data(), tmp_path / "again")
    again, _ = reopen(tmp_path / "again", lambda config: tiny_data(), overrides=["output.samples=3"])
    assert load_experiment(again.config_path).generator.pretrained == str(first.path)


def test_a_running_mean_starts_with_the_copied_weights(second, tiny_data, tmp_path):
    _, training = start(second("generator.average_decay=0.9"), tiny_data(), tmp_path / "second")
    for parameter, mean in zip(training.game.generator.parameters(), training.average.arrays(), strict=True):
        np.testing.assert_array_equal(parameter.data, mean)


def test_a_copied_generator_without_new_layers(
    tiny_experiment, first, tiny_data, tmp_path
):
    bare = "generator.layers=[{type='linear',units=5},{type='relu'},{type='linear',units=4},{type='sigmoid'}]"
    config = tiny_experiment(bare, f"generator.pretrained={first.path}")
    _, training = start(config, tiny_data(), tmp_path / "second")
    for parameter, expected in zip(training.game.generator.parameters(), learnt(first), strict=True):
        np.testing.assert_array_equal(parameter.data, expected)


@pytest.mark.slow
def test_a_run_with_a_checkpoint_ignores_the_earlier_run(second, first, tiny_data, tmp_path):
    whole, training = start(second(), tiny_data(), tmp_path / "whole")
    run(whole, training)
    folder, training = start(second(), tiny_data(), tmp_path / "stopped")
    run(folder, training, Limits(steps=7))
    first.path.rename(tmp_path / "away")
    folder, training = reopen(folder.path, lambda _: tiny_data())
    run(folder, training)
    assert folder.latest_checkpoint().path.read_bytes() == whole.latest_checkpoint().path.read_bytes()
    assert run_protocol(folder, tiny_data(), samples=20).epoch == 3


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_copies_again(second, tiny_data, tmp_path):
    whole, training = start(second(), tiny_data(), tmp_path / "whole")
    run(whole, training)
    start(second(), tiny_data(), tmp_path / "killed")
    folder, training = reopen(tmp_path / "killed", lambda _: tiny_data())
    run(folder, training)
    assert folder.latest_checkpoint().path.read_bytes() == whole.latest_checkpoint().path.read_bytes()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_search_for_an_anomaly_starts_with_the_copy(second, first, tiny_data, tmp_path):
    checkpoint = first.latest_checkpoint()
    checkpoint.arrays["generator.2.weight"][:] = math.inf
    with first.lock():
        first.save_checkpoint(99, checkpoint.arrays, checkpoint.state)
    folder, training = start(second(), tiny_data(), tmp_path / "second")
    with pytest.raises(AnomalyError) as caught:
        run(folder, training)
    assert "no operation produced it" not in str(caught.value)


def test_without_pretrained_nothing_is_copied(tiny_experiment, tiny_data, tmp_path):
    _, one = start(tiny_experiment(), tiny_data(), tmp_path / "one")
    assert one.config.generator.pretrained is None
    assert one.game.generator[0].weight.data.any()


# ---------------------------------------------------------------------- refusals


def refusal(config, tiny_data, tmp_path):
    with pytest.raises(ConfigError) as caught:
        start(config, tiny_data(), tmp_path / "second")
    assert not (tmp_path / "second").exists()
    return str(caught.value)


def test_a_missing_earlier_run_is_refused(tiny_experiment, tiny_data, tmp_path):
    missing = tmp_path / "nowhere"
    said = refusal(tiny_experiment(STACK, f"generator.pretrained={missing}"), tiny_data, tmp_path)
    assert said.startswith(
        f"tiny: generator.pretrained: expected the folder of an earlier run: {missing}: expected a run folder, found "
        "no folder of this name; "
    )
    assert said.endswith("train that run first, or name another: --set generator.pretrained=RUN")


def test_an_earlier_run_without_a_checkpoint_is_refused(tiny_experiment, tiny_data, tmp_path):
    start(tiny_experiment(), tiny_data(), tmp_path / "empty")
    said = refusal(tiny_experiment(STACK, f"generator.pretrained={tmp_path / 'empty'}"), tiny_data, tmp_path)
    assert said.endswith(f"the run has no checkpoint yet; let it reach its end: tinygan resume {tmp_path / 'empty'}")


def test_a_damaged_earlier_run_is_refused(second, first, tiny_data, tmp_path):
    path = first.latest_checkpoint().path
    path.write_bytes(path.read_bytes()[:-1])
    said = refusal(second(), tiny_data, tmp_path)
    assert said.startswith("tiny: generator.pretrained: expected the folder of an earlier run: ")
    assert "damaged" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "generator.layers=[{type='linear',units=4},{type='sigmoid'}]",
            "its generator has 4 layers, which cannot be the topmost of 2: list them all in generator.layers, and the "
            "new ones before them",
        ),
        (
            "generator.layers.2.units=3",
            "its generator takes 2 inputs, but below generator.layers[4], where it begins, there are rows of 3 numbers",
        ),
        (
            "generator.layers.4.units=6",
            "its generator has { type = linear, units = 5 } in the place of generator.layers[4], which is "
            "{ type = linear, units = 6 }: make them alike",
        ),
        (
            "generator.layers.5.type=tanh",
            "its generator has { type = relu } in the place of generator.layers[5], which is { type = tanh }: make "
            "them alike",
        ),
        ("generator.layers.4.weight_range=0.1", "generator.layers[4] starts as that run ended: remove its weight_ra"),
        ("generator.layers.6.bias=marginal", "generator.layers[6] starts as that run ended: remove its bias"),
        ("generator.layers.6.nonzero_weights=1", "generator.layers[6] starts as that run ended: remove its nonzero_"),
    ],
)
def test_an_earlier_generator_that_does_not_fit_is_refused(second, first, tiny_data, tmp_path, override, message):
    said = refusal(second(override), tiny_data, tmp_path)
    assert said.startswith(f"tiny: generator.pretrained: {first.path}: {message}")


# ---------------------------------------------------------------------- TFD


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Return the run folders of both stages, narrow and with a few steps each."""
    monkeypatch.chdir(tmp_path)
    faces.write(tmp_path, faces.contents(80))
    few = ["training.epochs=2", "training.batch=10", "output.samples=4"]
    folders = {}
    for name in ("tfd", "tfd-finetune"):
        folder, training = start(shrunk(name, few), data.load("tfd", tmp_path, fold=0), tmp_path / "runs" / name)
        run(folder, training)
        folders[name] = folder
    return folders


@pytest.mark.slow
def test_both_stages_train_on_the_images_without_labels(stages, tmp_path):
    for folder in stages.values():
        metrics = folder.metrics()
        assert [record["steps"] for record in metrics] == [4, 8]
        assert all(math.isfinite(record["generator_loss"]) for record in metrics)
        generator, config, shape = load_generator(RunFolder.open(folder.path))
        assert shape == (48, 48)
        for name, array in generator.state_dict().items():
            if name.endswith("weight"):  # every unit, in both stages
                assert np.linalg.norm(array, axis=0).max() <= 1.9365 * (1 + 1e-6)
        assert config.data.fold == 0
    assert len(list(load_generator(stages["tfd-finetune"])[0])) == 10


def test_the_record_names_the_device_and_the_folder_of_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faces.write(tmp_path, faces.contents(80))
    dataset = data.load("tfd", tmp_path, fold=0)
    for given, expected in ((".", str(tmp_path)), (None, None)):
        folder, _ = start(shrunk("tfd", ["training.batch=10"]), dataset, tmp_path / f"run {given}", data_folder=given)
        assert folder.environment()["device"] == "cpu"
        assert folder.environment().get("data_folder") == expected
    folder, _ = start(load_experiment("digits"), data.load("digits"), tmp_path / "digits", data_folder=".")
    assert "data_folder" not in folder.environment()  # the digits need no files


@pytest.mark.slow
def test_one_run_is_evaluated_on_every_fold(stages, tmp_path):
    last = stages["tfd-finetune"]
    found = [run_protocol(last, data.load("tfd", tmp_path, fold=fold), samples=50) for fold in range(5)]
    assert [answer.fold for answer in found] == [0, 1, 2, 3, 4]
    assert [(answer.valid_images, answer.test_images) for answer in found] == [(4, 8)] * 5
    assert len({answer.test_mean for answer in found}) == 5
    for answer in found:  # with folds, these belong to the protocol
        assert not any("checkpoint" in warning or "validation" in warning for warning in answer.warnings)


def test_a_wrong_earlier_checkpoint_is_refused_before_copying(second, first, tiny_data, tmp_path):
    checkpoint = first.latest_checkpoint()
    arrays = {**checkpoint.arrays, "generator.0.weight": np.zeros((9, 9), np.float32)}
    write_checkpoint(checkpoint.path, arrays, checkpoint.state)
    training = Training(second(), tiny_data())
    before = training.game.generator.state_dict()
    with pytest.raises(ConfigError, match=r"generator\.pretrained: .*0\.weight has shape \(9, 9\)"):
        load_pretrained(training)
    after = training.game.generator.state_dict()
    assert all(np.array_equal(after[name], array) for name, array in before.items())


@pytest.mark.parametrize("kind", ["/dev/zero", "fifo", "file", "folder of a fifo"])
def test_a_pretrained_path_that_is_not_a_run_is_not_read(tiny_experiment, tiny_data, tmp_path, kind):
    path = tmp_path / "earlier"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "file":
        path.touch()
    elif kind == "/dev/zero":
        path.symlink_to(kind)
    else:
        path.mkdir()
        (path / "environment.json").write_text("{}")
        os.mkfifo(path / "config.toml")
    with pytest.raises(ConfigError, match=r"generator\.pretrained: expected the folder of an earlier run"):
        start(tiny_experiment(f"generator.pretrained={path}"), tiny_data(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
