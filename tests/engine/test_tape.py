"""The tape: how a call of an operation is checked, recorded and named; operations that users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.backend import Backend, get_backend, operands
from tinygan.engine import Elementwise, topological_order
from tinygan.errors import DeviceError, DtypeError, GradientError, ShapeError


class Cube(tg.Operation):
    """y = x^3,  gx = 3 x^2 gy."""

    def forward(self, B: Backend, x: Any) -> Any:
        self.save(x)
        return x * x * x

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return 3 * x * x * gy


class MultiplyAdd(Elementwise):
    """y = a b + c, which computes only the gradients in `needs`."""

    def forward(self, B: Backend, a: Any, b: Any, c: Any) -> Any:
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return a * b + c

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        return gy * b if self.needs[0] else None, gy * a if self.needs[1] else None, gy


@pytest.fixture
def x() -> tg.Tensor:
    return tg.tensor([1.0, 2.0, 3.0], requires_grad=True)


# ---------------------------------------------------------------------- recording


def test_a_call_is_recorded_with_edges_to_its_inputs(x: tg.Tensor) -> None:
    b = x * 2
    c = tg.tensor([1.0, 1.0, 1.0])
    y = MultiplyAdd()(x, b, c)
    operation = y.operation
    assert operation is not None
    assert operation.edges == (x, b.operation, None)
    assert operation.needs == (True, True, False)
    assert (operation.shape, operation.dtype, operation.backend.device) == ((3,), "float32", "cpu")


def test_nothing_is_recorded_when_no_gradient_is_wanted(x: tg.Tensor) -> None:
    with tg.no_grad():
        y = Cube()(x)
    z = Cube()(x.detach())
    w = Cube()(np.ones(3))
    for result in (y, z, w):
        assert result.is_leaf
        assert not result.requires_grad


def test_an_integer_result_is_not_recorded(x: tg.Tensor) -> None:
    y = x.astype("int64")
    assert not y.requires_grad
    assert (x > 1).is_leaf


@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)])
def test_needs_says_who_wants_a_gradient(wanted: tuple[int, ...]) -> None:
    inputs = [tg.tensor([2.0 + i], requires_grad=bool(flag)) for i, flag in enumerate(wanted)]
    y = MultiplyAdd()(*inputs)
    operation = y.operation
    assert operation is not None
    assert operation.needs == tuple(map(bool, wanted))
    assert operation.saved is not None
    assert [value is not None for value in operation.saved] == [bool(wanted[1]), bool(wanted[0])]
    y.backward()
    expected = (3.0, 2.0, 1.0)
    for tensor, flag, slope in zip(inputs, wanted, expected, strict=True):
        assert (tensor.grad is not None) == bool(flag)
        assert tensor.grad is None or tensor.grad.item() == slope


def test_names_are_made_from_the_class() -> None:
    class SoftPlus2D(tg.Operation):
        pass

    class _Hidden(tg.Operation):
        pass

    class Named(tg.Operation):
        name = "n"

    class Child(Named):
        pass

    names = {c.__name__: c.name for c in (Cube, SoftPlus2D, _Hidden, Named, Child)}
    assert names == {"Cube": "cube", "SoftPlus2D": "soft_plus2_d", "_Hidden": "hidden", "Named": "n", "Child": "child"}


def test_an_operation_object_records_one_call(x: tg.Tensor) -> None:
    cube = Cube()
    with tg.no_grad():
        cube(x)
    first = cube(x)
    with pytest.raises(GradientError, match=r"cube: this object has recorded a call already.*Cube\(...\)\(x\)"):
        cube(first)
    first.sum().backward()
    assert x.grad is not None
    assert x.grad.data.tolist() == [3.0, 12.0, 27.0]


def test_a_method_that_is_not_written_is_named(x: tg.Tensor) -> None:
    class Half(tg.Operation):
        def forward(self, B: Backend, x: Any) -> Any:
            return x / 2

    with pytest.raises(NotImplementedError, match=r"Operation\.forward is not written"):
        tg.Operation()(x)
    with pytest.raises(NotImplementedError, match=r"Half\.backward is not written"):
        Half()(x).sum().backward()


# ---------------------------------------------------------------------- saved arrays keep their place in the graph


def test_one_array_in_two_places_is_two_inputs() -> None:
    """x x' with x' the same memory cut off the graph: d/dx is x', whose own derivative is 0, not 1."""
    x = tg.tensor([3.0], requires_grad=True)
    for other in (x.detach(), x.data, tg.Tensor(x.data)):
        for y in (x * other, other * x):
            slope = tg.grad(y, x, create_graph=True)
            assert slope.item() == 3.0
            assert not slope.requires_grad
    for y in (x * x, F.multiply(x, x)):
        slope = tg.grad(y, x, create_graph=True)
        assert slope.item() == 6.0
        assert tg.grad(slope, x).item() == 2.0


