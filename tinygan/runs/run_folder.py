"""A run folder: all files of one training run, which a kill at any moment cannot damage.

::

    config.toml        the resolved configuration; the folder is a run once this file is there
    environment.json   machine, versions, threads: what the bits depend on
    metrics.jsonl      one record a line, no wall-clock fields: two runs can be compared byte for byte
    timing.jsonl       one record a line: the wall clock
    diagnosis.jsonl    one record a line: the verdicts, when they change or are measured again; no wall clock
    samples/*.png      pictures drawn on the way
    checkpoints/       step-000001200.safetensors: the last two; best.safetensors: the best by validation
    report.html        the report
    run.lock           held by the process that is training

Whatever must be whole is written by `atomic_write`. The first two record files have one record an epoch.
`RunFolder.rewind` keeps the records of the epochs before a checkpoint, so that a resumed run goes on as if it had never
been interrupted. A folder of an older version has no ``diagnosis.jsonl``.
"""

from __future__ import annotations

import json
import operator
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tinygan.errors import CheckpointError, RunError
from tinygan.runs.atomic import atomic_write, final_name, new_folder, remove_temporaries, sync_folder
from tinygan.runs.checkpoint import Checkpoint, CheckpointFolder
from tinygan.runs.command import command, recorded_options
from tinygan.runs.json_lines import append_record, cut, length_until, length_up_to, read_records, sync_records
from tinygan.runs.json_values import json_value
from tinygan.runs.lock import Lock, exclusive_lock
from tinygan.runs.plain_files import read_plain, refused, why_not_in_place
from tinygan.runs.safetensors_file import Array

LARGEST_ENVIRONMENT = 1 << 20  # bytes of ``environment.json``, which has one or two thousand


