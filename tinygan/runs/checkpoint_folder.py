"""The checkpoints of one run: the last two by step, and the best.

Two, because the newest may be damaged by a failing disk; the best, because it is what gets evaluated. An
older one is removed only after a newer one is safely on the disk, so at no moment is there none.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygan.errors import CheckpointError
from tinygan.runs.atomic import sync_folder
from tinygan.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tinygan.runs.checkpoint_layout import Array

_STEP_FILE = re.compile(r"step-(\d{9,})\.tgn")


class CheckpointFolder:
    """The folder ``checkpoints/`` of a run.

    Parameters
    ----------
    path : Path
        The folder; it need not exist before the first `save`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = CheckpointFolder(Path(folder))
    ...     for step in (10, 20, 30):
    ...         checkpoints.save(step, {}, {"step": step}, best=step == 10)
    ...     sorted(os.listdir(folder)), checkpoints.latest().state, checkpoints.best().state
    (['best.tgn', 'step-000000020.tgn', 'step-000000030.tgn'], {'step': 30}, {'step': 10})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best_path = path / "best.tgn"

    def save(self, step: int, arrays: Mapping[str, Array], state: Mapping[str, Any], *, best: bool) -> None:
        """Write ``step-….tgn``, and ``best.tgn`` if it is the best, then remove all but the last two.

        Checkpoints of later steps belong to a future that a rewind has abandoned, and are removed too.

        Raises
        ------
        DtypeError
            When an array or a value cannot be stored.
        CheckpointError
            When the system refuses; earlier checkpoints are whole.
        """
        try:
            self.path.mkdir(exist_ok=True)
            # A checkpoint survives a loss of power only if the name of its folder, in the folder above, does.
            sync_folder(self.path.parent)
        except OSError as error:
            raise _refused(self.path, "made", error) from error
        # The best first: killed in between, the run resumes before this step and writes the same best again.
        if best:
            write_checkpoint(self.best_path, arrays, state)
        write_checkpoint(self.path / f"step-{step:09d}.tgn", arrays, state)
        self._forget_all_but_two(step)

    def latest(self) -> Checkpoint | None:
        """Read the newest checkpoint that is whole, or None when there is none yet.

        When the newest is damaged, a `UserWarning` says so and the one before it is taken, then the best.

        Raises
        ------
        CheckpointError
            When there are checkpoints and all are damaged.
        """
        candidates = [path for _, path in reversed(self._step_files())]
        if self.best_path.exists():
            candidates.append(self.best_path)
        damage: list[str] = []
        for path in candidates:
            try:
                checkpoint = read_checkpoint(path)
            except CheckpointError as error:
                damage.append(str(error))
                continue
            if damage:
                text = f"went back to {path.name}, the newest checkpoint that is whole: {'; '.join(damage)}"
                warnings.warn(text, UserWarning, stacklevel=3)
            return checkpoint
        if damage:
            raise CheckpointError(
                f"{self.path}: expected one whole checkpoint, found {len(damage)} damaged; put one back from "
                f"a copy, or train again with another --out ({'; '.join(damage)})"
            )
        return None

    def best(self) -> Checkpoint | None:
        """Read ``best.tgn``, or return None when no checkpoint was called the best.

        Raises
        ------
        CheckpointError
            When it is damaged.
        """
        return read_checkpoint(self.best_path) if self.best_path.exists() else None

    def names(self) -> list[str]:
        """List the names of the checkpoints by step, oldest first, without the best."""
        return [path.name for _, path in self._step_files()]

    def _step_files(self) -> list[tuple[int, Path]]:
        """List the checkpoints by step, oldest first."""
        if not self.path.is_dir():
            return []
        matches = (_STEP_FILE.fullmatch(name) for name in os.listdir(self.path))
        return sorted((int(match[1]), self.path / match[0]) for match in matches if match)

    def _forget_all_but_two(self, step: int) -> None:
        files = self._step_files()
        kept = [path for number, path in files if number <= step][-2:]
        for _, path in files:
            if path not in kept:
                try:
                    path.unlink()
                except OSError as error:
                    raise _refused(path, "removed", error) from error


def _refused(path: Path, what: str, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path}: cannot be {what}: {error.strerror or error}; earlier checkpoints are whole. Correct the "
        f"permissions of {path.parent}, then resume"
    )
