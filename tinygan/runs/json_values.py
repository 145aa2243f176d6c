"""Convert values to those that JSON can hold, without a silent change of meaning.

Python's encoder turns the key 1 into "1" and refuses NumPy's numbers. Here NumPy scalars become Python numbers, tuples
become lists, and a value that JSON would change is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygan.errors import DtypeError

# Deeper than any state or record, and shallow enough for every JSON parser. A cycle ends here, too.
_DEEPEST = 100


def json_value(value: object, name: str, *, non_finite_as_null: bool = False, depth: int = 0) -> Any:
    """Return `value` as dict, list, str, int, float, bool or None, all the way down.

    Parameters
    ----------
    value : object
        Mappings with text keys, lists, tuples, text, numbers, NumPy scalars and None, nested.
        Integers may have more than 64 bits.
    name : str
        What the value is called in an error.
    non_finite_as_null : bool
        Write nan and the infinities, which are not part of JSON, as null.
    depth : int
        How deep `value` is nested; used by the recursion only.

    Raises
    ------
    DtypeError
        When a value, at any depth, has no place in JSON.

    Examples
    --------
    >>> json_value({"loss": np.float64(0.5), "shape": (2, np.int64(3))}, "record")
    {'loss': 0.5, 'shape': [2, 3]}
    >>> json_value({"seen": {1, 2}}, "record")
    Traceback (most recent call last):
    ...
    tinygan.errors.DtypeError: record['seen'] is a set; expected a dict, list, text, number, bool or None
    """
    if depth > _DEEPEST:
        raise DtypeError(f"{name} is nested deeper than {_DEEPEST} levels; does it contain itself?")
    inner = partial(json_value, non_finite_as_null=non_finite_as_null, depth=depth + 1)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DtypeError(f"{name} has the key {key!r}; expected text: JSON would turn it into text")
        return {str(key): inner(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [inner(item, f"{name}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, float) and non_finite_as_null and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.ndarray):
        raise DtypeError(
            f"{name} is an array of shape {value.shape}; expected a dict, list, text, number, bool or None: "
            "convert it with .tolist(), or store it among the arrays"
        )
    raise DtypeError(
        f"{name} is a {type(value).__name__}; expected a dict, list, text, number, bool or None"
    )
