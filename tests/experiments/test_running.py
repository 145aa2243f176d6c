"""A run that stops at any moment, by request or by a crash, and is resumed, ends like an uninterrupted run."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from tinygan import gan
from tinygan.backend import Stream
from tinygan.config.experiment import load_experiment
from tinygan.data import load
from tinygan.data.dataset import Split
from tinygan.errors import AnomalyError, CheckpointError, ConfigError, RunError
from tinygan.experiments import running
from tinygan.experiments.protocol import load_generator
from tinygan.experiments.running import Limits, Watcher, is_done, reopen, run, start
from tinygan.experiments.training import Training
from tinygan.pictures.sheets import save_sheet
from tinygan.runs.checkpoint import write_checkpoint
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

LAST_STEP = 15  # 3 epochs of 22 // 4 steps
EVERY = ("output.samples_every=2", "output.checkpoint_every=2")  # so that some epochs have neither


@pytest.fixture(scope="module", autouse=True)
def same_machine():
    """Report no differences: the commit of a checkout may change while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "describe_environment", lambda: {"python": "3"})
        yield


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Return new paths, one for each call."""
    folder, numbers = tmp_path_factory.mktemp("runs"), itertools.count()
    return lambda: folder / str(next(numbers))


@pytest.fixture(scope="module")
def go_on(tiny_data):
    """Return a function that resumes the run in a folder."""
    return lambda path, *arguments: run(*reopen(path, lambda config: tiny_data()), *arguments)


def contents(path):
    """Return the files of a finished run without those of time; of the checkpoints, only the last."""
    last = RunFolder(path).latest_checkpoint().path
    records = [path / "metrics.jsonl", path / "diagnosis.jsonl"]
    files = [*path.glob("*.toml"), *filter(os.path.exists, records), *path.glob("samples/*"), last]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


games = pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("training.k=2", "training.batch=2"),
        (
            "training.schedule=simultaneous",
            "training.shared_noise=true",
            "training.discriminator_loss_scale=0.5",
            "generator.average_decay=0.9",
        ),
    ],
)


@pytest.mark.slow
@games
def test_a_run_stopped_at_any_step_is_resumed(tiny_experiment, tiny_data, fresh, go_on, overrides):
    config, undisturbed = tiny_experiment(*EVERY, *overrides), fresh()
    assert run(*start(config, tiny_data(), undisturbed))
    expected = contents(undisturbed)
    for step in range(LAST_STEP + 1):
        path = fresh()
        folder, training = start(config, tiny_data(), path)
        assert run(folder, training, Limits(steps=step)) == (step == LAST_STEP)
        assert training.steps == step == folder.latest_checkpoint().state["steps"]
        assert len(folder.metrics()) == step // 5
        assert go_on(path)
        assert contents(path) == expected


class CrashAfter(Watcher):
    def __init__(self, step):
        self.left = step

    def step(self, training):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.slow
@games
@settings(max_examples=10)
@given(steps=st.lists(st.integers(1, LAST_STEP), min_size=1, max_size=3))
def test_a_run_that_crashes_repeatedly_is_resumed(tiny_experiment, tiny_data, fresh, go_on, overrides, steps):
    config, undisturbed, path = tiny_experiment(*EVERY, *overrides), fresh(), fresh()
    run(*start(config, tiny_data(), undisturbed))
    begun = start(config, tiny_data(), path)
    for step in steps:
        try:
            run(*begun, None, CrashAfter(step))
        except KeyboardInterrupt:
            begun = reopen(path, lambda config: tiny_data())
    assert go_on(path)
    assert contents(path) == contents(undisturbed)


def test_a_run_asked_to_stop_saves_and_is_resumed(tiny_experiment, tiny_data, fresh, go_on):
    config, undisturbed, path = tiny_experiment(), fresh(), fresh()
    run(*start(config, tiny_data(), undisturbed))
    folder, training = start(config, tiny_data(), path)
    answers = iter([False] * 7 + [True])
    assert not run(folder, training, Limits(asked=lambda: next(answers)))
    assert training.steps == 7
    assert folder.latest_checkpoint().state["steps"] == 7
    assert go_on(path)
    assert contents(path) == contents(undisturbed)


def test_a_longer_run_starts_like_a_shorter_one(tiny_experiment, tiny_data, fresh):
    short, long = fresh(), fresh()
    run(*start(tiny_experiment("training.epochs=2"), tiny_data(), short))
    run(*start(tiny_experiment("training.epochs=4"), tiny_data(), long))
    assert (long / "metrics.jsonl").read_bytes().startswith((short / "metrics.jsonl").read_bytes())


def test_a_run_with_another_end_stops_there(tiny_experiment, tiny_data, fresh, go_on):
    path, undisturbed = fresh(), fresh()
    run(*start(tiny_experiment("training.epochs=4"), tiny_data(), undisturbed))
    run(*start(tiny_experiment("training.epochs=3"), tiny_data(), path))
    before = contents(path)
    config = path / "config.toml"
    config.write_text(config.read_text().replace("\nepochs = 3", "\nepochs = 2"))
    assert go_on(path)
    assert contents(path) == {**before, "config.toml": config.read_bytes()}
    config.write_text(config.read_text().replace("\nepochs = 2", "\nepochs = 4"))
    assert go_on(path)
    assert (path / "metrics.jsonl").read_bytes() == (undisturbed / "metrics.jsonl").read_bytes()


def test_two_seeds_give_two_runs(tiny_experiment, tiny_data, fresh):
    one, two = fresh(), fresh()
    for path, seed in ((one, 1), (two, 2)):
        run(*start(tiny_experiment(f"seed={seed}"), tiny_data(), path))
    assert (one / "metrics.jsonl").read_bytes() != (two / "metrics.jsonl").read_bytes()


def test_a_finished_run_changes_nothing(tiny_experiment, tiny_data, fresh, go_on):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(), path))

    def everything():
        return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "run.lock"}

    before = everything()
    assert go_on(path)
    assert everything() == before


# --- what a run leaves behind and tells ------------------------------------------------------------------


def test_the_files_of_a_run(tiny_experiment, tiny_data, fresh):
    path, config = fresh(), tiny_experiment(*EVERY)
    folder, training = start(config, tiny_data(), path)
    assert load_experiment(folder.config_path) == config
    assert run(folder, training)
    assert is_done(training)
    records = folder.metrics()
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [record["steps"] for record in records] == [5, 10, 15]
    assert records[-1] == training.metrics()
    assert [set(record) for record in folder.timing()] == [{"epoch", "seconds"}] * 3
    assert all(record["seconds"] > 0 for record in folder.timing())
    # the data; before training, every second epoch, and the last
    sheets = ["data.png", "epoch-000000.png", "epoch-000002.png", "epoch-000003.png"]
    assert sorted(os.listdir(path / "samples")) == sheets
    save_sheet(path / "again.png", training.sheet(), (1, 4))
    assert (path / "again.png").read_bytes() == (path / "samples" / "epoch-000003.png").read_bytes()
    assert sorted(os.listdir(path / "checkpoints")) == ["step-000000010.safetensors", "step-000000015.safetensors"]


def test_the_sheet_of_data_has_as_many_images_as_the_others(tiny_experiment, tiny_data, fresh):
    path, data = fresh(), tiny_data()
    run(*start(tiny_experiment(), data, path), Limits(steps=1))
    sheet = imread(path / "samples" / "data.png")
    assert sheet.shape == imread(path / "samples" / "epoch-000000.png").shape
    first = np.rint(255 * sheet[2, 2 : 2 + 32 : 8, 0])  # a tile has 1 x 4 pixels, each 8 times as large
    assert (first == np.rint(255 * data.train.images)).all(axis=1).any()


def test_numbers_have_no_sheet_of_data(fresh):
    path = fresh()
    run(*start(load_experiment("gaussian", ["output.samples=10"]), load("gaussian"), path), Limits(steps=1))
    assert os.listdir(path / "samples") == ["epoch-000000.png"]


def test_a_run_of_an_earlier_version_gets_its_sheet_of_data(tiny_experiment, tiny_data, fresh, go_on):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(), path), Limits(steps=7))
    sheet = path / "samples" / "data.png"
    before = sheet.read_bytes()
    sheet.unlink()
    go_on(path)
    assert sheet.read_bytes() == before


def test_the_watcher_is_called_in_order(tiny_experiment, tiny_data, fresh):
    told = []

    class Notes(Watcher):
        def begin(self, training):
            told.append(("begin", training.steps))

        def step(self, training):
            told.append(("step", training.steps))

        def epoch(self, training, seconds):
            assert seconds > 0
            told.append(("epoch", training.epoch, len(folder.metrics())))

        def saved(self, folder):
            told.append(("saved", folder.latest_checkpoint().state["steps"]))

    folder, training = start(tiny_experiment("output.checkpoint_every=2"), tiny_data(), fresh())
    run(folder, training, None, Notes())
    steps = [("step", step) for step in range(1, 16)]
    assert told == [
        ("begin", 0), *steps[:5], ("epoch", 1, 1), *steps[5:10], ("epoch", 2, 2), ("saved", 10),
        *steps[10:], ("epoch", 3, 3), ("saved", 15),
    ]  # fmt: skip


def test_a_generator_is_loaded_without_its_data(tiny_experiment, tiny_data, fresh):
    folder, training = start(tiny_experiment(), tiny_data(), fresh())
    with pytest.raises(CheckpointError, match=f"there is no checkpoint yet; .*: tinygan resume {folder.path}$"):
        load_generator(folder)
    run(folder, training, Limits(steps=8))
    generator, config, image_shape = load_generator(folder)
    assert config == training.config
    assert image_shape == (1, 4)
    assert not generator.training
    noise = training.game.noise
    expected = gan.sample(training.game.generator, 9, noise, Stream(1, "samples"))
    assert np.array_equal(gan.sample(generator, 9, noise, Stream(1, "samples")), expected)


# --- refusals --------------------------------------------------------------------------------------------


def test_an_existing_folder_is_refused_and_unchanged(tiny_experiment, tiny_data, fresh):
    path = fresh()
    start(tiny_experiment(), tiny_data(), path)
    before = (path / "config.toml").read_bytes()
    with pytest.raises(RunError, match=f"found an earlier run; .* tinygan resume {path}$"):
        start(tiny_experiment("seed=9"), tiny_data(), path)
    assert (path / "config.toml").read_bytes() == before


def test_a_failed_build_leaves_no_folder(tiny_experiment, tiny_data, fresh):
    path = fresh()
    with pytest.raises(ConfigError, match="set its units to 9"):
        start(tiny_experiment(), tiny_data(image_shape=(3, 3)), path)
    assert not path.exists()


def test_data_of_another_shape_are_refused(tiny_experiment, tiny_data, fresh):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(22), path), Limits(steps=3))
    with pytest.raises(CheckpointError, match="holds an order of 22 training images, but 'digits' has 21"):
        reopen(path, lambda config: tiny_data(21))


def test_other_images_than_those_of_the_run_are_refused(tiny_experiment, tiny_data, fresh):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(22), path), Limits(steps=3))
    data = tiny_data(22)
    reversed_images = Split(np.ascontiguousarray(data.train.images[::-1]), data.train.labels)
    with pytest.raises(CheckpointError, match="belongs to other train images than those of 'digits' now"):
        reopen(path, lambda config: dataclasses.replace(data, train=reversed_images))


def test_a_checkpoint_of_another_kind_is_refused(tiny_experiment, tiny_data, fresh):
    path = fresh()
    _, training = start(tiny_experiment(), tiny_data(), path)
    arrays, plain = training.state()
    del plain["streams"]
    write_checkpoint(path / "checkpoints" / "step-000000003.safetensors", arrays, plain)
    with pytest.raises(CheckpointError, match=r"step-000000003\..*: the state lacks 'streams': .*did not write it"):
        reopen(path, lambda config: tiny_data())


def test_another_machine_is_named_in_a_warning(tiny_experiment, tiny_data, fresh, monkeypatch):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(), path), Limits(steps=3))
    monkeypatch.setattr(running, "describe_environment", lambda: {"python": "4"})
    with pytest.warns(UserWarning, match=r"Python .*; the run may not end in the same bits"):
        _, training = reopen(path, lambda config: tiny_data())
    assert training.steps == 3


# --- a run that breaks -----------------------------------------------------------------------------------


class Poison(Watcher):
    """Put a nan into the generator after a number of steps, like an update that overflows."""

    def __init__(self, step):
        self.when = step

    def step(self, training):
        if training.steps == self.when:
            training.game.generator[0].weight.data[0, 0] = np.nan


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_anomaly_names_the_operation_and_the_checkpoint(tiny_experiment, tiny_data, fresh, go_on, monkeypatch):
    """With a huge learning rate the numbers overflow, always in the same step."""
    path, config = fresh(), tiny_experiment('discriminator.optimizer={ kind = "sgd", lr = 1e9 }')
    with pytest.raises(AnomalyError) as error:
        run(*start(config, tiny_data(), path))
    first, operation, *_, last = str(error.value).splitlines()
    # an overflow gives infinity or, as a difference of two, nan; which one depends on the order of sums in the BLAS
    said = re.escape(f"{path}: training stopped: step 3, epoch 1: the generator's loss is ")
    assert re.fullmatch(f"{said}(inf|nan)", first)
    said = re.escape("at index (0, 0) of its result (shape (4, 1), float32)")
    assert re.match(f"forward of 'linear': .*(inf|nan) {said}", operation)
    assert last == "there is no checkpoint yet; look at the data, or train with a smaller learning rate"
    # a checkpoint is named, and the search for the operation starts there
    run(*reopen(path, lambda config: tiny_data()), Limits(steps=2))
    step, steps = Training.step, []
    monkeypatch.setattr(Training, "step", lambda training: steps.append(training.steps) or step(training))
    with pytest.raises(AnomalyError) as error:
        go_on(path)
    assert steps == [2, 2]
    again, same, *_, last = str(error.value).splitlines()
    assert (again, same) == (first, operation)
    assert last.startswith(f"the last good checkpoint is {path / 'checkpoints' / 'step-000000002.safetensors'}; ")


def test_a_broken_run_is_resumed_from_its_last_good_checkpoint(tiny_experiment, tiny_data, fresh, go_on):
    undisturbed, path = fresh(), fresh()
    run(*start(tiny_experiment(), tiny_data(), undisturbed))
    with pytest.raises(AnomalyError, match="step 8, epoch 2: the discriminator's loss is nan"):
        run(*start(tiny_experiment(), tiny_data(), path), None, Poison(7))
    assert go_on(path)
    assert contents(path) == contents(undisturbed)


# --- nothing is changed before all checks have passed ----------------------------------------------------


def files_of(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "run.lock"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.epochs=1"], "2 epochs are done, and the run would end at 1: the change would have no effect"),
        (["training.epochs=2"], "2 epochs are done, and the run would end at 2"),
        (["generator.pretrained=elsewhere"], "generator.pretrained was used at the start"),
        (["training.k=2"], "training.k was 1 and is now 2"),
        (["output.samples=0"], "expected an integer of at least 1"),
    ],
)
def test_an_option_that_fails_changes_nothing(tiny_experiment, tiny_data, fresh, overrides, message):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(), path), Limits(steps=10))
    before = files_of(path)
    with pytest.raises((RunError, ConfigError), match=message):
        reopen(path, lambda config: tiny_data(), "cpu", overrides)
    assert files_of(path) == before


def test_a_run_with_a_damaged_record_keeps_its_configuration(tiny_experiment, tiny_data, fresh):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(), path), Limits(steps=10))
    begun = reopen(path, lambda config: tiny_data(), "cpu", ["training.epochs=9"])
    lines = (path / "metrics.jsonl").read_bytes()
    (path / "metrics.jsonl").write_bytes(lines[:-5])  # after it was opened
    before = files_of(path)
    with pytest.raises(RunError, match="records were lost or removed"):
        run(*begun)
    assert files_of(path) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl"])
@pytest.mark.parametrize("kept", [[], [1], [0, 0], [1, 0]])
def test_records_that_are_not_those_of_the_epochs_are_refused(tiny_experiment, tiny_data, fresh, name, kept):
    path = fresh()
    run(*start(tiny_experiment(), tiny_data(), path), Limits(steps=12))
    lines = (path / name).read_bytes().splitlines(keepends=True)
    (path / name).write_bytes(b"".join(lines[index] for index in kept))
    before = files_of(path)
    with pytest.raises(RunError, match=f"{name}: expected a record of each epoch from 1 to 2, found {len(kept)} that"):
        reopen(path, lambda config: tiny_data())
    assert files_of(path) == before


def test_an_unreadable_configuration_makes_no_run(tiny_experiment, tiny_data, fresh):
    config, path = tiny_experiment(), fresh()
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=0))
    with pytest.raises(ConfigError, match=r"training\.epochs: expected an integer of at least 1"):
        start(config, tiny_data(), path)
    assert not path.exists()


def test_full_memory_is_a_refusal_and_loses_nothing(tiny_experiment, tiny_data, fresh, go_on, monkeypatch):
    path, undisturbed = fresh(), fresh()
    run(*start(tiny_experiment(), tiny_data(), undisturbed))

    class Full(Watcher):
        def step(self, training):
            if training.steps == 12:
                raise MemoryError("no room")

    with pytest.raises(RunError, match="the memory is full"):
        run(*start(tiny_experiment(), tiny_data(), path), None, Full())
    assert go_on(path)
    assert contents(path) == contents(undisturbed)
    full = "tinygan.experiments.training.Training"
    monkeypatch.setattr(full, lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
    with pytest.raises(ConfigError, match="do not fit into the memory"):
        start(tiny_experiment(), tiny_data(), fresh())
