"""Mutation testing of the backward formulas: break one term at a time, and check that a test fails.

    python tools/mutate_backward.py [--only TEXT ...] [--list] [--workers 2] [--examples 30]

Every ``backward`` of `tinygan.functional`, and every ``*_backward``, ``unbroadcast``, ``scatter`` and product of a
convolution of `tinygan.backend`, is broken in every way that `mutants_of` knows: a term, a factor or a minus is
dropped, two branches are swapped, ``>`` becomes ``>=``, a gradient becomes None, and so on. If no test notices a
mutant, a test is missing, or the mutant is equivalent to the original. The known equivalent mutants are listed below,
each with the reason.

pytest collects the tests once. Then each mutant lives in a forked process of its own, where the function has the code
of the mutant: no file changes. So the script needs Linux or macOS. Each result is printed when it is known.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import operator
import os
import re
import select
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 300  # seconds of a processor for the tests of a mutant; one that runs forever counts as noticed

# Functions that are part of a backward formula.
HELPERS = {"_to_winner", "_over", "_others", "_difference", "_spread", "_memory_places"}
SLOPES = {"elu", "silu", "gelu", "leaky"}  # of a backend: each returns f'(x), too
PRODUCTS = {"conv", "conv_transpose", "conv_weight"}  # of a backend: each is part of two backward formulas
FIRST_TESTS = {  # the tests that most probably notice a mutant; all tests of FURTHER_TESTS follow
    "relu_backward": "test_activations",
    "sigmoid_backward": "test_activations",
    "tanh_backward": "test_activations",
    "leaky_backward": "test_activations",
    "maxout_backward": "test_activations",
    "max_pool_backward": "test_pooling",
    "sum_pool_backward": "test_pooling",
    "unbroadcast": "test_arithmetic",
    "scatter": "test_indexing",
    "batch_norm_backward": "test_normalization",
    "channel_affine_backward": "test_normalization",
    "layer_norm_backward": "test_normalization",
    "softmax_backward": "test_probabilities",
    "log_softmax_backward": "test_probabilities",
    **dict.fromkeys(PRODUCTS, "test_convolution"),
    **dict.fromkeys(SLOPES, "test_activations"),
}
FURTHER_TESTS = ("tests/functional/test_differentiable.py", "tests/functional", "tests/backend")

_IN_VAIN = "computes a gradient that the engine drops, because it is not needed"
_ANY = "any negative size follows from the others"
_SLOWER = "the general case, with the same result"
EQUIVALENT = {
    "Power.backward: if self.needs[0] -> if True": _IN_VAIN,
    "Power.backward: if isinstance(b, (int, float)) -> if False": _SLOWER,
    "Power.backward: if isinstance(a, (int, float)) -> if True": "adds zeros to a",
    "conv_weight: 1 -> 2 in -1": _ANY,
    "NumpyConvolutions.conv_transpose: 1 -> 2 in -1": _ANY,
    "Convolutions.conv_transpose: 2 -> 3 in 2 * p": "more zeros, which are cut off",
    "Convolutions.conv_transpose: 2 -> 3 in 2 * q": "more zeros, which are cut off",
    "SoftmaxCrossEntropy.backward: if self.smoothing -> if True": "subtracts 0",
    "_WithSlope.backward: if isinstance(x, Tensor) -> if True": "computes the slope again",
    "BatchNorm.backward: if isinstance(x, Tensor) -> if True": "computes the moments again",
    "LayerNorm.backward: if isinstance(x, Tensor) -> if True": "computes the moments again",
    "LayerKernels.elu: 0 -> 1 in xp.minimum(x, 0)": "differs only where the result is not used",
    "Transfer.backward: gy.to(self.backend.device) -> gy": "differs on a GPU only",
    "NumpyPooling.max_pool_backward: gx.transpose(np.argsort(order)).astype(gy.dtype, copy=False) -> "
    "gx.transpose(np.argsort(order)).astype(gy.dtype)": "copies",
    "NumpyPooling.max_pool_backward: 1 -> 2 in -1": _ANY,
    **{f"NumpyLayerKernels.{name}: 1 -> 2 in -1": _ANY for name in ("elu", "silu", "gelu")},
    "NumpyLayerKernels.elu: if alpha != 1 -> if True": "adds zeros",
    "NumpyLayerKernels.elu: np.multiply(a > 0, 1 - alpha, dtype=s.dtype) -> np.multiply(a > 0, 1 - alpha)": "rounds "
    "when it is added",
    "NumpyPooling.sum_pool_backward: 0 -> 1 in (0, 1)": "visits parts along another axis",
    "_spread: if windows.stride[axis] >= windows.size[axis] -> if False": _SLOWER,
    "_spread: windows.stride[axis] >= windows.size[axis] -> windows.stride[axis] > windows.size[axis]": _SLOWER,
    "Backend.unbroadcast: gradient.reshape(shape) -> gradient": "it has that shape already",
    "Backend.unbroadcast: size == 1 and gradient.shape[added + axis] != 1 -> size == 1": "sums over one element too",
    "Backend.scatter: if all((isinstance(part, _BASIC_INDEX) for part in (index if isinstance(index, tuple) else "
    "(index,)))) -> if False": _SLOWER,
    "Backend.scatter: out if terms is gradient else out.astype(gradient.dtype) -> out.astype(gradient.dtype)": "copies",
    "Backend.scatter: index if isinstance(index, tuple) else (index,) -> (index,)": _SLOWER,
}
"""Mutants with the same result, by their description, and the reason. They are not run."""


def reason(mutant: Mutant) -> str | None:
    """Return why a mutant is equivalent, or None."""
    unneeded = re.search(r"([^:]*) if (self\.needs\[\d\]|needs_\w+|needed) else None -> (.*)", str(mutant))
    return _IN_VAIN if unneeded and unneeded[1].strip() == unneeded[3] else EQUIVALENT.get(str(mutant))


@dataclass(frozen=True)
class Mutant:
    """One function with one change."""

    path: Path  # relative to the repository
    function: str
    line: int
    change: str
    code: CodeType  # of the changed function

    def __str__(self) -> str:
        return f"{self.function}: {self.change}"


# ---------------------------------------------------------------------- making mutants


def mutants() -> Iterator[Mutant]:
    """Yield every mutant of every backward formula."""
    for folder in ("functional", "backend"):
        for path in sorted((ROOT / "tinygan" / folder).glob("*.py")):
            tree = ast.parse(path.read_text())
            for name, function in _formulas(tree, folder):
                yield from _mutants_of_function(function, name, path.relative_to(ROOT))


def _formulas(tree: ast.Module, folder: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in HELPERS | PRODUCTS:
            yield node.name, node
        for method in node.body if isinstance(node, ast.ClassDef) else []:
            if not isinstance(method, ast.FunctionDef):
                continue
            kernel = method.name.endswith("_backward") or method.name in {"unbroadcast", "scatter"} | PRODUCTS | SLOPES
            if method.name == "backward" if folder == "functional" else kernel:
                yield f"{node.name}.{method.name}", method


def _mutants_of_function(function: ast.FunctionDef, name: str, path: Path) -> Iterator[Mutant]:
    seen = set()
    # A function takes only code with the same free variables, so a mutant without super() names it once more.
    more = [ast.Expr(ast.Name("super", ast.Load()))] if _code(function, name, path).co_freevars else []
    for parent in ast.walk(function):
        for field, index, node in _children(parent):
            for replacement in mutants_of(node):
                change = f"{_text(node)} -> {_text(replacement)}"
                if isinstance(node, ast.Constant):
                    change += f" in {_text(parent)}"
                if (place := (node.lineno, node.col_offset, change)) in seen:
                    continue
                seen.add(place)
                _put(parent, field, index, replacement)
                code = _code(function, name, path, *more)
                _put(parent, field, index, node)
                yield Mutant(path, name, node.lineno, change, code)


def _code(function: ast.FunctionDef, name: str, path: Path, *more: ast.stmt) -> CodeType:
    """Compile one function or method alone, with more statements at its end."""
    function = ast.FunctionDef(**{**vars(function), "body": [*function.body, *more]})
    owner, _, method = name.rpartition(".")
    tree = ast.Module([ast.ClassDef(owner, [], [], [function], []) if owner else function], [])
    code = compile(ast.fix_missing_locations(tree), ROOT / path, "exec")
    for part in (owner, method):
        code = next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == part) if part else code
    return code


def _children(parent: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    """Yield the children of a node with their places, without docstring, annotations and arguments."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "args") and isinstance(parent, (ast.arg, ast.FunctionDef)):
            continue
        if isinstance(value, ast.AST) and hasattr(value, "lineno"):
            yield field, None, value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST) and hasattr(item, "lineno") and not _is_text(item):
                    yield field, index, item


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _text(node: ast.AST) -> str:
    return f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else ast.unparse(node)


COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}


def mutants_of(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the replacements of a node."""
    if isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.Compare):
        for k, comparison in enumerate(node.ops):
            if other := COMPARISONS.get(type(comparison)):
                yield ast.Compare(node.left, [*node.ops[:k], other(), *node.ops[k + 1 :]], node.comparators)
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Call):
        yield from _mutants_of_call(node)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield from _mutants_of_return(node)
    elif isinstance(node, ast.If):
        for truth in (True, False):
            yield ast.If(ast.Constant(truth), node.body, node.orelse)
    elif isinstance(node, (ast.AugAssign, ast.Expr)):
        yield ast.Pass()


_NOT_ARRAYS = ("B", "xp", "np", "B.xp", "self", "super()", "builtins")


def _mutants_of_call(node: ast.Call) -> Iterator[ast.AST]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else _text(node.func)
    positional = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
    if name == "where" and len(node.args) == 3:
        condition, a, b = node.args
        yield ast.Call(node.func, [condition, b, a], node.keywords)
        yield from (a, b)
    elif positional and _text(node.func).startswith(("B.xp.", "xp.", "np.")):
        yield positional[0]  # f(x, ...) -> x
    elif isinstance(node.func, ast.Attribute) and _text(node.func.value) not in _NOT_ARRAYS:
        yield node.func.value  # x.f(...) -> x
    for k in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, node.keywords[:k] + node.keywords[k + 1 :])


def _mutants_of_return(node: ast.Return) -> Iterator[ast.AST]:
    value = node.value
    elements = value.elts if isinstance(value, ast.Tuple) else [value]
    for k, element in enumerate(elements):
        if not (isinstance(element, ast.Constant) and element.value is None):
            changed = [*elements[:k], ast.Constant(None), *elements[k + 1 :]]
            yield ast.Return(ast.Tuple(changed, ast.Load()) if isinstance(value, ast.Tuple) else changed[0])


# ---------------------------------------------------------------------- testing them


def _function(mutant: Mutant) -> FunctionType:
    """Return the function that the mutant changes."""
    module = importlib.import_module(".".join(mutant.path.with_suffix("").parts))
    return operator.attrgetter(mutant.function)(module)


class Tester:
    """A pytest plugin: the tests, once they are collected, run for each mutant in a forked process."""

    def __init__(self, chosen: list[Mutant], workers: int, examples: int) -> None:
        self.chosen, self.workers, self.examples = chosen, workers, examples
        self.counts: Counter[str] = Counter()
        self.kills: defaultdict[str, Counter[str]] = defaultdict(Counter)  # of the tests, for each function
        self.checked: set[str] = set()
        self.failed = ""

    def pytest_collection(self) -> None:
        """Let hypothesis stop at the first failure that it finds, before it reads its settings for each test."""
        import hypothesis  # here, as its own plugin for pytest must come first

        phases = hypothesis.Phase.explicit, hypothesis.Phase.generate
        default = hypothesis.settings.default
        hypothesis.settings.register_profile("mutants", default, phases=phases, max_examples=self.examples)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember that a test failed."""
        if report.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Test the mutants: all of them with the first tests, and then the survivors with the other tests."""
        gc.freeze()
        first = {mutant: _chosen(session.items, _first_tests(mutant)) for mutant in self.chosen}
        further = _chosen(session.items, FURTHER_TESTS)
        for mutant in self.chosen:
            if why := reason(mutant):
                self._print("equivalent", mutant, why)
                del first[mutant]
        left = self._pass(first, "unnoticed")
        self._pass({mutant: [item for item in further if item not in first[mutant]] for mutant in left}, "SURVIVED")
        return True

    def _pass(self, tests: dict[Mutant, list[pytest.Item]], otherwise: str) -> list[Mutant]:
        """Print which mutants are killed by their tests, and return the others."""
        survivors = []
        for mutant, failed in self._outcomes(tests):
            if failed:
                self._check(failed, tests[mutant])
                self.kills[mutant.function][failed] += 1
                self._print("killed", mutant, failed)
            else:
                survivors.append(mutant)
                self._print(otherwise, mutant, f"{len(tests[mutant])} tests pass")
        return survivors

    def _check(self, failed: str, items: list[pytest.Item]) -> None:
        """Check, once for each test, that the test passes without a mutant."""
        if failed not in self.checked and (test := [item for item in items if item.nodeid == failed]):
            [(_, failed_again)] = self._outcomes({None: test})
            if failed_again:
                pytest.exit(f"this test fails without any mutant: {failed}", 2)
            self.checked.add(failed)

    def _outcomes(self, tests: dict[Mutant | None, list[pytest.Item]]) -> Iterator[tuple[Any, str]]:
        """Yield each mutant with the test that noticed it, or "", in the order in which they end."""
        running: dict[int, tuple[Mutant, int]] = {}  # by the descriptor of the answer, with the process
        left = list(tests.items())[::-1]
        while left or running:
            while left and len(running) < self.workers:
                mutant, items = left.pop()
                answer, process = self._start(mutant, items)
                running[answer] = mutant, process
            for answer in select.select(list(running), [], [])[0]:
                mutant, process = running.pop(answer)
                with os.fdopen(answer) as text:
                    failed = text.read()
                status = os.waitpid(process, 0)[1]
                yield mutant, failed or (f"the tests ended with status {status}" if status else "")

    def _start(self, mutant: Mutant | None, items: list[pytest.Item]) -> tuple[int, int]:
        """Start the tests of a mutant, or of the original; return where the answer will be, and the process."""
        answer, end = os.pipe()
        if mutant:
            function, kills = _function(mutant), self.kills[mutant.function]
            items = sorted(items, key=lambda item: (-kills[item.nodeid], not _named(mutant.function, item.nodeid)))
            original, function.__code__ = function.__code__, mutant.code
        if process := os.fork():
            if mutant:
                function.__code__ = original
            os.close(end)
            return answer, process
        status = 1
        try:
            signal.setitimer(signal.ITIMER_PROF, TIMEOUT)  # its signal ends the process
            for descriptor in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            os.write(end, self._first_failure(items).encode())
            status = 0
        finally:
            os._exit(status)

    def _first_failure(self, items: list[pytest.Item]) -> str:
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                break
        return self.failed

    def _print(self, verdict: str, mutant: Mutant, reason: str) -> None:
        self.counts[verdict] += 1
        print(f"{verdict:10}  {mutant.path}:{mutant.line} {mutant}  [{reason}]", flush=True)


def _first_tests(mutant: Mutant) -> tuple[str, ...]:
    folder, stem = mutant.path.parent.name, mutant.path.stem
    first = FIRST_TESTS.get(mutant.function.rpartition(".")[2], f"test_{stem.removeprefix('numpy_')}")
    return f"tests/{folder}/test_{stem}", f"tests/{folder}/test_numpy_{stem}", f"tests/functional/{first}"


def _named(function: str, test: str) -> bool:
    """Return whether the name of a test contains that of the operation."""
    operation = function.removesuffix(".backward").removesuffix("_backward").rpartition(".")[2]
    return operation.replace("_", "").lower() in test.rpartition("/")[2].replace("_", "").lower()


def _chosen(items: list[pytest.Item], places: tuple[str, ...]) -> list[pytest.Item]:
    """Return the tests whose files have a name that begins like one of the places, in the order of these."""
    return list(dict.fromkeys(item for place in places for item in items if item.nodeid.startswith(place)))


def main() -> int:
    """Test the mutants and print the result of each; return 1 if one survived without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="test only mutants whose description has such a text")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--workers", type=int, default=2, help="how many mutants are tested at a time")
    parser.add_argument("--examples", type=int, default=30, help="how many examples hypothesis draws for a test")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in mutants() if any(text in str(mutant) for text in arguments.only)]
    if arguments.list:
        print(*chosen, f"{len(chosen)} mutants", sep="\n")
        return 0
    if not hasattr(os, "fork"):
        raise SystemExit(
            "each mutant is tested in a forked process, which this system does not have: use Linux or macOS"
        )
    os.chdir(ROOT)
    tester = Tester(chosen, arguments.workers, arguments.examples)
    options = ("-qq", "--no-header", "--no-summary", "--capture=no", "-p", "no:cacheprovider")
    status = pytest.main([*options, *(place for place in FURTHER_TESTS if Path(place).is_dir())], [tester])
    verdicts = (f"{tester.counts[verdict]} {verdict}" for verdict in ("killed", "equivalent", "SURVIVED"))
    print(f"{len(chosen)} mutants:", ", ".join(verdicts))
    return int(status) or (1 if tester.counts["SURVIVED"] else 0)


if __name__ == "__main__":
    raise SystemExit(main())
