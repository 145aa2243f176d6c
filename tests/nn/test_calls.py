"""`functional_call`: the gradient flows to the given tensors, and the module stays as it is."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError

X = np.random.default_rng(0).normal(size=(4, 3))


class Pair(NamedTuple):
    first: nn.Module
    second: nn.Module


class Everywhere(nn.Module):
    """Parameters in attributes, lists, tuples and dicts, shared and not."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        self.list = [nn.Linear(3, 3), 5]
        self.pair = Pair(nn.Linear(3, 3), self.a)
        self.dict = {"b": nn.Parameter(np.full(3, 2.0))}
        self.seen = None

    def forward(self, x, scale=1.0):
        self.seen = x
        return self.pair.second(self.pair.first(self.list[0](self.a(x)))) * self.dict["b"] * scale


def net():
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def in_float64(module):
    return {name: tg.tensor(array.astype("f8"), requires_grad=True) for name, array in module.state_dict().items()}


@pytest.mark.slow
def test_gradients_flow_to_the_tensors_wherever_they_lie():
    module = Everywhere()
    tensors = in_float64(module)
    del tensors["pair.1.0.weight"], tensors["pair.1.0.bias"]  # other names of a.0
    assert len(tensors) == 7

    def call(*values):
        return nn.functional_call(module, dict(zip(tensors, values, strict=True)), X, scale=2.0)

    tg.gradcheck(call, list(tensors.values()), order=2)
    assert all(parameter.grad is None for parameter in module.parameters())
    call(*tensors.values())
    assert module.seen is X  # what forward stores is stored


@given(st.sets(st.integers(0, 3)))
def test_tensors_that_are_not_given_stay_the_module_s_own(chosen):
    module = net()
    names = list(module.state_dict())
    given_ = {names[k]: Tensor(np.full_like(module.state_dict()[names[k]], 0.5)) for k in chosen}
    other = net()
    other.load_state_dict({**module.state_dict(), **{name: tensor.data for name, tensor in given_.items()}})
    x = Tensor(X.astype("f4"))
    before = module.state_dict()
    assert np.array_equal(nn.functional_call(module, given_, x).data, other(x).data)
    assert all(np.array_equal(array, before[name]) for name, array in module.state_dict().items())


