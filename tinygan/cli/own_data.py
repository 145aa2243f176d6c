"""The options ``--data``, ``--images`` and ``--array``, and the data that they and an experiment name."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from tinygan.cli import output
from tinygan.cli.arguments import add_data_option
from tinygan.config.data import OWN, SCALES
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.config.layer_config import LARGEST_WIDTH
from tinygan.config.refusals import quote
from tinygan.data.dataset import Dataset
from tinygan.errors import ArgumentError


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--images`` and ``--array``: the place of the data."""
    add_data_option(parser)
    own = parser.add_mutually_exclusive_group()
    instead = "instead of the experiment's data"
    own.add_argument("--images", metavar="DIR", help=f"your own images, in a folder, {instead}")
    own.add_argument("--array", metavar="FILE", help=f"your own images, in a .npy file, {instead}")


def own_data(arguments: argparse.Namespace, experiment: str | Path) -> list[str]:
    """Return the overrides of an experiment, or of the configuration of a run, for ``--images`` or ``--array``."""
    for kind in OWN:
        given = getattr(arguments, kind)
        if given is not None:
            if not given:
                raise ArgumentError(f"{OWN[kind]}: expected a path, got nothing")
            path = os.path.abspath(os.path.expanduser(given))
            text = quote(path).replace("\x7f", "\\u007f")  # which TOML wants escaped, and JSON does not
            config = load_experiment(experiment)
            if config.data.set == kind:  # keep the size and the colour
                return [f"data.path={text}"]
            description = f"The settings of {config.name}, on other images"
            scale = {key: getattr(config.data, key) for key in SCALES}  # the generator was made for it
            kept = "".join(f", {key}={json.dumps(value)}" for key, value in scale.items() if value is not None)
            return [f'data={{set="{kind}", path={text}{kept}}}', f"description={description}"]
    return []


def load_data(config: ExperimentConfig, arguments: argparse.Namespace, tell: bool = False) -> Dataset:
    """Load the data of a configuration; ``--images`` or ``--array`` name another place for them.

    Parameters
    ----------
    config : ExperimentConfig
    arguments : argparse.Namespace
        With the options of `add_data_options`.
    tell : bool
        Write on stderr how one's own images were read.
    """
    section = config.data
    for kind in OWN:
        path = getattr(arguments, kind)
        if path is not None:
            if section.set != kind:
                raise ArgumentError(f"{OWN[kind]} {path}: the run was trained on {section.set!r}: leave this out")
            section = dataclasses.replace(section, path=os.path.expanduser(path))
    if section.set in OWN and arguments.data is not None:
        raise ArgumentError(
            f"--data names a folder of data sets, but the images are your own: leave it out; {section.option} names "
            "their place"
        )
    quiet = getattr(arguments, "quiet", True)
    dataset = section.load(arguments.data, not quiet and (section.set not in OWN or output.shows_progress()))
    for note in dataset.notes if tell and not quiet else ():
        output.say(f"data: {note}")
    return dataset


def load_experiment_and_data(
    arguments: argparse.Namespace, experiment: str, overrides: Sequence[str]
) -> tuple[ExperimentConfig, Dataset]:
    """Read an experiment and load its data; fit the generator's last layer and the classes to one's own images."""
    overrides = [*own_data(arguments, experiment), *overrides]
    config = load_experiment(experiment, overrides)
    dataset = load_data(config, arguments, tell=True)
    if arguments.images is None and arguments.array is None:
        return config, dataset
    layers, numbers = config.generator.layers, dataset.train.images.shape[1]
    last = max(index for index, layer in enumerate(layers) if layer.affine)
    fitted, classes = {}, int(dataset.train.labels.max()) + 1
    if classes > 1 and config.training.classes not in (None, classes):
        fitted[f"training.classes={classes}"] = f"training.classes is {classes} here: one for each label of the images"
    if getattr(layers[last], "units", numbers) != numbers:
        if numbers > LARGEST_WIDTH:
            smaller = "choose a smaller size: --set data.size=64" if arguments.images else "make them smaller"
            raise ArgumentError(
                f"an image has {numbers:,} numbers, and a layer has at most {LARGEST_WIDTH:,} units: {smaller}"
            )
        told = f"generator.layers[{last}].units is {numbers} here: one unit for each number of an image"
        fitted[f"generator.layers.{last}.units={numbers}"] = told
    for told in fitted.values() if not arguments.quiet else ():
        output.say(told)
    return load_experiment(experiment, [*overrides, *fitted]), dataset
