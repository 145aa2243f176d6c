"""Parameters and buffers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinygan as tg
from tinygan import nn
from tinygan.errors import ArgumentError, DtypeError, GradientError


def test_a_parameter_has_the_values_of_a_tensor_and_no_past():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    parameter = nn.Parameter(x * 3)
    assert parameter.is_leaf
    assert parameter.requires_grad
    parameter.sum().backward()
    assert x.grad is None
    assert nn.Buffer(tg.tensor([1.0])).requires_grad is False


def test_it_shares_memory_and_its_changes_are_noticed():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    parameter = nn.Parameter(x)
    loss = (x * x).sum()
    parameter.data[0] = 5
    parameter.mark_changed()
    with pytest.raises(GradientError, match="changed in place"):
        loss.backward()


def test_a_frozen_parameter_is_in_the_state():
    module = nn.Module()
    module.w = nn.Parameter(tg.tensor([1.0]), False)
    assert list(module.state_dict()) == ["w"]
    assert not module.parameters()[0].requires_grad


@pytest.mark.parametrize("value", ["weight", None, 1])
def test_requires_grad_is_true_or_false(value):
    with pytest.raises(DtypeError, match=r"requires_grad is True or False, got .*name=\.\.\."):
        nn.Parameter(np.ones(2), value)


def test_integers_are_not_trained():
    with pytest.raises(DtypeError):
        nn.Parameter(tg.tensor([1, 2]))


def test_registered_buffers_are_state_and_not_trained():
    module = nn.Module()
    module.register_buffer("mean", tg.tensor([1.0]))
    module.register_buffer("mask", np.ones(2), persistent=False)
    module.register_buffer("later", None)
    assert module.parameters() == []
    assert list(module.state_dict()) == ["mean"]
    assert module.later is None
    module.register_buffer("later", np.zeros(3))
    module.register_buffer("mean", np.zeros(1))
    assert list(module.state_dict()) == ["mean", "later"]
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert list(other.state_dict()) == ["mean", "later"]
        assert other.mask.data.tolist() == [1, 1]
        assert other.mask.persistent is False


@pytest.mark.parametrize("name", ["forward", "training", "a.b", "", 3, "weight"])
def test_a_buffer_takes_no_other_name(name):
    layer = nn.Linear(2, 2)
    with pytest.raises(ArgumentError, match="expected the name of a new attribute of Linear, got"):
        layer.register_buffer(name, np.zeros(2))
