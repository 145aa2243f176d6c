"""``tinygan gradcheck``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinygan.checking import operations
from tinygan.cli import main


@pytest.mark.slow
def test_each_given_operation_has_a_row(capsys):
    assert main(["gradcheck", "relu", "linear"]) == 0
    header, *rows, last = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["operation", "order"]
    assert [row.split()[0] for row in rows] == ["relu", "linear"]
    assert last == "2 operations, all gradients agree"


def test_an_unknown_operation_gets_a_suggestion(capsys):
    assert main(["gradcheck", "relo"]) == 1
    assert "unknown operation 'relo'; did you mean \"relu\"?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_wrong_gradient_is_printed_and_fails(capsys, monkeypatch):
    right = next(case for case in operations.CASES if case.name == "exp")
    wrong = replace(right, name="add", function=lambda x: x.detach() * x)  # half of the gradient of x^2
    monkeypatch.setattr(operations, "CASES", (wrong,))
    assert main(["gradcheck", "add"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG  add: " in printed
    assert printed.splitlines()[-1] == "1 operation, 1 with a wrong gradient"


def test_omitted_comparisons_are_printed(capsys, monkeypatch):
    case = operations.Case("sqrt", (np.array([0.0, 4.0]),), order=1)
    monkeypatch.setattr(operations, "CASES", (case,))
    assert main(["gradcheck", "sqrt"]) == 0
    assert "not compared  sqrt: 1 of 2 elements" in capsys.readouterr().out
