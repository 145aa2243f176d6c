"""``tinygan trace``: the iteration that a training makes, looked into; a run is only read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import tinygan as tg
from tinygan import data
from tinygan.cli import trace as command
from tinygan.config.experiment import load_experiment, to_toml
from tinygan.experiments.running import at_start
from tinygan.runs.run_folder import RunFolder
from tinygan.trace import Trace

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("TINYGAN_DATA") or "nowhere")
NO_MNIST = not (DATA / "mnist" / "train-images-idx3-ubyte.gz").is_file()
SIMULTANEOUS = ("training.schedule=simultaneous", "training.shared_noise=true")


@pytest.fixture
def traces(monkeypatch):
    """The traces that the command makes."""
    made = []

    def begin(**modules):
        made.append(Trace(modules))
        return made[-1]

    monkeypatch.setattr(command, "begin_trace", begin)
    return made


def values(t):
    """Return the newest value of each parameter of a trace."""
    return {leaf.name: leaf.value.array for leaf in t.leaves if leaf.parameter}


def parameters(training):
    game = training.game
    players = (("generator", game.generator), ("discriminator", game.discriminator))
    return {f"{player}.{name}": p.numpy() for player, net in players for name, p in net.named_parameters()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(Path(folder).rglob("*"))
    }


# ---------------------------------------------------------------------- the iteration is that of a training


@pytest.mark.parametrize(
    ("experiment", "overrides"),
    [
        ("digits", ()),
        ("digits", ("training.k=2",)),
        ("digits", SIMULTANEOUS),
        ("digits", ("generator.average_decay=0.9",)),
        ("gaussian", ()),
        pytest.param("mnist", (), marks=[pytest.mark.slow, pytest.mark.skipif(NO_MNIST, reason="needs MNIST")]),
    ],
)
@pytest.mark.parametrize("steps", [0, 2])
def test_the_traced_step_is_that_of_a_training(tinygan, traces, experiment, overrides, steps):
    words = [word for override in overrides for word in ("--set", override)]
    words += ["--data", str(DATA)]
    words += ["--steps", str(steps)] if steps else []
    answer = tinygan("trace", experiment, "--seed", "5", *words)
    assert (answer.status, answer.err) == (0, "")
    config = load_experiment(experiment, ["seed=5", *overrides])
    training = at_start(config, data.load(config.data.set, DATA))
    for _ in range(steps + 1):
        training.step()
    assert_same(values(traces[0]), parameters(training))


@pytest.mark.parametrize("further", [0, 1])
def test_the_first_steps_of_an_epoch(tinygan, traces, small, further):
    training = at_start(load_experiment("digits", small[1::2]), data.load("digits"))
    steps = training.steps_per_epoch
    assert tinygan("trace", "digits", "--steps", str(steps + further), *small).status == 0
    for _ in range(steps):
        training.step()
    training.next_epoch()
    for _ in range(1 + further):
        training.step()
    assert_same(values(traces[0]), parameters(training))


# ---------------------------------------------------------------------- a run


@pytest.mark.parametrize("stop", [["--steps", "3"], ["--epochs", "1"]])
def test_a_run_goes_on_with_the_same_bits(tinygan, traces, small, stop):
    assert tinygan("train", "digits", "--out", "run", "--quiet", *small, *stop).status == 0
    steps = RunFolder.open("run").latest_checkpoint().state["steps"]
    answer = tinygan("trace", "run")
    assert (answer.status, answer.err) == (0, "")
    further = ["--epochs", "2"] if stop[0] == "--epochs" else []
    resumed = tinygan("resume", "run", "--steps", str(steps + 1), "--quiet", *further)
    assert resumed.status == 0, resumed.err
    arrays = RunFolder.open("run").latest_checkpoint().arrays
    for name, value in values(traces[0]).items():
        assert value.tobytes() == arrays[name].tobytes(), name


def test_a_run_is_only_read(tinygan, small):
    assert tinygan("train", "digits", "--out", "run", "--quiet", "--steps", "3", *small).status == 0
    Path("run", "run.lock").unlink()
    before = snapshot("run")
    for words in ([], ["--json"], ["--why", "16"], ["--check"], ["--replay"], ["--steps", "2"]):
        assert tinygan("trace", "run", *words).status == 0
    assert snapshot("run") == before


def test_a_run_that_is_being_trained(tinygan, small):
    assert tinygan("train", "digits", "--out", "run", "--quiet", "--steps", "3", *small).status == 0
    with RunFolder.open("run").lock():
        assert tinygan("trace", "run").status == 0


def test_a_run_without_a_checkpoint_starts_anew(tinygan, traces, small):
    assert tinygan("train", "digits", "--out", "run", "--quiet", "--steps", "3", *small).status == 0
    for path in Path("run", "checkpoints").iterdir():
        path.unlink()
    assert tinygan("trace", "run").status == 0
    training = at_start(load_experiment("digits", small[1::2]), data.load("digits"))
    training.step()
    assert_same(values(traces[0]), parameters(training))


# ---------------------------------------------------------------------- what is printed


def test_the_table_is_printed(tinygan, small):
    answer = tinygan("trace", "digits", *small)
    assert "discriminator.1" in answer.out
    assert "pass 2" in answer.out
    assert "\x1b" not in answer.out


def test_json_is_one_object(tinygan, small):
    found = json.loads(tinygan("trace", "digits", "--json", *small).out)
    assert [one["number"] for one in found["passes"]] == [1, 2]
    answer = tinygan("trace", "digits", "--json", "--why", "generator.0.weight", *small)
    assert (answer.status, answer.out) == (1, "")


def test_each_why_is_explained(tinygan, traces, small):
    answer = tinygan("trace", "digits", "--why", "generator.0.weight", "--why", "#1", *small)
    t = traces[0]
    assert answer.out == f"{t.why('generator.0.weight')}\n{t.why(1)}\n"
    answer = tinygan("trace", "digits", "--why", "generator.0.wieght", *small)
    assert answer.status == 1
    assert 'did you mean "generator.0.weight"' in answer.err


@pytest.mark.parametrize("option", ["check", "replay"])
def test_a_failed_check_is_a_failure(tinygan, monkeypatch, small, option):
    answer = tinygan("trace", "digits", f"--{option}", *small)
    assert answer.status == 0
    assert answer.out

    class Wrong:
        def __bool__(self):
            return False

        def __str__(self):
            return "wrong"

    monkeypatch.setattr(Trace, option, lambda self: Wrong())
    answer = tinygan("trace", "digits", f"--{option}", *small)
    assert (answer.status, answer.out) == (1, "wrong\n")


def test_the_page_is_written(tinygan, monkeypatch, small):
    def html(self, path, *, title):
        Path(path).write_text(f"{title}: {bool(self.checked)}", "utf-8")

    monkeypatch.setattr(Trace, "html", html, raising=False)
    answer = tinygan("trace", "digits", "--html", "step.html", "--steps", "2", "--quiet", *small)
    assert (answer.status, answer.out, answer.err) == (0, "step.html\n", "")
    assert Path("step.html").read_text("utf-8") == "digits: iteration 3: True"
    assert json.loads(tinygan("trace", "digits", "--html", "step.html", "--json", *small).out)


def test_a_page_that_cannot_be_written(tinygan, monkeypatch, small):
    def full(self, path, *, title):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trace, "html", full, raising=False)
    answer = tinygan("trace", "digits", "--html", "step.html", *small)
    assert answer.status == 1
    assert "step.html: cannot be written" in answer.err


def test_an_error_leaves_the_partial_table(tinygan, monkeypatch, small):
    def broken(self, x):
        raise tg.errors.ShapeError("broken on purpose")

    monkeypatch.setattr("tinygan.nn.Maxout.forward", broken)
    answer = tinygan("trace", "digits", *small)
    assert answer.status == 1
    assert "dropout" in answer.out
    assert "the block ended with ShapeError" in answer.out
    assert "broken on purpose" in answer.err


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digit"], 'did you mean "digits"'),
        (["runs/none"], "expected a run folder"),
        (["missing.toml"], "missing.toml"),
        (["digits", "--html", "x.txt"], "a name that ends in .html"),
        (["digits", "--html", "no/x.html"], "there is no folder no"),
        (["digits", "--steps", "100000000"], "--steps 100000000: the training has"),
        (["digits", "--set", "training.bach=3"], 'did you mean "batch"'),
        (["digits", "--seed", "-1"], "seed"),
    ],
)
def test_refusals(tinygan, words, message):
    answer = tinygan("trace", *words)
    assert answer.status == 1
    assert message in answer.err
    assert answer.out == ""


def test_settings_of_a_run_are_not_changed(tinygan, small):
    assert tinygan("train", "digits", "--out", "run", "--quiet", "--steps", "1", *small).status == 0
    for words in (["--seed", "1"], ["--set", "training.batch=5"]):
        answer = tinygan("trace", "run", *words)
        assert answer.status == 1
        assert f"{words[0]}: run is a run" in answer.err


def test_a_toml_file_is_an_experiment(tinygan, small):
    Path("mine.toml").write_text(to_toml(load_experiment("digits", small[1::2])), "utf-8")
    assert tinygan("trace", "mine.toml").status == 0
