"""``tinygan diagnose``: verdicts for people, one JSON object for programs, and refusals."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tinygan import data
from tinygan.experiments.diagnosing import diagnose_run
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small).status == 0
    return tmp_path / "run"


def files_of(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_json_is_one_object_and_nothing_else(tinygan, trained):
    before = files_of(trained)
    answer = tinygan("diagnose", "run", "--json")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found == diagnose_run(RunFolder.open("run"), lambda config: data.load("digits")).as_dict()
    assert found["measures"] == RunFolder.open("run").diagnoses()[-1]["measures"]
    assert files_of(trained) == before


def test_each_verdict_has_its_number_and_advice(tinygan, trained, monkeypatch):
    answer = tinygan("diagnose", "run")
    assert (answer.status, answer.err) == (0, "")
    found = diagnose_run(RunFolder.open("run"), lambda config: data.load("digits"))
    said = " ".join(line[12:] for line in answer.out.splitlines())
    assert answer.out.splitlines()[:2] == ["run         run (digits)", "checkpoint  the last: epoch 1, step 21"]
    for verdict in found.record["verdicts"]:
        for text in (verdict["title"], verdict["says"], *verdict["advice"]):
            assert text in said
        assert f"{verdict['number']:.4g}; for comparison: {verdict['reference']:.4g}" in said
    assert ("The first verdict first" in said) == (len(found.record["verdicts"]) > 1)
    assert max(map(len, answer.out.splitlines())) <= 100
    monkeypatch.setenv("COLUMNS", "40")
    narrow = tinygan("diagnose", "run").out
    assert max(map(len, narrow.splitlines())) <= 40
    assert narrow.split() == answer.out.split()


def test_where_to_go_back_to_when_d_has_won(tinygan, small, tmp_path):
    words = ["--epochs", "3", "--set", "output.checkpoint_every=1"]
    tinygan("train", "digits", "--out", "my run", "--quiet", *words, *small)
    metrics = RunFolder.open("my run").metrics_path
    records = [json.loads(line) for line in metrics.read_text().splitlines()]

    def win(*epochs):
        for record in records:
            won = record["epoch"] in epochs
            record |= {"discriminator_loss": 0.001 if won else 1.3, "d_accuracy": 1.0 if won else 0.625}
        metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
        return tinygan("diagnose", "my run").out

    said = win(3)
    assert "step-000000042.safetensors" in said
    assert "from epoch 2, when D was right on 62 %" in " ".join(said.split())
    said = win(1, 2, 3)
    assert "No checkpoint of this run is from before D won." in said
    [command] = re.findall(r"slower D +tinygan (.*)", said)
    assert tinygan(*shlex.split(command), "--epochs", "1", "--quiet").status == 0
    assert "earlier" not in win()


def test_a_run_that_is_not_finished(tinygan, small):
    tinygan("train", "digits", "--epochs", "9", "--out", "run", "--quiet", "--steps", "30", *small)
    assert "checkpoint  the last: epoch 2, step 30\n" in tinygan("diagnose", "run").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: expected a run folder, found no folder of this name"),
        (["rn"], 'did you mean run?'),
    ],
)
def test_refusals(tinygan, trained, words, message):
    answer = tinygan("diagnose", *words)
    assert (answer.status, answer.out) == (1, "")
    assert message in answer.err


def test_a_run_without_a_checkpoint_and_a_damaged_one(tinygan, trained):
    (newest,) = (trained / "checkpoints").glob("step-*.safetensors")
    content = newest.read_bytes()
    newest.write_bytes(content[:-1])
    answer = tinygan("diagnose", "run")
    assert answer.status == 1
    assert "expected one whole checkpoint, found 1 damaged" in answer.err
    newest.unlink()
    answer = tinygan("diagnose", "run", "--json")
    assert (answer.status, answer.out) == (1, "")
    assert "there is no checkpoint yet; let the run reach one: tinygan resume run" in answer.err


def test_missing_data_are_named(tinygan, trained):
    config = trained / "config.toml"
    config.write_text(config.read_text().replace('set = "digits"', 'set = "mnist"'))
    answer = tinygan("diagnose", "run", "--data", trained)
    assert (answer.status, answer.out) == (1, "")
    assert "has no file of the data set" in answer.err


@pytest.mark.parametrize(
    "options", [["objective=hinge"], ["objective=wasserstein", "penalty={kind='clipping'}"], ["packing=4", "batch=64"]]
)
def test_every_kind_of_game_is_trained_and_diagnosed(tinygan, small, options):
    chosen = [word for option in options for word in ("--set", f"training.{option}")]
    answer = tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small, *chosen)
    assert answer.status == 0
    assert "warning" not in answer.err
    answer = tinygan("diagnose", "run")
    assert (answer.status, answer.err) == (0, "")
    assert " nan" not in answer.out
    assert ("no probability" in answer.out) is not any("packing" in option for option in options)
