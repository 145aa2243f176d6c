"""A generator whose upper layers start with the weights of an earlier run: the second stage of the TFD experiment."""

from __future__ import annotations

import dataclasses
import os

from tinygan import nn
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.config.layer_config import LayerConfig, described, shapes
from tinygan.errors import CheckpointError, ConfigError, RunError
from tinygan.experiments.build import layers_of
from tinygan.experiments.saved_state import weights_of
from tinygan.experiments.training import Training
from tinygan.runs.run_folder import RunFolder


def load_pretrained(training: Training) -> None:
    """Copy the generator of the run ``generator.pretrained`` into the topmost layers of a training's generator.

    The whole generator of that run is copied, from its newest checkpoint, as in the released code. If the configuration
    names no such run, nothing is done. A relative path starts in the working directory.

    Parameters
    ----------
    training : Training
        Before its first step; on any device.

    Raises
    ------
    ConfigError
        There is no such run, it has no checkpoint, or its generator does not fit. Nothing has been copied.
    """
    config, generator = training.config, training.game.generator
    if config.generator.pretrained is None:
        return
    path = os.path.expanduser(config.generator.pretrained)
    place = f"{config.name}: generator.pretrained: {path}"
    try:
        folder = RunFolder.open(path)
        earlier = load_experiment(folder.config_path)
        _refuse_misfit(place, config, earlier)
        checkpoint = folder.latest_checkpoint()
    except (RunError, CheckpointError) as error:
        raise ConfigError(
            f"{config.name}: generator.pretrained: expected the folder of an earlier run: {error}; train that run "
            "first, or name another: --set generator.pretrained=RUN"
        ) from error
    if checkpoint is None:
        raise ConfigError(f"{place}: the run has no checkpoint yet; let it reach its end: {folder.resume_command()}")
    top: nn.Module = nn.Sequential(*list(layers_of(generator))[-len(earlier.generator.layers) :])
    if earlier.training.classes is not None:  # then `_refuse_misfit` has let only the whole generator pass
        top = generator
    try:
        top.load_state_dict(weights_of("generator", checkpoint.arrays))
    except CheckpointError as error:
        raise ConfigError(f"{place}: {checkpoint.path}: {error}; train that run again") from error
    training.restart_average()


def with_absolute_path(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration with absolute paths: ``generator.pretrained``, ``data.path`` and ``data.labels``.

    Raises
    ------
    ConfigError
        A path cannot be written into a TOML file, which is UTF-8.
    """

    def absolute(key: str, path: str | None) -> str | None:
        path = None if path is None else os.path.abspath(os.path.expanduser(path))
        if any("\ud800" <= character <= "\udfff" for character in path or ""):
            raise ConfigError(f"{config.name}: {key}: {path!r}: expected a path in UTF-8: rename the folder")
        return path

    pretrained = absolute("generator.pretrained", config.generator.pretrained)
    path, labels = absolute("data.path", config.data.path), absolute("data.labels", config.data.labels)
    return dataclasses.replace(
        config,
        generator=dataclasses.replace(config.generator, pretrained=pretrained),
        data=dataclasses.replace(config.data, path=path, labels=labels),
    )


def _refuse_misfit(place: str, config: ExperimentConfig, earlier: ExperimentConfig) -> None:
    """Refuse layers that differ from those of the earlier run, and starting values that would have no effect."""
    ours, theirs = config.generator.layers, earlier.generator.layers
    new = len(ours) - len(theirs)
    if new < 0:
        raise ConfigError(
            f"{place}: its generator has {len(theirs)} layers, which cannot be the topmost of {len(ours)}: list them "
            "all in generator.layers, and the new ones before them"
        )
    reads, read = earlier.training.classes, None if new else config.training.classes
    if reads != read:
        raise ConfigError(
            f"{place}: its generator reads {_labels(reads)}, but generator.layers[{new}], where it begins, reads "
            f"{_labels(read)}: set training.classes as there, or train that run again"
        )
    shape = shapes(ours[:new], (config.generator_inputs,), "generator.layers")[-1]
    if shape != (earlier.generator_inputs,):
        raise ConfigError(
            f"{place}: its generator takes {earlier.generator_inputs} inputs, but below generator.layers[{new}], where "
            f"it begins, there are {described(shape)}"
        )
    for index, (our, their) in enumerate(zip(ours[new:], theirs, strict=True), start=new):
        if _what(our) != _what(their):
            raise ConfigError(
                f"{place}: its generator has {_shown(their)} in the place of generator.layers[{index}], which is "
                f"{_shown(our)}: make them alike"
            )
        for key in our.starting:
            if getattr(our, key) not in (None, 0.0, "none"):  # "none" is no start: there is no bias
                raise ConfigError(f"{place}: generator.layers[{index}] starts as that run ended: remove its {key}")


def _labels(classes: int | None) -> str:
    return "no labels" if classes is None else f"labels of {classes} classes"


def _what(layer: LayerConfig) -> dict[str, object]:
    found = dataclasses.asdict(layer).items()
    return {key: value for key, value in found if key not in layer.starting or value == "none"}


def _shown(layer: LayerConfig) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in _what(layer).items() if value is not False) + " }"
