"""Read parsed TOML strictly into frozen dataclasses.

A section of an experiment is a dataclass whose annotations say what each key may hold::

    @dataclass(frozen=True, kw_only=True)
    class Training(Section):
        epochs: Annotated[int, Integer(at_least=1)]
        k: Annotated[int, Integer(at_least=1)] = 1
        schedule: Literal["alternating", "simultaneous"] = "alternating"

A `Literal`, a bool and another `Section` need no more than their type. A field without a default is a required key.
`read_section` refuses everything else: a run whose misspelled key is ignored trains with the wrong settings. Every
refusal is a `ConfigError` that begins with the file (or the override) and the full dotted key.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tinygan.config.refusals import LARGEST_INTEGER, Place, either, quote
from tinygan.errors import did_you_mean, nearest


class Kind(ABC):
    """What one key may hold. `expected` completes the sentence "expected ..."."""

    expected: str

    @abstractmethod
    def read(self, value: object, place: Place) -> Any:
        """Return the value as the dataclass holds it, or raise `place`'s refusal."""


class Text(Kind):
    """Any text."""

    expected = "a string"

    def read(self, value: object, place: Place) -> str:
        """Accept strings that can be written to a UTF-8 file."""
        if not isinstance(value, str):
            raise place.wrong_type(self.expected, value)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise place.refuse("expected text in UTF-8, got bytes that are not")
        return value


class FolderPath(Text):
    """The path of a folder or a file."""

    expected = "the path of a folder or a file"

    def read(self, value: object, place: Place) -> str:
        """Accept what a path can be: text that is not empty and holds no null character."""
        text = super().read(value, place)
        if not text or "\0" in text:
            raise place.out_of_range(self.expected, value)
        return text


class Name(Kind):
    """A name that is safe as a folder's name on every system."""

    expected = 'a name of letters, digits, "-" and "_"'

    def read(self, value: object, place: Place) -> str:
        """Accept names."""
        if not isinstance(value, str):
            raise place.wrong_type(self.expected, value)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value):
            raise place.out_of_range(self.expected, value)
        return value


class Flag(Kind):
    """True or false."""

    expected = "true or false"

    def read(self, value: object, place: Place) -> bool:
        """Accept booleans only: 1 and "yes" are refused."""
        if not isinstance(value, bool):
            raise place.wrong_type(self.expected, value)
        return value


class Choice(Kind):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.expected = either(words)

    def read(self, value: object, place: Place) -> str:
        """Accept the words, spelled exactly."""
        if not isinstance(value, str):
            raise place.wrong_type(self.expected, value)
        if value not in self.words:
            raise place.out_of_range(self.expected, value, did_you_mean(value, self.words))
        return value


