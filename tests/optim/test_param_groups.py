"""Groups of parameters, each with its own options, as PyTorch's users write them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.helpers import give_gradients, leaf, leaves, seeds
from tinygan import nn
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, StateError, TinyganError
from tinygan.optim import SGD, Adam, AdamW, ExponentialDecay, LinearDecay, RMSprop

OPTIONS = st.fixed_dictionaries({}, optional={"lr": st.floats(0.01, 1), "weight_decay": st.floats(0, 1)})


@given(st.sampled_from([SGD, Adam, AdamW, RMSprop]), OPTIONS, OPTIONS, seeds)
def test_every_group_goes_its_way_as_if_alone(rule, first, second, seed):
    together, alone = (leaves([(2,), (3, 2), (1,)], np.random.default_rng(seed)) for _ in range(2))
    groups = rule([{"params": together[:2], **first}, {"params": iter(together[2:]), **second}], lr=0.25)
    singles = [rule(alone[:2], **{"lr": 0.25, **first}), rule(alone[2:], **{"lr": 0.25, **second})]
    assert groups.params == together
    for t in range(3):
        give_gradients(together, np.random.default_rng(t))
        give_gradients(alone, np.random.default_rng(t))
        for each in (groups, *singles):
            each.step()
        for group, single in zip(groups.param_groups, singles, strict=True):
            assert {**group, "params": None} == {**single.param_groups[0], "params": None}
            group["lr"] *= 0.5
            single.lr *= 0.5
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_groups_are_read_and_written_as_tables():
    w, b = leaf(), leaf()
    sgd = SGD([{"params": [w], "momentum": 0.5}, {"params": [b], "lr": ExponentialDecay(0.2, 2)}], lr=0.1)
    first, second = sgd.param_groups
    assert dict(first) == {"params": (w,), "lr": 0.1, "momentum": 0.5, "weight_decay": 0.0}
    assert list(second) == ["params", "lr", "momentum", "weight_decay"]
    assert len(second) == 4
    sgd.updates = 1
    assert (second["lr"], second["momentum"], first.get("betas")) == (0.1, 0, None)
    second["lr"] = LinearDecay(0.1, 10)
    second.update(momentum=0.25, weight_decay=1)
    assert (second["lr"], second["momentum"], second["weight_decay"]) == (pytest.approx(0.09), 0.25, 1)
    sgd.lr = 3
    assert [group["lr"] for group in sgd.param_groups] == [3, 3]
    assert sgd.lr == 3
    assert repr(first) == "{1 parameter, lr: 3.0, momentum: 0.5, weight_decay: 0.0}"
    with pytest.raises(StateError, match=r"different values of momentum: read param_groups\[i\]\['momentum'\]"):
        _ = sgd.momentum


def test_an_assigned_option_is_used_in_the_next_update():
    weight = leaf()
    sgd = SGD([weight], 0.5)
    give_gradients([weight], np.random.default_rng(0))
    sgd.param_groups[0]["lr"], sgd.weight_decay = 0.25, 0.5
    sgd.step()
    gradient = np.random.default_rng(0).normal(size=1)
    np.testing.assert_allclose(weight.data, 1 - 0.25 * (gradient + 0.5), rtol=1e-6)


def refused(group, name, value):
    with pytest.raises(TinyganError) as caught:
        group[name] = value
    return str(caught.value)


def test_wrong_options_are_refused_when_assigned():
    group = Adam([leaf()]).param_groups[0]
    before = dict(group)
    assert refused(group, "lr", -1) == "Adam: the learning rate must be positive, got -1"
    assert refused(group, "betas", (0.5, 1)) == "Adam: betas[1] must be in [0, 1), got 1"
    assert refused(group, "eps", lambda updates: 1e-3).startswith("Adam: eps must be a number, got a function")
    assert "a group has no option 'weight_decy'; expected lr" in refused(group, "weight_decy", 0)
    assert 'did you mean "weight_decay"?' in refused(group, "weight_decy", 0)
    assert "a group has no option 'params'" in refused(group, "params", [])
    assert "a group has no option 3" in refused(group, 3, 0)
    with pytest.raises(StateError, match="'lr' of a group cannot be removed"):
        del group["lr"]
    assert dict(group) == before
    with pytest.raises(KeyError):
        group["momentum"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([{"params": [leaf()]}, leaf()], "SGD: group 1 is a Tensor; expected only dicts with the key 'params', or"),
        ([{"parms": [leaf()]}], "SGD: group 0 is a dict without 'params'"),
        ([{"params": [leaf()], "betas": 1}], "SGD: a group has no option 'betas'; expected lr, momentum, weight_decay"),
        ([{"params": leaf()}], "SGD: group 0: expected a list of parameters, got one tensor"),
        ([{"params": nn.Linear(1, 1)}], "SGD: group 0: expected a list of parameters, got a module; write module.par"),
        ([{"params": "weight"}], "SGD: group 0: expected a list of parameters, got 'weight'"),
        ([{"params": []}, {"params": []}], "SGD: got no parameters to optimise"),
        ([{"params": [leaf()], "lr": 0}], "SGD: the learning rate must be positive, got 0"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups, message):
    with pytest.raises(ArgumentError) as caught:
        SGD(groups, 0.1)
    assert str(caught.value).startswith(message)


def test_a_parameter_in_two_groups_is_refused():
    weight = leaf()
    with pytest.raises(ArgumentError, match="parameter 1 is parameter 0 once more"):
        SGD([{"params": [weight]}, {"params": [weight]}], 0.1)


def test_the_options_of_every_group_are_saved():
    def rule(lr):
        return AdamW([{"params": [leaf()], "lr": lr}, {"params": [leaf(), leaf()]}], ExponentialDecay(0.5))

    one, other = rule(0.1), rule(0.2)
    one.param_groups[1]["weight_decay"] = 0.75
    kept = other.param_groups
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.param_groups is kept
    assert [{**group, "params": 0} for group in kept] == [{**group, "params": 0} for group in one.param_groups]
    halves = AdamW([{"params": [leaf(), leaf()]}, {"params": [leaf()]}], ExponentialDecay(0.5))
    with pytest.raises(CheckpointError, match=r"AdamW: group 0: saved as .*; expected 2 for params"):
        halves.load_state_dict(one.state_dict())
    with pytest.raises(CheckpointError, match="expected saved groups to be a list of 1 groups"):
        AdamW([leaf()]).load_state_dict(one.state_dict())


def test_copies_have_groups_of_their_own():
    rule = SGD(leaves([(2,)], np.random.default_rng(0)), 0.1)
    twin = copy.deepcopy(rule)
    twin.param_groups[0]["lr"] = 0.5
    twin.updates = 7
    assert (rule.lr, twin.lr) == (0.1, 0.5)
    assert twin.param_groups[0]["params"] == tuple(twin.params)
    np.testing.assert_array_equal(twin.params[0].data, rule.params[0].data)


def test_an_option_must_be_a_number():
    for wrong in (True, "1", None, [1]):
        with pytest.raises(DtypeError, match="SGD: weight_decay must be a number"):
            SGD([leaf()], 0.1, weight_decay=wrong)
