"""A sweep: the runs of one experiment with each combination of some settings and each of some seeds.

A TOML file describes it::

    experiment = "digits"
    seeds = [1, 2, 3]

    [set]
    training.epochs = 50
    generator.optimizer.lr = [0.002, 0.001]

A list is a list of values: each is combined with those of the other lists. The name of a run folder has the values.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tinygan.config.decisive import leaves
from tinygan.config.experiment import ExperimentConfig, load_experiment, read_toml
from tinygan.config.refusals import Place, key_text, quote
from tinygan.config.schema import Choice, FolderPath, Integer, Kind, ListOf, Section, Text, read_section
from tinygan.errors import ConfigError, RunError
from tinygan.experiments.pretrained import with_absolute_path
from tinygan.runs.run_folder import RunFolder

RUNS = Path("runs")
# The numbers of a run that a table can have: those of its last epoch, and the measures of its last diagnosis.
METRICS = (
    *("validation_log_likelihood", "classifier_accuracy", "precision", "recall", "classes_covered", "modes_recovered"),
    *("nearest_ratio", "spread", "d_accuracy_held_out", "jsd_bound_held_out", "discriminator_loss", "generator_loss"),
    *("value", "d_real", "d_fake", "d_accuracy", "score_real", "score_fake", "score_difference"),
    *("discriminator_gradient_norm", "generator_gradient_norm"),
)
SHOWN = tuple(METRICS[i] for i in (0, 1, 2, 3, 10, 11))  # without a choice, of those that the runs have
FREE = re.compile(r"name|description|training\.(epochs|threads)|output\..*")  # may change in a run: `config.decisive`
ONE_THREAD = "training.threads=1"  # by default: the bits must not depend on the number of runs at once
LONGEST = 40  # characters of a value in the name of a folder
PATIENCE = 30  # seconds for a run of a killed sweep to save its checkpoint and end


class Settings(Kind):
    """A table of settings: each a value, or a list of values. Tables may be nested, as in an experiment.

    It is read as the values of each dotted key, written as ``--set`` takes them.
    """

    expected = "a table of settings, each with a value or a list of values"

    def read(self, value: object, place: Place) -> dict[str, tuple[str, ...]]:
        """Accept tables whose lists are not empty and have no value twice."""
        if not isinstance(value, dict):
            raise place.wrong_type(self.expected, value)
        found: dict[str, tuple[str, ...]] = {}
        for key, item in value.items():
            inside, name = place.at(key), re.sub(r"\[(\d+)\]", r".\1", key)
            if isinstance(item, dict):
                new = {f"{name}.{rest}": values for rest, values in self.read(item, inside).items()}
            else:
                new = {name: self._values(item, inside)}
            for one, other in itertools.product(new, found):
                if f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}."):
                    raise inside.refuse(f"sets {one}, and {other} is set already; expected each setting once")
            found |= new
        return found

    def _values(self, item: object, place: Place) -> tuple[str, ...]:
        values = tuple(map(_toml, item if isinstance(item, list) else [item]))
        if not values:
            raise place.out_of_range("a value or a list of values", item)
        return _each_once(values, place)


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Section):
    """The file of a sweep."""

    experiment: Annotated[str, Text()]
    seeds: Annotated[tuple[int, ...], ListOf(Integer(at_least=0))]
    out: Annotated[str | None, FolderPath()] = None
    metrics: Annotated[tuple[str, ...], ListOf(Choice(*METRICS))] = ()
    set: Annotated[dict[str, tuple[str, ...]], Settings()] = field(default_factory=dict)

    def check(self, place: Place) -> None:
        """Refuse what would be one run twice."""
        _each_once(self.seeds, place.at("seeds"))
        if "seed" in self.set:
            raise place.at("set", "seed").refuse("the list seeds has the seeds; leave it out here")


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes
    ----------
    folder : Path
    experiment : str
    overrides : tuple of str
        All settings, as ``--set`` takes them.
    seed : int
    config : ExperimentConfig
        What these make of the experiment.
    row : tuple of str
        The values of the settings that differ between runs: the runs of a row differ by their seeds only.
    """

    folder: Path
    experiment: str
    overrides: tuple[str, ...]
    seed: int
    config: ExperimentConfig
    row: tuple[str, ...] = ()

    @property
    def run(self) -> RunFolder:
        """The folder as a run, which need not be there."""
        return RunFolder(self.folder)

    @property
    def has_begun(self) -> bool:
        """Whether the folder is a run."""
        return self.run.config_path.is_file()

    @property
    def is_done(self) -> bool:
        """Whether the last epoch is recorded, and its checkpoint saved, and after it the report, which comes last."""
        records = self.run.metrics()
        if not records or records[-1]["epoch"] < self.config.training.epochs:
            return False
        checkpoint = self.run.checkpoints_path / f"step-{records[-1]['steps']:09d}.safetensors"
        return _age(self.run.report_path) >= _age(checkpoint) > 0

    def refuse_other_settings(self) -> None:
        """Refuse a folder that holds another run, or a longer one.

        Raises
        ------
        RunError
            It does; or its files cannot be read.
        """
        if not self.has_begun:
            return
        run = RunFolder.open(self.folder)
        before, now = leaves(load_experiment(run.config_path)), leaves(with_absolute_path(self.config))
        names = sorted(name for name in before.keys() | now.keys() if not FREE.fullmatch(name))
        changed = [f"{n} was {before.get(n)} and is now {now.get(n)}" for n in names if before.get(n) != now.get(n)]
        done, epochs = len(run.metrics()), self.config.training.epochs
        if done > epochs:
            changed.append(f"{done} epochs are done, more than training.epochs = {epochs}")
        if changed:
            raise RunError(f"{self.folder}: holds a run with other settings: {'; '.join(changed)}; choose another out")

    def command(self, *more: str) -> list[str]:
        """Return the words that start the run, or continue it to its last epoch."""
        seed = ["--seed", str(self.seed)]
        words = ["train", self.experiment, "--out", str(self.folder), *seed]
        if self.has_begun:
            words = ["resume", str(self.folder)]
        return [*words, *(word for override in self.overrides for word in ("--set", override)), *more]

    def numbers(self) -> dict[str, float]:
        """Return the numbers in `METRICS` that the run has at its end."""
        last = self.run.metrics()[-1]
        measured = self.run.diagnoses()[-1:]
        if measured and measured[0].get("epoch") == last["epoch"]:
            last = measured[0]["measures"] | last
        found = {name: last[name] for name in METRICS if isinstance(last.get(name), int | float)}
        return {name: float(value) for name, value in found.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Sweep:
    """All runs of a file.

    Attributes
    ----------
    config : SweepConfig
    out : Path
        The folder of the run folders.
    varied : list of str
        The settings with several values.
    runs : list of SweepRun
        The runs of a row together, in the order of the seeds.
    """

    config: SweepConfig
    out: Path
    varied: list[str]
    runs: list[SweepRun]

    def others(self) -> list[str]:
        """Return the names of the runs in the folder that are none of these."""
        own = {run.folder.name for run in self.runs}
        return sorted(path.parent.name for path in self.out.glob("*/config.toml") if path.parent.name not in own)


def read_sweep(path: Path, out: Path | None = None) -> Sweep:
    """Read the file of a sweep, and the configuration of each run. Nothing is written.

    Parameters
    ----------
    path : Path
    out : Path, optional
        Instead of that of the file, which is runs/NAME by default, with the name of the file.

    Raises
    ------
    ConfigError
        The file or a setting is refused.
    RunError
        A folder of a run holds another run.
    """
    config = read_section(SweepConfig, read_toml(path, "expected the TOML file of a sweep"), Place(str(path)))
    out = out or (RUNS / path.stem if config.out is None else Path(os.path.expanduser(config.out)))
    experiment, runs = os.path.expanduser(config.experiment), dict[str, SweepRun]()
    varied = [key for key, values in config.set.items() if len(values) > 1]
    names = {key: _names(values) for key, values in config.set.items()}
    for choice in itertools.product(*(range(len(values)) for values in config.set.values())):
        chosen = dict(zip(config.set, choice, strict=True))
        overrides = tuple(f"{key}={config.set[key][index]}" for key, index in chosen.items())
        row = tuple(config.set[key][chosen[key]] for key in varied)
        named = [f"{key}={names[key][chosen[key]]}" for key in sorted(varied)]  # in any order of the file
        for seed in config.seeds:
            try:
                if load_experiment(experiment, overrides).training.threads is None:
                    overrides = (*overrides, ONE_THREAD)
                read = load_experiment(experiment, [*overrides, f"seed={seed}"])
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from None
            folder = ",".join([*named, f"seed={seed}"])
            run = SweepRun(out / folder, experiment, overrides, seed, read, row)
            same = runs.setdefault(repr(read), run)
            if same is not run:
                raise ConfigError(f"{path}: {same.folder.name} and {folder} would be the same run; leave one out")
    for run in runs.values():
        run.refuse_other_settings()
    return Sweep(config, out, varied, list(runs.values()))


def wait_until_free(runs: Sequence[SweepRun]) -> None:
    """Wait until no process writes in the folders: the jobs of a killed sweep save a checkpoint, then they end."""
    end = time.monotonic() + PATIENCE
    for run in runs:
        while run.has_begun and time.monotonic() < end:
            try:
                with run.run.lock():
                    break
            except RunError:  # if this lasts, the job will say so
                time.sleep(0.1)


def _names(values: Sequence[str]) -> list[str]:
    """Return a part of a file name for each value: the value, if it is short; otherwise its number."""
    plain = [re.sub(r"[^\w.+-]+", "_", value).strip("_") for value in values]
    short = all(0 < len(name) <= LONGEST for name in plain) and len({name.lower() for name in plain}) == len(plain)
    return plain if short else [str(number) for number in range(1, len(values) + 1)]


def _each_once(values: tuple[Any, ...], place: Place) -> tuple[Any, ...]:
    for value in values:
        if values.count(value) > 1:
            raise place.refuse(f"has {value} twice, which would be the same run twice")
    return values


def _toml(value: Any) -> str:
    """Write a value as TOML, on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key_text(key)} = {_toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return quote(value)
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
