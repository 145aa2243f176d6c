"""Cause faults in a training run, and count how many it survives: no checkpoint may be lost, and no damage undetected.

Usage: python tools/count_faults.py [--kills N] [--seed N] [--only KIND ...] [--every N] [--json]

A run of 50 steps on the embedded digits, with small networks, is disturbed, then continued, and compared byte for byte
with an undisturbed run. All faults take fifteen minutes; the exit status is 1 if anything was lost. The program forks,
which is fast, and safe here because no thread has been started; so it needs a Unix.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

# Before NumPy is imported: BLAS would start threads, and a process with threads should not fork.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

from tqdm import tqdm

from tinygan import data
from tinygan.config.experiment import load_experiment
from tinygan.errors import CheckpointError, TinyganError
from tinygan.experiments import running
from tinygan.experiments.running import Limits, Watcher, reopen, run, start
from tinygan.experiments.training import Training
from tinygan.runs.checkpoint import read_checkpoint
from tinygan.runs.run_folder import RunFolder

warnings.simplefilter("error")  # a warning that an older checkpoint is used because of damage counts as a loss
# A kill, unlike a loss of power, does not affect the buffers of the system: waiting for the disk would show nothing.
os.fsync = lambda _descriptor: None  # type: ignore[assignment]

STEPS = 50
EPOCH = 10  # steps; each epoch ends with a checkpoint, every second epoch also with a validation
SMALL = [
    "training.epochs=5",
    "training.batch=139",
    "noise.size=2",
    "generator.layers.0.units=4",
    "generator.layers.2.units=4",
    "discriminator.layers.1.units=2",
    "discriminator.layers.1.pieces=2",
    "discriminator.layers.3.units=2",
    "discriminator.layers.3.pieces=2",
    "output.samples_every=5",
    "output.samples=4",
    "output.checkpoint_every=1",
    "output.validate_every=2",
    "output.validation_samples=20",
]
ENVIRONMENT = running.describe_environment()  # once: it calls git, which these faults do not concern
running.describe_environment = lambda: dict(ENVIRONMENT)
CONFIG = load_experiment("digits", SMALL)
DIGITS = data.load("digits")


Item = TypeVar("Item")


@dataclass
class Count:
    """The number of faults of one kind, and their outcomes.

    Attributes
    ----------
    fault : str
    made : int
    survived : int
        For a kill or a failing call: the run continued, and ended with the bytes of an undisturbed run. For a damaged
        file: the damage was detected.
    lost : int
        Checkpoints reported as written that were not there afterwards.
    """

    fault: str
    made: int = 0
    survived: int = 0
    lost: int = 0


@dataclass
class Options:
    """The options of the command line."""

    kills: int
    seed: int
    every: int
    only: list[str]
    json: bool


# ---------------------------------------------------------------------- a run and its files


def train(path: Path, watcher: Watcher | None = None, steps: int | None = None) -> None:
    """Start the run at `path`, or continue it."""
    if (path / "config.toml").exists():
        begun = reopen(path, lambda _config: DIGITS)
    else:
        begun = start(CONFIG, DIGITS, path)
    run(*begun, Limits(steps=steps), watcher)


def content(path: Path) -> dict[str, bytes]:
    """Return every file of a run by its relative name, except those that contain times or a process id."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name not in ("run.lock", "timing.jsonl"))
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def saved_steps(path: Path) -> int:
    """Return the number of steps of the newest checkpoint, after reading all of it; -1 if it is damaged."""
    if not (path / "config.toml").exists():
        return 0
    try:
        checkpoint = RunFolder.open(path).latest_checkpoint()
    except (CheckpointError, UserWarning) as error:
        print(error, file=sys.stderr)
        return -1
    return 0 if checkpoint is None else int(checkpoint.state["steps"])


class Undisturbed:
    """A run without faults, for comparison."""

    def __init__(self, path: Path) -> None:
        self.path = path
        train(self.path)
        self.content = content(self.path)

    def equals(self, path: Path) -> bool:
        """Continue the run at `path` to its end; return whether its files are the same, and name those that are not."""
        child = in_child(lambda: train(path))
        _, status = os.waitpid(child, 0)
        found, expected = content(path), self.content
        names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if status or names:
            print(f"the continued run ended with status {status}; different files: {names}", file=sys.stderr)
        return status == 0 and not names


