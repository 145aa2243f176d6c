"""Experiments as TOML files: find one, read it strictly, write the resolved one.

The shipped experiments are in `tinygan.experiments`. Their comments name the source of every number: a section of the
paper, or the released code.
"""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from tinygan.config.data import DataConfig
from tinygan.config.overrides import apply_overrides
from tinygan.config.refusals import Place, show
from tinygan.config.schema import Integer, Name, Section, Text, read_section
from tinygan.config.sections import (
    DiscriminatorConfig,
    GeneratorConfig,
    NoiseConfig,
    OutputConfig,
    TrainingConfig,
)
from tinygan.errors import ConfigError, did_you_mean
from tinygan.runs.plain_files import read_plain
from tinygan.runs.run_folder import RunFolder

LARGEST_FILE = 2**20  # bytes; an experiment is a page of text, and a data set given by mistake is not


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Section):
    """Everything that decides what a run does; equal configurations and equal seeds give equal runs.

    The tables of the file are attributes, and so are their keys: ``config.training.batch``. Values have been
    checked when they came from `load_experiment`, and only then.
    """

    name: Annotated[str, Name()]
    description: Annotated[str, Text()] = ""
    seed: Annotated[int, Integer(at_least=0)] = 0
    data: DataConfig
    noise: NoiseConfig
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    training: TrainingConfig
    output: OutputConfig = field(default_factory=OutputConfig)

    @property
    def generator_inputs(self) -> int:
        """How many numbers G reads: the noise, and a one-hot label in a conditional game."""
        return self.noise.size + (self.training.classes or 0)

    def discriminator_inputs(self, pixels: int) -> int:
        """Return how many numbers D reads at once: the pixels of each image of a pack, and its one-hot label."""
        return self.training.packing * (pixels + (self.training.classes or 0))

    def check(self, place: Place) -> None:
        """Refuse a game that does not fit D."""
        self.training.check_with(self.discriminator, place.at("training"))


def load_experiment(name_or_path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment, shipped or your own.

    Parameters
    ----------
    name_or_path
        The name of a shipped experiment, or the path of a TOML file. A shipped name wins over a file of the
        same name in the working directory; write ``./mnist`` for the file.
    overrides
        Changes such as ``"training.epochs=5"`` or ``"generator.layers.0.units=64"``, applied in order.

    Returns
    -------
    ExperimentConfig
        The checked configuration, with defaults for the optional keys that are absent.

    Raises
    ------
    ConfigError
        When there is no such experiment, the file is not TOML, or a key is unknown, missing or does not fit.

    Examples
    --------
    >>> config = load_experiment("mnist", ["training.epochs=5", "training.objective=minimax"])
    >>> config.training.epochs, config.training.objective, config.noise.size
    (5, 'minimax', 100)
    >>> load_experiment("mnist", ["noise.sise=5"])
    Traceback (most recent call last):
    tinygan.errors.ConfigError: override "noise.sise=5": noise.sise: unknown key; did you mean "size"?
    """
    shipped = _shipped_texts()
    if isinstance(name_or_path, str) and name_or_path in shipped:
        return parse_experiment(shipped[name_or_path], f"{name_or_path}.toml", overrides)
    path = Path(name_or_path)
    expected = f"expected {', '.join(shipped)} or the path of a TOML file"
    if path.suffix == ".toml" or os.path.isfile(path):
        return parse_experiment(_read_text(path, expected), str(path), overrides)
    if str(name_or_path) and os.path.isdir(path):
        run = RunFolder(path)
        resume = f"; to go on with this run: {run.resume_command()}" if run.config_path.is_file() else ""
        raise ConfigError(f"{path}: is a folder; {expected}{resume}")
    name = str(name_or_path)
    raise ConfigError(f"{show(name)}: no such experiment; {expected}{did_you_mean(name, shipped)}")


def parse_experiment(text: str, file: str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment from text.

    Parameters
    ----------
    text
        The TOML document.
    file
        What to call it in errors.
    overrides
        As in `load_experiment`.

    Returns
    -------
    ExperimentConfig
        The checked configuration.

    Raises
    ------
    ConfigError
        As in `load_experiment`.

    Examples
    --------
    >>> parse_experiment("name = ", "mine.toml")
    Traceback (most recent call last):
    tinygan.errors.ConfigError: mine.toml: line 1: not valid TOML: Invalid value (at end of document)
    """
    table = _parse_toml(text, file)
    return read_section(ExperimentConfig, table, Place(file, apply_overrides(table, overrides)))


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a TOML file; `expected` says in errors which file that should be.

    Raises
    ------
    ConfigError
        It cannot be read, is larger than 1 MiB, or is not TOML.
    """
    return _parse_toml(_read_text(path, expected), str(path))


def shipped_experiments() -> list[ExperimentConfig]:
    """Read every experiment that comes with tinygan, sorted by name.

    Examples
    --------
    >>> [config.name for config in shipped_experiments() if config.data.set == "digits"]
    ['dcgan-digits', 'digits', 'digits-conditional']
    """
    return [parse_experiment(text, f"{name}.toml") for name, text in _shipped_texts().items()]


def to_toml(config: ExperimentConfig) -> str:
    """Write the resolved configuration, with every default.

    Keys that are None (such as ``max_col_norm``) are absent.

    Parameters
    ----------
    config
        The configuration to write.

    Returns
    -------
    str
        A TOML document; `parse_experiment` reads it back as an equal configuration.

    Raises
    ------
    ConfigError
        For a value no experiment can hold, such as infinity; `load_experiment` lets none through.

    Examples
    --------
    >>> config = load_experiment("mnist")
    >>> parse_experiment(to_toml(config), "config.toml") == config
    True
    """
    import tomli_w  # only who saves an experiment needs it

    try:
        return tomli_w.dumps(dataclasses.asdict(config, dict_factory=_writable), indent=2)
    except TypeError as error:
        raise ConfigError(f"{config.name}: cannot be written as TOML: {error}") from error


def _writable(items: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in items:
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}: an experiment holds finite numbers; got {value}")
    return {key: value for key, value in items if value is not None}  # TOML has no null


def _shipped_texts() -> dict[str, str]:
    folder = resources.files("tinygan.experiments")
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    return {
        file.name.removesuffix(".toml"): file.read_text(encoding="utf-8")
        for file in sorted(files, key=lambda file: file.name.removesuffix(".toml"))
    }


def _read_text(path: Path, expected: str) -> str:
    try:
        content = read_plain(path, LARGEST_FILE)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; {expected}") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigError(f"{path}: expected a page of TOML, more than 1 MiB came") from error
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; {expected}") from error
    except ValueError:  # a null character, which the operating system would take for the end of the path
        raise ConfigError(f"{show(str(path))}: no path; {expected}") from None
    try:
        return content.decode("utf-8-sig")  # some editors on Windows put a byte order mark first
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: not valid TOML: expected text in UTF-8") from None


def _parse_toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = found[1] if found else len(text.splitlines())  # without one, it is "at end of document"
        raise ConfigError(f"{file}: line {line}: not valid TOML: {error}") from None
    except (ValueError, RecursionError):  # an integer of thousands of digits; a thousand nested brackets
        raise ConfigError(
            f"{file}: no page of settings: a number is too long or lists are nested too deeply"
        ) from None
