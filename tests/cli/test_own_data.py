"""``--images`` and ``--array``: a run records its images, and every command finds them again."""

from __future__ import annotations

import os
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from tinygan.cli import main
from tinygan.config.experiment import load_experiment
from tinygan.data import from_folder
from tinygan.experiments.protocol import load_generator
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

PICTURES = np.random.default_rng(0).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
PIXELS = 4 * 5 * 3


@pytest.fixture
def images(tmp_path):
    """A folder of images, with a blank in its name."""
    folder = tmp_path / "my images"
    folder.mkdir()
    for number, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def train(tinygan, small):
    """Return `tinygan train digits` with small networks and batches."""

    def command(*words):
        return tinygan("train", "digits", "--epochs", "2", *small, "--set", "training.batch=8", *words)

    return command


def error_of(answer):
    assert (answer.status, answer.out) == (1, "")
    return answer.err.removeprefix("tinygan: error: ").removesuffix("\n")


# --- training ---------------------------------------------------------------------------------------------


def test_images_replace_the_data_and_fit_the_generator(train, images, tmp_path):
    answer = train("--images", "my images", "--out", "run")
    assert answer.status == 0
    told = answer.err.splitlines()
    assert told[0] == f"data: {from_folder(images).notes[0]}"
    assert told[1] == f"generator.layers[2].units is {PIXELS} here: one unit for each number of an image"
    run = RunFolder.open(tmp_path / "run")
    config = load_experiment(run.config_path)
    assert (config.data.set, config.data.path, config.data.fold) == ("images", str(images), None)
    assert config.description == "The settings of digits, on other images"
    assert run.environment()["data"] == list(from_folder(images).notes)
    generator, _, shape = load_generator(run)
    assert (generator[-2].weight.shape[1], shape) == (PIXELS, (4, 5, 3))


def test_an_array_gives_the_same_run_as_its_files(train, images, tmp_path):
    np.save("mine.npy", PICTURES)
    np.save("labels.npy", np.arange(40) % 4)
    assert train("--images", images, "--out", "a", "--quiet").err == ""
    answer = train("--array", "mine.npy", "--set", "data.labels=labels.npy", "--out", "b")
    assert "data: labels: 0 (10), 1 (10), 2 (10), 3 (10)\n" in answer.err
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()
    assert load_experiment("b/config.toml").data.labels == str(tmp_path / "labels.npy")


def test_folders_are_the_classes_of_a_conditional_run(train, tmp_path):
    for number, picture in enumerate(PICTURES):
        folder = tmp_path / "mine" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
    answer = train("--images", "mine", "--set", "training.classes=10", "--out", "run")
    assert "training.classes is 3 here: one for each label of the images\n" in answer.err
    generator, config, _ = load_generator(RunFolder.open("run"))
    assert config.training.classes == generator.classes == 3
    assert main(["resume", "run", "--epochs", "3", "--quiet"]) == 0
    assert main(["evaluate", "run", "--samples", "20", "--quiet"]) == 0


def test_images_without_labels_make_no_conditional_run(train, images):
    answer = train("--images", images, "--set", "training.classes=10", "--quiet")
    assert "training.classes = 10: the labels" in error_of(answer)
    assert "remove training.classes" in answer.err


def test_settings_of_the_images_are_kept(train, images, tmp_path):
    settings = ("--set", "data.size=3", "--set", "data.colour=false")
    assert train("--images", images, *settings, "--out", "run", "--quiet").status == 0
    shutil.copytree(images, "other")
    answer = main(["train", "run/config.toml", "--images", "other", "--out", "again", "--quiet"])
    assert answer == 0
    data = load_experiment("again/config.toml").data
    assert (data.path, data.size, data.colour) == (str(tmp_path / "other"), 3, False)
    assert load_generator(RunFolder.open("again"))[2] == (3, 3)


