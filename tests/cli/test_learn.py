"""``tinygan learn``."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinygan.learn import process
from tinygan.learn.answering import Answering
from tinygan.learn.exercises import EXERCISES, exercise


@pytest.fixture
def quick(monkeypatch):
    """Run the reader's file in this process, which is much faster."""

    def answers_of(each, path, source, seconds):
        written = io.StringIO()
        Answering(each, str(path), source, written).run()
        return process.answers_from(json.loads(line) for line in written.getvalue().splitlines())

    monkeypatch.setattr(process, "answers_of", answers_of)


def write(number, *changes, folder="learn", text=None):
    """Write an answer: the solution, with changes."""
    source = text or exercise(number).solution
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    path = Path(folder, exercise(number).file_name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path


def test_the_list_names_every_exercise(tinygan):
    answer = tinygan("learn")
    assert answer.status == 0
    for each in EXERCISES:
        assert each.title in answer.out
        assert each.teaches.split()[0] in answer.out
    assert answer.out.endswith("0 of 13 passed\nNext: tinygan learn start 1\n")
    assert not Path("learn").exists()


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_lines_of_the_list_fit_the_terminal(tinygan, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, tinygan("learn").out.splitlines())) <= max(int(columns), 70)


def test_from_the_start_to_the_next_exercise(tinygan, quick):
    answer = tinygan("learn", "start", "1")
    assert answer.status == 0
    command = answer.out.splitlines()[-1]
    assert command == "tinygan learn check learn/01_linear.py"
    assert Path("learn/01_linear.py").read_text() == exercise(1).starter
    answer = tinygan(*shlex.split(command)[1:])
    assert answer.status == 1
    assert "forward is not written yet" in answer.out
    assert "started" in tinygan("learn").out
    write(1)
    answer = tinygan("learn", "check", "1")
    assert answer.status == 0
    assert "Passed" in answer.out
    assert "tinygan/functional/linear.py" in answer.out
    assert answer.out.endswith("Next: tinygan learn start 2\n")
    answer = tinygan("learn")
    assert " 1  passed " in answer.out
    assert answer.out.endswith("1 of 13 passed\nNext: tinygan learn start 2\n")


def test_start_never_overwrites(tinygan):
    assert tinygan("learn", "start", "3").status == 0
    Path("learn/03_cross_entropy.py").write_text("mine")
    answer = tinygan("learn", "start", "3")
    assert answer.status == 1
    assert "learn/03_cross_entropy.py is there" in answer.err
    assert Path("learn/03_cross_entropy.py").read_text() == "mine"
    os.symlink("nowhere", "learn/04_maxout.py")
    assert tinygan("learn", "start", "4").status == 1
    assert not Path("learn/nowhere").exists()


def test_a_table_says_where_and_which_mistake(tinygan, quick):
    path = write(1, ("gb = gy.sum(axis=0)", "gb = gy"), ("x.T @ gy", "2 * x.T @ gy"))
    answer = tinygan("learn", "check", path)
    assert answer.status == 1
    lines = answer.out.splitlines()
    assert lines[0] == "Exercise 1: the affine map"
    assert re.fullmatch(r"array +exact +approximate +largest difference", lines[2])
    assert [line.split()[0] for line in lines[3:7]] == ["y", "gx", "gW", "gb"]
    assert lines[3].split()[1:3] == ["yes", "yes"]
    assert lines[5].split()[1:3] == ["no", "no"]
    text = " ".join(answer.out.split())
    assert re.search(r"gW is wrong in \d+ of \d+ numbers, most at gW\[\d, \d\] of shape \(3, \d\) in the case", text)
    assert "Hint (factor 2)" in text
    assert "gb has the shape (4, 2) in the case" in text
    assert "Hint (sum over the batch missing)" in text
    assert "2 of 4 arrays" in text


def test_json_has_the_same_facts(tinygan, quick):
    answer = tinygan("learn", "check", write(2, ("np.where(x >= 0, 1, small)", "np.nan * x")), "--json")
    record = json.loads(answer.out)
    assert (answer.status, record["exercise"], record["passed"]) == (1, 2, False)
    row = record["arrays"][0]
    assert (row["name"], row["approximate"], row["difference"]) == ("y", False, None)
    assert row["kind"] == "nan or infinity"
    assert json.loads(tinygan("learn", "check", write(2), "--json").out)["passed"]


