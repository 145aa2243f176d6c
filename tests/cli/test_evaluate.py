"""``tinygan evaluate``: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.doubles import faces
from tests.doubles.small import shrunk
from tinygan import data
from tinygan.config.experiment import to_toml
from tinygan.experiments.protocol import run_protocol
from tinygan.runs.run_folder import RunFolder


@pytest.fixture
def trained(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small).status == 0
    return tmp_path / "run"


def test_json_is_one_object_and_nothing_else(tinygan, trained):
    answer = tinygan("evaluate", "run", "--json", "--samples", "60", "--seed", "2")
    assert (answer.status, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert found == run_protocol(RunFolder.open("run"), data.load("digits"), samples=60, seed=2).as_dict()
    for key in ("sigma", "valid_mean", "test_mean", "test_standard_error", "samples"):
        assert isinstance(found[key], int | float)


def test_the_table_names_run_samples_and_images(tinygan, trained):
    answer = tinygan("evaluate", "run", "--samples", "60")
    found = run_protocol(RunFolder.open("run"), data.load("digits"), samples=60)
    lines = answer.out.splitlines()
    assert lines[0] == "run         run (digits)"
    assert lines[1] == f"checkpoint  the last: epoch 1, step {found.steps}"
    assert lines[2] == "samples     60, from the noise of seed 0, with G's weights themselves"
    assert lines[3] == f"sigma       {found.sigma:.4f}, the best of 10 from 0.1 to 1 on validation"
    validation = len(data.load("digits").validation)
    assert lines[4] == (
        f"validation  {found.valid_mean:.1f} ± {found.valid_standard_error:.1f} nats "
        f"(the first {validation:,} of {validation:,} images of digits)"
    )
    assert lines[5] == (
        f"test        {found.test_mean:.1f} ± {found.test_standard_error:.1f} nats ({found.test_images:,} images)"
    )
    assert "warning     60 samples, not 10,000: fewer samples give a lower number" in lines
    assert "warning     the checkpoint is the last one; no validation has chosen it" in lines
    assert lines[-1].startswith("note        A Parzen window estimate has a high variance and can prefer blur")


def test_all_measures(tinygan, trained):
    answer = tinygan("evaluate", "run", "--samples", "60", "--all")
    found = run_protocol(RunFolder.open("run"), data.load("digits"), samples=60, more=True)
    names = ("coverage", "regions", "density", "MMD", "two-sample", "reference")
    lines = [line for line in answer.out.splitlines() if line.split()[0] in names]
    images = found.measures.training_images
    counts = ", ".join(f"{label}: {count:g}" for label, count in enumerate(found.measures.coverage.counts))
    assert lines == [
        f"coverage    {found.measures.coverage} ({counts})",
        f"regions     {found.measures.regions}",
        f"density     {found.measures.density}",
        f"MMD         {found.measures.discrepancy}",
        f"MMD         {found.measures.polynomial}",
        f"two-sample  {found.measures.test}",
        f"reference   {images.test_mean:.1f} ± {images.test_standard_error:.1f} nats for 60 training images in the "
        f"place of samples (sigma {images.sigma:.4f})",
    ]
    plain = json.loads(tinygan("evaluate", "run", "--samples", "60", "--all", "--json").out)
    assert plain == found.as_dict()
    assert plain["measures"]["classes_covered"] == found.measures.coverage.covered


def test_the_best_checkpoint_is_named(tinygan, trained):
    checkpoints = trained / "checkpoints"
    (newest,) = checkpoints.glob("step-*.safetensors")
    shutil.copy(newest, checkpoints / "best.safetensors")
    assert "checkpoint  the best on validation: epoch 1," in tinygan("evaluate", "run", "--samples", "9").out
    assert "checkpoint  the last: " in tinygan("evaluate", "run", "--samples", "9", "--checkpoint", "last").out


def test_with_and_without_the_running_mean(tinygan, small, tmp_path):
    average = ("--set", "generator.average_decay=0.9")
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small, *average).status == 0
    with_mean = tinygan("evaluate", "run", "--samples", "9").out
    assert "samples     9, from the noise of seed 0, with the running mean of G's weights\n" in with_mean
    without = tinygan("evaluate", "run", "--samples", "9", "--no-average").out
    assert "samples     9, from the noise of seed 0, with G's weights themselves\n" in without
    found = json.loads(tinygan("evaluate", "run", "--samples", "9", "--no-average", "--json").out)
    assert found == run_protocol(RunFolder.open("run"), data.load("digits"), samples=9, averaged=False).as_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: "),
        (["run", "--seed", "-1"], "--seed -1: expected 0 or more"),
        (["run", "--checkpoint", "best"], "run: no checkpoint was chosen by validation; set output.validate_every in"),
    ],
)
def test_refusals(tinygan, trained, words, message):
    answer = tinygan("evaluate", *words)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith(f"tinygan: error: {message}")


@pytest.mark.slow
def test_every_fold_can_be_chosen(tinygan, tmp_path):
    faces.write(tmp_path, faces.contents(80))
    config = shrunk("tfd", ["training.epochs=1", "training.batch=20", "output.samples=4"])
    (tmp_path / "narrow.toml").write_text(to_toml(config), encoding="utf-8")
    here = ["--data", str(tmp_path), "--quiet"]
    assert tinygan("train", "narrow.toml", "--out", "run", *here).status == 0
    found = {}
    for fold in range(5):
        words = ["evaluate", "run", "--samples", "50", "--fold", str(fold), "--json", *here]
        found[fold] = json.loads(tinygan(*words).out)
        assert found[fold]["fold"] == fold
    assert len({answer["test_mean"] for answer in found.values()}) == 5
    assert json.loads(tinygan("evaluate", "run", "--samples", "50", "--json", *here).out) == found[0]
    answer = tinygan("evaluate", "run", "--samples", "50", "--fold", "3", *here)
    assert "(the first 4 of 4 images of tfd, fold 3)" in answer.out
    answer = tinygan("evaluate", "run", "--fold", "5", *here)
    assert (answer.status, answer.err) == (1, "tinygan: error: tfd: expected a fold from 0 to 4, got 5\n")


def test_a_fold_of_data_without_folds_is_refused(tinygan, trained):
    answer = tinygan("evaluate", "run", "--fold", "0")
    assert answer.status == 1
    assert answer.err == "tinygan: error: digits has no folds, got fold 0: leave it out; tfd comes in folds\n"


def test_a_damaged_checkpoint_is_refused(tinygan, trained):
    (newest,) = (trained / "checkpoints").glob("step-*.safetensors")
    newest.write_bytes(newest.read_bytes()[:-1])
    answer = tinygan("evaluate", "run")
    assert answer.status == 1
    assert "expected one whole checkpoint, found 1 damaged" in answer.err
