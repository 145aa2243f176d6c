from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tinygan import theory

EXAMPLE = Path(__file__).parents[2] / "examples" / "section_4.py"


@pytest.fixture(scope="module")
def example() -> Any:
    return runpy.run_path(str(EXAMPLE))


def test_every_statement_holds_to_rounding(example: Any, capsys: Any) -> None:
    example["main"](["--pairs", "50"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert all(float(line.split()[-1]) < 1e-13 for line in lines)


@pytest.mark.parametrize("broken", ["optimal_discriminator", "criterion", "js_divergence", "kl_divergence", "value"])
def test_an_error_in_the_theory_would_be_seen(example: Any, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    right = getattr(theory, broken)
    monkeypatch.setattr(theory, broken, lambda *arguments: right(*arguments) * (1 - 1e-6))
    assert max(example["worst_errors"](20, 0).values()) > 1e-7


@pytest.mark.parametrize(("argument", "value"), [("--pairs", "0"), ("--seed", "-1")])
def test_what_it_cannot_do_is_refused(example: Any, capsys: Any, argument: str, value: str) -> None:
    with pytest.raises(SystemExit):
        example["main"]([argument, value])
    assert f"argument {argument}: must be at least" in capsys.readouterr().err
