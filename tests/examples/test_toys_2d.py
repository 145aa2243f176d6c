from __future__ import annotations

import importlib.util
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import tinygan as tg
import tinygan.functional as F
from tinygan import gan
from tinygan.data import toys

pytestmark = pytest.mark.slow

PAPER = ("minimax", "non-saturating")
EXAMPLE = Path(__file__).parents[2] / "examples" / "toys_2d.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example, with networks and a map that are small enough for a test."""
    spec = importlib.util.spec_from_file_location("toys_2d", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "toys_2d", module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    small = {"UNITS": 64, "LEARNING_RATE": 0.005, "HEAD_START": 100, "CELLS": 30, "CROWD": 5000, "DPI": 20}
    for name, value in small.items():
        setattr(module, name, value)
    return module


def start(example: Any, toy: toys.Toy, objective: str, steps: int = 1) -> Any:
    return example.start(example.Setting(toy, 4, steps), objective, 0, steps)


@pytest.mark.parametrize("toy", ["grid", "swiss-roll"])
def test_it_prints_the_monitors_and_draws_a_picture(example: Any, tmp_path: Path, capsys: Any, toy: str) -> None:
    example.main(["--toy", toy, "--steps", "20", "--out", str(tmp_path / "new")])
    printed = capsys.readouterr().out
    modes = r"\d+ of 25 modes, \d+\.\d% of high quality; " if toy == "grid" else ""
    for objective in PAPER:
        assert re.search(rf"{objective} +{modes}nearest-neighbour ratio \d+\.\d\d\n", printed)
    assert imread(tmp_path / "new" / f"toys_2d_{toy}.png").std() > 0.05  # something is drawn


def test_the_same_picture_for_the_same_seed(example: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        example.main(["--steps", "2", "--out", str(tmp_path / folder)])
    assert (tmp_path / "a/toys_2d_ring.png").read_bytes() == (tmp_path / "b/toys_2d_ring.png").read_bytes()


def test_another_seed_is_another_game(example: Any) -> None:
    first, second = (example.count(("ring", "minimax", seed), steps=3) for seed in (0, 1))
    assert first == example.count(("ring", "minimax", 0), steps=3)
    assert first[2] != second[2]


@pytest.mark.parametrize("objective", PAPER)
def test_the_game_finds_the_modes(example: Any, objective: str) -> None:
    toy = toys.ring(modes=3, std=0.2)
    game = start(example, toy, objective, 400)
    before, _ = example.measure(game, toy, 0)
    example.play(game, toy, 400)
    after, ratio = example.measure(game, toy, 0)
    assert before.high_quality < 0.1
    assert after.recovered == 3
    assert after.high_quality > 0.85
    assert 0.5 < ratio < 1.6


@pytest.mark.parametrize("objective", PAPER)
def test_an_arrow_is_how_the_samples_own_loss_falls(example: Any, objective: str) -> None:
    game = start(example, toys.ring(), objective)
    samples = toys.two_moons().sample(5, game.streams["x"])
    arrows = example.pushes(game, samples)
    for i, axis in np.ndindex(5, 2):
        step = np.zeros(2, np.float32)
        step[axis] = 1e-2
        there, back = (
            gan.generator_loss(game.discriminator(tg.tensor(samples[i : i + 1] + sign * step)), objective).item()
            for sign in (1, -1)
        )
        assert arrows[i, axis] == pytest.approx(-(there - back) / 2e-2, abs=1e-2, rel=0.2)


def test_minimax_gradients_vanish_where_d_is_sure(example: Any) -> None:
    toy = toys.ring(std=0.06)
    lengths = {}
    for objective in PAPER:
        game = start(example, toy, objective)
        example.give_head_start(game, toy)
        moment = example.look(game, toy, "", 0)
        lengths[objective] = np.linalg.norm(moment.pushes, axis=1)
        fooled = gan.push(game.discriminator, moment.samples[: example.ARROWS])
    assert fooled.max() < -1  # D rejects every sample
    # the two losses of one D differ in a factor at each sample, D / (1 - D) = e^logit: section 3 in numbers
    np.testing.assert_allclose(lengths["minimax"], lengths["non-saturating"] * np.exp(fooled[:, 0]), rtol=1e-3)
    assert np.median(lengths["minimax"]) < 0.1 * np.median(lengths["non-saturating"])


def test_the_map_is_d_and_p_g_is_a_density(example: Any) -> None:
    toy = toys.two_moons()
    game = start(example, toy, "minimax")
    moment = example.look(game, toy, "", 0)
    side = 2 * toy.half_width / example.CELLS
    right = np.array([[3.5, 0.5]], np.float32) * side - toy.half_width  # row 0, column 3
    assert moment.surface[0, 3] == pytest.approx(F.sigmoid(game.discriminator(tg.tensor(right))).item(), rel=1e-5)
    assert moment.surface[0, 3] != pytest.approx(moment.surface[3, 0], rel=1e-3)
    assert moment.density.sum() * side**2 == pytest.approx(1, abs=1e-6)  # an untrained G stays in the middle


def test_the_table_counts_both_objectives_on_both_data(example: Any, capsys: Any) -> None:
    example.main(["--seeds", "2", "--steps", "2", "--jobs", "1"])
    lines = capsys.readouterr().out.splitlines()
    cases = product((("ring", 8), ("grid", 25)), ("minimax", "non-saturating"))
    for line, ((data, modes), objective) in zip(lines[1:5], cases, strict=True):
        assert re.match(rf"{data} +{objective} +\d+\.\d ± \d+\.\d of +{modes} +\d+\.\d% ± \d+\.\d% +\d+\.\d\d ± ", line)


def test_the_table_is_mean_and_deviation_over_the_seeds(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "count", lambda case, steps: (case[2], case[2] / 10, 2.0, 8))
    first = example.table(5, 3, None, jobs=1).splitlines()[1]
    assert " 6.0 ± 1.0 of  8         60.0% ± 10.0%      2.00 ± 0.00" in first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: must be at least 1, got 0"),
        (["--seed", "-1"], "argument --seed: must be at least 0, got -1"),
        (["--seeds", "0"], "argument --seeds: must be at least 1, got 0"),
        (["--jobs", "0"], "argument --jobs: must be at least 1, got 0"),
        (["--toy", "rings"], "invalid choice: 'rings'"),
    ],
)
def test_what_it_cannot_do_is_refused(example: Any, capsys: Any, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit):
        example.main(arguments)
    assert message in capsys.readouterr().err
