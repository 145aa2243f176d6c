"""The file of a sweep, the runs that it means, and how far they are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.config.experiment import load_experiment, to_toml
from tinygan.errors import ConfigError, RunError
from tinygan.parallel.sweep import METRICS, read_sweep, wait_until_free
from tinygan.runs.run_folder import RunFolder

DIGITS = 'experiment = "digits"\nseeds = [1, 2]\n'


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sweep(text: str, **options: Any) -> Any:
    Path("mine.toml").write_text(text, encoding="utf-8")
    return read_sweep(Path("mine.toml"), **options)


def make(run: Any, epochs: int = 0, **changes: Any) -> RunFolder:
    """Make the folder of a run with records of some epochs."""
    overrides = [*run.overrides, f"seed={run.seed}", *(f"{key}={value}" for key, value in changes.items())]
    folder = RunFolder.create(run.folder, to_toml(load_experiment(run.experiment, overrides)), {})
    with folder.lock():
        for epoch in range(1, epochs + 1):
            folder.append_metrics({"epoch": epoch, "steps": 21 * epoch, "d_real": 0.5, "momentum": None})
    return folder


def test_there_is_a_run_for_each_combination_and_seed() -> None:
    found = sweep(DIGITS + "[set]\ntraining.k = [1, 2]\ngenerator.optimizer.lr = [0.1, 0.2]\ntraining.epochs = 3\n")
    assert found.varied == ["training.k", "generator.optimizer.lr"]
    assert [run.row for run in found.runs[::2]] == [("1", "0.1"), ("1", "0.2"), ("2", "0.1"), ("2", "0.2")]
    last = found.runs[-1]
    assert last.folder == Path("runs/mine/generator.optimizer.lr=0.2,training.k=2,seed=2")
    assert last.overrides == ("training.k=2", "training.epochs=3", "generator.optimizer.lr=0.2")
    config = last.config
    assert (config.training.epochs, config.generator.optimizer.lr, config.training.k, config.seed) == (3, 0.2, 2, 2)
    assert not Path("runs").exists()


numbers = st.floats(1e-6, 1e6) | st.integers(1, 10**6)


@given(st.lists(numbers, min_size=1, max_size=4), st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3))
def test_each_run_has_its_own_values_and_folder(values: list[float], seeds: list[int]) -> None:
    values, seeds = list(dict.fromkeys(values)), list(dict.fromkeys(seeds))
    found = sweep(f'experiment = "digits"\nseeds = {seeds}\n[set]\ngenerator.optimizer.lr = {values}')
    got = [(run.config.generator.optimizer.lr, run.config.seed) for run in found.runs]
    assert got == [(value, seed) for value in values for seed in seeds]
    names = {run.folder.name for run in found.runs}
    assert len(names) == len(got)
    assert all(re.fullmatch(r"[\w.=,+-]{1,100}", name) for name in names)


def test_long_or_similar_values_have_numbers_in_the_names() -> None:
    layers = "[{type='linear', units=%d}, {type='relu'}, {type='linear', units=64}, {type='sigmoid'}]"
    found = sweep(DIGITS + f"[set]\ngenerator.layers = [{layers % 5}, {layers % 6}]\n")
    assert [run.folder.name for run in found.runs[::2]] == ["generator.layers=1,seed=1", "generator.layers=2,seed=1"]
    assert [run.config.generator.layers[0].units for run in found.runs[::2]] == [5, 6]
    found = sweep(DIGITS + '[set]\ndescription = ["a b", "a/b"]\n')
    assert [run.folder.name for run in found.runs[::2]] == ["description=1,seed=1", "description=2,seed=1"]


def test_a_table_is_settings_and_a_list_of_tables_values() -> None:
    found = sweep(DIGITS + '[set]\ntraining.penalty = { kind = "r1", weight = [1.0, 10.0] }\n')
    assert found.varied == ["training.penalty.weight"]
    found = sweep(DIGITS + '[set]\ngenerator.optimizer = [{ kind = "sgd", lr = 0.1 }, { kind = "sgd", lr = 0.2 }]\n')
    assert [run.config.generator.optimizer.lr for run in found.runs[::2]] == [0.1, 0.2]


def test_the_folder_is_that_of_the_file_or_of_the_call() -> None:
    assert sweep('out = "there"\n' + DIGITS).runs[0].folder == Path("there/seed=1")
    assert sweep('out = "~/there"\n' + DIGITS).out == Path(os.path.expanduser("~/there"))
    assert sweep('out = "there"\n' + DIGITS, out=Path("here")).out == Path("here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('experiment = "digit"\nseeds = [1]', '"digit": no such experiment; .*; did you mean "digits"?'),
        ('experiment = "digits"', "seeds: missing"),
        ('experiment = "digits"\nseed = [1]', 'seed: unknown key; did you mean "seeds"?'),
        ('experiment = "digits"\nseeds = [1, 1]', "seeds: has 1 twice"),
        ('experiment = "digits"\nseeds = []', "seeds: expected a list with at least one entry"),
        (DIGITS + 'metrics = ["precison"]', r'metrics\[0\]: expected .* did you mean "precision"?'),
        (DIGITS + "set = 3", "set: expected a table of settings"),
        (DIGITS + "[set]\nseed = 3", "set.seed: the list seeds has the seeds"),
        (DIGITS + "[set]\ntraining.k = []", "set.training.k: expected a value or a list"),
        (DIGITS + "[set]\ntraining.k = [1, 1]", "set.training.k: has 1 twice"),
        (DIGITS + "[set]\ntraining.k = [1, 0]", 'override "training.k=0": training.k: expected an integer'),
        (DIGITS + "[set]\ntraining.epoch = 1", 'training.epoch: unknown key; did you mean "epochs"?'),
        (DIGITS + "[set]\nnoise.size = [1, 2]\n'noise' = 3", "line 5: not valid TOML"),
        (DIGITS + "[set]\n'noise.size' = [1, 2]\nnoise = [{kind='uniform', size=2}]", "sets noise, and noise.size is"),
        (
            DIGITS + "[set]\n'generator.layers[0].units' = 1\n'generator.layers.0.units' = 2",
            "expected each setting once",
        ),
        (DIGITS + "[set]\ngenerator.optimizer.lr = [1, 1.0]", "would be the same run; leave one out"),
    ],
)
def test_a_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")) as caught:
        sweep(text)
    assert str(caught.value).startswith("mine.toml: ")


def test_a_run_with_other_settings_is_refused_and_kept() -> None:
    text = DIGITS + "[set]\ntraining.epochs = 3\n"
    run = make(sweep(text).runs[0], 2)
    before = run.config_path.read_bytes()
    for change, told in {
        "training.k = 2": "training.k was 1 and is now 2",
        "data.range = [[-1, 1]]": "data.range.0 was None and is now -1",
        'generator.pretrained = "x"': "generator.pretrained was None and is now",
    }.items():
        with pytest.raises(RunError, match=f"holds a run with other settings: .*{re.escape(told)}"):
            sweep(text + change)
    with pytest.raises(RunError, match=r"2 epochs are done, more than training.epochs = 1; choose another out"):
        sweep(text.replace("= 3", "= 1"))
    assert run.config_path.read_bytes() == before


def test_a_run_may_get_a_later_end_or_other_outputs() -> None:
    text = DIGITS + "[set]\ntraining.epochs = 3\n"
    make(sweep(text).runs[0], 2)
    (run, _) = sweep(text.replace("= 3", "= 5\noutput.samples = 9\ntraining.threads = 2")).runs
    assert run.has_begun
    assert run.command("--quiet")[:4] == ["resume", "runs/mine/seed=1", "--set", "training.epochs=5"]
    assert run.command("--quiet")[-1] == "--quiet"


def test_a_run_has_absolute_paths_where_the_file_has_relative_ones() -> None:
    text = DIGITS + '[set]\ngenerator.pretrained = "other"\n'
    make(sweep(text).runs[0], **{"generator.pretrained": os.path.abspath("other")})  # as `tinygan train` records it
    assert sweep(text).runs[0].has_begun


def test_a_run_has_one_thread_unless_something_says_more() -> None:
    mnist = DIGITS.replace("digits", "mnist")
    (run, other) = sweep(mnist + "[set]\ntraining.epochs = 3\n").runs
    assert run.overrides == other.overrides == ("training.epochs=3", "training.threads=1")
    assert run.config.training.threads == other.config.training.threads == 1
    assert sweep(mnist + "[set]\ntraining.threads = 2\n").runs[0].config.training.threads == 2
    assert sweep(DIGITS).runs[0].overrides == ()  # the experiment says 1


def test_a_missing_run_is_trained_with_its_seed() -> None:
    (_, run) = sweep(DIGITS + "[set]\ntraining.epochs = 3\n").runs
    words = ["train", "digits", "--out", "runs/mine/seed=2", "--seed", "2", "--set", "training.epochs=3"]
    assert run.command() == words
    assert (run.has_begun, run.is_done) == (False, False)


def test_a_run_is_done_when_its_report_is_written_after_its_end() -> None:
    (run, _) = sweep(DIGITS + "[set]\ntraining.epochs = 3\n").runs
    folder = make(run, 3)
    assert not run.is_done
    with folder.lock():
        folder.save_checkpoint(63, {}, {})
    assert not run.is_done
    folder.report_path.touch()
    assert run.is_done
    os.utime(folder.report_path, ns=(1, 1))  # that of an earlier checkpoint
    assert not run.is_done


def test_numbers_are_those_of_the_end() -> None:
    (run, _) = sweep(DIGITS).runs
    folder = make(run, 2)
    assert run.numbers() == {"d_real": 0.5}  # null is no number
    with folder.lock():
        folder.append_diagnosis({"epoch": 1, "verdicts": [], "measures": {"precision": 0.25}})
    assert run.numbers() == {"d_real": 0.5}
    with folder.lock():
        folder.append_diagnosis({"epoch": 2, "verdicts": [], "measures": {"precision": 0.75, "no_metric": 1}})
    assert run.numbers() == {"precision": 0.75, "d_real": 0.5}
    assert set(run.numbers()) <= set(METRICS)


def test_other_runs_in_the_folder_are_named() -> None:
    found = sweep(DIGITS)
    make(found.runs[0])
    make(sweep(DIGITS.replace("1", "7")).runs[0])
    Path("runs/mine/notes").mkdir()
    assert found.others() == ["seed=7"]


def test_a_sweep_waits_for_the_jobs_of_a_killed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sweep(DIGITS)
    holder = make(found.runs[0])
    slept = []
    held = holder.lock()
    held.__enter__()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            held.__exit__(None, None, None)

    monkeypatch.setattr("tinygan.parallel.sweep.time.sleep", sleep)
    wait_until_free(found.runs)
    assert len(slept) == 3


def test_texts_and_truths_are_values() -> None:
    text = """[set]
    description = "it's \\"quoted\\""
    training.schedule = "simultaneous"
    training.shared_noise = [true, false]
    """
    found = sweep(DIGITS + text)
    assert [run.config.training.shared_noise for run in found.runs[::2]] == [True, False]
    assert found.runs[0].config.description == 'it\'s "quoted"'
