"""What all update rules share: groups of parameters, the state, and refusals."""

from __future__ import annotations

import copy
import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.optim.helpers import assert_close, dtypes, give_gradients, leaf, leaves, seeds, shapes, values
from tinygan import nn
from tinygan.backend import adam_numbers
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, ShapeError, StateError
from tinygan.nn import Parameter
from tinygan.optim import (
    SGD,
    Adam,
    AdamW,
    CosineDecay,
    ExponentialDecay,
    LinearMomentum,
    Optimizer,
    RMSprop,
    StepDecay,
    WarmUp,
)

# --- max_col_norm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [SGD, Adam])
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), limit=st.floats(0.1, 3), dtype=dtypes, seed=seeds)
def test_the_weights_into_a_unit_are_shortened_to_the_limit(rule, rows, columns, limit, dtype, seed):
    rng = np.random.default_rng(seed)
    bounded = leaves([(rows, columns), (columns,), (rows, columns, 1)], rng, dtype)
    free = [Tensor(parameter.data.copy(), requires_grad=True) for parameter in bounded]
    give_gradients(bounded, rng)
    for ours, theirs in zip(bounded, free, strict=True):
        theirs.grad = ours.grad
    rule(bounded, lr=0.1, max_col_norm=limit).step()
    rule(free, lr=0.1).step()
    matrix, before = bounded[0].data, free[0].data
    norms = np.sqrt((before.astype(np.float64) ** 2).sum(axis=0))
    expected = before * np.minimum(1, limit / norms)
    assert matrix.dtype == dtype
    assert np.allclose(matrix, expected, rtol=1e-5)  # the direction stays
    short = norms < limit * (1 - 1e-5)
    assert np.array_equal(matrix[:, short], before[:, short])  # to the last bit
    assert np.array_equal(bounded[1].data, free[1].data)  # biases and kernels have no columns
    assert np.array_equal(bounded[2].data, free[2].data)


# --- what the rules share --------------------------------------------------------------------------------

rules = st.sampled_from(
    [
        lambda params: SGD(params, 0.1),
        lambda params: SGD(params, ExponentialDecay(0.1, 1.1), LinearMomentum(0.3, 0.9, 3, updates_per_epoch=2)),
        lambda params: SGD(params, 0.1, 0.9, max_col_norm=0.5),
        lambda params: SGD(params, WarmUp(0.1, 3), 0.9, weight_decay=0.1),
        lambda params: Adam(params, ExponentialDecay(0.1, 1.1)),
        lambda params: Adam(params, 0.1, (0.5, 0.9), weight_decay=0.1),
        lambda params: AdamW(params, CosineDecay(0.1, 5)),
        lambda params: RMSprop(params, StepDecay(0.1, 2, repeated=True), weight_decay=0.1),
        lambda params: AdamW([{"params": params[:1], "lr": 0.2, "weight_decay": 0.0}, {"params": params[1:]}]),
    ]
)


@given(rules, shapes, st.integers(0, 4), st.integers(1, 4), dtypes, seeds)
def test_a_saved_state_goes_on_to_the_same_bits(rule, shapes, before, after, dtype, seed):
    rng = np.random.default_rng(seed)
    params = leaves(shapes, rng, dtype)
    optimizer = rule(params)

    def advance(optimizer, steps, rng):
        for _ in range(steps):
            give_gradients(optimizer.params, rng)
            optimizer.step()

    advance(optimizer, before, rng)
    saved = optimizer.state_dict()
    kept = copy.deepcopy(saved)
    twin = rule([Tensor(parameter.data.copy(), requires_grad=True) for parameter in params])
    twin.load_state_dict(saved)
    advance(optimizer, after, np.random.default_rng(seed + 1))
    advance(twin, after, np.random.default_rng(seed + 1))
    for ours, theirs in zip(optimizer.params, twin.params, strict=True):
        assert ours.data.tobytes() == theirs.data.tobytes()
    assert twin.updates == optimizer.updates
    assert [group.now() for group in twin.param_groups] == [group.now() for group in optimizer.param_groups]
    # the saved state is a copy: no optimiser has changed it
    assert saved["updates"] == kept["updates"] == before
    assert all(np.array_equal(saved["arrays"][name], kept["arrays"][name]) for name in kept["arrays"])
    assert all(array.dtype == dtype for array in saved["arrays"].values())