def in_child(action: Callable[[], object]) -> int:
    """Start a process that runs `action` and exits: with 0, with 3 after an error of tinygan, else with 1."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except TinyganError:
            os._exit(3)
        except BaseException as error:
            print(f"child: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    return child


# ---------------------------------------------------------------------- kills


class DieAfter(Watcher):
    """Kill this process after a step of the run."""

    def __init__(self, step: int) -> None:
        self.when = step

    def step(self, training: Training) -> None:
        if training.steps == self.when:
            os.kill(os.getpid(), signal.SIGKILL)


class Report(Watcher):
    """Write the step of every saved checkpoint into a pipe."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.steps = 0

    def step(self, training: Training) -> None:
        self.steps = training.steps

    def saved(self, folder: RunFolder) -> None:
        os.write(self.pipe, self.steps.to_bytes(8, "little"))


def kills_at_every_step(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Kill the run after each of its steps, each time in a new run."""
    count = Count("SIGKILL after every step of a run of 50")
    for step in progress(range(1, STEPS + 1), count, options):
        path = folder / "run"
        child = in_child(lambda path=path, step=step: train(path, DieAfter(step)))
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the child ended by itself"
        count.made += 1
        count.lost += saved_steps(path) != (step - 1) // EPOCH * EPOCH
        count.survived += undisturbed.equals(path)
        shutil.rmtree(path)
    return count


def kills_at_random_moments(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Kill at random moments; each process continues the run of the one before it, until the run is complete."""
    count = Count("SIGKILL at random moments")
    draw = random.Random(options.seed)
    path, reported, began = folder / "run", 0, time.perf_counter()
    train(folder / "timed")
    life = time.perf_counter() - began  # of a run without a kill
    since = 0
    lives = itertools.takewhile(lambda _: count.made < options.kills, itertools.count())
    for _ in progress(lives, count):
        reader, writer = os.pipe()
        child = in_child(lambda writer=writer: train(path, Report(writer)))
        os.close(writer)
        time.sleep(draw.uniform(0, 0.6 * life))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with open(reader, "rb") as pipe:
            said = pipe.read()
        reported = max(reported, int.from_bytes(said[-8:], "little"))
        if os.WIFSIGNALED(status):  # else the process ended before the kill
            count.made += 1
            since += 1
            count.lost += saved_steps(path) < reported
        if saved_steps(path) == STEPS or count.made == options.kills:  # the run is complete: did it survive all kills?
            count.survived += since * undisturbed.equals(path)
            shutil.rmtree(path)
            reported = since = 0
    return count


# ---------------------------------------------------------------------- every system call

CALLS = ("open", "write", "fsync", "close", "replace", "unlink", "ftruncate", "mkdir", "lseek", "read")
FAILING = ("open", "write", "fsync", "replace", "mkdir")  # calls that a disk can refuse


def at_call(number: int, calls: tuple[str, ...], action: Callable[[], None], halves: bool) -> None:
    """From now on, run `action` at moment `number`: before one of these calls, or after half of a write."""
    left = [number]

    def moment() -> None:
        if left[0] <= 0:
            action()
        left[0] -= 1

    def wrapped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            moment()
            if name == "write" and halves and left[0] == 0:
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])  # type: ignore[index]
            if name == "write" and halves:
                moment()
            return real(*arguments, **keywords)

        return call

    for name in calls:
        setattr(os, name, wrapped(name, getattr(os, name)))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> Callable[[], None]:
    """Return an action that always fails with an error of the operating system: a full disk stays full."""

    def action() -> None:
        raise OSError(number, os.strerror(number))

    return action


