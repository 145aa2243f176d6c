"""A module finds its parts, and saves and loads their state."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan import nn, optim
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, GradientError, StateError
from tinygan.nn import Buffer, Parameter

# --- trees of modules, described by plain values: an int is a Linear of that many outputs, "p" a parameter, a list or
# --- dict holds more of them, and a tuple (of name, value pairs) is a module with these attributes

leaves = st.integers(1, 4) | st.sampled_from(["p", "buffer", "tensor", "something else", None])
names = st.sampled_from("abcde")
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(names, inner, max_size=3)
    | st.dictionaries(names, inner, max_size=3).map(lambda attributes: tuple(attributes.items())),
    max_leaves=12,
)
modules = st.dictionaries(names, trees, max_size=4).map(lambda attributes: tuple(attributes.items()))


def build(tree):
    if isinstance(tree, int):
        return nn.Linear(2, tree)
    if tree == "p":
        return Parameter(np.zeros(3, np.float32))
    if tree == "buffer":
        return Buffer(np.zeros(2))
    if tree == "tensor":  # not in the state
        return Tensor(np.zeros(2))
    if isinstance(tree, list):
        return [build(item) for item in tree]
    if isinstance(tree, dict):
        return {name: build(item) for name, item in tree.items()}
    if isinstance(tree, tuple):
        module = nn.Module()
        for name, item in tree:
            setattr(module, name, build(item))
        return module
    return tree


def expected_names(tree, prefix=""):
    """Yield (name, whether it is trained) in order: first the tensors of a module, then those of its children."""
    own = [(name, item) for name, part in tree for name, item in unpack(prefix + name, part)]
    for name, item in own:
        if item in ("p", "buffer"):
            yield name, item == "p"
    for name, item in own:
        if isinstance(item, tuple):
            yield from expected_names(item, name + ".")
        elif isinstance(item, int):
            yield name + ".weight", True
            yield name + ".bias", True


def unpack(name, item):
    if isinstance(item, list | dict):
        for key, part in item.items() if isinstance(item, dict) else enumerate(item):
            yield from unpack(f"{name}.{key}", part)
    else:
        yield name, item


@given(modules)
def test_everything_is_found_once_in_order_wherever_it_lies(tree):
    module, expected = build(tree), list(expected_names(tree))
    assert [name for name, _ in module.named_parameters()] == [name for name, trained in expected if trained]
    assert list(module.state_dict()) == [name for name, _ in expected]
    named = [parameter for _, parameter in module.named_parameters()]
    assert all(ours is theirs for ours, theirs in zip(module.parameters(), named, strict=True))
    assert all(isinstance(parameter, Parameter) for parameter in named)


@given(modules, st.booleans())
def test_modes_reach_every_module(tree, mode):
    module = build(tree)
    everyone = list(module.modules())
    inside = sum(not name.endswith(".bias") for name, _ in expected_names(tree) if name.endswith((".weight", ".bias")))
    assert sum(isinstance(one, nn.Linear) for one in everyone) == inside
    assert all(one.training for one in everyone)
    assert module.train(mode) is module
    assert all(one.training is mode for one in everyone)
    assert module.eval() is module
    assert not any(one.training for one in everyone)


@given(modules, st.integers(0, 2**32 - 1))
def test_a_state_comes_back_bit_for_bit(tree, seed):
    module, other = build(tree), build(tree)
    rng = np.random.default_rng(seed)
    for _, tensor in module._named_tensors(""):
        tensor.data[...] = rng.normal(size=tensor.shape)
    state = module.state_dict()
    arrays = [tensor.data for _, tensor in other._named_tensors("")]
    other.load_state_dict(state)
    after = other.state_dict()
    assert list(after) == list(state)
    assert all(np.array_equal(after[name], state[name]) and after[name].dtype == state[name].dtype for name in state)
    # written in place: an optimiser that holds the parameters, or a shared parameter, sees the new values
    assert all(tensor.data is array for (_, tensor), array in zip(other._named_tensors(""), arrays, strict=True))


def test_a_state_is_a_copy_both_ways():
    layer = nn.Linear(2, 3)
    state = layer.state_dict()
    before = copy.deepcopy(state)
    layer.weight.data += 1
    assert np.array_equal(state["weight"], before["weight"])
    layer.load_state_dict(state)
    layer.weight.data += 1
    assert np.array_equal(state["weight"], before["weight"])


def test_a_shared_layer_counts_once_and_is_saved_twice():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Linear(3, 3)
            self.again = self.up
            self.own = self.up.bias

    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["own", "up.weight"]
    assert list(net.state_dict()) == ["own", "up.weight", "up.bias", "again.weight", "again.bias"]
    other = Tied()
    other.load_state_dict(net.state_dict())
    assert np.array_equal(other.up.weight.data, net.up.weight.data)
    assert other.own is other.again.bias


def test_what_forward_keeps_is_not_in_the_state():
    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.calls = nn.Buffer(np.zeros(1))

        def forward(self, x):
            self.seen, self.kept = x, [self.layer(x)]
            self.calls.data += 1
            return self.kept[0]

    module = Watched()
    before = module.state_dict()
    with tg.no_grad():
        module(tg.tensor([[1.0, 2.0]]))
    module(tg.tensor([[1.0, 2.0]]))
    after = module.state_dict()
    assert list(after) == list(before) == ["calls", "layer.weight", "layer.bias"]
    assert after["calls"].tolist() == [2]
    module.load_state_dict(before)
    assert module.calls.data.tolist() == [0]
    assert [name for name, _ in module.named_parameters()] == ["layer.weight", "layer.bias"]


def test_modules_that_refer_to_each_other():
    parent = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    parent[0].parent = parent[1].parent = parent
    parent[0].following = parent[1]
    assert list(parent.modules()) == [parent, parent[0], parent[1]]
    names = ["0.weight", "0.bias", "0.following.weight", "0.following.bias"]
    assert [name for name, _ in parent.named_parameters()] == names
    assert list(parent.state_dict()) == [*names, "1.weight", "1.bias"]
    parent.load_state_dict({name: array + 1 for name, array in parent.state_dict().items()})
    assert not parent.eval()[0].training
    assert "(parent): ..." in repr(parent)
    twin = copy.deepcopy(parent)
    assert twin[0].parent is twin
    assert len(pickle.loads(pickle.dumps(parent)).parameters()) == 4


def test_module_and_optimiser_copied_together_stay_together():
    module = net()
    rule = optim.Adam(module.parameters(), 0.1)
    for copied in (copy.deepcopy((module, rule)), pickle.loads(pickle.dumps((module, rule)))):
        assert all(a is b for a, b in zip(copied[0].parameters(), copied[1].params, strict=True))
        assert copied[1].params[0] is not rule.params[0]


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [Parameter(np.zeros(2, "f4")), Buffer(np.zeros(2, "f4")), nn.ReLU()])
def test_a_part_never_leaves_a_module_unnoticed(old):
    module = nn.Module()
    module.part = old
    message = rf"Module\.part is a {type(old).__name__}, and a .* cannot take its place"
    for other in (tg.tensor([1.0]), np.zeros(2), 3.0, [old], abs):
        with pytest.raises(DtypeError, match=message):
            module.part = other
        assert module.part is old
    for other in (Parameter(np.ones(3)), Buffer(np.ones(3)), nn.Sigmoid(), None):
        module.part = old
        module.part = other
        assert module.part is other
    module.part = old
    del module.part
    module.part = 3.0
    assert module.state_dict() == {}


def test_a_difference_does_not_take_the_place_of_a_parameter():
    layer = nn.Linear(2, 2)
    weight = layer.weight
    with pytest.raises((DtypeError, GradientError)):
        layer.weight -= 0.1
    assert layer.weight is weight


def test_two_tensors_of_one_name_are_refused():
    module = nn.Module()
    module.part = {1: Parameter(np.zeros(2)), "1": Parameter(np.ones(2))}
    with pytest.raises(ArgumentError, match=r"two tensors have the name 'part\.1'"):
        module.state_dict()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0, 2.0]], "weight is list, expected a NumPy array"),
        (tg.tensor([[1.0, 2.0]]), "weight is Tensor, expected a NumPy array"),
        (1.0, "weight is float, expected a NumPy array"),
        (None, "weight is NoneType, expected a NumPy array"),
        (np.ma.masked_array([[1.0, 2.0]], [[True, False]]), "weight is MaskedArray, expected a NumPy array"),
        (np.array([[1.0, None]]), "weight has dtype object, expected float32"),
        (np.array([["1", "2"]]), "weight has dtype <U1, expected float32"),
        (np.array([[1, 2]], "M8[s]"), r"weight has dtype datetime64\[s\], expected float32"),
        (np.array([[1.0, 1e300]]), "weight holds numbers beyond the largest of float32"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value, message):
    layer = nn.Linear(1, 2)
    before = layer.state_dict()
    with pytest.raises(CheckpointError, match=message):
        layer.load_state_dict({"bias": np.ones(2), "weight": value})
    assert all(np.array_equal(array, before[name]) for name, array in layer.state_dict().items())
    with pytest.raises(CheckpointError, match="expected a dict of arrays by name, got list"):
        layer.load_state_dict([("weight", value)])


def test_memory_that_cannot_be_written_to_is_refused_first():
    layer = nn.Linear(1, 2)
    layer.bias.data = np.broadcast_to(np.float32(1), (2,))
    before = layer.state_dict()
    with pytest.raises(StateError, match="the memory of bias cannot be written to"):
        layer.load_state_dict({name: array + 1 for name, array in before.items()})
    assert np.array_equal(layer.weight.data, before["weight"])


def test_arrays_of_a_state_may_be_those_of_the_module():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first, second = (part.weight.data.copy() for part in layer)
    state = layer.state_dict()
    state["0.weight"], state["1.weight"] = layer[1].weight.data, layer[0].weight.data
    layer.load_state_dict(state)
    assert np.array_equal(layer[0].weight.data, second)
    assert np.array_equal(layer[1].weight.data, first)



def net():
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


@given(st.data())
def test_a_state_that_does_not_fit_is_refused_and_named(data):
    module = net()
    state = {name: array + 1 for name, array in module.state_dict().items()}
    before = module.state_dict()
    name = data.draw(st.sampled_from(sorted(state)))
    fault = data.draw(st.sampled_from(["missing", "unknown", "shape", "rank", "text", "complex"]))
    if fault == "missing":
        del state[name]
        expected = f"{name} is missing"
    elif fault == "unknown":
        state["9." + name] = state[name]
        expected = f"9.{name} is unknown to this module"
    elif fault in ("shape", "rank"):
        old = state[name]
        state[name] = np.zeros((*old.shape[:-1], old.shape[-1] + 1) if fault == "shape" else (1, *old.shape))
        expected = f"{name} has shape {state[name].shape}, expected {old.shape}"
    else:
        state[name] = state[name].astype("U5" if fault == "text" else np.complex64)
        expected = f"{name} has dtype {state[name].dtype}, expected float32"
    with pytest.raises(CheckpointError) as error:
        module.load_state_dict(state)
    assert str(error.value) == f"load_state_dict: the arrays do not belong to this Sequential: {expected}"
    assert all(np.array_equal(array, before[key]) for key, array in module.state_dict().items())


def test_every_misfit_is_named_at_once():
    with pytest.raises(CheckpointError, match=r"0\.bias is missing; 2\.weight is missing; .*; extra is unknown"):
        net().load_state_dict({"0.weight": np.zeros((2, 3)), "extra": np.zeros(1)})


def test_sequential_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match=r"Sequential: layer 0 is list, expected a Module \(give the layers as"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="Sequential: layer 1 is type, expected a Module"):
        nn.Sequential(nn.ReLU(), nn.ReLU)


def test_a_module_without_a_forward_says_so():
    class Unfinished(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Unfinished\.forward is not written"):
        Unfinished()(tg.tensor([1.0]))


# --- the rest --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_sequential_applies_its_layers_in_order(widths, seed):
    rng = np.random.default_rng(seed)
    layers = [nn.Linear(a, b) for a, b in zip([2, *widths], widths, strict=False)]
    x = expected = rng.normal(size=(3, 2)).astype(np.float32)
    for layer in layers:
        expected = expected @ layer.weight.data + layer.bias.data
    sequential = nn.Sequential(*layers)
    assert np.allclose(sequential(Tensor(x)).data, expected, rtol=1e-5, atol=1e-6)
    assert len(sequential) == len(layers)
    assert list(sequential) == layers
    assert [sequential[i] for i in range(len(layers))] == layers


def test_a_subclass_of_sequential_may_own_more():
    class Headed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2, 3))
            self.head = nn.Linear(3, 1)

    assert [name for name, _ in Headed().named_parameters()] == ["0.weight", "0.bias", "head.weight", "head.bias"]


def test_zero_grad_forgets_all_gradients():
    module = net()
    module(tg.tensor([[1.0, 2.0]])).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    module.zero_grad()
    assert all(parameter.grad is None for parameter in module.parameters())


def test_moving_to_the_device_it_is_on_changes_nothing():
    module = net()
    arrays = [parameter.data for parameter in module.parameters()]
    assert module.to("cpu") is module
    assert all(parameter.data is array for parameter, array in zip(module.parameters(), arrays, strict=True))


def test_what_a_network_looks_like():
    inner = nn.Sequential(nn.Maxout(784, 240, 5), nn.Dropout(0.5))
    everything = nn.Sequential(
        inner, nn.Linear(240, 2), nn.Linear(2, 4, bias=False), nn.LeakyReLU(0.2), nn.ReLU(), nn.Reshape(2, 2),
        nn.Flatten(), nn.Sigmoid(), nn.Tanh(),
    )  # fmt: skip
    assert repr(everything) == (
        "Sequential(\n"
        "  (0): Sequential(\n"
        "    (0): Maxout(784, 240, pieces=5)\n"
        "    (1): Dropout(p=0.5)\n"
        "  )\n"
        "  (1): Linear(240, 2)\n"
        "  (2): Linear(2, 4, bias=False)\n"
        "  (3): LeakyReLU(0.2)\n"
        "  (4): ReLU()\n"
        "  (5): Reshape(2, 2)\n"
        "  (6): Flatten()\n"
        "  (7): Sigmoid()\n"
        "  (8): Tanh()\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


# --- parts, names and freezing ---------------------------------------------------------------------------


@given(modules)
def test_every_module_has_one_name_and_is_reached_by_apply(tree):
    module = build(tree)
    named = dict(module.named_modules())
    assert list(named.values()) == list(module.modules())
    assert named[""] is module
    for name, one in named.items():
        for child_name, child in one.named_children():
            assert child is named[f"{name}.{child_name}" if name else child_name]
    assert [name for name, _ in module.named_modules("net")] == [f"net.{name}".rstrip(".") for name in named]
    assert list(module.children()) == [child for _, child in module.named_children()]
    seen = []
    assert module.apply(seen.append) is module
    assert {id(one) for one in seen} == {id(one) for one in named.values()}
    assert seen[-1] is module


def test_shared_children_come_once():
    layer = nn.ReLU()
    twice = nn.Sequential(layer, layer)
    assert list(twice.children()) == [layer]
    assert len(list(twice.named_modules())) == 2


def test_freezing_all_parameters():
    module = net()
    assert module.requires_grad_(False) is module
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not module(tg.tensor([[1.0, 2.0]])).requires_grad
    module.requires_grad_()
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_arguments_by_name_reach_forward_and_the_observer():
    class Conditional(nn.Module):
        def forward(self, x, y=None, scale=1.0):
            return x * scale if y is None else x * scale + y

    module, x, y = Conditional(), tg.tensor([1.0]), tg.tensor([2.0])
    assert module(x, y=y).data.tolist() == [3]
    assert module(x, scale=4.0).data.tolist() == [4]
    with tg.trace() as t:
        module(x, y=y)
    assert {leaf.name for leaf in t.leaves} == {"input of module", "input of module (2)"}
    assert {row.layer for row in t.rows} == {"module"}


@given(st.data())
def test_a_state_is_loaded_as_far_as_its_names_go(data):
    module = net()
    before = module.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    missing = data.draw(st.sets(st.sampled_from(sorted(state))))
    given_ = {name: array for name, array in state.items() if name not in missing} | {"other": np.zeros(2)}
    found = module.load_state_dict(given_, strict=False)
    assert found.missing_keys == [name for name in state if name in missing]
    assert found.unexpected_keys == ["other"]
    after = module.state_dict()
    assert all(np.array_equal(after[name], (before if name in missing else state)[name]) for name in state)
    keys, extra = module.load_state_dict(state)
    assert (keys, extra) == ([], [])
    with pytest.raises(CheckpointError, match=r"0\.weight has shape"):
        module.load_state_dict({"0.weight": np.zeros(1)}, strict=False)
