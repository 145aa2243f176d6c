"""A trace as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn


def test_rows_passes_updates_and_leaves():
    tg.manual_seed(0)
    game = gan.Algorithm1(nn.Linear(3, 2), nn.Maxout(2, 1, pieces=2))
    with tg.trace() as t:
        game.step(np.zeros((4, 2), np.float32))
    found = json.loads(t.to_json())
    assert [row["number"] for row in found["rows"]] == [row.number for row in t.rows]
    assert [one["output"] for one in found["passes"]] == [one.output.number for one in t.passes]
    weight = next(leaf for leaf in t.leaves if leaf.name == "discriminator.weight")
    assert found["passes"][0]["leaves"]["discriminator.weight"]["norm"] == weight.gradients[1].norm
    before, after = found["updates"][0]["changed"]["discriminator.weight"]
    assert before != after
    assert set(found["updates"][0]["unchanged"]) == {"generator.weight", "generator.bias"}


def test_gradients_that_are_not_computed_are_absent():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        F.exp(x)
    (row,) = json.loads(t.to_json())["rows"]
    assert row["gradients"] == []
    assert row["formulas"] == ["gx = gy y   (2,) = (2,) (2,)"]


def test_nan_is_null():
    with np.errstate(invalid="ignore"), tg.trace() as t:
        tg.tensor([-1.0, 1.0]).log()
    assert json.loads(t.to_json())["rows"][0]["value"]["mean"] is None


def test_a_failed_row():
    with pytest.raises(ValueError, match="broadcast"), tg.trace() as t:
        tg.tensor([1.0, 2.0]) + tg.tensor([1.0, 2.0, 3.0])
    found = json.loads(t.to_json())
    assert found["rows"][0]["value"] is None
    assert found["error"].startswith("ShapeError")