def kills_at_every_call(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Kill before each system call, and halfway through each write, of the epoch that saves a best checkpoint."""
    count = Count("SIGKILL at every system call of an epoch that saves")
    return _at_every_call(folder, undisturbed, options, count, CALLS, die, halves=True)


def kills_at_the_end(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Kill before each system call, and halfway through each write, of the last epoch."""
    count = Count("SIGKILL at every system call of the last epoch")
    return _at_every_call(folder, undisturbed, options, count, CALLS, die, halves=True, first=STEPS - EPOCH)


def kills_at_birth(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Kill before each system call, and halfway through each write, from the new folder to the first checkpoint."""
    count = Count("SIGKILL at every system call of a run's first epoch")
    return _at_every_call(folder, undisturbed, options, count, CALLS, die, halves=True, first=0)


def full_disk(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Fill the disk from each call on, for one epoch; then there is space again."""
    count = Count("full disk, from every call of an epoch on")
    return _at_every_call(folder, undisturbed, options, count, FAILING, refuse(errno.ENOSPC), halves=True)


def read_only(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Make the file system read-only from each call on, for one epoch; then it is writable again."""
    count = Count("read-only file system, from every call of an epoch on")
    return _at_every_call(folder, undisturbed, options, count, FAILING, refuse(errno.EROFS), halves=False)


def _at_every_call(
    folder: Path,
    undisturbed: Undisturbed,
    options: Options,
    count: Count,
    calls: tuple[str, ...],
    action: Callable[[], None],
    halves: bool,
    first: int = EPOCH,
) -> Count:
    before, path = folder / "before", folder / "run"
    if first:
        os.waitpid(in_child(lambda: train(before, DieAfter(first + 1))), 0)
    for number in progress(itertools.count(), count, options):
        if first:
            shutil.copytree(before, path)

        def disturbed(number: int = number) -> None:
            at_call(number, calls, action, halves)
            train(path, steps=first + EPOCH)

        child = in_child(disturbed)
        _, status = os.waitpid(child, 0)
        if status == 0:  # the run ended before that moment
            assert saved_steps(path) == first + EPOCH
            break
        count.made += 1
        ended_well = os.WIFSIGNALED(status) if action is die else os.waitstatus_to_exitcode(status) == 3
        count.lost += saved_steps(path) < first
        count.survived += ended_well and undisturbed.equals(path)
        shutil.rmtree(path, ignore_errors=True)  # a kill at the first call leaves no folder
    return count


# ---------------------------------------------------------------------- damaged files


def truncations(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Truncate a checkpoint to each shorter length."""
    whole = _newest(undisturbed)
    count = Count(f"checkpoint of {len(whole):,} bytes cut short, every length")
    return _damaged(folder, options, count, (whole[:length] for length in range(len(whole))))


def bit_flips(folder: Path, undisturbed: Undisturbed, options: Options) -> Count:
    """Flip each bit of a checkpoint."""
    whole = _newest(undisturbed)
    count = Count(f"checkpoint of {len(whole):,} bytes with one bit flipped, every bit")

    def flipped() -> Iterator[bytes]:
        content = bytearray(whole)
        for position in range(len(whole)):
            for bit in range(8):
                content[position] ^= 1 << bit
                yield bytes(content)
                content[position] ^= 1 << bit

    return _damaged(folder, options, count, flipped())


def _newest(undisturbed: Undisturbed) -> bytes:
    return next(bytes for name, bytes in undisturbed.content.items() if name.endswith(f"{STEPS:09d}.safetensors"))


def _damaged(folder: Path, options: Options, count: Count, contents: Iterator[bytes]) -> Count:
    path = folder / "damaged.safetensors"
    for damaged in progress(contents, count, options):
        path.write_bytes(damaged)
        count.made += 1
        try:
            read_checkpoint(path)
        except CheckpointError:
            count.survived += 1
    return count


# ---------------------------------------------------------------------- the table

KINDS: dict[str, Callable[[Path, Undisturbed, Options], Count]] = {
    "steps": kills_at_every_step,
    "moments": kills_at_random_moments,
    "birth": kills_at_birth,
    "calls": kills_at_every_call,
    "end": kills_at_the_end,
    "full": full_disk,
    "read-only": read_only,
    "truncations": truncations,
    "flips": bit_flips,
}


def progress(items: Iterable[Item], count: Count, options: Options | None = None) -> Iterator[Item]:
    """Yield each item, or each n-th, and show the progress on a terminal."""
    some = itertools.islice(items, 0, None, 1 if options is None else options.every)
    return iter(tqdm(some, desc=count.fault, leave=False, disable=None))


def main(arguments: list[str] | None = None) -> int:
    """Cause the faults, print the table, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000, help="number of kills at random moments (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments (default: 0)")
    parser.add_argument("--every", type=int, default=1, help="cause only each n-th of the other faults (default: 1)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = Options(**vars(parser.parse_args(arguments)))
    counts = []
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Undisturbed(Path(folder, "undisturbed"))
        for kind in options.only:
            place = Path(folder, kind)
            place.mkdir()
            counts.append(KINDS[kind](place, undisturbed, options))
    if options.json:
        print(json.dumps([asdict(count) for count in counts]))
    else:
        print("| fault | made | survived or detected | checkpoints lost |\n|---|---:|---:|---:|")
        for count in counts:
            print(f"| {count.fault} | {count.made:,} | {count.survived:,} | {count.lost} |")
    return int(any(count.survived != count.made or count.lost for count in counts))


if __name__ == "__main__":
    sys.exit(main())
