"""The backward pass: receivers of gradients, sums of gradients, refusals."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.backend import Backend
from tinygan.errors import DtypeError, GradientError, ShapeError


def leaf(*values: float, dtype: str = "float64") -> tg.Tensor:
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def gradient_of(tensor: tg.Tensor) -> list[float]:
    assert tensor.grad is not None
    return tensor.grad.data.tolist()


# ---------------------------------------------------------------------- backward


def test_each_leaf_gets_its_gradient() -> None:
    a, b, c = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    loss = (a * b + b * c).sum()
    assert loss.backward() is None  # type: ignore[func-returns-value]
    assert (gradient_of(a), gradient_of(b), gradient_of(c)) == ([3, 4], [6, 8], [3, 4])
    assert loss.grad is None


def test_a_leaf_is_its_own_gradient() -> None:
    x = leaf(2.0)
    x.backward()
    assert gradient_of(x) == [1.0]
    x.backward(np.array([5.0]))
    assert gradient_of(x) == [6.0]


def test_a_value_used_many_times_gets_the_sum() -> None:
    x = leaf(3.0)
    y = x * x
    z = y * y + y  # x^4 + x^2
    z.backward()
    assert gradient_of(x) == [4 * 27 + 6]


def test_an_operation_waits_for_every_use_of_its_result() -> None:
    """A diamond of unequal arms: depth-first without order would run the rule of y twice."""
    calls = 0

    class Double(tg.Operation):
        def forward(self, B: Backend, x: Any) -> Any:
            return x + x

        def backward(self, B: Backend, gy: Any) -> Any:
            nonlocal calls
            calls += 1
            return 2 * gy

    x = leaf(1.0)
    y = Double()(x)
    long = y
    for _ in range(5):
        long = long * 2
    (y * 3 + long + y).sum().backward()
    assert calls == 1
    assert gradient_of(x) == [2 * (3 + 32 + 1)]


def test_grad_accumulates_over_passes_until_it_is_cleared() -> None:
    x = leaf(1.0, 2.0)
    for count in (1, 2, 3):
        (x * x).sum().backward()
        assert gradient_of(x) == [2.0 * count, 4.0 * count]
    x.grad = None
    assert x.grad is None
    (x * x).sum().backward()
    assert gradient_of(x) == [2.0, 4.0]


@pytest.mark.parametrize("form", ["array", "list", "tensor", "other dtype"])
def test_a_gradient_can_be_given(form: str) -> None:
    x = leaf(1.0, 2.0, 3.0, dtype="float32")
    values = [1.0, 10.0, 100.0]
    given: Any = {
        "array": np.array(values),
        "list": values,
        "tensor": tg.tensor(values),
        "other dtype": tg.tensor(np.array(values, int)),
    }[form]
    (x * x).backward(given)
    assert gradient_of(x) == [2.0, 40.0, 600.0]
    y = leaf(1.0, 1.0, 1.0, dtype="float32")
    y.backward(given)
    assert gradient_of(y) == values
    assert y.grad is not None
    assert y.grad.dtype == "float32"
    assert not np.shares_memory(y.grad.data, given.data if isinstance(given, tg.Tensor) else np.asarray(given))


def test_one_element_of_any_shape_needs_no_gradient() -> None:
    x = tg.tensor([[[3.0]]], requires_grad=True)
    (x * x).backward()
    assert x.grad is not None
    assert x.grad.shape == (1, 1, 1)


def test_gradients_have_the_shape_and_dtype_of_the_leaf() -> None:
    shapes: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3), (1, 3), (2, 1), (4, 2, 3), (0,), (2, 0)]
    for shape in shapes:
        for dtype in ("float16", "float32", "float64"):
            x = tg.tensor(np.ones(shape), dtype=dtype, requires_grad=True)
            other = np.ones((2, 3)) if shape in [(), (1,), (3,), (1, 3), (2, 1)] else 2.0
            (x * other).sum().backward()
            assert x.grad is not None
            assert (x.grad.shape, x.grad.dtype) == (shape, dtype)
            assert isinstance(x.grad.data, np.ndarray)


# ---------------------------------------------------------------------- refusals


def test_only_a_number_has_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    for output in (x * 2, x, x[:0]):
        with pytest.raises(GradientError, match=r"backward: the output has shape \(\d,\), and only one number .*sum"):
            output.backward()
    with pytest.raises(GradientError, match=r"grad: the output has shape \(2,\)"):
        tg.grad(x * 2, x)


def test_the_gradient_must_have_the_shape_of_the_output() -> None:
    x = leaf(1.0, 2.0)
    for wrong in (np.ones(3), 1.0, np.ones((1, 2))):
        with pytest.raises(ShapeError, match=r"backward: the gradient must have the shape of the output, \(2,\), not"):
            (x * 2).backward(wrong)


def test_nothing_to_differentiate() -> None:
    x = leaf(1.0)
    with tg.no_grad():
        unrecorded = x * 2
    for output in (tg.tensor(1.0), x.detach(), unrecorded, (x > 0), tg.grad(F.relu(x), x, create_graph=True) * 0 + 1):
        output = output.detach()
        with pytest.raises(GradientError, match=r"the output does not depend on any .* requires_grad=True.*constant"):
            tg.grad(output, x)
        assert tg.grad(output, x, allow_unused=True) is None
        assert tg.grad(output, [x, x], allow_unused=True) == (None, None)
    for stranger in (5.0, None, [x, x]):
        with pytest.raises(DtypeError, match="grad: output: expected one tensor"):
            tg.grad(stranger, x)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"a\.sum\(\) \+ b\.sum\(\)"):
        tg.grad([x, x], x)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="grad: inputs: expected a tensor or a list"):
        tg.grad(x * x, 5.0)  # type: ignore[arg-type]
    with pytest.raises(GradientError, match=r"backward: the output does not depend"):
        unrecorded.backward()


def test_a_graph_is_freed_by_the_first_pass() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(
        GradientError,
        match=r"backward: the graph of 'multiply' has been freed by an earlier backward pass; compute the forward pass "
        r"again, or pass retain_graph=True to the first backward",
    ):
        y.backward()
    with pytest.raises(GradientError, match=r"^grad: the graph of 'multiply' has been freed"):
        tg.grad(y, x)
    assert gradient_of(x) == [4.0]


def test_a_pass_that_meets_a_freed_graph_leaves_no_gradient() -> None:
    x, w = leaf(2.0), leaf(3.0)
    inner = x * x
    inner.backward()
    x.grad = None
    with pytest.raises(GradientError, match="freed"):
        (inner * w).backward()
    assert x.grad is None
    assert w.grad is None


def test_retain_graph_keeps_it() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    assert tg.grad(y, x, retain_graph=True).item() == 4.0
    y.backward()
    assert gradient_of(x) == [12.0]
    with pytest.raises(GradientError, match="freed"):
        y.backward()


# ---------------------------------------------------------------------- tg.grad


def test_grad_of_leaves_and_of_results_leaves_grad_alone() -> None:
    a, b = leaf(2.0), leaf(3.0)
    y = a * b
    z = y * y
    of_a, of_y, of_z = tg.grad(z, [a, y, z])
    assert (of_a.item(), of_y.item(), of_z.item()) == (36.0, 12.0, 1.0)
    assert a.grad is None
    assert b.grad is None
    assert all(not gradient.requires_grad for gradient in (of_a, of_y, of_z))


def test_the_form_of_the_answer_is_that_of_the_question() -> None:
    x = leaf(2.0)
    assert isinstance(tg.grad(x * x, x), tg.Tensor)
    assert isinstance(tg.grad(x * x, [x]), tuple)
    assert isinstance(tg.grad(x * x, (x,)), tuple)
    assert tg.grad(x * x, iter([x]))[0].item() == 4.0  # type: ignore[arg-type]
    assert tg.grad(x * x, []) == ()
    assert tg.grad(x, x).item() == 1.0


def test_an_input_asked_for_twice_is_answered_twice() -> None:
    x = leaf(1.0, 2.0)
    first, second = tg.grad((x * x).sum(), [x, x])
    assert first.data.tolist() == second.data.tolist() == [2.0, 4.0]


def test_an_unused_input() -> None:
    x, unused = leaf(2.0), leaf(1.0)
    beside = x * 3
    for stranger in (unused, beside):
        with pytest.raises(GradientError, match=r"grad: the output does not depend on input 1.*allow_unused"):
            tg.grad(x * x, [x, stranger])
        slope, nothing = tg.grad(x * x, [x, stranger], allow_unused=True)
        assert slope.item() == 4.0
        assert nothing is None


@pytest.mark.parametrize("stranger", [tg.tensor(1.0), np.ones(1), 5.0, None])
def test_an_input_that_cannot_have_a_gradient(stranger: Any) -> None:
    x = leaf(2.0)
    with pytest.raises(GradientError, match="grad: input 1 is not a tensor that requires a gradient"):
        tg.grad(x * x, [x, stranger])


class Counted(tg.Operation):
    """The identity, which records each call of its rule and its `needs`."""

    log: list[tuple[str, tuple[bool, ...]]]

    def __init__(self, label: str, log: list[Any]) -> None:
        self.label, self.log = label, log

    def forward(self, B: Backend, *inputs: Any) -> Any:
        return sum(inputs)

    def backward(self, B: Backend, gy: Any) -> Any:
        self.log.append((self.label, self.needs))
        return (gy,) * len(self.needs)


def test_only_the_work_between_output_and_inputs_is_done() -> None:
    log: list[Any] = []
    x, w = leaf(1.0), leaf(1.0)
    a = Counted("a", log)(x)
    b = Counted("b", log)(w)
    c = Counted("c", log)(a, b)
    d = Counted("d", log)(c, np.ones(1))
    tg.grad(d, a, retain_graph=True)
    assert log == [("d", (True, False)), ("c", (True, False))]
    log.clear()
    tg.grad(d, [c, w], retain_graph=True)
    assert log == [("d", (True, False)), ("c", (False, True)), ("b", (True,))]
    log.clear()
    tg.grad(d, d, retain_graph=True)
    assert log == []
    d.backward()
    assert sorted(log) == [("a", (True,)), ("b", (True,)), ("c", (True, True)), ("d", (True, False))]


def test_dead_branches_cost_nothing() -> None:
    log: list[Any] = []
    x = leaf(1.0)
    y = Counted("y", log)(x)
    for _ in range(5):
        Counted("dead", log)(y)
    y.backward()
    assert log == [("y", (True,))]


def test_a_path_that_a_rule_cut_is_not_followed() -> None:
    class Stop(tg.Operation):
        def forward(self, B: Backend, x: Any) -> Any:
            return x * 1

        def backward(self, B: Backend, gy: Any) -> Any:
            return None

    log: list[Any] = []
    x = leaf(1.0)
    Stop()(Counted("before", log)(x)).backward()
    assert log == []
    assert x.grad is None
    assert tg.grad(Stop()(x) + x, x).item() == 1.0


# ---------------------------------------------------------------------- passes at the same time


def test_a_pass_leaves_the_operations_as_they_were() -> None:
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    assert tg.grad(z, x, retain_graph=True).item() == 3.0
    assert z.operation is not None
    assert z.operation.needs == (True, True)
    assert [slope.item() for slope in tg.grad(z, [x, y])] == [3.0, 2.0]


def test_passes_inside_a_pass_share_no_state() -> None:
    """Two passes as in two threads, in a fixed order: one pass runs in the middle of the other."""
    x, y, middle = leaf(2.0), leaf(3.0), []

    class Interrupted(tg.Operation):
        """y = x1 x2, in whose rule another pass runs between the two gradients."""

        def forward(self, B: Any, a: Any, b: Any) -> Any:
            self.save(a, b)
            return a * b

        def backward(self, B: Any, gy: Any, a: Any, b: Any) -> Any:
            ga = gy * b if self.needs[0] else None
            if not middle:
                middle.append(None)
                middle[0] = tg.grad(product, y, retain_graph=True).item()
            return ga, gy * a if self.needs[1] else None

    product = Interrupted()(x, y)
    assert tg.grad(product, x, retain_graph=True).item() == 3.0
    assert middle == [2.0]
    middle.clear()
    assert [slope.item() for slope in tg.grad(product, [x, y], retain_graph=True)] == [3.0, 2.0]


def test_threads_may_differentiate_one_graph() -> None:
    x, y = leaf(1.0, 2.0, 3.0), leaf(2.0, 2.0, 2.0)
    z = (x * y * y).sum()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            wanted = [(x, y), (x,), (y,), (x, y)] * 50
            found = list(pool.map(lambda inputs: tg.grad(z, inputs, retain_graph=True), wanted))
            list(pool.map(lambda _: z.backward(retain_graph=True), range(100)))
    finally:
        sys.setswitchinterval(before)
    slopes = {id(x): [4.0] * 3, id(y): [4.0, 8.0, 12.0]}
    for inputs, gradients in zip(wanted, found, strict=True):
        assert [g.data.tolist() for g in gradients] == [slopes[id(tensor)] for tensor in inputs]
    for tensor in (x, y):
        assert tensor.grad is not None
        assert tensor.grad.data.tolist() == [100 * slope for slope in slopes[id(tensor)]]