def test_detached_on_the_left_too() -> None:
    x = tg.tensor([3.0, 4.0], requires_grad=True)
    slope = tg.grad((x.detach() * x).sum(), x, create_graph=True)
    assert slope.data.tolist() == [3.0, 4.0]
    assert not slope.requires_grad


def test_an_operation_that_returns_its_input_makes_a_new_tensor(x: tg.Tensor) -> None:
    class Identity(tg.Operation):
        def forward(self, B: Backend, x: Any) -> Any:
            self.save(x)
            return x

        def backward(self, B: Backend, gy: Any, x: Any) -> Any:
            return gy

    y = Identity()(x)
    assert y is not x
    assert y.data is not x.data
    assert np.shares_memory(y.data, x.data)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.data.tolist() == [1, 1, 1]


def test_a_saved_result_keeps_its_place() -> None:
    """y = e^x saves y; three derivatives of it are y again, also where the result is a NumPy scalar."""
    for data in (0.5, [0.5]):
        x = tg.tensor(data, dtype="float64", requires_grad=True)
        y = F.exp(x)
        assert y.operation is not None
        assert y.operation.saved is not None
        assert y.operation.saved[0] is y.data
        slope = y
        for _ in range(3):
            slope = tg.grad(slope, x, create_graph=True)
            np.testing.assert_allclose(slope.item(), np.exp(0.5))


def test_a_derived_array_is_a_constant_to_second_order() -> None:
    """The docstring of `save` warns of this."""

    class SavesDerived(tg.Operation):
        def forward(self, B: Backend, x: Any) -> Any:
            self.save(2 * x)
            return x * x

        def backward(self, B: Backend, gy: Any, twice: Any) -> Any:
            return gy * twice

    x = tg.tensor([3.0], requires_grad=True)
    slope = tg.grad(SavesDerived()(x), x, create_graph=True)
    assert slope.item() == 6.0
    assert not slope.requires_grad


# ---------------------------------------------------------------------- what a rule returns


def _returning(value: Any) -> type[tg.Operation]:
    class Rule(Elementwise):
        def forward(self, B: Backend, *inputs: Any) -> Any:
            return sum(inputs[1:], inputs[0] * 1)

        def backward(self, B: Backend, gy: Any) -> Any:
            return value(gy) if callable(value) else value

    return Rule


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda gy: (gy, gy), "rule: its backward returned 2 gradients for 1 inputs"),
        (lambda gy: (), "rule: its backward returned 0 gradients for 1 inputs"),
        (
            lambda gy: gy.reshape((6,)),
            r"rule: its backward returned a gradient of shape \(6,\) for input 0 of shape \(2, 3\)",
        ),
        (lambda gy: gy.T, r"rule: its backward returned a gradient of shape \(3, 2\) for input 0 of shape \(2, 3\)"),
        (lambda gy: gy.sum(), r"rule: its backward returned a gradient of shape \(\) for input 0 of shape \(2, 3\)"),
        (lambda gy: gy.sum(axis=0), r"gradient of shape \(3,\) for input 0 of shape \(2, 3\)"),
        (lambda gy: gy.reshape((1, 3, 2)), r"gradient of shape \(1, 3, 2\) for input 0 of shape \(2, 3\)"),
        (7.0, r"gradient of shape \(\) for input 0 of shape \(2, 3\)"),
    ],
)
def test_a_rule_that_breaks_its_promise_is_named(value: Any, message: str, create_graph: bool) -> None:
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    y = _returning(value)()(x)
    with pytest.raises(GradientError, match=message):
        y.sum().backward(create_graph=create_graph)
    assert x.grad is None


def test_the_position_of_the_input_is_named() -> None:
    a, b = (tg.tensor(np.ones(2), requires_grad=True) for _ in range(2))
    with pytest.raises(GradientError, match=r"returned a gradient of shape \(3,\) for input 1 of shape \(2,\)"):
        _returning(lambda gy: (gy, np.ones(3)))()(a, b).sum().backward()


