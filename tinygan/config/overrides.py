"""Change single values of an experiment before it is checked: ``training.epochs=5``.

Overrides change the result of `tomllib`, so they follow the same rules as the file. A refusal quotes the override that
caused it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from tinygan.config.refusals import KeyPath, dotted, show, type_name
from tinygan.errors import ConfigError


def apply_overrides(table: dict[str, Any], overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Apply overrides to a parsed document, in place and in order.

    Parameters
    ----------
    table
        The document; it is changed.
    overrides
        Texts of the form ``KEY=VALUE``. The key is dotted, and list items go by their index:
        ``generator.layers.0.units`` or, as errors write it, ``generator.layers[0].units``. The value is TOML,
        or a bare string where a shell has eaten the quotes.

    Returns
    -------
    dict
        For each path that was set (or the table that had to be made for it), the override as typed.

    Raises
    ------
    ConfigError
        When an override has no key, or its key leads through a value or past the end of a list.

    Examples
    --------
    >>> table = {"seed": 1, "layers": [{"units": 4}]}
    >>> apply_overrides(table, ["layers.0.units=8", "training.schedule=alternating"])
    {('layers', 0, 'units'): 'layers.0.units=8', ('training',): 'training.schedule=alternating'}
    >>> table
    {'seed': 1, 'layers': [{'units': 8}], 'training': {'schedule': 'alternating'}}
    """
    return {_apply(table, override): override for override in overrides}


def _apply(table: dict[str, Any], override: str) -> KeyPath:
    key, equals, text = override.partition("=")
    names = [name.strip() for name in re.sub(r"\[(\d+)\]", r".\1", key).split(".")]
    if not equals or not all(names):
        raise ConfigError(f"override {show(override)}: expected KEY=VALUE, as in training.epochs=5")
    container: Any = table
    path: KeyPath = ()
    made: KeyPath | None = None
    for name in names[:-1]:
        step = _step(container, name, path, override)
        path = (*path, step)
        if isinstance(container, dict) and step not in container:
            container[step] = {}  # it may be optional; if it is misspelled, the reader will say so
            made = made or path
        container = container[step]
    step = _step(container, names[-1], path, override)
    container[step] = _parse(text.strip())
    return made or (*path, step)


def _step(container: object, name: str, path: KeyPath, override: str) -> str | int:
    if isinstance(container, dict):
        return name
    where = f"override {show(override)}: {dotted(path)}"
    if not isinstance(container, list) or not container:
        raise ConfigError(f"{where}: is {show(container)}{type_name(container)}, which has nothing inside it")
    if not re.fullmatch("[0-9]{1,9}", name) or int(name) >= len(container):
        raise ConfigError(f"{where}: expected an index from 0 to {len(container) - 1}, got {show(name)}")
    return int(name)


def _parse(text: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text  # a newline in the text may smuggle in more keys
