"""Conditional experiments: the labels travel with the images, from the file to the samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import cuda_on_cpu
from tests.doubles.cublas import Cublas
from tests.doubles.installed import strict_cupy
from tinygan import gan
from tinygan.backend import Stream, graph
from tinygan.config.decisive import changes, decisive_toml
from tinygan.config.experiment import parse_experiment, to_toml
from tinygan.data import Dataset, Split
from tinygan.diagnosis import dataset_measures, game_measures
from tinygan.errors import ArgumentError, CheckpointError, ConfigError, RunError
from tinygan.experiments.build import build_discriminator, build_generator, least_memory
from tinygan.experiments.labels import columns_for, in_proportion, in_turn
from tinygan.experiments.protocol import load_generator, run_protocol
from tinygan.experiments.running import Limits, reopen, run, start
from tinygan.experiments.training import Training
from tinygan.runs.run_folder import RunFolder

CONDITION = "training.classes=3"


@pytest.fixture(scope="session")
def labelled(tiny_data):
    """Return a function that makes the tiny data set with labels, by default 0, 1, 2 in turn."""

    def make(labels=(0, 1, 2), count=24):
        data = tiny_data(count)
        parts = (data.train.images, data.train.images[:8], data.train.images[8:16])
        splits = [Split(images, np.resize(np.array(labels, np.uint8), len(images))) for images in parts]
        return Dataset("digits", data.image_shape, *splits)

    return make


@given(st.integers(2, 12), st.integers(1, 60))
def test_labels_in_turn_make_columns_of_one_class(classes, count):
    columns = columns_for(classes, count)
    assert 1 <= columns <= count
    labels = in_turn(range(classes), count)
    assert all(len(set(labels[column::columns].tolist())) == 1 for column in range(columns))


@given(st.integers(0, 100), st.integers(1, 90))
def test_labels_in_proportion_are_those_of_the_data(tiny_experiment, seed, count):
    data = np.array([0] * 5 + [1] * 3 + [2] * 2, np.uint8)
    found = in_proportion(tiny_experiment(CONDITION), data, count, seed)
    assert np.array_equal(found, in_proportion(tiny_experiment(CONDITION), data, count, seed))
    assert abs(np.bincount(found, minlength=3) - count * np.array([0.5, 0.3, 0.2])).max() <= 5
    if count % 10 == 0:
        assert np.bincount(found, minlength=3).tolist() == [count // 2, 3 * count // 10, count // 5]
    assert in_proportion(tiny_experiment(), data, count, seed) is None


@pytest.mark.parametrize("packing", [1, 2])
def test_both_networks_are_wider_by_the_classes(tiny_experiment, packing):
    plain, config = (tiny_experiment(f"training.packing={packing}", *more) for more in ((), (CONDITION,)))
    generator, discriminator = (build(config, 4, Stream(0, "w")) for build in (build_generator, build_discriminator))
    assert isinstance(generator, gan.Conditional)
    assert generator.net[0].in_features == config.generator_inputs == 2 + 3
    assert isinstance(discriminator, gan.Packed if packing > 1 else gan.Conditional)
    assert config.discriminator_inputs(4) == packing * (4 + 3)
    assert discriminator.parameters()[0].shape == (packing * 7, 6)
    more = 3 * 5 * 3 + packing * 3 * 6 * 4  # weights; SGD with momentum has 3 numbers for each, Adam 4
    assert least_memory(config, 4) - least_memory(plain, 4) == 4 * more
    assert parse_experiment(to_toml(config), "config.toml") == config
    assert changes(decisive_toml(plain), config) == ["training.classes was absent and is now 3"]


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ([0], 3, "has no labels|it has no labels: remove training.classes"),
        ([0, 1, 2], 2, "set it to 3"),
        ([0, 1, 2], 4, "set it to 3"),
        ([0, 2], 3, "without a gap"),
        ([1, 2, 3], 3, "without a gap"),
        ([0, 1, 255], 3, "without a gap"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tiny_experiment, labelled, labels, classes, said):
    with pytest.raises(ConfigError, match=said) as error:
        Training(tiny_experiment(f"training.classes={classes}"), labelled(labels))
    assert f"tiny: training.classes = {classes}" in str(error.value)


@pytest.mark.parametrize("value", ["1", "256", "true", "2.5", "'labels'"])
def test_a_number_of_classes_is_an_integer_from_two(tiny_experiment, value):
    with pytest.raises(ConfigError, match=r"training.classes: expected an integer (of at least 2|from 2 to 255)"):
        tiny_experiment(f"training.classes={value}")


def test_each_step_gets_the_labels_of_its_images(tiny_experiment, labelled, monkeypatch):
    training = Training(tiny_experiment(CONDITION, "training.k=2"), labelled())
    step, seen = training.game.step, []

    def watched(x, y):
        seen.append((x.numpy(), y.numpy()))
        return step(x, y)

    monkeypatch.setattr(training.game, "step", watched)
    for _ in range(training.steps_per_epoch):
        training.step()
    for x, y in seen:
        rows = (x[:, 0] * 50).round().astype(int) - 1  # the grey of image i is (i + 1) / 50
        assert y.argmax(axis=1).tolist() == [row % 3 for row in rows]
        assert y.sum() == len(x)


OPTIONS = [
    (),
    ("training.packing=2", "training.penalty={kind='r1'}"),
    ("training.objective=wasserstein", "training.penalty={kind='gradient'}"),
    ("training.k=2", "training.schedule=simultaneous", "training.shared_noise=true", "generator.average_decay=0.9"),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_stopped_run_ends_in_the_same_bytes(tiny_experiment, labelled, tmp_path, options):
    config = tiny_experiment(CONDITION, "output.validate_every=1", "output.validation_samples=20", *options)
    folders = []
    for name, steps in (("whole", None), ("stopped", 5)):
        folder, training = start(config, labelled(), tmp_path / name)
        run(folder, training, Limits(steps=steps))
        if steps:
            folder, training = reopen(folder.path, lambda _: labelled())
            run(folder, training)
        folders.append(folder.path)
    files = ["metrics.jsonl", "diagnosis.jsonl", "samples/epoch-000003.png", "samples/data.png"]
    files += [f"checkpoints/{path.name}" for path in (folders[0] / "checkpoints").glob("*.safetensors")][-1:]
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file
    record = json.loads((folders[0] / "diagnosis.jsonl").read_text().splitlines()[-1])
    assert record["measures"]["rows"] > 0  # a failure would have been a warning


def test_other_labels_are_another_run(tiny_experiment, labelled, tmp_path):
    folder, training = start(tiny_experiment(CONDITION), labelled(), tmp_path / "run")
    run(folder, training, Limits(steps=2))
    with pytest.raises(CheckpointError, match="other labels of the train images"):
        reopen(folder.path, lambda _: labelled((0, 2, 1)))
    with pytest.raises(RunError, match=r"training\.classes was 3 and is now 4"):
        reopen(folder.path, lambda _: labelled(), overrides=["training.classes=4"])


def test_the_protocol_draws_with_the_labels_of_the_data(tiny_experiment, labelled, tmp_path):
    folder, training = start(tiny_experiment(CONDITION, "training.epochs=1"), labelled(), tmp_path / "run")
    run(folder, training)
    found = run_protocol(folder, labelled(), samples=30, more=True)
    assert 0 <= found.as_dict()["measures"]["class_agreement"] <= 1
    generator, config, _ = load_generator(folder)
    y = in_proportion(config, labelled().train.labels, 30, 0)
    drawn = gan.sample(generator, 30, gan.Noise("uniform", 2), Stream(0, "samples"), y)
    assert found.measures is not None
    nearest = abs(drawn[:, None] - labelled().train.images).sum(axis=2).argmin(axis=1)
    right = (labelled().train.labels[nearest] == y).mean()
    assert found.measures.coverage.agreement == pytest.approx(right, abs=0.1)


def test_a_pretrained_generator_reads_the_same_labels(tiny_experiment, labelled, tmp_path):
    earlier = {}
    for name, options in (("with", (CONDITION,)), ("without", ())):
        folder, training = start(tiny_experiment(*options, "training.epochs=1"), labelled(), tmp_path / name)
        run(folder, training)
        earlier[name] = f"generator.pretrained={folder.path}"
    plain = "generator.layers.2.bias=0"
    _, training = start(tiny_experiment(CONDITION, plain, earlier["with"]), labelled(), tmp_path / "second")
    loaded, _, _ = load_generator(RunFolder.open(tmp_path / "with"))
    for one, other in zip(training.game.generator.parameters(), loaded.parameters(), strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
    refused = ((CONDITION, earlier["without"]), "reads no labels"), ((earlier["with"],), "labels of 3 classes")
    for options, said in refused:
        with pytest.raises(ConfigError, match=said):
            start(tiny_experiment(plain, *options), labelled(), tmp_path / "third")
    # new layers that read the labels, below a generator that reads none
    layers = ["generator.layers=[{type='linear', units=2}, {type='linear', units=5}, {type='relu'}, "]
    layers[0] += "{type='linear', units=4}, {type='sigmoid'}]"
    _, training = start(tiny_experiment(CONDITION, *layers, earlier["without"]), labelled(), tmp_path / "fourth")
    loaded, _, _ = load_generator(RunFolder.open(tmp_path / "without"))
    assert np.array_equal(training.game.generator.net[1].weight.numpy(), loaded.parameters()[0].numpy())


def test_a_sheet_of_data_has_the_classes_of_the_samples(tiny_experiment, labelled, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("tinygan.experiments.drawing.save_sheet", lambda *sheet: drawn.append(sheet))
    config = tiny_experiment(CONDITION, "output.samples=12", "training.epochs=1")
    data = labelled((0, 0, 0, 0, 0, 1, 2))
    run(*start(config, data, tmp_path / "run"))
    (_, images, _, _, columns) = drawn[1]  # after the samples before training
    rows = (images[:, 0] * 50).round().astype(int) - 1
    assert columns == 3
    assert data.train.labels[rows].tolist() == [0, 1, 2] * 4


def test_measures_of_a_conditional_game_need_its_labels(tiny_experiment, labelled):
    training, data = Training(tiny_experiment(CONDITION), labelled()), labelled()
    images, labels = data.train.images, data.train.labels
    with pytest.raises(ArgumentError, match=r"game_measures: the generator is called with no labels"):
        game_measures(training.game, images, images)
    found = game_measures(training.game, images, images, train_y=labels, held_out_y=labels)
    one_hot = np.eye(3, dtype=np.float32)[labels]
    assert found == game_measures(training.game, images, images, train_y=one_hot, held_out_y=one_hot)
    assert found["jsd_bound_held_out"] == pytest.approx(found["jsd_bound_train"])
    plain = Training(tiny_experiment(), labelled())
    with pytest.raises(ArgumentError, match=r"game_measures: the generator is called with labels"):
        game_measures(plain.game, images, images, train_y=labels, held_out_y=labels)


@pytest.mark.slow
@pytest.mark.skipif(not cuda_on_cpu.COMPILER, reason="no C++ compiler to run the source of the kernels")
@pytest.mark.parametrize("options", OPTIONS)
def test_a_captured_step_reads_the_labels(tiny_experiment, labelled, monkeypatch, options):
    monkeypatch.setattr(graph, "load_cublas", lambda: Cublas())
    with strict_cupy():
        config = tiny_experiment(CONDITION, *options)
        replaying, plain = (Training(config, labelled(), "cuda") for _ in range(2))
        plain.capture = False
        for _ in range(8):
            for training in (replaying, plain):
                if training.epoch_is_over:
                    training.next_epoch()
                training.step()
        assert replaying._captured._result is not None
        (arrays, books), (arrays_there, books_there) = replaying.state(), plain.state()
        assert replaying.sheet() == pytest.approx(plain.sheet(), abs=1e-3)
        assert dataset_measures(plain.game, labelled())["rows"] == 8
    assert books["streams"] == books_there["streams"]
    for name in ("discriminator_loss", "generator_loss"):
        assert replaying.monitor.means()[name] == pytest.approx(plain.monitor.means()[name], rel=1e-3, abs=1e-5)
    for key, array in arrays.items():
        np.testing.assert_allclose(array, arrays_there[key], rtol=1e-3, atol=1e-3, err_msg=key)
