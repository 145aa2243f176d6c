from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.config.refusals import Place
from tinygan.config.schema import (
    Choice,
    Flag,
    FolderPath,
    Integer,
    ListOf,
    Name,
    Number,
    Section,
    Tagged,
    Text,
    kinds,
    read_section,
)
from tinygan.errors import ConfigError

PLACE = Place("f").at("a")
A_DATE = datetime.date(2014, 6, 10)


@dataclass(frozen=True, kw_only=True)
class Inner(Section):
    size: Annotated[int, Integer(at_least=1)]


@dataclass(frozen=True, kw_only=True)
class Outer(Section):
    inner: Inner
    rate: Annotated[float | None, Number(above=0)] = None


@dataclass(frozen=True, kw_only=True)
class Cat(Section):
    kind: Literal["cat"] = "cat"
    lives: Annotated[int, Integer(at_least=1)] = 9


@dataclass(frozen=True, kw_only=True)
class Dog(Section):
    kind: Literal["dog"] = "dog"
    tricks: Annotated[int, Integer(at_least=0)]


PETS = Tagged("kind", Cat, Dog)


def refusal(kind, value):
    with pytest.raises(ConfigError) as caught:
        kind.read(value, PLACE)
    return str(caught.value).removeprefix("f: a: ")


def test_each_kind_refuses_the_types_it_is_not():
    everything = {"text": "x", "flag": True, "integer": 1, "float": 1.5, "date": A_DATE, "list": [1]}
    everything["table"] = {}
    welcome = {
        Text(): {"text"},
        Name(): {"text"},
        Flag(): {"flag"},
        Choice("x", "y"): {"text"},
        Integer(at_least=0): {"integer"},
        Number(): {"integer", "float"},
        Number(words=("x",)): {"integer", "float", "text"},
        ListOf(Integer(at_least=0)): {"list"},
        PETS: set(),
    }
    for kind, accepted in welcome.items():
        for name, value in everything.items():
            if name in accepted:
                kind.read(value, PLACE)
            elif not (kind is PETS and name == "table"):  # a table is the right type with too little in it
                assert refusal(kind, value).startswith(f"expected {kind.expected}, got ")


@given(st.integers(-(2**70), 2**70), st.integers(-5, 5))
def test_integers_from_the_minimum_to_64_bits_are_accepted(value, minimum):
    if minimum <= value < 2**63:
        assert Integer(at_least=minimum).read(value, PLACE) == value
    else:
        message = refusal(Integer(at_least=minimum), value)
        assert message.startswith(f"expected an integer of at least {minimum}")


@given(st.floats() | st.integers(-3, 3))
def test_numbers_are_accepted_exactly_within_their_limits(value):
    limits = [
        (Number(), "a number", lambda x: True),
        (Number(above=0), "a number above 0", lambda x: x > 0),
        (Number(at_least=1), "a number of at least 1", lambda x: x >= 1),
        (Number(at_least=0, below=1), "a number of at least 0 and below 1", lambda x: 0 <= x < 1),
    ]
    for kind, expected, within in limits:
        if math.isfinite(value) and within(value):
            read = kind.read(value, PLACE)
            assert (read, type(read)) == (value, float)
        else:
            assert refusal(kind, value).startswith(f"expected {expected}, got {value}")


def test_numbers_that_no_float_can_hold():
    assert refusal(Number(), math.inf) == "expected a number, got inf; infinity and nan are refused"
    assert refusal(Number(), 10**400) == (
        "expected a number, got an integer of 1329 bits; infinity and nan are refused"
    )
    assert refusal(Integer(at_least=0), 2**63) == (
        "expected an integer of at least 0 that fits in 64 bits, got an integer of 64 bits"
    )


def test_words_are_matched_exactly_and_suggested():
    assert Choice("a", "b").read("a", PLACE) == "a"
    assert refusal(Choice("uniform", "gaussian"), "Uniform") == (
        'expected "uniform" or "gaussian", got "Uniform"; did you mean "uniform"?'
    )
    assert Number(words=("marginal",)).read("marginal", PLACE) == "marginal"
    assert refusal(Number(words=("marginal",)), "maginal") == (
        'expected a number or "marginal", got "maginal"; did you mean "marginal"?'
    )


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "a.b", "a\n", "é", "x" * 101])
def test_names_that_are_no_safe_folder_are_refused(name):
    assert refusal(Name(), name).startswith('expected a name of letters, digits, "-" and "_", got "')


