"""Settings and fixtures of all tests: hypothesis draws the same examples each time; a tiny experiment."""

import os
import sys

# Matrix products in tests are small, and tests run in parallel, so threads inside them only slow them down.
# OpenBLAS reads this when NumPy is loaded.
assert "numpy" not in sys.modules, "NumPy was loaded before the number of its threads was set"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tinygan.config.experiment import ExperimentConfig, parse_experiment  # noqa: E402
from tinygan.data.dataset import Dataset, Split  # noqa: E402

_examples = os.environ.get("TINYGAN_EXAMPLES")
for _profile, _default in (("tinygan", 30), ("quick", 5)):
    settings.register_profile(
        _profile, deadline=None, derandomize=not _examples, max_examples=int(_examples or _default), database=None
    )
settings.load_profile("tinygan")


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples for the quick half of the suite, ``pytest -m "not slow"``."""
    if config.option.markexpr == "not slow":
        settings.load_profile("quick")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let a process that is done take tests from another; slow tests stand together, and would wait in one."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


TINY = """
name = "tiny"
seed = 3
data.set = "digits"
noise = { kind = "uniform", size = 2 }

[generator]
layers = [
  { type = "linear", units = 5 },
  { type = "relu" },
  { type = "linear", units = 4, bias = "marginal" },
  { type = "sigmoid" },
]
optimizer = { kind = "sgd", lr = 0.5, lr_decay = 1.01, momentum = 0.5, momentum_final = 0.7, momentum_epochs = 3 }

[discriminator]
layers = [{ type = "dropout", p = 0.2 }, { type = "maxout", units = 3, pieces = 2 }, { type = "linear", units = 1 }]
optimizer = { kind = "adam", lr = 0.01 }

[training]
epochs = 3
batch = 4

[output]
samples = 4
"""


@pytest.fixture(scope="session")
def tiny_experiment() -> Callable[..., ExperimentConfig]:
    """Return a reader of an experiment on images of 1x4 pixels, with overrides."""
    return lambda *overrides: parse_experiment(TINY, "tiny.toml", overrides)


@pytest.fixture(scope="session")
def tiny_data() -> Callable[..., Dataset]:
    """Return a function that makes a data set of a few images; image i has the grey value (i + 1) / (2 count + 2).

    Its label is i modulo the number of classes.
    """

    def make(count: int = 22, image_shape: tuple[int, ...] = (1, 4), classes: int | None = None) -> Dataset:
        greys = np.arange(1, count + 1, dtype=np.float32)[:, None] / (2 * count + 2)
        images = np.repeat(greys, int(np.prod(image_shape)), axis=1)
        labels = (np.arange(count) % (classes or 1)).astype(np.uint8)
        splits = [Split(part, labels[: len(part)]) for part in (images, images[:2], images[:1])]
        return Dataset("digits", image_shape, *splits)

    return make
