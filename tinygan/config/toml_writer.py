"""Write TOML, which Python can read (`tomllib`) but not write.

Only what an experiment needs: strings, integers, finite floats, booleans, lists, tables. A table becomes a
``[section]``; a table inside a list becomes an inline table on its own line, so a stack of layers reads as a
stack. The output depends on the values and their order alone: equal configurations give equal bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from tinygan.errors import ConfigError

_SHORT_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def dumps(table: Mapping[str, object]) -> str:
    r"""Write a table as a TOML document that reads back as an equal table.

    Parameters
    ----------
    table
        Keys in the order wanted. Within each table, plain values are written before sub-tables, because in
        TOML every line after a ``[section]`` belongs to that section.

    Returns
    -------
    str
        The document; it ends in a newline.

    Raises
    ------
    ConfigError
        For a value that TOML, or an experiment, cannot hold: None, infinity, nan, an array.

    Examples
    --------
    >>> print(dumps({"seed": 3, "training": {"epochs": 5, "lr": 1e-6}, "layers": [{"units": 2}]}), end="")
    seed = 3
    layers = [
      { units = 2 },
    ]
    <BLANKLINE>
    [training]
    epochs = 5
    lr = 1e-06
    """
    return "\n".join(_section(table, ())).lstrip("\n") + "\n"


def quote(text: str) -> str:
    r"""Write a TOML basic string: in double quotes, with every control character escaped.

    Examples
    --------
    >>> print(quote('say "hi"\n'))
    "say \"hi\"\n"
    """
    return '"' + "".join(_escape(character) for character in text) + '"'


def key_text(key: str) -> str:
    """Write one key: bare where TOML allows it, quoted elsewhere.

    Examples
    --------
    >>> print(key_text("lr_min"), key_text("learning rate"))
    lr_min "learning rate"
    """
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quote(key)


def _section(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    lines = ["", f"[{'.'.join(path)}]"] if path else []
    lines += [f"{key_text(k)} = {_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _section(value, (*path, key_text(key)))
    return lines


def _value(value: object) -> str:
    if isinstance(value, bool):  # before int: in Python True is an int, in TOML it is not
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))  # the shortest text that reads back as the same float64
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key_text(k)} = {_value(v)}" for k, v in value.items())
        return "{ " + pairs + " }" if pairs else "{}"
    if isinstance(value, list | tuple):
        if any(isinstance(item, Mapping) for item in value):
            return "[\n" + "".join(f"  {_value(item)},\n" for item in value) + "]"
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise ConfigError(
        f"an experiment holds strings, integers, finite floats, booleans, lists and tables; got {value!r}"
    )


def _escape(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if character < " " or character == "\x7f":
        return f"\\u{ord(character):04x}"
    return character