@given(rules, shapes, st.sets(st.integers(0, 3)), seeds)
def test_parameters_without_a_gradient_are_left_alone(rule, shapes, without, seed):
    rng = np.random.default_rng(seed)
    params, twins = leaves(shapes, rng), leaves(shapes, np.random.default_rng(seed))
    optimizer, other = rule(params), rule(twins)

    def step(without):
        for parameter, twin in zip(params, twins, strict=True):
            parameter.grad = twin.grad = Tensor(rng.normal(size=parameter.shape))
        for position in without:
            params[position].grad = None
        optimizer.step()
        other.step()

    step(set())
    step(set())  # now there is a velocity, which would move the weight
    before = values(params)
    without &= set(range(len(params)))
    step(without)
    for position, (parameter, twin) in enumerate(zip(params, twins, strict=True)):
        expected = before[position] if position in without else twin.data
        assert np.array_equal(parameter.data, expected)


def test_gradients_stay_until_zero_grad_and_are_never_changed():
    params = leaves([(3,), (2, 2)], np.random.default_rng(0))
    for optimizer in (SGD(params, 0.1, 0.5), Adam(params, 0.1)):
        gradients = give_gradients(params, np.random.default_rng(1))
        optimizer.step()
        assert all(np.array_equal(p.grad.data, g) for p, g in zip(params, gradients, strict=True))
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in params)


def test_the_learning_rate_can_be_changed_on_the_way():
    weight = Tensor(np.zeros(1), requires_grad=True)
    weight.grad = Tensor(np.ones(1))
    sgd = SGD([weight], 0.5)
    sgd.lr = 2.0
    sgd.step()
    assert weight.data[0] == -2
    sgd.lr = lambda updates: 10.0 * updates
    assert sgd.lr == 10
    sgd.step()
    assert weight.data[0] == -12


def test_a_rule_without_an_update_says_so():
    class Unfinished(Optimizer):
        pass

    params = leaves([(1,)], np.random.default_rng(0))
    give_gradients(params, np.random.default_rng(0))
    with pytest.raises(NotImplementedError, match=r"Unfinished\.update is not written"):
        Unfinished(params, 0.1).step()


# --- updates of a parameter, and updates of the rule -----------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=6), seeds)
def test_each_parameter_goes_its_way_as_if_alone(turns, seed):
    """In each step only parameters with a gradient change; the moments and counts of the others stay."""
    rng = np.random.default_rng(seed)
    for rule in (lambda params: Adam(params, 0.1), lambda params: SGD(params, 0.1, 0.5)):
        params = leaves([(2,), (3, 2), (1,)], rng)
        alone = [Tensor(parameter.data.copy(), requires_grad=True) for parameter in params]
        together, singles = rule(params), [rule([parameter]) for parameter in alone]
        for turn in turns:
            give_gradients(params, rng)
            for own, single, parameter, has in zip(alone, singles, params, turn, strict=True):
                if has:
                    own.grad = parameter.grad
                    single.step()
                else:
                    parameter.grad = None
            together.step()
            resumed = rule(params)
            resumed.load_state_dict(together.state_dict())
            together = resumed
        for own, parameter in zip(alone, params, strict=True):
            np.testing.assert_array_equal(parameter.data, own.data)


def test_a_part_that_joins_late_takes_a_first_step():
    early, late = leaves([(1,), (1,)], np.random.default_rng(0))
    adam = Adam([early, late], 0.1)
    early.grad = Tensor(np.ones(1))
    for _ in range(1000):
        adam.step()
    before = late.data.copy()
    late.grad = Tensor(np.ones(1))
    adam.step()
    assert before[0] - late.data[0] == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("rule", [lambda params: SGD(params, 0.1, 0.5), lambda params: AdamW(params, 0.1), RMSprop])
