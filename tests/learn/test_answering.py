"""Programs with faults, in this process: what is told about each."""

from __future__ import annotations

import io
import json

import pytest

from tinygan.learn.answering import Answering
from tinygan.learn.exercises import exercise
from tinygan.learn.process import answers_from

BACKWARD = "def backward(gy, y):\n    return gy * y * (1 - y)\n"


def problems_of(source, number=2):
    """Return the problems by kind, and the answers."""
    written = io.StringIO()
    Answering(exercise(number), "mine.py", f"import sys\nimport numpy as np\n{source}\n", written).run()
    answers = answers_from(json.loads(line) for line in written.getvalue().splitlines())
    return {problem.kind: problem.text for problem in answers.problems}, answers


@pytest.mark.parametrize(
    ("body", "kind", "facts"),
    [
        ("sys.exit(3)", "exception", ["line 4", "SystemExit: 3"]),
        ("raise MemoryError('too much')", "memory", ["line 4", "too much"]),
        ("return [] + forward(x)", "exception", ["line 4", "RecursionError"]),
        ("return x @ x", "exception", ["line 4", "matmul", "x of shape (3, 4)"]),
        ("raise ValueError('y' * 10**6)", "exception", ["ValueError: yyy", "more letters"]),
        ("return x.tolist()", "returned", ["list", "array of NumPy"]),
        ("return", "returned", ["None", "return missing"]),
        ("return x.astype(object)", "returned", ["object"]),
        ("return x + 1j", "returned", ["complex128"]),
        ("x += 1\n    return x", "argument changed", ["x in place"]),
        ("return np.exp(x)", "warning", ["line 4", "overflow", "return np.exp(x)", "709"]),
        ("return x + np.random.default_rng().normal()", "new random numbers", ["forward"]),
        ("raise NotImplementedError", "not written", ["forward", "line 4"]),
    ],
)
def test_a_fault_in_a_function_is_told(body, kind, facts):
    problems, answers = problems_of(f"def forward(x):\n    {body}\n{BACKWARD}")
    assert [*problems] == [kind]
    for fact in facts:
        assert fact in problems[kind]
    assert len(problems[kind]) < 2000
    assert "gx" in answers.arrays["large numbers"]  # the other function was called


@pytest.mark.parametrize(
    ("source", "kind", "fact"),
    [
        ("def forward(x):\n    return (x", "syntax", "'(' was never closed"),
        ("def forward(x):\nreturn x", "syntax", "IndentationError"),
        ("import nothing_of_this_name", "exception", "nothing_of_this_name"),
        ("sys.exit()", "exception", "SystemExit"),
        ("raise NotImplementedError", "not written", "The file"),
        (f"forward = 3\n{BACKWARD}", "missing function", "forward"),
        (f"def forwards(x): pass\n{BACKWARD}", "missing function", 'did you mean "forwards"?'),
        (f"def forward(x, y): pass\n{BACKWARD}", "parameters", "forward(x, y) is called as forward(x)"),
    ],
)
def test_a_fault_of_the_whole_file_is_told(source, kind, fact):
    problems, _ = problems_of(source)
    assert [*problems] == [kind]
    assert fact in problems[kind]


def test_a_null_byte_is_told():
    problems, _ = problems_of("x = '\0'")
    assert "null" in " ".join(problems.values())


def test_the_arrays_arrive_as_they_are():
    values = "[np.nan, np.inf, 0.1, -0.0][x.ndim]"
    _, answers = problems_of(f"def forward(x):\n    return np.full(x.shape, {values})\n{BACKWARD}")
    assert answers.arrays["numbers near 0"]["y"][0, 0] == 0.1
    assert answers.arrays["large numbers"]["y"][0] == float("inf")
    _, answers = problems_of(f"def forward(x):\n    return np.zeros((1000, 1000), 'f4')\n{BACKWARD}")
    assert answers.arrays["large numbers"]["y"] == (1000, 1000)


def test_some_of_several_results_are_judged():
    source = "def forward(x, W, b):\n    return x @ W + b\ndef backward(gy, x, W):\n    return gy @ W.T, None, None"
    problems, answers = problems_of(source, 1)
    assert "None for gW" in problems["returned"]
    assert set(answers.arrays["a batch of 4"]) == {"y", "gx"}


def test_each_case_has_players_of_its_own():
    source = "def step_of_d(G, D, optimizer, x, z):\n    G.bias.data[:] = 7\n    return D(x).mean()"
    _, answers = problems_of(source, 8)
    assert {len(arrays) for arrays in answers.arrays.values()} == {6}
    assert exercise(8).cases()["a first step"]["G"].bias.data[0] != 7
