"""The page for those who come from PyTorch: both columns of each table run, and do the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from tinygan import errors

PAGE = Path(__file__).parents[1] / "docs" / "coming-from-pytorch.md"


def rows(header):
    """Return the code of the rows of all tables with this header: a pair of programs each."""
    found = []
    for table in re.findall(rf"^{re.escape(header)}.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE.read_text("utf-8"), re.MULTILINE):
        for line in table.splitlines():
            left, right = re.split(r"(?<=`) \| ", line.removeprefix("| "))[:2]
            found.append(tuple("\n".join(re.findall(r"`([^`]+)`", cell)) for cell in (left, right)))
    return found


PYTORCH_WARNS = pytest.mark.filterwarnings("ignore")
SAME = rows("| PyTorch | tinygan |")
REFUSED = rows("| PyTorch accepts | tinygan raises |")


def run(program, names):
    """Run a program, and return the value of its last line if that is an expression."""
    tree = ast.parse(program)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "row", "exec"), names)
    return eval(compile(ast.Expression(last.value), "row", "eval"), names) if last else None


def assert_same(ours, theirs, row):
    """Compare two results: tensors, numbers, words, and lists of them."""
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), row
        for each, other in zip(ours, theirs, strict=True):
            assert_same(each, other, row)
    elif hasattr(theirs, "shape"):
        ours, theirs = (np.asarray(each.detach() if hasattr(each, "detach") else each) for each in (ours, theirs))
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), row
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6, err_msg=str(row))
    else:
        assert ours == (pytest.approx(theirs, 1e-5) if isinstance(theirs, float) else theirs), row


def namespace():
    rng = np.random.default_rng(0)
    return {"np": np, **{name: rng.normal(size=(4, 4)).astype("float32") for name in "ab"}}


@pytest.fixture
def tinygan_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return namespace()


def test_the_column_of_tinygan_runs(tinygan_names):
    assert len(SAME) > 60
    for _, program in SAME:
        run(program, tinygan_names)


@pytest.mark.slow
@PYTORCH_WARNS
def test_both_columns_do_the_same(tinygan_names):
    torch = pytest.importorskip("torch")
    pytorch_names = namespace()
    for row in SAME:
        theirs, ours = (run(program, names) for program, names in zip(row, (pytorch_names, tinygan_names), strict=True))
        assert_same(ours, theirs, row)
        if row[0].startswith("net = "):  # the same weights in both
            for name, weight in tinygan_names["net"].state_dict().items():
                pytorch_names["net"].state_dict()[name].copy_(torch.tensor(np.asarray(weight).T))


def test_what_pytorch_accepts_is_refused(tinygan_names):
    for _, program in SAME:
        run(program, tinygan_names)
    assert len(REFUSED) == 4
    for program, error in REFUSED:
        with pytest.raises(getattr(errors, error)):
            run(program, dict(tinygan_names))


@PYTORCH_WARNS
def test_pytorch_accepts_what_is_refused(tinygan_names):
    pytest.importorskip("torch")
    for program, _ in [*SAME, *REFUSED]:
        run(program, tinygan_names)
