"""The printed trace."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn
from tinygan.trace.table import NOT_COMPUTED, size


def table():
    a, b = tg.tensor(2.0, requires_grad=True), tg.tensor(3.0, requires_grad=True)
    with tg.trace() as t:
        c = a * b
        loss = F.log(c + a)
        before = str(t)
        loss.backward()
    return before, str(t)


def test_a_gradient_is_not_computed_before_the_backward_pass():
    before, after = table()
    assert before.count(NOT_COMPUTED) == 3
    assert NOT_COMPUTED not in after


def test_the_chain_of_the_readme():
    _, after = table()
    assert "c = multiply(a, b)" in after
    assert "gx = gy / x" in after
    assert re.search(r"a +\(\) +0\.5 +0\.5", after)
    assert re.search(r"b +\(\) +0\.25 +0\.25", after)
    assert "#3, #2, #1" in after


def test_columns_are_aligned():
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 1))
    with tg.trace() as t:
        net(tg.tensor(np.ones((5, 2), "float32"))).mean().backward()
    lines = str(t).splitlines()
    start = lines[0].index("dtype")
    assert {line[start:][:7] for line in lines[1:] if re.match(r"\d", line)} == {"float32"}


def test_every_row_of_a_step_is_there():
    tg.manual_seed(0)
    game = gan.Algorithm1(nn.Linear(3, 2), nn.Maxout(2, 1, pieces=2))
    with tg.trace() as t:
        game.step(np.zeros((4, 2), np.float32))
    text = str(t)
    assert len(re.findall(r"(?m)^\d+ ", text)) == len(t.rows)
    assert text.count(": changed: discriminator") == text.count(": changed: generator") == 1
    assert "unchanged: generator.weight, generator.bias" in text


def test_nan_is_shown():
    with np.errstate(invalid="ignore"), tg.trace() as t:
        tg.tensor([-1.0, 1.0]).log()
    assert "nan" in str(t)


def test_an_error_is_shown_with_the_shapes():
    with pytest.raises(ValueError, match="broadcast"), tg.trace() as t:
        tg.tensor([1.0, 2.0]) + tg.tensor([1.0, 2.0, 3.0])
    text = str(t)
    assert "failed" in text
    assert "(2,)" in text
    assert "(3,)" in text
    assert "ShapeError" in text


def test_an_empty_trace_says_so():
    with tg.trace() as t:
        pass
    assert "empty" in str(t)


def test_sizes():
    assert [size(n) for n in (0, 999, 1000, 12_345, 5 * 10**9)] == ["0", "999 B", "1 kB", "12 kB", "5 GB"]
