"""Lists of modules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import nn
from tinygan.engine import Tensor
from tinygan.errors import DtypeError

X = Tensor(np.random.default_rng(0).normal(size=(2, 3)).astype("f4"))


def layers(count):
    return [nn.Linear(3, 3) for _ in range(count)]


@given(count=st.integers(0, 5), index=st.slices(5))
def test_a_slice_has_the_same_layers(count, index):
    all_of_them = layers(count)
    net, towers = nn.Sequential(*all_of_them), nn.ModuleList(all_of_them)
    for whole, kind in ((net, nn.Sequential), (towers, nn.ModuleList)):
        part = whole[index]
        assert type(part) is kind
        assert all(one is other for one, other in zip(part, all_of_them[index], strict=True))
        assert len(whole) == count
    x = X
    for layer in all_of_them[index]:
        x = layer(x)
    assert np.array_equal(net[index](X).data, x.data)


def test_features_are_trained_with_the_network():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    net[:-1](X).sum().backward()
    assert net[0].weight.grad is not None
    assert net[-1].weight.grad is None
    assert net[-1] is net[2]


def test_a_subclass_with_arguments_of_its_own_is_sliced():
    class Tower(nn.Sequential):
        def __init__(self, width):
            super().__init__(nn.Linear(3, width), nn.ReLU())

    assert len(Tower(5)[:1]) == 1


def test_append_and_extend_return_the_list():
    net = nn.Sequential().append(nn.Linear(3, 2)).append(nn.ReLU())
    assert net(X).shape == (2, 2)
    towers = nn.ModuleList().extend(layers(2))
    assert list(towers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert len(nn.ModuleList(nn.ModuleList(layers(2)))) == 2


def test_names_inside_a_module_are_those_of_pytorch():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Linear(3, 1)])

    assert list(Net().state_dict()) == ["blocks.0.0.weight", "blocks.0.0.bias", "blocks.1.weight", "blocks.1.bias"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Sequential([nn.ReLU()]), r"Sequential: layer 0 is list.*separate arguments, not as a list"),
        (lambda: nn.Sequential(nn.ReLU(), abs), r"Sequential: layer 1 is builtin_function_or_method"),
        (lambda: nn.ModuleList([nn.ReLU(), None]), r"^ModuleList: layer 1 is NoneType, expected a Module$"),
        (lambda: nn.ModuleList(nn.ReLU()), r"ModuleList: expected a list of modules, got one ReLU"),
        (lambda: nn.ModuleList().append(3), r"ModuleList: layer 0 is int"),
    ],
)
def test_only_modules_are_listed(call, message):
    with pytest.raises(DtypeError, match=message):
        call()


def test_a_list_of_modules_is_not_called():
    with pytest.raises(NotImplementedError, match=r"ModuleList\.forward is not written"):
        nn.ModuleList(layers(1))(X)
