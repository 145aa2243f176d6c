"""Progress: a bar on a terminal, lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.utils import disp_len

from tests.doubles.pseudo_terminal import PseudoTerminal
from tinygan.cli import progress
from tinygan.runs.run_folder import RunFolder

NUMBERS = r"loss D \d+\.\d{3} G \d+\.\d{3}  D\(x\) 0\.\d\d  D\(G\(z\)\) 0\.\d\d"


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def train(tinygan, small):
    """Return a function that trains; the lines of the diagnosis, which have tests of their own, are left out."""

    def command(*words):
        answer = tinygan("train", "digits", "--out", "run", "--epochs", "3", *words, *small)
        return dataclasses.replace(answer, err=re.sub("verdict after .*\n", "", answer.err))

    return command


@pytest.fixture
def terminal(capsys, monkeypatch):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: True)
    monkeypatch.setattr(progress, "REFRESH", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")


def test_lines_without_a_terminal(train, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    answer = train()
    assert answer.status == 0
    for line, epoch in zip(answer.err.splitlines(), (1, 2, 3), strict=True):
        assert re.fullmatch(rf"epoch {epoch}/3  {NUMBERS}  0:\d\d left", line), line
    assert answer.err.endswith("  0:00 left\n")


@pytest.mark.slow
def test_the_time_left_follows_from_the_mean_speed(train, tinygan, monkeypatch):
    def left(answer):
        return [line.rsplit("  ", 1)[1] for line in answer.err.splitlines() if "verdict" not in line]

    ticks = itertools.count(step=30)  # the clock is read once at the start and once in each epoch
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    assert left(train()) == ["1:00 left", "0:30 left", "0:00 left"]
    train("--out", "other", "--steps", "21", "--quiet")
    assert left(tinygan("resume", "other")) == ["0:30 left", "0:00 left"]


def test_the_last_epoch_always_has_a_line(train, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", 3600)
    first, last = train().err.splitlines()  # the first epoch always has a line
    assert first.startswith("epoch 1/3  ")
    assert last.startswith("epoch 3/3  ")


def test_the_numbers_are_those_of_the_record(train, monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    last = train().err.splitlines()[-1]
    record = RunFolder.open(tmp_path / "run").metrics()[-1]
    for text in (f"loss D {record['discriminator_loss']:.3f}", f"G {record['generator_loss']:.3f}"):
        assert text in last
    assert f"D(x) {record['d_real']:.2f}  D(G(z)) {record['d_fake']:.2f}" in last


def test_outputs_that_are_no_probabilities_are_called_scores(train, tmp_path):
    penalty = "training.penalty={kind='clipping'}"
    answer = train("--set", "training.objective=wasserstein", "--set", penalty, "--out", "critic")
    last = next(line for line in answer.err.splitlines() if line.startswith("epoch 3/3"))
    record = RunFolder.open(tmp_path / "critic").metrics()[-1]
    assert f"score(x) {record['score_real']:.2f}  score(G(z)) {record['score_fake']:.2f}" in last
    assert "D(x)" not in answer.err


@pytest.mark.slow
def test_a_bar_on_a_terminal(train, terminal):
    err = train().err
    last = err.rstrip("\n").split("\r")[-1]
    assert last.startswith("digits  100%  63/63  0:00 left  ")  # steps
    assert re.search(r"\|█+\|$", last)
    assert re.search(NUMBERS, last)
    assert "epoch" not in err
    assert err.endswith("\n")


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_new_verdict_has_a_line_of_its_own(tinygan, small, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: is_terminal)
    words = ["--epochs", "3", "--set", "output.checkpoint_every=1", *small]
    err = tinygan("train", "digits", "--out", "run", *words).err
    lines = [line.rpartition("\r")[2] for line in err.splitlines() if "verdict" in line]
    record, *_ = RunFolder.open("run").diagnoses()
    titles = "; ".join(verdict["title"] for verdict in record["verdicts"])
    assert lines[0] == f"verdict after epoch 1: {titles}"
    changes = [[verdict["name"] for verdict in record["verdicts"]] for record in RunFolder.open("run").diagnoses()]
    assert len(lines) == len(list(itertools.groupby(changes)))
    assert "verdict" not in tinygan("train", "digits", "--out", "other", "--quiet", *words).err


@pytest.mark.slow
def test_a_resumed_bar_starts_where_the_run_stopped(train, tinygan, terminal):
    train("--steps", "40", "--quiet")
    err = tinygan("resume", "run").err
    first, *_, last = (part for part in err.split("\r") if "/63" in part)
    assert " 40/63 " in first
    assert " 63/63 " in last


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_quiet_is_silent(train, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda stream: is_terminal)
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    answer = train("--quiet")
    assert (answer.status, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.4, "0:59"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (36_061, "10:01:01")],
)
def test_a_clock(seconds, shown):
    assert progress._clock(seconds) == shown


@pytest.mark.slow
def test_a_crashed_run_has_a_report_of_its_last_checkpoint(train, monkeypatch, tmp_path, real_report):
    class Dies(progress.Progress):
        def step(self, training):
            if training.epoch == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("tinygan.cli.train.Progress", Dies)
    assert train("--quiet", "--set", "output.checkpoint_every=1").status == 130
    assert "After 2 of 3 epochs" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_a_report_is_written_once_for_each_checkpoint(train, tinygan, monkeypatch, tmp_path):
    written = []

    def write(folder):
        written.append(len(folder.metrics()))
        return folder.report_path

    monkeypatch.setattr("tinygan.cli.progress.write_report", write)
    train("--quiet", "--set", "output.checkpoint_every=2")
    assert written == [2, 3]
    tinygan("resume", "run")  # it is finished, but its report may be lost
    assert written == [2, 3, 3]


# --- the width -----------------------------------------------------------------------------------------------


def shown(name="digits", done=3780, columns=80, monitors="loss D 1.422 G 0.607|D(x) 0.56|D(G(z)) 0.56"):
    """Return which fields a line of plain text holds."""
    ranks = (2, 0, 1)
    fields = [(5, name), (3, f"{done // 84}%"), (6, f"{done}/8400"), (4, "0:14 left"), (7, "300.0 steps/s")]
    return progress.fitted([*fields, *zip(ranks, monitors.split("|"), strict=True)], columns)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (200, "digits  45%  3780/8400  0:14 left  300.0 steps/s  loss D 1.422 G 0.607  D(x) 0.56  D(G(z)) 0.56"),
        (80, "digits  45%  3780/8400  0:14 left  loss D 1.422 G 0.607  D(x) 0.56  D(G(z)) 0.56"),
        (79, "digits  45%  0:14 left  loss D 1.422 G 0.607  D(x) 0.56  D(G(z)) 0.56"),
        (52, "45%  loss D 1.422 G 0.607  D(x) 0.56  D(G(z)) 0.56"),
        (40, "45%  0:14 left  D(x) 0.56  D(G(z)) 0.56"),
        (24, "D(x) 0.56  D(G(z)) 0.56"),
        (20, "45%  D(x) 0.56"),
        (9, "D(x) 0.56"),
        (1, "D(x) 0.56"),
    ],
)
def test_which_fields_go_first(columns, line):
    assert shown(columns=columns) == line


@given(
    st.lists(st.tuples(st.integers(0, 9), st.text(st.characters(categories=["L", "N"]), max_size=30)), min_size=1),
    st.integers(1, 120),
)
def test_a_line_fits_and_keeps_the_first_rank(fields, width):
    line = progress.fitted(fields, width)
    first = min(fields)[1]
    assert disp_len(line) <= max(width, disp_len(first))
    assert first in line


def test_a_wide_character_takes_two_columns():
    fields = [(1, "数字"), (0, "D(x)")]
    assert [progress.fitted(fields, width) for width in (10, 9)] == ["数字  D(x)", "D(x)"]


@pytest.mark.parametrize(("columns", "fields"), [("40", 3), ("20", 2), ("120", 6), ("0", 5), ("x", 5)])
def test_plain_lines_fit_the_columns_of_the_environment(train, monkeypatch, columns, fields):
    monkeypatch.setattr(progress, "LINE_EVERY", 0)
    monkeypatch.setenv("COLUMNS", columns)
    for line in train().err.splitlines():
        assert len(line.split("  ")) == fields, line
        assert len(line) <= (int(columns) if columns in ("40", "20", "120") else 80)
        assert "D(x) 0." in line


@pytest.mark.slow
@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_the_bar_fits_a_pseudo_terminal(small, columns):
    child = PseudoTerminal(columns, "train", "digits", "--epochs", "4", *small)
    assert child.end() == 0
    seen = re.sub(r"verdict after [^\r\n]*", "", child.seen)  # a message, which a narrow terminal breaks
    drawn = re.split(r"\r\n?|\n", seen.partition("samples  ")[0])
    assert max(map(len, drawn)) == columns - 1
    monitored = [line for line in drawn if "D(x)" in line]
    assert monitored
    for line in monitored:
        assert ("D(G(z))" in line) == (columns >= 40)
        assert ("loss D" in line) == (columns >= 80)
        assert ("|" in line) == (columns >= 120)


@pytest.mark.slow
def test_the_bar_follows_a_resized_window(small):
    never = ["--set", "output.checkpoint_every=2000"]  # a diagnosis would print between two bars
    child = PseudoTerminal(100, "train", "digits", "--epochs", "2000", *never, *small)
    child.read_until("D(x)", 3)
    widths = []
    for columns in (40, 20, 80):
        child.resize(columns)
        there = len(child.seen)
        child.read_until("\r", child.seen.count("\r") + 3)
        lines = child.seen[there:].split("\r")[1:-1]
        widths.append(len(lines[-1]))
        assert not [line for line in lines if len(line) >= columns > len(line.rstrip())]  # no blanks beyond the window
    child.type(b"\x03")
    assert child.end() == 130
    assert widths == [39, 19, 79]
