"""Anomaly detection names the operation, the line, the index and the value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.errors import AnomalyError

HERE = "test_anomaly.py"


def caught(function, *arguments):
    with np.errstate(all="ignore"), pytest.raises(AnomalyError) as caught_, tg.detect_anomaly():
        function(*arguments)
    return str(caught_.value)


def test_forward_names_operation_index_value_and_line():
    x = tg.tensor([[1.0, 2.0], [0.0, 3.0]])
    message = caught(lambda: F.log(x))
    assert message.startswith("forward of 'log': -inf at index (1, 0) of its result (shape (2, 2), float32)")
    assert "there input 0 is 0.0" in message
    assert HERE in message
    assert "caught(lambda: F.log(x))" in message


def test_first_operation_is_named_not_a_later_one():
    x = tg.tensor([-1.0, 4.0])
    assert caught(lambda: F.exp(F.sqrt(x) * 2)).startswith("forward of 'sqrt': nan at index (0,)")


def test_broken_input_is_told_from_a_broken_operation():
    message = caught(lambda: tg.tensor([1.0, np.inf]) - 1.0)
    assert "its input 0 held inf at index (1,) already" in message


def test_backward_names_the_line_of_the_forward_call():
    x = tg.tensor([4.0, 0.0], requires_grad=True)

    def run():
        root = F.sqrt(x)  # the slope at 0 is infinite
        root.sum().backward()

    message = caught(run)
    assert message.startswith("backward of 'sqrt': inf at index (1,) of the gradient with respect to its input 0")
    assert "root = F.sqrt(x)" in message


def test_backward_of_a_graph_made_before_the_mode_says_so():
    y = F.sqrt(tg.tensor([0.0], requires_grad=True))
    assert "called before detect_anomaly began" in caught(y.backward)


def test_gradient_that_comes_in_broken():
    y = tg.tensor([1.0], requires_grad=True) * 2
    message = caught(lambda: y.backward(np.array([np.nan], np.float32)))
    assert "the gradient that came in" in message
    assert "nan at index (0,)" in message


def test_second_order_passes_are_watched():
    x = tg.tensor([0.0], requires_grad=True)

    def run():
        slope = tg.grad((x**1.5).sum(), x, create_graph=True)  # finite: 1.5 sqrt(0)
        slope.sum().backward()  # 0.75 / sqrt(0)

    assert "backward of 'power'" in caught(run) or "backward of 'multiply'" in caught(run)


def test_layers_of_ours_are_named_with_the_line_that_used_them():
    layer = nn.Linear(2, 1)
    layer.weight.data[0, 0] = np.nan
    message = caught(lambda: layer(tg.tensor([[1.0, 1.0]])))
    assert "its input 1 held nan at index (0, 0) already" in message
    assert "tinygan/nn/layers.py" in message
    assert HERE in message


def test_finite_programs_pass_and_the_mode_ends():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.detect_anomaly():
        F.log(x).sum().backward()
    with np.errstate(divide="ignore"):
        assert np.isinf(F.log(tg.tensor([0.0])).numpy()).all()


def test_nesting_and_reuse_restore_the_mode():
    mode = tg.detect_anomaly()
    with mode:
        with mode, tg.detect_anomaly():
            pass
        with pytest.raises(AnomalyError), np.errstate(all="ignore"):
            F.log(tg.tensor([0.0]))
    with np.errstate(all="ignore"):
        F.log(tg.tensor([0.0]))


@given(st.lists(st.integers(1, 4), min_size=0, max_size=3), st.data())
def test_index_is_that_of_the_first_broken_element(shape, data):
    values = np.ones(shape)
    flat = values.reshape(-1)
    places = data.draw(st.sets(st.integers(0, flat.size - 1), min_size=1))
    flat[list(places)] = 0.0
    first = tuple(int(i) for i in np.unravel_index(min(places), shape))
    assert f"-inf at index {first} of its result" in caught(lambda: F.log(tg.tensor(values)))
