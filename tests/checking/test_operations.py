"""The table of gradient checks is complete and right, and finds a wrong gradient."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.checking import operations
from tinygan.functional import without_gradient


def test_every_operation_has_a_case():
    assert sorted(operations.operation_names()) == sorted({*F.__all__} - {*without_gradient.__all__})


@pytest.mark.slow
@pytest.mark.parametrize("name", operations.operation_names())
def test_every_operation_passes_at_both_orders(name):
    [row] = operations.check_operations([name])
    assert row.failures == ()
    assert row.order == 2
    assert row.compared > 0
    assert 0 <= row.worst < 1e-8


@pytest.mark.slow
def test_kinks_and_ties_are_compared_not_skipped():
    for row in operations.check_operations(["relu", "abs", "maximum", "max", "maxout", "clip"]):
        assert row.kinks > 0, row.name


def test_a_wrong_rule_is_found(monkeypatch):
    class Wrong(tg.Operation):
        def forward(self, B, x):
            self.save(x)
            return B.xp.exp(x)

        def backward(self, B, gy, x):
            return gy * B.xp.exp(x) * 1.0005

    case = operations.Case("wrong", (np.array([0.3, 0.7]),), lambda x: Wrong()(x))
    monkeypatch.setattr(operations, "CASES", (*operations.CASES, case))
    [row] = operations.check_operations(["wrong"])
    assert row.failures
    assert row.worst > 4e-4
