from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.integrate import trapezoid

from tinygan.backend import Stream

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "learned_discriminator.py"


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The example, with trainings that are small enough for a test."""
    spec = importlib.util.spec_from_file_location("learned_discriminator", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["learned_discriminator"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    module.SETTINGS = [module.Setting(setting.samples // 100, setting.width) for setting in module.SETTINGS]
    yield module
    del sys.modules["learned_discriminator"]


def test_more_samples_and_more_width_come_closer_to_the_optimum(example: Any) -> None:
    line = example.Problem(*example.LINE, points=401)
    errors = {
        (samples, width): line.error(line.learn(example.Setting(samples, width), steps=800, seed=0))
        for samples, width in ((200, 32), (50_000, 3), (50_000, 32))
    }
    assert errors[50_000, 32] < 0.05
    assert errors[200, 32] > 2 * errors[50_000, 32]
    assert errors[50_000, 3] > 2 * errors[50_000, 32]


@pytest.mark.parametrize("name", ["LINE", "PLANE"])
def test_the_densities_are_those_of_the_samples(example: Any, name: str) -> None:
    problem = example.Problem(*getattr(example, name), points=201)
    for mixture, density in zip((problem.p_data, problem.p_g), problem.densities, strict=True):
        grid = density.reshape([201] * problem.x.shape[1])
        samples = mixture.sample(100_000, Stream(0, "x"))
        assert samples.shape == (100_000, problem.x.shape[1])
        for axis in range(grid.ndim):  # one marginal at a time
            marginal = grid if grid.ndim == 1 else trapezoid(grid, problem.axis, axis=1 - axis)
            assert trapezoid(marginal, problem.axis) == pytest.approx(1, abs=1e-3)
            below = [(samples[:, axis] < x).mean() for x in (-1, 0, 1)]
            expected = [trapezoid(np.where(problem.axis < x, marginal, 0), problem.axis) for x in (-1, 0, 1)]
            np.testing.assert_allclose(below, expected, atol=0.015)


def test_the_optimum_has_no_error_and_its_opposite_has(example: Any) -> None:
    problem = example.Problem(*example.PLANE, points=61)
    assert problem.error(problem.optimum) == 0
    assert problem.error(1 - problem.optimum) > 0.5


def test_it_prints_the_table_and_draws_the_same_picture_twice(example: Any, tmp_path: Path, capsys: Any) -> None:
    for folder in ("a", "b"):
        example.main(["--steps", "3", "--out", str(tmp_path / folder)])
    rows = re.findall(r"^ *([\d,]+) +(\d+) +([01]\.\d{4}) +([01]\.\d{4})$", capsys.readouterr().out, re.MULTILINE)
    assert len(rows) == 2 * len(example.SETTINGS)
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert imread(tmp_path / "a/learned_discriminator.png").std() > 0.05  # something is drawn
    assert len({(tmp_path / f"{folder}/learned_discriminator.png").read_bytes() for folder in "ab"}) == 1


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--seed", "-1"]])
def test_what_it_cannot_do_is_refused(example: Any, capsys: Any, arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        example.main(arguments)
    assert "--steps takes 1 or more, --seed 0 or more" in capsys.readouterr().err
