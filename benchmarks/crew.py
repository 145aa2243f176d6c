"""The processes of the contestants, and how they take turns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.conv_games import ConvTask
from benchmarks.errors import BenchmarkError, DisagreementError
from benchmarks.statistics import WIDE
from benchmarks.task import Task

SLICE_SECONDS = 0.25  # one turn: long beside an iteration, short beside what disturbs a machine
_REST_SECONDS = 0.04  # OpenBLAS threads go on waiting busily for about this long after the last product
TOLERANCE = 1e-4  # relative: float32 sums in another order, carried through a few updates
PARAMETER_TOLERANCE = 1e-3  # gradients round off more than a loss does
LOOSE_TOLERANCE = 5e-3  # after weights with next to no gradient moved up or down by rounding error, or at a kink
Turns = dict[str, list[list[float]]]  # by contestant and turn, the milliseconds of each iteration


class Member:
    """One worker process, on this side of the pipe.

    Parameters
    ----------
    name : str
        What it runs, for messages.
    threads : int
        Of the libraries it will load.
    module : str
        What it runs: `benchmarks.worker`, or another that answers.
    processes : int, optional
        How many an MPI launcher starts; without it, there is one and no launcher.
    """

    def __init__(
        self, name: str, threads: int, module: str = "benchmarks.worker", processes: int | None = None
    ) -> None:
        self.name = name
        count = str(threads)
        launcher = [str(find_launcher()), "-n", str(processes)] if processes else []
        libraries = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
        self._process = subprocess.Popen(
            [*launcher, sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # JAX would take three quarters of a GPU's memory at once, and its use could not be compared
            env={"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ, **dict.fromkeys(libraries, count)},
            cwd=Path(__file__).parents[1],
            text=True,
            start_new_session=True,  # Ctrl-C is for this side, which then closes the pipe
        )

    def ask(self, do: str, **details: Any) -> Any:
        """Send a request and wait for the answer.

        Raises
        ------
        BenchmarkError
            The worker refused, or died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": do, **details}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchmarkError(
                f"the process of {self.name!r} ended with status {self._process.wait()} while asked to {do}; "
                "what it printed above says why"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def find_launcher() -> str | None:
    """Return the path of ``mpiexec``: that of this environment if it has one, else the first in PATH."""
    return shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


class Crew:
    """All contestants of one task, each in its process; use it in a ``with`` block through `crew_of`.

    Attributes
    ----------
    cpu_turns : dict of str to list of lists of float
        After `take_turns`, by contestant and turn, the milliseconds that all its threads worked for one iteration.
        Another program that takes a processor away does not lengthen them.
    refused : dict of str to str
        By contestant that is not in the crew any more, why it does not play.
    """

    cpu_turns: Turns

    def __init__(
        self, members: dict[str, Member], folder: Path, task: Task | ConvTask, optional: Sequence[str] = ()
    ) -> None:
        self.members = members
        self.folder = folder
        self.optional = optional
        self.refused: dict[str, str] = {}
        self.build(task)

    def build(self, task: Task | ConvTask) -> None:
        """Let each worker build its contestant of a task, in place of the one that it has.

        One that is optional and cannot leaves the crew.
        """
        self.task = task
        order = task.order(self.folder)
        for name, member in list(self.members.items()):
            try:
                member.ask("build", name=name, **order)
            except BenchmarkError as error:
                if name not in self.optional:
                    raise
                self.refused[name] = str(error)
                self.members.pop(name).close()

    def check_agreement(self) -> dict[str, Any]:
        """Let all but the products play the same few iterations: same weights, noise and data, no dropout.

        Returns
        -------
        dict
            By contestant, what `TinyganStep.play` returns.

        Raises
        ------
        DisagreementError
            A contestant plays another game than tinygan; a comparison of times would mean nothing.
        """
        path = self.folder / "noise.npy"
        np.save(path, self.task.noise())
        players = [name for name in self.members if name != "products"]
        plays = {name: self.members[name].ask("play", noise=str(path)) for name in players}
        refuse_disagreement(plays, self.task.loose)
        return plays

    def take_turns(
        self, seconds: float, slice_seconds: float = SLICE_SECONDS, least: int = 1
    ) -> Turns:
        """Time all contestants in turn, A, B, C, A, B, C, ..., for about `seconds` each.

        Parameters
        ----------
        seconds : float
        slice_seconds : float
            One turn, if an iteration is not longer.
        least : int
            How many turns each has at least.

        Returns
        -------
        dict of str to list of lists of float
            By contestant and turn, the milliseconds of each iteration.
        """
        counts, longest = {}, slice_seconds
        for name, member in self.members.items():
            [first] = member.ask("run", count=1)  # the first iterations allocate, compile, fill caches
            quick = first < 1e3
            member.ask("run", count=2 * quick)
            typical = float(np.median(member.ask("run", count=1 + 2 * quick)))
            counts[name] = max(1, round(1e3 * min(slice_seconds, seconds) / typical))
            longest = max(longest, typical / 1e3)
        rounds = max(least, round(seconds / longest))
        turns: Turns = {name: [] for name in self.members}
        self.cpu_turns = {name: [] for name in self.members}
        for _ in tqdm(range(rounds), "rounds", leave=False, disable=None):
            for name, member in self.members.items():
                time.sleep(_REST_SECONDS)
                if counts[name] > 1:
                    member.ask("run", count=2)  # wakes its threads and brings its data back into the caches
                before = member.ask("cpu")
                turns[name].append(member.ask("run", count=counts[name]))
                self.cpu_turns[name].append([1e3 * (member.ask("cpu") - before) / counts[name]])
        return turns


