"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tinygan.cli import output
from tinygan.experiments.running import Watcher
from tinygan.experiments.side_outputs import SideOutputs
from tinygan.experiments.training import Training
from tinygan.report.report import write_report
from tinygan.runs.run_folder import RunFolder

REFRESH = 0.25  # seconds between two updates of the shown monitors
LINE_EVERY = 5.0  # seconds between two plain lines


class Progress(Watcher):
    """Show the progress of training, the remaining time, both losses, D(x) and D(G(z)).

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
            self.bar = tqdm(
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
                self.bar.set_postfix_str(_monitors(training), refresh=False)

    def epoch(self, training: Training, seconds: float) -> None:
        """Print a line every few seconds, if there is no bar."""
        now = time.monotonic()
        last = training.epoch == training.config.training.epochs
        if self.quiet or self.bar is not None or not (last or now - self.shown > LINE_EVERY):
            return
        self.shown = now
        left = (now - self.began) / (training.steps - self.first_step) * (self.total - training.steps)
        output.say(
            f"epoch {training.epoch}/{training.config.training.epochs}  {_monitors(training)}  "
            f"{seconds:.2f} s an epoch, {_clock(left)} left"
        )

    def saved(self, folder: RunFolder) -> None:
        """Write the report, so that a run that crashes has the report of its last checkpoint."""
        self.reported, self.report = True, None
        with self.side_outputs.attempt("the report"):
            self.report = write_report(folder)


def _monitors(training: Training) -> str:
    means = training.monitor.means()
    return (
        f"loss D {means['discriminator_loss']:.3f} G {means['generator_loss']:.3f}  "
        f"D(x) {means['d_real']:.2f}  D(G(z)) {means['d_fake']:.2f}"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