def test_hints_wait_until_something_is_changed(tinygan, quick):
    assert tinygan("learn", "start", "10").status == 0
    path = Path("learn/10_bug_in_the_steps.py")
    answer = tinygan("learn", "check", path)
    assert (answer.status, "Hint" in answer.out, "Find the bug first" in answer.out) == (1, False, True)
    path.write_text(path.read_text() + "\nx = 1\n")
    answer = tinygan("learn", "check", path)
    assert "Hint (detach missing)" in answer.out


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        ("missing.py", None, "missing.py"),
        ("99", None, "no exercise 99"),
        ("text.py", b"hello", "no exercise"),
        ("empty.py", b"", "no exercise"),
        ("bytes.py", b'"""Exercise 1: \xff"""', "UTF-8"),
        ("many.py", b'"""Exercise 14: x"""', "from 1 to 13"),
        ("large.py", b'"""Exercise 1: x"""' + b" " * 2_000_000, "bytes"),
        (".", None, "plain file"),
    ],
)
def test_a_file_that_is_no_exercise_is_refused(tinygan, name, content, fact):
    if content is not None:
        Path(name).write_bytes(content)
    answer = tinygan("learn", "check", name)
    assert (answer.status, answer.out) == (2, "")
    assert fact in answer.err


def test_a_file_may_have_another_name_and_place(tinygan, quick, tmp_path):
    Path("mine").mkdir()
    Path("mine/my answer.py").write_text("\ufeff" + exercise(5).solution, encoding="utf-8")
    assert tinygan("learn", "check", "mine/my answer.py").status == 0
    assert " 5  passed " in tinygan("learn", "--folder", "mine").out
    answer = tinygan("learn", "start", "6", "--folder", "my folder")
    assert answer.out.splitlines()[-1] == "tinygan learn check 'my folder/06_batch_norm.py'"


def test_inside_the_folder_of_the_files(tinygan, quick, monkeypatch):
    write(1)
    monkeypatch.chdir("learn")
    assert tinygan("learn", "check", "1").status == 0
    assert tinygan("learn", "start", "2").status == 0
    assert sorted(os.listdir()) == ["01_linear.py", "02_sigmoid.py", "progress.txt"]
    assert tinygan("learn").out.endswith("1 of 13 passed\nNext: tinygan learn check 02_sigmoid.py\n")


def test_a_solution_is_printed_with_its_source(tinygan):
    answer = tinygan("learn", "solution", "4")
    assert answer.status == 0
    assert answer.out.startswith(exercise(4).solution)
    assert answer.out.endswith("# The real thing: tinygan/functional/activations.py, class Maxout\n")
    assert tinygan("learn", "solution", "14").status == 1
    assert tinygan("learn", "start", "0").status == 2


def test_progress_that_cannot_be_written_is_a_warning(tinygan, quick):
    path = write(1)
    Path("learn/progress.txt").mkdir()
    answer = tinygan("learn", "check", path)
    assert answer.status == 0
    assert "cannot be noted" in answer.err
    assert "Passed" in answer.out
    assert tinygan("learn").status == 0


def test_a_folder_that_is_a_file_is_refused(tinygan):
    Path("learn").write_text("a file")
    answer = tinygan("learn", "start", "1")
    assert answer.status == 1
    assert "--folder" in answer.err


def test_what_the_file_prints_cannot_control_the_terminal(tinygan, quick, capsys, monkeypatch):
    monkeypatch.setattr(
        process,
        "answers_of",
        lambda *_: process.Answers({}, [process.Problem("exception", "", "\x1b[31m")], "\x1b[2J\n" * 99),
    )
    answer = tinygan("learn", "check", write(1))
    assert "\x1b" not in answer.out
    assert answer.out.count(r"\x1b[2J") == 20


@pytest.mark.slow
def test_the_real_process_from_the_start_to_the_end(tmp_path):
    write(13, ("return real + fake", "return (real + fake) / 2"))
    done = subprocess.run(
        [sys.executable, "-m", "tinygan", "learn", "check", "learn/13_bug_in_the_loss.py"],
        capture_output=True,
        text=True,
        env=os.environ | {"TERM": "dumb", "COLUMNS": "30", "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "Hint (factor 2)" in done.stdout


@pytest.mark.slow
def test_other_commands_do_not_import_the_exercises():
    code = "import sys; from tinygan.cli import main; main(['experiments']); print('tinygan.learn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
