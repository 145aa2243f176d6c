"""``tinygan sweep``."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygan.cli import output
from tinygan.cli.arguments import add_data_option, add_device_options, path, positive
from tinygan.cli.seeds import ERROR, summary
from tinygan.cli.train import graceful_stop
from tinygan.errors import RunError
from tinygan.parallel.jobs import STOPPED, Command, Jobs, Outcome, open_jobs
from tinygan.parallel.sweep import METRICS, SHOWN, Sweep, SweepRun, read_sweep, wait_until_free
from tinygan.parallel.world import current
from tinygan.runs.atomic import atomic_write
from tinygan.runs.lock import exclusive_lock
from tinygan.runs.plain_files import refused

ABOUT = "Means over the seeds of the numbers of the last epoch, ± their standard errors over the seeds."


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sweep",
        help="train an experiment with several settings and seeds, and make a table",
        description="Train an experiment with each combination of settings and each seed that a TOML file lists, and "
        "make a table of means over the seeds. The same command continues what was stopped.",
    )
    parser.add_argument("file", type=path, metavar="FILE.toml", help="the experiment, the seeds and the settings")
    parser.add_argument("--out", type=path, metavar="DIR", help="the folder of the runs (default: that of the file)")
    parser.add_argument("--jobs", type=positive, metavar="N", help="runs at once (default: 1; under mpiexec 1 a rank)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and their states, and do nothing")
    add_data_option(parser)
    add_device_options(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=sweep, follow=sweep)  # it gives the ranks of a launcher their work itself


def sweep(arguments: argparse.Namespace) -> int:
    """Run ``tinygan sweep``."""
    with jobs_of(arguments) as jobs:
        return 0 if jobs is None else _lead(arguments, jobs)


@contextmanager
def jobs_of(arguments: argparse.Namespace) -> Iterator[Jobs | None]:
    """Give the places of ``--jobs``, as `open_jobs` does; Ctrl-C and SIGTERM stop the jobs after a checkpoint."""
    world = current()
    shown = world is None and arguments.jobs in (None, 1) and not arguments.quiet  # a job's own messages
    told = not shown and (world is None or world.rank == 0)
    with graceful_stop(told) as stop, open_jobs(arguments.jobs, lambda: bool(stop), shown) as jobs:
        yield jobs


def _lead(arguments: argparse.Namespace, jobs: Jobs) -> int:
    found = read_sweep(arguments.file, arguments.out)
    if arguments.dry_run:
        output.result("\n".join(f"{_state(run):<20}{run.folder}" for run in found.runs))
        return 0
    with refused(RunError, f"{found.out}: cannot be used", "choose another --out"):
        found.out.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(found.out / "sweep.lock"):
        failed = train_all([run for run in found.runs if not run.is_done], arguments, jobs)
        if jobs.stopped:
            return STOPPED
        table, everything = results(found, failed)
        with refused(RunError, f"{found.out}: cannot be written", "free space; the same command goes on"):
            atomic_write(found.out / "sweep.md", [f"{table}\n".encode(errors="backslashreplace")])
            atomic_write(found.out / "sweep.json", [f"{json.dumps(everything, indent=1, default=str)}\n".encode()])
    output.mention(f"{table}\n\nwritten in {found.out / 'sweep.md'}; every run in {found.out / 'sweep.json'}")
    return 1 if failed else 0


def _state(run: SweepRun) -> str:
    if not run.has_begun:
        return "missing"
    return "done" if run.is_done else f"epoch {len(run.run.metrics())} of {run.config.training.epochs}"


def train_all(runs: Sequence[SweepRun], arguments: argparse.Namespace, jobs: Jobs) -> dict[Path, str]:
    """Train runs to their ends, and say which start and end.

    Parameters
    ----------
    runs : sequence of SweepRun
    arguments : argparse.Namespace
        With ``data``, ``device``, ``backend`` and ``quiet``.
    jobs : Jobs

    Returns
    -------
    dict
        For the folder of each run that failed, the message.
    """
    for section in {run.config.data for run in runs if run.config.data.needs_files}:
        section.load(arguments.data, not arguments.quiet)  # refused or downloaded now, and once
    more = ["--device", arguments.device, "--backend", arguments.backend]
    more += [] if arguments.data is None else ["--data", str(arguments.data)]
    more += [] if jobs.place.shown else ["--quiet"]
    wait_until_free(runs)
    found = run_all({run.folder: run.command(*more) for run in runs}, arguments, jobs)
    return {folder: _why(folder, end) for folder, end in found.items() if end.status and not end.stopped}


def run_all(commands: Mapping[Any, Command], arguments: argparse.Namespace, jobs: Jobs) -> dict[Any, Outcome]:
    """Run jobs, and say which start and end, and at the end which failed and why.

    Parameters
    ----------
    commands : mapping
        The command of each job by its name.
    arguments : argparse.Namespace
        With ``quiet``.
    jobs : Jobs
    """
    numbers = {name: number for number, name in enumerate(commands, 1)}

    def tell(name: Any, outcome: Outcome | None) -> None:
        what = "starts"
        if outcome is not None:
            what = "is saved" if outcome.stopped else "failed" if outcome.status else "is done"
        if not arguments.quiet:
            output.say(f"{numbers[name]} of {len(commands)}: {name} {what}")
        if outcome is not None and not outcome.status and outcome.message:
            output.say(f"{name}: {outcome.message}")

    found = jobs.run(commands, tell)
    for name, end in found.items():
        if end.status and not end.stopped:
            output.say(f"failed: {name}: {_why(name, end)}")
    if jobs.stopped:
        output.say("stopped; the same command goes on from here")
    return found


def _why(name: Any, end: Outcome) -> str:
    return end.message.removeprefix(f"{name}: ")


def results(found: Sweep, failed: Mapping[Path, str]) -> tuple[str, dict[str, Any]]:
    """Return the table, and everything for JSON.

    Parameters
    ----------
    found : Sweep
        All runs but those in `failed` are done.
    failed : mapping
        From `train_all`.
    """
    varied = found.varied
    rows: list[dict[str, Any]] = []
    for values, group in itertools.groupby(found.runs, lambda run: run.row):
        runs: list[dict[str, Any]] = [
            {"folder": run.folder.name, "seed": run.seed}
            | ({"failed": failed[run.folder]} if run.folder in failed else {"numbers": run.numbers()})
            for run in group
        ]
        games = [run["numbers"] for run in runs if "numbers" in run]
        common = [name for name in METRICS if games and all(name in numbers for numbers in games)]
        means = summary([{name: numbers[name] for name in common} for numbers in games]) if games else {}
        rows.append({"settings": dict(zip(varied, values, strict=True)), "numbers": means, "runs": runs})
    shown = found.config.metrics or [name for name in SHOWN if any(name in row["numbers"] for row in rows)]
    cells = [[*varied, "seeds", *(name.replace("_", " ") for name in shown)]]
    for row in rows:
        done = sum("numbers" in run for run in row["runs"])
        seeds = f"{done}" if done == len(row["runs"]) else f"{done} of {len(row['runs'])}"
        cells.append([*row["settings"].values(), seeds, *(_cell(row["numbers"], name) for name in shown)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells]
    lines += ["", ABOUT, *(f"- failed: {path.name}: {message.splitlines()[0]}" for path, message in failed.items())]
    others = found.others()
    if others:
        lines.append(f"- not in the table, as the file does not have them: {', '.join(others)}")
    fixed = {key: values[0] for key, values in found.config.set.items() if key not in varied}
    named = {"experiment": found.config.experiment, "seeds": found.config.seeds, "settings": fixed}
    return "\n".join(lines), named | {"rows": rows, "others": others}


def _cell(numbers: Mapping[str, float | None], name: str) -> str:
    mean, error = numbers.get(name), numbers.get(name + ERROR)
    return "" if mean is None else f"{mean:.4g}" + ("" if error is None else f" ± {error:.2g}")
