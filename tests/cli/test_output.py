"""Failing streams, in real processes: the result is saved, without a traceback or raw control characters."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinygan.cli import output
from tinygan.errors import RunError
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

MODULE = [sys.executable, "-m", "tinygan"]
LINE = "python -m tinygan train gaussian --out run --epochs 1 --steps 3 --set output.samples=4"

full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


def shell(line, tmp_path, **variables):
    """Run a shell line in which `python` is this Python."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    if not (tmp_path / "bin" / "python").exists():
        (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (tmp_path / "bin" / "python").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, cwd=tmp_path, env=environment, timeout=120)


# --- a run -----------------------------------------------------------------------------------------------


@full
@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        (">/dev/full", b"stdout cannot be written: No space left on device"),
        (">&- <&-", b"stdout is closed"),
        (">/dev/full 2>&-", b""),
    ],
)
def test_a_run_survives_streams_that_cannot_be_written(tmp_path, redirection, said):
    done = shell(f"{LINE} {redirection}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert b"Traceback" not in done.stderr
    if said:
        assert b"go on with: tinygan resume run" in done.stderr  # the text for stdout
    assert RunFolder.open(tmp_path / "run").latest_checkpoint().state["steps"] == 3
    assert all(path.read_bytes()[:1] != b"\n" for path in (tmp_path / "run").glob("*.jsonl"))


@pytest.mark.slow
def test_names_that_a_stream_cannot_encode(tmp_path):
    done = shell(LINE.replace("run", "数字"), tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert rb"samples  \u6570\u5b57/samples" in done.stdout
    [words] = re.findall(rb"go on with: tinygan (.*)", done.stdout)
    assert shell(f"python -m tinygan {words.decode('ascii')} --steps 5", tmp_path).returncode == 0
    assert RunFolder.open(tmp_path / "数字").latest_checkpoint().state["steps"] == 5


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("ascii", "1 ± 2 é 数", b"1 +/- 2 \\xe9 \\u6570\n"),
        ("latin-1", "1 ± 2 é", b"1 \xb1 2 \xe9\n"),
        ("utf-8", "1 ± 2 é 数", "1 ± 2 é 数\n".encode()),
    ],
)
def test_signs_that_a_stream_cannot_encode(monkeypatch, encoding, text, written):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    output.result(text)
    assert stream.buffer.getvalue() == written



def test_missing_folders_are_made_and_failures_warned_of_once(tinygan, small, tmp_path, monkeypatch):
    def fail(folder):
        raise RunError(f"{folder.report_path}: cannot be written")

    words = ["train", "digits", "--out", "run", "--epochs", "2", "--steps", "5", "--quiet", *small]
    assert tinygan(*words).status == 0
    for sheet in (tmp_path / "run" / "samples").iterdir():
        sheet.unlink()
    (tmp_path / "run" / "samples").rmdir()
    monkeypatch.setattr("tinygan.cli.progress.write_report", fail)
    every = [word for key in ("samples_every", "checkpoint_every") for word in ("--set", f"output.{key}=1")]
    answer = tinygan("resume", "run", "--quiet", *every)
    assert answer.status == 0
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("tinygan: warning: the report could not be made: ")
    samples, verdict = answer.out.splitlines()  # without the report
    assert samples == f"samples  {os.path.join('run', 'samples')}"
    assert verdict.startswith("verdict  ")
    assert sorted(os.listdir(tmp_path / "run" / "samples")) == ["data.png", "epoch-000001.png", "epoch-000002.png"]


def test_a_sheet_missing_after_a_kill_is_drawn_on_resume(tinygan, small, tmp_path, monkeypatch):
    def killed(path, *_):
        if path.name == "epoch-000002.png":
            raise KeyboardInterrupt

    words = ["train", "digits", "--epochs", "2", "--quiet", *small]
    with monkeypatch.context() as patch:
        patch.setattr("tinygan.experiments.drawing.save_sheet", killed)
        assert tinygan(*words, "--out", "run").status == 130
    assert RunFolder.open(tmp_path / "run").latest_checkpoint().state["epoch"] == 2  # saved before it was drawn
    assert tinygan("resume", "run", "--quiet").status == 0
    assert tinygan(*words, "--out", "undisturbed").status == 0
    last = Path("samples", "epoch-000002.png")
    assert (tmp_path / "run" / last).read_bytes() == (tmp_path / "undisturbed" / last).read_bytes()


