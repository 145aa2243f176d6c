from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import tinygan as tg
from tests.examples.test_losses import load
from tinygan import gan, nn
from tinygan.backend import Streams

pytestmark = pytest.mark.slow


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load("coordination", monkeypatch)
    monkeypatch.setattr(module, "UNITS", 8)
    monkeypatch.setattr(module, "WIDTH", 6)
    monkeypatch.setattr(module.evaluation, "PACGAN_SAMPLES", 200)
    return module


def weights(game: gan.Algorithm1) -> list[np.ndarray[Any, Any]]:
    return [parameter.data for net in (game.generator, game.discriminator) for parameter in net.parameters()]


def lr(updates: int) -> float:
    return 0.01


def test_no_virtual_step_is_the_plain_game_to_the_bit(example: Any) -> None:
    plain, unrolled = example.start(0, lr), example.start(0, lr)
    for _ in range(5):
        plain.step(example.TOY.sample(100, plain.streams["data"]))
        example.step(unrolled, example.TOY.sample(100, unrolled.streams["data"]), 0)
    for expected, found in zip(weights(plain), weights(unrolled), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_unrolling_changes_g_and_leaves_the_step_of_d(example: Any) -> None:
    games = [example.start(0, lr) for _ in range(3)]
    for steps, game in enumerate(games):
        example.step(game, example.TOY.sample(100, game.streams["data"]), steps)
    count = len(games[0].generator.parameters())
    plain, one, two = map(weights, games)
    for expected, *others in zip(plain[count:], one[count:], two[count:], strict=True):
        for found in others:
            np.testing.assert_array_equal(found, expected)
    assert all(abs(a - b).max() > 1e-6 for a, b in ((plain[0], one[0]), (one[0], two[0])))


def tiny() -> tuple[nn.Module, nn.Module, tg.Tensor, tg.Tensor, list[list[tg.Tensor]]]:
    """Two small networks in float64, z and x, and for each weight of D a running mean and a rate."""
    with Streams(0).active():
        g, d = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    rng = np.random.default_rng(0)
    for parameter in (*g.parameters(), *d.parameters()):
        parameter.data = rng.normal(size=parameter.shape)
    z, x = (tg.tensor(rng.normal(size=(4, 2))) for _ in range(2))
    bounds = ((-0.1, 0.1), (0.1, 0.5))
    return g, d, z, x, [[tg.tensor(rng.uniform(*ends, p.shape)) for p in d.parameters()] for ends in bounds]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_gradient_through_virtual_steps(example: Any, steps: int) -> None:
    g, d, z, x, (means, rates) = tiny()

    def loss(weight: tg.Tensor, bias: tg.Tensor) -> tg.Tensor:
        fake = nn.functional_call(g, {"weight": weight, "bias": bias}, z)
        return example.unrolled(d, x, fake, means, lambda slopes: rates, steps)[0]

    tg.gradcheck(loss, [tg.tensor(p.data.copy(), requires_grad=True) for p in g.parameters()])


def test_virtual_steps_follow_the_formula(example: Any) -> None:
    g, d, z, x, (means, rates) = tiny()
    fake = g(z)
    held: list[Any] = []
    found, first = example.unrolled(d, x, fake, means, lambda slopes: held.append(slopes) or rates, 2)
    assert all(slopes is first for slopes in held)  # the rates do not follow the virtual steps
    parameters = list(d.parameters())
    for moment in range(2):  # the same by changing D in place
        slopes = tg.grad(gan.discriminator_loss(d(x), d(fake.detach())), parameters)
        for i, (parameter, slope) in enumerate(zip(parameters, slopes, strict=True)):
            if moment == 0:
                np.testing.assert_allclose(first[i].data, slope.data, rtol=1e-12, atol=1e-14)
            means[i] = 0.8 * means[i] + 0.2 * slope
            parameter.data = parameter.data - rates[i].data * means[i].data
    assert found.item() == pytest.approx(gan.generator_loss(d(fake.detach())).item(), rel=1e-12)


def test_the_virtual_steps_begin_with_the_one_that_d_makes(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def spy(d: Any, real: Any, fake: Any, means: Any, rates: Any, steps: int) -> Any:
        loss, slopes = unrolled(d, real, fake, means, rates, steps)
        seen.append(([p.data.copy() for p in d.parameters()], means, rates(slopes), slopes))
        return loss, slopes

    unrolled = example.unrolled
    monkeypatch.setattr(example, "unrolled", spy)
    game = example.start(0, lr)
    for _ in range(10):
        example.step(game, example.TOY.sample(100, game.streams["data"]), 1)
        for i, parameter in enumerate(game.discriminator.parameters()):
            before, means, rates, slopes = (found[i] for found in seen[-1])
            after = before - rates.data * (0.8 * means.data + 0.2 * slopes.data)
            np.testing.assert_allclose(after, parameter.data, rtol=1e-5, atol=1e-6)


def test_a_row_changes_what_its_name_says(example: Any) -> None:
    rows = {row: dict(changes) for row, changes in example.ROWS.items()}
    assert [rows[f"unrolled-{steps}"].pop("unrolled") for steps in (1, 3)] == [1, 3]
    games = {row: example.start(0, lr, **changes) for row, changes in rows.items()}
    assert games["k-5"].k == 5
    assert [adam.lr for adam in (games["rates"].generator_optimizer, games["rates"].discriminator_optimizer)] == [
        0.005,
        0.02,
    ]
    assert [games[f"packed-{m}"].discriminator.m for m in (2, 4)] == [2, 4]
    assert games["uniform"].noise == gan.Noise("uniform", 2)
    assert games["z-16"].noise.size == 16


def test_a_table_a_picture_and_an_object(example: Any, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    kept = ["--iterations", "2", "--seeds", "2", "--out", str(tmp_path), "--results", str(tmp_path / "kept")]
    assert example.main([*kept, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert list(found["rows"]) == list(example.ROWS)
    for numbers in found["rows"].values():
        assert {"modes", "modes_standard_error", "high_quality", "mmd2", "ms", "seconds"} <= set(numbers)
        assert 0 <= numbers["modes"] <= 25
        assert 0 <= numbers["high_quality"] <= 1
    assert (found["iterations"], found["seeds"], found["published"]) == (2, 2, False)
    assert imread(tmp_path / "coordination.png").std() > 0.05
    monkeypatch.setattr(example, "start", None)  # kept games are not played again, whatever rows are asked for
    assert example.main([*kept, "--rows", "z-16", "plain", "plain", "--out", str(tmp_path / "other")]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["z-16", "plain"]
    assert "17.3" in table[3]
    assert "24.8" in table[3]
    assert (tmp_path / "other" / "coordination.png").exists()  # also without the samples of kept games


def test_the_published_game_has_its_rate_and_length(example: Any, tmp_path: Path, monkeypatch: Any) -> None:
    seen: list[Any] = []

    def measure(options: Any, play: Any, rows: Any) -> Any:
        seen.append(options.iterations)
        return {row: [{"modes": 25.0}] for row in rows}

    start = example.start
    monkeypatch.setattr(example, "start", lambda seed, lr, **changes: seen.append(lr(5)) or start(seed, lr, **changes))
    assert example.main(["--published", "--rows", "plain", "--iterations", "1", "--out", str(tmp_path)]) == 0
    assert seen == [1e-4] * 3
    monkeypatch.setattr(example, "measure", measure)
    example.main(["--published", "--rows", "plain", "--out", str(tmp_path)])
    assert seen[-1] == 400_000


@pytest.mark.parametrize("wrong", [["--rows", "packed"], ["--iterations", "0"], ["--rows"], ["--seeds", "x"]])
def test_what_it_cannot_do_is_refused(example: Any, capsys: Any, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        example.main(wrong)
    assert refused.value.code == 2
    assert wrong[0] in capsys.readouterr().err