def test_a_frozen_parameter_stays(rule):
    weight, frozen = Parameter(np.ones(2, "f4")), Parameter(np.ones(2, "f4"))
    frozen.requires_grad = False
    optimizer = rule([weight, frozen])
    give_gradients([weight, frozen], np.random.default_rng(0))
    optimizer.step()
    assert frozen.data.tolist() == [1, 1]
    assert weight.data.tolist() != [1, 1]
    frozen.requires_grad, weight.requires_grad = True, False
    before = weight.data.copy()
    optimizer.step()
    assert frozen.data.tolist() != [1, 1]
    np.testing.assert_array_equal(weight.data, before)
    optimizer.zero_grad()
    assert frozen.grad is weight.grad is None


def test_adam_has_one_rate_only_while_all_counts_agree():
    params = leaves([(1,), (2,)], np.random.default_rng(0))
    adam = Adam(params, 0.1)

    def numbers(step):
        return [adam_numbers(0.1, (0.9, 0.999), 1e-8, step)]

    params[0].grad = Tensor(np.ones(1))
    adam.step()
    assert adam.counters == (1, [1, 0])
    assert adam.coefficients() == numbers(2)  # the other one has never been updated
    adam.counters = 2, [2, 0]
    assert adam.coefficients() == numbers(3)
    adam.counters = 1, [1, 0]
    assert adam.coefficients() == numbers(2)
    params[1].grad = Tensor(np.ones(2))
    adam.step()
    with pytest.raises(StateError, match="the parameters have had 1 or 2 updates"):
        adam.coefficients()
    other = SGD(params, 0.1, weight_decay=0.5)  # its numbers do not depend on the counts
    other.step()
    params[0].grad = None
    other.step()
    assert other.coefficients() == [(0.1, 0.0, 0.5)]
    groups = Adam([{"params": [parameter], "lr": lr} for parameter, lr in zip(params, (0.1, 0.2), strict=True)])
    groups.step()
    groups.step()
    assert groups.coefficients() == [*numbers(1), adam_numbers(0.2, (0.9, 0.999), 1e-8, 3)]


# --- gradients and states that do not fit ----------------------------------------------------------------


@pytest.mark.parametrize("rule", [lambda p: SGD(p, 0.1), lambda p: SGD(p, 0.1, 0.5), lambda p: Adam(p, 0.1)])
@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((3, 2), "f4"), ShapeError),  # of the same size
        (np.zeros(6, "f4"), ShapeError),
        (np.zeros((1, 3), "f4"), ShapeError),  # would broadcast
        (np.zeros((4000, 3), "f4"), ShapeError),  # larger: BLAS wrote past the end of the velocity
        (np.zeros((2, 3), "f8"), DtypeError),
        (np.broadcast_to(np.float32(0), (2, 3)), StateError),  # six times one number, read-only
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_replaced_array_is_refused_before_any_step(rule, array, error, begun):
    first, second = (Tensor(np.ones((2, 3), "f4"), requires_grad=True) for _ in range(2))
    optimizer = rule([first, second])
    give_gradients([first, second], np.random.default_rng(0))
    if begun:
        optimizer.step()
    before = first.data.copy()
    second.data = array  # its gradient fits the old array
    with pytest.raises(error, match="parameter 1"):
        optimizer.step()
    np.testing.assert_array_equal(first.data, before)
    assert optimizer.updates == begun
    if begun and optimizer.slots and array.shape != (2, 3):
        second.grad = Tensor(np.zeros(array.shape, array.dtype))  # now only the state fits the old array
        with pytest.raises(ShapeError, match=r"parameter 1: its (velocity|mean) has shape \(2, 3\).*a new optimiser"):
            optimizer.step()
        np.testing.assert_array_equal(first.data, before)


