from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import result
from benchmarks.statistics import summarise

TINY = """
name = "tiny"
seed = 3
data.set = "digits"
noise = { kind = "uniform", size = 3 }

[generator]
layers = [{ type = "linear", units = 7 }, { type = "relu" }, { type = "linear", units = 64, bias = "marginal" },
          { type = "sigmoid" }]
optimizer = { kind = "sgd", lr = 0.1, momentum = 0.5 }

[discriminator]
layers = [{ type = "dropout", p = 0.2 }, { type = "maxout", units = 5, pieces = 3 }, { type = "dropout", p = 0.5 },
          { type = "linear", units = 4 }, { type = "leaky_relu", slope = 0.1 }, { type = "linear", units = 1 }]
optimizer = { kind = "sgd", lr = 0.2, momentum = 0.5 }

[training]
epochs = 1
batch = 6
threads = 1
"""


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """Return the path of an experiment that takes no time and that the peers can play."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return str(path)


@pytest.fixture
def made() -> Any:
    """Return a maker of results: measurements as lists of samples."""

    def make(kind: str = "step", settings: Any = None, environment: Any = None, **samples: list[float]) -> Any:
        settings = {"experiment": "mnist", "device": "cpu", "threads": 2, "batch": 100, **(settings or {})}
        on_cpu = {**settings, "device": "cpu"}  # there is no GPU to describe
        measured = result(kind, on_cpu, {name: summarise(times) for name, times in samples.items()})
        measured |= {**settings, "settings": settings}
        measured["environment"] |= environment or {}
        return measured

    return make
