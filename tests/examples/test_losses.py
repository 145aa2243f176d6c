from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("data", ["ring", "digits"])
def test_a_row_for_each_loss(monkeypatch: pytest.MonkeyPatch, capsys: Any, data: str) -> None:
    example = load("losses", monkeypatch)
    example.main(["--data", data, "--steps", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:34].strip() for line in lines[2:]] == list(example.ROWS)
    assert all(len(line.split("  ")) > 3 for line in lines[2:])