@given(rules, seeds)
def test_a_gradient_may_lie_anyhow_in_memory(rule, seed):
    rng = np.random.default_rng(seed)
    params, twins = (leaves([(4, 3), (2, 5)], np.random.default_rng(seed)) for _ in range(2))
    one, other = rule(params), rule(twins)
    for parameter, twin in zip(params, twins, strict=True):
        plain = rng.normal(size=parameter.shape)
        twin.grad = Tensor(plain)
        parameter.grad = Tensor(np.repeat(plain.T, 2, axis=0)[::2].T)
    one.step()
    other.step()
    assert_close(params, values(twins), np.float64)


# --- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [0.0, -1, math.nan, math.inf, -math.inf, True, np.bool_(1), "0.1", None, [0.1], 10**400])
def test_learning_rates_that_are_none_are_refused(lr):
    weight = leaf()
    with pytest.raises((ArgumentError, DtypeError), match="SGD: the learning rate must be"):
        SGD([weight], lr)
    sgd = SGD([weight], 0.1)
    with pytest.raises((ArgumentError, DtypeError), match="SGD: the learning rate must be"):
        sgd.lr = lr
    assert sgd.lr == 0.1
    if lr == 0:
        return  # a schedule may return 0
    weight.grad = Tensor(np.ones(1, "f4"))
    sgd.lr = lambda updates: lr
    with pytest.raises((ArgumentError, DtypeError), match="SGD: the learning rate that the schedule gives for 0 must"):
        sgd.step()
    assert weight.data.tolist() == [1]


@pytest.mark.parametrize("momentum", [1.0, -0.1, math.nan, math.inf, True, "0.5", None])
def test_momenta_that_are_none_are_refused(momentum):
    with pytest.raises((ArgumentError, DtypeError), match="SGD: momentum must be"):
        SGD([leaf()], 0.1, momentum)
    first, second = leaf(), leaf()
    first.grad = second.grad = Tensor(np.ones(1, "f4"))
    sgd = SGD([first, second], 0.1, lambda updates: momentum)
    with pytest.raises((ArgumentError, DtypeError), match="SGD: momentum that the schedule gives for 0 must be"):
        sgd.step()
    assert first.data.tolist() == second.data.tolist() == [1]


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.array(0.5), Fraction(1, 2)])
def test_every_kind_of_number_will_do(number):
    for sgd in (SGD([leaf()], number, number), SGD([leaf()], lambda _: number, lambda _: number)):
        assert (sgd.lr, sgd.momentum) == (0.5, 0.5)
        assert type(sgd.lr) is float


def test_numbers_set_by_hand_are_part_of_the_state():
    def sgd():
        return SGD([leaf()], ExponentialDecay(0.1, 1.1), LinearMomentum(0.3, 0.9, 3, updates_per_epoch=1))

    by_hand, fresh = sgd(), sgd()
    plain = by_hand.state_dict()
    by_hand.lr, by_hand.momentum = 0.01, 0.25
    fresh.load_state_dict(json.loads(json.dumps({**by_hand.state_dict(), "arrays": {}})))
    assert (fresh.lr, fresh.momentum) == (0.01, 0.25)
    fresh.load_state_dict(plain)  # again the schedules of the constructor
    assert (fresh.lr, fresh.momentum) == (0.1, 0.3)


def test_the_learning_rate_is_part_of_the_state():
    one = Adam([leaf()], 0.1, (0.5, 0.9), 1e-3, weight_decay=0.2)
    for other in (Adam([leaf()], 0.3), Adam([leaf()], ExponentialDecay(0.3))):
        other.load_state_dict(json.loads(json.dumps(one.state_dict())))
        assert (other.lr, other.betas, other.eps, other.weight_decay) == (0.1, (0.5, 0.9), 1e-3, 0.2)
        other.param_groups[0]["lr"] = 0.4
        one.load_state_dict(other.state_dict())
        assert one.lr == 0.4
        one.lr = 0.1


