"""Random programs compared with an oracle that is independent of the engine.

A hypothesis state machine builds a graph call by call: values used again, diamonds, views, indexing, dead branches,
broadcasting, detached and unrecorded parts, backward passes that accumulate, graphs that are freed, gradients that are
differentiated again. Beside every tensor it keeps a `Jet`: the value with its first and second derivatives by
everything before it, as dense arrays that plain NumPy carries forward through each call. That is the sum over all
paths, computed in the opposite direction from the engine's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

import tinygan as tg
import tinygan.functional as F
from tinygan.errors import GradientError

Array = np.ndarray
LARGEST, MOST = 24, 24  # elements of a value, values of a program


# ---------------------------------------------------------------------- the oracle


@dataclass
class Jet:
    """A value and its derivatives.

    `first` has one more axis: by each element of each value made so far, the leaves first. `second` has two more: by
    each pair of elements of the leaves; it is None where it would take third derivatives to know it.
    """

    value: Array
    first: Array
    second: Array | None

    def up_to(self, size: int) -> Jet:
        """The derivative with respect to later values is 0."""
        missing = np.zeros((*self.value.shape, size - self.first.shape[-1]))
        return Jet(self.value, np.concatenate([self.first, missing], axis=-1), self.second)


def linear(function: Callable[[list[Array], int], Array], *jets: Jet) -> Jet:
    """Apply a linear function to a value and to its derivatives, which have more axes at the end."""
    seconds = [jet.second for jet in jets]
    return Jet(
        function([jet.value for jet in jets], 0),
        function([jet.first for jet in jets], 1),
        None if any(s is None for s in seconds) else function(seconds, 2),  # type: ignore[arg-type]
    )


def outer(a: Jet, b: Jet) -> Array | None:
    if a.second is None or b.second is None:
        return None
    leaves = a.second.shape[-1]
    return a.first[..., :leaves, None] * b.first[..., None, :leaves]


def plus(*terms: Array | None) -> Array | None:
    return None if any(term is None for term in terms) else sum(terms)  # type: ignore[arg-type, return-value]


def by(factor: Array, derivative: Array | None, axes: int) -> Array | None:
    return None if derivative is None else factor.reshape(factor.shape + (1,) * axes) * derivative


def elementwise(value: Array, slope: Array, curve: Array, x: Jet) -> Jet:
    """f(x): f' dx, and f'' dx dx + f' ddx."""
    second = plus(by(curve, outer(x, x), 2), by(slope, x.second, 2))
    return Jet(value, by(slope, x.first, 1), second)  # type: ignore[arg-type]


def product(a: Jet, b: Jet) -> Jet:
    crossed = plus(outer(a, b), outer(b, a))
    first = plus(by(b.value, a.first, 1), by(a.value, b.first, 1))
    second = plus(crossed, by(b.value, a.second, 2), by(a.value, b.second, 2))
    return Jet(a.value * b.value, first, second)  # type: ignore[arg-type]


def spread(shape: tuple[int, ...]) -> Callable[[list[Array], int], Array]:
    def function(arrays: list[Array], extra: int) -> Array:
        (array,) = arrays
        added = len(shape) - (array.ndim - extra)
        tail = array.shape[array.ndim - extra :]
        return np.broadcast_to(array.reshape((1,) * added + array.shape), shape + tail)

    return function


def _tanh(x: Jet) -> Jet:
    y = np.tanh(x.value)
    return elementwise(y, 1 - y * y, -2 * y * (1 - y * y), x)


def _sigmoid(x: Jet) -> Jet:
    y = 1 / (1 + np.exp(-x.value))
    return elementwise(y, y * (1 - y), y * (1 - y) * (1 - 2 * y), x)


def _relu(x: Jet) -> Jet:
    return elementwise(np.maximum(x.value, 0), (x.value > 0) * 1.0, x.value * 0, x)


UNARY: dict[str, tuple[Callable[[tg.Tensor], tg.Tensor], Callable[[Jet], Jet]]] = {
    "tanh": (F.tanh, _tanh),
    "sigmoid": (F.sigmoid, _sigmoid),
    "relu": (F.relu, _relu),
    "square": (lambda t: t * t, lambda x: product(x, x)),
    "by its detached twin": (
        lambda t: t * t.detach(),
        lambda x: product(x, Jet(x.value, x.first * 0, None if x.second is None else x.second * 0)),
    ),
    "negative": (lambda t: -t, lambda x: linear(lambda a, extra: -a[0], x)),
    "affine": (
        lambda t: 1 - 0.5 * t,
        lambda x: elementwise(1 - 0.5 * x.value, x.value * 0 - 0.5, x.value * 0, x),
    ),
}


def _larger(a: Jet, b: Jet) -> Jet:
    share = (a.value > b.value) + 0.5 * (a.value == b.value)
    chosen = linear(lambda parts, extra: parts[0], a), linear(lambda parts, extra: parts[0], b)
    left = elementwise(share * a.value, share, share * 0, chosen[0])
    right = elementwise((1 - share) * b.value, 1 - share, share * 0, chosen[1])
    return linear(lambda parts, extra: parts[0] + parts[1], left, right)


BINARY: dict[str, tuple[Callable[[Any, Any], tg.Tensor], Callable[[Jet, Jet], Jet]]] = {
    "add": (lambda s, t: s + t, lambda a, b: linear(lambda parts, extra: parts[0] + parts[1], a, b)),
    "subtract": (lambda s, t: s - t, lambda a, b: linear(lambda parts, extra: parts[0] - parts[1], a, b)),
    "multiply": (lambda s, t: s * t, product),
    "maximum": (F.maximum, _larger),
}


# ---------------------------------------------------------------------- the machine


@dataclass(eq=False, repr=False)
class Node:
    """A tensor of the program, its jet by the oracle, and the position of its elements among all."""

    tensor: tg.Tensor
    jet: Jet
    place: slice
    uses: set[Node] = field(default_factory=set)  # itself, and the nodes on which it depends by recorded calls
    grad: Array | None = None  # the expected .grad


class RandomGraphs(RuleBasedStateMachine):
    """Each rule is one call of a program."""

    nodes: Bundle[Node] = Bundle("nodes")

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Node] = []
        self.leaves: list[Node] = []
        self.freed: set[Node] = set()
        self.held: list[tuple[Array, Array]] = []
        self.total = 0
        self.rng = np.random.default_rng(0)

    def add(self, tensor: tg.Tensor, jet: Jet, parents: tuple[Node, ...]) -> Node:
        """Append a value: its derivative with respect to itself is 1."""
        np.testing.assert_allclose(tensor.data, jet.value, rtol=1e-9, atol=1e-9)
        assert tensor.shape == jet.value.shape
        size = jet.value.size
        own = np.eye(size).reshape(*jet.value.shape, size)
        place = slice(self.total, self.total + size)
        self.total += size
        node = Node(tensor, Jet(jet.value, np.concatenate([jet.first, own], axis=-1), jet.second), place)
        if tensor.requires_grad:
            node.uses = {node}.union(*(parent.uses for parent in parents))
        self.all.append(node)
        return node

    def apply(self, function: Any, oracle: Callable[..., Jet], *parents: Node) -> Any:
        """Run one call on tensors and on jets; too large a result is dropped, which makes a dead branch."""
        tensor = function(*(parent.tensor for parent in parents))
        jet = oracle(*(parent.jet.up_to(self.total) for parent in parents))
        if tensor.size > LARGEST or len(self.all) >= MOST or np.abs(jet.value).max(initial=0) > 1e3:
            return multiple()
        return self.add(tensor, jet, parents)

    @initialize(
        target=nodes,
        shapes=st.lists(st.sampled_from([(), (1,), (3,), (2, 3), (2, 1), (1, 3), (0,)]), min_size=2, max_size=3),
        seed=st.integers(0, 2**16),
    )
    def make_leaves(self, shapes: list[tuple[int, ...]], seed: int) -> Any:
        self.rng = np.random.default_rng(seed)
        count = sum(int(np.prod(shape)) for shape in shapes)
        for shape in shapes:
            tensor = tg.tensor(self.rng.normal(size=shape), requires_grad=True)
            first, second = np.zeros((*shape, self.total)), np.zeros((*shape, count, count))
            self.leaves.append(self.add(tensor, Jet(tensor.data.copy(), first, second), ()))
        return multiple(*self.leaves)

    # ------------------------------------------------------------------ calls

    @rule(target=nodes, x=nodes, name=st.sampled_from(list(UNARY)))
    def unary(self, x: Node, name: str) -> Any:
        return self.apply(*UNARY[name], x)

    @rule(target=nodes, a=nodes, b=nodes, name=st.sampled_from(list(BINARY)))
    def binary(self, a: Node, b: Node, name: str) -> Any:
        try:
            shape = np.broadcast_shapes(a.tensor.shape, b.tensor.shape)
        except ValueError:
            return multiple()
        function, oracle = BINARY[name]
        return self.apply(
            function, lambda left, right: oracle(linear(spread(shape), left), linear(spread(shape), right)), a, b
        )

    @rule(target=nodes, a=nodes, b=nodes)
    def matrix_product(self, a: Node, b: Node) -> Any:
        if a.tensor.ndim != 2 or b.tensor.ndim != 2:
            return multiple()
        if a.tensor.shape[1] != b.tensor.shape[0]:
            b_t, turn = (lambda t: t.T), (lambda parts, extra: np.swapaxes(parts[0], 0, 1))
        else:
            b_t, turn = (lambda t: t), (lambda parts, extra: parts[0])

        def oracle(left: Jet, right: Jet) -> Jet:
            """The sum over k of a[i, k, 1] b[1, k, j]."""
            columns = linear(lambda parts, extra: parts[0][:, :, None], left)
            rows = linear(lambda parts, extra: parts[0][None], linear(turn, right))
            return linear(lambda parts, extra: parts[0].sum(axis=1), product(columns, rows))

        if a.tensor.shape[1] != b_t(b.tensor).shape[0]:
            return multiple()
        return self.apply(lambda s, t: s @ b_t(t), oracle, a, b)

    @rule(target=nodes, x=nodes, data=st.data(), mean=st.booleans(), keepdims=st.booleans())
    def reduce(self, x: Node, data: st.DataObject, mean: bool, keepdims: bool) -> Any:
        ndim = x.tensor.ndim
        axes = data.draw(st.none() | st.sets(st.integers(0, ndim - 1), max_size=ndim).map(tuple)) if ndim else None
        over = tuple(range(ndim)) if axes is None else axes
        count = int(np.prod([x.tensor.shape[axis] for axis in over])) if mean else 1
        if count == 0:
            return multiple()
        return self.apply(
            lambda t: (t.mean if mean else t.sum)(axis=axes, keepdims=keepdims),
            lambda jet: linear(lambda parts, extra: parts[0].sum(axis=over, keepdims=keepdims) / count, jet),
            x,
        )

    @rule(target=nodes, x=nodes, data=st.data())
    def move(self, x: Node, data: st.DataObject) -> Any:
        """Views: another shape, other axes, repeats."""
        shape, ndim = x.tensor.shape, x.tensor.ndim
        kind = data.draw(st.sampled_from(["flat", "column", "transpose", "repeat"]))
        if kind == "transpose":
            order = data.draw(st.permutations(range(ndim)))
            return self.apply(
                lambda t: t.transpose(order),
                lambda jet: linear(lambda p, extra: p[0].transpose(*order, *range(ndim, ndim + extra)), jet),
                x,
            )
        if kind == "repeat":
            return self.apply(
                lambda t: F.broadcast_to(t, (2, *shape)), lambda jet: linear(spread((2, *shape)), jet), x
            )
        new = (x.tensor.size,) if kind == "flat" else (x.tensor.size, 1)
        return self.apply(
            lambda t: t.reshape(new), lambda jet: linear(lambda p, extra: p[0].reshape(new + p[0].shape[ndim:]), jet), x
        )

    @rule(target=nodes, x=nodes, data=st.data())
    def index(self, x: Node, data: st.DataObject) -> Any:
        shape = x.tensor.shape
        if not shape or 0 in shape:
            return multiple()
        index = data.draw(
            hnp.basic_indices(shape, allow_ellipsis=False)
            | hnp.integer_array_indices(shape[:1], result_shape=hnp.array_shapes(max_dims=1, max_side=4))
            | hnp.arrays(bool, shape)
        )
        return self.apply(lambda t: t[index], lambda jet: linear(lambda parts, extra: parts[0][index], jet), x)

    @rule(target=nodes, a=nodes, b=nodes, twice=st.booleans())
    def join(self, a: Node, b: Node, twice: bool) -> Any:
        if not a.tensor.ndim or a.tensor.shape[1:] != b.tensor.shape[1:] or a.tensor.ndim != b.tensor.ndim:
            return multiple()
        parts = (a, b, a) if twice else (a, b)
        return self.apply(
            lambda *t: F.concatenate(t),
            lambda *jets: linear(lambda arrays, extra: np.concatenate(arrays), *jets),
            *parts,
        )

    @rule(target=nodes, x=nodes, how=st.sampled_from(["detach", "no_grad"]))
    def cut(self, x: Node, how: str) -> Any:
        def function(t: tg.Tensor) -> tg.Tensor:
            if how == "detach":
                return t.detach()
            with tg.no_grad():
                return t * t

        def oracle(jet: Jet) -> Jet:
            value = jet.value if how == "detach" else jet.value * jet.value
            second = np.zeros((*value.shape, *self.leaves[0].jet.second.shape[-2:]))  # type: ignore[union-attr]
            return Jet(value, jet.first * 0, second)

        return self.apply(function, oracle, x)

    # ------------------------------------------------------------------ backward passes

    def gradient(self, y: Node, x: Node, v: Array) -> Array:
        slope = np.tensordot(v, y.jet.up_to(self.total).first, axes=v.ndim)[..., x.place]
        return slope.reshape(x.tensor.shape)

    def upstream(self, y: Node) -> Array:
        return self.rng.normal(size=y.tensor.shape)

    @rule(y=nodes, retain=st.booleans())
    def backward(self, y: Node, retain: bool) -> None:
        v = self.upstream(y)
        known = y.jet.second is not None  # else it depends on results of a recorded pass
        if not y.tensor.requires_grad:
            with pytest.raises(GradientError, match="nothing to differentiate"):
                y.tensor.backward(v)
            return
        if known and y.uses & self.freed:
            with pytest.raises(GradientError, match="has been freed by an earlier backward pass"):
                y.tensor.backward(v)
            return
        if not known:
            if self.freed:
                return
            retain = True
        y.tensor.backward(v, retain_graph=retain)
        reached = y.uses if known else y.uses | set(self.leaves)
        for x in reached.intersection(self.leaves):
            slope = self.gradient(y, x, v)
            if x.tensor.grad is None and not known:
                np.testing.assert_allclose(slope, 0)
                continue
            x.grad = slope if x.grad is None else x.grad + slope
        if not retain:
            self.freed |= {node for node in y.uses if not node.tensor.is_leaf}
        for leaf in self.leaves:
            if leaf.tensor.grad is not None:
                self.held.append((leaf.tensor.grad.data, leaf.tensor.grad.data.copy()))

    @rule(y=nodes, data=st.data())
    def grad(self, y: Node, data: st.DataObject) -> None:
        """Gradients with respect to any values of the program, leaves or not."""
        if not y.tensor.requires_grad or y.uses & self.freed or y.jet.second is None:
            return
        choices = [node for node in self.all if node.tensor.requires_grad]
        wanted = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=4))
        v = self.upstream(y)
        tensors = [x.tensor for x in wanted]
        answers = tg.grad(y.tensor, tensors, v, retain_graph=True, allow_unused=True)
        for x, answer in zip(wanted, answers, strict=True):
            assert (answer is not None) == (x in y.uses)
            if answer is not None:
                np.testing.assert_allclose(answer.data, self.gradient(y, x, v), rtol=1e-7, atol=1e-7)
                self.held.append((answer.data, answer.data.copy()))

    @rule(target=nodes, y=nodes, data=st.data())
    def recorded_grad(self, y: Node, data: st.DataObject) -> Any:
        """A gradient as a new value: its first derivative is the second derivative of the output."""
        reached = [leaf for leaf in self.leaves if leaf in y.uses]
        if not reached or y.uses & self.freed or y.jet.second is None or len(self.all) >= MOST:
            return multiple()
        x = data.draw(st.sampled_from(reached))
        v = self.upstream(y)
        tensor = tg.grad(y.tensor, x.tensor, v, create_graph=True)
        second = np.tensordot(v, y.jet.second, axes=v.ndim)[x.place]
        second = second.reshape(*x.tensor.shape, second.shape[-1])
        value = self.gradient(y, x, v)
        unknown = np.zeros((*value.shape, self.total - second.shape[-1]))
        node = self.add(tensor, Jet(value, np.concatenate([second, unknown], axis=-1), None), ())
        node.uses |= {leaf for leaf in self.leaves if tensor.requires_grad}
        return node

    @rule()
    def zero_grad(self) -> None:
        for leaf in self.leaves:
            leaf.tensor.grad = None
            leaf.grad = None

    @invariant()
    def every_grad_is_as_expected(self) -> None:
        for leaf in self.leaves:
            assert (leaf.tensor.grad is None) == (leaf.grad is None)
            if leaf.tensor.grad is not None:
                assert leaf.tensor.grad.shape == leaf.tensor.shape
                np.testing.assert_allclose(leaf.tensor.grad.data, leaf.grad, rtol=1e-7, atol=1e-7)  # type: ignore[arg-type]

    @invariant()
    def what_is_held_never_changes(self) -> None:
        for array, before in self.held:
            np.testing.assert_array_equal(array, before)
        for node in self.all:
            np.testing.assert_allclose(node.tensor.data, node.jet.value, rtol=1e-9, atol=1e-9)


RandomGraphs.TestCase.settings = settings(max_examples=3 * settings().max_examples, stateful_step_count=40)
TestRandomGraphs = RandomGraphs.TestCase
