"""The check of a trace accepts right formulas, and finds a wrong one by its row."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn


class Cube(tg.Operation):
    """y = x^3;  gx = 3 x^2 gy, with a planted factor."""

    def forward(self, B, x):
        self.save(x)
        return x**3

    def backward(self, B, gy, x):
        return gy * 2 * x**2


def test_a_wrong_formula_is_found_by_its_row():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        F.exp(Cube()(x * 2)).sum().backward()
    found = t.check()
    assert not found
    assert [number for number, report in found.reports.items() if not report] == [2]
    assert "WRONG" in found.verdict(2)
    assert "WRONG" in str(found)


@pytest.mark.slow
def test_every_row_of_a_step_of_the_game():
    tg.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh())
    discriminator = nn.Sequential(nn.Maxout(2, 4, pieces=2), nn.Dropout(0.5), nn.Linear(4, 1))
    with tg.trace() as t:
        gan.Algorithm1(generator, discriminator).step(np.zeros((6, 2), np.float32))
    found = t.check()
    assert found, str(found)
    assert set(found.reports) == {row.number for row in t.rows if row.recorded}
    assert all(found.error(number) < 1e-6 for number in found.reports)


def test_the_check_changes_nothing_and_the_table_shows_it():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        F.dropout(x, 0.5).sum().backward()
    gradient = x.grad.numpy().copy()
    assert "error" not in str(t)
    assert t.check()
    assert (x.grad.numpy() == gradient).all()
    assert t.replay()
    assert "error" in str(t)


def test_rows_without_a_formula_are_not_checked():
    with tg.trace() as t:
        tg.tensor([1.0]) * 2
    found = t.check()
    assert found
    assert found.error(1) is None
    assert found.verdict(1) == "not checked"
