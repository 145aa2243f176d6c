"""`Recorder`: an observer of the engine that keeps a copy of every value, and where each one came from."""

from __future__ import annotations

import contextlib
import copy
import linecache
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from inspect import CO_OPTIMIZED
from types import FrameType
from typing import Any

import numpy as np

from tinygan.backend import Stream, backend_of
from tinygan.engine import Operation, Tensor, is_grad_enabled, topological_order
from tinygan.engine.modes import Observer
from tinygan.errors import PACKAGE, ArgumentError, first_frame_outside
from tinygan.nn import Module
from tinygan.trace.record import Leaf, Operand, Pass, Place, Row, Rule, Update, Value

_ENGINE = tuple([PACKAGE + folder + os.sep for folder in ("engine", "functional", "trace")])
_LAYERS = (*_ENGINE, PACKAGE + "nn" + os.sep)


class Recorder(Observer):
    """Records operations, backward passes and updates of parameters inside ``with``.

    It copies every value, so a later change of an array does not change the record.

    Parameters
    ----------
    modules : mapping of str to Module
        Names for modules. Another module gets the name of the attribute or variable that its caller uses.

    Attributes
    ----------
    rows : list of Row
    passes : list of Pass
    updates : list of Update
    leaves : list of Leaf
    error : BaseException or None
        The error that ended the block.
    """

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.rows: list[Row] = []
        self.passes: list[Pass] = []
        self.updates: list[Update] = []
        self.leaves: list[Leaf] = []
        self.error: BaseException | None = None
        self._paths: dict[int, tuple[Module, str]] = {}  # by the id of a module
        self._layers: list[str] = []  # of the modules that are being called
        self._entered: dict[int, str] = {}  # by the id of an input of a module that is being called: its name
        self._leaves: dict[int, Leaf] = {}  # by the id of the tensor
        self._versions: dict[int, int] = {}  # of each parameter when its value was copied, by the id of the tensor
        self._operations: dict[int, tuple[weakref.ref[Operation], Row]] = {}
        self._memory: dict[tuple[Any, ...], tuple[Any, Row]] = {}  # by the memory of a result: see `_key`
        self._open: list[tuple[Pass, list[Row]]] = []  # passes being made, each with the row whose rule is applied
        self._constants: dict[int, Row] = {}  # by the id of a saved tensor of a recorded rule
        for name, module in modules.items():
            if not isinstance(module, Module):
                raise ArgumentError(f"trace: {name} must be an nn.Module, got {type(module).__name__}")
            self._name_module(module, name)

    def __enter__(self) -> Any:
        if self.rows or self.error:
            raise ArgumentError("trace: this trace has been recorded; make a new one with tg.trace()")
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.error = error[1]
        self._look_for_updates()
        frame = first_frame_outside(sys._getframe(1), _ENGINE)
        for name, value in variables(frame).items():
            if isinstance(value, Tensor):
                self._name_variable(name, value)

    # ------------------------------------------------------------------ forward

    def before_forward(self, operation: Any, inputs: Any) -> None:
        """Begin a row; a call that raises an error leaves it without a result."""
        self._look_for_updates()
        layer = self._layers[-1] if self._layers else ""
        inside, rule_of = None, None
        if self._open:
            inside, rules = self._open[-1]
            rule_of = rules[-1] if rules else None
            layer = rule_of.layer if rule_of else layer
        frame = sys._getframe(1)
        caller = first_frame_outside(frame, _LAYERS)
        self._name_from(caller, inputs)
        operands = [self._operand(value) for value in inputs]
        self.rows.append(
            Row(
                len(self.rows) + 1,
                copied(operation),
                layer,
                _place(first_frame_outside(frame, _ENGINE)),
                _place(caller),
                operands,
                recording=is_grad_enabled(),
                inside=inside,
                rule_of=rule_of,
            )
        )

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """Complete the row."""
        row = self.rows[-1]
        row.result = Value(result.numpy())
        row.device, row.needs = result.device, operation.needs
        row.recorded = result.operation is operation
        self._memory[_key(result)] = result._version, row
        if row.recorded:
            self._remember(operation, row)

    def _freed(self, row: Row) -> None:
        if not row.freed:
            row.freed = f"with its graph, after #{len(self.rows)}"

    def _operand(self, value: Any) -> Operand:
        if not isinstance(value, Tensor):
            if backend_of(value) is None:
                return Operand(None, number=value)
            return Operand(Value(backend_of(value).to_numpy(value)))  # type: ignore[union-attr]
        self._add_earlier_rows(value)
        source = self._source(value)
        found = Value(value.numpy())
        if isinstance(source, Row):
            source.result = source.result or found  # that of an earlier row is seen for the first time
        known = source.result if isinstance(source, Row) else None if source is None else source.value
        if known is not None and known.same_bits(found):
            found = known  # one copy is enough
        return Operand(found, None, source, value.requires_grad, self._constants.get(id(value)))

    def _source(self, tensor: Tensor) -> Row | Leaf | None:
        """Return the row or the leaf that a tensor is; a new leaf for an unknown one."""
        leaf = self._leaves.get(id(tensor))  # first: a view such as x.reshape(x.shape) has the memory of the leaf
        row = self._row_of(tensor) if leaf is None or tensor.operation is not None else None
        if row is not None:
            return row
        if id(tensor) in self._constants:
            return None
        if leaf is None:
            same = next((known.name for known in self.leaves if _key(known.tensor) == _key(tensor)), None)
            name = f"{same} (detached)" if same else tensor.name or self._entered.get(id(tensor))
            name = name or ("constant" if tensor.ndim == 0 else "tensor")
            leaf = self._add_leaf(tensor, name, parameter=False)
        leaf.requires_grad = tensor.requires_grad
        return leaf

    def _row_of(self, tensor: Tensor) -> Row | None:
        """Return the row that computed a tensor, also if it was detached since; None for another tensor."""
        if tensor.is_leaf and tensor.requires_grad:  # also if it was made of a result: y.detach().requires_grad = True
            return None
        return self._row_of_call(tensor.operation) or self._memory.get(_key(tensor), (None, None))[1]

    def _row_of_call(self, operation: Operation | None) -> Row | None:
        known, row = self._operations.get(id(operation), (None, None))
        return row if known is not None and known() is operation else None

    def _add_leaf(self, tensor: Tensor, name: str, parameter: bool) -> Leaf:
        same = sum(leaf.name == name or leaf.name.startswith(f"{name} (") for leaf in self.leaves)
        name = f"{name} ({same + 1})" if same else name
        leaf = Leaf(name, tensor, parameter, tensor.requires_grad, Value(tensor.numpy()))
        self._leaves[id(tensor)] = leaf
        self._versions[id(tensor)] = tensor.version
        self.leaves.append(leaf)
        return leaf

    # ------------------------------------------------------------------ backward

    @contextlib.contextmanager
    def during_pass(self, backward_pass: Any, output: Any) -> Iterator[None]:
        """Record one backward pass."""
        self._look_for_updates()
        self._add_earlier_rows(output)
        source = self._source(output)
        assert source is not None, "a constant has no gradient, and the pass would not have begun"
        frame = first_frame_outside(sys._getframe(1), (contextlib.__file__, *_ENGINE))
        if isinstance(source, Row):
            self._name_from(frame, [output])
        found = Pass(
            len(self.passes) + 1,
            backward_pass.caller,
            backward_pass.create_graph,
            source,
            output.shape,
            _place(frame),
            len(self.rows) + 1,
        )
        if backward_pass.wanted is not None:
            self._name_from(frame, backward_pass.wanted)
            known = [self._source(e) if isinstance(e, Tensor) else self._row_of_call(e) for e in backward_pass.wanted]
            found.wanted = [node for node in known if node is not None]
        self.passes.append(found)
        self._open.append((found, []))
        try:
            yield
        finally:
            self._open.pop()
            for edge, (total, _) in backward_pass.sums.items():
                if isinstance(edge, Tensor):
                    leaf = self._source(edge)
                    assert isinstance(leaf, Leaf), "an edge that is a tensor is a leaf"
                    leaf.gradients[found.number] = _value(total)
                    found.leaves.append(leaf)
            for edge, (total, _) in backward_pass.found.items():
                row = self._row_of_call(edge)
                if row is not None:
                    row.wanted[found.number] = _value(total)
        found.finished = True

    def _add_earlier_rows(self, output: Tensor) -> None:
        """Add a row for each operation that led to a tensor and was called before the trace."""
        if output.operation is None or self._row_of_call(output.operation) is not None:
            return
        for operation in topological_order(output.operation):
            if self._row_of_call(operation) is not None:
                continue
            operands = []
            for edge in operation.edges:
                source = self._source(edge) if isinstance(edge, Tensor) else self._row_of_call(edge)
                value = source.value if isinstance(source, Leaf) else None
                operands.append(Operand(value, None, source, edge is not None))
            unknown = Place("before the trace", 0, "", "")
            row = Row(len(self.rows) + 1, _alone(operation), "", unknown, unknown, operands)
            row.earlier = row.recorded = True
            row.device, row.needs = operation.backend.device, operation.needs
            self.rows.append(row)
            self._remember(operation, row)

    def _remember(self, operation: Operation, row: Row) -> None:
        """Find the row by its operation from now on, and note how many bytes that keeps and when they are freed."""
        row.saved_bytes = sum(getattr(array, "nbytes", 0) for array in operation.saved or ())
        row.freed = "before the trace" if operation.saved is None else ""
        gone = weakref.ref(operation, lambda _: self._freed(row))
        self._operations[id(operation)] = gone, row

    def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
        """Begin the application of a rule."""
        row = self._row_of_call(operation)
        assert row is not None, "every operation that a pass reaches has a row"
        backward_pass, rules = self._open[-1]
        backward_pass.complete = backward_pass.complete and not row.earlier
        rules.append(row)
        backward_pass.rows.append(row)
        row.rules.append(Rule(backward_pass, _value(gy), ()))
        if operation.saved is None and not row.freed:
            row.freed = f"by pass {backward_pass.number}"
        if backward_pass.create_graph:
            for tensor in saved:
                if isinstance(tensor, Tensor) and tensor.edge is None:
                    self._constants[id(tensor)] = row

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Complete the application of a rule."""
        row = self._row_of_call(operation)
        assert row is not None, "the rule has been applied"
        rule = row.rules[-1]
        rule.needs = tuple([gradient is not None for gradient in gradients])
        rule.gradients = tuple([None if gradient is None else _value(gradient) for gradient in gradients])

    # ------------------------------------------------------------------ modules and names

    @contextlib.contextmanager
    def during_module(self, module: Any, inputs: Any) -> Iterator[None]:
        """Keep the name of the module for the rows inside."""
        if id(module) not in self._paths:
            frame = first_frame_outside(sys._getframe(1), (contextlib.__file__, *_LAYERS))
            self._name_module(module, _called(frame, module) or type(module).__name__.lower())
        path = self._paths[id(module)][1]
        before = dict(self._entered)
        for value in inputs:
            self._entered.setdefault(id(value), f"input of {path}")
        self._layers.append(path)
        try:
            yield
        finally:
            self._layers.pop()
            self._entered = before

    def _name_module(self, module: Module, path: str) -> None:
        """Name a module and all modules and parameters inside it."""
        taken = {known for _, known in self._paths.values()}
        count = sum(name == path or name.startswith(f"{path} (") for name in taken)
        path = f"{path} ({count + 1})" if count else path
        waiting = [(module, path)]
        while waiting:
            inner, name = waiting.pop()
            if id(inner) not in self._paths:
                self._paths[id(inner)] = inner, name
                waiting += [(child, f"{name}.{child_name}") for child_name, child in inner.named_children()]
        for name, parameter in module.named_parameters(f"{path}."):
            known = self._leaves.get(id(parameter))
            if known is None:
                self._add_leaf(parameter, name, parameter=True)
            elif not known.parameter:
                known.name, known.parameter = name, True

    def _name_from(self, frame: FrameType | None, inputs: Any) -> None:
        """Name the inputs of a call after the variables of its caller that hold them."""
        tensors = {id(value) for value in inputs if isinstance(value, Tensor)}
        for name, value in variables(frame if tensors else None).items():
            if id(value) in tensors:
                self._name_variable(name, value)

    def _name_variable(self, name: str, tensor: Tensor) -> None:
        row, leaf = self._row_of(tensor), self._leaves.get(id(tensor))
        if row is not None:
            row.name = row.name or name
        elif leaf is None:
            self._entered.setdefault(id(tensor), name)
        elif not leaf.parameter and leaf.name in ("constant", "tensor"):
            leaf.name = name

    # ------------------------------------------------------------------ updates

    def _look_for_updates(self) -> None:
        """Record which parameters have changed since the last look."""
        changed = [leaf for leaf in self.leaves if leaf.tensor.version != self._versions[id(leaf.tensor)]]
        moved = {}
        for leaf in changed:
            self._versions[id(leaf.tensor)] = leaf.tensor.version
            before, leaf.value = leaf.value, Value(leaf.tensor.numpy())
            if not before.same_bits(leaf.value):
                moved[leaf] = before, leaf.value
        if moved:
            still = [leaf for leaf in self.leaves if leaf.parameter and leaf not in moved]
            self.updates.append(Update(len(self.rows), len(self.passes), moved, still))


def _value(array: Any) -> Value:
    if isinstance(array, Tensor):
        return Value(array.numpy())
    backend = backend_of(array)
    return Value(backend.to_numpy(array) if backend is not None else np.asarray(array))


def copied(operation: Any) -> Any:
    """Return a copy of an operation that can be called again: its random streams start where they are now."""
    again = copy.copy(operation)
    for name, value in vars(operation).items():
        if isinstance(value, Stream) or backend_of(value) is not None:
            setattr(again, name, copy.deepcopy(value))
    return again


def _alone(operation: Any) -> Any:
    """Return a copy of a recorded operation without its place in the graph and without the arrays it saved."""
    alone = copy.copy(operation)
    alone.edges, alone.saved = (), None
    return alone


def _key(tensor: Tensor) -> tuple[Any, ...]:
    """Return what a tensor and its detached copy have in common: the counter of changes, and the elements in memory."""
    array: Any = tensor.data
    address = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    return id(tensor._version), address, array.shape, array.strides


def _called(frame: FrameType | None, module: Module) -> str:
    """Return the name that the caller has for a module: of an attribute of its ``self``, or of a variable."""
    if frame is None:
        return ""
    own = variables(frame)
    for names in (getattr(own.get("self"), "__dict__", {}), own, frame.f_globals):
        for name, value in dict(names).items():
            if value is module and name != "self":
                return name
    return ""


def variables(frame: FrameType | None) -> dict[str, Any]:
    """Return a copy of the variables of a frame."""
    if frame is None:
        return {}
    found = dict(frame.f_locals)
    if sys.version_info < (3, 13) and frame.f_locals is not frame.f_globals and frame.f_code.co_flags & CO_OPTIMIZED:
        frame.f_locals.clear()  # Python's own copy would keep the tensors alive until the function returns
    return found


def _place(frame: FrameType | None) -> Place:
    if frame is None:
        return Place("?", 0, "", "")
    path, line = frame.f_code.co_filename, frame.f_lineno
    short = path
    for folder in (os.path.dirname(PACKAGE.rstrip(os.sep)), os.getcwd()):
        short = short.removeprefix(folder + os.sep)
    return Place(short, line, frame.f_code.co_name, linecache.getline(path, line).strip())