def test_a_sheet_that_cannot_be_drawn_loses_no_checkpoint(tinygan, small, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no picture today")

    monkeypatch.setattr("tinygan.experiments.drawing.save_sheet", fail)
    answer = tinygan("train", "digits", "--out", "run", "--epochs", "2", "--quiet", *small)
    assert answer.status == 0
    assert answer.err == (
        "tinygan: warning: the sample sheet could not be made: no picture today; the run goes on without it\n"
    )
    assert RunFolder.open(tmp_path / "run").latest_checkpoint().state["epoch"] == 2


@pytest.mark.slow
def test_a_backend_of_matplotlib_that_does_not_exist(tmp_path):
    done = shell(LINE.replace("gaussian", "digits"), tmp_path, MPLBACKEND="nonsense")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(os.listdir(tmp_path / "run" / "samples")) == 2


# --- signals ---------------------------------------------------------------------------------------------

ENDLESS = ["train", "gaussian", "--out", "run", "--epochs", "10000", "--set", "output.samples=4"]
ENDLESS += ["--set", "output.samples_every=9999"]


def started(tmp_path, prefix=()):
    process = subprocess.Popen(
        [*prefix, *MODULE, *ENDLESS],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not (tmp_path / "run" / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_repeated_hangups_save_the_run(tmp_path):
    with started(tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"go on with: tinygan resume run" in out
    assert RunFolder.open(tmp_path / "run").latest_checkpoint() is not None


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_a_run_under_nohup_ignores_hangups(tmp_path):
    with started(tmp_path, ["nohup"]) as process:
        process.send_signal(signal.SIGHUP)
        done = (tmp_path / "run" / "metrics.jsonl").stat().st_size
        while (tmp_path / "run" / "metrics.jsonl").stat().st_size <= done and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130


# --- commands whose result is what they print ----------------------------------------------------------------


@full
@pytest.mark.parametrize(
    "words", ["experiments >&-", "gradcheck relu >/dev/full", "--help >/dev/full", "evaluate run --json >/dev/full"]
)
def test_a_result_that_cannot_be_printed_is_a_failure(tinygan, tmp_path, words):
    if words.startswith("evaluate"):
        assert tinygan("train", "gaussian", "--out", "run", "--epochs", "1", "--steps", "3", "--quiet").status == 0
        words += " --samples 20"
    done = shell(f"python -m tinygan {words}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"tinygan: error: stdout ")
    assert done.stderr.count(b"\n") == 1


def test_a_gradcheck_whose_reader_stops_fails(tmp_path):
    end, start = os.pipe()
    os.close(end)
    done = subprocess.run([*MODULE, "gradcheck", "relu"], stdout=start, stderr=subprocess.PIPE)
    os.close(start)
    assert (done.returncode, done.stderr) == (1, b"")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """Output of a library to descriptor 2 must not go into a file of the run."""
    code = (
        "import os; from tinygan.cli import output; output.occupy_closed_streams(); "
        "print(os.open('file', os.O_CREAT | os.O_WRONLY))"
    )
    done = shell(f'python -c "{code}" 2>&- <&-', tmp_path)
    assert int(done.stdout) > 2


# --- a terminal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "lines", "term", "bar"),
    [(100, 24, "xterm", True), (0, 24, "xterm", False), (1, 24, "xterm", False), (80, 0, "xterm", False),
     (80, 24, "dumb", False)],
)  # fmt: skip
def test_a_bar_needs_a_terminal_that_can_show_it(columns, lines, term, bar, monkeypatch):
    termios, fcntl = pytest.importorskip("termios"), pytest.importorskip("fcntl")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    monkeypatch.setenv("TERM", term)
    with open(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert output.shows_progress() is bar
    os.close(ours)


def test_a_closed_stderr_shows_no_progress(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not output.shows_progress()
    output.say("nothing hears this")


# --- what steers a terminal --------------------------------------------------------------------------------

EVIL = "a\x1b[31m\u202eb\r\x07\x9bc"


def harmless(*texts):
    return all(character.isprintable() or character == "\n" for text in texts for character in text)


def test_no_command_prints_raw_control_characters(tinygan, small, tmp_path):
    evil = Path(EVIL)
    for answer in (
        tinygan("train", "digits", "--out", evil, "--epochs", "1", "--quiet", *small),
        tinygan("sample", evil, "--out", f"{EVIL}.npy", "--count", "2"),
        tinygan("evaluate", evil, "--samples", "20", "--quiet"),
        tinygan("resume", evil, "--steps", "1"),
        tinygan("export", evil, "--out", f"{EVIL}.npz"),
        tinygan("train", EVIL),
        tinygan("train", "digits", "--set", f"{EVIL}=1"),
        tinygan("train", "digits", EVIL),
        tinygan("train", "digits", "--device", EVIL),
        tinygan("gradcheck", EVIL),
        tinygan("evaluate", f"no\ntinygan: error: forged {EVIL}"),
        tinygan("doctor", "--data", evil),
    ):
        assert harmless(answer.out, answer.err), answer
        assert not re.search(r"\ntinygan: error: forged", answer.err)
        assert answer.out or answer.err


def test_control_characters_in_an_error_are_escaped(tinygan, tmp_path):
    (tmp_path / "e.toml").write_bytes(b'name = "x"\n"k\\u001b[2J" = 1\n')
    answer = tinygan("train", "e.toml")
    assert answer.status == 1
    assert harmless(answer.err)