class RunFolder:
    r"""One run on disk. Get one from `create` or `open`; hold `lock` while writing.

    Parameters
    ----------
    path : path
        The folder. The constructor itself neither reads nor writes.

    Attributes
    ----------
    path, config_path, environment_path, metrics_path, timing_path, diagnosis_path : Path
    samples_path, checkpoints_path, report_path : Path

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = RunFolder.create(Path(folder, "run"), "seed = 1\n", {"python": "3.11"})
    ...     with run.lock():
    ...         for epoch, loss in ((1, 0.5), (2, 0.25)):
    ...             run.append_metrics({"epoch": epoch, "loss": loss})
    ...             run.append_timing({"epoch": epoch, "seconds": 3.5})
    ...         run.save_checkpoint(20, {"weight": np.zeros(2)}, {"epoch": 2}, best=True)
    ...         run.rewind(1)
    ...     run.metrics(), run.latest_checkpoint().path.name
    ([{'epoch': 1, 'loss': 0.5}], 'step-000000020.safetensors')
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_path = self.path / "config.toml"
        self.environment_path = self.path / "environment.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.timing_path = self.path / "timing.jsonl"
        self.diagnosis_path = self.path / "diagnosis.jsonl"
        self.samples_path = self.path / "samples"
        self.checkpoints_path = self.path / "checkpoints"
        self.report_path = self.path / "report.html"
        self._checkpoints = CheckpointFolder(self.checkpoints_path)
        self._lock: Lock | None = None  # while this object holds it
        self._holder: int | None = None  # the thread that took it
        self._seen: object = None  # what stood here when `remember` was called

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config_text: str,
        environment: Mapping[str, Any],
        numbered: bool = False,
    ) -> RunFolder:
        """Make a new run folder, or use an empty one, or one that a killed process had only begun to make.

        Parameters
        ----------
        path : path
            Missing, or empty but for what was begun; parents are made.
        config_text : str
            The resolved configuration, for ``config.toml``.
        environment : mapping
            What `tinygan.runs.environment.describe_environment` says, for ``environment.json``.
        numbered : bool
            Where anything of this name is there already, make the first of path-2, path-3, ... that is not: of several
            processes that choose at once, each gets a folder of its own.

        Raises
        ------
        RunError
            When something is there already, or the system refuses.
        """
        run = cls(path)
        described = json.dumps(json_value(environment, "environment"), indent=2) + "\n"
        advice = "free space, correct the permissions, or choose another --out"
        with refused(RunError, f"{run.path}: cannot make the run folder", advice):
            if numbered:
                run = cls(new_folder(run.path))
            elif run.path.exists() and not run.path.is_dir():
                raise RunError(f"{run.path}: expected a folder, found a file; choose another --out")
            run.path.mkdir(parents=True, exist_ok=True)
            run._refuse_unless_empty()
            with run.lock():
                run._refuse_unless_empty()  # no other process got in between
                run.samples_path.mkdir(exist_ok=True)  # in the order that `_is_half_made` knows
                run.checkpoints_path.mkdir(exist_ok=True)
                atomic_write(run.environment_path, [described.encode()])
                atomic_write(run.config_path, [config_text.encode()])
                sync_folder(run.path.parent)
                run.remember()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open the folder of an earlier run.

        Raises
        ------
        RunError
            When the folder, or a file that makes it a run, is missing.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise RunError(
                f"{run.path}: expected a run folder, found no folder of this name; give the folder that "
                "`tinygan train` named as its --out"
            )
        needed = (run.config_path, run.environment_path)
        missing = [file.name for file in needed if not file.is_file()]
        if missing:
            raise RunError(
                f"{run.path}: expected a run folder, found one without {' and '.join(missing)}; give the "
                "folder that `tinygan train` named as its --out"
            )
        return run

    def _refuse_unless_empty(self) -> None:
        found = sorted(set(os.listdir(self.path)) - {"run.lock"})
        if self.config_path.name in found:
            raise RunError(
                f"{self.path}: expected an empty folder, found an earlier run; choose another --out, or go "
                f"on with that run: {self.resume_command()}"
            )
        if found and not self._is_half_made(found):
            shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise RunError(f"{self.path}: expected an empty folder, found {shown}; choose another --out")

    def _is_half_made(self, found: Iterable[str]) -> bool:
        """Return whether these names are what `create` makes first, up to some moment at which it was killed."""
        in_order = [self.samples_path, self.checkpoints_path, self.environment_path, self.config_path]
        made = {final_name(name) for name in found}
        return made == {path.name for path in in_order[: len(made)]} and not any(
            os.listdir(path) for path in in_order[:2] if path.is_dir()
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process from writing here, and clear away what a killed one left half-written.

        Inside, the same thread may take it again through the same object. Take it before reading what decides a write.

        Raises
        ------
        RunError
            When another process is writing; the message names it. Or when something in the folder is a link that leads
            elsewhere, or no plain file: nothing outside is ever written.
        """
        if self._lock is not None and self._holder == threading.get_ident():
            yield
            return
        with exclusive_lock(self.path / "run.lock") as lock:
            self._refuse_links()
            # Only now is every temporary file known to be a leftover and not the work of a live writer.
            with _refused(self.path, "cannot be cleared of half-written files"):
                for folder in (self.path, self.samples_path, self.checkpoints_path):
                    remove_temporaries(folder)
            self._lock, self._holder = lock, threading.get_ident()
            try:
                yield
            finally:
                self._lock = self._holder = None

    def check(self) -> None:
        """Refuse to write where this process no longer may; every method that writes calls this first.

        Raises
        ------
        RunError
            The lock that this object holds was removed or replaced, or something here has become a link.
        """
        if self._lock is not None:
            self._lock.check()
        self._refuse_links()

    def _refuse_links(self) -> None:
        """Refuse what would be written elsewhere: in a folder that is a link, or into a file with another name."""
        places = {path: why_not_in_place(path, folder=True) for path in (self.samples_path, self.checkpoints_path)}
        places |= {path: why_not_in_place(path, shared=False) for path in self._record_paths}
        replaced = (self.config_path, self.environment_path, self.report_path)
        places |= {path: why_not_in_place(path) for path in replaced}
        for path, reason in places.items():
            if reason is not None:
                raise RunError(f"{path}: {reason}. (The run folder itself may be a link.)")

    def remember(self) -> None:
        """Store what is in the folder, for `refuse_if_changed`; hold `lock`."""
        self._seen = self._now()

    def refuse_if_changed(self) -> None:
        """Refuse to continue when another process has written since the folder was read; hold `lock`.

        Raises
        ------
        RunError
            Since the last `remember` the configuration was changed, or there are other checkpoints.
        """
        if self._seen is not None and self._seen != self._now():
            raise RunError(
                f"{self.path}: another process went on with this run, or changed its configuration, after it was "
                "opened here: to go on would undo that. Open it again: nothing has been written"
            )

    def _now(self) -> object:
        with _refused(self.path, "cannot be read"):
            return read_plain(self.config_path), self._checkpoints.names()

    def write_config(self, text: str) -> None:
        """Replace ``config.toml``; hold `lock`.

        Raises
        ------
        RunError
            When the system refuses; the old one is whole.
        """
        self.check()
        with _refused(self.config_path, "cannot be written"):
            atomic_write(self.config_path, [text.encode()])

    def environment(self) -> dict[str, Any]:
        """Read ``environment.json``.

        Raises
        ------
        RunError
            When it is missing or not a JSON object.
        """
        try:
            recorded = json.loads(read_plain(self.environment_path, LARGEST_ENVIRONMENT))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(
                f"{self.environment_path}: cannot be read: {error}; put it back from a copy"
            ) from error
        if not isinstance(recorded, dict):
            raise RunError(f"{self.environment_path}: expected an object, found {recorded!r:.60}")
        return recorded

    def resume_command(self, *more: str, **options: str | os.PathLike[str]) -> str:
        """Return the command that goes on with this run.

        Its data folder, its device and its backend are those of the record.

        Parameters
        ----------
        more : str
            Further arguments.
        options : str or path
            ``device``, ``backend``, ``data_folder``: instead of those of the record.
        """
        try:
            recorded = self.environment()
        except RunError:
            recorded = {}
        return command("resume", self.path, *more, *recorded_options({**recorded, **options}))

    # --- records -------------------------------------------------------------------------------------------

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``; put no clock in it. See `json_lines.append_record`."""
        self.check()
        append_record(self.metrics_path, record)

    def append_diagnosis(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``diagnosis.jsonl``; put no clock in it. See `json_lines.append_record`."""
        self.check()
        append_record(self.diagnosis_path, record)

    def append_timing(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``timing.jsonl``. See `json_lines.append_record`."""
        self.check()
        append_record(self.timing_path, record)

    def metrics(self) -> list[dict[str, Any]]:
        """Read ``metrics.jsonl``; a torn last line is ignored, any other damage raises `RunError`."""
        return read_records(self.metrics_path)

    def timing(self) -> list[dict[str, Any]]:
        """Read ``timing.jsonl``; a torn last line is ignored, any other damage raises `RunError`."""
        return read_records(self.timing_path)

    def diagnoses(self) -> list[dict[str, Any]]:
        """Read ``diagnosis.jsonl``, as `metrics`: each record has ``epoch``, ``verdicts`` and ``measures``."""
        return read_records(self.diagnosis_path)

    @property
    def _record_paths(self) -> tuple[Path, Path, Path]:
        return self.metrics_path, self.timing_path, self.diagnosis_path

    # --- checkpoints ---------------------------------------------------------------------------------------

    def save_checkpoint(
        self, step: int, arrays: Mapping[str, Array], state: Mapping[str, Any], best: bool = False
    ) -> None:
        """Write ``checkpoints/step-….safetensors`` and forget all but the last two; see `CheckpointFolder.save`.

        Parameters
        ----------
        step : int
            How many steps are done, 0 or more.
        arrays, state
            See `tinygan.runs.checkpoint.write_checkpoint`.
        best : bool
            Write ``checkpoints/best.safetensors`` as well, with the same bytes.

        Raises
        ------
        DtypeError
            When an array or a value cannot be stored.
        CheckpointError, RunError
            When the step is negative, or the system refuses; earlier checkpoints are whole.
        """
        step = operator.index(step)
        if step < 0:
            raise CheckpointError(f"save_checkpoint: step is {step}; expected 0 or more")
        self.check()
        # The records before a checkpoint must be on the disk before it is; their names in this folder are
        # forced there by `CheckpointFolder.save`.
        for path in self._record_paths:
            sync_records(path)
        self._checkpoints.save(step, arrays, state, best=best)

    def latest_checkpoint(self) -> Checkpoint | None:
        """Read the newest whole checkpoint; see `CheckpointFolder.latest` for what is done about damage."""
        return self._checkpoints.latest()

    def best_checkpoint(self) -> Checkpoint | None:
        """Read ``best.safetensors``; return None if it is missing, raise `CheckpointError` if it is damaged."""
        return self._checkpoints.best()

    def rewind(self, epoch: int, step: int | None = None) -> None:
        """Cut the record files back to the records of the epochs from 1 to `epoch`.

        With `step`, the number of steps done, keep only the last two checkpoints up to it, as `save_checkpoint` does.
        Nothing else is removed: the next steps overwrite their samples and later checkpoints. The errors are those of
        `check_records`, before any file is touched, and then those of `save_checkpoint`.
        """
        self.check()
        for path, length in self._lengths_until(epoch).items():
            cut(path, length)
        if step is not None:
            self._checkpoints.keep_last_two(step)

    def check_records(self, epoch: int) -> None:
        """Refuse record files that lack a record of an epoch from 1 to `epoch`; nothing is changed.

        Raises
        ------
        RunError
            A record is missing or damaged.
        """
        self._lengths_until(epoch)

    def _lengths_until(self, epoch: int) -> dict[Path, int]:
        lengths = {path: length_until(path, epoch) for path in (self.metrics_path, self.timing_path)}
        return {**lengths, self.diagnosis_path: length_up_to(self.diagnosis_path, epoch)}


def _refused(path: Path, what: str) -> AbstractContextManager[None]:
    return refused(RunError, f"{path}: {what}", "free space or correct the permissions, then resume")
