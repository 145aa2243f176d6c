"""Some random programs have the same values and gradients in PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
TOOLS = Path(__file__).resolve().parents[2] / "tools"


def test_random_programs_agree(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import compare_with_pytorch

    for number in range(60):
        errors, names = compare_with_pytorch.compare(np.random.default_rng([7, number]))
        assert max(errors) < 1e-9, names
    assert "compare_with_pytorch" in sys.modules