class Integer(Kind):
    """An integer; true and 1.0 are refused. `because` gives the reason for `at_most`."""

    def __init__(self, *, at_least: int, at_most: int = LARGEST_INTEGER, because: str = "") -> None:
        self.at_least, self.at_most = at_least, at_most
        self.expected = f"an integer of at least {at_least}"
        self.reason = f"; {because}" if because else ""

    def read(self, value: object, place: Place) -> int:
        """Accept integers from `at_least` to the largest that TOML can hold."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise place.wrong_type(self.expected, value)
        if value > LARGEST_INTEGER:
            raise place.out_of_range(f"{self.expected} that fits in 64 bits", value)
        if value < self.at_least:
            raise place.out_of_range(self.expected, value)
        if value > self.at_most:
            raise place.out_of_range(f"an integer from {self.at_least} to {self.at_most}", value, self.reason)
        return value


class Number(Kind):
    """A finite real number, or an integer. `words` are texts that are allowed instead.

    What is `single` is used in single precision, and must be finite and within the limits there, too: 1e-50 is 0, and
    1e39 is infinite.
    """

    def __init__(
        self,
        *,
        above: float = -math.inf,
        at_least: float = -math.inf,
        below: float = math.inf,
        words: tuple[str, ...] = (),
        single: bool = False,
    ) -> None:
        self.above, self.at_least, self.below, self.words, self.single = above, at_least, below, words, single
        named = {"above": above, "of at least": at_least, "below": below}
        limits = [f"{words} {limit:g}" for words, limit in named.items() if math.isfinite(limit)]
        self.expected = f"a number {' and '.join(limits)}".rstrip()
        if words:
            *most, last = map(quote, words)
            self.expected = f"{', '.join([self.expected, *most])} or {last}"

    def read(self, value: object, place: Place) -> float | str:
        """Accept numbers within the limits, and the words."""
        if self.words and isinstance(value, str):
            if value not in self.words:
                raise place.out_of_range(self.expected, value, did_you_mean(value, self.words))
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise place.wrong_type(self.expected, value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise place.out_of_range(self.expected, value, "; infinity and nan are refused")
        if not self._holds(number):
            raise place.out_of_range(self.expected, value)
        if self.single:
            single = single_precision(number)
            if not (math.isfinite(single) and self._holds(single)):
                raise place.out_of_range(self.expected, value, f"; in single precision that is {single:g}")
        return number

    def _holds(self, number: float) -> bool:
        return number > self.above and number >= self.at_least and number < self.below


def single_precision(number: float) -> float:
    """Return the nearest number that 32 bits can hold; infinity for what is too large.

    Examples
    --------
    >>> single_precision(0.5), single_precision(1e-50), single_precision(-1e50)
    (0.5, 0.0, -inf)
    """
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


class RangeOf(Kind):
    """One of a few ranges, each a list of its two ends."""

    def __init__(self, *ranges: tuple[float, float]) -> None:
        self.ranges = ranges
        self.expected = " or ".join(f"[{low:g}, {high:g}]" for low, high in ranges)

    def read(self, value: object, place: Place) -> tuple[float, float]:
        """Accept the ranges, also with integers as ends."""
        if not isinstance(value, list):
            raise place.wrong_type(self.expected, value)
        for known in self.ranges:
            if value == list(known) and not any(isinstance(end, bool) for end in value):
                return known
        raise place.refuse(f"expected {self.expected}, got {value!r:.60}")


class ListOf(Kind):
    """A list of at least one item, all of one kind."""

    def __init__(self, item: Kind) -> None:
        self.item = item
        self.expected = f"a list with at least one entry, each {item.expected}"

    def read(self, value: object, place: Place) -> tuple[Any, ...]:
        """Read every item; an error names its index."""
        if not isinstance(value, list):
            raise place.wrong_type(self.expected, value)
        if not value:
            raise place.out_of_range(self.expected, value)
        return tuple(self.item.read(item, place.at(index)) for index, item in enumerate(value))


class OneOrMore(ListOf):
    """As `ListOf`; one table alone is a list of one."""

    def __init__(self, item: Kind) -> None:
        super().__init__(item)
        self.expected = f"{item.expected}, or a list of them"

    def read(self, value: object, place: Place) -> tuple[Any, ...]:
        """Read every item."""
        return (self.item.read(value, place),) if isinstance(value, dict) else super().read(value, place)


class Section:
    """The base of every dataclass that `read_section` fills."""

    def check(self, place: Place) -> None:
        """Raise `place`'s refusal where keys that are fine alone do not fit together."""


SectionT = TypeVar("SectionT", bound=Section)


class Table(Kind):
    """A table that becomes one `Section`."""

    def __init__(self, section: type[Section]) -> None:
        self.section = section
        self.expected = f"a table of {', '.join(kinds(section))}"

    def read(self, value: object, place: Place) -> Section:
        """Read the table strictly."""
        if not isinstance(value, dict):
            raise place.wrong_type(self.expected, value)
        return read_section(self.section, value, place)


