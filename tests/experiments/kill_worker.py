"""Kill a training run, many times, and look at what is left. Run by test_kills.py, or by hand:

    python tests/experiments/kill_worker.py FOLDER moments COUNT     at COUNT random moments
    python tests/experiments/kill_worker.py FOLDER calls             at every system call of one step that writes

Prints one JSON object: how many kills were made, how many survived, how many checkpoints that had been
reported as saved were lost, and how many resumed runs ended with other bytes than an undisturbed one.
It forks, which is quick and safe here because nothing has started a thread.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

# Before NumPy is imported: BLAS would start threads, and a process with threads should not fork.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from tinygan.experiments.run_folder import POSITION, RunFolder

warnings.simplefilter("error")  # going back to an older checkpoint because of damage would be a failure

MUTATING_CALLS = ("open", "write", "fsync", "close", "replace", "unlink", "ftruncate", "mkdir", "lseek", "read")


def weights(step: int) -> dict[str, np.ndarray]:
    """What a deterministic training has learned after `step` steps."""
    return {"weight": np.full(5000, step, np.float32), "momentum": np.full((3, 7), -step, np.float64)}


def train(run: RunFolder, last: int, report: Callable[[int], object] = lambda step: None) -> None:
    """Resume from the newest checkpoint and train to step `last`, as a trainer would."""
    with run.lock():
        checkpoint = run.latest_checkpoint()
        run.rewind(checkpoint)
        done = checkpoint.state[POSITION]["step"] if checkpoint else 0
        for step in range(done + 1, last + 1):
            run.append_metrics({"step": step, "loss": 1 / step})
            run.append_timing({"step": step, "seconds": 0.1})
            run.save_checkpoint(step, weights(step), {"seed": 1}, best=step % 3 == 0)
            report(step)


def step_on_disk(run: RunFolder) -> int:
    """Check that the newest checkpoint and the records belong together; return its step."""
    checkpoint = run.latest_checkpoint()
    if checkpoint is None:
        return 0
    step = int(checkpoint.state[POSITION]["step"])
    for name, expected in weights(step).items():
        np.testing.assert_array_equal(checkpoint.arrays[name], expected)
    steps = [record["step"] for record in run.metrics()]
    assert steps[:step] == list(range(1, step + 1)), steps
    assert steps[step:] in ([], [step + 1]), steps
    best = run.best_checkpoint()
    assert best is not None or step < 3
    return step


def content(run: RunFolder) -> dict[str, bytes]:
    """All files but the lock, by relative name."""
    files = (path for path in run.path.rglob("*") if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


def undisturbed(folder: Path, last: int) -> dict[str, bytes]:
    run = RunFolder.create(folder, "seed = 1\n", {})
    train(run, last)
    return content(run)


def in_child(action: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            print(f"child: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    return child


def random_moments(folder: Path, count: int) -> dict[str, int]:
    """Kill at random moments; every life resumes what the one before it left."""
    run = RunFolder.create(folder / "run", "seed = 1\n", {})
    random.seed(6)
    survived = lost = on_disk = 0
    for _ in range(count):
        reader, writer = os.pipe()
        report = lambda step, pipe=writer: os.write(pipe, step.to_bytes(8, "little"))  # noqa: E731
        child = in_child(lambda report=report: train(run, 10**6, report))
        os.close(writer)
        time.sleep(random.uniform(0.002, 0.04))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the child ended by itself"
        with open(reader, "rb") as pipe:
            reported = [on_disk] + [number for (number,) in np.frombuffer(pipe.read(), "<u8").reshape(-1, 1)]
        on_disk = step_on_disk(run)
        survived += 1
        lost += max(0, int(reported[-1]) - on_disk)
    last = on_disk + 3
    train(run, last)
    differing = int(content(run) != undisturbed(folder / "undisturbed", last))
    return {"kills": count, "survived": survived, "lost": lost, "differing": differing, "steps": last}


def every_call(folder: Path) -> dict[str, int]:
    """Kill before each system call, and halfway through each write, of a step that is the best yet."""
    # A kill, unlike a loss of power, spares what the system has buffered; waiting for the disk shows nothing.
    os.fsync = lambda _descriptor: None  # type: ignore[assignment]
    expected = undisturbed(folder / "undisturbed", 8)
    before = RunFolder.create(folder / "before", "seed = 1\n", {})
    train(before, 5)
    kills = survived = lost = differing = 0
    while True:
        copy = RunFolder(folder / "run")
        shutil.copytree(before.path, copy.path)
        child = in_child(lambda copy=copy, number=kills: (die_at(number), train(copy, 6)))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, "the child failed instead of being killed"
            assert step_on_disk(copy) == 6
            break
        kills += 1
        lost += max(0, 5 - step_on_disk(copy))
        survived += 1
        train(copy, 8)
        differing += content(copy) != expected
        shutil.rmtree(copy.path)
    return {"kills": kills, "survived": survived, "lost": lost, "differing": differing}


def die_at(number: int) -> None:
    """From now on, end this process at moment `number`: before a call, or after half of a write."""
    left = [number]

    def moment() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def wrapped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            moment()
            if name == "write" and left[0] == 0:
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])  # type: ignore[index]
            if name == "write":
                moment()
            return real(*arguments, **keywords)

        return call

    for name in MUTATING_CALLS:
        setattr(os, name, wrapped(name, getattr(os, name)))


if __name__ == "__main__":
    where, what, *how_many = sys.argv[1:]
    counts = every_call(Path(where)) if what == "calls" else random_moments(Path(where), int(how_many[0]))
    print(json.dumps(counts))
