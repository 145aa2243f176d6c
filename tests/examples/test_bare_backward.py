from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "bare_backward.py"
BARE = runpy.run_path(str(EXAMPLE))

UNARY = (
    *(F.tanh, F.relu, F.sigmoid, lambda x: x.T, lambda x: 1 - 0.5 * x),
    lambda x: x[:1] if x.ndim else -x,
    lambda x: x.sum(axis=0) if x.ndim else -x,
)
BINARY = (F.add, F.subtract, F.multiply, F.maximum, lambda x, y: x @ y.T if x.ndim == 2 else x * y)


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[tg.Tensor], tg.Tensor]:
    """Draw leaves of shape (3, 3), and one number made of them by calls that may use any earlier value again."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    leaves = [tg.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(draw(st.integers(1, 3)))]
    values: list[Any] = list(leaves)
    for _ in range(draw(st.integers(0, 12))):
        x, y = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        function = draw(st.sampled_from(UNARY + BINARY))
        if function in UNARY:
            values.append(function(x))
        elif x.shape == y.shape or function in BINARY[:4]:
            values.append(function(x, y))
    return leaves, sum((value.sum() for value in values[-2:]), tg.tensor(0.0, dtype="float64"))


@given(programs())
def test_it_agrees_with_the_real_pass(program: tuple[list[tg.Tensor], tg.Tensor]) -> None:
    leaves, output = program
    bare = BARE["gradients"](output)
    real = tg.grad(output, leaves, allow_unused=True)
    assert set(bare) == {leaf for leaf, slope in zip(leaves, real, strict=True) if slope is not None}
    for leaf, slope in zip(leaves, real, strict=True):
        if slope is not None:
            np.testing.assert_allclose(bare[leaf], slope.data, rtol=1e-12, atol=1e-12)


def test_the_example_of_micrograd(capsys: pytest.CaptureFixture[str]) -> None:
    BARE["main"]()
    assert capsys.readouterr().out == "24.7041, 138.8338, 645.5773\n"


def test_the_algorithm_takes_some_thirty_lines() -> None:
    source = EXAMPLE.read_text(encoding="utf-8")
    algorithm = source[source.index("def gradients") : source.index("def micrograd")]
    assert len([line for line in algorithm.splitlines() if line.strip()]) <= 30
