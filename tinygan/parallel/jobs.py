"""Commands of tinygan as jobs, several at once: in processes of one machine, or by ``mpi4py.futures`` on all ranks.

Each has a process of its own, so a crash stops no other. It ends after a checkpoint when the process that started it
asks for that or dies: see ``__main__.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from tinygan.errors import ArgumentError
from tinygan.parallel.world import current
from tinygan.runs.environment import THREAD_VARIABLES, usable_cpus

STOPPED = 130  # the exit status of a command after Ctrl-C or SIGTERM
LAUNCHER = ("PMI", "OMPI_", "HYDI_", "HYDRA_", "MPI_LOCAL")  # variables of a rank, which a job is not
TICK = 0.1  # seconds between two questions whether to stop
STOP = 20  # the tag of the message that says so to a rank

Command = Sequence[str]  # the words after `tinygan`


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    status : int
        The exit status of the command: 0, unless it failed; negative after a signal.
    stopped : bool
        Whether it was asked to stop before its end.
    output : str
        What it wrote on stdout.
    message : str
        Why it failed; of a job that did not fail, what it wrote on stderr, such as warnings, if that was not shown.
    """

    status: int
    stopped: bool = False
    output: str = ""
    message: str = ""


class Place:
    """Starts jobs in processes of this machine.

    Parameters
    ----------
    asked : callable
        Returns whether to stop.
    shares : int
        How many jobs share the processors of this machine. If several, each gets its share of threads, unless a
        variable such as OMP_NUM_THREADS is set.
    shown : bool
        Let the commands write on stderr, as their progress.

    Attributes
    ----------
    killed : bool
        Set it to True to end all jobs at once.
    """

    def __init__(self, asked: Callable[[], bool], shares: int, shown: bool = False) -> None:
        self.asked, self.shown, self.killed = asked, shown, False
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHER)}
        if shares > 1 and not any(name in self.environment for name in THREAD_VARIABLES):
            self.environment["OMP_NUM_THREADS"] = str(max(1, (usable_cpus() or 1) // shares))

    def run(self, command: Command) -> Outcome:
        """Run a job to its end, or until `asked` returns True."""
        stdin, ours = os.pipe()
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "tinygan.parallel", *command],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=None if self.shown else subprocess.PIPE,
                env=self.environment,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C comes to this process only
            )
        except OSError as error:
            os.close(ours)
            return Outcome(1, message=f"no process can be started: {error}")
        finally:
            os.close(stdin)
        stopped = False
        try:
            while True:
                try:
                    said, errors = child.communicate(timeout=TICK)
                    break
                except subprocess.TimeoutExpired:
                    if not stopped and self.asked():
                        stopped = True
                        os.close(ours)
                    if self.killed:
                        child.kill()
        finally:
            if not stopped:
                os.close(ours)
        status, message = child.returncode, (errors or "").strip()
        if status < 0:
            message = f"it was ended by signal {-status}" + ("; perhaps the memory was full" if status == -9 else "")
        elif status == STOPPED:
            message = "it was stopped"
        elif status:
            message = said.strip() or message or f"it ended with status {status}"
        return Outcome(status, stopped and status != 0, said, message)


_here: Place  # of a rank


def _run_here(command: Command) -> Outcome:
    return _here.run(command)


class Jobs:
    """Runs jobs, as many at once as there are places; from `open_jobs`.

    Parameters
    ----------
    asked : callable
        Returns whether to stop all.
    place : Place
        The one of this process.
    places : sequence of callable
        Each runs a command, and returns its outcome.
    pass_on : callable
        Asks the places elsewhere to stop.

    Attributes
    ----------
    stopped : bool
        Whether a stop was asked for: then not all jobs are done.
    """

    def __init__(
        self, asked: Callable[[], bool], place: Place, places: Sequence[Callable[[Command], Outcome]],
        pass_on: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        self.asked, self.place, self.pass_on, self.at_once = asked, place, pass_on, len(places)
        self.free: SimpleQueue[Callable[[Command], Outcome]] = SimpleQueue()
        for each in places:
            self.free.put(each)
        self.stopped = False
        place.asked = self._stopping

    def _stopping(self) -> bool:
        if self.asked():
            self.stopped = True
        return self.stopped

    def run(
        self, jobs: Mapping[Any, Command], tell: Callable[[Any, Outcome | None], None] = lambda name, outcome: None
    ) -> dict[Any, Outcome]:
        """Run jobs; one that fails stops no other.

        Parameters
        ----------
        jobs : mapping
            The command of each job by its name.
        tell : callable
            Called with the name of a job when it starts, with None, and when it ends, with its outcome.

        Returns
        -------
        dict
            The outcome of each job that began.
        """
        found: dict[Any, Outcome] = {}

        def work(name: Any) -> None:
            run = self.free.get()
            try:
                if self._stopping():
                    return
                tell(name, None)
                found[name] = outcome = run(jobs[name])
                if outcome.stopped:  # perhaps another rank was asked
                    self.stopped = True
            finally:
                self.free.put(run)
            tell(name, outcome)

        with ThreadPoolExecutor(self.at_once) as pool:
            futures = [pool.submit(work, name) for name in jobs]
            waiting, passed_on = set(futures), False
            try:
                while waiting:
                    waiting = wait(waiting, TICK).not_done
                    if not passed_on and self._stopping():
                        passed_on = True
                        self.pass_on()
            except BaseException:  # a second Ctrl-C
                self.stopped = self.place.killed = True
                raise
        for future in futures:
            future.result()
        return {name: found[name] for name in jobs if name in found}


@contextmanager
def open_jobs(at_once: int | None, asked: Callable[[], bool], shown: bool = False) -> Iterator[Jobs | None]:
    """Give the places for jobs: `at_once` on this machine; under an MPI launcher one at each rank.

    On every rank but the first, the body gets None, when all jobs are done.

    Parameters
    ----------
    at_once : int, optional
        1 by default. None under a launcher, which has started as many ranks as there are jobs at once.
    asked : callable
        Returns whether to stop.
    shown : bool
        Let the jobs write on stderr; not under a launcher.

    Raises
    ------
    ArgumentError
        `at_once` is given under a launcher.
    MissingPackageError, ParallelError
        There is a launcher, but mpi4py is missing or belongs to another MPI.
    """
    world = current()
    if world is None:
        place = Place(asked, at_once or 1, shown)
        yield Jobs(asked, place, [place.run] * (at_once or 1))
        return
    from mpi4py.futures import MPICommExecutor

    global _here
    comm, others = world.comm, range(1, world.size)
    _here = Place(lambda: asked() or comm.iprobe(source=0, tag=STOP), world.ranks_here)
    sent: list[Any] = []  # until they have arrived
    executor: Any
    with MPICommExecutor(comm) as executor:
        if executor is not None:
            if at_once is not None:
                raise ArgumentError(f"--jobs {at_once}: each of the {world.size} ranks runs one job: leave it out")
            elsewhere = [lambda command: executor.submit(_run_here, command).result() for _ in others]
            send = lambda: sent.extend(comm.isend(None, rank, STOP) for rank in others)  # noqa: E731
            yield Jobs(asked, _here, [_here.run, *elsewhere], send)
    if executor is None:
        while comm.iprobe(source=0, tag=STOP):
            comm.recv(source=0, tag=STOP)
        yield None
