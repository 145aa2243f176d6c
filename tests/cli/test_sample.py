"""Samples from a run: a picture or the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from tinygan import gan
from tinygan.backend import Stream
from tinygan.experiments.protocol import load_generator
from tinygan.experiments.weights import load_weights
from tinygan.runs.run_folder import RunFolder


@pytest.fixture
def trained(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small).status == 0
    return tmp_path / "run"


def test_numbers_are_those_of_the_generator(tinygan, trained):
    answer = tinygan("sample", trained, "--count", "12", "--out", "samples.npy", "--seed", "5")
    assert (answer.status, answer.out, answer.err) == (0, "samples.npy\n", "")
    samples = np.load("samples.npy", allow_pickle=False)
    assert samples.shape == (12, 8, 8)
    assert samples.dtype == np.float32
    assert samples.min() >= 0
    assert samples.max() <= 1
    generator, config, _ = load_generator(RunFolder.open(trained))
    noise = gan.Noise(config.noise.kind, config.noise.size)
    expected = gan.sample(generator, 12, noise, Stream(5, "samples"))
    assert np.array_equal(samples.reshape(12, 64), expected)


def test_another_seed_gives_other_samples(tinygan, trained):
    for name, words in (("a", []), ("b", ["--seed", "0"]), ("c", ["--seed", "1"])):
        assert tinygan("sample", trained, "--count", "3", "--out", f"{name}.npy", *words).status == 0
    a, b, c = (np.load(f"{name}.npy") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_with_and_without_the_running_mean(tinygan, small):
    average = ("--set", "generator.average_decay=0.9")
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small, *average).status == 0
    for name, words in (("with", []), ("without", ["--no-average"])):
        assert tinygan("sample", "run", "--count", "3", "--out", f"{name}.npy", *words).status == 0
        generator, config, _ = load_generator(RunFolder.open("run"), averaged=name == "with")
        noise = gan.Noise(config.noise.kind, config.noise.size)
        expected = gan.sample(generator, 3, noise, Stream(0, "samples"))
        assert np.array_equal(np.load(f"{name}.npy").reshape(3, 64), expected)
    assert not np.array_equal(np.load("with.npy"), np.load("without.npy"))


def test_a_picture_shows_the_given_number_of_samples(tinygan, trained):
    answer = tinygan("sample", trained, "--count", "6", "--out", "samples.png")
    assert (answer.status, answer.out) == (0, "samples.png\n")
    assert imread("samples.png").shape[:2] == (2 * 34 + 2, 3 * 34 + 2)
    tinygan("sample", trained, "--out", "hundred.png")
    assert imread("hundred.png").shape[:2] == (10 * 34 + 2, 10 * 34 + 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.gif"], "--out x.gif: expected a name that ends in .png (a picture) or .npy (the numbers)"),
        (["--out", "x"], "--out x: expected a name that ends in .png (a picture) or .npy (the numbers)"),
        (["--out", "no/x.png"], "--out no/x.png: there is no folder no; make it first"),
        (["--out", "x.npy", "--seed", "-1"], "--seed -1: expected 0 or more"),
        (
            ["--out", "x.png", "--count", "10001"],
            "--count 10001: a picture holds at most 10000; use --out FILE.npy",
        ),
        (
            ["--out", "folder.npy"],
            "--out folder.npy: cannot be written: Is a directory; free space, correct the permissions, or choose "
            "another name",
        ),
        (
            ["--out", "folder.png"],
            "folder.png: cannot be written: Is a directory; free space, correct the permissions, or name a file in a "
            "folder that exists",
        ),
    ],
)
def test_refusals(tinygan, trained, tmp_path, words, message):
    for name in ("folder.npy", "folder.png"):
        (tmp_path / name).mkdir()
    before = sorted(tmp_path.rglob("*"))
    answer = tinygan("sample", trained, *words)
    assert (answer.status, answer.out, answer.err) == (1, "", f"tinygan: error: {message}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_a_run_is_refused(tinygan, tmp_path):
    answer = tinygan("sample", "nowhere", "--out", "x.png")
    assert answer.status == 1
    assert answer.err.startswith("tinygan: error: nowhere: expected a run folder, found no folder of this name; ")
    (tmp_path / "empty").mkdir()
    answer = tinygan("sample", "empty", "--out", "x.png")
    assert answer.status == 1
    assert "found one without config.toml and environment.json" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize(("count", "status"), [("0", 2), ("-1", 2), ("many", 2), ("1", 0)])
def test_counts_are_positive_integers(tinygan, trained, count, status):
    answer = tinygan("sample", trained, "--out", "x.npy", "--count", count)
    assert answer.status == status
    if status:
        assert f"argument --count: expected an integer of at least 1, got '{count}'" in answer.err


# --- plain numbers, which have no pixels -----------------------------------------------------------------------


@pytest.mark.slow
def test_single_numbers_are_drawn_as_a_histogram(tinygan, tmp_path):
    words = ["train", "gaussian", "--epochs", "1", "--out", "line", "--quiet", "--set", "output.samples=50"]
    assert tinygan(*words).status == 0
    answer = tinygan("sample", "line", "--count", "20000", "--out", "x.png")  # more than a sheet of images allows
    assert (answer.status, answer.out, answer.err) == (0, "x.png\n", "")
    assert imread("x.png").shape == (400, 640, 4)
    assert tinygan("sample", "line", "--count", "7", "--out", "x.npy").status == 0
    assert np.load("x.npy", allow_pickle=False).shape == (7, 1)
    assert tinygan("resume", "line", "--quiet").status == 0


# --- the checkpoint ----------------------------------------------------------------------------------------


def test_a_checkpoint_is_chosen_by_its_steps_or_as_the_best(tinygan, small):
    words = ["--set", "output.validate_every=1", "--set", "output.validation_samples=20", *small]
    assert tinygan("train", "digits", "--epochs", "3", "--out", "run", "--quiet", *words).status == 0
    run = RunFolder.open("run")
    best = run.best_checkpoint().state["steps"]
    for name in ("last", "best", "42", "63"):
        assert tinygan("sample", "run", "--count", "3", "--out", f"{name}.npy", "--checkpoint", name).status == 0
    drawn = {name: np.load(f"{name}.npy") for name in ("last", "best", "42", "63")}
    assert np.array_equal(drawn["last"], drawn["63"])
    assert not np.array_equal(drawn["last"], drawn["42"])
    generator, config, _ = load_generator(run, which="best")
    noise = gan.Noise(config.noise.kind, config.noise.size)
    assert np.array_equal(drawn["best"].reshape(3, 64), gan.sample(generator, 3, noise, Stream(0, "samples")))
    assert best in (21, 42, 63)


def test_a_missing_checkpoint_is_refused_with_those_there(tinygan, trained):
    answer = tinygan("sample", trained, "--out", "x.npy", "--checkpoint", "7")
    assert answer.status == 1
    assert answer.err.endswith("has no checkpoint after 7 steps; it has those after 21 steps\n")
    answer = tinygan("sample", trained, "--out", "x.npy", "--checkpoint", "best")
    assert "no checkpoint was chosen by validation" in answer.err
    for wrong in ("bst", "-1", "1.5", "9" * 30, "²"):
        answer = tinygan("sample", trained, "--out", "x.npy", f"--checkpoint={wrong}")
        assert answer.status == 2
        assert f"expected last, best, or a number of steps, got {wrong!r}" in answer.err


# --- labels -----------------------------------------------------------------------------------------------


@pytest.fixture
def conditional(tinygan, small, tmp_path):
    words = ("--epochs", "1", "--out", "run", "--quiet", *small, "--set", "training.classes=10")
    assert tinygan("train", "digits", *words).status == 0
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ([], range(10)),
        (["--labels", "3"], [3]),
        (["--labels", "0,1,2"], [0, 1, 2]),
        (["--labels", "7-9,0, 4"], [7, 8, 9, 0, 4]),
        (["--labels=5,5,1"], [5, 5, 1]),
    ],
)
def test_samples_go_through_the_labels_in_turn(tinygan, conditional, words, labels):
    assert tinygan("sample", conditional, "--count", "23", "--out", "some.npy", *words).status == 0
    generator, config, _ = load_generator(RunFolder.open(conditional))
    noise = gan.Noise(config.noise.kind, config.noise.size)
    expected = gan.sample(generator, 23, noise, Stream(0, "samples"), np.resize(np.array(labels), 23))
    assert np.array_equal(np.load("some.npy").reshape(23, 64), expected)


def test_each_column_of_a_picture_has_one_label(tinygan, conditional):
    for words, columns, rows in ((["--labels", "0-2"], 6, 5), ([], 10, 3), (["--labels", "1"], 5, 6)):
        assert tinygan("sample", conditional, "--count", "30", "--out", "some.png", *words).status == 0
        assert imread("some.png").shape[:2] == (rows * 34 + 2, columns * 34 + 2)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("10", "--labels: 10 is no class of this run; expected labels from 0 to 9"),
        ("8-12", "--labels: 10 is no class"),
        *((wrong, "expected labels such as 3, 0,1,2 or 0-9") for wrong in ("", "a", "1,", "9-0", "-1", "1.5", "0-999")),
    ],
)
def test_labels_that_there_are_not_are_refused(tinygan, conditional, labels, said):
    answer = tinygan("sample", conditional, "--out", "some.npy", f"--labels={labels}")
    assert answer.status in (1, 2)
    assert said in answer.err


def test_a_run_without_labels_has_none_to_choose(tinygan, trained):
    answer = tinygan("sample", trained, "--out", "some.npy", "--labels", "3")
    assert answer.status == 1
    assert "--labels: digits was trained without labels" in answer.err
    assert "training.classes=N" in answer.err


@pytest.mark.slow
def test_every_command_takes_a_conditional_run(tinygan, conditional, small):
    for words in (
        ("evaluate", conditional, "--samples", "50", "--all"),
        ("evaluate", conditional, "--samples", "50", "--all", "--json"),
        ("diagnose", conditional),
        ("report", conditional),
        ("export", conditional, "--out", "both.safetensors", "--network", "both", "--layout", "pytorch"),
        ("trace", conditional, "--replay"),
        ("step", "digits", *small, "--set", "training.classes=10", "--all"),
        ("resume", conditional, "--epochs", "2"),
    ):
        answer = tinygan(*words)
        assert answer.status == 0, (words, answer.err)
        if words[0] == "step":
            assert "Their labels y are read by both" in " ".join(answer.out.split())
        if "--all" in words and words[0] == "evaluate":
            assert ("class_agreement" if "--json" in words else "of the class asked for") in answer.out
    arrays = load_weights("both.safetensors")
    assert arrays["generator.net.0.weight"].shape == (32 + 10, 8)
