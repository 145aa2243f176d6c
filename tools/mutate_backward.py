"""Mutation testing of the backward formulas: break one term at a time, and check that a test fails.

    python tools/mutate_backward.py [--only TEXT] [--list]

Every ``backward`` of `tinygan.functional`, and every ``*_backward``, ``unbroadcast``, ``scatter`` and product of a
convolution of `tinygan.backend`, is broken in every way that `mutants_of` knows: a term, a factor or a minus is
dropped, two branches are swapped, ``>`` becomes ``>=``, a gradient becomes None, and so on. Each mutant is tested in a
copy of the repository, never in the working tree. If no test notices a mutant, a test is missing, or the mutant is
equivalent to the original. The known equivalent mutants are listed below, each with the reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
TIMEOUT = 300  # seconds; a mutant that runs forever counts as noticed

# Functions that are part of a backward formula.
HELPERS = {"_to_winner", "_over", "_others", "_difference", "_spread", "_memory_places"}
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
}
FURTHER_TESTS = ("tests/functional/test_differentiable.py", "tests/functional", "tests/backend")

_IN_VAIN = "computes a gradient that the engine drops, because it is not needed"
_ANY = "any negative size follows from the others"
_SLOWER = "the general case, with the same result"
EQUIVALENT = {
    "Divide.backward: gy / b if self.needs[0] else None -> gy / b": _IN_VAIN,
    "Clip.backward: B.xp.where(inside, gy, 0) if needs_x else None -> B.xp.where(inside, gy, 0)": _IN_VAIN,
    "Clip.backward: B.xp.where(under_high, B.xp.where(over_low, 0, gy), 0) if needs_low else None -> "
    "B.xp.where(under_high, B.xp.where(over_low, 0, gy), 0)": _IN_VAIN,
    "Clip.backward: B.xp.where(under_high, 0, gy) if needs_high else None -> B.xp.where(under_high, 0, gy)": _IN_VAIN,
    "Power.backward: if self.needs[0] -> if True": _IN_VAIN,
    "Power.backward: if isinstance(b, (int, float)) -> if False": _SLOWER,
    "Power.backward: if isinstance(a, (int, float)) -> if True": "adds zeros to a",
    "Linear.backward: B.sum(gy, axis=0) if needs_bias else None -> B.sum(gy, axis=0)": _IN_VAIN,
    "Conv2d.backward: B.sum(gy, (0, 2, 3)) if needs_b else None -> B.sum(gy, (0, 2, 3))": _IN_VAIN,
    "ConvTranspose2d.backward: B.sum(gy, (0, 2, 3)) if needs_b else None -> B.sum(gy, (0, 2, 3))": _IN_VAIN,
    "conv_weight: 1 -> 2 in -1": _ANY,
    "NumpyConvolutions.conv_transpose: 1 -> 2 in -1": _ANY,
    "Convolutions.conv_transpose: 2 -> 3 in 2 * p": "more zeros, which are cut off",
    "Convolutions.conv_transpose: 2 -> 3 in 2 * q": "more zeros, which are cut off",
    "Transfer.backward: gy.to(self.backend.device) -> gy": "differs on a GPU only",
    "NumpyPooling.max_pool_backward: gx.transpose(np.argsort(order)).astype(gy.dtype, copy=False) -> "
    "gx.transpose(np.argsort(order)).astype(gy.dtype)": "copies",
    "NumpyPooling.max_pool_backward: 1 -> 2 in -1": "NumPy takes every negative size for -1",
    "NumpyPooling.sum_pool_backward: 0 -> 1 in (0, 1)": "visits parts along another axis",
    "_spread: if windows.stride[axis] >= windows.size[axis] -> if False": _SLOWER,
    "_spread: windows.stride[axis] >= windows.size[axis] -> windows.stride[axis] > windows.size[axis]": _SLOWER,
    "Backend.unbroadcast: gradient.reshape(shape) -> gradient": "it has that shape already",
    "Backend.unbroadcast: size == 1 and gradient.shape[added + axis] != 1 -> size == 1": "sums over one element too",
    "Backend.scatter: if all((isinstance(part, _BASIC_INDEX) for part in (index if isinstance(index, tuple) else "
    "(index,)))) -> if False": _SLOWER,
    "Backend.scatter: index if isinstance(index, tuple) else (index,) -> (index,)": _SLOWER,
}
"""Mutants with the same result, by their description, and the reason. They are not run."""


@dataclass(frozen=True)
class Mutant:
    """One file with one change."""

    path: Path  # relative to the repository
    function: str
    line: int
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.function}: {self.change}"


# ---------------------------------------------------------------------- making mutants


def mutants() -> Iterator[Mutant]:
    """Yield every mutant of every backward formula."""
    for folder in ("functional", "backend"):
        for path in sorted((ROOT / "tinygan" / folder).glob("*.py")):
            tree = ast.parse(path.read_text())
            for name, function in _formulas(tree, folder):
                yield from _mutants_of_function(tree, function, name, path.relative_to(ROOT))


def _formulas(tree: ast.Module, folder: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in HELPERS | PRODUCTS:
            yield node.name, node
        for method in node.body if isinstance(node, ast.ClassDef) else []:
            if not isinstance(method, ast.FunctionDef):
                continue
            kernel = method.name.endswith("_backward") or method.name in {"unbroadcast", "scatter"} | PRODUCTS
            if method.name == "backward" if folder == "functional" else kernel:
                yield f"{node.name}.{method.name}", method


def _mutants_of_function(tree: ast.Module, function: ast.FunctionDef, name: str, path: Path) -> Iterator[Mutant]:
    seen = set()
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
                source = ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
                _put(parent, field, index, node)
                yield Mutant(path, name, node.lineno, change, source)


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
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
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


class Copy:
    """A copy of the package and its tests, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("tinygan", "tests", "docs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)

    def notices(self, mutant: Mutant) -> str | None:
        """Return the first test that fails with the mutant, or None if all pass."""
        target = self.folder / mutant.path
        original = target.read_text()
        target.write_text(mutant.source)
        try:
            for tests in _tests_for(mutant):
                if (self.folder / tests).exists() and (failed := self._first_failure(tests)) is not None:
                    return failed
        finally:
            target.write_text(original)
        return None

    def _first_failure(self, tests: str) -> str | None:
        command = [sys.executable, "-m", "pytest", tests, "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        try:
            run = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{tests} did not end"
        if run.returncode == 0:
            return None
        failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return failed[0].partition(" - ")[0] if failed else run.stdout[-200:] + run.stderr[-200:]


def _tests_for(mutant: Mutant) -> list[str]:
    name = mutant.function.rpartition(".")[2]
    first = FIRST_TESTS.get(name, f"test_{mutant.path.stem.removeprefix('numpy_')}")
    own = f"tests/{mutant.path.parent.name}/test_{mutant.path.stem}.py"
    return list(dict.fromkeys([own, f"tests/functional/{first}.py", *FURTHER_TESTS]))


def run(chosen: list[Mutant]) -> list[tuple[Mutant, str | None]]:
    """Test mutants, two at a time."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for worker in range(WORKERS):
            copies.put(Copy(Path(folder) / str(worker)))

        def test(mutant: Mutant) -> tuple[Mutant, str | None]:
            mine = copies.get()
            try:
                return mutant, mine.notices(mutant)
            finally:
                copies.put(mine)

        path = Path("tinygan/functional/linear.py")
        _, failed = test(Mutant(path, "nothing", 1, "nothing is broken", (ROOT / path).read_text()))
        if failed is not None:
            raise SystemExit(f"the tests fail without any mutant: {failed}")
        tasks = [pool.submit(test, mutant) for mutant in chosen if str(mutant) not in EQUIVALENT]
        for _ in tqdm(as_completed(tasks), total=len(tasks), unit="mutant"):
            pass
        return [task.result() for task in tasks]


def main() -> int:
    """Test the mutants and print the result of each; return 1 if one survived without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="test only mutants whose description contains this text")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in mutants() if arguments.only in str(mutant)]
    if arguments.list:
        print(*chosen, f"{len(chosen)} mutants", sep="\n")
        return 0
    outcomes = dict(run(chosen))
    counts = {"killed": 0, "equivalent": 0, "SURVIVED": 0}
    for mutant in chosen:
        test = outcomes.get(mutant)
        verdict = "equivalent" if mutant not in outcomes else "killed" if test else "SURVIVED"
        counts[verdict] += 1
        reason = EQUIVALENT.get(str(mutant), test or "")
        print(f"{verdict:10}  {mutant.path}:{mutant.line} {mutant}  [{reason}]")
    print(f"{len(chosen)} mutants:", ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["SURVIVED"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
