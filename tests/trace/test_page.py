"""The page of a trace, without a browser: one complete file, and the facts are those of the trace."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tests.trace.traces import EVERY, failed, game, readme, unrolled
from tinygan.errors import RunError

VOID = {"meta", "input", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """Read a page; fail on a tag that is not closed properly."""

    def __init__(self, source):
        super().__init__()
        self.source, self.open, self.tags = source, [], []
        self.feed(source)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag}: an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, f"<{tag}/> is closed in SVG only"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def data(self):
        return json.loads(re.search(r'json" id="data">(.*?)</script>', self.source, re.DOTALL)[1])


def page(t, folder, **options):
    path = folder / "step.html"
    t.html(path, **options)
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EVERY)
def test_the_page_is_one_complete_file(name, tmp_path):
    found = page(EVERY[name](), tmp_path)
    assert os.listdir(tmp_path) == ["step.html"]
    assert found.source.startswith("<!DOCTYPE html>")
    assert "${" not in re.sub(r"<script>.*?</script>", "", found.source, flags=re.DOTALL)
    for tag, attributes in found.tags:
        assert tag not in ("link", "img", "iframe", "object")
        assert not {"src", "srcset"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    policy = next(attributes["content"] for _, attributes in found.tags if attributes.get("http-equiv"))
    assert policy == "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("name", EVERY)
def test_the_data_agree_with_the_trace(name, tmp_path):
    t = EVERY[name]()
    data = page(t, tmp_path).data()
    assert [row["name"] for row in data["rows"].values()] == [row.operation.name for row in t.rows]
    assert [leaf["name"] for leaf in data["leaves"].values()] == [
        json.loads(json.dumps(leaf.name)) for leaf in t.leaves
    ]
    for row in t.rows:
        shown = data["rows"][str(row.number)]
        assert list(shown["gradients"]) == [str(rule.backward_pass.number) for rule in row.rules]
        users = [other.number for other in t.rows if row in [operand.source for operand in other.operands]]
        assert shown["users"] == users


def test_names_cannot_become_markup(tmp_path):
    found = page(EVERY["odd names"](), tmp_path, title="</title><script>alert(1)</script>")
    assert [tag for tag, _ in found.tags].count("script") == 2
    assert "b" not in [tag for tag, _ in found.tags]


def test_the_formula_is_the_one_in_the_source(tmp_path):
    data = page(game(), tmp_path).data()
    linear = next(row for row in data["rows"].values() if row["name"] == "linear" and row["backward"])
    assert any(rule.startswith("gW = X' gY") for rule in linear["backward"])
    forward, backward = data["sources"][linear["kind"]]
    assert "B.product(x.T, gy) if needs_weight" in backward["code"]
    file, line = backward["place"].split(":")
    lines = (Path(tg.__file__).parents[1] / file).read_text(encoding="utf-8").split("\n")
    assert lines[int(line) - 1].strip() == backward["code"].split("\n")[0]
    assert forward["code"].startswith("def forward")


def test_an_operation_without_source_is_shown(tmp_path):
    space = {}
    methods = "def forward(self, B, x): return 2 * x\n  def backward(self, B, gy): return 2 * gy"
    exec(f"class Double(Operation):\n  {methods}", {"Operation": tg.engine.Operation, "__name__": "typed"}, space)
    with tg.trace() as t:
        space["Double"]()(tg.tensor([1.0], requires_grad=True)).sum().backward()
    (source, _) = page(t, tmp_path).data()["sources"]["typed.Double"]
    assert source == {"name": "forward", "place": "its source is not available", "code": ""}


def test_hashes_prove_who_moved(tmp_path):
    t = game()
    source = page(t, tmp_path).source
    hashes = re.findall(r'<code title="([0-9a-f]{64})">', source)
    for update in t.updates:
        for before, after in update.moved.values():
            assert (before.sha256, after.sha256) in list(pairwise(hashes))
    assert source.count("<b>moved</b>") == 8
    assert source.count("<td>kept ") == 8


def test_the_value_of_a_parameter_is_that_before_the_update(tmp_path):
    t = game()
    data = page(t, tmp_path).data()
    leaf = next(leaf for leaf in t.leaves if leaf.name == "discriminator.2.weight")
    before, after = t.updates[0].moved[leaf]
    shown = data["leaves"][str(t.leaves.index(leaf))]
    assert shown["value"]["norm"] == f"{before.norm:.4g}"
    (move,) = shown["moves"]
    assert (move["step"], move["before"], move["after"]) == (1, before.sha256[:8], after.sha256[:8])


def test_the_check_is_run_if_asked(tmp_path):
    rows = page(readme(), tmp_path).data()["rows"].values()
    assert all("check=True" in row["check"] for row in rows)
    rows = page(readme(), tmp_path, check=True).data()["rows"].values()
    assert all(row["check"].startswith("worst relative error") for row in rows)


def test_a_row_that_failed_has_its_error(tmp_path):
    data = page(failed(), tmp_path).data()
    assert data["rows"]["3"]["state"] == "failed"
    assert data["rows"]["3"]["value"] is None
    assert "weight has 5 rows" in data["moments"][-1]["text"]


@pytest.mark.slow
def test_a_long_trace_stays_small_and_says_so(tmp_path):
    found = page(unrolled(260), tmp_path)
    assert len(found.source) < 2_000_000
    assert "The trace is long" in found.source
    assert "The trace is long" not in page(unrolled(3), tmp_path).source


def test_nan_and_infinity_raise_no_warning(tmp_path):
    x = tg.tensor([np.inf, np.nan, 1.0], requires_grad=True)
    with tg.trace() as t, np.errstate(all="ignore"):
        F.exp(x).sum().backward()
    data = page(t, tmp_path).data()  # a warning is an error in this suite
    assert data["rows"]["1"]["value"]["broken"] == "1 nan, 1 infinite"


def test_an_earlier_page_survives_a_refusal(tmp_path):
    path = tmp_path / "step.html"
    readme().html(path)
    before = path.read_bytes()
    game().html(path)
    assert path.read_bytes() != before
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(RunError, match="Is a directory"):
        readme().html(tmp_path / "folder.html")
    with pytest.raises(RunError, match="No such file"):
        readme().html(tmp_path / "no" / "step.html")
    assert sorted(os.listdir(tmp_path)) == ["folder.html", "step.html"]


def test_the_pictures_of_the_data_are_on_the_page(tmp_path):
    data = page(game(), tmp_path).data()
    samples = next(row for row in data["rows"].values() if row["name"] == "sigmoid")
    assert samples["value"]["pictures"]["side"] == 8
    assert samples["value"]["pictures"]["of"] == 10
