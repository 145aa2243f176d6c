"""The text of the lines: it fits the columns, and it has the numbers."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import data, gan, nn, optim
from tinygan.config.experiment import load_experiment
from tinygan.experiments.training import Training
from tinygan.trace.algorithm_lines import Line, printed_lines, walk
from tinygan.trace.algorithm_text import AlgorithmText, without_signs

WALKS = {
    "digits": ["digits", "training.k=2"],
    "gaussian": ["gaussian"],
    "released code": [
        "digits", "training.schedule=simultaneous", "training.shared_noise=true", "training.k=2",
        "training.discriminator_loss_scale=0.5",
    ],
}  # fmt: skip


@cache
def walked(name):
    experiment, *overrides = WALKS[name]
    config = load_experiment(experiment, overrides)
    training = Training(config, data.load(config.data.set))
    printed = printed_lines(training.game)
    return training.image_shape, printed, walk(training.game, training.step)


def texts(name, columns=80, style="plain"):
    shape, printed, lines = walked(name)
    text = AlgorithmText(shape, 6300, columns, style)
    return [text.program(printed), *(text.line(line) for line in lines)]


@given(st.sampled_from(sorted(WALKS)), st.integers(39, 130), st.sampled_from(["plain", "24-bit"]))
def test_the_text_fits_the_columns(name, columns, style):
    for text in texts(name, columns, style):
        for row in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines():
            assert len(row) <= columns, row


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("columns", [1, 20, 39, 200])
def test_every_width_is_written(name, columns):
    assert all(texts(name, columns))


@pytest.mark.parametrize("columns", [40, 80])
def test_the_numbers_of_each_line(columns):
    _, _, lines = walked("digits")
    numbers = {line.key: line.numbers for line in lines}  # of the second step of D
    written = {
        line.key: re.sub(r"\s+", " ", text) for line, text in zip(lines, texts("digits", columns)[1:], strict=True)
    }
    assert "iteration 1 of 6,300" in written["iteration"]
    assert "step 2 of 2" in written["k"]
    assert "m = 64 vectors z of 32 numbers each, uniform" in written["noise"]
    assert f"z(1) = ({numbers['noise']['first'][0]:.3f}," in written["noise"]
    assert "from 0.000 to 1.000" in written["data"]
    d_update, g_update = numbers["d_update"], numbers["g_update"]
    for number in (d_update["loss"], d_update["real_part"], d_update["fake_part"], 1.3863, 0.6931):
        assert f"{number:.4f}" in written["d_update"]
    assert "This step moved D only." in written["d_update"]
    assert "These steps moved D only." in written["end_k"]
    before, after = (f"{100 * numbers['end_k'][when]['accuracy']:.1f} %" for when in ("before", "after"))
    assert f"D is right {before} {after}" in written["end_k"]
    factors = [g_update["objectives"][kind]["factor"] for kind in ("minimax", "non-saturating")]
    assert f"D = {factors[0]:.3f} 1 - D = {factors[1]:.3f}" in written["g_update"]
    norms = [g_update["objectives"][kind]["gradient_norm"] for kind in ("minimax", "non-saturating")]
    assert f"gradient {norms[0]:.3g} {norms[1]:.3g}" in written["g_update"]
    assert "uses the non-saturating objective" in written["g_update"]
    old, new = g_update["sha256"]["generator"]
    assert f"G: {old[:12]} -> {new[:12]}" in written["g_update"]
    assert f"G fools D {100 * g_update['before']['fooled']:.1f} %" in written["g_update"]
    assert re.sub(r"\s+", " ", numbers["end"]["summary"]) in written["end"]
    for row in d_update["parameters"]:
        assert row["name"].removeprefix("discriminator") in written["d_update"]


def test_the_released_code_is_told_from_algorithm_1():
    program, *lines = texts("released code")
    assert "Both players use it." in re.sub(r"\s+", " ", program)
    assert "0.5 ∇θd" in program
    assert "Update both players at once." in program
    both = lines[-2]
    assert "This step moved G and D." in both
    assert "generator.0.weight" in both
    assert "discriminator.1.weight" in both


def test_pictures_of_data_and_samples_are_side_by_side():
    shape, _, lines = walked("digits")
    data_line = next(line for line in lines if line.key == "data")
    title, *picture = AlgorithmText(shape, columns=79).line(data_line).splitlines()[-5:]
    assert title.split(",")[0].strip() == "x"
    assert "G(z), the first 4" in title
    middle = title.index("G(z)")
    assert any(row[:middle].strip() for row in picture)
    assert any(row[middle:].strip() for row in picture)


def test_histograms_share_their_axis():
    shape, _, lines = walked("gaussian")
    data_line = next(line for line in lines if line.key == "data")
    axis, x, samples = AlgorithmText(shape, columns=79).line(data_line).splitlines()[-3:]
    both = np.concatenate([data_line.numbers["examples"], data_line.numbers["samples"]])
    assert axis.strip() == f"{both.min():.2f} to {both.max():.2f}"
    assert x.strip().startswith("x    |")
    assert samples.strip().startswith("G(z) |")


def test_a_parameter_that_does_not_move_is_named():
    game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1))
    game.generator.bias.requires_grad = False
    lines = walk(game, lambda: game.step(np.ones((4, 3), np.float32)))
    text = AlgorithmText((1, 3)).line(next(line for line in lines if line.key == "g_update"))
    assert "Not moved: generator.bias" in text
    assert re.search(r"generator\.bias +3 +none .* no\n", text)


def test_a_line_with_nan_is_written():
    nan = float("nan")
    numbers = {"kind": "uniform", "shape": [2, 1], "first": [nan], "mean": nan, "deviation": float("inf")}
    numbers["samples"] = np.array([[np.nan], [np.inf]])
    assert "nan" in AlgorithmText((1,)).line(Line(3, "noise", "Sample", numbers))


def test_without_signs_it_is_ascii():
    for text in texts("digits"):
        assert without_signs(text).isascii()
    assert "gradient_d 1/m sum" in re.sub(r"\s+", " ", without_signs(texts("digits")[0]))


def test_every_learning_rate_of_an_optimiser_is_named():
    discriminator = nn.Linear(3, 1)
    groups = [{"params": [discriminator.weight], "lr": 0.1}, {"params": [discriminator.bias]}]
    rule = optim.AdamW(groups, lr=0.01)
    game = gan.Algorithm1(nn.Linear(2, 3), discriminator, lr=0.5, discriminator_optimizer=rule)
    lines = walk(game, lambda: game.step(np.ones((4, 3), np.float32)))
    text = AlgorithmText((1, 3), None, 120, "plain")
    shown = {line.key: " ".join(text.line(line).split()) for line in lines}
    assert "by AdamW with learning rate 0.01 and 0.1 (norms;" in shown["d_update"]
    assert "by SGD with learning rate 0.5 (norms;" in shown["g_update"]