def test_a_rule_may_return_none_for_an_input(x: tg.Tensor) -> None:
    y = tg.tensor([1.0, 1.0, 1.0], requires_grad=True)
    inner = x * 2
    _returning(lambda gy: (None, gy))()(inner, y).sum().backward()
    assert x.grad is None
    assert y.grad is not None
    _returning(None)()(x).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        lambda gy: [gy],
        lambda gy: np.full((3,), 1.0),
        lambda gy: np.full((3,), 1),
        lambda gy: tg.tensor(np.full((3,), 1.0)),
        lambda gy: np.full((5, 3), 0.2),
    ],
    ids=["list", "constant", "integers", "tensor", "unbroadcast"],
)
def test_gradients_are_brought_into_form(x: tg.Tensor, value: Any, create_graph: bool) -> None:
    y = _returning(value)()(x) + x * x
    y.sum().backward(create_graph=create_graph)
    assert x.grad is not None
    assert x.grad.dtype == "float32"
    np.testing.assert_allclose(x.grad.data, [3, 5, 7])


def test_a_rule_may_return_a_list(x: tg.Tensor) -> None:
    y = tg.tensor([1.0, 1.0, 1.0], requires_grad=True)
    _returning(lambda gy: [gy, 2 * gy])()(x, y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.data.tolist(), y.grad.data.tolist()) == ([1, 1, 1], [2, 2, 2])


def test_broadcast_inputs_get_sums() -> None:
    a = tg.tensor(np.ones((2, 1, 3)), requires_grad=True)
    b = tg.tensor(np.ones((4, 1)), requires_grad=True)
    c = tg.tensor(2.0, requires_grad=True)
    MultiplyAdd()(a, b, c).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert c.grad is not None
    np.testing.assert_array_equal(a.grad.data, np.full((2, 1, 3), 4))
    np.testing.assert_array_equal(b.grad.data, np.full((4, 1), 6))
    assert c.grad.item() == 24
    assert c.grad.shape == ()


# ---------------------------------------------------------------------- refusals of the forward pass


def test_shape_errors_name_the_operation_and_both_shapes() -> None:
    a, b = tg.tensor(np.ones((2, 3))), tg.tensor(np.ones((4, 3)))
    with pytest.raises(
        ShapeError,
        match=r"multiply: shapes \(2, 3\) and \(4, 3\) do not broadcast: axis -2 has sizes 2 and 4 \(sizes must be",
    ):
        a * b
    with pytest.raises(ShapeError, match=r"reshape: cannot reshape array of size 6 .* \(inputs: float64\[2, 3\]\)"):
        a.reshape(7)


def test_type_errors_of_the_array_library_name_the_operation(x: tg.Tensor) -> None:
    with pytest.raises(TypeError, match=r"add: unsupported operand .*NoneType.* \(inputs: float32\[3\], None\)"):
        x + None


class WithUnits(np.ndarray):
    pass


@pytest.mark.parametrize(
    "strange",
    [
        np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]),
        np.ones(3).view(WithUnits),
        pytest.param(np.ones((3, 3)).view(np.matrix), id="matrix"),
    ],
)
@pytest.mark.parametrize(
    "use", [F.add, lambda x, a: x * a, lambda x, a: a * x, lambda x, a: x == a, lambda x, a: tg.tensor(a), F.maximum]
)
def test_subclasses_of_arrays_are_refused(x: tg.Tensor, use: Any, strange: Any) -> None:
    with pytest.raises((DtypeError, GradientError)):
        use(x, strange)


def test_a_memmap_is_an_array(x: tg.Tensor, tmp_path: Path) -> None:
    stored = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(3,))
    stored[:] = [1, 2, 3]
    y = x * stored
    assert type(y.data) is np.ndarray
    assert type(tg.tensor(stored).data) is np.ndarray
    y.sum().backward()
    assert x.grad.numpy().tolist() == [1, 2, 3]


def test_errors_of_a_users_operation_pass_through(x: tg.Tensor) -> None:
    class Picky(tg.Operation):
        def check(self, x: Any) -> None:
            raise DtypeError("picky: no")

    with pytest.raises(DtypeError, match=r"^picky: no$"):
        Picky()(x)


def test_inputs_on_two_devices_are_refused(x: tg.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    other, cuda = tg.tensor(np.ones(3)), Backend(np, "cuda")
    monkeypatch.setattr(
        operands, "backend_of", lambda array: cuda if array is other.data else get_backend("cpu")
    )
    with pytest.raises(
        DeviceError, match=r"multiply: inputs are on different devices \(cpu and cuda\); move them with .to"
    ):
        x * other


def test_many_inputs_are_told_apart_in_linear_time(x: tg.Tensor) -> None:
    """Ten thousand inputs: comparing each with each would take 50 million steps."""
    y = F.stack([x] * 10_000)
    operation = y.operation
    assert operation is not None
    assert len(topological_order(operation)) == 10_001
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.data.tolist() == [10_000.0] * 3
