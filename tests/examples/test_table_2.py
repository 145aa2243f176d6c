from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.special import expit, logsumexp

from tests.examples.test_losses import load
from tinygan.backend import Stream

pytestmark = pytest.mark.slow


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("table_2", monkeypatch)


def tiny(example: Any, visible: int = 5, hidden: int = 3) -> Any:
    """An RBM with weights so large that its distribution is far from independent pixels."""
    numbers = np.random.default_rng(0)
    rbm = example.RBM(numbers.uniform(0.2, 0.8, visible), hidden, Stream(0, "rbm"))
    rbm.W = numbers.normal(scale=2, size=(visible, hidden))
    rbm.b, rbm.c = numbers.normal(size=visible), numbers.normal(size=hidden)
    return rbm


def states(units: int) -> Any:
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def energy_sums(rbm: Any) -> Any:
    """Return v'Wh + b'v + c'h for each v (rows) and each h (columns): p(v, h) is in proportion to its exponential."""
    v, h = states(len(rbm.b)), states(len(rbm.c))
    return v @ rbm.W @ h.T + (v @ rbm.b)[:, None] + h @ rbm.c


def test_log_p_star_is_the_sum_over_hidden_states(example: Any) -> None:
    rbm = tiny(example)
    np.testing.assert_allclose(rbm.log_p_star(states(5)), logsumexp(energy_sums(rbm), axis=1), rtol=1e-9)


def test_annealed_sampling_finds_the_exact_log_z(example: Any) -> None:
    rbm = tiny(example, 8, 6)
    exact = logsumexp(energy_sums(rbm))
    independent = 6 * np.log(2) + np.logaddexp(0, rbm.b0).sum()
    assert abs(exact - independent) > 2  # where the runs start
    assert rbm.log_z(runs=400, temperatures=400) == pytest.approx(exact, abs=0.15)


def test_annealed_weights_are_fair_with_few_temperatures(example: Any) -> None:
    """The mean weight is Z / Z(0) for any number of temperatures; more of them only reduce its variance."""
    rbm = tiny(example, 4, 2)
    rbm.W /= 2
    assert rbm.log_z(runs=20_000, temperatures=3) == pytest.approx(logsumexp(energy_sums(rbm)), abs=0.1)


def test_gibbs_sampling_leaves_p_unchanged(example: Any) -> None:
    rbm, v, h = tiny(example), states(5), states(3)
    p = np.exp(rbm.log_p_star(v) - logsumexp(rbm.log_p_star(v)))

    def probabilities(of: Any, mean: Any) -> Any:
        """Return p(each row of `of`) for independent units with each row of means."""
        return np.exp(np.log(mean) @ of.T + np.log(1 - mean) @ (1 - of).T)

    transition = probabilities(h, expit(v @ rbm.W + rbm.c)) @ probabilities(v, expit(h @ rbm.W.T + rbm.b))
    np.testing.assert_allclose(p @ transition, p, rtol=1e-9)
    # gibbs() makes these transitions
    start = np.repeat(v[[3, 20]], 20_000, axis=0)
    number = (rbm.gibbs(start) @ 2 ** np.arange(4, -1, -1)).astype(int).reshape(2, -1)
    found = np.array([np.bincount(row, minlength=32) / row.size for row in number])
    np.testing.assert_allclose(found, transition[[3, 20]], atol=0.015)


def test_chains_reach_p(example: Any) -> None:
    rbm, v = tiny(example), states(5)
    p = np.exp(rbm.log_p_star(v) - logsumexp(rbm.log_p_star(v)))
    chains = np.zeros((20_000, 5))
    for _ in range(60):
        chains = rbm.gibbs(chains)
    found = np.bincount((chains @ 2 ** np.arange(4, -1, -1)).astype(int), minlength=32) / len(chains)
    np.testing.assert_allclose(found, p, atol=0.02)


def test_learning_raises_the_likelihood(example: Any) -> None:
    images = np.repeat([[1.0, 1, 0, 0, 1], [0, 0, 1, 1, 0]], 320, axis=0)  # 5 pixels with one bit in common
    rbm = example.RBM(images.mean(axis=0), 4, Stream(0, "rbm"))

    def log_p() -> float:
        return float(rbm.log_p_star(images).mean() - logsumexp(rbm.log_p_star(states(5))))

    before = log_p()
    rbm.learn(images, 60)
    assert before == pytest.approx(-5 * np.log(2), abs=0.1)
    assert log_p() > -1.6  # at most -log 2


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_autocorrelation_time_of_a_known_chain(example: Any, phi: float) -> None:
    steps = np.random.default_rng(0).normal(size=(4000, 50))
    for before, now in itertools.pairwise(steps):
        now += phi * before
    tau, rho = example.autocorrelation(steps + 10)
    assert tau == pytest.approx((1 + phi) / (1 - phi), rel=0.1)
    np.testing.assert_allclose(rho[:4], phi ** np.arange(4.0), atol=0.05)


def test_chains_that_stay_apart_are_slow(example: Any) -> None:
    """Each chain alone looks well mixed; around the mean of all chains, it is not."""
    steps = np.random.default_rng(0).normal(size=(500, 20)) + 5 * np.arange(20)
    assert example.autocorrelation(steps)[0] > 50


def test_rows_keys_and_picture(example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    for name, value in {"START": 10, "LENGTH": 200, "HIDDEN": 16}.items():
        monkeypatch.setattr(example, name, value)
    monkeypatch.setattr(example.RBM.log_z, "__defaults__", (10, 20))
    words = ["--epochs", "3", "--quiet", "--json", "--results", str(tmp_path / "results.jsonl")]
    printed = []
    for folder in ("first", "second"):  # the second has no samples to draw
        assert example.main([*words, "--out", str(tmp_path / folder)]) == 0
        printed.append(capsys.readouterr().out)
        monkeypatch.setattr(example, "play", pytest.fail)  # all rows are kept
    assert printed[0] == printed[1]
    found = json.loads(printed[0])
    assert (found["epochs"], found["seeds"]) == (3, 1)
    rows = found["rows"]
    assert list(rows) == ["RBM, 1 epochs", "RBM, 3 epochs", "adversarial nets", "training images"]
    both = {"parzen", "parzen_seconds", "mmd_squared", "seconds"}
    made = both | {"training_seconds", "sampling_seconds"}
    chain = {"chain_share", "autocorrelation_time", "ais_log_p", "ais_seconds"}
    assert [set(row) for row in rows.values()] == [made | chain, made | chain, made, both]
    assert rows["RBM, 3 epochs"]["autocorrelation_time"] > 0.5
    assert 0 < rows["RBM, 3 epochs"]["chain_share"] < 1
    assert -64 * np.log(2) < rows["RBM, 3 epochs"]["ais_log_p"] < 0
    assert rows["training images"]["parzen"] > rows["RBM, 3 epochs"]["parzen"]
    assert imread(tmp_path / "first" / "table_2.png").std() > 0.05  # something is drawn


@pytest.mark.parametrize("words", [["--epochs", "0"], ["--dataset", "mnist"], ["--seeds", "x"]])
def test_bad_input_is_refused(example: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        example.main(words)
    assert stopped.value.code == 2
