"""Printed commands: a shell gives back the very words, whatever is in them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.runs.command import command, recorded_options

# Bytes that no file name can hold, or that the shell's $( ) drops at the end, are left out.
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12).map(
    lambda text: text.rstrip("\n")
)
ECHO = f"{sys.executable} -c 'import os, sys; print(list(map(os.fsencode, sys.argv[1:])))'"


def heard(*given_words, shell="/bin/sh"):
    line = command(*given_words, program=ECHO)
    assert line.isprintable()
    done = subprocess.run([shell, "-c", line], capture_output=True, check=True)
    return [os.fsdecode(word) for word in eval(done.stdout)]


@given(st.lists(words, min_size=20, max_size=20))
def test_a_shell_hears_the_words_that_were_meant(given_words):
    if heard.calls < 5:  # each call starts a process, and asks for twenty words at once
        heard.calls += 1
        assert heard(*given_words) == given_words


heard.calls = 0


def test_edge_words_and_undecodable_names_survive_the_shell():
    edges = ["", " ", "'", '"', "\\", "$HOME", "`id`", "*", "#", "~", "!!", "a\nb", "\x1b[31m", "50%", "\udcff\udc80",
             "\u202eabc", "数字", "it's \t %s \\n", "--set=x", "a;b", "a&b", "(", "\x7f", "\xa0"]  # fmt: skip
    assert heard(*edges) == edges


def test_a_path_never_looks_like_an_option_or_a_home():
    assert heard(Path("-run"), Path("~"), Path("~root"), Path("a")) == ["./-run", "./~", "./~root", "a"]


def test_what_stdout_cannot_encode_still_runs(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert command("resume", Path("runs/数字")).isascii()
    assert heard(Path("runs/数字")) == ["runs/数字"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"device": "cpu"}, []),
        ({"device": "cuda"}, ["--device", "cuda"]),
        ({"device": "cuda", "data_folder": "/a b"}, ["--data", Path("/a b"), "--device", "cuda"]),
        ({"device": "cpu", "backend": "numpy"}, []),
        ({"device": "cpu", "backend": "numba 0.68.1"}, ["--backend", "numba"]),
        ({"device": 3, "data_folder": ["x"], "backend": None}, []),
        ({"device": "", "data_folder": ""}, []),
    ],
)
def test_options_of_a_record(environment, expected):
    assert recorded_options(environment) == expected