def test_three_orders_through_two_steps_of_gradient_descent():
    torch = pytest.importorskip("torch")
    module = net()
    start = {name: array.astype("f8") for name, array in module.state_dict().items()}

    def ours(weights):
        now = dict(weights)
        for _ in range(2):
            loss = (nn.functional_call(module, now, X) ** 2).mean()
            slopes = tg.grad(loss, list(now.values()), create_graph=True)
            now = {name: value - 0.1 * slope for (name, value), slope in zip(now.items(), slopes, strict=True)}
        return (nn.functional_call(module, now, X) ** 3).sum()

    def theirs(weights):
        now, x = dict(weights), torch.tensor(X)

        def apply(w):
            return torch.tanh(x @ w["0.weight"] + w["0.bias"]) @ w["2.weight"] + w["2.bias"]

        for _ in range(2):
            slopes = torch.autograd.grad((apply(now) ** 2).mean(), list(now.values()), create_graph=True)
            now = {name: value - 0.1 * slope for (name, value), slope in zip(now.items(), slopes, strict=True)}
        return (apply(now) ** 3).sum()

    a = {name: tg.tensor(value, requires_grad=True) for name, value in start.items()}
    b = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    y, z = ours(a), theirs(b)
    for _ in range(3):
        assert y.item() == pytest.approx(z.item(), rel=1e-9)
        slopes = tg.grad(y, list(a.values()), create_graph=True)
        others = torch.autograd.grad(z, list(b.values()), create_graph=True)
        for slope, other in zip(slopes, others, strict=True):
            expected = other.detach().numpy()
            assert np.allclose(slope.detach().numpy(), expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
        y, z = sum((slope * slope).sum() for slope in slopes), sum((other * other).sum() for other in others)


def test_third_order_is_that_of_the_numbers():
    layer = nn.Linear(3, 1)

    def curvature(weight):
        y = F.exp(nn.functional_call(layer, {"weight": weight}, X)).sum()
        (slope,) = tg.grad(y, [weight], create_graph=True)
        return (slope**2).sum()

    tg.gradcheck(curvature, [tg.tensor(np.full((3, 1), 0.3), requires_grad=True)], order=2)


def test_buffers_are_replaced_and_those_of_the_module_change_in_place():
    layer = nn.BatchNorm(3)
    x = Tensor(X.astype("f4"))
    nn.functional_call(layer, {}, x)
    assert np.allclose(layer.running_mean.data, 0.1 * X.mean(0), rtol=1e-4, atol=1e-6)
    mean = Tensor(np.full(3, 7.0, "f4"))
    before = layer.running_mean.data.copy()
    shifted = nn.functional_call(layer.eval(), {"running_mean": mean}, x).data
    assert np.array_equal(layer.running_mean.data, before)
    assert np.allclose((layer(x).data - shifted) * np.sqrt(layer.running_var.data + 1e-5), 7 - before, atol=1e-4)


def test_after_an_error_the_module_is_as_before():
    module = Everywhere()
    before, own = module.state_dict(), list(map(id, module.parameters()))
    with pytest.raises(ShapeError):
        nn.functional_call(module, {"a.0.weight": Tensor(np.ones((3, 3)))}, np.ones((2, 5)))
    assert list(map(id, module.parameters())) == own
    assert all(np.array_equal(array, before[name]) for name, array in module.state_dict().items())


def test_other_threads_see_the_module_s_own_tensors():
    inside, checked = threading.Event(), threading.Event()

    class Waiting(nn.Linear):
        def forward(self, x):
            if x.shape == (1, 3):
                inside.set()
                assert checked.wait(10)
            return super().forward(x)

    layer, results = Waiting(3, 2), []
    zeros = {name: Tensor(np.zeros_like(array)) for name, array in layer.state_dict().items()}
    thread = threading.Thread(
        target=lambda: results.append(nn.functional_call(layer, zeros, Tensor(np.ones((1, 3), "f4"))).data)
    )
    thread.start()
    assert inside.wait(10)
    y = layer(Tensor(np.ones((2, 3), "f4")))
    checked.set()
    thread.join()
    assert y.data.any()
    assert not results[0].any()


def test_modules_that_refer_to_each_other_are_called():
    parent = nn.Sequential(nn.Linear(3, 3))
    parent[0].parent = parent
    weight = Tensor(np.zeros((3, 3)))
    assert not nn.functional_call(parent, {"0.weight": weight, "0.bias": Tensor(np.zeros(3))}, X).data.any()


def test_a_trace_has_the_names_of_the_module():
    module = net()
    with tg.trace() as t:
        nn.functional_call(module, {"0.weight": module[0].weight * 2}, Tensor(X.astype("f4")))
    assert {row.layer for row in t.rows} == {"", "module.0", "module.1", "module.2"}


@pytest.mark.parametrize(
    ("kind", "message", "tensors"),
    [
        (ArgumentError, r"Sequential has no parameter or buffer '0\.wieght'; did you mean \"0\.weight\"\?", "0.wieght"),
        (DtypeError, r"0\.weight: expected a tensor, got ndarray", {"0.weight": np.ones((3, 4))}),
        (ShapeError, r"0\.bias has the shape \(4,\), got \(1,\)", {"0.bias": Tensor(np.ones(1))}),
    ],
)
def test_what_does_not_belong_is_refused(kind, message, tensors):
    tensors = {tensors: Tensor(np.ones((3, 4)))} if isinstance(tensors, str) else tensors
    with pytest.raises(kind, match=message):
        nn.functional_call(net(), tensors, X)


def test_a_shared_tensor_has_one_value():
    module = Everywhere()
    one, other = Tensor(np.zeros((3, 3))), Tensor(np.ones((3, 3)))
    nn.functional_call(module, {"a.0.weight": one, "pair.1.0.weight": one}, X)
    with pytest.raises(ArgumentError, match="is shared, and is given two values"):
        nn.functional_call(module, {"a.0.weight": one, "pair.1.0.weight": other}, X)
