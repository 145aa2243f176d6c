from __future__ import annotations

import math
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.config.toml_writer import dumps, key_text, quote
from tinygan.errors import ConfigError

texts = st.text(st.characters(exclude_categories=["Cs"]))
finite_floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | finite_floats
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_every_document_reads_back_equal(document):
    read = tomllib.loads(dumps(document))
    assert read == document
    assert repr(sort(read)) == repr(sort(document))  # 1 == 1.0 == True, but their types differ


def sort(value):
    """Order the keys: plain values are written before tables, so reading changes their order."""
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value)}
    return [sort(item) for item in value] if isinstance(value, list) else value


@given(texts)
def test_a_quoted_text_stays_on_one_line_and_reads_back(text):
    assert "\n" not in quote(text)
    assert "\r" not in quote(text)
    assert tomllib.loads(f"a = {quote(text)}")["a"] == text


def test_the_layout_is_the_one_of_the_shipped_files():
    table = {
        "seed": 3,
        "generator": {"optimizer": {"lr": 1e-6}, "layers": [{"type": "relu"}, {"p": 0.5}]},
        "empty": {},
        "list": [1, 2],
    }
    assert dumps(table) == (
        "seed = 3\nlist = [1, 2]\n\n"
        '[generator]\nlayers = [\n  { type = "relu" },\n  { p = 0.5 },\n]\n\n'
        "[generator.optimizer]\nlr = 1e-06\n\n[empty]\n"
    )


def test_a_document_without_plain_values_begins_with_its_first_section():
    assert dumps({"a": {"b": True}}) == "[a]\nb = true\n"


def test_a_numpy_float_that_is_a_float_is_written_as_its_number():
    assert dumps({"lr": np.float64(0.1)}) == "lr = 0.1\n"


@pytest.mark.parametrize("value", [None, math.inf, -math.inf, math.nan, np.float32(1), np.zeros(2), b"x"])
def test_what_no_experiment_holds_is_refused(value):
    with pytest.raises(ConfigError, match=r"^an experiment holds strings, integers, finite .*; got "):
        dumps({"a": {"b": [value]}})


def test_keys_are_bare_where_toml_allows_it():
    keys = ["lr_min", "a-1", "", "a.b", "é", 'a"']
    assert [key_text(key) for key in keys] == ["lr_min", "a-1", '""', '"a.b"', '"é"', '"a\\""']
