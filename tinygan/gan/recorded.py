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
_Call = Callable[[list[Any]], None]  # reads its places and writes others


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
        self._entries: list[tuple[_Call, Sequence[int | None]]] = []  # with all the places that it uses
        self._rules: weakref.WeakKeyDictionary[Operation, tuple[Operation, int]] = weakref.WeakKeyDictionary()
        self._sums: dict[Any, tuple[int, bool]] = {}  # of the pass in progress, as in `chain_rule`
        self._useful: set[Any] = set()  # the operations and leaves between the output of the pass and what is wanted
        self._gradients: dict[Tensor, int | None] = {}
        for tensor in inputs:
            self._place_of(tensor.data)
        self._count = len(inputs)
        self._leaves = [(self._place_of(parameter.data), parameter) for parameter in parameters]

    # ------------------------------------------------------------------ what the engine reports

    def drawn(self, array: Array, draw: Callable[[], Array], stream: Stream) -> None:
        """Note that `array` was drawn from a stream by ``draw()``."""
        self.streams.append(stream)
        self._compute(draw, [], self._place_of(array))

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
                place = self._compute(lambda x, dtype=operand.dtype: x.astype(dtype), [place])
            places.append(place)
        options = [value for name, value in vars(operation).items() if name not in _OF_THE_TAPE]
        if not all(map(_is_plain, options)):
            self.why = f"{operation.name} has an option that may change"
            return
        self.streams += [value for value in options if isinstance(value, Stream)]
        alone = copy.copy(operation)
        alone.edges, alone.saved, alone._notes = (), (), ()
        y, saved = self._place_of(result.data), self._constant(None)
        self._entries.append((_forward(alone, B, places, y, saved, result.ndim == 0), [*places, y, saved]))
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
                place = self._compute(lambda total: total.copy(), [place])
            self._gradients[leaf] = place
        self._sums, self._useful = {}, set()

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Add a backward formula, and the sums of the gradients that it returns: see `chain_rule`."""
        if operation not in self._rules:
            self.why = self.why or f"{operation.name} was called before"
        if self.why:
            return
        B, (alone, saved), (place, _) = operation.backend, self._rules[operation], self._sums.pop(operation)
        needs = tuple([edge is not None and edge in self._useful for edge in operation.edges])
        found = {i: B.asarray(term) for i, term in enumerate(gradients) if needs[i] and term is not None}
        terms = {i: self._constant(None) for i in found}
        scalars = any(array.ndim == 0 for array in found.values())
        rule = _backward(alone.needing(needs), B, place, saved, list(terms.items()), scalars)
        self._entries.append((rule, [place, saved, *terms.values()]))
        for i, array in found.items():
            edge, fresh, term = operation.edges[i], operation.fresh, terms[i]
            if array.shape != edge.shape:
                fresh = fresh or B.unbroadcast(array, edge.shape).size != array.size
                term = self._compute(lambda x, shape=edge.shape: B.unbroadcast(x, shape), [term])
            if array.dtype != edge.dtype:
                fresh, term = True, self._compute(lambda x, dtype=edge.dtype: x.astype(dtype), [term])
            if edge in self._sums:
                total, owned = self._sums[edge]
                add = B.add_into if owned else lambda total, term: B.asarray(total + term)
                fresh, term = True, self._compute(add, [total, term])
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

    def _compute(self, function: Callable[..., Any], reads: Sequence[int | None], write: int | None = None) -> int:
        """Add an entry with one result; return its place."""
        place = self._constant(None) if write is None else write

        def call(places: list[Any]) -> None:
            places[place] = function(*[places[i] for i in reads])  # type: ignore[index]

        self._entries.append((call, [*reads, place]))
        return place

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
        last = {place: number for number, (_, used) in enumerate(self._entries) for place in used}
        for place in (*self._results, *self._wanted):
            last.pop(place, None)
        self._calls: list[tuple[_Call, list[Any]]] = [(call, []) for call, _ in self._entries]
        for place, number in last.items():
            self._calls[number][1].append(place)
        self._memory, self._entries, self._gradients = {}, [], {}

    def run(self, inputs: Sequence[Array]) -> tuple[list[Array | None], list[Array | None]]:
        """Apply the formulas to other inputs; return the results, and the gradients of `parameters`."""
        places = self._start.copy()
        places[: self._count] = inputs
        for place, parameter in self._leaves:
            places[place] = parameter.data
        for call, dead in self._calls:
            call(places)
            for place in dead:
                places[place] = None
        results = [None if i is None else places[i] for i in self._results]
        return results, [None if i is None else places[i] for i in self._wanted]


def _is_plain(value: Any) -> bool:
    """Return whether an option of an operation is the same in each call: a number, a text, a stream, or a few such."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, slice):
        return _is_plain((value.start, value.stop, value.step))
    return value is None or isinstance(value, (int, float, str, Stream, Windows, type(...)))


def _forward(operation: Any, B: Any, reads: list[Any], y: int, saved: int, scalar: bool) -> _Call:
    forward = operation.forward

    def call(places: list[Any]) -> None:
        result = forward(B, *[places[i] for i in reads])
        places[y] = B.asarray(result) if scalar else result  # NumPy's sums are not arrays
        places[saved], operation.saved = operation.saved, ()

    return call


def _backward(operation: Any, B: Any, gy: int, saved: int, terms: list[tuple[int, int]], scalars: bool) -> _Call:
    backward = operation.backward

    def call(places: list[Any]) -> None:
        found = backward(B, places[gy], *places[saved])
        found = found if isinstance(found, (tuple, list)) else (found,)
        for i, place in terms:
            places[place] = B.asarray(found[i]) if scalars else found[i]

    return call
