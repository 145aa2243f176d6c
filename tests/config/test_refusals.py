from __future__ import annotations

import datetime
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.config.refusals import Place, dotted, either, key_text, quote, show


def test_a_path_has_dots_brackets_and_quotes():
    assert dotted(("generator", "layers", 2, "units")) == "generator.layers[2].units"
    assert dotted(("a b", "c.d")) == '"a b"."c.d"'
    assert dotted(()) == ""


def test_a_refusal_names_the_file_the_key_and_the_reason():
    place = Place("my.toml").at("training", "batch")
    assert str(place.refuse("missing")) == "my.toml: training.batch: missing"
    assert str(Place("my.toml").refuse("missing")) == "my.toml: missing"
    assert str(place.wrong_type("x", True)) == "my.toml: training.batch: expected x, got true (a boolean)"
    assert str(place.out_of_range("x", 0, "; y")) == "my.toml: training.batch: expected x, got 0; y"


def test_a_refusal_names_the_override_that_set_the_value():
    place = Place("my.toml", {("data",): "data={}", ("data", "set"): "data.set=x", ("seed",): "seed=x"})
    assert str(place.at("data", "set").refuse("no")) == 'override "data.set=x": data.set: no'
    assert str(place.at("data", "sets").refuse("no")) == 'override "data={}": data.sets: no'
    assert str(place.at("name").refuse("no")) == "my.toml: name: no"
    assert str(place.refuse("no")) == "my.toml: no"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (5, "5"),
        (2**63 - 1, "9223372036854775807"),
        (2**64, "an integer of 65 bits"),
        (0.5, "0.5"),
        ("a\n", '"a\\n"'),
        ("x" * 60, '"' + "x" * 60 + '"'),
        ("x" * 61, '"' + "x" * 57 + '..."'),
        ([], "an empty list"),
        ([1, 2], "a list of 2"),
        ({}, "an empty table"),
        ({"a": 1, "b c": 2}, 'a table of a, "b c"'),
        (datetime.date(2014, 6, 10), "2014-06-10"),
    ],
)
def test_values_are_shown_short_and_as_typed(value, shown):
    assert show(value) == shown


def test_a_very_long_integer_is_shown_by_its_length():
    assert show(int("f" * 5000, 16)) == "an integer of 20000 bits"


def test_alternatives_read_as_english():
    assert either(["a"]) == '"a"'
    assert either(["a", "b"]) == '"a" or "b"'
    assert either(["a", "b", "c"]) == '"a", "b" or "c"'


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")))
def test_a_quoted_text_is_one_line_of_toml(text):
    assert "\n" not in quote(text)
    assert "\r" not in quote(text)
    assert tomllib.loads(f"a = {quote(text)}")["a"] == text


def test_keys_are_bare_where_toml_allows_it():
    keys = ["lr_min", "a-1", "", "a.b", "é", 'a"']
    assert [key_text(key) for key in keys] == ["lr_min", "a-1", '""', '"a.b"', '"é"', '"a\\""']
