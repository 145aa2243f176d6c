"""Misspelled arguments and the suggestions for them."""

from __future__ import annotations

import shutil

import pytest

from tinygan.cli.arguments import path


@pytest.fixture
def run(tinygan, small, tmp_path):
    """Make a run in runs/digits, as `tinygan train digits` does."""
    assert tinygan("train", "digits", "--epochs", "2", "--steps", "3", "--quiet", *small).status == 0
    return tmp_path / "runs" / "digits"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tran", "digits"], "invalid choice: 'tran' (choose from"),
        (["train", "digits", "--epohs", "3"], "unrecognized arguments: --epohs 3"),
        (["train", "digits", "--devise=cuda"], "unrecognized arguments: --devise=cuda"),
        (["evaluate", "run", "--checkpoint", "lst"], "argument --checkpoint: invalid choice: 'lst' (choose from"),
        (["export", "run", "--out", "x.npz", "--layout", "torch"], "argument --layout: invalid choice: 'torch'"),
    ],
)
def test_the_nearest_word_is_suggested(tinygan, words, message):
    near = {"tran": "train", "--epohs": "--epochs", "--devise=cuda": "--device", "lst": "last", "torch": "pytorch"}
    [meant] = (near[word] for word in words if word in near)
    answer = tinygan(*words)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.endswith(f'; did you mean "{meant}"?\n')
    if words[0] in ("train", "evaluate", "export"):
        assert answer.err.startswith(f"usage: tinygan {words[0]} ")


@pytest.mark.parametrize(
    "words", ["xyzzy", "train digits --zz 3", "train digits more", "train digits --device gpu"]
)
def test_a_word_like_no_other_gets_no_suggestion(tinygan, words):
    answer = tinygan(*words.split())
    assert answer.status == 2
    assert "did you mean" not in answer.err


@pytest.mark.parametrize(
    "words", [["resume"], ["sample", "--out", "x.npy"], ["evaluate"], ["export", "--out", "x.npz"]], ids=" ".join
)
def test_a_run_in_the_folder_runs_is_suggested(tinygan, run, words):
    for given in ("digits", "dgits", "runs/digts", "runs/digits/config.toml", "runs/digits/checkpoints"):
        answer = tinygan(words[0], given, *words[1:])
        assert (answer.status, answer.out) == (1, "")
        assert answer.err.startswith(f"tinygan: error: {given}: expected a run folder, found ")
        assert answer.err.endswith("; did you mean runs/digits?\n")


def test_a_suggested_run_is_quoted(tinygan, run):
    shutil.move(run, run.parent / "my run")
    assert tinygan("resume", "my run").err.endswith("; did you mean 'runs/my run'?\n")


def test_without_runs_there_is_no_suggestion(tinygan):
    assert "did you mean" not in tinygan("resume", "digits").err


def test_train_with_a_run_suggests_resume(tinygan, run):
    answer = tinygan("train", "runs/digits")
    assert answer.status == 1
    assert "to go on with this run: tinygan resume runs/digits" in answer.err


def test_a_tilde_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path("~/data") == tmp_path / "data"
    assert str(path("./~")) == "~"
    assert str(path("~no-such-user/x")) == "~no-such-user/x"
