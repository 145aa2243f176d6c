from __future__ import annotations

from typing import Any

import pytest

from tests.examples.test_losses import load

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("m", ["1", "4"])
def test_it_prints_the_modes_found(monkeypatch: pytest.MonkeyPatch, capsys: Any, m: str) -> None:
    load("pacgan", monkeypatch).main(["--packed", m, "--iterations", "3", "--every", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("of 25 modes" in line for line in lines)
