"""The site, as far as it can be checked without Sphinx: what it must show is there. ``.ci/run`` builds it."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan
import tinygan.functional as F
from docs._ext import api, formulas, gallery, pages, site

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = site.generated_pages()
ENTRIES = re.findall(r"^\.\. (?:auto)?(?:class|function|data):: (.*)$", "".join(TEXTS.values()), re.MULTILINE)
HOMES = api.homes()
TOCTREES = [DOCS / "index.rst", DOCS / "api.rst"]
# Packages for those who change tinygan: their names are not documented for use.
INNER = {"cli", "config", "experiments", "learn", "parallel", "pictures", "report", "runs"}


def in_toctrees():
    """Return the entries of the hand-written lists of pages."""
    text = "".join(path.read_text("utf-8") for path in TOCTREES)
    return re.findall(r"^   (?:\w+ <)?([\w./-]+)>?$", text, re.MULTILINE)


# ---------------------------------------------------------------------- pages


def test_every_page_is_in_one_list():
    listed = in_toctrees()
    assert len(listed) == len(set(listed))
    written = {path.stem for path in DOCS.glob("*.md")} | {"api"}
    assert {name for name in listed if "/" not in name} == written


def test_every_page_of_the_api_is_listed():
    names = {name.removeprefix("generated/api/") for name in in_toctrees() if name.startswith("generated/api/")}
    assert names == set(api.PACKAGES)


def test_every_package_is_documented_or_inner():
    packages = {path.parent.name for path in Path(tinygan.__file__).parent.glob("*/__init__.py")}
    documented = {name.split(".")[1] for name in api.PACKAGES if "." in name}
    assert packages - INNER == documented & packages
    assert not documented & INNER


@pytest.mark.parametrize("package", api.PACKAGES)
def test_every_public_name_has_an_entry(package):
    names = api.public_names(importlib.import_module(package))
    assert names
    for name in names:
        assert ENTRIES.count(HOMES[package, name]) == 1, name


def test_links_that_leave_the_folder_have_pages():
    for path in DOCS.glob("*.md"):
        for target in pages.targets(path.read_text(encoding="utf-8"), path):
            page = pages.page_of(target)
            assert page in TEXTS or (DOCS / page).is_file() or page.endswith(".rst"), (path, target)
            if page.endswith(".rst"):
                assert target.is_file()  # a program, whose page sphinx-gallery makes


def test_links_are_sent_to_pages_but_code_is_not():
    text = "[a](../tinygan/gan/step.py) [b](trace.md#x) [c](https://x.org) [d](#e) `[f](../g.py)` ![h](../i.png)"
    expected = (
        "[a](/generated/files/tinygan/gan/step.py.md) [b](/trace.md#x) [c](https://x.org) [d](#e) `[f](../g.py)` "
        "![h](/../i.png)"
    )
    assert pages.relink(text, DOCS / "why.md") == expected


@pytest.mark.parametrize("path", sorted(pages.EXPERIMENTS.glob("*.toml")), ids=lambda path: path.stem)
def test_an_experiment_keeps_its_lines_and_comments(path):
    toml = path.read_text(encoding="utf-8")
    page = pages.experiment_page(toml)
    code = "\n".join(re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert tomllib.loads(code) == tomllib.loads(toml)
    kept = page.replace("\\", "").split()
    for line in toml.splitlines():
        if line.startswith("#"):
            assert " ".join(line.removeprefix("#").split()) in " ".join(kept)
        elif line.strip():
            assert line in code


def test_pages_of_an_earlier_time_are_removed(tmp_path, monkeypatch):
    for module in (pages, gallery):
        monkeypatch.setattr(module, "DOCS", tmp_path, raising=False)
    monkeypatch.setattr(pages, "GENERATED", tmp_path / "generated")
    monkeypatch.setattr(gallery, "SOURCES", tmp_path / "generated" / "sources")
    site.write({"generated/api/a.rst": "1", "generated/files/b.md": "2"}, [])
    before = (tmp_path / "generated/api/a.rst").stat().st_mtime_ns
    site.write({"generated/api/a.rst": "1"}, [])
    assert not (tmp_path / "generated/files/b.md").exists()
    assert (tmp_path / "generated/api/a.rst").stat().st_mtime_ns == before


def test_a_link_from_the_source_back_names_the_right_package():
    link = '<a href="../../api/{}.html#tinygan.{}">'
    body = (
        link.format("tinygan.errors", "ShapeError") + link.format("tinygan", "Tensor") + link.format("tinygan.nn", "x")
    )
    corrected = site.correct_links(body, {"tinygan.errors.ShapeError", "tinygan.Tensor"})
    assert corrected == body.replace("#tinygan.ShapeError", "#tinygan.errors.ShapeError")


# ---------------------------------------------------------------------- gallery


PROGRAMS = sorted(path for path in (ROOT / "examples").rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_in_the_gallery_is_the_program(path, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "card", lambda program, title: ROOT / "card.png")
    text = gallery.stage(path)
    original, staged = ast.parse(path.read_text("utf-8")), ast.parse(text)
    assert gallery.has_title(ast.get_docstring(staged))
    assert ast.dump(ast.Module(staged.body[1:], [])) == ast.dump(ast.Module(original.body[1:], []))
    if picture := gallery.picture_of(path):
        assert path.parent.name == "lessons" or f"../{picture.relative_to(ROOT).as_posix()}" in text


def test_docstrings_of_programs_are_restructuredtext():
    core = pytest.importorskip("docutils.core")
    for path in PROGRAMS:
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        if not gallery.has_title(docstring):  # the errors are printed
            settings = {"halt_level": 2, "syntax_highlight": "none"}
            core.publish_doctree(gallery.as_rst(docstring), settings_overrides=settings)


def test_a_docstring_keeps_its_words():
    text = "Table 2: a *star*, |x|.\n\nUsage: python a.py [B]\n       python a.py\n\nUses `b_` and ``c``."
    rst = gallery.as_rst(text, "The end.")
    assert rst.startswith("Table 2\n=======\n\nTable 2: a \\*star\\*, \\|x\\|.")
    assert ".. code-block:: none\n\n    python a.py [B]\n    python a.py\n\n" in rst
    assert rst.endswith("Uses `b_` and ``c``.\n\nThe end.\n")


# ---------------------------------------------------------------------- formulas

VALUES = {"x": 0.7, "y": -1.3, "m": 2.5, "b1": 0.9, "n": 4.0}


def expressions():
    """Draw a formula as docstrings write it, and the same in Python."""
    leaves = st.sampled_from([*VALUES, "2", "0.5"]).map(lambda leaf: (leaf, leaf))

    def larger(inner):
        pairs = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(st.sampled_from("+-"), pairs).map(
                lambda drawn: tuple(f"({a} {drawn[0]} {b})" for a, b in zip(*drawn[1], strict=True))
            ),
            pairs.map(lambda pair: (f"({pair[0][0]} {pair[1][0]})", f"({pair[0][1]} * {pair[1][1]})")),
            pairs.map(lambda pair: (f"({pair[0][0]} / {pair[1][0]})", f"({pair[0][1]} / {pair[1][1]})")),
            inner.map(lambda one: (f"({one[0]})^2", f"({one[1]})**2")),
            inner.filter(lambda one: "|" not in one[0]).map(lambda one: (f"|{one[0]}|", f"abs({one[1]})")),
            inner.map(lambda one: (f"(-{one[0]})", f"(-{one[1]})")),
        )

    return st.recursive(leaves, larger, max_leaves=8)


def value_of(latex):
    """Compute LaTeX as Python."""
    code = latex.replace(r"\left|", "abs(").replace(r"\right|", ")").replace(r"\left", "").replace(r"\right", "")
    code = re.sub(r"_\{(\d)\}", r"\1", code.replace(r"\, ", "*").replace(r"\frac", "frac")).replace("^", "**")
    code = code.translate({ord("{"): "(", ord("}"): ")"})
    return eval(code, {"frac": lambda a: lambda b: a / b, **VALUES})


@given(expressions())
def test_a_typeset_formula_has_the_same_value(pair):
    text, code = pair
    try:
        expected = eval(code, dict(VALUES))
    except (ZeroDivisionError, OverflowError):
        return
    [latex] = re.findall(r"^:math:`(.*)`$", formulas.rst_of(text))
    assert value_of(latex) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "rst"),
    [
        ("y = e^x / sum e^x along an axis", r":math:`y = \frac{e^{x}}{\sum\, e^{x}}` along an axis"),
        ("gW = X' gY", r":math:`g_{W} = X^{\top} \, g_{Y}`"),
        ("y = x^(1/2)", r":math:`y = \sqrt{x}`"),
        ("gy goes to the larger one", ":math:`g_{y}` goes to the larger one"),
        ("gx_k = gy_k + gy_(k+1) + ...", r":math:`g_{x_{k}} = g_{y_{k}} + g_{y_{k + 1}} + \dots`"),
        ("it is a sum", "it is a sum"),
    ],
)
def test_formulas_of_docstrings(text, rst):
    assert formulas.rst_of(text) == rst


def test_every_operation_with_a_function_shows_both_formulas():
    functions = [getattr(F, name) for name in F.__all__]
    found = [(function, site.operation_of(function)) for function in functions]
    found = [(function, operation) for function, operation in found if operation]
    assert len(found) > 45
    for function, operation in found:
        table = "\n".join(formulas.side_by_side(operation))
        assert table.count("\n   * - ") == 2, function
        assert "     - \n" not in table, function  # a backward formula, too
    assert site.operation_of(F.relu).__name__ == "ReLU"
    assert site.operation_of(F.flatten) is None


def test_a_docstring_is_typeset_only_where_it_is_a_formula():
    lines = ["Return 1 / (1 + e^-x) elementwise.", "", "Of |x|, a ``|y|``, with t::", "", "    m = b1 m", "    v = m^2"]
    lines += ["", "Examples", "--------", ">>> a | b", ""]
    formulas.typeset(lines)
    text = "\n".join(lines)
    assert text.startswith(r"Return :math:`\frac{1}{1 + e^{-x}}` elementwise.")
    assert "Of \\|x\\|, a ``|y|``, with t:\n" in text
    assert ".. math:: m = b_{1} \\, m\n" in text
    assert ">>> a | b" in text
    other = ["Return a tensor, or x.", "", "In code::", "", "    for x in y: z = 1", ""]
    before = list(other)
    formulas.typeset(other)
    assert "\n".join(other).strip() == "\n".join(before).strip()


def test_a_sentence_in_a_table_is_whole():
    table = TEXTS["generated/api/tinygan.optim.rst"].partition(".. autoclass")[0]
    assert re.search(r"`CosineDecay <.*>`\n     - Half a period .*\(Loshchilov and Hutter, 2017, eq.*\)\n", table)
