"""``tinygan gradcheck``."""

from __future__ import annotations

from dataclasses import replace

from tinygan.cli import main
from tinygan.study import gradients


def test_prints_a_row_for_each_operation_asked_for(capsys):
    assert main(["gradcheck", "relu", "linear"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["operation", "order"]
    assert [row.split()[0] for row in rows] == ["relu", "linear"]


def test_unknown_operation_names_the_nearest(capsys):
    assert main(["gradcheck", "relo"]) == 1
    assert "unknown operation 'relo': did you mean 'relu'?" in capsys.readouterr().err


def test_a_wrong_gradient_is_printed_and_fails(capsys, monkeypatch):
    right = next(case for case in gradients.CASES if case.name == "exp")
    wrong = replace(right, name="add", function=lambda x: x.detach() * x)  # half of the gradient of x^2
    monkeypatch.setattr(gradients, "CASES", (wrong,))
    assert main(["gradcheck", "add"]) == 1
    assert "WRONG  add: " in capsys.readouterr().out
