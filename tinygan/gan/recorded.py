"""The formulas of one update as a flat list, which the engine follows once: see `tinygan.gan.replayed`.

The list has one entry for each forward formula, each backward formula and each sum of gradients. An entry reads some
numbered places and writes others: an array never moves, only its place is known. A place is emptied after its last
use, so the memory of a run is that of an update on the tape.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tinygan.backend import Array, Stream
from tinygan.backend.operands import prepare
from tinygan.backend.pooling import Windows
from tinygan.engine import Operation, Tensor, topological_order
from tinygan.engine.modes import Observer

_OF_THE_TAPE = {"edges", "saved", "needs", "backend", "shape", "dtype", "_notes"}  # attributes of an operation
_Entry = tuple[Callable[..., Sequence[Any]], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class Recorded(Observer):
    """Records the formulas that are applied inside ``with``; then `run` applies them again.

    An array that is not an input, a parameter, a draw or the result of a recorded formula has an unknown origin: it may
    be another one in the next update. Then `why` says so, and there is nothing to run.

    Parameters
    ----------
    inputs : sequence of Tensor
    parameters : sequence of Tensor
        Their values are read anew in each run.

    Attributes
    ----------
    why : str
        Why the update cannot be replayed; "" if it can.
    streams : list of Stream
        Those that a run draws from.
    parameters : list of Tensor
        Those whose gradients a run returns.
    verified : bool
        Set by the user of this class.
    """

    def __init__(self, inputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        self.why, self.verified = "", False
        self.streams: list[Stream] = []
        self._start: list[Any] = []  # what stands in the places before a run
        self._memory: dict[int, tuple[Any, dict[Any, int]]] = {}  # by the id of an owner of memory
        self._entries: list[Any] = []
        self._rules: weakref.WeakKeyDictionary[Operation, tuple[Operation, int]] = weakref.WeakKeyDictionary()
        self._sums: dict[Any, tuple[int, bool]] = {}  # of the pass in progress, as in `chain_rule`
        self._gradients: dict[Tensor, int | None] = {}
        for tensor in inputs:
            self._place_of(tensor.data)
        self._count = len(inputs)
        self._leaves = [(self._place_of(parameter.data), parameter) for parameter in parameters]

    # ------------------------------------------------------------------ what the engine reports

    def drawn(self, array: Array, draw: Callable[[], Array], stream: Stream) -> None:
        """Note that `array` was drawn from a stream by ``draw()``."""
        self.streams.append(stream)
        self._add(lambda: (draw(),), (), [self._place_of(array)])

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """Add a forward formula."""
        if self.why:
            return
        arrays = [value.data if isinstance(value, Tensor) else None for value in inputs]
        B, operands = prepare(inputs, arrays, operation.mixed, operation.name)
        places = []
        for array, operand in zip(arrays, operands, strict=True):
            place = self._constant(operand) if not B.is_array(operand) else self._known(array)
            if place is None:
                self.why = f"{operation.name} reads an array of unknown origin"
                return
            if array is not None and operand.dtype != array.dtype:
                (place,) = self._add(_cast(operand.dtype), (place,), [self._constant(None)])
            places.append(place)
        options = [value for name, value in vars(operation).items() if name not in _OF_THE_TAPE]
        if not all(map(_is_plain, options)):
            self.why = f"{operation.name} has an option that may change"
            return
        self.streams += [value for value in options if isinstance(value, Stream)]
        alone = copy.copy(operation)
        alone.edges, alone.saved, alone._notes = (), (), ()
        saved = self._constant(None)
        self._add(_forward(alone, B), places, [self._place_of(result.data), saved])
        if result.operation is operation:
            self._rules[operation] = alone, saved

    @contextmanager
    def during_pass(self, backward_pass: Any, output: Tensor) -> Iterator[None]:
        """Begin the sums of a backward pass; note the gradients when it ends."""
        if backward_pass.create_graph or backward_pass.wanted is None:
            self.why = self.why or "a gradient is differentiated again"
        wanted = backward_pass.wanted or {}
        self._useful = set(wanted)
        root: Any = output.edge
        for operation in topological_order(root) if isinstance(root, Operation) else []:
            if any(edge in self._useful for edge in operation.edges if edge is not None):
                self._useful.add(operation)
        self._sums = {root: (self._constant(output.backend.xp.ones(output.shape, output.dtype)), False)}
        yield
        for leaf in wanted:
            place, owned = self._sums.get(leaf, (None, True))
            if not owned:
                (place,) = self._add(lambda total: (total.copy(),), [place], [self._constant(None)])
            self._gradients[leaf] = place
        self._sums = {}

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Add a backward formula, and the sums of the gradients that it returns: see `chain_rule`."""
        if operation not in self._rules:
            self.why = self.why or f"{operation.name} was called before"
        if self.why:
            return
        B, (alone, saved), (place, _) = operation.backend, self._rules[operation], self._sums.pop(operation)
        needs = tuple([edge is not None and edge in self._useful for edge in operation.edges])
        found = {i: B.asarray(term) for i, term in enumerate(gradients) if needs[i] and term is not None}
        terms = [self._constant(None) for _ in found]
        self._add(_backward(alone.needing(needs), B, tuple(found)), (place, saved), terms)
        for term, (i, array) in zip(terms, found.items(), strict=True):
            edge, fresh = operation.edges[i], operation.fresh
            if array.shape != edge.shape:
                summed = B.unbroadcast(array, edge.shape)
                (term,) = self._add(_unbroadcast(B, edge.shape), [term], [self._constant(None)])
                fresh = fresh or summed.size != array.size
            if array.dtype != edge.dtype:
                (term,) = self._add(_cast(edge.dtype), [term], [self._constant(None)])
                fresh = True
            if edge in self._sums:
                total, owned = self._sums[edge]
                add = _add_into(B) if owned else _plus(B)
                (term,) = self._add(add, (total, term), [self._constant(None)])
                fresh = True
            self._sums[edge] = term, fresh

    # ------------------------------------------------------------------ places

    def _constant(self, value: Any) -> int:
        """Return a new place with a value; None for one that is written in each run."""
        self._start.append(value)
        return len(self._start) - 1

    def _place_of(self, array: Array) -> int:
        """Return the place of an array; a new one if it has none."""
        places, elements = self._places_in(array)
        if elements not in places:
            places[elements] = self._constant(None)
        return places[elements]

    def _known(self, array: Array | None) -> int | None:
        if array is None:
            return None
        places, elements = self._places_in(array)
        return places.get(elements)

    def _places_in(self, array: Array) -> tuple[dict[Any, int], Any]:
        """Return the known places in the memory of an array, and which elements of the memory it has.

        An array and its detached copy have the same elements. The record keeps no memory alive, and forgets it once it
        is freed.
        """
        owner = array if array.base is None else array.base
        key = id(owner)
        if key not in self._memory:
            try:
                alive: Any = weakref.ref(owner, lambda _: self._memory.pop(key))
            except TypeError:  # such as the bytes of `numpy.frombuffer`
                alive = owner
            self._memory[key] = alive, {}
        return self._memory[key][1], (array.ctypes.data, array.shape, array.strides, array.dtype)

    def _add(self, function: Any, reads: Sequence[int | None], writes: list[int]) -> list[int]:
        self._entries.append((function, tuple(reads), tuple(writes)))
        return writes

    # ------------------------------------------------------------------ runs

    def finish(self, results: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> None:
        """End the record: a run will return the `results` of the update, and the gradients of `parameters`."""
        self.parameters = list(parameters)
        self.streams = list(dict.fromkeys(self.streams))
        arrays = [None if result is None else result.data for result in results]
        self._results = [self._known(array) for array in arrays]
        if any(array is not None and place is None for array, place in zip(arrays, self._results, strict=True)):
            self.why = self.why or "it returns an array of unknown origin"
        self._wanted = [self._gradients.get(parameter) for parameter in parameters]
        last = {place: number for number, entry in enumerate(self._entries) for place in (*entry[1], *entry[2])}
        for place in (*self._results, *self._wanted):
            last.pop(place, None)
        dead: dict[int, list[int]] = {}
        for place, number in last.items():
            dead.setdefault(number, []).append(place)
        self._list: list[_Entry] = [(*entry, tuple(dead.get(i, ()))) for i, entry in enumerate(self._entries)]
        self._memory, self._entries, self._gradients = {}, [], {}

    def run(self, inputs: Sequence[Array]) -> tuple[list[Array | None], list[Array | None]]:
        """Apply the formulas to other inputs; return the results, and the gradients of `parameters`."""
        places = self._start.copy()
        places[: self._count] = inputs
        for place, parameter in self._leaves:
            places[place] = parameter.data
        for function, reads, writes, dead in self._list:
            values = function(*[places[place] for place in reads])
            for place, value in zip(writes, values, strict=True):
                places[place] = value
            for place in dead:
                places[place] = None
            del values
        results = [None if i is None else places[i] for i in self._results]
        return results, [None if i is None else places[i] for i in self._wanted]


def _is_plain(value: Any) -> bool:
    """Return whether an option of an operation is the same in each call: a number, a text, a stream, or a few such."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, slice):
        return _is_plain((value.start, value.stop, value.step))
    return value is None or isinstance(value, (int, float, str, Stream, Windows, type(...)))


def _forward(operation: Any, B: Any) -> Callable[..., Any]:
    forward, is_array = operation.forward, B.is_array

    def call(*operands: Any) -> tuple[Any, Any]:
        y = forward(B, *operands)
        saved, operation.saved = operation.saved, ()
        return (y if is_array(y) else B.asarray(y)), saved  # NumPy's sums are scalars

    return call


def _backward(operation: Any, B: Any, chosen: tuple[int, ...]) -> Callable[..., Any]:
    backward, is_array = operation.backward, B.is_array

    def call(gy: Any, saved: Any) -> list[Any]:
        found = backward(B, gy, *saved)
        found = found if isinstance(found, (tuple, list)) else (found,)
        return [found[i] if is_array(found[i]) else B.asarray(found[i]) for i in chosen]

    return call


def _cast(dtype: Any) -> Callable[..., Any]:
    return lambda array: (array.astype(dtype),)


def _unbroadcast(B: Any, shape: Any) -> Callable[..., Any]:
    return lambda array: (B.unbroadcast(array, shape),)


def _add_into(B: Any) -> Callable[..., Any]:
    return lambda total, term: (B.add_into(total, term),)


def _plus(B: Any) -> Callable[..., Any]:
    return lambda total, term: (B.asarray(total + term),)
