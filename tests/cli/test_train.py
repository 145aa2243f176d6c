"""Training from the command line: its files, its output, stopping and resuming."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from tests.doubles.colours import write_small_cifar10
from tinygan.backend import Stream, get_backend, select_backend
from tinygan.cli import train as command
from tinygan.config.experiment import load_experiment, shipped_experiments
from tinygan.pictures.sheets import GAP
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

SHIPPED = ", ".join(config.name for config in shipped_experiments())
STEPS = 21  # of one epoch of the digits


def metrics(path):
    return (path / "metrics.jsonl").read_bytes()


def test_cifar10_from_its_files_to_every_command(tinygan, tmp_path, monkeypatch, real_report):
    """A few images, and small networks of the same layers."""
    write_small_cifar10(tmp_path / "data", monkeypatch)
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path / "data"))
    shrink = [f"generator.layers.{layer}.units=8" for layer in (0, 2)]
    shrink += [f"discriminator.layers.{layer}.units=8" for layer in (1, 3)]
    small = [word for setting in (*shrink, "training.batch=10", "output.samples=4") for word in ("--set", setting)]
    answer = tinygan("train", "cifar10-fc", *small, "--epochs", "2", "--out", "run")
    assert answer.status == 0, answer.err
    data = load_experiment("run/config.toml").data.load()
    assert [len(split) for split in (data.train, data.validation, data.test)] == [80, 20, 20]
    np.testing.assert_allclose(np.linalg.norm(data.train.images, axis=1), 55, rtol=1e-5)

    # The sheets have colours, and mid grey is 0.
    order = Stream(2014, "data sheet").permutation(80)[:4]
    levels = np.rint(255 * np.clip((data.train.images[order[0]] / data.shown[1] + 1) / 2, 0, 1))
    sheet = np.rint(255 * imread("run/samples/data.png")[GAP : GAP + 32, GAP : GAP + 32, :3])
    assert np.abs(sheet - levels.reshape(32, 32, 3)).max() <= 1
    report = (tmp_path / "run" / "report.html").read_text()
    for name in ("data.png", "epoch-000002.png"):
        assert base64.b64encode((tmp_path / "run" / "samples" / name).read_bytes()).decode() in report

    for name in ("samples.npy", "samples.png"):
        assert tinygan("sample", "run", "--count", "4", "--out", name).status == 0
    samples = np.load("samples.npy")
    assert samples.shape == (4, 32, 32, 3)
    levels = np.rint(255 * np.clip((samples[0] / data.shown[1] + 1) / 2, 0, 1))
    sheet = np.rint(255 * imread("samples.png")[GAP : GAP + 32, GAP : GAP + 32, :3])
    assert np.abs(sheet - levels).max() <= 1
    measured = json.loads(tinygan("diagnose", "run", "--json").out)["measures"]
    assert measured["data_rms"] == pytest.approx(55 / 3072**0.5, rel=1e-3)
    assert "nats depend on the units" in tinygan("evaluate", "run", "--samples", "20", "--quiet").out
    assert "(10, 3072)" in tinygan("trace", "run", "--quiet").out
    assert tinygan("trace", "run", "--quiet", "--html", "page.html").status == 0
    assert tinygan("step", "cifar10-fc", *small, "--all").status == 0
    assert "train 80" in tinygan("doctor").out
    assert tinygan("resume", "run", "--epochs", "3", "--quiet").status == 0
    answer = tinygan("resume", "run", "--epochs", "4", "--set", "data.contrast=50")
    assert "data.contrast was 55.0 and is now 50.0" in answer.err


# --- what it leaves and says -----------------------------------------------------------------------------


@pytest.mark.slow
def test_two_epochs_of_the_digits(tinygan, tmp_path, real_report):
    """With the networks of the shipped experiment."""
    answer = tinygan("train", "digits", "--out", "run", "--epochs", "2", "--set", "output.samples=9")
    assert answer.status == 0
    samples, verdict, report = answer.out.splitlines()
    assert samples == f"samples  {os.path.join('run', 'samples')}"
    assert report == f"report   {os.path.join('run', 'report.html')}"
    number = r"\d+(\.\d)? %"
    told = rf"a fresh classifier is right on {number} ± {number} \(chance: 50 %\), precision {number}, recall {number}"
    assert re.fullmatch(rf"verdict  .*; {told}", verdict)
    run = tmp_path / "run"
    assert sorted(os.listdir(run)) == [
        "checkpoints", "config.toml", "diagnosis.jsonl", "environment.json", "metrics.jsonl", "report.html", "run.lock",
        "samples", "timing.jsonl",
    ]  # fmt: skip
    assert sorted(os.listdir(run / "samples")) == ["data.png", "epoch-000000.png", "epoch-000002.png"]
    assert os.listdir(run / "checkpoints") == ["step-000000042.safetensors"]
    assert [record["steps"] for record in RunFolder.open(run).metrics()] == [STEPS, 2 * STEPS]
    assert load_experiment(run / "config.toml") == load_experiment(
        "digits", ["training.epochs=2", "output.samples=9"]
    )
    assert "</html>" in (run / "report.html").read_text()


def test_options_reach_the_experiment(tinygan, small, tmp_path):
    words = ["--set", "training.batch=100", "--set", "training.epochs=9", "--epochs", "1", "--seed", "12"]
    assert tinygan("train", "digits", "--out", "run", "--quiet", *words, *small).status == 0
    config = load_experiment(tmp_path / "run" / "config.toml")
    assert (config.training.batch, config.training.epochs, config.seed) == (100, 1, 12)
    [record] = RunFolder.open(tmp_path / "run").metrics()
    assert record["steps"] == 1397 // 100


def test_an_experiment_from_a_file(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--out", "one", "--epochs", "1", "--quiet", *small).status == 0
    assert tinygan("train", tmp_path / "one" / "config.toml", "--out", "two", "--quiet").status == 0
    assert metrics(tmp_path / "one") == metrics(tmp_path / "two")


@pytest.mark.slow
def test_without_out_a_free_folder_is_chosen(tinygan, small, tmp_path):
    for name in ("digits", "digits-2", "digits-3"):
        answer = tinygan("train", "digits", "--epochs", "1", "--quiet", *small)
        assert answer.out.startswith(f"samples  {os.path.join('runs', name, 'samples')}\n")
    assert sorted(os.listdir(tmp_path / "runs")) == ["digits", "digits-2", "digits-3"]


def test_a_run_without_a_diagnosis_names_the_command(tinygan, small):
    answer = tinygan("train", "digits", "--out", "my run", "--epochs", "2", "--quiet", "--steps", "5", *small)
    [verdict] = [line for line in answer.out.splitlines() if line.startswith("verdict")]
    assert verdict.endswith("now: tinygan diagnose 'my run'")
    assert tinygan("diagnose", "my run").status == 0


def test_a_spoilt_diagnosis_is_no_failure_of_the_run(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--out", "run", "--epochs", "1", "--quiet", *small).status == 0
    for content in ("[]\n", '{"epoch": 1}\n', '{"epoch": 1, "verdicts": 1, "measures": {}}\n'):
        (tmp_path / "run" / "diagnosis.jsonl").write_text(content)
        answer = tinygan("resume", "run", "--quiet")
        if content != "[]\n":  # which is refused
            assert answer.status == 0
            assert "verdict  unknown: " in answer.out


# --- stopping and going on -------------------------------------------------------------------------------


@pytest.fixture
def undisturbed(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--out", "undisturbed", "--epochs", "3", "--quiet", *small).status == 0
    return metrics(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, STEPS, STEPS + 1, 3 * STEPS - 1])
def test_a_run_in_two_parts(tinygan, small, tmp_path, undisturbed, steps):
    answer = tinygan("train", "digits", "--out", "run", "--epochs", "3", "--quiet", "--steps", str(steps), *small)
    assert answer.status == 0
    assert answer.out.splitlines()[-1] == f"saved after step {steps}; go on with: tinygan resume run"
    answer = tinygan("resume", "run", "--quiet")
    assert (answer.status, answer.err) == (0, "")
    assert "go on with" not in answer.out
    assert metrics(tmp_path / "run") == undisturbed


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(tinygan, tmp_path, undisturbed):
    answer = tinygan("resume", "undisturbed")
    said = "undisturbed: all 3 epochs are done; for more: tinygan resume undisturbed --epochs 6\n"
    assert (answer.status, answer.err) == (0, said)
    assert metrics(tmp_path / "undisturbed") == undisturbed


@pytest.mark.slow
def test_a_finished_run_continues_to_a_later_end(tinygan, small, tmp_path, undisturbed):
    assert tinygan("train", "digits", "--out", "run", "--epochs", "2", "--quiet", *small).status == 0
    answer = tinygan("resume", "run", "--quiet", "--epochs", "3", "--set", "output.samples_every=3")
    assert (answer.status, answer.err) == (0, "")
    assert metrics(tmp_path / "run") == undisturbed
    assert load_experiment(tmp_path / "run" / "config.toml") == load_experiment(
        tmp_path / "undisturbed" / "config.toml", ["output.samples_every=3"]
    )
    assert tinygan("resume", "run").err.startswith("run: all 3 epochs are done; ")  # the new end is recorded


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("--epochs", "1"), ("--epochs", "3"), ("--set", "training.epochs=2"), ("--set", "output.samples=9")],
)
def test_a_reached_end_is_refused_and_nothing_is_changed(tinygan, tmp_path, undisturbed, words):
    def everything():
        return {path: path.read_bytes() for path in (tmp_path / "undisturbed").rglob("*") if path.is_file()}

    (tmp_path / "undisturbed" / "run.lock").write_bytes(b"")  # each process writes its number there
    before = everything()
    answer = tinygan("resume", "undisturbed", "--quiet", *words)
    assert (answer.status, answer.out) == (1, "")
    assert "nothing was changed" in answer.err
    (tmp_path / "undisturbed" / "run.lock").write_bytes(b"")
    assert everything() == before


@pytest.mark.parametrize("begun", [False, True])
def test_a_decisive_setting_cannot_be_changed_on_resume(tinygan, small, tmp_path, begun):
    stop = ["--steps", "5"] if begun else ["--set", "discriminator.optimizer.lr=1e30"]
    words = ["train", "digits", "--out", "run", "--epochs", "2", "--quiet", *small, *stop]
    with warnings.catch_warnings(action="ignore"):
        tinygan(*words)  # without a first epoch, it fails before the first checkpoint
    assert len(os.listdir(tmp_path / "run" / "checkpoints")) == begun
    before = (tmp_path / "run" / "config.toml").read_bytes()
    answer = tinygan("resume", "run", "--epochs", "9", "--set", "training.k=2")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        "tinygan: error: run: training.k was 1 and is now 2: that would be another run; leave the change out, or "
        "train a new run with it\n"
    )
    assert (tmp_path / "run" / "config.toml").read_bytes() == before


def test_the_end_of_a_running_run_is_not_changed(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--out", "run", "--epochs", "2", "--quiet", *small, "--steps", "5").status == 0
    before = (tmp_path / "run" / "config.toml").read_bytes()
    with RunFolder.open(tmp_path / "run").lock():
        answer = tinygan("resume", "run", "--quiet", "--epochs", "9")
    assert answer.status == 1
    assert "found it in use by process" in answer.err
    assert (tmp_path / "run" / "config.toml").read_bytes() == before


class Interrupted(command.Progress):
    """Send signals during step 30."""

    signals: tuple[signal.Signals, ...] = ()

    def step(self, training):
        if training.steps == 30:
            for number in self.signals:
                signal.raise_signal(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_prints_the_resume_command(tinygan, small, tmp_path, undisturbed, monkeypatch, number):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(command, "Progress", Interrupted)
    monkeypatch.setattr(Interrupted, "signals", (number,))
    answer = tinygan("train", "digits", "--out", "run", "--epochs", "3", "--quiet", *small)
    assert answer.status == 130
    assert answer.err == "\nfinishing this step, then saving; Ctrl-C again stops at once\n"
    assert answer.out.splitlines()[-1] == "saved after step 30; go on with: tinygan resume run"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert tinygan("resume", "run", "--quiet").status == 0
    assert metrics(tmp_path / "run") == undisturbed


@pytest.mark.slow
def test_ctrl_c_again_stops_at_once(tinygan, small, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(command, "Progress", Interrupted)
    monkeypatch.setattr(Interrupted, "signals", (signal.SIGINT, signal.SIGINT))
    answer = tinygan("train", "digits", "--out", "run", "--epochs", "3", "--quiet", *small)
    assert (answer.status, answer.out) == (130, "")
    assert answer.err.endswith("tinygan: stopped\n")
    assert os.listdir(tmp_path / "run" / "checkpoints") == []
    monkeypatch.setattr(Interrupted, "signals", ())
    assert tinygan("resume", "run", "--quiet").status == 0  # from the start
    assert metrics(tmp_path / "run") == undisturbed


@pytest.mark.slow
def test_a_real_process_with_a_real_ctrl_c(tinygan, small, tmp_path):
    words = ["train", "digits", "--epochs", "150", *small]
    words += ["--set", "output.samples_every=999", "--set", "output.checkpoint_every=999"]
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-m", "tinygan", *words, "--out", "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:
        while not (run / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert "finishing this step, then saving; Ctrl-C again stops at once" in err
    assert "\r" not in err  # no bar without a terminal
    *_, last = out.splitlines()
    assert last.startswith("saved after step ")
    assert last.endswith("; go on with: tinygan resume run")
    done = len(RunFolder.open(run).metrics())
    assert 1 <= done < 150
    # the rest, in this process, completes the same records as an uninterrupted run
    last = str((done + 2) * STEPS)
    assert tinygan("resume", "run", "--quiet", "--steps", last).status == 0
    assert tinygan(*words, "--out", "undisturbed", "--quiet", "--steps", last).status == 0
    assert metrics(run) == metrics(tmp_path / "undisturbed")


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["digts"],
            f'"digts": no such experiment; expected {SHIPPED} or the path of a TOML file; did you mean "digits"?',
        ),
        (["./no.toml"], f"no.toml: no such file; expected {SHIPPED} or the path of a TOML file"),
        (["digits", "--set", "epochs"], 'override "epochs": expected KEY=VALUE, as in training.epochs=5'),
        (
            ["digits", "--set", "training.epohs=3"],
            'override "training.epohs=3": training.epohs: unknown key; did you mean "epochs"?',
        ),
        (["digits", "--seed", "-1"], 'override "seed=-1": seed: expected an integer of at least 0, got -1'),
        (
            ["digits", "--set", "training.batch=2000"],
            "digits: training.batch x training.k = 2000 rows an iteration, but 'digits' has only 1397 training images; "
            "choose a smaller batch",
        ),
        (
            ["digits", "--out", "taken"],
            "taken: expected an empty folder, found something; choose another --out",
        ),
        (["digits", "--out", "file"], "file: expected a folder, found a file; choose another --out"),
    ],
)
def test_refusals_of_train(tinygan, tmp_path, words, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "something").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    answer = tinygan("train", *words)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == f"tinygan: error: {message}\n"
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "run.lock"] == before


def test_an_earlier_run_is_named_in_the_refusal(tinygan, small):
    words = ["train", "digits", "--out", "run", "--epochs", "1", "--quiet", *small]
    assert tinygan(*words).status == 0
    answer = tinygan(*words)
    assert answer.status == 1
    assert answer.err == (
        "tinygan: error: run: expected an empty folder, found an earlier run; choose another --out, or go on with that "
        "run: tinygan resume run\n"
    )


@pytest.mark.parametrize("by", ["option", "variable"])
def test_missing_mnist_files_are_named_with_their_place(tinygan, tmp_path, monkeypatch, by):
    words = ["--data", str(tmp_path)] if by == "option" else []
    if by == "variable":
        monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    answer = tinygan("train", "mnist", "--out", "run", *words)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(f"tinygan: error: mnist: {tmp_path / 'mnist'} has no file of the data set")
    for part in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        assert part in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_cuda_without_cupy(tinygan, tmp_path):
    answer = tinygan("train", "digits", "--out", "run", "--device", "cuda")
    assert answer.status == 1
    assert answer.err.startswith("tinygan: error: device 'cuda' is not available: CuPy is not installed; install it ")
    assert not (tmp_path / "run").exists()


def test_numba_does_not_compute_on_a_gpu(tinygan, tmp_path):
    answer = tinygan("train", "digits", "--device", "cuda", "--backend", "numba")
    assert (answer.status, os.listdir(tmp_path)) == (1, [])
    assert "--backend numba" in answer.err


def test_the_backend_is_recorded_named_and_compared(tinygan, tmp_path, small):
    pytest.importorskip("numba")
    try:
        answer = tinygan("train", "digits", "--out", "run", "--steps", "2", "--backend", "numba", "--quiet", *small)
        assert answer.out.endswith("go on with: tinygan resume run --backend numba\n")
        assert RunFolder.open(tmp_path / "run").environment()["backend"] == get_backend("cpu").library != "numpy"
        same = tinygan("resume", "run", "--steps", "3", "--backend", "numba", "--quiet")
        other = tinygan("resume", "run", "--steps", "4", "--quiet")
    finally:
        select_backend("numpy")
    assert (same.status, other.status) == (0, 0)
    assert "the backend was" not in same.err
    assert "and is now numpy" in other.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "argument --steps: expected an integer of at least 1, got '0'"),
        (["--epochs", "x"], "argument --epochs: expected an integer of at least 1, got 'x'"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--backend", "jax"], "argument --backend: invalid choice: 'jax'"),
        (["--device", "tpu"], "argument --device: invalid choice: 'tpu'"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_arguments_that_cannot_be_parsed(tinygan, tmp_path, words, message):
    answer = tinygan("train", "digits", *words)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_a_run_cannot_be_resumed(tinygan):
    answer = tinygan("resume", "nowhere")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith("tinygan: error: nowhere: expected a run folder, found no folder of this name; ")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_broken_run_ends_with_a_message(tinygan, small):
    words = ["--set", "discriminator.optimizer.lr=1e30", "--epochs", "2", "--quiet"]
    answer = tinygan("train", "digits", "--out", "run", *words, *small)
    assert (answer.status, answer.out) == (1, "")
    assert "tinygan: error: run: training stopped: step 1, epoch 1: the generator's loss is" in answer.err
