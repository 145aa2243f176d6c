"""The text of a refusal: the source, the key, what was expected and what came.

Every error about an experiment begins with the file (or the override) and the full dotted key, as in
``mnist.toml: training.batch: expected an integer of at least 1, got "100" (a string)``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tinygan.errors import ConfigError

KeyPath = tuple[str | int, ...]
LARGEST_INTEGER = 2**63 - 1  # TOML promises 64 bits and no more


@dataclass(frozen=True)
class Place:
    """Where a value stands, which is how every refusal begins.

    Attributes
    ----------
    file
        The document, as the user knows it.
    overrides
        For each path that was overridden, the override as it was typed: blame that instead of the file.
    path
        Keys and list indices from the root of the document to the value.
    """

    file: str
    overrides: Mapping[KeyPath, str] = field(default_factory=dict)
    path: KeyPath = ()

    def at(self, *steps: str | int) -> Place:
        """Go to a value further inside."""
        return dataclasses.replace(self, path=(*self.path, *steps))

    def refuse(self, reason: str) -> ConfigError:
        """Make the error to raise: source, dotted key, reason.

        Examples
        --------
        >>> print(Place("mnist.toml").at("generator", "layers", 2, "units").refuse("missing"))
        mnist.toml: generator.layers[2].units: missing
        """
        source = self.file
        for length in range(len(self.path) + 1):
            if self.path[:length] in self.overrides:
                source = f"override {show(self.overrides[self.path[:length]])}"
        return ConfigError(": ".join(filter(None, (source, dotted(self.path), reason))))

    def wrong_type(self, expected: str, value: object) -> ConfigError:
        """Refuse a value for its type, and say which type it has."""
        return self.refuse(f"expected {expected}, got {show(value)}{type_name(value)}")

    def out_of_range(self, expected: str, value: object, hint: str = "") -> ConfigError:
        """Refuse a value of the right type."""
        return self.refuse(f"expected {expected}, got {show(value)}{hint}")


def dotted(path: KeyPath) -> str:
    """Write a path as an error shows it: ``generator.layers[2].units``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{key_text(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def quote(text: str) -> str:
    r"""Write a text as TOML does: in double quotes, with control characters escaped.

    Examples
    --------
    >>> print(quote('say "hi"\n'))
    "say \"hi\"\n"
    """
    return json.dumps(text, ensure_ascii=False)


def key_text(key: str) -> str:
    """Write a key as TOML does: with quotes only where it needs them.

    Examples
    --------
    >>> print(key_text("lr_min"), key_text("learning rate"))
    lr_min "learning rate"
    """
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quote(key)


def show(value: object) -> str:
    """Write a value as the user typed it, shortened to what fits in a sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return quote(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return f"a table of {', '.join(map(key_text, value))}" if value else "an empty table"
    return str(value)


def type_name(value: object) -> str:
    """Name the TOML type of a value in brackets, unless `show` has already said it."""
    if isinstance(value, list | dict):
        return ""
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a float"}
    return f" ({names.get(type(value), 'a date or time')})"


def either(words: Iterable[str]) -> str:
    """Write ``"a", "b" or "c"``."""
    *most, last = map(quote, words)
    return f"{', '.join(most)} or {last}" if most else last