def test_schedules_must_be_set_again():
    one, other = SGD([leaf()], 0.1), SGD([leaf()], 0.1)
    one.lr = ExponentialDecay(0.5)
    saved = one.state_dict()
    with pytest.raises(CheckpointError, match=r"lr had a schedule.* assign it again"):
        other.load_state_dict(saved)
    other.lr = ExponentialDecay(0.5)
    other.load_state_dict(saved)
    assert other.lr == 0.5


def test_without_a_velocity_there_is_no_momentum_to_set():
    sgd = SGD([leaf()], 0.1)
    with pytest.raises(StateError, match="made without a momentum, it keeps no velocity"):
        sgd.momentum = 0.5
    with pytest.raises(StateError, match="made without a momentum"):
        sgd.param_groups[0]["momentum"] = 0.5
    with pytest.raises(CheckpointError, match="made without a momentum"):
        sgd.load_state_dict(SGD([leaf()], 0.1, 0.5).state_dict())
    assert sgd.momentum == 0
    with pytest.raises(AttributeError):
        sgd.max_col_norm = 0.5


@given(rules, seeds)
def test_optimisers_are_copied_and_pickled_with_their_state(rule, seed):
    params = leaves([(2,), (3, 2)], np.random.default_rng(seed))
    optimizer = rule(params)
    give_gradients(params, np.random.default_rng(1))
    optimizer.step()
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    for each in (optimizer, *twins):
        for group in each.param_groups:
            group["eps" if "eps" in group else "weight_decay"] = 0.25
        each.step()
    for twin in twins:
        for ours, theirs in zip(optimizer.params, twin.params, strict=True):
            np.testing.assert_array_equal(ours.data, theirs.data)
        inside = [parameter for group in twin.param_groups for parameter in group["params"]]
        assert all(one is other for one, other in zip(inside, twin.params, strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_module_copied_with_its_optimiser_stays_its_own(copied):
    net = nn.Linear(2, 3)
    optimizer = AdamW([{"params": [net.weight], "lr": 0.1}, {"params": [net.bias]}])
    twin, its_optimizer = copied((net, optimizer))
    assert [id(parameter) for parameter in its_optimizer.params] == list(map(id, twin.parameters()))
    before = net.weight.data.copy()
    give_gradients(twin.parameters(), np.random.default_rng(0))
    its_optimizer.step()
    np.testing.assert_array_equal(net.weight.data, before)
    assert not np.array_equal(twin.weight.data, before)


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD([], 0.1), "SGD: got no parameters to optimise"),
        (lambda: Adam(iter([]), 0.1), "Adam: got no parameters to optimise"),
        (lambda: SGD([leaf(), tg.tensor([1])], 0.1), "SGD: parameter 1 is not a leaf tensor with requires_grad=True"),
        (lambda: SGD([leaf() * 2], 0.1), "SGD: parameter 0 is not a leaf tensor with requires_grad=True"),
        (lambda: SGD([np.ones(1)], 0.1), "SGD: parameter 0 is not a leaf tensor with requires_grad=True"),
        (lambda: SGD([leaf()], 0.0), "SGD: the learning rate must be positive, got 0.0"),
        (lambda: Adam([leaf()], -1.0), "Adam: the learning rate must be positive, got -1.0"),
        (lambda: SGD([leaf()], math.nan), "SGD: the learning rate must be positive, got nan"),
        (lambda: SGD([leaf()], 0.1, 1.0), "SGD: momentum must be in [0, 1), got 1.0"),
        (lambda: SGD([leaf()], 0.1, -0.1), "SGD: momentum must be in [0, 1), got -0.1"),
        (lambda: SGD([leaf()], 0.1, max_col_norm=0.0), "SGD: max_col_norm must be positive, got 0.0"),
        (lambda: Adam([leaf()], 0.1, (1.0, 0.9)), "Adam: betas[0] must be in [0, 1), got 1.0"),
        (lambda: Adam([leaf()], 0.1, (0.9, -0.1)), "Adam: betas[1] must be in [0, 1), got -0.1"),
        (lambda: Adam([leaf()], 0.1, eps=0.0), "Adam: eps must be positive, got 0.0"),
        (lambda: SGD([leaf()], 0.1, weight_decay=-0.1), "SGD: weight_decay must be at least 0, got -0.1"),
        (lambda: AdamW([leaf()], weight_decay=math.nan), "AdamW: weight_decay must be at least 0, got nan"),
        (lambda: RMSprop([leaf()], alpha=1.0), "RMSprop: alpha must be in [0, 1), got 1.0"),
        (lambda: Adam([leaf()], 0.1, 0.9), "Adam: betas must be two numbers, got 0.9"),
        (lambda: SGD(leaf(), 0.1), "SGD: expected a list of parameters, got one tensor; write [parameter]"),
        (
            lambda: SGD(nn.Linear(1, 1), 0.1),
            "SGD: expected a list of parameters, got a module; write module.parameters()",
        ),
        (lambda: SGD({"params": [leaf()]}, 0.1), "SGD: expected a list of parameters, got a dict"),
        (lambda: SGD(None, 0.1), "SGD: expected a list of parameters, got None"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        make()
    assert str(error.value) == message


def test_a_parameter_given_twice_is_refused():
    weight = leaf()
    with pytest.raises(ValueError, match="SGD: parameter 2 is parameter 0 once more; it would be updated twice"):
        SGD([weight, leaf(), weight], 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["arrays"].update({"speed.0": np.zeros((2, 3))}), "'speed.0' does not belong to this rule"),
        (lambda s: s["arrays"].update({"mean.2": np.zeros((2, 3))}), "'mean.2' does not belong to this rule"),
        (lambda s: s["arrays"].update({"mean.-1": np.zeros((2, 3))}), "'mean.-1' does not belong to this rule"),
        (lambda s: s["arrays"].update({"mean": np.zeros((2, 3))}), "'mean' does not belong to this rule"),
        (
            lambda s: s["arrays"].update({"square.1": np.zeros(4)}),
            r"saved square\.1 has shape \(4,\), expected \(3,\)",
        ),
        (lambda s: s["arrays"].pop("square.1"), r"the saved state lacks square\.1"),
        (lambda s: s.pop("updates"), "the saved state lacks updates"),
        (lambda s: s.pop("groups"), "the saved state lacks groups"),
        (lambda s: s.pop("parameter_updates"), "the saved state lacks parameter_updates"),
        (lambda s: s.pop("arrays"), "the saved state lacks arrays"),
        (lambda s: s.update(arrays=[1]), "saved arrays are list, expected a dict"),
        (lambda s: s["arrays"].update({"mean.0": [[0.0] * 3] * 2}), r"saved mean\.0 is list, expected a NumPy array"),
        (lambda s: s["arrays"].update({"mean.0": np.full((2, 3), "0")}), r"saved mean\.0 has dtype <U1, expected"),
        (lambda s: s["arrays"].update({"mean.00": np.zeros((2, 3))}), r"'mean\.00' does not belong to this rule"),
        (lambda s: s.update(updates=-1), "saved updates must be an integer of at least 0, got -1"),
        (lambda s: s.update(updates=1.5), "saved updates must be an integer of at least 0, got 1.5"),
        (lambda s: s.update(updates=True), "saved updates must be an integer of at least 0, got True"),
        (lambda s: s.update(parameter_updates=[1]), "expected saved parameter_updates to be a list of 2 counts"),
        (lambda s: s.update(parameter_updates=[1, "2"]), "parameter_updates must be an integer of at least 0, got '2'"),
        (lambda s: s.update(parameter_updates=[1, 99]), "parameter 1 had 99 updates, of 8 in all"),
        (lambda s: s.update(parameter_updates=[1, 0]), "parameter 1 had no update, yet a state is saved for it"),
        (lambda s: s.update(groups=[]), "expected saved groups to be a list of 1 groups"),
        (lambda s: s.update(groups=[7]), "Adam: group 0: saved as 7; expected 2 for params and the options lr, eps"),
        (lambda s: s["groups"][0].update(params=3), "'params': 3.*; expected 2 for params"),
        (lambda s: s["groups"][0].update(speed=3), "expected 2 for params and the options"),
        (lambda s: s["groups"][0].pop("eps"), "expected 2 for params and the options"),
        (lambda s: s["groups"][0].update(lr=-1.0), "saved Adam: the learning rate must be positive, got -1.0"),
        (lambda s: s["groups"][0].update(lr="1"), "saved Adam: the learning rate must be a number, got '1'"),
        (lambda s: s["groups"][0].update(lr=None), "lr had a schedule"),
        (lambda s: s["groups"][0].update(betas=[0.9]), r"saved Adam: betas must be two numbers"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, message):
    rng = np.random.default_rng(0)
    params = leaves([(2, 3), (3,)], rng)
    adam = Adam(params, 0.1)
    give_gradients(params, rng)
    adam.step()
    before = adam.state_dict()
    state = copy.deepcopy(before)
    state["updates"] += 7
    for array in state["arrays"].values():
        array += 1
    change(state)
    with pytest.raises(CheckpointError, match=message):
        adam.load_state_dict(state)
    after = adam.state_dict()
    assert (after["updates"], after["groups"]) == (before["updates"], before["groups"])
    assert after["arrays"].keys() == before["arrays"].keys()
    assert all(np.array_equal(after["arrays"][name], before["arrays"][name]) for name in before["arrays"])


def test_the_state_of_another_rule_is_refused():
    rng = np.random.default_rng(0)
    params = leaves([(2,)], rng)
    adam, sgd = Adam(params, 0.1), SGD(params, 0.1, 0.5)
    give_gradients(params, rng)
    adam.step()
    sgd.step()
    with pytest.raises(CheckpointError, match=r"SGD: group 0: saved as .*betas.*; expected 1 for params"):
        sgd.load_state_dict(adam.state_dict())
    state = sgd.state_dict()
    state["groups"][0]["momentum"] = 0.0
    with pytest.raises(CheckpointError, match=r"SGD: the saved array 'velocity\.0' does not belong to this rule"):
        SGD(params, 0.1).load_state_dict(state)


def test_hooks_before_a_step_are_called_in_order_until_removed():
    w = leaf()
    rule, calls = SGD([w], lr=0.5), []

    def double(optimizer, args, kwargs):
        calls.append((optimizer is rule, args, kwargs))
        w.grad.data[...] *= 2

    first = rule.register_step_pre_hook(double)
    second = rule.register_step_pre_hook(lambda *_: w.grad.data.__iadd__(1))
    for handle, expected in ((first, 1 - 0.5 * (2 * 1 + 1)), (second, -0.5 - 0.5 * (1 + 1)), (second, -1.5 - 0.5 * 1)):
        w.grad = tg.tensor([1.0])
        rule.step()
        assert w.item() == expected
        handle.remove()
    assert calls == [(True, (), {})]


def test_a_hook_that_fails_changes_nothing():
    w = leaf()
    rule = SGD([w], lr=0.5)
    rule.register_step_pre_hook(lambda *_: 1 / 0)
    w.grad = tg.tensor([1.0])
    with pytest.raises(ZeroDivisionError):
        rule.step()
    assert (w.item(), rule.updates) == (1.0, 0)


def test_a_hook_that_cannot_be_called_is_refused():
    with pytest.raises(ArgumentError, match=r"SGD\.register_step_pre_hook: hook is int"):
        SGD([leaf()], lr=0.5).register_step_pre_hook(3)


def test_hooks_are_no_part_of_the_state():
    rule = SGD([leaf()], lr=0.5)
    before = rule.state_dict()
    rule.register_step_pre_hook(print)
    assert rule.state_dict() == before