def undisturbed(measure: Callable[[], Turns], spread: Callable[[Turns], float]) -> tuple[Turns, int]:
    """Return turns whose `spread` is not above `WIDE`, or those with the least of three; and how many were measured."""
    measured: list[Turns] = []
    while not measured or (len(measured) < 3 and min(map(spread, measured)) > WIDE):
        measured.append(measure())
    return min(measured, key=spread), len(measured)


@contextmanager
def crew_of(task: Task | ConvTask, names: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Crew]:
    """Start a process for each contestant; end them all when the block ends.

    The others play without one that is `optional` and cannot play: see `Crew.refused`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        members = {}
        for name in names:
            members[name] = Member(name, task.threads)
            stack.callback(members[name].close)
        yield Crew(members, folder, task, optional)


def refuse_disagreement(plays: dict[str, Any], loose: bool = False) -> None:
    """Raise `DisagreementError` where a contestant's losses, gradients or movements are not tinygan's.

    Losses alone would not do: early in a game the generator's steps hardly show in them.

    Parameters
    ----------
    plays : dict
        By contestant, what `TinyganStep.play` returns: ``losses``, and by parameter a number or a list of numbers,
        ``gradients`` and ``moved``.
    loose : bool
        Whether equal games differ by more than rounding, see `Task.loose`.
    """
    ours = plays["tinygan"]
    later, rough = (LOOSE_TOLERANCE, LOOSE_TOLERANCE) if loose else (TOLERANCE, PARAMETER_TOLERANCE)
    words = {"gradients": "gradient in iteration 1", "moved": f"movement in {len(ours['losses'])} iterations"}
    for name, theirs in plays.items():
        pairs = [
            (f"the {player}'s loss in iteration {number}", x, y, (later if number > 1 else TOLERANCE) * abs(x))
            for number, (a, b) in enumerate(zip(ours["losses"], theirs["losses"], strict=True), start=1)
            for player, x, y in zip(("discriminator", "generator"), a, b, strict=True)
        ]
        for key in words.keys() & ours.keys():
            if set(ours[key]) != set(theirs[key]):
                raise DisagreementError(
                    f"{name} does not play the same game as tinygan: its parameters are {', '.join(theirs[key])}, "
                    f"not {', '.join(ours[key])}"
                )
            # The gradients from data and from samples may cancel, as for the last bias; the rest is rounding error. So
            # a parameter is also judged by the largest of its player.
            norms = {parameter: float(np.linalg.norm(x)) for parameter, x in ours[key].items()}
            largest: dict[str, float] = {}
            for parameter, norm in norms.items():
                player = parameter.partition(".")[0]
                largest[player] = max(largest.get(player, 0.0), norm)
            pairs += [
                (f"the {words[key]} of {parameter}", x, theirs[key][parameter],
                 rough * (norms[parameter] + 0.1 * largest[parameter.partition(".")[0]]))
                for parameter, x in ours[key].items()
            ]  # fmt: skip
        for where, x, y, tolerance in pairs:
            error = float(np.linalg.norm(np.subtract(x, y)))
            if not error <= tolerance:  # a nan disagrees with everything
                is_not = f"{y:.6g}, not {x:.6g}" if np.ndim(x) == 0 else f"off by {error / np.linalg.norm(x):.2g}"
                raise DisagreementError(
                    f"{name} does not play the same game as tinygan: from the same weights, noise and data, "
                    f"{where} is {is_not}; times would not compare"
                )
