"""Progress on stderr: a bar on a terminal, plain lines elsewhere. Both fit the columns that there are."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.std import Bar
from tqdm.utils import disp_len

from tinygan.cli import output
from tinygan.diagnosis import titles_of
from tinygan.experiments.running import Watcher
from tinygan.experiments.side_outputs import SideOutputs
from tinygan.experiments.training import Training
from tinygan.report.report import write_report
from tinygan.runs.run_folder import RunFolder

REFRESH = 0.25  # seconds between two updates of the shown monitors
LINE_EVERY = 5.0  # seconds between two plain lines
GAP = "  "  # between two fields
SHORTEST_BAR = 5  # columns


class Progress(Watcher):
    """Show the progress of training, the remaining time, both losses, D(x) and D(G(z)), or D's mean scores.

    Parameters
    ----------
    quiet : bool
        Show nothing.

    Attributes
    ----------
    reported : bool
        Whether a report has been attempted.
    report : Path or None
        The report of the newest checkpoint; None if it could not be written.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bar: Any = None
        self.terminal = output.shows_progress()
        self.shown = -math.inf  # never
        self.side_outputs = SideOutputs()
        self.reported = False
        self.report: Path | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            with self.side_outputs.attempt("the progress bar"):
                self.bar.close()

    def begin(self, training: Training) -> None:
        """Open the bar, at the step where the run starts or continues."""
        self.began, self.first_step = time.monotonic(), training.steps
        self.total = training.config.training.epochs * training.steps_per_epoch
        if self.terminal and not self.quiet:
            self.bar = _FittedBar(
                total=self.total,
                initial=training.steps,
                desc=training.config.name,
                unit="step",
                dynamic_ncols=True,
                mininterval=REFRESH,
                file=output.messages,
            )

    def step(self, training: Training) -> None:
        """Move the bar."""
        if self.bar is None:
            return
        with self.side_outputs.attempt("the progress bar"):
            self.bar.update()
            now = time.monotonic()
            if now - self.shown > REFRESH:
                self.shown = now
                self.bar.monitors = _monitors(training)

    def epoch(self, training: Training, seconds: float) -> None:
        """Print a line every few seconds, if there is no bar."""
        now = time.monotonic()
        last = training.epoch == training.config.training.epochs
        if self.quiet or self.bar is not None or not (last or now - self.shown > LINE_EVERY):
            return
        self.shown = now
        left = (now - self.began) / (training.steps - self.first_step) * (self.total - training.steps)
        fields = [
            (3, f"epoch {training.epoch}/{training.config.training.epochs}"),
            *_monitors(training),
            (4, f"{_clock(left)} left"),
            (5, f"{seconds:.2f} s an epoch"),
        ]
        output.say(fitted(fields, output.columns(sys.stderr)))

    def diagnosed(self, training: Training, verdicts: Sequence[Mapping[str, Any]]) -> None:
        """Print a line with the verdicts, above the bar."""
        if self.quiet:
            return
        with self.side_outputs.attempt("the progress bar"):
            if self.bar is not None:
                self.bar.clear()
        output.say(f"verdict after epoch {training.epoch}: {titles_of(verdicts)}")

    def saved(self, folder: RunFolder) -> None:
        """Write the report, so that a run that crashes has the report of its last checkpoint."""
        self.reported, self.report = True, None
        with self.side_outputs.attempt("the report"):
            self.report = write_report(folder)


class _FittedBar(tqdm):
    """A bar whose line is never wider than the terminal, also while the terminal is resized."""

    monitors: Sequence[tuple[int, str]] = ()

    def __str__(self) -> str:
        facts = self.format_dict
        done, total = facts["n"], facts["total"]
        share = done / total if total else 1.0
        rate = facts["rate"] or (done - facts["initial"]) / max(facts["elapsed"], 1e-9)
        left = _clock((total - done) / rate) if rate else "?"
        fields = [
            (5, output.escaped(facts["prefix"].removesuffix(": "))),
            (3, f"{math.floor(100 * share)}%"),
            (6, f"{done}/{total}"),
            (4, f"{left} left"),
            (7, f"{rate:.1f} steps/s"),
            *self.monitors,
        ]
        width = output.columns(sys.stderr)
        line = fitted(fields, width)
        room = width - disp_len(line) - len(GAP) - 2
        if room >= SHORTEST_BAR:
            bar = Bar(share, room, charset=Bar.ASCII if facts["ascii"] else Bar.UTF)
            line = f"{line}{GAP}|{bar}|"
        return line + " " * (width - disp_len(line))  # over the rest of the line before

    @staticmethod
    def status_printer(file: Any) -> Any:
        """Return a function that shows a line in the place of the one before."""
        # tqdm's own would add blanks for the rest of a longer line, also if they no longer fit.
        return lambda line: file.write(f"\r{line}")


def fitted(fields: Sequence[tuple[int, str]], width: int) -> str:
    """Join fields to a line of at most `width` columns.

    Parameters
    ----------
    fields : sequence of (int, str)
        In the order of the line, each after its rank. Lower ranks come first into the line; a field for which no room
        is left is left out. The field of the lowest rank is always there.
    width : int

    Examples
    --------
    >>> fields = [(2, "epoch 3/5"), (3, "0:10 left"), (1, "D(x) 0.50")]
    >>> fitted(fields, 40)
    'epoch 3/5  0:10 left  D(x) 0.50'
    >>> fitted(fields, 30)
    'epoch 3/5  D(x) 0.50'
    """
    kept: set[tuple[int, str]] = set()
    room = width + len(GAP)
    for rank, text in sorted(fields):
        needed = disp_len(text) + len(GAP)
        if needed <= room or not kept:
            kept.add((rank, text))
            room -= needed
    return GAP.join(text for rank, text in fields if (rank, text) in kept)


def _monitors(training: Training) -> list[tuple[int, str]]:
    """Return the running means as fields of the line; what D answers is the last to go."""
    means = training.monitor.means()
    d, answer = ("D", "d") if training.game.losses.is_probability else ("score", "score")
    return [
        (2, f"loss D {means['discriminator_loss']:.3f} G {means['generator_loss']:.3f}"),
        (0, f"{d}(x) {means[f'{answer}_real']:.2f}"),
        (1, f"{d}(G(z)) {means[f'{answer}_fake']:.2f}"),
    ]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
