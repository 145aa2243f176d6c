from __future__ import annotations

import pytest

from tinygan.config.overrides import apply_overrides
from tinygan.errors import ConfigError


def document():
    return {"seed": 1, "training": {"epochs": 5}, "layers": [{"units": 4}, {"units": 8}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-1", -1),
        ("1_000", 1000),
        ("1e-6", 1e-6),
        ("true", True),
        ('"5"', "5"),
        ("'a b'", "a b"),
        ("[1, 2]", [1, 2]),
        ('{ type = "relu" }', {"type": "relu"}),
        ("alternating", "alternating"),
        ("non-saturating", "non-saturating"),
        ("True", "True"),
        ("a=b", "a=b"),
        ("", ""),
        ("[1, 2", "[1, 2"),
        ("5\nepochs = 6", "5\nepochs = 6"),
        ("[" * 5000, "[" * 5000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_is_toml_or_else_a_bare_string(text, value):
    table = document()
    assert apply_overrides(table, [f"training.epochs={text}"]) == {
        ("training", "epochs"): f"training.epochs={text}"
    }
    assert table == document() | {"training": {"epochs": value}}


@pytest.mark.parametrize("key", ["layers.1.units", "layers[1].units", " layers . 1 . units", "layers.01.units"])
def test_list_items_go_by_their_index(key):
    table = document()
    assert list(apply_overrides(table, [f"{key} = 6"])) == [("layers", 1, "units")]
    assert table["layers"] == [{"units": 4}, {"units": 6}]


def test_a_table_made_on_the_way_is_blamed_on_the_override():
    assert list(apply_overrides(document(), ["trainig.a.b=1"])) == [("trainig",)]
    assert list(apply_overrides(document(), ["training.a.b=1"])) == [("training", "a")]


def test_a_whole_list_item_can_be_replaced():
    table = document()
    apply_overrides(table, ['layers.0={type="relu"}'])
    assert table["layers"] == [{"type": "relu"}, {"units": 8}]


def test_overrides_apply_in_order_and_may_add_tables():
    table = document()
    apply_overrides(table, ["seed=2", "output={}", "output.samples=4", "new.table=1", "seed=3"])
    assert table == document() | {"seed": 3, "output": {"samples": 4}, "new": {"table": 1}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", 'override "seed": expected KEY=VALUE, as in training.epochs=5'),
        ("=5", 'override "=5": expected KEY=VALUE, as in training.epochs=5'),
        ("a..b=5", 'override "a..b=5": expected KEY=VALUE, as in training.epochs=5'),
        ("", 'override "": expected KEY=VALUE, as in training.epochs=5'),
        ("seed.x=5", 'override "seed.x=5": seed: is 1 (an integer), which has nothing inside it'),
        ("seed.x.y=5", 'override "seed.x.y=5": seed: is 1 (an integer), which has nothing inside it'),
        ("layers.2.units=5", 'override "layers.2.units=5": layers: expected an index from 0 to 1, got "2"'),
        ("layers.-1=5", 'override "layers.-1=5": layers: expected an index from 0 to 1, got "-1"'),
        ("layers.x=5", 'override "layers.x=5": layers: expected an index from 0 to 1, got "x"'),
        ("layers.²=5", 'override "layers.²=5": layers: expected an index from 0 to 1, got "²"'),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(override, message):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(document(), [override])
    assert str(caught.value) == message


def test_an_empty_list_has_no_index():
    with pytest.raises(ConfigError, match=r'^override "layers.0=1": layers: is an empty list, which has nothing'):
        apply_overrides({"layers": []}, ["layers.0=1"])
