from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st


def weights(smallest: float) -> st.SearchStrategy[float]:
    """Weights of one point, log-uniform."""
    return st.floats(np.log(smallest), 0).map(lambda exponent: float(np.exp(exponent)))


@st.composite
def distributions(draw: Any, n: int, smallest: float = 1e-300, zeros: bool = True) -> Any:
    """Masses of n points: some are 0, the others are log-uniform from `smallest`."""
    one = weights(smallest)
    masses = np.array(draw(st.lists(one | st.just(0.0) if zeros else one, min_size=n, max_size=n)))
    masses[draw(st.integers(0, n - 1))] = 1.0  # not all are 0
    return masses / masses.sum()


@st.composite
def pairs(draw: Any, smallest: float = 1e-300, zeros: bool = True) -> Any:
    """Two distributions over up to 12 points: unrelated, or different in the last digits only."""
    p = draw(distributions(draw(st.integers(1, 12)), smallest, zeros))
    if draw(st.booleans()):
        return p, draw(distributions(len(p), smallest, zeros))
    shift = draw(st.sampled_from([0.0, 1e-15, 1e-8, 1e-3])) * np.array(
        draw(st.lists(st.floats(-1, 1), min_size=len(p), max_size=len(p)))
    )
    q = p * (1 + shift)
    return p, q / q.sum()


@pytest.fixture(scope="session")
def strategies() -> Any:
    """The strategies of this folder; tests draw from them with `data`."""

    class Strategies:
        distributions = staticmethod(distributions)
        pairs = staticmethod(pairs)

    return Strategies
