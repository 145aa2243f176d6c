"""`tinygan step`: the lines of one iteration, with and without a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.doubles.pseudo_terminal import PseudoTerminal
from tinygan import data
from tinygan.cli import step
from tinygan.config.experiment import load_experiment
from tinygan.experiments.training import Training
from tinygan.trace.moved import hashes

pytestmark = pytest.mark.slow


@pytest.fixture
def digits(tinygan, small):
    return lambda *words: tinygan("step", "digits", *words, *small)


def numbers_of(text):
    """Return the numbers of the lines, in the order in which they come."""
    return [int(row.split()[0]) for row in text.splitlines() if re.match(r"\d", row)]


def test_all_lines_without_a_terminal(digits):
    answer = digits()
    assert (answer.status, answer.err) == (0, "")
    assert numbers_of(answer.out) == [*range(1, 10), *range(1, 10)]  # the algorithm, then its lines with numbers
    assert answer.out.isprintable() is False  # because of its lines only:
    assert all(row.isprintable() for row in answer.out.splitlines())
    assert "This step moved D only." in answer.out
    assert "This step moved G only." in answer.out
    assert step.PROMPT not in answer.out


@pytest.mark.parametrize("steps", [20, 21, 25])  # an epoch has 21
def test_the_iteration_is_that_of_the_training(tinygan, small, steps):
    answer = tinygan("step", "digits", "--steps", str(steps), "--quiet", "--json", *small)
    config = load_experiment("digits", small[1::2])
    training = Training(config, data.load("digits"))
    for _ in range(steps + 1):
        before = hashes(training.game)
        if training.epoch_is_over:
            training.next_epoch()
        training.step()
    record = json.loads(answer.out)
    assert record["iteration"] == training.steps == steps + 1
    end = record["lines"][-1]
    assert end["sha256"] == {player: [before[player], hashes(training.game)[player]] for player in before}


def test_products_use_the_threads_of_the_experiment(digits, monkeypatch):
    asked = []
    monkeypatch.setattr(step, "blas_threads", lambda threads: asked.append(threads) or contextlib.nullcontext())
    assert digits().status == 0
    assert asked == [1]


def test_json_is_one_object(digits):
    record = json.loads(digits("--json", "--all").out)
    assert record["experiment"] == "digits"
    assert [line["line"] for line in record["lines"]] == list(range(1, 10))
    assert len(record["algorithm"]) == 9


def test_epochs_and_steps_count_what_comes_before(digits):
    every = 1347 // 64
    assert json.loads(digits("--json", "--epochs", "1", "--quiet").out)["iteration"] == every + 1
    assert json.loads(digits("--json", "--steps", str(every), "--quiet").out)["iteration"] == every + 1
    assert json.loads(digits("--json").out)["iteration"] == 1
    assert digits("--steps", "1", "--epochs", "1").status == 2


def test_settings_of_the_experiment(digits):
    answer = digits("--set", "training.k=2", "--seed", "3")
    assert "with seed 3" in answer.out
    assert numbers_of(answer.out)[9:] == [1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.slow
def test_the_page_shows_real_output(tinygan):
    """Apart from the numbers, the hashes and the pictures, which another processor may change."""

    def pattern(row):
        return re.sub(r"[0-9a-f]{12}|-?\d[\d.e+-]*", "#", " ".join(row.split()))

    page = (Path(__file__).parents[2] / "docs" / "algorithm-1.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("    ") and not row.strip().startswith((":", "-", "="))]
    real = {pattern(row) for row in tinygan("step", "digits", "--steps", "500", "--quiet").out.splitlines()}
    pictures = [row for row in rows if "@" in row]
    assert len(rows) > 25
    assert {pattern(row) for row in rows if row not in pictures} <= real


def test_line_data_are_histograms(tinygan):
    answer = tinygan("step", "gaussian")
    assert answer.status == 0
    assert re.search(r"\n   x    \|.*\|\n   G\(z\) \|.*\|\n", answer.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digitz"], 'did you mean "digits"?'),
        (["nowhere.toml"], "nowhere.toml"),
        (["mnist", "--data", "empty"], "empty"),
        (["digits", "--set", "training.k=0"], "training.k"),
        (["digits", "--seed", "-1"], "seed"),
        (["digits", "--steps", "6300"], "ends after 6,300 iterations"),
        (["digits", "--epochs", "300"], "--set training.epochs=N"),
    ],
    ids=" ".join,
)
def test_refusals(tinygan, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    answer = tinygan("step", *words, "--quiet")
    assert answer.status == 1
    assert said in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("words", [["--steps", "0"], ["--epochs", "x"], ["--step", "1", "--batch", "2"]])
def test_arguments_that_cannot_be_parsed(digits, words):
    assert digits(*words).status == 2


def test_nothing_is_written(digits, tmp_path):
    digits()
    assert list(tmp_path.iterdir()) == []


# --- a terminal ----------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(capsys, monkeypatch):
    """Make stdin and stdout terminals; return a function that sets what is typed."""
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    def typed(text):
        stdin = io.StringIO(text)
        stdin.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", stdin)

    return typed


def test_enter_shows_the_next_line(digits, terminal):
    terminal("\n" * 9)
    answer = digits()
    assert answer.status == 0
    assert answer.out.count(step.PROMPT) == answer.out.count(step.ERASE) == 9
    shown = answer.out.split(step.PROMPT + step.ERASE)
    assert numbers_of(shown[0]) == list(range(1, 10))
    assert [numbers_of(part) for part in shown[1:]] == [[number] for number in range(1, 10)]


@pytest.mark.parametrize(("typed", "prompts", "last"), [("\na\n", 2, 9), ("\nq\n", 2, 1), ("\n\n", 3, 2), ("", 1, 0)])
def test_a_for_all_q_and_the_end_of_the_input_to_quit(digits, terminal, typed, prompts, last):
    terminal(typed)
    answer = digits()
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.count(step.PROMPT) == prompts
    assert numbers_of(answer.out.replace(step.PROMPT, "").replace(step.ERASE, ""))[9:] == list(range(1, last + 1))


@pytest.mark.parametrize("words", [["--all"], ["--json"]])
def test_no_waiting_on_request(digits, terminal, words):
    terminal("")
    answer = digits(*words)
    assert answer.status == 0
    assert step.PROMPT not in answer.out


def test_a_dumb_terminal_erases_nothing(digits, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    terminal("\n" * 9)
    assert "\x1b" not in digits().out


def test_colours_only_on_a_terminal_that_wants_them(digits, terminal, monkeypatch):
    terminal("a\n")
    assert "\x1b[38" not in digits().out
    monkeypatch.delenv("NO_COLOR")
    terminal("a\n")
    assert "\x1b[38;5;" in digits().out
    monkeypatch.setenv("COLORTERM", "truecolor")
    terminal("a\n")
    assert "\x1b[38;2;" in digits().out


def test_the_prompt_fits_40_columns():
    assert len(step.PROMPT) < 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "status", "columns"),
    [(b"q\n", 0, 80), (b"\x04", 0, 40), (b"\x03", 130, 80), (b"a\n", 0, 40), (b"a\n", 0, 80)],
)
def test_keys_in_a_pseudo_terminal(small, key, status, columns):
    child = PseudoTerminal(columns, "step", "digits", *small)
    child.read_until(step.PROMPT)
    child.type(b"\n")
    child.read_until(step.PROMPT, 2)
    child.type(key)
    assert child.end() == status
    assert ("Traceback" in child.seen, "stopped" in child.seen) == (False, status == 130)
    assert ("line 9" in child.seen or "This iteration moved" in child.seen) == (key == b"a\n")
    rows = re.sub(r"\x1b\[[\d;]*[mAK]", "", child.seen).splitlines()
    assert max(map(len, rows)) < columns + 4  # the key is echoed after the prompt


@pytest.mark.slow
def test_the_end_of_the_terminal_ends_the_command(small):
    child = PseudoTerminal(80, "step", "digits", *small)
    child.read_until(step.PROMPT)
    os.close(child.terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) in (-signal.SIGHUP, 0, 1, 130)