def test_an_experiment_file_names_its_images(tinygan, train, images, tmp_path):
    assert train("--images", images, "--out", "run", "--quiet").status == 0
    text = (tmp_path / "run" / "config.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace(str(images), "my images"))
    assert load_experiment("mine.toml").data.path == "my images"
    assert tinygan("train", "mine.toml", "--out", "again", "--quiet").status == 0
    assert load_experiment("again/config.toml").data.path == str(images)
    os.rename(images, tmp_path / "moved")
    assert tinygan("resume", "again", "--epochs", "3", "--set", "data.path=moved", "--quiet").status == 0
    assert load_experiment("again/config.toml").data.path == str(tmp_path / "moved")


def test_the_scale_of_the_experiment_is_kept(tinygan, train, images):
    """The generator of the experiment was made for it."""
    tanh = ("--set", "generator.layers=[{type='linear',units=64},{type='tanh'}]")
    assert train("--set", "data.range=[-1,1]", *tanh, "--out", "grey", "--quiet").status == 0
    answer = tinygan("train", "grey/config.toml", "--images", images, "--out", "colour")
    assert "data: scaled: black is -1, white is 1\n" in answer.err
    data = load_experiment("colour/config.toml").data
    assert (data.range, data.contrast) == ((-1.0, 1.0), None)
    words = ("--steps", "2", "--set", "training.batch=8", "--set", "output.samples=4")
    shrink = [word for layer in (0, 2) for word in ("--set", f"generator.layers.{layer}.units=8")]
    shrink += [word for layer in (1, 3) for word in ("--set", f"discriminator.layers.{layer}.units=8")]
    answer = tinygan("train", "cifar10-fc", "--images", images, "--out", "contrast", *words, *shrink)
    assert "data: scaled: each image has mean 0 and norm 55\n" in answer.err
    assert load_experiment("contrast/config.toml").data.contrast == 55.0


@pytest.mark.parametrize("experiment", ["gaussian", "mnist", pytest.param("tfd", marks=pytest.mark.slow)])
def test_other_experiments_take_images(tinygan, images, experiment):
    words = ("--steps", "2", "--quiet", "--set", "training.batch=8", "--set", "output.samples=4")
    assert tinygan("train", experiment, "--images", images, "--out", "run", *words).status == 0
    assert tinygan("sample", "run", "--count", "3", "--out", "x.npy").status == 0
    assert np.load("x.npy").shape == (3, 4, 5, 3)


def test_one_step_and_a_trace_of_images(tinygan, train, images):
    small = ("--set", "training.batch=8", "--images", images)
    assert tinygan("step", "digits", "--all", "--quiet", *small).status == 0
    assert f"(8, {PIXELS})" in tinygan("trace", "digits", "--quiet", *small).out
    assert train("--images", images, "--out", "run", "--quiet").status == 0
    assert f"(8, {PIXELS})" in tinygan("trace", "run", "--quiet").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "none"), "none: expected a folder of images, but the system says: No such file"),
        (("--array", "none.npy"), "none.npy: expected a .npy file, found nothing of that name"),
        (("--images", ""), "--images: expected a path, got nothing"),
        (("--images", "my images", "--data", "."), "--data names a folder of data sets, but the images are your own"),
        (("--images", "my images", "--set", "data.fold=1"), '"images" has no folds: remove it'),
        (("--images", "my images", "--set", "data.labels=x.npy"), 'it belongs to set = "array"'),
        (("--array", "mine.npy", "--set", "data.size=8"), 'it belongs to set = "images"'),
        (("--set", "data.size=8"), '"digits" has no such key; it belongs to set = "images"'),
        (("--set", "data.path=x"), '"digits" has no such key; it belongs to set = "images" or "array"'),
        (("--set", "data.set=images"), 'data.path: missing; set = "images" needs it: add it, or name it with --images'),
        (("--images", "my images", "--set", "data.size=1024"), "3,145,728 numbers, and a layer has at most 100,000"),
    ],
)
def test_refusals_before_a_run_is_made(train, images, tmp_path, words, message):
    np.save("mine.npy", PICTURES)
    assert message in train(*words, "--out", "run", "--quiet").err
    assert not (tmp_path / "run").exists()


def test_images_and_array_exclude_each_other(train):
    answer = train("--images", "a", "--array", "b")
    assert (answer.status, answer.out) == (2, "")
    assert "not allowed with" in answer.err


# --- the run finds its images -----------------------------------------------------------------------------


@pytest.fixture
def run(train, images, tmp_path):
    """A run on the images that was stopped, and the command that it printed."""
    answer = train("--images", "my images", "--out", "my run", "--steps", "3", "--quiet")
    printed = answer.out.splitlines()[-1].partition("go on with: ")[2]
    return tmp_path / "my run", printed


def test_the_printed_command_runs_in_another_folder(tinygan, run, tmp_path, monkeypatch):
    path, printed = run
    assert printed == "tinygan resume 'my run'"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = [str(path) if word == "my run" else word for word in shlex.split(printed)[1:]]
    assert tinygan(*words, "--quiet").status == 0
    for command in (["evaluate", path], ["diagnose", path], ["trace", path]):
        assert tinygan(*command).status == 0


def test_a_run_in_two_parts_is_the_whole_run(tinygan, train, run, tmp_path):
    assert train("--images", "my images", "--out", "whole", "--quiet").status == 0
    assert tinygan("resume", run[0], "--quiet").status == 0
    assert (run[0] / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_moved_images_are_named_and_recorded(tinygan, run, images, tmp_path):
    os.rename(images, tmp_path / "moved")
    for command in ("resume", "evaluate", "diagnose", "trace"):
        assert "if it has moved, name its new place: --images DIR" in error_of(tinygan(command, run[0]))
    for command in ("evaluate", "diagnose", "trace"):
        assert tinygan(command, run[0], "--images", "moved").status == 0
    assert load_experiment(run[0] / "config.toml").data.path == str(images)  # only `resume` records it
    assert tinygan("resume", run[0], "--images", "moved", "--quiet").status == 0
    assert load_experiment(run[0] / "config.toml").data.path == str(tmp_path / "moved")
    assert tinygan("evaluate", run[0]).status == 0


@pytest.mark.parametrize("change", ["one pixel", "one more", "one less"])
def test_changed_images_are_refused(tinygan, run, images, change):
    for number in range(40):
        name = images / f"{number:02d}.png"
        before = name.read_bytes()
        if change == "one less":
            name.unlink()
        else:
            changed = PICTURES[number].copy()
            changed[0, 0, 0] ^= 1
            Image.fromarray(changed).save(images / "new.png" if change == "one more" else name)
        for command in ("resume", "evaluate", "diagnose") if number == 0 else ("evaluate",):
            assert "--images the files the run began with" in error_of(tinygan(command, run[0]))
        name.write_bytes(before)
        (images / "new.png").unlink(missing_ok=True)
    assert tinygan("resume", run[0], "--quiet").status == 0


def test_a_run_on_other_data_takes_no_images(tinygan, train, images):
    assert train("--out", "run", "--steps", "3", "--quiet").status == 0
    for command in ("evaluate", "diagnose", "trace"):
        message = error_of(tinygan(command, "run", "--images", "my images"))
        assert message == "--images my images: the run was trained on 'digits': leave this out"
    assert 'data.set was "digits" and is now "images"' in error_of(tinygan("resume", "run", "--images", "my images"))


def test_a_run_on_images_has_no_fold_and_no_data_folder(tinygan, run):
    assert "has no folds, got 1" in error_of(tinygan("evaluate", run[0], "--fold", "1"))
    assert "--data names a folder of data sets" in error_of(tinygan("resume", run[0], "--data", "."))
