"""What a trace records: the values, the sources, the passes and the updates are those of the computation."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn, optim
from tinygan.checking.operations import CASES
from tinygan.errors import ArgumentError, ShapeError
from tinygan.trace.record import Leaf, Row


def leaf(*values: float, name: str | None = None) -> tg.Tensor:
    return tg.tensor(values[0] if len(values) == 1 else list(values), "float64", requires_grad=True, name=name)


def game(**options: object) -> gan.Algorithm1:
    tg.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    discriminator = nn.Sequential(nn.Maxout(2, 4, pieces=3), nn.Dropout(0.5), nn.Linear(4, 1))
    return gan.Algorithm1(generator, discriminator, **options)  # type: ignore[arg-type]


DATA = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)


def bits(one: gan.Algorithm1) -> list[bytes]:
    return [p.numpy().tobytes() for player in (one.generator, one.discriminator) for p in player.parameters()]


# ---------------------------------------------------------------------- values and sources


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.name}" for n, case in enumerate(CASES)])
def test_values_and_gradients_of_every_operation(case):
    inputs = [tg.tensor(array, "float64", requires_grad=True) for array in case.inputs]
    tg.manual_seed(1)
    with tg.trace() as t:
        y = case.call(*inputs)
        loss = (y * y).sum()
        loss.backward()
    tg.manual_seed(1)
    again = [tg.tensor(array, "float64", requires_grad=True) for array in case.inputs]
    untraced = case.call(*again)
    (untraced * untraced).sum().backward()
    assert t.rows[-1].result.array == loss.item()
    assert t.rows[-2].operands[0].value.array.tobytes() == untraced.numpy().tobytes()
    for tensor, same in zip(inputs, again, strict=True):
        found = [one for one in t.leaves if one.tensor is tensor]
        assert found[0].gradients[1].array.tobytes() == same.grad.numpy().tobytes()


@given(st.lists(st.sampled_from(["add", "multiply", "square", "exp", "matmul"]), min_size=1, max_size=6))
def test_sources_lead_from_the_loss_to_the_leaves(steps):
    x = tg.tensor([[0.1, -0.2], [0.3, 0.2]], "float64", requires_grad=True, name="x")
    with tg.trace() as t:
        y = x
        for step in steps:
            y = {"add": y + x, "multiply": y * x, "square": y * y, "exp": F.exp(y), "matmul": y @ x}[step]
        y.sum().backward()
    by_value = {row.result.array.tobytes(): row for row in t.rows}
    for row in t.rows:
        for operand in row.operands:
            source = operand.source
            assert source is not None
            value = source.result if isinstance(source, Row) else source.value
            assert value.same_bits(operand.value)
            assert isinstance(source, Leaf) or by_value[operand.value.array.tobytes()].result.same_bits(value)
    assert t.rows[-1].gradient().array == 1
    assert t.leaves[0].gradients[1].array.tobytes() == x.grad.numpy().tobytes()


def test_values_are_copied():
    x = leaf(1.0, 2.0)
    with tg.trace() as t:
        y = x * 3
        y.data[0] = 99
        y.mark_changed()
        z = y * 2
    assert t.rows[0].result.array.tolist() == [3, 6]
    assert t.rows[1].operands[0].value.array.tolist() == [99, 6]
    assert z.numpy().tolist() == [198, 12]


def test_a_change_without_notice_is_seen():
    x = leaf(1.0, 2.0)
    with tg.trace() as t:
        x * 3
        x.data[0] = 5
        x * 3
    assert [row.operands[0].value.array[0] for row in t.rows] == [1, 5]


def test_detached_results_keep_their_source():
    x = leaf(1.0, 2.0)
    with tg.trace() as t:
        y = x * 3
        y.detach() + 1
    operand = t.rows[1].operands[0]
    assert operand.source is t.rows[0]
    assert not operand.requires_grad
    assert t.rows[0].recorded


def test_no_grad_is_seen():
    x = leaf(1.0)
    with tg.trace() as t:
        with tg.no_grad():
            x * 3
        x * 4
    assert [(row.recording, row.recorded) for row in t.rows] == [(False, False), (True, True)]


def test_names_come_from_variables_parameters_and_modules():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    data = tg.tensor(DATA)
    with tg.trace() as t:
        loss = net(data).mean()
        loss.backward()
    assert {one.name for one in t.leaves} == {
        "net.0.weight", "net.0.bias", "net.1.1.weight", "net.1.1.bias", "input of net"
    }  # fmt: skip
    assert [row.layer for row in t.rows] == ["net.0", "net.1.0", "net.1.1", ""]
    assert t.rows[-1].name == "loss"


def test_given_names_come_first():
    net = nn.Linear(2, 1)
    with tg.trace(D=net) as t:
        net(tg.tensor(DATA))
    assert [row.layer for row in t.rows] == ["D"]


def test_two_modules_of_one_name_are_told_apart():
    with tg.trace() as t:
        for _ in range(2):
            net = nn.Linear(2, 1)
            net(tg.tensor(DATA))
    assert len({row.layer for row in t.rows}) == 2
    assert len({one.name for one in t.leaves}) == len(t.leaves)


def test_the_line_of_the_caller_is_recorded():
    x = leaf(1.0)
    with tg.trace() as t:
        x * 3  # this line
    assert t.rows[0].place.file.endswith("test_recorder.py")
    assert "this line" in t.rows[0].place.source


# ---------------------------------------------------------------------- passes


def test_passes_are_told_apart():
    x = leaf(3.0)
    with tg.trace() as t:
        y = x * x
        y.backward(retain_graph=True)
        y.backward(gradient=tg.tensor(10.0, "float64"))
    assert [rule.gy.array for rule in t.rows[0].rules] == [1, 10]
    assert [t.leaves[0].gradients[number].array for number in (1, 2)] == [6, 60]
    assert x.grad.item() == 66
    assert t.rows[0].freed == "by pass 2"


def test_rows_of_a_recorded_pass_name_the_formula():
    x = leaf(3.0)
    with tg.trace() as t:
        slope = tg.grad(x**3, x, create_graph=True)
        tg.grad(slope, x)
    power = t.rows[0]
    assert power.inside is None
    assert all(row.inside is t.passes[0] and row.rule_of is power for row in t.rows[1:])
    assert [one.create_graph for one in t.passes] == [True, False]
    assert t.passes[1].output is t.rows[-1]
    assert t.leaves[0].gradients[1].array == 27
    assert t.leaves[0].gradients[2].array == 18


def test_only_needed_paths_are_visited():
    x, y = leaf(3.0), leaf(4.0)
    with tg.trace() as t:
        z = x * 2 + y * 5
        tg.grad(z, x)
    assert [row.number for row in t.passes[0].rows] == [3, 1]
    assert t.rows[1].gradient() is None


def test_a_pass_over_earlier_operations_adds_their_rows():
    x, w = leaf(3.0, 4.0, name="x"), leaf(1.0, 2.0)
    y = (x * w).sum() * 5
    with tg.trace() as t:
        (y * 2).backward()
    assert [row.operation.name for row in t.rows] == ["multiply", "sum", "multiply", "multiply"]
    assert [row.earlier for row in t.rows] == [True, True, True, False]
    assert [row.shape for row in t.rows] == [(2,), (), (), ()]
    assert [row.gradient().array.tolist() for row in t.rows] == [[10, 10], 10, 2, 1]
    assert t.rows[0].operands[0].source.tensor is x
    assert t.rows[0].result is None
    assert t.rows[2].result.array == 55
    assert [operand.shape for operand in t.rows[1].operands] == [(2,)]
    assert {one.name: one.gradients[1].array.tolist() for one in t.leaves} == {"x": [10, 20], "w": [30, 40]}
    assert not t.passes[0].complete
    assert t.replay()
    assert t.check()
    text = str(t)
    assert "before the trace" in text
    assert "failed" not in text


def test_only_the_backward_pass_is_inside():
    x = leaf(3.0)
    y = F.exp(x)
    with tg.trace() as t:
        y.backward()
    assert [row.operation.name for row in t.rows] == ["exp"]
    assert t.rows[0].saved_bytes == 8
    assert t.rows[0].freed == "by pass 1"


def test_the_moment_of_freeing_is_recorded():
    x = leaf(1.0, 2.0)
    with tg.trace() as t:
        kept = x * x
        F.exp(x)  # its graph is dropped at once
        gc.collect()
    assert t.rows[0].freed == ""
    assert t.rows[1].freed.startswith("with its graph")
    assert t.rows[0].saved_bytes == 2 * 16
    del kept
    assert t.rows[0].freed.startswith("with its graph")


def test_the_trace_keeps_no_graph_alive():
    """A traced loss is freed as soon as an untraced one."""
    import weakref

    x = leaf(1.0, 2.0)
    with tg.trace() as t:
        y = (x * x).sum()
        operation = weakref.ref(y.operation)
        del y
        assert operation() is None
    assert len(t.rows) == 2


# ---------------------------------------------------------------------- errors


def test_an_error_leaves_the_partial_trace():
    x = leaf(1.0, 2.0, 3.0)
    with pytest.raises(ShapeError), tg.trace() as t:
        (x * 2) + tg.tensor([1.0, 2.0], "float64")
    assert [row.result is None for row in t.rows] == [False, True]
    assert [operand.shape for operand in t.rows[1].operands] == [(3,), (2,)]
    assert isinstance(t.error, ShapeError)


def test_a_failing_rule_leaves_the_partial_pass():
    class Broken(tg.Operation):
        def forward(self, B, x):
            return x * 2

        def backward(self, B, gy):
            raise ZeroDivisionError("planted")

    x = leaf(1.0)
    with pytest.raises(ZeroDivisionError), tg.trace() as t:
        F.exp(Broken()(x) + 1).backward()
    assert not t.passes[0].finished
    assert [row.operation.name for row in t.passes[0].rows] == ["exp", "add", "broken"]
    assert t.rows[0].rules[0].gradients is None
    assert t.leaves[0].gradients == {}


def test_an_error_that_is_caught_inside_does_not_disturb_the_rest():
    x = leaf(1.0, 2.0)
    with tg.trace() as t:
        with pytest.raises(ShapeError):
            x + tg.tensor([1.0, 2.0, 3.0], "float64")
        (x * 2).sum().backward()
    assert [row.result is None for row in t.rows] == [True, False, False]
    assert t.passes[0].finished


def test_modules_have_to_be_modules():
    with pytest.raises(ArgumentError, match="D"):
        tg.trace(D=3)  # type: ignore[arg-type]


def test_a_trace_is_used_once():
    t = tg.trace()
    with t:
        leaf(1.0) * 2
    with pytest.raises(ArgumentError), t:
        pass


# ---------------------------------------------------------------------- Algorithm 1


@pytest.mark.parametrize(
    "options",
    [{}, {"k": 2}, {"objective": "minimax"}, {"schedule": "simultaneous"},
     {"schedule": "simultaneous", "shared_noise": True}],
)  # fmt: skip
def test_a_traced_step_has_the_bits_of_an_untraced_one(options):
    traced = game(**options)
    traced.step(DATA)
    with tg.trace() as t:
        traced.step(DATA)
    plain = game(**options)
    plain.step(DATA)
    plain.step(DATA)
    assert bits(traced) == bits(plain)
    assert t.replay()


def test_updates_name_the_player_that_moved():
    with tg.trace() as t:
        game().step(DATA)
    players = [({one.name.split(".")[0] for one in update.moved}, {one.name.split(".")[0] for one in update.still})
               for update in t.updates]  # fmt: skip
    assert players == [({"discriminator"}, {"generator"}), ({"generator"}, {"discriminator"})]
    assert [update.after_pass for update in t.updates] == [1, 2]


def test_an_update_has_the_values_before_and_after():
    w = nn.Parameter(np.array([1.0, 2.0]))
    with tg.trace() as t:
        (w * w).sum().backward()
        optim.SGD([w], lr=0.25).step()
    ((before, after),) = t.updates[0].moved.values()
    assert before.array.tolist() == [1, 2]
    assert after.array.tolist() == w.numpy().tolist() == [0.5, 1]


def test_a_game_of_the_discriminator_gives_the_generator_no_gradient():
    with tg.trace() as t:
        game().step(DATA)
    reached = [{one.name.split(".")[0] for one in done.leaves} for done in t.passes]
    assert reached == [{"discriminator"}, {"generator"}]


def test_a_view_of_a_whole_leaf_is_not_the_leaf():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        y = x.reshape(2)[:] * x
        y.sum().backward()
    assert [leaf.tensor for leaf in t.leaves] == [x]
    assert x.grad.data.tolist() == [2, 4]
