"""Which settings of an experiment decide its bits, and which may change while it runs.

A run can get a later end, another name or other outputs, and is still the same run. With another learning rate it is
not: it was trained with the old one so far, and no file would record that.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from tinygan.config.experiment import ExperimentConfig, parse_experiment, to_toml
from tinygan.config.sections import OutputConfig


def decisive_toml(config: ExperimentConfig) -> str:
    """Write the settings that decide the bits of a run; the same text for any two configurations of one run.

    What may differ is set to a fixed value: the name and the description, ``training.epochs``, the table ``output``,
    ``training.threads`` (which is recorded, and warned of, with the machine), ``generator.pretrained`` (which has done
    its work before the first step), and ``data.path`` and ``data.labels`` (the images may move; a checkpoint has their
    SHA-256).

    Parameters
    ----------
    config : ExperimentConfig

    Returns
    -------
    str
        An experiment in TOML.

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> longer, faster = ["training.epochs=2000"], ["generator.optimizer.lr=0.2"]
    >>> decisive_toml(load_experiment("mnist")) == decisive_toml(load_experiment("mnist", longer))
    True
    >>> decisive_toml(load_experiment("mnist")) == decisive_toml(load_experiment("mnist", faster))
    False
    """
    settled = dataclasses.replace(
        config,
        name="decisive",
        description="",
        data=dataclasses.replace(config.data, path=None, labels=None),
        generator=dataclasses.replace(config.generator, pretrained=None),
        training=dataclasses.replace(config.training, epochs=1, threads=None),
        output=OutputConfig(),
    )
    return to_toml(settled)


def changes(recorded: str, config: ExperimentConfig) -> list[str]:
    """List the decisive settings that have changed.

    Parameters
    ----------
    recorded : str
        The result of `decisive_toml`, of this version or an earlier one; a key that is absent has its default.
    config : ExperimentConfig
        The settings now.

    Returns
    -------
    list of str
        For each setting a part of a sentence with its dotted name; empty when it is the same run.

    Raises
    ------
    ConfigError
        This version cannot read `recorded`.

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> recorded = decisive_toml(load_experiment("mnist"))
    >>> changes(recorded, load_experiment("mnist", ["training.k=2", "training.epochs=5"]))
    ['training.k was 1 and is now 2']
    """
    before = leaves(parse_experiment(recorded, "the recorded settings"))
    now = leaves(parse_experiment(decisive_toml(config), "the settings"))
    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name} was {_said(before.get(name))} and is now {_said(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _said(value: object) -> str:
    return "absent" if value is None else json.dumps(value)  # TOML writes these values so, too


def leaves(config: ExperimentConfig) -> dict[str, object]:
    """Return every setting under the name that ``--set`` takes, without those that are absent.

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> leaves(load_experiment("mnist"))["generator.layers.0.units"]
    1200
    """
    return dict(_walk(dataclasses.asdict(config)))


def _walk(value: Any, *path: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _walk(item, *path, key)
    elif value is not None:
        yield ".".join(map(str, path)), value