class Tagged(Kind):
    """A table whose key `tag` says which `Section` it becomes: layers by ``type``, optimizers by ``kind``."""

    def __init__(self, tag: str, *sections: type[Section]) -> None:
        self.tag = tag
        self.sections = {_default(section, tag): section for section in sections}
        self.word = Choice(*self.sections)
        self.expected = f"a table such as {{ {tag} = {quote(next(iter(self.sections)))}, ... }}"

    def read(self, value: object, place: Place) -> Section:
        """Find the section by its tag, then read the table strictly."""
        if not isinstance(value, dict):
            raise place.wrong_type(self.expected, value)
        if self.tag not in value:
            key = nearest(self.tag, value)
            if key is not None:
                raise place.at(key).refuse(f"unknown key{did_you_mean(key, [self.tag])}")
            raise place.at(self.tag).refuse(f"missing; expected {self.word.expected}")
        name = self.word.read(value[self.tag], place.at(self.tag))
        for key in value:
            owners = [word for word, section in self.sections.items() if key in kinds(section)]
            if owners and name not in owners:
                raise place.at(key).refuse(
                    f"{self.tag} = {quote(name)} has no such key; it belongs to {self.tag} = {either(owners)}"
                )
        return read_section(self.sections[name], value, place)


def read_section(section: type[SectionT], table: Mapping[str, object], place: Place) -> SectionT:
    """Fill a dataclass from a table, refusing whatever its annotations do not allow.

    Parameters
    ----------
    section
        A frozen dataclass whose fields are annotated with kinds (see the top of this file).
    table
        What `tomllib` made of the text.
    place
        Where the table stands.

    Returns
    -------
    Section
        An instance of `section`; absent optional keys have their defaults.

    Raises
    ------
    ConfigError
        For the first key that is unknown, missing, of the wrong type or out of range, or does not fit the
        others.

    Examples
    --------
    >>> from tinygan.config.sections import NoiseConfig
    >>> read_section(NoiseConfig, {"kind": "uniform", "size": 5}, Place("a.toml").at("noise"))
    NoiseConfig(kind='uniform', size=5)
    >>> read_section(NoiseConfig, {"kind": "uniform", "sise": 5}, Place("a.toml").at("noise"))
    Traceback (most recent call last):
    tinygan.errors.ConfigError: a.toml: noise.sise: unknown key; did you mean "size"?
    """
    allowed = kinds(section)
    for key in table:
        if key not in allowed:  # before "missing": a misspelling is both, and this is the helpful half
            absent_first = sorted(allowed, key=lambda name: name in table)
            hint = did_you_mean(key, absent_first) or f"; expected {either(allowed)}"
            raise place.at(key).refuse(f"unknown key{hint}")
    values = {}
    for name, kind in allowed.items():
        if name in table:
            values[name] = kind.read(table[name], place.at(name))
        elif _default(section, name) is dataclasses.MISSING:
            raise place.at(name).refuse(f"missing; expected {kind.expected}")
    result = section(**values)
    result.check(place)
    return result


def kinds(section: type[Section]) -> dict[str, Kind]:
    """Return what each key of a section may hold, in the order of the fields."""
    return _kinds(section)  # type: ignore[arg-type]  # mypy believes a class of dataclasses unhashable


@functools.cache
def _kinds(section: type[Section]) -> dict[str, Kind]:
    hints = get_type_hints(section, include_extras=True)
    names = [field.name for field in dataclasses.fields(section)]  # type: ignore[arg-type]
    return {name: _kind(hints[name]) for name in names}


def _kind(hint: Any) -> Kind:
    """Return the kind that an annotation names: a type without `Annotated` is its own kind."""
    if hasattr(hint, "__metadata__"):
        kind: Kind = hint.__metadata__[0]
        return kind
    if get_origin(hint) is Literal:
        return Choice(*get_args(hint))
    return Flag() if hint is bool else Table(hint)


def _default(section: type[Section], name: str) -> Any:
    """Return the default of a field, or MISSING for a required one."""
    field = section.__dataclass_fields__[name]  # type: ignore[attr-defined]
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