def test_text_that_utf8_cannot_hold_is_refused():
    assert refusal(Text(), "a\udcff") == "expected text in UTF-8, got bytes that are not"


def test_lists_name_the_index_and_are_never_empty():
    numbers = ListOf(Integer(at_least=0))
    assert numbers.read([1, 2], PLACE) == (1, 2)
    with pytest.raises(ConfigError, match=r"^f: a\[1\]: expected an integer of at least 0, got -2$"):
        numbers.read([1, -2], PLACE)
    assert refusal(numbers, []) == (
        "expected a list with at least one entry, each an integer of at least 0, got an empty list"
    )


def test_sections_nest_and_have_defaults():
    assert read_section(Outer, {"inner": {"size": 2}}, Place("f")) == Outer(inner=Inner(size=2))
    assert read_section(Outer, {"inner": {"size": 2}, "rate": 1}, Place("f")).rate == 1.0
    assert list(kinds(Outer)) == ["inner", "rate"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "f: inner: missing; expected a table of size"),
        ({"inner": {}}, "f: inner.size: missing; expected an integer of at least 1"),
        ({"inner": 3}, "f: inner: expected a table of size, got 3 (an integer)"),
        ({"inner": {"siz": 2}}, 'f: inner.siz: unknown key; did you mean "size"?'),
        ({"iner": {"size": 2}}, 'f: iner: unknown key; did you mean "inner"?'),
        ({"inner": {"size": 2}, "x": 1}, 'f: x: unknown key; expected "inner" or "rate"'),
        ({"inner": {"size": 2}, "inner 2": 1}, 'f: "inner 2": unknown key; did you mean "inner"?'),
    ],
)
def test_sections_refuse_unknown_and_missing_keys(table, message):
    with pytest.raises(ConfigError) as caught:
        read_section(Outer, table, Place("f"))
    assert str(caught.value) == message


def test_a_tag_chooses_the_section():
    assert PETS.read({"kind": "cat"}, PLACE) == Cat()
    assert PETS.read({"kind": "dog", "tricks": 3}, PLACE) == Dog(tricks=3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, 'f: a.kind: missing; expected "cat" or "dog"'),
        ({"knid": "cat"}, 'f: a.knid: unknown key; did you mean "kind"?'),
        ({"kind": 1}, 'f: a.kind: expected "cat" or "dog", got 1 (an integer)'),
        ({"kind": "dot"}, 'f: a.kind: expected "cat" or "dog", got "dot"; did you mean "dog"?'),
        (
            {"kind": "cat", "tricks": 1},
            'f: a.tricks: kind = "cat" has no such key; it belongs to kind = "dog"',
        ),
        ({"kind": "cat", "live": 1}, 'f: a.live: unknown key; did you mean "lives"?'),
    ],
)
def test_a_tagged_table_is_refused_by_name(table, message):
    with pytest.raises(ConfigError) as caught:
        PETS.read(table, PLACE)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [1e39, -1e39, 1e300])
def test_single_precision_has_an_end(value):
    assert Number().read(value, PLACE) == value
    assert "; in single precision that is " in refusal(Number(single=True), value)


def test_single_precision_has_a_smallest_number():
    assert Number(above=0).read(1e-50, PLACE) == 1e-50
    assert refusal(Number(above=0, single=True), 1e-50) == (
        "expected a number above 0, got 1e-50; in single precision that is 0"
    )
    assert Number(above=0, single=True).read(1e-40, PLACE) == 1e-40
    assert Number(at_least=0, single=True).read(1e-50, PLACE) == 1e-50


def test_an_integer_with_an_end_says_why():
    kind = Integer(at_least=1, at_most=9, because="ten do not fit")
    assert kind.read(9, PLACE) == 9
    assert refusal(kind, 10) == "expected an integer from 1 to 9, got 10; ten do not fit"


@pytest.mark.parametrize("value", ["", "a\0b", 1, None, True])
def test_what_is_no_path_of_a_folder(value):
    assert FolderPath().read("runs/digits", PLACE) == "runs/digits"
    assert refusal(FolderPath(), value).startswith("expected ")
